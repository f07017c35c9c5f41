/* Unit tests of the tags of a hub's repository, and of pages of them. */
#include "wire/tag_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- what a hub tells ---- */

#define REF(name) "{\"name\":\"" name "\",\"ref\":\"refs/x/" name "\",\"targetCommit\":\"0\"}"

static void assert_read(const char *json, const char *list)
{
    struct buf out = {0}, problem = {0};

    buf_append_text(&out, "before\n");
    assert_true(tag_list_read(view_of(json), &out, &problem));
    assert_int_equal(problem.length, 0);
    assert_memory_equal(out.data, "before\n", 7);
    assert_string_equal(out.data + 7, list);
    buf_release(&out);
}

static void tag_list_read__gives_branches_and_tags_in_byte_order(void **state)
{
    (void)state;
    assert_read(
        "{\"branches\":[" REF("main") "," REF("b") "," REF("B") "],\"converts\":[" REF(
            "parquet") "],\"tags\":[" REF("v1.10") "," REF("v1.1") "," REF("_a") "],"
                                                                                 "\"pullRequests\":"
                                                                                 "[" REF("3") "]}",
        "B\n_a\nb\nlatest\nv1.1\nv1.10\n");
    assert_read("{\"branches\":[]}", "");
    assert_read("{\"branches\":[" REF("x") "],\"tags\":null}", "x\n");
}

static void tag_list_read__writes_slashes_as_tags_do(void **state)
{
    (void)state;
    assert_read("{\"branches\":[" REF("user/fix/a-b") "," REF("refs/pr/1") "]}",
                "refs--pr--1\nuser--fix--a-b\n");
}

static void tag_list_read__gives_each_once(void **state)
{
    (void)state;
    assert_read("{\"branches\":[" REF("main") "," REF("v1") "," REF("main") "],\"tags\":[" REF(
                    "v1") "," REF("main") "]}",
                "latest\nv1\n");
}

static void tag_list_read__leaves_out_what_is_no_tag(void **state)
{
    (void)state;
    assert_read(
        "{\"branches\":[" REF("main") "," REF("latest") "," REF("a--b") "," REF("-a") "," REF(
            "\xc3\xa4") "," REF("a b") "," REF("a+b") "," REF("") "," REF(".."
                                                                          "") ","
                                                                              "null,7,{},[],{"
                                                                              "\"name\":null},{"
                                                                              "\"name\":7},"
                                                                              "\"main2\"]}",
        "latest\n");
}

static void assert_problem(const char *json, const char *sentence)
{
    struct buf out = {0}, problem = {0};

    buf_append_text(&out, "before\n");
    assert_false(tag_list_read(view_of(json), &out, &problem));
    assert_string_equal(problem.data, sentence);
    assert_string_equal(out.data, "before\n");
    buf_release(&out);
    buf_release(&problem);
}

#define THE_LIST "the hub's list of branches and tags "

static void tag_list_read__says_what_is_wrong(void **state)
{
    (void)state;
    assert_problem("", THE_LIST "is empty");
    assert_problem("<html>", THE_LIST "is not JSON");
    assert_problem("[" REF("main") "]", THE_LIST "has no list of branches");
    assert_problem("{\"error\":\"x\"}", THE_LIST "has no list of branches");
    assert_problem("{\"branches\":null}", THE_LIST "has no list of branches");
    assert_problem("{\"branches\":[],\"tags\":{}}", THE_LIST "has tags that are no list");
}

/* As many as a hub may tell, of which half are branches. */
static void print_refs(struct buf *json, unsigned count)
{
    buf_append_text(json, "{\"branches\":[");
    for (unsigned i = 0; i < count; i++)
        buf_printf(json,
                   "%s{\"name\":\"step%u\",\"ref\":\"refs/heads/step%u\",\"targetCommit\":\"\"}",
                   i == count / 2 ? "],\"tags\":["
                   : i == 0       ? ""
                                  : ",",
                   i, i);
    buf_append_text(json, "]}");
}

static void tag_list_read__is_bounded(void **state)
{
    struct buf json = {0}, list = {0}, problem = {0};

    (void)state;
    print_refs(&json, TAG_LIST_MAX);
    assert_true(tag_list_read(view_of_buf(&json), &list, &problem));
    assert_int_equal(list.length, TAG_LIST_MAX * 5 + 88890); /* of digits, from 0 to 19999 */
    buf_clear(&json);
    print_refs(&json, TAG_LIST_MAX + 1);
    assert_problem(json.data, THE_LIST "tells of more than 20000 branches and tags");
    buf_clear(&json);
    print_refs(&json, 2 * TAG_LIST_MAX);
    assert_problem(json.data, THE_LIST "holds too many values, or nests too deep");
    buf_release(&json);
    buf_release(&list);
}

/* ---- order ---- */

static void tag_list_sort__makes_a_list_of_any_lines(void **state)
{
    static const char *const tags[] = {"v2", "ab", "a", "v2", "A", "abc", "a"};
    struct buf list = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        tag_list_add(&list, view_of(tags[i]));
    tag_list_sort(&list);
    assert_string_equal(list.data, "A\na\nab\nabc\nv2\n");
    buf_release(&list);
    tag_list_sort(&list);
    assert_int_equal(list.length, 0);
}

/* ---- pages ---- */

#define LIST "a\nab\nlatest\nv1\n"

static void assert_page(const char *query, const char *tags, const char *next)
{
    struct buf body = {0}, link = {0}, expected = {0};

    assert_true(tag_list_print(VIEW(LIST), VIEW("org/model"), view_of(query), &body, &link));
    buf_printf(&expected, "{\"name\":\"org/model\",\"tags\":[%s]}", tags);
    assert_string_equal(body.data, expected.data);
    assert_true(view_equal(view_of_buf(&link), view_of(next)));
    buf_release(&body);
    buf_release(&link);
    buf_release(&expected);
}

static void tag_list_print__gives_the_page_that_is_asked_for(void **state)
{
    static const char all[] = "\"a\",\"ab\",\"latest\",\"v1\"";

    (void)state;
    assert_page("", all, "");
    assert_page("n=4", all, "");
    assert_page("n=18446744073709551615", all, "");
    assert_page("n=3", "\"a\",\"ab\",\"latest\"", "?n=3&last=latest");
    assert_page("n=1&last=a", "\"ab\"", "?n=1&last=ab");
    assert_page("n=2&last=ab", "\"latest\",\"v1\"", "");
    assert_page("last=b&n=1", "\"latest\"", "?n=1&last=latest"); /* which is no tag of it */
    assert_page("last=aa", "\"ab\",\"latest\",\"v1\"", "");
    assert_page("last=%61b", "\"latest\",\"v1\"", "");
    assert_page("last=v1", "", "");
    assert_page("last=v1&n=7", "", "");
    assert_page("last=%ff", "", "");
    assert_page("n=0", "", "");
    assert_page("n=0&last=a", "", "");
}

static void tag_list_print__refuses_what_is_no_number(void **state)
{
    static const char *const queries[] = {
        "n=x", "n=-1", "n=1x", "n=%31", "n=", "n=18446744073709551616", "last=%zz", "last=%00"};
    struct buf body = {0}, next = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        assert_false(tag_list_print(VIEW(LIST), VIEW("m"), view_of(queries[i]), &body, &next));
    assert_int_equal(body.length + next.length, 0);
}

static void tag_list_print__of_nothing(void **state)
{
    struct buf body = {0}, next = {0};

    (void)state;
    assert_true(tag_list_print(VIEW(""), VIEW("m"), VIEW("n=2"), &body, &next));
    assert_string_equal(body.data, "{\"name\":\"m\",\"tags\":[]}");
    assert_int_equal(next.length, 0);
    buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag_list_read__gives_branches_and_tags_in_byte_order),
        cmocka_unit_test(tag_list_read__writes_slashes_as_tags_do),
        cmocka_unit_test(tag_list_read__gives_each_once),
        cmocka_unit_test(tag_list_read__leaves_out_what_is_no_tag),
        cmocka_unit_test(tag_list_read__says_what_is_wrong),
        cmocka_unit_test(tag_list_read__is_bounded),
        cmocka_unit_test(tag_list_sort__makes_a_list_of_any_lines),
        cmocka_unit_test(tag_list_print__gives_the_page_that_is_asked_for),
        cmocka_unit_test(tag_list_print__refuses_what_is_no_number),
        cmocka_unit_test(tag_list_print__of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
