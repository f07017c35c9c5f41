/* Unit tests of Range and Content-Range. */
#include "wire/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct range_spec specs[1024];
static size_t count;

static enum range_answer parse(const char *value)
{
    count = 77;
    return range_parse(view_of(value), specs, 4, &count);
}

static void assert_spec(size_t i, enum range_shape shape, uint64_t first, uint64_t last)
{
    assert_int_equal(specs[i].shape, shape);
    assert_true(specs[i].first == first);
    assert_true(specs[i].last == last);
}

/* B3 */
static void range_parse__reads_each_shape(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=0-1"), RANGE_SOME);
    assert_int_equal(count, 1);
    assert_spec(0, RANGE_CLOSED, 0, 1);
    assert_int_equal(parse("bytes=5-"), RANGE_SOME);
    assert_spec(0, RANGE_OPEN, 5, 0);
    assert_int_equal(parse("bytes=-51"), RANGE_SOME);
    assert_spec(0, RANGE_SUFFIX, 0, 51);
    assert_int_equal(parse(" Bytes=007-7 "), RANGE_SOME);
    assert_spec(0, RANGE_CLOSED, 7, 7);
}

/* B6: podman's two ranges eight bytes apart; order and count are kept, overlaps too. */
static void range_parse__keeps_order_and_count(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=3832641-3852897,3852906-3869099"), RANGE_SOME);
    assert_int_equal(count, 2);
    assert_spec(0, RANGE_CLOSED, 3832641, 3852897);
    assert_spec(1, RANGE_CLOSED, 3852906, 3869099);
    assert_int_equal(parse("bytes=9-10, ,0-5 ,\t3-4,-2,"), RANGE_SOME);
    assert_int_equal(count, 4);
    assert_spec(0, RANGE_CLOSED, 9, 10);
    assert_spec(1, RANGE_CLOSED, 0, 5);
    assert_spec(2, RANGE_CLOSED, 3, 4);
    assert_spec(3, RANGE_SUFFIX, 0, 2);
}

/* B7, P7: 1024 ranges fit where there is room for them; one more than fits is too many. */
static void range_parse__tells_when_there_are_too_many(void **state)
{
    (void)state;
    struct buf value = {0};

    assert_int_equal(parse("bytes=0-0,1-1,2-2,3-3,4-4"), RANGE_TOO_MANY);
    assert_int_equal(count, 77);
    buf_append_text(&value, "bytes=");
    for (unsigned i = 0; i < 1024; i++)
        buf_printf(&value, "%s%u-%u", i ? "," : "", 10000000 * i, 10000000 * i + 99999);
    assert_int_equal(range_parse(view_of_buf(&value), specs, 1024, &count), RANGE_SOME);
    assert_int_equal(count, 1024);
    assert_spec(3, RANGE_CLOSED, 30000000, 30099999);
    assert_int_equal(range_parse(view_of_buf(&value), specs, 1023, &count), RANGE_TOO_MANY);
    buf_release(&value);
}

/* RFC 9110 14.2 */
static void range_parse__ignores_what_is_not_valid(void **state)
{
    (void)state;
    static const char *invalid[] = {
        "",          "bytes",       "bytes=",       "bytes=-",    "bytes=,",     "bytes=5",
        "bytes=5-4", "bytes=a-b",   "bytes=1-2-3",  "bytes=+1-2", "bytes=1 - 2", "items=0-1",
        "bytes 0-1", "bytes=0-1;a", "bytes=0-1,x",  "=0-1",       "bytes==0-1",  "bytes=0x1-2",
        "bytes=--1", "bytes=0-0 1", "bytes=0-1,5-4"};

    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        assert_int_equal(parse(invalid[i]), RANGE_NONE);
        assert_int_equal(count, 77);
    }
}

static void range_parse__takes_positions_beyond_64_bits_for_the_last_one(void **state)
{
    (void)state;
    assert_int_equal(parse("bytes=1-99999999999999999999999"), RANGE_SOME);
    assert_spec(0, RANGE_CLOSED, 1, UINT64_MAX);
    assert_int_equal(parse("bytes=99999999999999999999999-"), RANGE_SOME);
    assert_spec(0, RANGE_OPEN, UINT64_MAX, 0);
    assert_int_equal(parse("bytes=-99999999999999999999999"), RANGE_SOME);
    assert_spec(0, RANGE_SUFFIX, 0, UINT64_MAX);
}

static bool resolve(enum range_shape shape, uint64_t first, uint64_t last, uint64_t size,
                    struct extent *ret_extent)
{
    const struct range_spec spec = {shape, first, last};

    return range_resolve(&spec, size, ret_extent);
}

static void range_resolve__cuts_at_the_end(void **state)
{
    (void)state;
    struct extent extent = {0, 0};

    assert_true(resolve(RANGE_CLOSED, 2, 3, 10, &extent));
    assert_true(extent.start == 2 && extent.end == 4);
    assert_true(resolve(RANGE_CLOSED, 2, 99, 10, &extent));
    assert_true(extent.start == 2 && extent.end == 10);
    assert_true(resolve(RANGE_CLOSED, 9, UINT64_MAX, 10, &extent));
    assert_true(extent.start == 9 && extent.end == 10);
    assert_true(resolve(RANGE_OPEN, 0, 0, 10, &extent));
    assert_true(extent.start == 0 && extent.end == 10);
    assert_true(resolve(RANGE_SUFFIX, 0, 3, 10, &extent));
    assert_true(extent.start == 7 && extent.end == 10);
    assert_true(resolve(RANGE_SUFFIX, 0, 11, 10, &extent));
    assert_true(extent.start == 0 && extent.end == 10);
}

static void range_resolve__refuses_what_is_not_there(void **state)
{
    (void)state;
    struct extent extent = {5, 6};

    assert_false(resolve(RANGE_CLOSED, 10, 12, 10, &extent));
    assert_false(resolve(RANGE_OPEN, 10, 0, 10, &extent));
    assert_false(resolve(RANGE_OPEN, UINT64_MAX, 0, 10, &extent));
    assert_false(resolve(RANGE_SUFFIX, 0, 0, 10, &extent));
    assert_false(resolve(RANGE_SUFFIX, 0, 5, 0, &extent));
    assert_false(resolve(RANGE_OPEN, 0, 0, 0, &extent));
    assert_false(resolve(RANGE_CLOSED, 0, 0, 0, &extent));
    assert_true(extent.start == 5 && extent.end == 6);
}

static void range_parse_content_range__reads_the_three_forms(void **state)
{
    (void)state;
    struct extent extent;
    uint64_t size;

    assert_true(range_parse_content_range(VIEW("bytes 0-9/100"), &extent, &size));
    assert_true(extent.start == 0 && extent.end == 10 && size == 100);
    assert_true(range_parse_content_range(VIEW("bytes 99-99/100"), &extent, &size));
    assert_true(extent.start == 99 && extent.end == 100 && size == 100);
    assert_true(range_parse_content_range(VIEW("Bytes 5-9/*"), &extent, &size));
    assert_true(extent.start == 5 && extent.end == 10 && size == UINT64_MAX);
    assert_true(range_parse_content_range(VIEW("bytes */100"), &extent, &size));
    assert_true(extent.start == 0 && extent.end == 0 && size == 100);
}

static void range_parse_content_range__refuses_nonsense(void **state)
{
    (void)state;
    struct extent extent = {1, 2};
    uint64_t size = 3;
    static const char *nonsense[] = {"",
                                     "bytes",
                                     "bytes ",
                                     "bytes */*",
                                     "bytes 0-9",
                                     "bytes 0-9/",
                                     "bytes 0-9/9",
                                     "bytes 9-0/100",
                                     "bytes 0-/100",
                                     "bytes -9/100",
                                     "bytes 0-9/100 ,",
                                     "bytes  0-9/100",
                                     "bytes=0-9/100",
                                     "items 0-9/100",
                                     "bytes 0-18446744073709551615/*",
                                     "bytes 0-99999999999999999999999/*",
                                     "bytes 0-9/18446744073709551615",
                                     "bytes a-b/c"};

    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_false(range_parse_content_range(view_of(nonsense[i]), &extent, &size));
    assert_true(extent.start == 1 && extent.end == 2 && size == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_parse__reads_each_shape),
        cmocka_unit_test(range_parse__keeps_order_and_count),
        cmocka_unit_test(range_parse__tells_when_there_are_too_many),
        cmocka_unit_test(range_parse__ignores_what_is_not_valid),
        cmocka_unit_test(range_parse__takes_positions_beyond_64_bits_for_the_last_one),
        cmocka_unit_test(range_resolve__cuts_at_the_end),
        cmocka_unit_test(range_resolve__refuses_what_is_not_there),
        cmocka_unit_test(range_parse_content_range__reads_the_three_forms),
        cmocka_unit_test(range_parse_content_range__refuses_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
