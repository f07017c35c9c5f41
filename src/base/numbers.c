#include "base/numbers.h"

#include <string.h>
#include <zlib.h>

#include "base/check.h"

uint64_t numbers_count(uint64_t size)
{
    return size / NUMBERS_CHUNK + (size % NUMBERS_CHUNK != 0);
}

void numbers_start(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks)
{
    *numbers = (struct numbers){.size = size, .chunks = chunks};
    hasher_init(&numbers->file, DIGEST_SHA256);
}

void numbers_start_known(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks)
{
    *numbers = (struct numbers){.size = size, .chunks = chunks, .is_known = true};
}

static void end_chunk(struct numbers *numbers)
{
    struct chunk_numbers *chunk = &numbers->chunks[(numbers->offset - 1) / NUMBERS_CHUNK];
    struct digest digest;

    hasher_finish(&numbers->chunk, &digest);
    hasher_release(&numbers->chunk);
    memcpy(chunk->sha256, digest.bytes, NUMBERS_SHA256);
    for (size_t i = 0; i < sizeof(chunk->crc32); i++)
        chunk->crc32[i] = (uint8_t)(numbers->crc32 >> 8 * i);
}

void numbers_update(struct numbers *numbers, const void *data, size_t length)
{
    const uint8_t *at = data;

    CHECK(length <= numbers->size - numbers->offset);
    if (length > 0 && !numbers->is_known)
        hasher_update(&numbers->file, data, length);
    while (length > 0) {
        size_t room = NUMBERS_CHUNK - numbers->offset % NUMBERS_CHUNK;
        size_t count = length < room ? length : room;
        if (room == NUMBERS_CHUNK) {
            hasher_init(&numbers->chunk, DIGEST_SHA256);
            numbers->crc32 = 0;
        }
        hasher_update(&numbers->chunk, at, count);
        numbers->crc32 = (uint32_t)crc32(numbers->crc32, at, (uInt)count);
        numbers->offset += count;
        at += count;
        length -= count;
        if (count == room || numbers->offset == numbers->size)
            end_chunk(numbers);
    }
}

void numbers_finish(struct numbers *numbers, uint8_t ret_sha256[NUMBERS_SHA256])
{
    struct digest digest;

    CHECK(numbers->offset == numbers->size && !numbers->is_known);
    hasher_finish(&numbers->file, &digest);
    memcpy(ret_sha256, digest.bytes, NUMBERS_SHA256);
}

void numbers_release(struct numbers *numbers)
{
    hasher_release(&numbers->file);
    hasher_release(&numbers->chunk);
    *numbers = (struct numbers){0};
}
