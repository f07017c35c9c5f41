/* plan against a map of bytes: what is asked for is missing, wanted or its neighbour, and never
 * twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/plan.h"

enum { SIZE = 600, GRID = 16, MOST = 64 };

static struct extent next(struct plan *plan, uint64_t start, uint64_t end)
{
    struct extent range = {0, 0};

    assert_true(plan_next(plan, (struct extent){start, end}, &range));
    return range;
}

static void assert_range(struct extent range, uint64_t start, uint64_t end)
{
    assert_int_equal(range.start, start);
    assert_int_equal(range.end, end);
}

static void plan_next__widens_to_the_grid_and_to_what_is_missing(void **state)
{
    struct extents present = {0};
    struct extent range;
    struct plan plan;

    (void)state;
    extents_add(&present, (struct extent){32, 35});
    plan_init(&plan, &present, SIZE, GRID, MOST);
    assert_range(next(&plan, 17, 18), 16, 32);
    assert_range(next(&plan, 30, 40), 35, 48); /* 30, 31 are on their way, 32..34 here */
    assert_false(plan_next(&plan, (struct extent){16, 48}, &range));
    assert_range(next(&plan, 590, 5000), 576, 600);
    assert_false(plan_next(&plan, (struct extent){600, UINT64_MAX}, &range));
    plan_release(&plan);
    extents_release(&present);
}

static void plan_next__asks_for_at_most_so_much(void **state)
{
    struct extents present = {0};
    struct plan plan;

    (void)state;
    plan_init(&plan, &present, SIZE, GRID, MOST);
    assert_range(next(&plan, 3, UINT64_MAX), 0, 64);
    assert_range(next(&plan, 3, UINT64_MAX), 64, 128);
    plan_cover(&plan, (struct extent){130, 590});
    assert_range(next(&plan, 3, UINT64_MAX), 128, 130);
    assert_range(next(&plan, 3, UINT64_MAX), 590, 600);
    plan_release(&plan);
}

static void plan_next__is_open_ended_when_the_size_is_unknown(void **state)
{
    struct extents present = {0};
    struct extent range;
    struct plan plan;

    (void)state;
    plan_init(&plan, &present, UINT64_MAX, GRID, MOST);
    assert_range(next(&plan, 3, 10), 0, 16);
    assert_range(next(&plan, 0, UINT64_MAX), 16, UINT64_MAX);
    assert_false(plan_next(&plan, (struct extent){5, UINT64_MAX}, &range));
    plan_release(&plan);
}

static void plan_next__knows_what_is_here_beside_what_is_coming(void **state)
{
    struct extents present = {0};
    struct extent range;
    struct plan plan;

    (void)state;
    extents_add(&present, (struct extent){0, 16});
    extents_add(&present, (struct extent){32, 48});
    plan_init(&plan, &present, UINT64_MAX, GRID, MOST);
    plan_cover(&plan, (struct extent){16, 32});
    assert_true(plan_covers(&plan, 0) && plan_covers(&plan, 47) && !plan_covers(&plan, 48));
    assert_range(next(&plan, 3, UINT64_MAX), 48, UINT64_MAX);
    assert_true(plan_covers(&plan, 1000));
    assert_false(plan_next(&plan, (struct extent){3, UINT64_MAX}, &range));
    plan_release(&plan);
    extents_release(&present);
}

static void plan_next__of_whole_cells_asks_for_the_rest_of_one_that_broke_off(void **state)
{
    struct extents present = {0};
    struct extent range;
    struct plan plan;

    (void)state;
    extents_add(&present, (struct extent){0, 5}); /* what is wanted, but not all of its cell */
    extents_add(&present, (struct extent){20, 22});
    extents_add(&present, (struct extent){48, 64});
    plan_init(&plan, &present, SIZE, GRID, MOST);
    plan.whole_cells = true;
    assert_false(plan_covers(&plan, 0) || plan_covers(&plan, 20));
    assert_true(plan_covers(&plan, 50));
    assert_range(next(&plan, 0, 2), 5, 16);
    assert_true(plan_covers(&plan, 0));
    assert_range(next(&plan, 21, 22), 16, 20);
    assert_range(next(&plan, 21, 22), 22, 32);
    assert_false(plan_next(&plan, (struct extent){17, 32}, &range));
    assert_false(plan_next(&plan, (struct extent){50, 51}, &range));
    assert_range(next(&plan, 599, UINT64_MAX), 592, 600); /* the last one is shorter */
    assert_true(plan_covers(&plan, 599));
    plan_release(&plan);
    extents_release(&present);
}

static void plan_extend__takes_neighbours_along(void **state)
{
    struct extents present = {0};
    struct extent range;
    struct plan plan;

    (void)state;
    plan_init(&plan, &present, SIZE, GRID, MOST);
    range = next(&plan, 3, 10);
    plan_extend(&plan, (struct extent){17, 20}, &range); /* in the cell right behind it */
    assert_range(range, 0, 32);
    plan_extend(&plan, (struct extent){50, 60}, &range); /* one cell too far */
    assert_range(range, 0, 32);
    plan_extend(&plan, (struct extent){33, 400}, &range);
    assert_range(range, 0, 64);
    plan_extend(&plan, (struct extent){64, 65}, &range); /* it is long enough */
    assert_range(range, 0, 64);
    plan_release(&plan);
}

/* Whether the bytes before and at `offset` are of one cell. */
static bool is_within(const struct plan *plan, uint64_t offset)
{
    return offset > 0 && offset < SIZE && offset % GRID != 0 && offset != plan->cuts[0] &&
           offset != plan->cuts[1];
}

static void plan_next__covers_all_that_is_wanted_and_no_byte_twice(void **state)
{
    (void)state;
    srandom(1);
    for (int round = 0; round < 3000; round++) {
        unsigned char here[SIZE] = {0}, wanted[SIZE] = {0};
        struct extents present = {0};
        struct plan plan;
        for (int i = (int)(random() % 6); i > 0; i--) {
            uint64_t start = (uint64_t)random() % SIZE, end = start + (uint64_t)random() % 40;
            end = end > SIZE ? SIZE : end;
            extents_add(&present, (struct extent){start, end});
            memset(here + start, 1, end - start);
        }
        plan_init(&plan, &present, SIZE, GRID, MOST);
        plan.whole_cells = round % 2 == 1;
        for (size_t i = 0; plan.whole_cells && i < 2; i++)
            plan.cuts[i] = (uint64_t)random() % SIZE;
        for (int i = 1 + (int)(random() % 8); i > 0; i--) {
            uint64_t start = (uint64_t)random() % SIZE, end = start + 1 + (uint64_t)random() % 150;
            struct extent want = {start, end > SIZE ? UINT64_MAX : end}, range;
            end = end > SIZE ? SIZE : end;
            memset(wanted + start, 1, end - start);
            while (plan_next(&plan, want, &range)) {
                if (random() % 2 == 0)
                    plan_extend(&plan, (struct extent){range.end, range.end + 9}, &range);
                assert_true(range.start < range.end && range.end <= SIZE);
                assert_true(range.end - range.start < MOST + GRID);
                for (uint64_t at = range.start; at < range.end; at++) {
                    assert_int_equal(here[at], 0);
                    here[at] = 1;
                }
            }
        }
        for (size_t at = 0; at < SIZE; at++) {
            assert_true(here[at] || !wanted[at]);
            for (size_t i = at + 1; plan.whole_cells && wanted[at] && is_within(&plan, i); i++)
                assert_true(here[i]); /* all of its cell, */
            for (size_t i = at; plan.whole_cells && wanted[at] && is_within(&plan, i); i--)
                assert_true(here[i - 1]);
        }
        plan_release(&plan);
        extents_release(&present);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_next__widens_to_the_grid_and_to_what_is_missing),
        cmocka_unit_test(plan_next__asks_for_at_most_so_much),
        cmocka_unit_test(plan_next__is_open_ended_when_the_size_is_unknown),
        cmocka_unit_test(plan_next__knows_what_is_here_beside_what_is_coming),
        cmocka_unit_test(plan_next__of_whole_cells_asks_for_the_rest_of_one_that_broke_off),
        cmocka_unit_test(plan_extend__takes_neighbours_along),
        cmocka_unit_test(plan_next__covers_all_that_is_wanted_and_no_byte_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
