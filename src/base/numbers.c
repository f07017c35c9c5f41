#include "base/numbers.h"

#include <string.h>
#include <zlib.h>

#include "base/check.h"

uint64_t numbers_count(uint64_t size)
{
    return size / NUMBERS_CHUNK + (size % NUMBERS_CHUNK != 0);
}

/* ---- cells ---- */

enum { BLOCK = 4096 }; /* of a disk: the second cut is at one's beginning */

bool numbers_has_edges(uint64_t size)
{
    return size >= 2 * (uint64_t)NUMBERS_CHUNK;
}

struct cells cells_of(uint64_t size, bool has_edges)
{
    struct cells cells = {.size = size};

    if (!has_edges)
        return cells;
    CHECK(numbers_has_edges(size));
    uint64_t last = size - NUMBERS_EDGE;
    cells.cuts[0] = NUMBERS_EDGE;
    cells.cuts[1] = last - last % BLOCK;
    if (cells.cuts[1] % NUMBERS_CHUNK == 0)
        cells.cuts[1] = 0;
    return cells;
}

uint64_t cells_count(const struct cells *cells)
{
    return cells->size == 0 ? 0 : cells_at(cells, cells->size - 1) + 1;
}

uint64_t cells_at(const struct cells *cells, uint64_t offset)
{
    uint64_t number = offset / NUMBERS_CHUNK;

    for (size_t i = 0; i < 2; i++)
        number += cells->cuts[i] > 0 && offset >= cells->cuts[i];
    return number;
}

/* Where the cell begins, or the one behind the last one would. */
static uint64_t cell_start(const struct cells *cells, uint64_t number)
{
    uint64_t chunk = number;

    for (size_t i = 2; i-- > 0;) {
        uint64_t behind = cells->cuts[i] > 0 ? cells_at(cells, cells->cuts[i]) : UINT64_MAX;
        if (number == behind)
            return cells->cuts[i];
        chunk -= number > behind;
    }
    return chunk * NUMBERS_CHUNK;
}

struct extent cells_range(const struct cells *cells, uint64_t number)
{
    uint64_t end = cell_start(cells, number + 1);

    return (struct extent){cell_start(cells, number), end < cells->size ? end : cells->size};
}

int cells_edge(const struct cells *cells, uint64_t number)
{
    for (int i = 0; i < 2; i++) {
        uint64_t behind = cells->cuts[i] > 0 ? cells_at(cells, cells->cuts[i]) : UINT64_MAX;
        if (number == behind || number + 1 == behind)
            return 2 * i + (number == behind);
    }
    return -1;
}

/* ---- numbers ---- */

void numbers_start_known(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks)
{
    *numbers = (struct numbers){.size = size,
                                .chunks = chunks,
                                .is_known = true,
                                .cells = cells_of(size, numbers_has_edges(size))};
}

void numbers_start(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks)
{
    numbers_start_known(numbers, size, chunks);
    numbers->is_known = false;
    hasher_init(&numbers->file, DIGEST_SHA256);
}

/* Hashes what is of the cells before and behind a cut, from `offset` on. */
static void update_edges(struct numbers *numbers, const uint8_t *at, size_t length)
{
    const struct cells *cells = &numbers->cells;
    struct digest digest;

    for (uint64_t offset = numbers->offset; length > 0 && cells->cuts[0] > 0;) {
        uint64_t number = cells_at(cells, offset);
        struct extent range = cells_range(cells, number);
        int edge = cells_edge(cells, number);
        size_t count = length < range.end - offset ? length : range.end - offset;
        if (edge >= 0 && offset == range.start)
            hasher_init(&numbers->cell, DIGEST_SHA256);
        if (edge >= 0)
            hasher_update(&numbers->cell, at, count);
        offset += count;
        at += count;
        length -= count;
        if (edge < 0 || offset < range.end)
            continue;
        hasher_finish(&numbers->cell, &digest);
        hasher_release(&numbers->cell);
        memcpy(numbers->edges.sha256[edge], digest.bytes, NUMBERS_SHA256);
    }
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
    update_edges(numbers, data, length);
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
    hasher_release(&numbers->cell);
    *numbers = (struct numbers){0};
}
