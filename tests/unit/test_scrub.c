/* Unit tests of checking blobs again: what is judged how, what is taken out, and what is left alone
 * because it is somebody else's by then. */
#include "cache/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/footprint.h"
#include "cache/opening.h"
#include "io/disk.h"
#include "store_helpers.h"

static char path[BLOB_PATH_SIZE];

enum { SIZE = 7 };

static bool keeps; /* the disk lets nothing be removed: it has become read-only */

/* In the place of libc's. */
int unlinkat(int directory, const char *name, int flags)
{
    errno = EROFS;
    return keeps ? -1 : (int)syscall(SYS_unlinkat, directory, name, flags);
}

static int setup_path(void **state)
{
    int code = setup(state);

    blob_path_complete(&digest, path);
    return code;
}

static void write_file(const char *content)
{
    (void)unlinkat(store.directory, path, 0);
    assert_int_equal(disk_make_parents(store.directory, path), OK);
    int fd = openat(store.directory, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(fd, content, strlen(content), 0), OK);
    close(fd);
}

static void put_record(const struct digest *of, bool complete, int64_t verified_ms)
{
    struct blob_record record = {.complete = complete, .size = SIZE, .verified_ms = verified_ms};

    if (!complete)
        extents_add(&record.present, (struct extent){0, 3});
    index_put_blob(store.index, of, &record);
    index_flush_wait(store.index);
    blob_record_release(&record);
}

/* Recorded as "content", whatever lies there. */
static void put_blob(const char *content)
{
    blobs_sweep(&store.blobs, UINT64_MAX, 0); /* it came by itself, not by a fill */
    write_file(content);
    put_record(&digest, true, 0);
    store.used += footprint_of_size(SIZE);
}

static bool is_recorded(int64_t *ret_verified_ms)
{
    struct blob_record record;

    index_flush_wait(store.index);
    if (!index_get_blob(store.index, &digest, &record))
        return false;
    *ret_verified_ms = record.verified_ms;
    blob_record_release(&record);
    return true;
}

static bool is_on_disk(void)
{
    struct stat status;

    return fstatat(store.directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool on_piece(void *argument, uint64_t length)
{
    *(uint64_t *)argument += length;
    return true;
}

static void begin_and_hash(struct scrub_check *check)
{
    uint64_t bytes = 0;

    if (!scrub_begin(check, &store, &digest))
        return;
    scrub_hash(check, on_piece, &bytes);
    assert_true(bytes > 0);
}

static enum scrub_verdict scrub(void)
{
    struct scrub_check check;

    begin_and_hash(&check);
    return scrub_end(&check);
}

static struct blob *open_blob(void)
{
    bool is_new;
    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);

    assert_true(is_new);
    int fd = openat(store.directory, path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    blob_opened_complete(blob, fd, SIZE, "");
    return blob;
}

static void assert_taken_out(void)
{
    int64_t verified_ms;

    assert_false(is_recorded(&verified_ms));
    assert_false(is_on_disk());
    assert_int_equal(store.used, 0);
}

static void assert_left(void)
{
    int64_t verified_ms;

    assert_true(is_recorded(&verified_ms));
    assert_true(is_on_disk());
    assert_int_equal(store.used, footprint_of_size(SIZE));
}

/* ---- the verdicts ---- */

static void scrub_end__notes_what_is_sound(void **state)
{
    int64_t before = clock_wall_ms(), verified_ms = 0;

    (void)state;
    put_blob("content");
    assert_int_equal(scrub(), SCRUB_SOUND);
    assert_left();
    assert_true(is_recorded(&verified_ms));
    assert_in_range(verified_ms, before, clock_wall_ms());
}

static void scrub_end__takes_out_what_is_damaged(void **state)
{
    static const char *const contents[] = {"c0ntent", "content and more", "conten", ""};
    uint64_t epoch = store.blobs.eviction_epoch;

    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        put_blob(contents[i]);
        assert_int_equal(scrub(), SCRUB_DAMAGED);
        assert_taken_out();
        assert_true(store.blobs.eviction_epoch > epoch); /* a manifest over it is not whole */
        epoch = store.blobs.eviction_epoch;
    }
    put_blob("content");
    assert_int_equal(unlinkat(store.directory, path, 0), 0);
    assert_int_equal(scrub(), SCRUB_DAMAGED);
    assert_taken_out();
    assert_int_equal(scrub(), SCRUB_GONE);
}

static void on_opened(void *owner)
{
    loop_stop(owner);
}

/* Opens the blob as a request does; how it is then. */
static enum blob_state state_when_opened(void)
{
    struct loop loop;
    bool is_new;

    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    loop_init(&loop, "test", false);
    opening_start(&store, &loop, blob, on_opened, &loop);
    loop_run(&loop);
    loop_release(&loop);
    enum blob_state opened = blob_look(blob, 0, NULL).state;
    blob_unref(blob);
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
    return opened;
}

static void scrub_end__damaged_file_that_stays_is_not_served_again(void **state)
{
    (void)state;
    put_blob("c0ntent");
    keeps = true;
    assert_int_equal(scrub(), SCRUB_DAMAGED);
    keeps = false;
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
    assert_true(is_on_disk());
    assert_int_equal(state_when_opened(), BLOB_PARTIAL);
    assert_int_equal(store.used, 0);
    write_file("content"); /* a true one is taken over */
    assert_int_equal(state_when_opened(), BLOB_COMPLETE);
    assert_int_equal(store.used, footprint_of_size(SIZE));
}

static void scrub_end__leaves_a_partial_one_alone(void **state)
{
    (void)state;
    put_record(&digest, false, 0);
    write_file("c0ntent");
    assert_int_equal(scrub(), SCRUB_GONE);
    assert_true(is_on_disk());
}

static void scrub_end__takes_out_what_the_disk_has_lost(void **state)
{
    struct scrub_check check;

    (void)state;
    put_blob("content");
    begin_and_hash(&check);
    check.result = REHASH_UNREADABLE;
    assert_int_equal(scrub_end(&check), SCRUB_DAMAGED);
    assert_taken_out();
}

static void scrub_end__leaves_what_cannot_be_read_now(void **state)
{
    struct scrub_check check;
    int64_t verified_ms = 1;

    (void)state;
    put_blob("c0ntent");
    begin_and_hash(&check);
    check.result = REHASH_FAILED;
    assert_int_equal(scrub_end(&check), SCRUB_UNCHECKED);
    begin_and_hash(&check);
    check.result = REHASH_STOPPED;
    assert_int_equal(scrub_end(&check), SCRUB_STOPPED);
    assert_left();
    assert_true(is_recorded(&verified_ms) && verified_ms == 0);
}

/* ---- in use ---- */

static void scrub_end__fails_the_blob_of_its_readers(void **state)
{
    bool is_new;

    (void)state;
    put_blob("c0ntent");
    struct blob *blob = open_blob();
    assert_int_equal(scrub(), SCRUB_DAMAGED);
    struct blob_view view = blob_look(blob, 0, NULL);
    assert_true(view.state == BLOB_FAILED && view.err == ERR_DAMAGED && view.readable == 0);
    assert_taken_out();
    struct blob *next = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(next != blob);
    assert_int_equal(blob_look(next, 0, NULL).state, BLOB_PARTIAL);
    blob_unref(next);
    blob_unref(blob);
}

static void scrub_end__takes_an_idle_one_too(void **state)
{
    (void)state;
    put_blob("c0ntent");
    blob_unref(open_blob());
    assert_int_equal(scrub(), SCRUB_DAMAGED);
    assert_taken_out();
    assert_int_equal(scrub(), SCRUB_GONE);
}

/* Between the hashing and the verdict it was evicted, and came again. */
static void scrub_end__removes_no_other_file_than_it_read(void **state)
{
    struct scrub_check check;

    (void)state;
    put_blob("c0ntent");
    begin_and_hash(&check);
    write_file("content");
    assert_int_equal(scrub_end(&check), SCRUB_GONE);
    assert_left();

    write_file("c0ntent");
    begin_and_hash(&check);
    write_file("content");
    struct blob *blob = open_blob();
    assert_int_equal(scrub_end(&check), SCRUB_GONE);
    assert_left();
    assert_int_equal(blob_look(blob, 0, NULL).state, BLOB_COMPLETE);
    blob_unref(blob);
}

static void scrub_end__missed_file_may_be_there_again(void **state)
{
    struct scrub_check check;

    (void)state;
    put_blob("content");
    assert_int_equal(unlinkat(store.directory, path, 0), 0);
    assert_false(scrub_begin(&check, &store, &digest));
    write_file("content");
    assert_int_equal(scrub_end(&check), SCRUB_GONE);
    assert_left();
}

/* Whole, and served, but not recorded yet: its file is still on its way. */
static void scrub_end__leaves_what_is_not_settled(void **state)
{
    struct scrub_check check;

    (void)state;
    put_blob("c0ntent");
    begin_and_hash(&check);
    struct blob *blob = open_blob();
    put_record(&digest, false, 0);
    assert_int_equal(scrub_end(&check), SCRUB_GONE);
    assert_int_equal(blob_look(blob, 0, NULL).state, BLOB_COMPLETE);
    blob_unref(blob);
}

static void scrub_end__leaves_what_is_being_filled(void **state)
{
    struct extents nothing = {0};
    bool is_new;

    (void)state;
    put_blob("c0ntent");
    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_int_equal(scrub(), SCRUB_UNCHECKED); /* it does not come out of its opening */
    blob_opened_partial(blob, -1, BLOB_SIZE_UNKNOWN, &nothing);
    assert_int_equal(scrub(), SCRUB_GONE);
    blob_fill(blob);
    assert_int_equal(scrub(), SCRUB_GONE);
    assert_int_equal(blob_look(blob, 0, NULL).state, BLOB_FILLING);
    blob_fail(blob, ERR_STOPPING, NULL, 0);
    blob_unref(blob);
    assert_left();
}

/* ---- lists and reports ---- */

static struct digest digest_of_number(int number)
{
    struct digest of;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &of);
    return of;
}

static void assert_listed(int64_t before_ms, const int *numbers, size_t count)
{
    struct scrub_list list;

    scrub_list_make(&list, &store, before_ms);
    assert_int_equal(list.count, count);
    assert_int_equal(list.bytes, count * SIZE);
    for (size_t i = 0; i < count; i++) {
        struct digest expected = digest_of_number(numbers[i]);
        assert_true(digest_equal(&list.items[i].digest, &expected));
    }
    scrub_list_release(&list);
}

static void scrub_list_make__begins_with_the_longest_unverified(void **state)
{
    int64_t times[] = {500, 0, 300, clock_wall_ms() + 1000000, 400}; /* one is yet to come */

    (void)state;
    assert_listed(INT64_MAX, NULL, 0);
    for (int i = 0; i < 5; i++) {
        struct digest of = digest_of_number(i);
        put_record(&of, true, times[i]);
    }
    struct digest partial = digest_of_number(5);
    put_record(&partial, false, 0);
    assert_listed(INT64_MAX, (const int[]){1, 2, 4, 0, 3}, 5);
    assert_listed(400, (const int[]){1, 2, 3}, 3);
    assert_listed(1, (const int[]){1, 3}, 2);
}

static void scrub_count__gives_up_when_the_disk_is_ill(void **state)
{
    struct scrub_report report = {.blobs_total = 10, .bytes_total = 10 * SIZE};
    struct scrub_item item = {.size = SIZE};
    struct scrub_check check;

    (void)state;
    for (int i = 0; i < 5; i++) {
        put_blob("content");
        begin_and_hash(&check);
        if (i != 2) /* a sound one between them */
            check.result = REHASH_UNREADABLE;
        item.digest = digest_of_number(i);
        enum scrub_verdict verdict = scrub_end(&check);
        assert_true(scrub_count(&report, &item, &check, verdict));
    }
    assert_true(report.damaged == 4 && report.blobs == 5 && !report.failed);
    assert_true(digest_equal(&report.list[3], &item.digest));
    assert_true(scrub_count(&report, &item, &check, SCRUB_GONE));
    assert_true(report.blobs_total == 9 && report.bytes_total == 9 * SIZE);
    put_blob("content");
    begin_and_hash(&check);
    check.result = REHASH_UNREADABLE;
    enum scrub_verdict verdict = scrub_end(&check);
    assert_false(scrub_count(&report, &item, &check, verdict));
    assert_true(report.failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_path, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scrub_end__notes_what_is_sound),
        TEST(scrub_end__takes_out_what_is_damaged),
        TEST(scrub_end__damaged_file_that_stays_is_not_served_again),
        TEST(scrub_end__leaves_a_partial_one_alone),
        TEST(scrub_end__takes_out_what_the_disk_has_lost),
        TEST(scrub_end__leaves_what_cannot_be_read_now),
        TEST(scrub_end__fails_the_blob_of_its_readers),
        TEST(scrub_end__takes_an_idle_one_too),
        TEST(scrub_end__removes_no_other_file_than_it_read),
        TEST(scrub_end__missed_file_may_be_there_again),
        TEST(scrub_end__leaves_what_is_not_settled),
        TEST(scrub_end__leaves_what_is_being_filled),
        TEST(scrub_list_make__begins_with_the_longest_unverified),
        TEST(scrub_count__gives_up_when_the_disk_is_ill),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
