/* Unit tests of WWW-Authenticate. */
#include "wire/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct challenge challenge;

static enum challenge_scheme parse(const char *value)
{
    memset(&challenge, 'x', sizeof(challenge));
    challenge_parse(view_of(value), &challenge);
    return challenge.scheme;
}

static void challenge_parse__reads_docker_hub(void **state)
{
    (void)state;
    assert_int_equal(
        parse("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io"
              "\",scope=\"repository:library/alpine:pull,push\""),
        CHALLENGE_BEARER);
    assert_string_equal(challenge.realm, "https://auth.docker.io/token");
    assert_string_equal(challenge.service, "registry.docker.io");
    assert_string_equal(challenge.scope, "repository:library/alpine:pull,push");
}

static void challenge_parse__is_lenient_about_case_blanks_and_order(void **state)
{
    (void)state;
    assert_int_equal(parse(" , bearer  Scope = x:y:pull ,REALM=\"HTTP://h/t\" error=\"a\\\"b\""),
                     CHALLENGE_BEARER);
    assert_string_equal(challenge.realm, "HTTP://h/t");
    assert_string_equal(challenge.service, "");
    assert_string_equal(challenge.scope, "x:y:pull");
}

static void challenge_parse__undoes_escapes(void **state)
{
    (void)state;
    assert_int_equal(parse("Bearer realm=\"http://h/\\\"t\",service=\"a\\\\b, c=\\\"d\\\"\""),
                     CHALLENGE_BEARER);
    assert_string_equal(challenge.realm, "http://h/\"t");
    assert_string_equal(challenge.service, "a\\b, c=\"d\"");
}

static void challenge_parse__prefers_bearer(void **state)
{
    (void)state;
    assert_int_equal(
        parse("Basic realm=\"x\", Bearer realm=\"https://a/\", Bearer realm=\"https://b/\""),
        CHALLENGE_BEARER);
    assert_string_equal(challenge.realm, "https://a/");
    assert_int_equal(parse("Bearer realm=\"https://a/\",service=s, Basic realm=\"x\""),
                     CHALLENGE_BEARER);
    assert_string_equal(challenge.service, "s");
    assert_int_equal(parse("Negotiate YII+/w==, Digest qop=\"auth, x\", basic"), CHALLENGE_BASIC);
    assert_string_equal(challenge.realm, "");
}

static void challenge_parse__passes_over_a_bearer_it_cannot_meet(void **state)
{
    (void)state;
    char text[1200];
    static const char *hopeless[] = {
        "Bearer",
        "Bearer service=\"s\"",
        "Bearer realm=\"\"",
        "Bearer realm=\"token\"",
        "Bearer realm=\"/token\"",
        "Bearer realm=\"ftp://h/\"",
        "Bearer realm=\"file:///etc/passwd\"",
        "Bearer realm=\"https://\"",
        "Bearer realm=\"https:///token\"",
        "Bearer realm=\"https://h/a b\"",
        "Bearer realm=\"https://h/\xc3\xa4\"",
        "Bearer realm=\"https://h/\x01\"",
        "Bearer realm=\"https://h/\", scope=\"a\x01\"",
    };

    for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
        assert_int_equal(parse(hopeless[i]), CHALLENGE_NONE);
    for (size_t length = 1023; length <= 1024; length++) {
        struct buf value = {0};
        memset(text, 'a', sizeof(text));
        text[length] = '\0';
        buf_printf(&value, "Basic, Bearer realm=\"http://h/\", scope=\"%s\"", text);
        assert_int_equal(parse(value.data), length < 1024 ? CHALLENGE_BEARER : CHALLENGE_BASIC);
        buf_release(&value);
    }
}

static void challenge_parse__does_not_trip_over_nonsense(void **state)
{
    (void)state;
    static const char *nonsense[] = {
        "",        " ",    ",,,",           "=",
        "\"",      "a=b",  "realm=\"x\"",   "@@@, ;;",
        "Digest ", "Foo=", "Bearer realm=", "Bearer realm=\"https://h/"};

    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_int_equal(parse(nonsense[i]), CHALLENGE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenge_parse__reads_docker_hub),
        cmocka_unit_test(challenge_parse__is_lenient_about_case_blanks_and_order),
        cmocka_unit_test(challenge_parse__undoes_escapes),
        cmocka_unit_test(challenge_parse__prefers_bearer),
        cmocka_unit_test(challenge_parse__passes_over_a_bearer_it_cannot_meet),
        cmocka_unit_test(challenge_parse__does_not_trip_over_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
