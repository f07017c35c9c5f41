/* When a fill tries again, and how long it waits: a table of cases. */
#include "cache/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct config config = {.fill_tries = 3, .retry_delay = 100};

static void retry_is_due__until_the_tries_in_a_row_are_used_up(void **state)
{
    struct retry retry = {0};

    (void)state;
    for (unsigned i = 1; i <= 5; i++) {
        retry_note(&retry, false);
        assert_int_equal(retry_is_due(&retry, &config, ERR_UPSTREAM_BROKEN, false, 0), i < 3);
    }
}

static void retry_note__begins_a_new_row_after_new_bytes(void **state)
{
    struct config once = {.fill_tries = 1, .retry_delay = 100};
    struct retry retry = {0};

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        retry_note(&retry, true);
        assert_true(retry_is_due(&retry, &once, ERR_UPSTREAM_BROKEN, false, 0));
    }
    retry_note(&retry, false);
    assert_false(retry_is_due(&retry, &once, ERR_UPSTREAM_BROKEN, false, 0));
}

static void retry_is_due__not_for_what_is_final(void **state)
{
    struct retry retry = {.failures = 1};

    (void)state;
    assert_false(retry_is_due(&retry, &config, ERR_BLOB_UNKNOWN, false, 0));
    assert_false(retry_is_due(&retry, &config, ERR_DIGEST_MISMATCH, false, 0));
    assert_false(retry_is_due(&retry, &config, ERR_STOPPING, false, 0));
    assert_true(retry_is_due(&retry, &config, ERR_UPSTREAM_TIMEOUT, false, 0));
}

static void retry_is_due__not_for_long_when_nobody_answers_at_all(void **state)
{
    struct retry retry = {.failures = 2};

    (void)state;
    assert_false(retry_is_due(&retry, &config, ERR_UPSTREAM_UNREACHABLE, true, 0));
    assert_true(retry_is_due(&retry, &config, ERR_UPSTREAM_UNREACHABLE, false, 0));
}

static void retry_is_due__not_when_told_to_wait_longer_than_a_client_would(void **state)
{
    struct retry retry = {.failures = 1};

    (void)state;
    assert_true(retry_is_due(&retry, &config, ERR_UPSTREAM_LIMITED, false, 3));
    assert_false(retry_is_due(&retry, &config, ERR_UPSTREAM_LIMITED, false, 60));
    assert_true(retry_is_due(&retry, &config, ERR_UPSTREAM_FAILED, false, 5));
    assert_false(retry_is_due(&retry, &config, ERR_UPSTREAM_FAILED, false, 6));
    assert_false(retry_is_due(&retry, &config, ERR_UPSTREAM_FAILED, false, 86400));
}

static void retry_pause_ms__doubles_up_to_a_bound(void **state)
{
    struct retry retry = {0};
    uint64_t last = 0;

    (void)state;
    assert_int_equal(retry_pause_ms(&retry, &config, 0), 100);
    for (unsigned i = 1; i < 100; i++) {
        retry.failures = i;
        uint64_t pause = retry_pause_ms(&retry, &config, 0);
        assert_true(pause == last * 2 || i == 1 || pause == 10000);
        last = pause;
    }
    assert_int_equal(last, 10000);
}

static void retry_pause_ms__is_at_least_what_the_upstream_said(void **state)
{
    struct retry retry = {.failures = 1};

    (void)state;
    assert_int_equal(retry_pause_ms(&retry, &config, 3), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_is_due__until_the_tries_in_a_row_are_used_up),
        cmocka_unit_test(retry_note__begins_a_new_row_after_new_bytes),
        cmocka_unit_test(retry_is_due__not_for_what_is_final),
        cmocka_unit_test(retry_is_due__not_for_long_when_nobody_answers_at_all),
        cmocka_unit_test(retry_is_due__not_when_told_to_wait_longer_than_a_client_would),
        cmocka_unit_test(retry_pause_ms__doubles_up_to_a_bound),
        cmocka_unit_test(retry_pause_ms__is_at_least_what_the_upstream_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
