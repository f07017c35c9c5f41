/* How many requests for a blob run at once, and how large they are: tables of cases. */
#include "cache/portion.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static const struct config config = {.blob_connections = 8, .checkpoint = 64 * MIB};

static void portion_size__is_what_a_connection_brings_in_a_second(void **state)
{
    (void)state;
    assert_int_equal(portion_size(&config, 8192 * MIB, 10 * MIB, MIB), 10 * MIB);
    assert_int_equal(portion_size(&config, 8192 * MIB, 10 * MIB + 1, MIB), 11 * MIB);
    assert_int_equal(portion_size(&config, 8192 * MIB, 10 * MIB, 4 * MIB), 12 * MIB);
    assert_int_equal(portion_size(&config, 8192 * MIB, 100 * MIB, MIB), PORTION_MAX);
    assert_int_equal(portion_size(&config, 8192 * MIB, 0, MIB), PORTION_MIN);
}

static void portion_size__is_less_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(portion_size(&config, 160 * MIB, 100 * MIB, MIB), 20 * MIB);
    assert_int_equal(portion_size(&config, 40 * MIB, 100 * MIB, MIB), 5 * MIB);
    assert_int_equal(portion_size(&config, 10 * MIB, 100 * MIB, MIB), PORTION_MIN);
    assert_int_equal(portion_size(&config, 0, 100 * MIB, 64 * MIB), 64 * MIB);
}

static void portion_count__is_the_least_that_anybody_sets(void **state)
{
    (void)state;
    assert_int_equal(portion_count(&config, false, UINT_MAX, 0), 8);
    assert_int_equal(portion_count(&config, true, UINT_MAX, 0), 8 + PORTION_PARKED_EXTRA);
    assert_int_equal(portion_count(&config, false, 3, 0), 3);
    assert_int_equal(portion_count(&config, true, 3, 0), 3);
}

static void portion_count__is_what_a_crash_may_cost(void **state)
{
    struct config other = {.blob_connections = 16, .checkpoint = 40 * MIB};

    (void)state;
    assert_int_equal(portion_count(&config, false, UINT_MAX, 4 * MIB), 8);
    assert_int_equal(portion_count(&config, true, UINT_MAX, 4 * MIB), 8);
    assert_int_equal(portion_count(&config, true, 3, 4 * MIB), 3);
    assert_int_equal(portion_count(&other, false, UINT_MAX, 4 * MIB), 5);
    other.checkpoint = 8 * MIB;
    assert_int_equal(portion_count(&other, true, UINT_MAX, 4 * MIB), 1);
    other.checkpoint = MIB;
    assert_int_equal(portion_count(&other, true, UINT_MAX, 4 * MIB), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portion_size__is_what_a_connection_brings_in_a_second),
        cmocka_unit_test(portion_size__is_less_at_the_end),
        cmocka_unit_test(portion_count__is_the_least_that_anybody_sets),
        cmocka_unit_test(portion_count__is_what_a_crash_may_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
