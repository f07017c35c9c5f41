/* Unit tests of growable bytes and views. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define assert_view(view, text) assert_true(view_equal(view, view_of(text)))

static void view_of__takes_null_for_empty(void **state)
{
    (void)state;
    assert_int_equal(view_of(NULL).length, 0);
    assert_true(view_equal(view_of(NULL), VIEW("")));
    assert_int_equal(VIEW("a\0b").length, 3);
}

static void view_equal__compares_length_and_bytes(void **state)
{
    (void)state;
    assert_true(view_equal(VIEW("a\0b"), VIEW("a\0b")));
    assert_false(view_equal(VIEW("a\0b"), VIEW("a\0c")));
    assert_false(view_equal(VIEW("ab"), VIEW("abc")));
    assert_true(view_equal_nocase(VIEW("Content-LENGTH"), VIEW("content-length")));
    assert_false(view_equal_nocase(VIEW("a"), VIEW("b")));
    assert_false(view_equal(VIEW("a"), VIEW("A")));
}

static void view_starts_with__and_ends_with(void **state)
{
    (void)state;
    assert_true(view_starts_with(VIEW("abc"), VIEW("ab")));
    assert_true(view_starts_with(VIEW("abc"), VIEW("")));
    assert_false(view_starts_with(VIEW("a"), VIEW("ab")));
    assert_true(view_ends_with(VIEW("abc"), VIEW("bc")));
    assert_false(view_ends_with(VIEW("c"), VIEW("bc")));
    assert_false(view_ends_with(VIEW("abc"), VIEW("ab")));
}

static void view_head__ends_between_characters(void **state)
{
    (void)state;
    assert_view(view_head(VIEW("abc"), 3), "abc");
    assert_view(view_head(VIEW("abc"), 2), "ab");
    assert_view(view_head(VIEW("abc"), 0), "");
    assert_view(view_head(VIEW("a\xf0\x9f\x98\x80"), 4), "a");
    assert_view(view_head(VIEW("a\xf0\x9f\x98\x80"), 5), "a\xf0\x9f\x98\x80");
    assert_view(view_head(VIEW("\xc3\xa4\xc3\xa4"), 3), "\xc3\xa4");
    assert_int_equal(view_head(VIEW("\x80\x80\x80\x80\x80\x80"), 5).length, 2); /* no UTF-8 */
}

static void view_trim__drops_blanks_at_both_ends(void **state)
{
    (void)state;
    assert_view(view_trim(VIEW(" \ta b\t ")), "a b");
    assert_view(view_trim(VIEW(" \t ")), "");
    assert_view(view_trim((struct view){NULL, 0}), "");
    assert_view(view_trim(VIEW("\n")), "\n");
}

static void view_cut__walks_a_list(void **state)
{
    (void)state;
    struct view rest = VIEW("a,,b");

    assert_view(view_cut(&rest, ','), "a");
    assert_view(view_cut(&rest, ','), "");
    assert_view(view_cut(&rest, ','), "b");
    assert_int_equal(rest.length, 0);
    assert_view(view_cut(&rest, ','), "");
}

static void view_to_uint64__takes_whole_numbers_only(void **state)
{
    (void)state;
    static const char *bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616",
                                "a"};
    uint64_t value = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(view_to_uint64(view_of(bad[i]), &value));
    assert_true(value == 7);
    assert_true(view_to_uint64(VIEW("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_true(view_to_uint64(VIEW("000"), &value));
    assert_true(value == 0);
}

static void view_copy__fits_or_leaves_an_empty_string(void **state)
{
    (void)state;
    char out[4] = "xyz";

    assert_true(view_copy(VIEW("abc"), out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_false(view_copy(VIEW("abcd"), out, sizeof(out)));
    assert_string_equal(out, "");
    assert_true(view_copy((struct view){NULL, 0}, out, sizeof(out)));
    assert_string_equal(out, "");
}

static void view_dup__ends_in_a_nul(void **state)
{
    (void)state;
    char *copy = view_dup((struct view){"abcdef", 3});

    assert_string_equal(copy, "abc");
    free(copy);
    copy = view_dup((struct view){NULL, 0});
    assert_string_equal(copy, "");
    free(copy);
}

static void buf_append__grows_and_keeps_a_nul(void **state)
{
    (void)state;
    struct buf buf = {0};

    for (int i = 0; i < 1000; i++) {
        buf_append(&buf, "ab", 2);
        assert_int_equal(buf.length, 2 * (i + 1));
        assert_int_equal(strlen(buf.data), buf.length);
    }
    buf_clear(&buf);
    assert_int_equal(buf.length, 0);
    assert_string_equal(buf.data, "");
    buf_append_view(&buf, VIEW("x"));
    buf_append_text(&buf, "y");
    buf_append_view(&buf, (struct view){NULL, 0});
    assert_view(view_of_buf(&buf), "xy");
    buf_release(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
    assert_int_equal(view_of_buf(&buf).length, 0);
}

static void buf_printf__grows_to_what_is_printed(void **state)
{
    (void)state;
    struct buf buf = {0};

    for (int length = 1; length < 1000; length++) {
        buf_clear(&buf);
        buf_append_text(&buf, ">");
        buf_printf(&buf, "%0*d", length, 5);
        assert_int_equal(buf.length, length + 1);
        assert_int_equal(strlen(buf.data), length + 1);
        assert_int_equal(buf.data[length], '5');
        if (length % 100 == 0)
            buf_release(&buf);
    }
    buf_release(&buf);
}

static void buf_reserve__makes_room_for_the_caller(void **state)
{
    (void)state;
    struct buf buf = {0};

    buf_append_text(&buf, "ab");
    buf_reserve(&buf, 1000);
    assert_true(buf.capacity > 1002);
    memset(buf.data + buf.length, 'c', 1000);
    buf.length += 1000;
    buf_append_text(&buf, "d");
    assert_int_equal(strlen(buf.data), 1003);
    buf_release(&buf);
}

static void buf_consume__drops_the_front(void **state)
{
    (void)state;
    struct buf buf = {0};

    buf_consume(&buf, 0);
    buf_append_text(&buf, "abcdef");
    buf_consume(&buf, 2);
    assert_string_equal(buf.data, "cdef");
    buf_consume(&buf, 4);
    assert_int_equal(buf.length, 0);
    assert_string_equal(buf.data, "");
    buf_release(&buf);
}

static void assert_json(struct view text, const char *expected)
{
    struct buf buf = {0};

    buf_append_json(&buf, text);
    assert_view(view_of_buf(&buf), expected);
    buf_release(&buf);
}

static void buf_append_json__escapes_what_json_demands(void **state)
{
    (void)state;
    assert_json(VIEW("plain"), "plain");
    assert_json(VIEW("a\"b\\c/"), "a\\\"b\\\\c/");
    assert_json(VIEW("\n\t\0\x7f"), "\\u000a\\u0009\\u0000\\u007f");
    assert_json(VIEW("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
                "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

/* Bytes that are not UTF-8: cut off, overlong, surrogates, beyond the last code point. */
static void buf_append_json__replaces_what_is_not_utf8(void **state)
{
    (void)state;
    assert_json(VIEW("\xff"), "\\ufffd");
    assert_json(VIEW("\xc3"), "\\ufffd");
    assert_json(VIEW("\xc3("), "\\ufffd(");
    assert_json(VIEW("\xc0\xaf"), "\\ufffd\\ufffd");
    assert_json(VIEW("\xe0\x80\x80"), "\\ufffd\\ufffd\\ufffd");
    assert_json(VIEW("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd");
    assert_json(VIEW("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd");
    assert_json(VIEW("\xf0\x9f\x98"), "\\ufffd\\ufffd\\ufffd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_of__takes_null_for_empty),
        cmocka_unit_test(view_equal__compares_length_and_bytes),
        cmocka_unit_test(view_starts_with__and_ends_with),
        cmocka_unit_test(view_head__ends_between_characters),
        cmocka_unit_test(view_trim__drops_blanks_at_both_ends),
        cmocka_unit_test(view_cut__walks_a_list),
        cmocka_unit_test(view_to_uint64__takes_whole_numbers_only),
        cmocka_unit_test(view_copy__fits_or_leaves_an_empty_string),
        cmocka_unit_test(view_dup__ends_in_a_nul),
        cmocka_unit_test(buf_append__grows_and_keeps_a_nul),
        cmocka_unit_test(buf_printf__grows_to_what_is_printed),
        cmocka_unit_test(buf_reserve__makes_room_for_the_caller),
        cmocka_unit_test(buf_consume__drops_the_front),
        cmocka_unit_test(buf_append_json__escapes_what_json_demands),
        cmocka_unit_test(buf_append_json__replaces_what_is_not_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
