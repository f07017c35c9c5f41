/* Unit and property tests of extents: every answer is compared with a plain byte map. */
#include "base/extents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNIVERSE = 96, STEPS = 40, SEEDS = 500 };

static void extents_add__merges_ranges_that_touch(void **state)
{
    (void)state;
    struct extents set = {0};

    extents_add(&set, (struct extent){0, 10});
    extents_add(&set, (struct extent){20, 30});
    extents_add(&set, (struct extent){10, 20});
    assert_int_equal(set.count, 1);
    assert_int_equal(extents_run_end(&set, 0), 30);
    extents_release(&set);
}

static void extents_add__ignores_an_empty_range(void **state)
{
    (void)state;
    struct extents set = {0};

    extents_add(&set, (struct extent){5, 5});
    assert_int_equal(set.count, 0);
    extents_add(&set, (struct extent){0, 10});
    extents_add(&set, (struct extent){20, 20});
    assert_int_equal(set.count, 1);
    extents_release(&set);
}

static void extents_add__reaches_to_the_last_byte_there_is(void **state)
{
    (void)state;
    struct extents set = {0};
    struct extent gap;

    extents_add(&set, (struct extent){UINT64_MAX - 1, UINT64_MAX});
    assert_true(extents_run_end(&set, UINT64_MAX - 1) == UINT64_MAX);
    assert_true(extents_first_gap(&set, (struct extent){0, UINT64_MAX}, &gap));
    assert_true(gap.start == 0 && gap.end == UINT64_MAX - 1);
    extents_release(&set);
}

static void extents_run_end__returns_offset_when_byte_is_absent(void **state)
{
    (void)state;
    struct extents set = {0};

    assert_int_equal(extents_run_end(&set, 7), 7);
    extents_add(&set, (struct extent){8, 9});
    assert_int_equal(extents_run_end(&set, 7), 7);
    assert_int_equal(extents_run_end(&set, 9), 9);
    extents_release(&set);
}

static void extents_first_gap__leaves_the_answer_alone_when_all_is_there(void **state)
{
    (void)state;
    struct extents set = {0};
    struct extent gap = {1, 2};

    extents_add(&set, (struct extent){0, 10});
    assert_false(extents_first_gap(&set, (struct extent){2, 10}, &gap));
    assert_false(extents_first_gap(&set, (struct extent){4, 4}, &gap));
    assert_true(gap.start == 1 && gap.end == 2);
    extents_release(&set);
}

static void extents_remove__cuts_ranges_and_leaves_the_rest(void **state)
{
    (void)state;
    struct extents set = {0};

    extents_remove(&set, (struct extent){0, 10});
    extents_add(&set, (struct extent){0, 10});
    extents_add(&set, (struct extent){20, 30});
    extents_remove(&set, (struct extent){10, 20}); /* nothing of it is there */
    extents_remove(&set, (struct extent){5, 5});
    assert_int_equal(extents_total(&set), 20);
    extents_remove(&set, (struct extent){4, 22});
    assert_true(extents_run_end(&set, 0) == 4 && extents_run_end(&set, 4) == 4);
    assert_true(extents_run_end(&set, 21) == 21 && extents_run_end(&set, 22) == 30);
    extents_remove(&set, (struct extent){25, 26});
    assert_int_equal(set.count, 3);
    extents_remove(&set, (struct extent){0, UINT64_MAX});
    assert_true(set.count == 0 && extents_total(&set) == 0);
    extents_release(&set);
}

static void extents_release__leaves_an_empty_set(void **state)
{
    (void)state;
    struct extents set = {0};

    extents_add(&set, (struct extent){0, 10});
    extents_release(&set);
    assert_int_equal(extents_run_end(&set, 0), 0);
    extents_add(&set, (struct extent){3, 4});
    assert_int_equal(extents_run_end(&set, 3), 4);
    extents_release(&set);
}

/* xorshift32: the same steps on every machine. */
static unsigned next_random(unsigned *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

/* How many bytes are absent from here to each other place, and how many there are at all. */
static void compare_counts(const struct extents *set, const unsigned char *present)
{
    uint64_t total = 0;

    for (uint64_t start = 0; start < UNIVERSE; start++) {
        uint64_t missing = 0;
        total += present[start];
        for (uint64_t end = start; end <= UNIVERSE; end++) {
            assert_int_equal(extents_missing(set, (struct extent){start, end}), missing);
            missing += present[end] == 0;
        }
    }
    assert_int_equal(extents_total(set), total);
}

static void compare_with_map(const struct extents *set, const unsigned char *present)
{
    for (size_t i = 1; i < set->count; i++)
        assert_true(set->ranges[i - 1].end < set->ranges[i].start);
    for (uint64_t offset = 0; offset < UNIVERSE; offset++) {
        struct extent gap = {0, 0};
        uint64_t run = offset;
        while (present[run])
            run++;
        assert_true(extents_run_end(set, offset) == run);
        assert_int_equal(extents_first_gap(set, (struct extent){offset, UNIVERSE}, &gap),
                         run < UNIVERSE);
        if (run == UNIVERSE)
            continue;
        assert_true(gap.start == run && gap.start < gap.end && gap.end <= UNIVERSE);
        for (uint64_t i = gap.start; i < gap.end; i++)
            assert_false(present[i]);
        assert_true(gap.end == UNIVERSE || present[gap.end]);
    }
}

static void extents__agree_with_a_byte_map(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct extents set = {0};
        unsigned char present[UNIVERSE + 1] = {0};
        unsigned random = seed * 2654435761U;

        for (int step = 0; step < STEPS; step++) {
            uint64_t start = next_random(&random) % UNIVERSE,
                     end = start + next_random(&random) % 9;
            if (end > UNIVERSE)
                end = UNIVERSE;
            bool adds = next_random(&random) % 3 > 0;
            if (adds)
                extents_add(&set, (struct extent){start, end});
            else
                extents_remove(&set, (struct extent){start, end});
            memset(present + start, adds, end - start);
            compare_with_map(&set, present);
        }
        compare_counts(&set, present);
        extents_release(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_add__merges_ranges_that_touch),
        cmocka_unit_test(extents_add__ignores_an_empty_range),
        cmocka_unit_test(extents_add__reaches_to_the_last_byte_there_is),
        cmocka_unit_test(extents_run_end__returns_offset_when_byte_is_absent),
        cmocka_unit_test(extents_first_gap__leaves_the_answer_alone_when_all_is_there),
        cmocka_unit_test(extents_remove__cuts_ranges_and_leaves_the_rest),
        cmocka_unit_test(extents_release__leaves_an_empty_set),
        cmocka_unit_test(extents__agree_with_a_byte_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
