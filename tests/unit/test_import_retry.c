/* When an import tries again, and for how long it goes on with that: tables of cases. */
#include "model/import_retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void import_retry_next__doubles_and_ends(void **state)
{
    static const uint64_t pauses[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct import_retry retry = {0};
    uint64_t pause = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_UNREACHABLE, 0, &pause));
        assert_int_equal(pause, pauses[i] * 1000);
    }
    assert_false(import_retry_next(&retry, true, ERR_UPSTREAM_UNREACHABLE, 0, &pause));
    retry = (struct import_retry){0};
    assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_UNREACHABLE, 0, &pause));
    assert_int_equal(pause, 1000);
}

static void import_retry_next__waits_as_told_and_does_not_count_it(void **state)
{
    struct import_retry retry = {0};
    uint64_t pause = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_LIMITED, 300, &pause));
        assert_int_equal(pause, 300000);
    }
    assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_FAILED, 61, &pause));
    assert_int_equal(pause, 61000);
    assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_RESTING, 70, &pause));
    assert_int_equal(pause, 70000);
    assert_int_equal(retry.tries, 0);
    assert_true(import_retry_next(&retry, true, ERR_UPSTREAM_BROKEN, 90, &pause));
    assert_int_equal(pause, 90000); /* it limits us besides */
    assert_int_equal(retry.tries, 1);
}

/* How long it waits together until it gives up, for a hub that says the same each time. */
static uint64_t wait_all(bool is_job, uint64_t told_s)
{
    struct import_retry retry = {0};
    uint64_t pause = 0, sum = 0;

    for (unsigned i = 0; i < 100000; i++) {
        if (!import_retry_next(&retry, is_job, ERR_UPSTREAM_LIMITED, told_s, &pause))
            return sum / 1000;
        assert_true(pause >= 1000 && pause <= 15 * 60 * 1000);
        sum += pause;
    }
    fail();
    return 0;
}

static void import_retry_next__waits_for_hours_at_most(void **state)
{
    static const uint64_t told[] = {0, 1, 2, 59, 300, 900, 86400, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        uint64_t job = wait_all(true, told[i]), client = wait_all(false, told[i]);
        assert_true(job > 3 * 3600 && job <= 4 * 3600);
        assert_true(client >= 600 && client <= 900);
    }
}

static void import_retry_next__gives_clients_an_answer_soon(void **state)
{
    static const struct {
        enum err err;
        unsigned tries;
    } rows[] = {
        {ERR_UPSTREAM_UNREACHABLE, 1}, {ERR_UPSTREAM_TIMEOUT, 0}, {ERR_UPSTREAM_RESTING, 0},
        {ERR_UPSTREAM_FAILED, 3},      {ERR_UPSTREAM_BROKEN, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct import_retry retry = {0};
        uint64_t pause = 0;
        unsigned tries = 0;
        while (tries < 100 && import_retry_next(&retry, false, rows[i].err, 0, &pause))
            tries++;
        assert_int_equal(tries, rows[i].tries);
        assert_true(import_retry_next(&(struct import_retry){0}, true, rows[i].err, 0, &pause));
    }
}

static void import_retry_next__not_for_what_is_final(void **state)
{
    static const enum err errs[] = {ERR_NAME_UNKNOWN,      ERR_MANIFEST_UNKNOWN, ERR_BLOB_UNKNOWN,
                                    ERR_UPSTREAM_REFUSED,  ERR_MODEL_UNFIT,      ERR_STOPPING,
                                    ERR_UPSTREAM_NONSENSE, ERR_DIGEST_MISMATCH,  ERR_DISK_FULL};
    struct import_retry retry = {0};
    uint64_t pause = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(errs) / sizeof(errs[0]); i++)
        assert_false(import_retry_next(&retry, true, errs[i], 5, &pause));
    assert_int_equal(pause, 7);
    assert_int_equal(retry.tries + retry.waits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_retry_next__doubles_and_ends),
        cmocka_unit_test(import_retry_next__waits_as_told_and_does_not_count_it),
        cmocka_unit_test(import_retry_next__waits_for_hours_at_most),
        cmocka_unit_test(import_retry_next__gives_clients_an_answer_soon),
        cmocka_unit_test(import_retry_next__not_for_what_is_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
