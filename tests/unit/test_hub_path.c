/* Unit tests of the paths that a hub is asked. */
#include "wire/hub_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct buf path;

static int release(void **state)
{
    (void)state;
    buf_release(&path);
    return 0;
}

static const char *info_path(const char *repository, const char *revision)
{
    buf_clear(&path);
    hub_path_info(&path, view_of(repository), view_of(revision));
    return path.data;
}

static const char *refs_path(const char *repository)
{
    buf_clear(&path);
    hub_path_refs(&path, view_of(repository));
    return path.data;
}

static const char *tree_path(const char *repository, const char *revision)
{
    buf_clear(&path);
    hub_path_tree(&path, view_of(repository), view_of(revision));
    return path.data;
}

static const char *file_path(const char *repository, const char *revision, const char *file)
{
    buf_clear(&path);
    hub_path_file(&path, view_of(repository), view_of(revision), view_of(file));
    return path.data;
}

static void hub_path_info__asks_for_a_revision(void **state)
{
    (void)state;
    assert_string_equal(info_path("org/model", "main"), "/api/models/org/model/revision/main");
    assert_string_equal(info_path("gpt2", "refs/pr/1"), "/api/models/gpt2/revision/refs%2Fpr%2F1");
    assert_string_equal(info_path("datasets/org/name", "v1.0"),
                        "/api/datasets/org/name/revision/v1.0");
    assert_string_equal(info_path("datasets/squad", "a?b#c%d"),
                        "/api/datasets/squad/revision/a%3Fb%23c%25d");
}

static void hub_path_refs__asks_for_branches_and_tags(void **state)
{
    (void)state;
    assert_string_equal(refs_path("org/model"), "/api/models/org/model/refs");
    assert_string_equal(refs_path("gpt2"), "/api/models/gpt2/refs");
    assert_string_equal(refs_path("datasets/squad"), "/api/datasets/squad/refs");
}

static void hub_path_tree__asks_for_all_files(void **state)
{
    (void)state;
    assert_string_equal(tree_path("org/model", "main"),
                        "/api/models/org/model/tree/main?recursive=True&expand=False");
    assert_string_equal(tree_path("datasets/squad", "refs/convert/parquet"),
                        "/api/datasets/squad/tree/refs%2Fconvert%2Fparquet"
                        "?recursive=True&expand=False");
}

static void hub_path_file__keeps_slashes_and_encodes_the_rest(void **state)
{
    (void)state;
    assert_string_equal(file_path("org/model", "main", "config.json"),
                        "/org/model/resolve/main/config.json");
    assert_string_equal(file_path("gpt2", "a/b", "x/y/z"), "/gpt2/resolve/a%2Fb/x/y/z");
    assert_string_equal(file_path("datasets/org/name", "main", "x/y z"),
                        "/datasets/org/name/resolve/main/x/y%20z");
    assert_string_equal(file_path("m", "main", "\xc3\xa4 +?#%2F\\\"\n&"),
                        "/m/resolve/main/%C3%A4%20%2B%3F%23%252F%5C%22%0A%26");
    assert_string_equal(file_path("m", "main", "/a//b/"), "/m/resolve/main//a//b/");
}

static void hub_path_is_own__knows_the_api_and_files(void **state)
{
    static const struct {
        const char *target, *prefix;
        bool is_own;
    } rows[] = {
        {"/api/models/a/b/tree/main?cursor=1", "", true},
        {"/api/resolve-cache/models/a/b/0123/config.json?x=%2F", "", true},
        {"/a/b/resolve/main/model.safetensors", "", true},
        {"/datasets/a/b/resolve/main/x", "", true},
        {"/hub/api/models/a", "/hub", true},
        {"/hub/a/b/resolve/main/x", "/hub", true},
        {"/api/models/a", "/hub", false},
        {"/a/b/resolve/main/x", "/hub", false},
        {"/hubapi/x", "/hub", false},
        {"/hubs/a/resolve/main/x", "/hub", false},
        {"/repos/ab/0123?Signature=1", "", false},
        {"/cdn/x?next=/a/resolve/b", "", false},
        {"/cdn/x?y=/api/", "", false},
        {"/cdn/x#/resolve/x", "", false},
        {"/cdn/../api/x", "", false},
        {"/api/%2e%2e/cdn/x", "", false},
        {"/apiary/x", "", false},
        {"/api", "", false},
        {"/xet-bridge-us/x", "", false},
        {"/", "", false},
        {"", "", false},
        {"?x", "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (hub_path_is_own(view_of(rows[i].target), view_of(rows[i].prefix)) != rows[i].is_own)
            fail_msg("%s below \"%s\"", rows[i].target, rows[i].prefix);
}

#define PAGE "/api/models/a/b/tree/main?recursive=True"

static bool next_path(const char *target, const char *prefix)
{
    buf_clear(&path);
    return hub_path_next(view_of(target), view_of(prefix), VIEW(PAGE), &path);
}

static void hub_path_next__takes_path_and_query(void **state)
{
    static const struct {
        const char *target, *prefix, *path;
    } rows[] = {
        {"https://huggingface.co/api/models/a/b/tree/main?cursor=Zm9v%3D%3D&recursive=True", "",
         "/api/models/a/b/tree/main?cursor=Zm9v%3D%3D&recursive=True"},
        {"http://127.0.0.1:8080/api/x", "", "/api/x"},
        {"HTTPS://user@[::1]:443/api/x?y=/../z", "", "/api/x?y=/../z"},
        {"/api/models/gpt2/tree/main?cursor=a:b//c", "",
         "/api/models/gpt2/tree/main?cursor=a:b//c"},
        {"/api/x?y?z", "", "/api/x?y?z"},
        {"/api/x?", "", "/api/x?"},
        /* Below a prefix, which the hub may not know of. */
        {"https://mirror.example/some/hub/api/x?y", "/some/hub", "/api/x?y"},
        {"/some/hub/api/x?y=/some/hub/api/", "/some/hub", "/api/x?y=/some/hub/api/"},
        {"https://huggingface.co/api/x?y", "/some/hub", "/api/x?y"},
        {"/api/api/x", "/api", "/api/x"},
        {"/api/x", "/api", "/api/x"},
        /* Of the page that was asked. */
        {"?cursor=1&b", "", "/api/models/a/b/tree/main?cursor=1&b"},
        {"?cursor=/api/x?y", "/some/hub", "/api/models/a/b/tree/main?cursor=/api/x?y"},
        {"?", "", "/api/models/a/b/tree/main?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(next_path(rows[i].target, rows[i].prefix));
        assert_string_equal(path.data, rows[i].path);
    }
    assert_false(hub_path_next(VIEW("?x"), VIEW(""), VIEW("/a/b/resolve/main/x"), &path));
}

static void hub_path_next__refuses_what_leads_elsewhere(void **state)
{
    static const char *const targets[] = {
        "",
        "api/models/x",
        "main?cursor=1",
        "//evil.example/api/models/x",
        "https://evil.example",
        "https://evil.example/",
        "https://evil.example?/api/x",
        "https://evil.example/apiary/x",
        "https:/api/models/x",
        "ftp://huggingface.co/api/models/x",
        "file:///api/models/x",
        "/API/models/x",
        "/hub/apiary/x",
        "/hub//api/x",
        "/hub/hub/api/x",
        "/hub/../api/x",
        "/hub/api/../x",
        "/other/api/x",
        "/api/../org/model/resolve/main/x",
        "/api/models/..",
        "/api/./x",
        "/api/%2e%2E/x",
        "/api/.%2e/x",
        "/api/x y",
        "/api/x\r\nHost: evil",
        "/api/x\x7f",
        "/api/\xc3\xa4",
        "/api/x#fragment",
        "/api/x\\..\\y",
        "/api/<x>",
        "?x#fragment",
        "?x y",
        "?x\r\nHost: evil",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (next_path(targets[i], "/hub"))
            fail_msg("%s gives %s", targets[i], path.data);
        assert_int_equal(path.length, 0);
    }
    assert_false(hub_path_next((struct view){"/api/x\0y", 8}, VIEW(""), VIEW(PAGE), &path));
}

static void hub_path_next__bounds_a_link(void **state)
{
    char target[HUB_PATH_NEXT_MAX + 1];
    size_t longest = HUB_PATH_NEXT_MAX - (sizeof("/api/models/a/b/tree/main") - 1);

    (void)state;
    memset(target, 'x', sizeof(target));
    memcpy(target, "/api/x?", 7);
    buf_clear(&path);
    assert_true(
        hub_path_next((struct view){target, HUB_PATH_NEXT_MAX}, VIEW(""), VIEW(PAGE), &path));
    assert_int_equal(path.length, HUB_PATH_NEXT_MAX);
    assert_false(
        hub_path_next((struct view){target, HUB_PATH_NEXT_MAX + 1}, VIEW(""), VIEW(PAGE), &path));
    target[0] = '?';
    buf_clear(&path);
    assert_true(hub_path_next((struct view){target, longest}, VIEW(""), VIEW(PAGE), &path));
    assert_int_equal(path.length, HUB_PATH_NEXT_MAX);
    assert_false(hub_path_next((struct view){target, longest + 1}, VIEW(""), VIEW(PAGE), &path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hub_path_info__asks_for_a_revision, release),
        cmocka_unit_test_teardown(hub_path_refs__asks_for_branches_and_tags, release),
        cmocka_unit_test_teardown(hub_path_tree__asks_for_all_files, release),
        cmocka_unit_test_teardown(hub_path_file__keeps_slashes_and_encodes_the_rest, release),
        cmocka_unit_test(hub_path_is_own__knows_the_api_and_files),
        cmocka_unit_test_teardown(hub_path_next__takes_path_and_query, release),
        cmocka_unit_test_teardown(hub_path_next__refuses_what_leads_elsewhere, release),
        cmocka_unit_test_teardown(hub_path_next__bounds_a_link, release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
