/* Unit tests of what blobs are worth: who goes first. */
#include "cache/worth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

/* Whether the first of two goes before the second, in whatever order they come. */
static bool goes_first(uint64_t bytes, int64_t age_ms, uint64_t other_bytes, int64_t other_age_ms)
{
    const int64_t now = INT64_C(1800000000000);
    struct worth first = {.bytes = bytes, .last_used_ms = now - age_ms, .number = 1};
    struct worth second = {.bytes = other_bytes, .last_used_ms = now - other_age_ms, .number = 2};
    struct worth list[] = {first, second}, turned[] = {second, first};

    worth_sort(list, 2, now);
    worth_sort(turned, 2, now);
    assert_int_equal(list[0].number, turned[0].number);
    assert_int_equal(list[0].number + list[1].number, 3);
    return list[0].number == 1;
}

static void worth_sort__goes_by_age_among_equals(void **state)
{
    (void)state;
    assert_true(goes_first(MIB, 2, MIB, 1));
    assert_true(goes_first(1, 1001, 1, 1000));
    assert_true(goes_first(UINT64_MAX, INT64_C(40000000000), UINT64_MAX, INT64_C(39999999999)));
}

static void worth_sort__goes_nearly_by_age_among_the_large(void **state)
{
    (void)state;
    assert_true(goes_first(1024 * MIB, 10100, 60 * 1024 * MIB, 10000));
    assert_true(goes_first(60 * 1024 * MIB, 10100, 1024 * MIB, 10000));
}

/* As long again for each WORTH_REQUEST / bytes. */
static void worth_sort__keeps_the_small_longer(void **state)
{
    const int64_t hour = 3600000;

    (void)state;
    assert_true(goes_first(1 << 30, hour, 4 * MIB, 19 * hour / 10));
    assert_false(goes_first(1 << 30, hour, 4 * MIB, 21 * hour / 10));
    assert_true(goes_first(1 << 30, hour, 8192, 500 * hour));
    assert_false(goes_first(1 << 30, hour, 8192, 520 * hour)); /* but not for ever */
}

static void worth_sort__takes_the_future_for_now(void **state)
{
    (void)state;
    assert_true(goes_first(MIB, 10, MIB, -1000000));
    assert_true(goes_first(2 * MIB, 0, MIB, -1000000)); /* the clock was set back: sizes decide */
    worth_sort(NULL, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worth_sort__goes_by_age_among_equals),
        cmocka_unit_test(worth_sort__goes_nearly_by_age_among_the_large),
        cmocka_unit_test(worth_sort__keeps_the_small_longer),
        cmocka_unit_test(worth_sort__takes_the_future_for_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
