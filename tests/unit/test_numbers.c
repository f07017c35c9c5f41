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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_count__rounds_up),
        cmocka_unit_test(numbers__are_those_of_each_chunk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
