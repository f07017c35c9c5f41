/* Unit tests of the record of a file's numbers. */
#include "cache/chunk_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct chunk_record record_of(uint64_t size, bool has_edges, bool is_claimed)
{
    struct chunk_record record = {.size = size, .has_edges = has_edges, .is_claimed = is_claimed};

    record.chunks = check_calloc(numbers_count(size) + 1, sizeof(*record.chunks));
    for (uint64_t i = 0; i < numbers_count(size); i++)
        memset(&record.chunks[i], (int)i + 1, sizeof(*record.chunks));
    for (size_t i = 0; has_edges && i < NUMBERS_EDGES; i++)
        memset(record.edges.sha256[i], (int)i + 100, NUMBERS_SHA256);
    return record;
}

static void chunk_record__is_read_as_it_was_written_and_only_whole(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 8388607, 8388608, 30000000};

    for (size_t i = 0; i < 4 * sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t size = sizes[i / 4];
        bool has_edges = i % 2 == 1 && numbers_has_edges(size);
        struct chunk_record record = record_of(size, has_edges, i / 2 % 2 == 1), again;
        struct buf bytes = {0};
        chunk_record_encode(&record, &bytes);
        assert_true(chunk_record_decode(view_of_buf(&bytes), &again));
        assert_int_equal(again.size, size);
        assert_int_equal(again.has_edges, has_edges);
        assert_int_equal(again.is_claimed, record.is_claimed);
        assert_memory_equal(&again.edges, &record.edges, sizeof(again.edges));
        for (uint64_t n = 0; n < numbers_count(size); n++)
            assert_memory_equal(&again.chunks[n], &record.chunks[n], sizeof(*again.chunks));
        chunk_record_release(&again);
        for (size_t length = 0; length < bytes.length; length++)
            assert_false(chunk_record_decode((struct view){bytes.data, length}, &again));
        buf_append(&bytes, "x", 1);
        assert_false(chunk_record_decode(view_of_buf(&bytes), &again));
        buf_release(&bytes);
        chunk_record_release(&record);
    }
}

static void chunk_record__of_a_small_file_has_no_edges(void **state)
{
    (void)state;
    struct chunk_record record = record_of(8388607, true, false), again;
    struct buf bytes = {0};

    chunk_record_encode(&record, &bytes);
    assert_false(chunk_record_decode(view_of_buf(&bytes), &again));
    bytes.data[1] = 4; /* something that nobody knows */
    assert_false(chunk_record_decode(view_of_buf(&bytes), &again));
    buf_release(&bytes);
    chunk_record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunk_record__is_read_as_it_was_written_and_only_whole),
        cmocka_unit_test(chunk_record__of_a_small_file_has_no_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
