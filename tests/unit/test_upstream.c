/* Unit tests of what is known of an upstream, and a stress of its tokens: TSan catches a lock left
 * out of upstream_set_token or upstream_token (seen with each planted). */
#include "cache/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/stats.h"
#include "io/loop.h"

static struct config config;
static struct upstreams upstreams;
static struct upstream *upstream, *other;

/* Once: an upstream's number is its place among the names of its label. */
static int group_setup(void **state)
{
    struct buf problem = {0};

    (void)state;
    config_init(&config);
    config_drop_upstreams(&config);
    if (config_add_upstream(&config, "a.example", &problem) != OK ||
        config_add_upstream(&config, "b.example", &problem) != OK)
        return -1;
    upstreams_init(&upstreams, &config);
    upstream = &upstreams.list[0];
    other = &upstreams.list[1];
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    upstreams_release(&upstreams);
    config_release(&config);
    return 0;
}

static void upstreams_init__follows_the_config(void **state)
{
    (void)state;
    assert_int_equal(upstreams.count, 2);
    assert_ptr_equal(upstream->config, &config.upstreams[0]);
    assert_true(upstream->index == 0 && other->index == 1);
    assert_string_equal(stats_word(STATS_LABEL_UPSTREAM, 1), "b.example");
}

/* ---- rest ---- */

static enum err resting(void)
{
    uint64_t retry_after = 0;

    return upstream_is_resting(upstream, &retry_after);
}

static void upstream_rest__lasts_until_it_answers(void **state)
{
    uint64_t retry_after = 77;

    (void)state;
    assert_int_equal(upstream_is_resting(upstream, &retry_after), OK);
    assert_int_equal(retry_after, 77);
    upstream_rest(upstream, ERR_UPSTREAM_TIMEOUT, 5000);
    assert_int_equal(upstream_is_resting(upstream, &retry_after), ERR_UPSTREAM_RESTING);
    assert_in_range(retry_after, 4, 5); /* rounded up */
    assert_int_equal(upstream_is_resting(other, &retry_after), OK);
    upstream_was_well(upstream);
    assert_int_equal(resting(), OK);
}

/* What it told us holds, even if a request that was on its way succeeds. */
static void upstream_rest__of_a_limit_outlasts_an_answer(void **state)
{
    uint64_t retry_after = 0;

    (void)state;
    upstream_rest(upstream, ERR_UPSTREAM_LIMITED, 30000);
    upstream_was_well(upstream);
    assert_int_equal(upstream_is_resting(upstream, &retry_after), ERR_UPSTREAM_LIMITED);
    assert_in_range(retry_after, 29, 30);
    upstream_rest(upstream, ERR_UPSTREAM_UNREACHABLE, 1000);
    assert_int_equal(upstream_is_resting(upstream, &retry_after), ERR_UPSTREAM_RESTING);
    assert_int_equal(retry_after, 1);
    upstream_was_well(upstream);
}

static void upstream_rest__is_a_minute_at_most(void **state)
{
    uint64_t retry_after = 0;

    (void)state;
    upstream_rest(upstream, ERR_UPSTREAM_TIMEOUT, UINT64_MAX / 2);
    assert_int_equal(upstream_is_resting(upstream, &retry_after), ERR_UPSTREAM_RESTING);
    assert_in_range(retry_after, 59, 60);
    upstream_was_well(upstream);
}

static void upstream_rest__ends_by_itself(void **state)
{
    (void)state;
    uint64_t start = clock_monotonic_us();
    upstream_rest(upstream, ERR_UPSTREAM_LIMITED, 30);
    while (resting() != OK)
        sched_yield();
    assert_true(clock_monotonic_us() - start >= 29000);
    upstream_rest(upstream, ERR_UPSTREAM_TIMEOUT, 0);
    assert_int_equal(resting(), OK);
}

static void upstream_well_within__remembers_the_last_answer(void **state)
{
    (void)state;
    assert_false(upstream_well_within(other, 60000)); /* it never answered */
    upstream_was_well(other);
    assert_true(upstream_well_within(other, 60000));
    upstream_rest(other, ERR_UPSTREAM_TIMEOUT, 1000);
    assert_false(upstream_well_within(other, 60000));
    upstream_was_well(other);
    while (upstream_well_within(other, 20))
        sched_yield();
    assert_true(upstream_well_within(other, 60000));
}

/* ---- challenge and credentials ---- */

static void upstream_challenge__is_the_last_one(void **state)
{
    struct challenge challenge = {.scheme = CHALLENGE_BEARER, .realm = "https://auth.example/"};

    (void)state;
    assert_int_equal(upstream_challenge(upstream).scheme, CHALLENGE_NONE);
    upstream_set_challenge(upstream, &challenge);
    challenge = upstream_challenge(upstream);
    assert_int_equal(challenge.scheme, CHALLENGE_BEARER);
    assert_string_equal(challenge.realm, "https://auth.example/");
    assert_int_equal(upstream_challenge(other).scheme, CHALLENGE_NONE);
}

static void assert_basic(const char *username, const char *password, const char *expected)
{
    struct config_upstream settings = {.username = (char *)username, .password = (char *)password};
    struct upstream made = {.config = &settings};
    struct buf out = {0};

    buf_append_text(&out, "Authorization: ");
    assert_int_equal(upstream_basic(&made, &out), expected != NULL);
    assert_string_equal(out.data + 15, expected == NULL ? "" : expected);
    assert_int_equal(out.length, strlen(out.data));
    buf_release(&out);
}

/* RFC 7617 2, and RFC 4648 4 for the padding. */
static void upstream_basic__encodes_name_and_password(void **state)
{
    (void)state;
    assert_basic(NULL, NULL, NULL);
    assert_basic(NULL, "password", NULL);
    assert_basic("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_basic("a", NULL, "Basic YTo=");
    assert_basic("a", "", "Basic YTo=");
    assert_basic("a", "b", "Basic YTpi");
    assert_basic("a", "bc", "Basic YTpiYw==");
    assert_basic("r\xc3\xb6", "p:q", "Basic csO2OnA6cQ==");
}

/* ---- tokens ---- */

static void assert_token(const char *scope, const char *expected, bool expected_due)
{
    struct buf out = {0};
    bool is_due = !expected_due;

    buf_append_text(&out, "Bearer ");
    assert_int_equal(upstream_token(upstream, scope, &out, &is_due), expected != NULL);
    assert_string_equal(out.data + 7, expected == NULL ? "" : expected);
    if (expected != NULL)
        assert_int_equal(is_due, expected_due);
    buf_release(&out);
}

static void upstream_token__is_that_of_its_scope(void **state)
{
    struct buf out = {0};
    bool is_due;

    (void)state;
    assert_token("pull:a", NULL, false);
    upstream_set_token(upstream, "pull:a", "token-a", 300);
    upstream_set_token(upstream, "pull:b", "token-b", 300);
    assert_token("pull:a", "token-a", false);
    assert_token("pull:b", "token-b", false);
    assert_token("pull:", NULL, false);
    assert_false(upstream_token(other, "pull:a", &out, &is_due));
    assert_null(out.data);
    upstream_set_token(upstream, "pull:a", "token-2", 300);
    assert_token("pull:a", "token-2", false);
    assert_int_equal(upstream->token_count, 2);
}

static void upstream_drop_token__drops_only_the_one_that_was_refused(void **state)
{
    (void)state;
    upstream_set_token(upstream, "pull:a", "new", 300);
    upstream_drop_token(upstream, "pull:a", "old"); /* somebody has renewed it meanwhile */
    assert_token("pull:a", "new", false);
    upstream_drop_token(upstream, "pull:a", "new");
    assert_token("pull:a", NULL, false);
    upstream_drop_token(upstream, "pull:a", "new"); /* harmless */
    upstream_drop_token(upstream, "pull:b", "token-b");
    assert_int_equal(upstream->token_count, 0);
}

static uint64_t ms_since(uint64_t start_us)
{
    return (clock_monotonic_us() - start_us) / 1000;
}

/* Of a life of one second: due after 750 ms, gone after 950. */
static void upstream_token__is_due_and_then_gone(void **state)
{
    struct buf out = {0};
    bool is_due = false;

    (void)state;
    upstream_set_token(upstream, "dead", "token", 0);
    assert_token("dead", NULL, false);
    uint64_t start = clock_monotonic_us();
    upstream_set_token(upstream, "short", "token", 1);
    bool there = true;
    while (there && !is_due) {
        buf_clear(&out);
        there = upstream_token(upstream, "short", &out, &is_due);
        sched_yield();
    }
    assert_true(ms_since(start) >= 749);
    while (upstream_token(upstream, "short", &out, &is_due))
        buf_clear(&out);
    assert_true(ms_since(start) >= 949);
    assert_int_equal(upstream->token_count, 0); /* what has expired is not kept */
    buf_release(&out);
}

static const char *scope_of(int number)
{
    static _Thread_local char scope[32];

    (void)snprintf(scope, sizeof(scope), "repository:%d:pull", number);
    return scope;
}

static void upstream_set_token__drops_the_least_recently_used(void **state)
{
    (void)state;
    for (int i = 0; i < UPSTREAM_TOKENS_MAX; i++)
        upstream_set_token(upstream, scope_of(i), "token", 300);
    assert_int_equal(upstream->token_count, UPSTREAM_TOKENS_MAX);
    assert_token(scope_of(0), "token", false); /* used: the oldest is number 1 now */
    upstream_set_token(upstream, scope_of(2), "renewed", 300);
    assert_int_equal(upstream->token_count, UPSTREAM_TOKENS_MAX);
    upstream_set_token(upstream, "new", "token", 300);
    upstream_set_token(upstream, "newer", "token", 300);
    assert_int_equal(upstream->token_count, UPSTREAM_TOKENS_MAX);
    assert_token(scope_of(1), NULL, false);
    assert_token(scope_of(3), NULL, false);
    assert_token(scope_of(0), "token", false);
    assert_token(scope_of(2), "renewed", false);
    assert_token(scope_of(4), "token", false);
    assert_token("new", "token", false);
}

/* ---- the stress: a token begins with its scope, whoever set it ---- */

static void *use_tokens(void *argument)
{
    unsigned random = *(const unsigned *)argument;
    char text[64];

    for (int i = 0; i < 5000; i++) {
        const char *scope = scope_of(2000 + rand_r(&random) % 20);
        struct buf out = {0};
        bool is_due;
        if (rand_r(&random) % 3 == 0) {
            (void)snprintf(text, sizeof(text), "%s of %u", scope, random);
            upstream_set_token(upstream, scope, text, 300);
        }
        if (upstream_token(upstream, scope, &out, &is_due)) {
            CHECK(view_starts_with(view_of_buf(&out), view_of(scope)));
            if (rand_r(&random) % 5 == 0)
                upstream_drop_token(upstream, scope, out.data);
        }
        buf_release(&out);
        upstream_was_well(upstream);
        CHECK(resting() == OK);
    }
    return NULL;
}

static void upstream__is_for_any_thread(void **state)
{
    static const unsigned seeds[] = {1, 2, 3};
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, use_tokens, (void *)&seeds[i]);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(upstream->token_count, 0, UPSTREAM_TOKENS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upstreams_init__follows_the_config),
        cmocka_unit_test(upstream_rest__lasts_until_it_answers),
        cmocka_unit_test(upstream_rest__of_a_limit_outlasts_an_answer),
        cmocka_unit_test(upstream_rest__is_a_minute_at_most),
        cmocka_unit_test(upstream_rest__ends_by_itself),
        cmocka_unit_test(upstream_well_within__remembers_the_last_answer),
        cmocka_unit_test(upstream_challenge__is_the_last_one),
        cmocka_unit_test(upstream_basic__encodes_name_and_password),
        cmocka_unit_test(upstream_token__is_that_of_its_scope),
        cmocka_unit_test(upstream_drop_token__drops_only_the_one_that_was_refused),
        cmocka_unit_test(upstream_token__is_due_and_then_gone),
        cmocka_unit_test(upstream_set_token__drops_the_least_recently_used),
        cmocka_unit_test(upstream__is_for_any_thread),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
