/* Unit tests of what repositories, tags and hosts may be called. */
#include "base/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void grammar_is_repository__follows_the_grammar(void **state)
{
    (void)state;
    static const char *good[] = {"a",     "a/b/c", "a.b",   "a_b", "a__b",        "a-b",
                                 "a---b", "0/1",   "a.b/c", "a1",  "a-b.c_d__e/f"};
    static const char *bad[] = {"",     "/",   "a/",  "/a",  "a//b", "A",     "a..b", "a___b",
                                "a._b", "-a",  "a-",  "a.",  "a_/b", "..",    ".",    "a/..",
                                "a b",  "a:b", "a@b", "a%b", "a/-b", "a\x80", "a-_b", "a_-b"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(grammar_is_repository(view_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grammar_is_repository(view_of(bad[i])));
    assert_false(grammar_is_repository(VIEW("a\0b")));
}

static void grammar_is_tag__follows_the_grammar(void **state)
{
    (void)state;
    char text[130];

    assert_true(grammar_is_tag(VIEW("latest")));
    assert_true(grammar_is_tag(VIEW("_1.2-RC")));
    assert_false(grammar_is_tag(VIEW("")));
    assert_false(grammar_is_tag(VIEW(".a")));
    assert_false(grammar_is_tag(VIEW("-a")));
    assert_false(grammar_is_tag(VIEW("a/b")));
    assert_false(grammar_is_tag(VIEW("a+b")));
    memset(text, 'a', sizeof(text));
    assert_true(grammar_is_tag((struct view){text, 128}));
    assert_false(grammar_is_tag((struct view){text, 129}));
}

static void grammar_is_host__wants_a_dot_a_colon_or_localhost(void **state)
{
    (void)state;
    assert_true(grammar_is_host(VIEW("docker.io")));
    assert_true(grammar_is_host(VIEW("a:1")));
    assert_true(grammar_is_host(VIEW("localhost")));
    assert_false(grammar_is_host(VIEW("library")));
    assert_false(grammar_is_host(VIEW("")));
    assert_false(grammar_is_host(VIEW(".a")));
    assert_false(grammar_is_host(VIEW("*.io")));
}

static void grammar_lower__leaves_all_but_ascii_letters(void **state)
{
    (void)state;
    char text[] = "Org/@[`{Z-A_0.\xc3\x84";

    grammar_lower(text);
    assert_string_equal(text, "org/@[`{z-a_0.\xc3\x84");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar_is_repository__follows_the_grammar),
        cmocka_unit_test(grammar_is_tag__follows_the_grammar),
        cmocka_unit_test(grammar_is_host__wants_a_dot_a_colon_or_localhost),
        cmocka_unit_test(grammar_lower__leaves_all_but_ascii_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
