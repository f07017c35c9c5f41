/* Unit tests of what blobs take on the disk, against a map of blocks. */
#include "cache/footprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = FOOTPRINT_BLOCK, BLOCKS = 16, ROUNDS = 2000 };

static void footprint_of_size__counts_whole_blocks(void **state)
{
    (void)state;
    assert_int_equal(footprint_of_size(0), 0);
    assert_int_equal(footprint_of_size(1), 2 * BLOCK);
    assert_int_equal(footprint_of_size(BLOCK), 2 * BLOCK);
    assert_int_equal(footprint_of_size(BLOCK + 1), 3 * BLOCK);
    assert_true(footprint_of_size(INT64_MAX) > INT64_MAX);
}

/* The stupidest model: which blocks hold a byte. */
static uint64_t model(const struct extents *present)
{
    uint64_t blocks = present->count > 0;

    for (uint64_t b = 0; b < BLOCKS; b++) {
        struct extent block = {b * BLOCK, (b + 1) * BLOCK}, gap;
        bool empty = extents_first_gap(present, block, &gap) && gap.start == block.start &&
                     gap.end == block.end;
        blocks += !empty;
    }
    return blocks * BLOCK;
}

/* Bytes near the edges of blocks, so that many share one. */
static struct extent draw(void)
{
    uint64_t a = (uint64_t)(rand() % BLOCKS) * BLOCK + (uint64_t)(rand() % 4) * (BLOCK / 4);
    uint64_t b = (uint64_t)(rand() % BLOCKS) * BLOCK + (uint64_t)(rand() % 4) * (BLOCK / 4);

    return a < b ? (struct extent){a, b} : (struct extent){b, a + 1};
}

static void footprint_growth__adds_up(void **state)
{
    struct extents present = {0};
    struct extent gap;

    (void)state;
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        struct extent range = draw();
        uint64_t before = footprint_of_extents(&present);
        uint64_t missing = footprint_missing(&present, range);
        while (extents_first_gap(&present, range, &gap)) {
            uint64_t now = footprint_of_extents(&present), growth = footprint_growth(&present, gap);
            extents_add(&present, gap);
            assert_int_equal(footprint_of_extents(&present), now + growth);
        }
        assert_int_equal(footprint_of_extents(&present), model(&present));
        assert_in_range(footprint_of_extents(&present), before, before + missing);
        if (present.count < 2)
            extents_release(&present);
    }
    extents_release(&present);
}

/* A blob that becomes whole takes no more, however it came. */
static void footprint_of_record__is_the_same_for_a_whole_one(void **state)
{
    struct blob_record record = {.complete = true, .size = 3 * BLOCK + 5};
    uint64_t whole = footprint_of_record(&record);

    (void)state;
    record.complete = false;
    assert_int_equal(footprint_of_record(&record), 0);
    extents_add(&record.present, (struct extent){BLOCK + 1, 2 * BLOCK - 1});
    assert_int_equal(footprint_of_record(&record), 2 * BLOCK);
    extents_add(&record.present, (struct extent){0, record.size});
    assert_int_equal(footprint_of_record(&record), whole);
    blob_record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(footprint_of_size__counts_whole_blocks),
        cmocka_unit_test(footprint_growth__adds_up),
        cmocka_unit_test(footprint_of_record__is_the_same_for_a_whole_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
