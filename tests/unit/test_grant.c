/* Unit tests of a token server's answers. */
#include "wire/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_grant(const char *json, const char *token, uint64_t expires_in)
{
    struct grant grant = {0};

    assert_true(grant_parse(view_of(json), &grant));
    assert_string_equal(grant.token, token);
    assert_int_equal(grant.expires_in, expires_in);
    grant_release(&grant);
    assert_null(grant.token);
}

static void grant_parse__prefers_token(void **state)
{
    (void)state;
    assert_grant("{\"token\":\"abc.d-e_f\",\"access_token\":\"x\",\"expires_in\":300}", "abc.d-e_f",
                 300);
    assert_grant("{\"access_token\":\"x\",\"expires_in\":300}", "x", 300);
    assert_grant("{\"token\":\"\",\"access_token\":\"x\"}", "x", 60);
    assert_grant("{\"token\":null,\"access_token\":\"x\"}", "x", 60);
}

static void grant_parse__clamps_the_life(void **state)
{
    (void)state;
    assert_grant("{\"token\":\"t\"}", "t", 60);
    assert_grant("{\"token\":\"t\",\"expires_in\":0}", "t", 1);
    assert_grant("{\"token\":\"t\",\"expires_in\":-5}", "t", 1);
    assert_grant("{\"token\":\"t\",\"expires_in\":9223372036854775807}", "t", GRANT_LIFE_MAX);
    assert_grant("{\"token\":\"t\",\"expires_in\":1e300}", "t", GRANT_LIFE_MAX);
    assert_grant("{\"token\":\"t\",\"expires_in\":299.9}", "t", 299);
    assert_grant("{\"token\":\"t\",\"expires_in\":\"300\"}", "t", 60);
}

static void grant_parse__refuses_what_must_not_stand_in_a_field(void **state)
{
    (void)state;
    struct grant grant = {0};
    static const char *bad[] = {
        "",
        "{",
        "[]",
        "\"token\"",
        "{}",
        "{\"token\":5}",
        "{\"token\":\"\"}",
        "{\"token\":\"a b\"}",
        "{\"token\":\"a\\r\\nX-Evil: 1\"}",
        "{\"token\":\"a\\u0000b\"}",
        "{\"token\":\"\\u00e4\"}",
        "{\"token\":\"a\\u007f\"}",
        "{\"token\":\"a\"} x",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grant_parse(view_of(bad[i]), &grant));
    assert_null(grant.token);
}

static void grant_parse__limits_the_length(void **state)
{
    (void)state;
    for (size_t length = GRANT_TOKEN_MAX; length <= GRANT_TOKEN_MAX + 1; length++) {
        struct buf json = {0};
        struct grant grant = {0};
        buf_append_text(&json, "{\"token\":\"");
        for (size_t i = 0; i < length; i++)
            buf_append_text(&json, "a");
        buf_append_text(&json, "\"}");
        assert_int_equal(grant_parse(view_of_buf(&json), &grant), length == GRANT_TOKEN_MAX);
        grant_release(&grant);
        buf_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grant_parse__prefers_token),
        cmocka_unit_test(grant_parse__clamps_the_life),
        cmocka_unit_test(grant_parse__refuses_what_must_not_stand_in_a_field),
        cmocka_unit_test(grant_parse__limits_the_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
