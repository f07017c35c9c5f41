/* Unit tests of parsing JSON within bounds. */
#include "wire/bounded_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct bounded_json_limits limits = {.containers = 10, .values = 20};

/* What is wrong with it; NULL when nothing is. */
static const char *fault_of(struct view text)
{
    const char *fault = NULL;
    json_t *root = bounded_json_load(text, &limits, &fault);

    assert_true((root == NULL) == (fault != NULL));
    json_decref(root);
    return fault;
}

static void bounded_json_load__gives_the_document(void **state)
{
    (void)state;
    json_t *root = bounded_json_load(VIEW("{\"a\":[1,\"],[\\\"{\"]}"), &limits, NULL);

    assert_int_equal(json_integer_value(json_array_get(json_object_get(root, "a"), 0)), 1);
    json_decref(root);
}

static void bounded_json_load__says_what_is_wrong(void **state)
{
    static const struct {
        struct view text;
        const char *fault;
    } rows[] = {
        {{NULL, 0}, "is empty"},
        {{"{\"a\":}", 6}, "is not JSON"},
        {{"<html>", 6}, "is not JSON"},
        {{"{} {}", 5}, "is not JSON"},
        {{"[1", 2}, "ends in the middle"},
        {{"[99999999999999999999]", 22}, "holds a number that is too large"},
        {{"[1e999]", 7}, "holds a number that is too large"},
        {{"[\"\\u0000\"]", 10}, "holds a NUL"},
        {{"[\"\xff\"]", 5}, "is not UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = fault_of(rows[i].text);
        assert_non_null(fault);
        assert_string_equal(fault, rows[i].fault);
    }
}

/* In a document of anybody's words: whatever number, whatever character. */
static void bounded_json_load__takes_more_if_told(void **state)
{
    static const char text[] =
        "{\"a\":18446744073709551616,\"b\":\"x\\u0000y\",\"c\":-9223372036854775809}";
    struct bounded_json_limits loose = limits;

    (void)state;
    assert_string_equal(fault_of(view_of(text)), "holds a number that is too large");
    loose.flags = JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL;
    json_t *root = bounded_json_load(view_of(text), &loose, NULL);
    assert_true(json_real_value(json_object_get(root, "a")) == 18446744073709551616.0);
    assert_int_equal(json_string_length(json_object_get(root, "b")), 3);
    json_decref(root);
    assert_null(bounded_json_load(VIEW("[[],[],[],[],[],[],[],[],[],[]]"), &loose, NULL));
}

static void bounded_json_load__keeps_within_the_bounds(void **state)
{
    struct bounded_json_limits wide = {.containers = 1000, .values = 1000};
    char nested[2 * (BOUNDED_JSON_DEPTH_MAX + 1)];

    (void)state;
    assert_null(fault_of(VIEW("[[],[],[],[],[],[],[],[],[]]"))); /* ten */
    assert_non_null(fault_of(VIEW("[[],[],[],[],[],[],[],[],[],[]]")));
    assert_null(fault_of(VIEW("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]")));
    assert_non_null(fault_of(VIEW("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]")));
    for (size_t depth = BOUNDED_JSON_DEPTH_MAX; depth <= BOUNDED_JSON_DEPTH_MAX + 1; depth++) {
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        json_t *root = bounded_json_load((struct view){nested, 2 * depth}, &wide, NULL);
        assert_int_equal(root != NULL, depth <= BOUNDED_JSON_DEPTH_MAX);
        json_decref(root);
    }
}

/* What stands in a string does not count, whatever is escaped in it, and wherever it ends. */
static void bounded_json_load__knows_strings(void **state)
{
    (void)state;
    assert_null(fault_of(VIEW("[\"[[[[[[[[[[[[[[[[[[,,,,,,,,,,,,,,,,,,,,,,,,,,,,\"]")));
    assert_null(fault_of(VIEW("[\"\\\"[[[[[[[[[[[[[[\\\\\"]")));
    assert_string_equal(fault_of(VIEW("[\"abc")), "ends in the middle");
    assert_non_null(fault_of(VIEW("[\"abc\\")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_json_load__gives_the_document),
        cmocka_unit_test(bounded_json_load__says_what_is_wrong),
        cmocka_unit_test(bounded_json_load__takes_more_if_told),
        cmocka_unit_test(bounded_json_load__keeps_within_the_bounds),
        cmocka_unit_test(bounded_json_load__knows_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
