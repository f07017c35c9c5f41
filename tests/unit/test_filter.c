/* Unit tests of which files are in an image. */
#include "wire/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct buf filter;

static int teardown(void **state)
{
    (void)state;
    buf_release(&filter);
    return 0;
}

/* Makes the filter of two lists, with spaces between their patterns. */
static const char *make(const char *include, const char *exclude)
{
    struct view lists[2][8] = {{{0}}};
    size_t counts[2] = {0};
    const char *const texts[2] = {include, exclude};

    for (size_t i = 0; i < 2; i++)
        for (struct view rest = view_of(texts[i]); rest.length > 0; counts[i]++)
            lists[i][counts[i]] = view_cut(&rest, ' ');
    buf_clear(&filter);
    filter_print(lists[0], counts[0], lists[1], counts[1], &filter);
    return filter.data;
}

static void assert_takes(const char *include, const char *exclude, const char *path, bool takes)
{
    if (filter_takes(make(include, exclude), view_of(path)) != takes)
        fail_msg("include %s exclude %s: %s", include, exclude, path);
}

static void filter_takes__takes_all_without_patterns(void **state)
{
    (void)state;
    assert_string_equal(make("", ""), "");
    assert_takes("", "", "config.json", true);
    assert_takes("", "", "a/b", true);
}

static void filter_takes__matches_whole_paths(void **state)
{
    (void)state;
    assert_takes("*.json", "", "config.json", true);
    assert_takes("*.json", "", "onnx/config.json", true);
    assert_takes("config.json", "", "onnx/config.json", false);
    assert_takes("*/config.json", "", "config.json", false);
    assert_takes("config", "", "config.json", false);
    assert_takes("[a-z]?", "", "ab", false);
    assert_takes("[a-z]?", "", "[a-z]?", true);
}

static void filter_takes__takes_what_any_of_include_matches(void **state)
{
    (void)state;
    assert_takes("*.json *.safetensors", "", "a.json", true);
    assert_takes("*.json *.safetensors", "", "a.safetensors", true);
    assert_takes("*.json *.safetensors", "", "a.bin", false);
}

static void filter_takes__lets_exclude_win(void **state)
{
    (void)state;
    assert_takes("*", "*.bin", "a.bin", false);
    assert_takes("", "*.bin", "a.bin", false);
    assert_takes("", "*.bin", "a.json", true);
    assert_takes("a.bin", "*", "a.bin", false);
}

static void filter_takes__takes_folders_with_all_below(void **state)
{
    (void)state;
    assert_takes("onnx/", "", "onnx/a/b", true);
    assert_takes("onnx/", "", "onnx/a", true);
    assert_takes("onnx/", "", "onnx", false);
    assert_takes("onnx/", "", "big/onnx/a", false);
    assert_takes("*/onnx/", "", "big/onnx/a", true);
    assert_takes("", "onnx/", "onnx/a", false);
}

static void filter_print__is_the_same_for_the_same_patterns(void **state)
{
    (void)state;
    assert_string_equal(make("b a b aa", "d c"), "+a\n+aa\n+b\n-c\n-d\n");
    assert_string_equal(make("aa b a", "c d c"), "+a\n+aa\n+b\n-c\n-d\n");
}

static void filter_fault__says_what_matches_nothing(void **state)
{
    static const char *const bad[] = {"", "a\nb", "/a", "./a", "\xff"};
    char large[FILTER_PATTERN_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(filter_fault(view_of(bad[i])));
    memset(large, 'a', sizeof(large));
    assert_non_null(filter_fault((struct view){large, FILTER_PATTERN_MAX + 1}));
    assert_null(filter_fault((struct view){large, FILTER_PATTERN_MAX}));
    assert_null(filter_fault(VIEW("+ä -*.b/c ")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(filter_takes__takes_all_without_patterns),
        TEST(filter_takes__matches_whole_paths),
        TEST(filter_takes__takes_what_any_of_include_matches),
        TEST(filter_takes__lets_exclude_win),
        TEST(filter_takes__takes_folders_with_all_below),
        TEST(filter_print__is_the_same_for_the_same_patterns),
        TEST(filter_fault__says_what_matches_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
