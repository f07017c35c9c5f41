/* Lays out the file trees of compare_layouts.py. Reads, for each tree, a line with the count of its
 * files and for each of them "<name in hex> <seed> <size>"; prints "<layer digest> <size> <diffID>
 * <uncompressed size> <TOC digest> <TOC offset>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "model/layer_hash.h"
#include "model/layout.h"

enum { PATTERN = 251, LINE = 2 * TREE_NAME_MAX + 100, FEED = 100003, FILES_MAX = 64 };

struct file {
    char name[TREE_NAME_MAX];
    uint64_t size;
    uint8_t pattern[PATTERN];
    struct chunk_numbers *chunks; /* owned */
};

static struct file files[FILES_MAX];

static void read_file(struct file *file, char *line)
{
    char *seed = strchr(line, ' ');
    struct digest digest;

    CHECK(seed != NULL);
    for (size_t i = 0; line + 2 * i < seed; i++) {
        char byte[3] = {line[2 * i], line[2 * i + 1]};
        file->name[i] = (char)strtoul(byte, NULL, 16);
        file->name[i + 1] = '\0';
    }
    char *size = strchr(seed + 1, ' ');
    CHECK(size != NULL);
    digest_of(DIGEST_SHA256, seed + 1, (size_t)(size - seed - 1), &digest);
    for (size_t i = 0; i < PATTERN; i++)
        file->pattern[i] = digest.bytes[i % 32];
    file->size = strtoull(size + 1, NULL, 10);
    file->chunks = check_calloc(numbers_count(file->size) + 1, sizeof(*file->chunks));
}

/* One pass over a file's bytes, as an import makes it. */
static void feed(struct file *file, size_t index, struct layout *layout, struct layer_hash *layer,
                 struct layer_hash *diff_id)
{
    static uint8_t bytes[FEED];
    uint8_t sha256[NUMBERS_SHA256];
    struct numbers numbers;

    layout_set_chunks(layout, index, file->chunks);
    numbers_start(&numbers, file->size, file->chunks);
    for (uint64_t at = 0; at < file->size;) {
        size_t count = file->size - at < FEED ? (size_t)(file->size - at) : FEED;
        for (size_t i = 0; i < count; i++)
            bytes[i] = file->pattern[(at + i) % PATTERN];
        numbers_update(&numbers, bytes, count);
        layer_hash_update(layer, bytes, count);
        layer_hash_update(diff_id, bytes, count);
        at += count;
    }
    numbers_finish(&numbers, sha256);
    numbers_release(&numbers);
    layout_set_sha256(layout, index, sha256);
}

static void print(struct layout *layout, struct layer_hash *layer, struct layer_hash *diff_id)
{
    struct layout_sizes sizes = layout_sizes(layout);
    struct digest digests[3];
    char texts[3][DIGEST_TEXT_SIZE];

    layer_hash_finish(layer, &digests[0]);
    layer_hash_finish(diff_id, &digests[1]);
    layout_toc_digest(layout, &digests[2]);
    for (size_t i = 0; i < 3; i++)
        digest_print(&digests[i], texts[i]);
    printf("%s %" PRIu64 " %s %" PRIu64 " %s %" PRIu64 "\n", texts[0], sizes.layer, texts[1],
           sizes.uncompressed, texts[2], sizes.toc_offset);
}

static void lay_out(size_t count)
{
    struct tree_file tree[FILES_MAX];
    struct layer_hash layer, diff_id;
    struct layout *layout;
    struct buf problem = {0};
    size_t *order;

    for (size_t i = 0; i < count; i++)
        tree[i] = (struct tree_file){view_of(files[i].name), files[i].size};
    if (!layout_new(tree, count, &layout, &problem) || !tree_order(tree, count, &order, &problem)) {
        fprintf(stderr, "%s\n", problem.data);
        exit(1);
    }
    layer_hash_start(&layer, layout, LAYER_HASH_LAYER);
    layer_hash_start(&diff_id, layout, LAYER_HASH_UNCOMPRESSED);
    for (size_t i = 0; i < count; i++)
        feed(&files[order[i]], order[i], layout, &layer, &diff_id);
    layout_seal(layout);
    print(layout, &layer, &diff_id);
    layer_hash_release(&layer);
    layer_hash_release(&diff_id);
    layout_free(layout);
    free(order);
}

int main(void)
{
    static char line[LINE];

    while (fgets(line, LINE, stdin) != NULL) {
        size_t count = strtoul(line, NULL, 10);
        CHECK(count <= FILES_MAX);
        for (size_t i = 0; i < count; i++) {
            CHECK(fgets(line, LINE, stdin) != NULL);
            read_file(&files[i], line);
        }
        lay_out(count);
        for (size_t i = 0; i < count; i++)
            free(files[i].chunks);
    }
    return 0;
}
