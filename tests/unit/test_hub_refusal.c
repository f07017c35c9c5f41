/* Unit tests of how a hub refuses. */
#include "wire/hub_refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct buf sentence;

static int release(void **state)
{
    (void)state;
    buf_release(&sentence);
    return 0;
}

static enum err refuse(unsigned status, const char *code, const char *message)
{
    return hub_refusal_read(status, view_of(code), view_of(message), VIEW("org/model"), &sentence);
}

/* ---- what it means ---- */

static void hub_refusal_read__knows_the_codes(void **state)
{
    static const struct {
        unsigned status;
        enum err err;
        const char *code, *begin;
    } rows[] = {
        {401, ERR_UPSTREAM_REFUSED, "GatedRepo",
         "the hub says that access to org/model is restricted: ask for access on its page, and "
         "give "
         "Entrepot a token that has it"},
        {403, ERR_UPSTREAM_REFUSED, " GatedRepo ", "the hub says that access to org/model is"},
        {401, ERR_NAME_UNKNOWN, "RepoNotFound", "the hub knows no repository org/model, or hides"},
        {404, ERR_NAME_UNKNOWN, "RepoNotFound", "the hub knows no repository org/model, or hides"},
        {404, ERR_MANIFEST_UNKNOWN, "RevisionNotFound",
         "the hub knows no such revision of org/model: as a tag, write"},
        {404, ERR_BLOB_UNKNOWN, "EntryNotFound", "the hub has no such file in org/model at"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(refuse(rows[i].status, rows[i].code, ""), rows[i].err);
        assert_memory_equal(sentence.data, rows[i].begin, strlen(rows[i].begin));
        assert_null(strstr(sentence.data, "own words"));
    }
}

static void hub_refusal_read__falls_back_to_the_status(void **state)
{
    static const struct {
        unsigned status;
        enum err err;
    } rows[] = {
        {401, ERR_UPSTREAM_REFUSED},  {403, ERR_UPSTREAM_REFUSED},  {404, ERR_NAME_UNKNOWN},
        {410, ERR_NAME_UNKNOWN},      {400, ERR_UPSTREAM_NONSENSE}, {418, ERR_UPSTREAM_NONSENSE},
        {429, ERR_UPSTREAM_LIMITED},  {408, ERR_UPSTREAM_FAILED},   {500, ERR_UPSTREAM_FAILED},
        {503, ERR_UPSTREAM_FAILED},   {504, ERR_UPSTREAM_FAILED},   {302, ERR_UPSTREAM_NONSENSE},
        {204, ERR_UPSTREAM_NONSENSE}, {0, ERR_UPSTREAM_NONSENSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(refuse(rows[i].status, "", ""), rows[i].err);
        assert_memory_equal(sentence.data, "the hub ", 8);
        assert_int_equal(refuse(rows[i].status, "NewCode", "Something"), rows[i].err);
    }
}

static void hub_refusal_of_storage__has_its_status_and_words(void **state)
{
    (void)state;
    hub_refusal_of_storage(403, VIEW(" No \"entry\" "), &sentence);
    assert_string_equal(sentence.data,
                        "the storage that the hub has sent us to answered with status "
                        "403; its own words: No 'entry'");
    hub_refusal_of_storage(500, VIEW(""), &sentence);
    assert_string_equal(sentence.data,
                        "the storage that the hub has sent us to answered with status 500");
}

/* Else a hub that is down could make a mirror believe that a repository is gone. */
static void hub_refusal_read__believes_no_code_of_a_server_error(void **state)
{
    (void)state;
    assert_int_equal(refuse(500, "RepoNotFound", ""), ERR_UPSTREAM_FAILED);
    assert_int_equal(refuse(408, "RepoNotFound", ""), ERR_UPSTREAM_FAILED);
    assert_int_equal(refuse(429, "RepoNotFound", ""), ERR_UPSTREAM_LIMITED);
    assert_int_equal(refuse(302, "GatedRepo", ""), ERR_UPSTREAM_NONSENSE);
}

static void hub_refusal_read__knows_a_disabled_repository_by_its_message(void **state)
{
    (void)state;
    assert_int_equal(refuse(403, "", " Access to this resource is disabled. "),
                     ERR_UPSTREAM_REFUSED);
    assert_string_equal(sentence.data, "the hub has disabled org/model: nobody can fetch it; the "
                                       "hub's own words: Access to this resource is disabled.");
}

static void hub_refusal_read__repeats_the_words_safely(void **state)
{
    char words[300];

    (void)state;
    assert_int_equal(refuse(404, "RepoNotFound", "no \"such\" \\ thing\r\n\x1b[31m\xc3\xa4\x7f"),
                     ERR_NAME_UNKNOWN);
    assert_string_equal(strstr(sentence.data, "; the hub's own words: "),
                        "; the hub's own words: no 'such' ? thing???[31m???");
    memset(words, 'w', sizeof(words));
    words[HUB_REFUSAL_WORDS_MAX] = '\0';
    assert_int_equal(refuse(404, "", words), ERR_NAME_UNKNOWN);
    assert_int_equal(strlen(strstr(sentence.data, "ww")), HUB_REFUSAL_WORDS_MAX);
    words[HUB_REFUSAL_WORDS_MAX] = 'w';
    struct view long_words = {words, sizeof(words)};
    assert_int_equal(hub_refusal_read(404, VIEW(""), long_words, VIEW("a\"\nb"), &sentence),
                     ERR_NAME_UNKNOWN);
    assert_non_null(strstr(sentence.data, "asked of a'?b:"));
    assert_string_equal(sentence.data + sentence.length - 5, "ww...");
    assert_int_equal(strlen(strstr(sentence.data, "ww")), HUB_REFUSAL_WORDS_MAX + 3);
}

static void hub_refusal_words__stand_in_the_body(void **state)
{
    static const char *const useless[] = {
        "",
        "{}",
        "{\"error\":1}",
        "{\"error\":\"\"}",
        "[\"error\"]",
        "\"error\"",
        "<html>error</html>",
        "{\"error\":\"cut",
        "{\"error\":{\"error\":\"x\"}}",
        "null",
    };
    char body[HUB_REFUSAL_BODY_MAX + 1];
    struct buf words = {0};

    (void)state;
    assert_true(
        hub_refusal_words(VIEW("{\"a\":[1],\"error\":\"No \\\"such\\\" \\u001bthing\"}"), &words));
    assert_string_equal(words.data, "No \"such\" \x1bthing");
    buf_clear(&words);
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++)
        assert_false(hub_refusal_words(view_of(useless[i]), &words));
    memset(body, ' ', sizeof(body));
    memcpy(body, "{\"error\":\"x\"}", 13);
    assert_false(hub_refusal_words((struct view){body, sizeof(body)}, &words));
    assert_int_equal(words.length, 0);
    assert_true(hub_refusal_words((struct view){body, sizeof(body) - 1}, &words));
    buf_release(&words);
}

/* ---- how long to wait ---- */

enum { NOW = 784111777, OTHERWISE = 100000 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

static uint64_t wait_of(const char *rate_limit, const char *retry_after)
{
    return hub_refusal_wait(view_of(rate_limit), view_of(retry_after), NOW, OTHERWISE);
}

static void hub_refusal_wait__reads_rate_limits(void **state)
{
    static const struct {
        const char *rate_limit;
        uint64_t seconds;
    } rows[] = {
        {"\"api\";r=0;t=123", 123},
        {"\"api\";t=123;r=0", 123},
        {"api;r=0;t=123", 123},
        {"\"api\";r=\"0\";t=\"123\"", 123},
        {" \"resolvers\" ; r = 0 ;\tt = 7 ; w = 300 ", 7},
        {"\"api\";r=0;t=0", 0},
        {"\"api\";r=0;t=5, \"pages\";r=0;t=9,\"resolvers\";r=1;t=200", 9},
        {"\"api\";r=0;t=9, \"pages\";r=0;t=5", 9},
        {"\"a;r=0;t=1\";r=0;t=2", 2},
        {"\"a\\\";r=0;t=1\";r=0;t=2", 2},
        {"\"api\";r=0;t=1;t=2", 2},
        {"\"api\";flag;r=0;t=3", 3},
        {"\"api\";r=0;t=4;;,", 4},
        {"\"api\";r=0;t=18446744073709551615", 86400},
        /* Of what comes before something malformed, all counts. */
        {"\"api\";r=0;t=6, \"open;r=0;t=60", 6},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(wait_of(rows[i].rate_limit, "50") == rows[i].seconds);
}

static void hub_refusal_wait__falls_back_to_retry_after(void **state)
{
    static const char *const useless[] = {
        "",
        "\"api\";r=1;t=123",
        "\"api\";r=0",
        "\"api\";t=123",
        "\"api\";r=-1;t=123",
        "\"api\";r=0;t=1.5",
        "\"api\";r=0;t=18446744073709551616",
        "\"api\";R=0;T=123",
        "\"api;r=0;t=123",
        "r=0;t=123",
        "limit=100, remaining=0, reset=50",
        "\"api\"r=0;t=123",
        "\"api\";r=0;t=\"12",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
        assert_true(wait_of(useless[i], "50") == 50);
        assert_true(wait_of(useless[i], "Sun, 06 Nov 1994 08:49:40 GMT") == 3);
        assert_true(wait_of(useless[i], "soon") == OTHERWISE);
        assert_true(wait_of(useless[i], "") == OTHERWISE);
        assert_true(wait_of(useless[i], "9999999") == HUB_REFUSAL_WAIT_MAX);
    }
}

/* So it is told what nobody has said: a 503 is a limit only when somebody did. */
static void hub_refusal_wait__is_nothing_when_nobody_said(void **state)
{
    (void)state;
    assert_true(hub_refusal_wait(VIEW(""), VIEW(""), NOW, 0) == 0);
    assert_true(hub_refusal_wait(VIEW("\"api\";r=1;t=123"), VIEW("soon"), NOW, 0) == 0);
    assert_true(hub_refusal_wait(VIEW(""), VIEW("86400"), NOW, 0) == 86400);
    assert_true(hub_refusal_wait(VIEW("\"api\";r=0;t=123"), VIEW(""), NOW, 0) == 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hub_refusal_read__knows_the_codes, release),
        cmocka_unit_test_teardown(hub_refusal_read__falls_back_to_the_status, release),
        cmocka_unit_test_teardown(hub_refusal_of_storage__has_its_status_and_words, release),
        cmocka_unit_test_teardown(hub_refusal_read__believes_no_code_of_a_server_error, release),
        cmocka_unit_test_teardown(hub_refusal_read__knows_a_disabled_repository_by_its_message,
                                  release),
        cmocka_unit_test_teardown(hub_refusal_read__repeats_the_words_safely, release),
        cmocka_unit_test(hub_refusal_words__stand_in_the_body),
        cmocka_unit_test(hub_refusal_wait__reads_rate_limits),
        cmocka_unit_test(hub_refusal_wait__falls_back_to_retry_after),
        cmocka_unit_test(hub_refusal_wait__is_nothing_when_nobody_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
