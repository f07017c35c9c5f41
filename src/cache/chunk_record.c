#include "cache/chunk_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* The version, what it has, the size in eight bytes, the lowest first, the edges, and the table as
 * it is. */
enum { VERSION = 1, HEAD = 2 + 8, CLAIMED = 1, EDGES = 2 };

void chunk_record_encode(const struct chunk_record *record, struct buf *out)
{
    unsigned char head[HEAD] = {
        VERSION, (unsigned char)(record->is_claimed * CLAIMED + record->has_edges * EDGES)};

    for (size_t i = 0; i < 8; i++)
        head[2 + i] = (unsigned char)(record->size >> (8 * i));
    buf_append(out, head, sizeof(head));
    if (record->has_edges)
        buf_append(out, &record->edges, sizeof(record->edges));
    buf_append(out, record->chunks, numbers_count(record->size) * sizeof(*record->chunks));
}

bool chunk_record_decode(struct view bytes, struct chunk_record *ret_record)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    struct chunk_record record = {0};
    size_t head = HEAD;
    uint64_t size = 0;

    if (bytes.length < HEAD || data[0] != VERSION || data[1] > CLAIMED + EDGES)
        return false;
    record.is_claimed = (data[1] & CLAIMED) != 0;
    record.has_edges = (data[1] & EDGES) != 0;
    for (size_t i = 0; i < 8; i++)
        size |= (uint64_t)data[2 + i] << (8 * i);
    record.size = size;
    if (record.has_edges &&
        (!numbers_has_edges(size) || bytes.length < HEAD + sizeof(record.edges)))
        return false;
    if (record.has_edges) {
        memcpy(&record.edges, data + head, sizeof(record.edges));
        head += sizeof(record.edges);
    }
    size_t length = bytes.length - head;
    if (size > INT64_MAX || length % sizeof(struct chunk_numbers) != 0 ||
        numbers_count(size) != length / sizeof(struct chunk_numbers))
        return false;
    if (length > 0) {
        record.chunks = check_malloc(length);
        memcpy(record.chunks, data + head, length);
    }
    *ret_record = record;
    return true;
}

void chunk_record_release(struct chunk_record *record)
{
    free(record->chunks);
    *record = (struct chunk_record){0};
}
