/* Unit tests of blobs and their table, on one loop; test_blob_stress.c has several. */
#include "cache/blob.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct blobs table;
static struct loop loop;
static struct blob *blob; /* a fresh one, OPENING, for each test */

struct sleeper {
    struct waiter waiter;
    int woken;
};

static void on_woken(struct mail *mail)
{
    container_of(mail, struct sleeper, waiter.mail)->woken++;
}

static struct sleeper sleeper_of(void)
{
    return (struct sleeper){.waiter = {.mail.deliver = on_woken, .loop = &loop}};
}

static void deliver(void)
{
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static struct digest digest_of_text(const char *text)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, text, strlen(text), &digest);
    return digest;
}

static int setup(void **state)
{
    struct digest digest = digest_of_text("blob");
    bool is_new;

    (void)state;
    blobs_init(&table);
    loop_init(&loop, "test", false);
    blob = blobs_get(&table, &digest, &is_new);
    return is_new ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (blob != NULL)
        blob = blob_unref(blob);
    blobs_release(&table);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    return 0;
}

/* Opens it with bytes [start, end) present; none when they are equal. */
static void open_partial(uint64_t start, uint64_t end)
{
    struct extents present = {0};

    extents_add(&present, (struct extent){start, end});
    blob_opened_partial(blob, -1, BLOB_SIZE_UNKNOWN, &present);
    assert_true(present.count == 0 && present.ranges == NULL);
}

static void fill(void)
{
    open_partial(0, 0);
    blob_fill(blob);
}

/* What a look without a waiter shows. */
static void assert_look(uint64_t offset, enum blob_state state, uint64_t readable)
{
    struct blob_view view = blob_look(blob, offset, NULL);

    assert_int_equal(view.state, state);
    assert_true(view.readable == readable);
}

/* A look that parks the waiter. */
static void park(struct sleeper *sleeper, uint64_t offset)
{
    struct blob_view view = blob_look(blob, offset, &sleeper->waiter);

    assert_true(view.readable == 0);
    assert_true(list_is_linked(&sleeper->waiter.parked));
}

static void blobs_get__gives_one_blob_a_digest(void **state)
{
    struct digest digest = digest_of_text("blob"), other;
    bool is_new = true;

    (void)state;
    assert_ptr_equal(blobs_get(&table, &digest, &is_new), blob);
    assert_false(is_new);
    blob_unref(blob);
    /* In the same bucket: the bytes that choose it are the same. */
    other = digest;
    other.bytes[31] ^= 1;
    struct blob *second = blobs_get(&table, &other, &is_new);
    assert_true(is_new && second != blob);
    other = digest;
    other.algorithm = DIGEST_SHA512;
    struct blob *third = blobs_get(&table, &other, &is_new);
    assert_true(is_new && third != blob && third != second);
    assert_true(table.open == 3);
    blob_unref(second);
    blob_unref(third);
}

static void blobs_find__makes_none(void **state)
{
    struct digest digest = digest_of_text("blob"), other = digest_of_text("other");

    (void)state;
    assert_null(blobs_find(&table, &other));
    assert_ptr_equal(blobs_find(&table, &digest), blob);
    assert_int_equal(blob->references, 2);
    blob_unref(blob);
}

static void blob_unref__leaves_it_for_the_next_reader(void **state)
{
    struct digest digest = digest_of_text("blob");

    (void)state;
    open_partial(0, 10);
    assert_null(blob_unref(blob));
    assert_ptr_equal(blobs_find(&table, &digest), blob);
    assert_look(0, BLOB_PARTIAL, 10);
    assert_ptr_equal(blob_ref(blob), blob);
    blob_unref(blob);
}

static void blobs_sweep__closes_what_is_idle(void **state)
{
    struct digest digest = digest_of_text("blob");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    blob_opened_complete(blob, fd, 5, "");
    blobs_sweep(&table, UINT64_MAX, 0); /* it is used */
    assert_true(table.open == 1);
    blob = blob_unref(blob);
    blobs_sweep(&table, 0, 1); /* it has not been idle for long, and is not one too many */
    assert_true(table.open == 1);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    blobs_sweep(&table, UINT64_MAX, 1);
    assert_true(table.open == 0);
    assert_true(fcntl(fd, F_GETFD) < 0);
    assert_null(blobs_find(&table, &digest));
}

static void blobs_sweep__closes_what_is_too_much(void **state)
{
    bool is_new;

    (void)state;
    for (int i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", i);
        struct digest digest = digest_of_text(text);
        blob_unref(blobs_get(&table, &digest, &is_new));
    }
    assert_true(table.open == 101);
    blobs_sweep(&table, 0, 1000);
    assert_true(table.open == 101);
    blobs_sweep(&table, 0, 0);
    assert_true(table.open == 1); /* ours */
}

static void blobs_claim__takes_what_nobody_uses(void **state)
{
    struct digest digest = digest_of_text("blob"), missing = digest_of_text("missing");
    struct extents nothing = {0};
    bool is_new;

    (void)state;
    assert_null(blobs_claim(&table, &digest));
    struct blob *claim = blobs_claim(&table, &missing);
    assert_non_null(claim);
    assert_null(blobs_claim(&table, &missing)); /* whoever claimed it uses it */
    blob_unref(claim);

    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    blob_opened_complete(blob, fd, 5, "");
    blob = blob_unref(blob);
    claim = blobs_claim(&table, &digest);
    assert_non_null(claim);
    assert_true(fcntl(fd, F_GETFD) < 0);
    /* Whoever comes now waits until the claimant has opened it. */
    blob = blobs_get(&table, &digest, &is_new);
    assert_true(blob == claim && !is_new);
    struct sleeper sleeper = sleeper_of();
    park(&sleeper, 0);
    assert_look(0, BLOB_OPENING, 0);
    blob_opened_partial(claim, -1, BLOB_SIZE_UNKNOWN, &nothing);
    blob_unref(claim);
    deliver();
    assert_int_equal(sleeper.woken, 1);
    assert_look(0, BLOB_PARTIAL, 0);
}

/* Whoever has it sees it fail; whoever comes now waits for the one in its place. */
static void blobs_seize__takes_what_others_use(void **state)
{
    static const unsigned char key[sizeof(blob->held_by)] = {5};
    struct digest digest = digest_of_text("blob");
    bool is_new;

    (void)state;
    fill();
    blob_set_held_by(blob, key);
    blob_set_size(blob, 5);
    blob_publish(blob, (struct extent){0, 5});
    blob_finish(blob);
    blob_ref(blob);
    struct blob *fresh = blobs_seize(&table, blob);
    assert_non_null(fresh);
    assert_look(0, BLOB_COMPLETE, 5);
    assert_null(blobs_seize(&table, blob)); /* it has it no more */
    blob_fail(blob, ERR_DAMAGED, NULL, 0);
    assert_look(0, BLOB_FAILED, 0);
    assert_memory_equal(blob_look(blob, 0, NULL).held_by, key, sizeof(key));
    assert_ptr_equal(blobs_get(&table, &digest, &is_new), fresh);
    assert_false(is_new);
    assert_null(blobs_claim(&table, &digest));
    blob_unref(blob);
    blob_unref(blob);
    blob = fresh;
    assert_look(0, BLOB_OPENING, 0);
    blob_unref(fresh);
}

static void blob_forget__leaves_it_to_those_who_have_it(void **state)
{
    struct digest digest = digest_of_text("blob");
    bool is_new;

    (void)state;
    open_partial(0, 10);
    blob_forget(blob);
    blob_forget(blob); /* harmless */
    assert_null(blobs_find(&table, &digest));
    assert_look(0, BLOB_PARTIAL, 10);
    struct blob *fresh = blobs_get(&table, &digest, &is_new);
    assert_true(is_new && fresh != blob);
    blob_unref(fresh);
    blob = blob_unref(blob);
    blobs_sweep(&table, UINT64_MAX, 0);
    assert_true(table.open == 0);
}

static void blob_want__is_true_once(void **state)
{
    (void)state;
    assert_false(blob_want(blob)); /* OPENING */
    open_partial(0, 0);
    assert_true(blob_want(blob));
    assert_look(0, BLOB_WANTED, 0);
    assert_false(blob_want(blob));
    blob_fill(blob);
    assert_false(blob_want(blob));
    blob_set_size(blob, 0);
    blob_finish(blob);
    assert_false(blob_want(blob));
}

static void blob_look__tells_what_can_be_read_in_each_state(void **state)
{
    (void)state;
    assert_look(0, BLOB_OPENING, 0);
    open_partial(10, 20);
    assert_look(0, BLOB_PARTIAL, 0);
    assert_look(15, BLOB_PARTIAL, 5);
    assert_look(20, BLOB_PARTIAL, 0);
    assert_true(blob_want(blob));
    assert_look(10, BLOB_WANTED, 10);
    blob_fill(blob);
    assert_look(10, BLOB_FILLING, 10);
    blob_publish(blob, (struct extent){20, 30});
    assert_look(10, BLOB_FILLING, 20);
    assert_look(BLOB_OFFSET_END, BLOB_FILLING, 0);
    assert_true(blob_look(blob, 0, NULL).size == BLOB_SIZE_UNKNOWN);
    blob_set_size(blob, 40);
    blob_set_size(blob, 40); /* the same again is harmless */
    blob_publish(blob, (struct extent){0, 10});
    blob_publish(blob, (struct extent){30, 40});
    blob_finish(blob);
    assert_look(0, BLOB_COMPLETE, 40);
    assert_look(39, BLOB_COMPLETE, 1);
    assert_look(40, BLOB_COMPLETE, 0);
    assert_look(1000, BLOB_COMPLETE, 0);
    assert_look(BLOB_OFFSET_END, BLOB_COMPLETE, 0);
    assert_true(blob_look(blob, 0, NULL).size == 40);
}

static void blob_look__never_parks_at_an_end(void **state)
{
    struct sleeper sleeper = sleeper_of();

    (void)state;
    fill();
    blob_set_size(blob, 10);
    blob_publish(blob, (struct extent){0, 10});
    assert_true(blob_look(blob, 3, &sleeper.waiter).readable == 7);
    assert_false(list_is_linked(&sleeper.waiter.parked));
    blob_fail(blob, ERR_DIGEST_MISMATCH, NULL, 0);
    struct blob_view view = blob_look(blob, 3, &sleeper.waiter);
    assert_true(view.state == BLOB_FAILED && view.err == ERR_DIGEST_MISMATCH && view.readable == 0);
    assert_false(list_is_linked(&sleeper.waiter.parked));
}

static void blob_look__gives_the_file_and_the_type(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    fill();
    assert_int_equal(blob_look(blob, 0, NULL).fd, -1);
    blob_set_file(blob, fd);
    blob_set_media_type(blob, "application/json");
    assert_int_equal(blob_look(blob, 0, NULL).fd, fd);
    assert_string_equal(blob->media_type, "application/json");
}

static void blob_publish__wakes_only_whom_it_covers(void **state)
{
    struct sleeper at[4] = {sleeper_of(), sleeper_of(), sleeper_of(), sleeper_of()};

    (void)state;
    fill();
    for (size_t i = 0; i < 4; i++)
        park(&at[i], 10 * i);
    blob_publish(blob, (struct extent){10, 30});
    deliver();
    assert_true(at[0].woken == 0 && at[1].woken == 1 && at[2].woken == 1 && at[3].woken == 0);
    deliver();
    assert_true(at[1].woken == 1 && at[2].woken == 1);
    blob_fail(blob, ERR_UPSTREAM_BROKEN, NULL, 0);
    deliver();
    assert_true(at[0].woken == 1 && at[1].woken == 1 && at[2].woken == 1 && at[3].woken == 1);
}

static void blob_look__waits_for_the_end_at_the_last_offset(void **state)
{
    struct sleeper sleeper = sleeper_of();

    (void)state;
    fill();
    park(&sleeper, BLOB_OFFSET_END);
    blob_publish(blob, (struct extent){0, 100});
    deliver();
    assert_int_equal(sleeper.woken, 0);
    blob_set_size(blob, 100);
    deliver();
    assert_int_equal(sleeper.woken, 1);
    park(&sleeper, BLOB_OFFSET_END);
    blob_finish(blob);
    deliver();
    assert_int_equal(sleeper.woken, 2);
}

static void blob_set_held_by__wakes_everybody(void **state)
{
    struct sleeper sleeper = sleeper_of();
    unsigned char key[32] = {1, 2, 3}, none[32] = {0};

    (void)state;
    fill();
    assert_memory_equal(blob_look(blob, 0, NULL).held_by, none, 32);
    park(&sleeper, 7);
    blob_set_held_by(blob, key);
    deliver();
    assert_int_equal(sleeper.woken, 1);
    assert_memory_equal(blob_look(blob, 0, NULL).held_by, key, 32);
    park(&sleeper, 7);
    blob_wake(blob);
    deliver();
    assert_int_equal(sleeper.woken, 2);
    blob_fail(blob, ERR_BLOB_UNKNOWN, NULL, 0);
}

static void blob_finish__takes_a_failed_blob_out_of_the_table(void **state)
{
    struct digest digest = digest_of_text("blob");

    (void)state;
    fill();
    blob_fail(blob, ERR_DISK_FULL, NULL, 0);
    assert_null(blobs_find(&table, &digest));
    assert_int_equal(blob_look(blob, 0, NULL).err, ERR_DISK_FULL);
}

static void blob_unpark__is_harmless_wherever_the_waiter_is(void **state)
{
    struct sleeper parked = sleeper_of(), posted = sleeper_of(), idle = sleeper_of();

    (void)state;
    fill();
    park(&posted, 0);
    park(&parked, 50);
    blob_publish(blob, (struct extent){0, 10});
    blob_unpark(blob, &idle.waiter);
    blob_unpark(blob, &parked.waiter);
    blob_unpark(blob, &posted.waiter);
    blob_unpark(blob, &posted.waiter);
    blob_publish(blob, (struct extent){50, 60});
    deliver();
    assert_true(parked.woken == 0 && posted.woken == 0 && idle.woken == 0);
    park(&posted, 10); /* and may wait again */
    blob_publish(blob, (struct extent){10, 11});
    deliver();
    assert_int_equal(posted.woken, 1);
}

static void blob_present__is_a_copy(void **state)
{
    (void)state;
    open_partial(5, 9);
    struct extents copy = blob_present(blob);
    blob_fill(blob);
    blob_publish(blob, (struct extent){9, 20});
    assert_true(extents_run_end(&copy, 5) == 9);
    extents_release(&copy);
    copy = blob_present(blob);
    assert_true(extents_run_end(&copy, 5) == 20);
    extents_release(&copy);
}

static void blob_path__names_the_file(void **state)
{
    struct digest digest = {.algorithm = DIGEST_SHA512};
    char path[BLOB_PATH_SIZE], expected[2 * BLOB_PATH_SIZE], hex[129];

    (void)state;
    memset(digest.bytes, 0xab, sizeof(digest.bytes));
    for (size_t i = 0; i < sizeof(hex); i++)
        hex[i] = i % 2 == 0 ? 'a' : 'b';
    hex[128] = '\0';
    blob_path_complete(&digest, path);
    (void)snprintf(expected, sizeof(expected), "blobs/sha512/ab/%s", hex);
    assert_string_equal(path, expected);
    blob_path_partial(&digest, path);
    (void)snprintf(expected, sizeof(expected), "partial/sha512/%s", hex);
    assert_string_equal(path, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blobs_get__gives_one_blob_a_digest),
        TEST(blobs_find__makes_none),
        TEST(blob_unref__leaves_it_for_the_next_reader),
        TEST(blobs_sweep__closes_what_is_idle),
        TEST(blobs_sweep__closes_what_is_too_much),
        TEST(blobs_claim__takes_what_nobody_uses),
        TEST(blobs_seize__takes_what_others_use),
        TEST(blob_forget__leaves_it_to_those_who_have_it),
        TEST(blob_want__is_true_once),
        TEST(blob_look__tells_what_can_be_read_in_each_state),
        TEST(blob_look__never_parks_at_an_end),
        TEST(blob_look__gives_the_file_and_the_type),
        TEST(blob_look__waits_for_the_end_at_the_last_offset),
        TEST(blob_publish__wakes_only_whom_it_covers),
        TEST(blob_set_held_by__wakes_everybody),
        TEST(blob_finish__takes_a_failed_blob_out_of_the_table),
        TEST(blob_unpark__is_harmless_wherever_the_waiter_is),
        TEST(blob_present__is_a_copy),
        cmocka_unit_test(blob_path__names_the_file),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
