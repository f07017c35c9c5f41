/* Unit tests of sizes and durations. */
#include "base/quantity.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void assert_size(const char *text, uint64_t bytes)
{
    uint64_t value = 0;

    if (quantity_parse_size(view_of(text), &value) != QUANTITY_OK || value != bytes)
        fail_msg("\"%s\" gives %" PRIu64, text, value);
}

static void assert_duration(const char *text, uint64_t ms)
{
    uint64_t value = 0;

    if (quantity_parse_duration(view_of(text), &value) != QUANTITY_OK || value != ms)
        fail_msg("\"%s\" gives %" PRIu64, text, value);
}

static void quantity_parse_size__takes_binary_and_decimal_units(void **state)
{
    (void)state;
    assert_size("0", 0);
    assert_size("4096", 4096);
    assert_size("4096B", 4096);
    assert_size("1KiB", 1024);
    assert_size("1k", 1024);
    assert_size("1kB", 1000);
    assert_size("1KB", 1000);
    assert_size("64MiB", 64 * MIB);
    assert_size("64m", 64 * MIB);
    assert_size("64MB", 64000000);
    assert_size("200GiB", 200 * GIB);
    assert_size("200 GiB", 200 * GIB);
    assert_size("200G", 200 * GIB);
    assert_size("200GB", UINT64_C(200000000000));
    assert_size("2TiB", 2048 * GIB);
    assert_size("2TB", UINT64_C(2000000000000));
}

static void quantity_parse_size__takes_simple_fractions(void **state)
{
    (void)state;
    assert_size("1.5GiB", GIB + GIB / 2);
    assert_size("0.25K", 256);
    assert_size("1.000001MB", 1000001);
}

static void quantity_parse_size__rejects_what_is_no_size(void **state)
{
    static const char *const texts[] = {
        "",      "GiB",   "200Gib", "200Gb", "200GIB", "200gib", "200PiB",      "-1",   "+1",
        "1,5G",  ".5G",   "1.G",    "1.5",   "1.5B",   "1 2",    "0x10",        "1K1K", " 1K",
        "1KiBs", "1.5.5", "10%",    "1e9",   "1iB",    "b",      "1.0000001GB", "1K\n",
    };
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (quantity_parse_size(view_of(texts[i]), &value) != QUANTITY_INVALID)
            fail_msg("\"%s\" was accepted", texts[i]);
    assert_int_equal(value, 7);
}

static void quantity_parse_size__notices_what_64_bits_cannot_hold(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_size("18446744073709551615", UINT64_MAX);
    assert_size("16777215TiB", UINT64_C(16777215) << 40);
    assert_int_equal(quantity_parse_size(VIEW("18446744073709551616"), &value), QUANTITY_TOO_LARGE);
    assert_int_equal(quantity_parse_size(VIEW("16777216TiB"), &value), QUANTITY_TOO_LARGE);
    assert_int_equal(quantity_parse_size(VIEW("99999999999999999999999GiB"), &value),
                     QUANTITY_TOO_LARGE);
    assert_int_equal(value, 7);
}

static void quantity_parse_duration__adds_up_its_parts(void **state)
{
    (void)state;
    assert_duration("0", 0);
    assert_duration("0s", 0);
    assert_duration("500ms", 500);
    assert_duration("20s", 20000);
    assert_duration("1m", 60000);
    assert_duration("12h", 43200000);
    assert_duration("7d", 604800000);
    assert_duration("1h30m", 5400000);
    assert_duration("1m500ms", 60500);
    assert_duration("1.5h", 5400000);
}

static void quantity_parse_duration__rejects_what_is_no_duration(void **state)
{
    static const char *const texts[] = {"",    "10",  "1h30",  "s",    "1w", "1H",
                                        "1 h", "-1s", "1.5ms", "1sec", "00", "1h 30m"};
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (quantity_parse_duration(view_of(texts[i]), &value) != QUANTITY_INVALID)
            fail_msg("\"%s\" was accepted", texts[i]);
    assert_int_equal(value, 7);
}

static void quantity_parse_duration__notices_what_64_bits_cannot_hold(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_int_equal(quantity_parse_duration(VIEW("213503982335d"), &value), QUANTITY_TOO_LARGE);
    assert_int_equal(quantity_parse_duration(VIEW("213503982334d24h"), &value), QUANTITY_TOO_LARGE);
    assert_int_equal(value, 7);
}

static void quantity_print__gives_what_parse_reads(void **state)
{
    uint64_t value = 1, again = 0;

    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        struct buf size = {0}, duration = {0};
        value = (value * UINT64_C(6364136223846793005) + (uint64_t)rand()) >> (rand() % 64);
        uint64_t bytes = value << (rand() % 41);
        quantity_print_size(bytes, &size);
        assert_int_equal(quantity_parse_size(view_of_buf(&size), &again), QUANTITY_OK);
        assert_true(again == bytes);
        quantity_print_duration(value, &duration);
        assert_int_equal(quantity_parse_duration(view_of_buf(&duration), &again), QUANTITY_OK);
        assert_true(again == value);
        buf_release(&size);
        buf_release(&duration);
    }
}

static void quantity_print__uses_the_largest_unit_that_divides(void **state)
{
    struct buf text = {0};

    (void)state;
    quantity_print_size(0, &text);
    buf_append_text(&text, " ");
    quantity_print_size(200 * GIB, &text);
    buf_append_text(&text, " ");
    quantity_print_size(1536 * MIB, &text);
    buf_append_text(&text, " ");
    quantity_print_size(1000, &text);
    buf_append_text(&text, " ");
    quantity_print_duration(0, &text);
    buf_append_text(&text, " ");
    quantity_print_duration(90000, &text);
    buf_append_text(&text, " ");
    quantity_print_duration(604800000, &text);
    assert_string_equal(text.data, "0 200GiB 1536MiB 1000 0s 90s 7d");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantity_parse_size__takes_binary_and_decimal_units),
        cmocka_unit_test(quantity_parse_size__takes_simple_fractions),
        cmocka_unit_test(quantity_parse_size__rejects_what_is_no_size),
        cmocka_unit_test(quantity_parse_size__notices_what_64_bits_cannot_hold),
        cmocka_unit_test(quantity_parse_duration__adds_up_its_parts),
        cmocka_unit_test(quantity_parse_duration__rejects_what_is_no_duration),
        cmocka_unit_test(quantity_parse_duration__notices_what_64_bits_cannot_hold),
        cmocka_unit_test(quantity_print__gives_what_parse_reads),
        cmocka_unit_test(quantity_print__uses_the_largest_unit_that_divides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
