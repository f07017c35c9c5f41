/* Unit tests of sentences that repeat what a peer or a person wrote. */
#include "base/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void assert_quoted(struct view text, const char *expected)
{
    struct buf problem = {0};

    problem_quote(&problem, text);
    assert_string_equal(problem.data, expected);
    buf_release(&problem);
}

static void problem_quote__can_be_shown_on_any_terminal(void **state)
{
    (void)state;
    assert_quoted(VIEW("plain \xc3\xa4\xc2\xa0"), "\"plain \xc3\xa4\xc2\xa0\"");
    assert_quoted(VIEW("\x1b]0;x\x07\x7f\"\\"), "\"\\u001b]0;x\\u0007\\u007f\\\"\\\\\"");
    assert_quoted(VIEW("a\xc2\x9b"
                       "1m\xc2\x80\xc2\x9f"),
                  "\"a\\u009b1m\\u0080\\u009f\"");
    assert_quoted(VIEW("\x9b\xc2"), "\"\\ufffd\\ufffd\"");
}

static void problem_quote__cuts_between_characters(void **state)
{
    char text[90], expected[100] = "\"";

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + 79, "\xc3\xa4", 2);
    memset(expected + 1, 'x', 79);
    memcpy(expected + 80, "...\"", 5);
    assert_quoted((struct view){text, sizeof(text)}, expected);
}

static void problem_name__stands_in_a_sentence(void **state)
{
    struct buf problem = {0};

    (void)state;
    problem_name(&problem, "the file ", "a\nb", " is odd");
    assert_string_equal(problem.data, "the file \"a\\u000ab\" is odd");
    buf_release(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problem_quote__can_be_shown_on_any_terminal),
        cmocka_unit_test(problem_quote__cuts_between_characters),
        cmocka_unit_test(problem_name__stands_in_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
