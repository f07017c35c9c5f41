/* Unit tests of the numbers of a file. */
#include "base/numbers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

enum { MIB = 1 << 20 };

static void numbers_count__rounds_up(void **state)
{
    (void)state;
    assert_int_equal(numbers_count(0), 0);
    assert_int_equal(numbers_count(1), 1);
    assert_int_equal(numbers_count(4 * MIB), 1);
    assert_int_equal(numbers_count(4 * MIB + 1), 2);
    assert_int_equal(numbers_count(UINT64_MAX), UINT64_C(1) << 42);
    assert_int_equal(sizeof(struct chunk_numbers), 36); /* stored as it is */
}

static void numbers__are_those_of_each_chunk(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 4 * MIB, 4 * MIB + 1};
    static const uint64_t counts[] = {0, 1, 1, 2};
    /* What Python's zlib.crc32 says, little-endian. */
    static const uint8_t crcs[][2][4] = {
        {{0}},
        {{0x8d, 0xef, 0x02, 0xd2}},
        {{0xd3, 0x4f, 0x30, 0xa1}},
        {{0xd3, 0x4f, 0x30, 0xa1}, {0x7e, 0x93, 0xd1, 0x5e}},
    };
    struct chunk_numbers chunks[2];
    struct numbers numbers;
    uint8_t sha256[NUMBERS_SHA256];
    struct digest digest;

    for (size_t i = 0; i < 4; i++) {
        uint8_t *content = check_malloc(sizes[i] + 1);
        for (uint64_t k = 0; k < sizes[i]; k++)
            content[k] = (uint8_t)(k % 251);
        numbers_start(&numbers, sizes[i], chunks);
        numbers_update(&numbers, content, sizes[i] / 3);
        numbers_update(&numbers, content + sizes[i] / 3, sizes[i] - sizes[i] / 3);
        numbers_finish(&numbers, sha256);
        numbers_release(&numbers);
        digest_of(DIGEST_SHA256, content, sizes[i], &digest);
        assert_memory_equal(sha256, digest.bytes, NUMBERS_SHA256);
        for (uint64_t k = 0, at = 0; k < counts[i]; k++, at += NUMBERS_CHUNK) {
            uint64_t length = sizes[i] - at < NUMBERS_CHUNK ? sizes[i] - at : NUMBERS_CHUNK;
            digest_of(DIGEST_SHA256, content + at, length, &digest);
            assert_memory_equal(chunks[k].sha256, digest.bytes, NUMBERS_SHA256);
            assert_memory_equal(chunks[k].crc32, crcs[i][k], 4);
        }
        free(content);
    }
}

/* Cells that follow each other, from the first byte to the last, and end with each chunk and at
 * either cut. */
static void assert_cells(uint64_t size, bool has_edges)
{
    struct cells cells = cells_of(size, has_edges);
    uint64_t at = 0, edges = 0;

    for (uint64_t number = 0; number < cells_count(&cells); number++) {
        struct extent range = cells_range(&cells, number);
        int edge = cells_edge(&cells, number);
        bool is_cut = range.end == cells.cuts[0] || range.end == cells.cuts[1];
        bool follows = at > 0 && (at == cells.cuts[0] || at == cells.cuts[1]);
        assert_int_equal(range.start, at);
        assert_true(range.end > at && range.end <= size);
        assert_true(is_cut || range.end % NUMBERS_CHUNK == 0 || range.end == size);
        assert_int_equal(at / NUMBERS_CHUNK, (range.end - 1) / NUMBERS_CHUNK);
        assert_int_equal(cells_at(&cells, at), number);
        assert_int_equal(cells_at(&cells, range.end - 1), number);
        assert_int_equal(edge >= 0, is_cut || follows);
        if (edge >= 0)
            assert_int_equal(edge, edges++);
        at = range.end;
    }
    assert_int_equal(at, size);
    assert_int_equal(edges, 2 * (cells.cuts[0] > 0) + 2 * (cells.cuts[1] > 0));
}

static void cells__are_the_chunks_and_the_edges(void **state)
{
    (void)state;
    static const uint64_t more[] = {0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 69632, 100000};
    const uint64_t chunk = NUMBERS_CHUNK;

    assert_cells(0, false);
    for (uint64_t chunks = 0; chunks < 5; chunks++)
        for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
            uint64_t size = chunks * chunk + more[i];
            assert_cells(size, false);
            assert_int_equal(numbers_has_edges(size), chunks >= 2);
            if (!numbers_has_edges(size))
                continue;
            assert_cells(size, true);
            struct cells cells = cells_of(size, true);
            struct extent last = cells_range(&cells, cells_at(&cells, size - NUMBERS_EDGE));
            assert_int_equal(cells_range(&cells, 0).end, NUMBERS_EDGE);
            assert_true(last.start + NUMBERS_EDGE + 4096 > size); /* the last ones are small */
        }
    struct cells vast = cells_of(INT64_MAX, true);
    assert_int_equal(cells_range(&vast, cells_count(&vast) - 1).end, INT64_MAX);
}

static void numbers__are_those_of_the_edges(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {8 * MIB, 8 * MIB + 5, 12 * MIB + 65536, 9 * MIB + 77};
    struct chunk_numbers chunks[4];
    uint8_t sha256[NUMBERS_SHA256];
    struct numbers numbers;
    struct digest digest;

    uint8_t *content = check_malloc(13 * MIB);
    for (uint64_t k = 0; k < 13 * MIB; k++)
        content[k] = (uint8_t)(k % 253);
    srandom(1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct cells cells = cells_of(sizes[i], true);
        numbers_start(&numbers, sizes[i], chunks);
        for (uint64_t at = 0, length; at < sizes[i]; at += length) {
            length = 1 + (uint64_t)random() % (5 * MIB);
            length = length < sizes[i] - at ? length : sizes[i] - at;
            numbers_update(&numbers, content + at, length);
        }
        numbers_finish(&numbers, sha256);
        for (uint64_t number = 0; number < cells_count(&cells); number++) {
            struct extent range = cells_range(&cells, number);
            int edge = cells_edge(&cells, number);
            digest_of(DIGEST_SHA256, content + range.start, range.end - range.start, &digest);
            assert_memory_equal(edge >= 0 ? numbers.edges.sha256[edge]
                                          : chunks[range.start / NUMBERS_CHUNK].sha256,
                                digest.bytes, NUMBERS_SHA256);
        }
        numbers_release(&numbers);
    }
    free(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_count__rounds_up),
        cmocka_unit_test(numbers__are_those_of_each_chunk),
        cmocka_unit_test(cells__are_the_chunks_and_the_edges),
        cmocka_unit_test(numbers__are_those_of_the_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
