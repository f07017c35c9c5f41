#include "cache/chunk_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* The version, 1 of a claim, the size in eight bytes, the lowest first, and the table as it is. */
enum { VERSION = 1, HEAD = 2 + 8 };

void chunk_record_encode(const struct chunk_record *record, struct buf *out)
{
    unsigned char head[HEAD] = {VERSION, record->is_claimed};

    for (size_t i = 0; i < 8; i++)
        head[2 + i] = (unsigned char)(record->size >> (8 * i));
    buf_append(out, head, sizeof(head));
    buf_append(out, record->chunks, numbers_count(record->size) * sizeof(*record->chunks));
}

bool chunk_record_decode(struct view bytes, struct chunk_record *ret_record)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    uint64_t size = 0;

    if (bytes.length < HEAD || data[0] != VERSION || data[1] > 1)
        return false;
    for (size_t i = 0; i < 8; i++)
        size |= (uint64_t)data[2 + i] << (8 * i);
    size_t length = bytes.length - HEAD;
    if (size > INT64_MAX || length % sizeof(struct chunk_numbers) != 0 ||
        numbers_count(size) != length / sizeof(struct chunk_numbers))
        return false;
    *ret_record = (struct chunk_record){.size = size, .is_claimed = data[1] == 1};
    if (length > 0) {
        ret_record->chunks = check_malloc(length);
        memcpy(ret_record->chunks, data + HEAD, length);
    }
    return true;
}

void chunk_record_release(struct chunk_record *record)
{
    free(record->chunks);
    *record = (struct chunk_record){0};
}
