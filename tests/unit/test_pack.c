/* Unit tests of packed values. The tests of records, which are made of them, do the rest. */
#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void pack_get_number__gives_what_was_put(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit <= 64; bit++) {
        uint64_t edge = bit == 64 ? 0 : UINT64_C(1) << bit;
        for (uint64_t value = edge - 1; value != edge + 2; value++) {
            struct buf bytes = {0};
            pack_put_number(&bytes, 7);
            pack_put_number(&bytes, value);
            struct pack_cursor cursor = pack_begin(view_of_buf(&bytes), 7);
            assert_true(pack_get_number(&cursor) == value);
            assert_true(pack_is_done(&cursor));
            buf_release(&bytes);
        }
    }
}

static bool is_number(struct view bytes)
{
    struct pack_cursor cursor = {.rest = bytes};

    (void)pack_get_number(&cursor);
    return pack_is_done(&cursor);
}

static void pack_get_number__rejects_what_has_no_end_or_is_too_large(void **state)
{
    (void)state;
    assert_true(is_number(VIEW("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")));
    assert_false(is_number(VIEW("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")));
    assert_false(is_number(VIEW("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")));
    assert_false(is_number(VIEW("\xff\xff")));
    assert_false(is_number(VIEW("")));
}

/* What is read behind something wrong is zeros and empty texts, even where bytes are left. */
static void cursor__stays_bad(void **state)
{
    struct pack_cursor cursor = pack_begin(VIEW("\x02\x01\x03"
                                                "abc"),
                                           1);
    struct digest digest;
    char text[8] = "before", bytes[2] = "x";

    (void)state;
    assert_true(cursor.bad && cursor.rest.length > 0);
    assert_true(pack_get_number(&cursor) == 0);
    assert_false(pack_get_bool(&cursor));
    pack_get_text(&cursor, text, sizeof(text));
    assert_string_equal(text, "");
    pack_get_bytes(&cursor, bytes, sizeof(bytes));
    assert_memory_equal(bytes, "\0\0", 2);
    assert_int_equal(pack_get_view(&cursor).length, 0);
    pack_get_digest(&cursor, &digest);
    assert_int_equal(digest.bytes[0], 0);
    assert_false(pack_is_done(&cursor));
}

static void pack_get_text__takes_what_fits_with_its_nul(void **state)
{
    char text[4];

    (void)state;
    for (size_t size = 3; size <= 4; size++) {
        struct pack_cursor cursor = {.rest = VIEW("\x03"
                                                  "abc")};
        pack_get_text(&cursor, text, size);
        assert_true(pack_is_done(&cursor) == (size == 4));
        assert_string_equal(text, size == 4 ? "abc" : "");
    }
    struct pack_cursor cursor = {.rest = VIEW("\x03"
                                              "a\0c")};
    pack_get_text(&cursor, text, sizeof(text));
    assert_true(cursor.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pack_get_number__gives_what_was_put),
        cmocka_unit_test(pack_get_number__rejects_what_has_no_end_or_is_too_large),
        cmocka_unit_test(cursor__stays_bad),
        cmocka_unit_test(pack_get_text__takes_what_fits_with_its_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
