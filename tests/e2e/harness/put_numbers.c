/* Notes the numbers of a file in the index of a cache whose mirror does not run, under the digest
 * that is told: the file's own, or another's, for numbers that are forged; as counted there, or as
 * a claim.
 *   put_numbers <cache directory> <digest> <file> [claimed] */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "cache/chunk_record.h"
#include "cache/index.h"

static void read_numbers(const char *path, struct chunk_record *record)
{
    static char bytes[1 << 20];
    uint8_t sha256[NUMBERS_SHA256];
    struct numbers numbers;
    struct stat status;
    FILE *file = fopen(path, "rb");

    CHECK(file != NULL && fstat(fileno(file), &status) == 0);
    record->size = (uint64_t)status.st_size;
    record->chunks = check_calloc(numbers_count(record->size) + 1, sizeof(*record->chunks));
    numbers_start(&numbers, record->size, record->chunks);
    for (size_t got; (got = fread(bytes, 1, sizeof(bytes), file)) > 0;)
        numbers_update(&numbers, bytes, got);
    numbers_finish(&numbers, sha256);
    record->has_edges = numbers_has_edges(record->size);
    record->edges = numbers.edges;
    numbers_release(&numbers);
    fclose(file);
}

int main(int count, char **arguments)
{
    struct chunk_record record = {0};
    struct buf problem = {0}, note = {0};
    struct digest digest;
    struct index *index;
    bool is_new;

    if (count < 4 || count > 5 || !digest_parse(view_of(arguments[2]), &digest)) {
        fprintf(stderr, "usage: put_numbers <cache directory> <digest> <file> [claimed]\n");
        return 2;
    }
    if (index_open(arguments[1], &index, &is_new, &problem) != OK) {
        fprintf(stderr, "%s\n", problem.data);
        return 1;
    }
    read_numbers(arguments[3], &record);
    record.is_claimed = count == 5;
    chunk_record_encode(&record, &note);
    index_put_note(index, INDEX_NOTE_NUMBERS, digest.bytes, (struct view){note.data, note.length});
    index_flush_wait(index);
    index_close(index);
    chunk_record_release(&record);
    buf_release(&note);
    return 0;
}
