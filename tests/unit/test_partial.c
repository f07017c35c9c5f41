/* Unit tests of the file of a blob that is filling, on a disk that loses what was written. */
#include "cache/partial.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/footprint.h"
#include "cache/settle.h"
#include "io/disk.h"
#include "store_helpers.h"

static struct loop loop;
static unsigned busy;
static bool loses; /* once, as a kernel tells it */

/* In the place of libc's. */
int fdatasync(int fd)
{
    if (!loses)
        return (int)syscall(SYS_fdatasync, fd);
    loses = false;
    errno = EIO;
    return -1;
}

/* "content", all of it written. */
static struct blob *written(void)
{
    struct extents nothing = {0};
    bool is_new;

    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    blob_opened_partial(blob, -1, 7, &nothing);
    blob_fill(blob);
    assert_int_equal(partial_create(&store, blob), OK);
    assert_int_equal(disk_write(blob->fd, "content", 7, 0), OK);
    blob_publish(blob, (struct extent){0, 7});
    store.used += footprint_of_size(7);
    partial_record(&store, blob);
    index_flush_wait(store.index); /* which syncs too */
    return blob;
}

static unsigned synced;

static void on_synced(struct blob *blob)
{
    (void)blob;
    synced++;
}

static void sync_it(struct blob *blob)
{
    loses = true;
    partial_sync(&store, &loop, blob, &busy, on_synced);
    while (busy > 0)
        uv_run(&loop.uv, UV_RUN_ONCE);
}

static bool is_recorded(void)
{
    struct blob_record record;

    index_flush_wait(store.index);
    if (!index_get_blob(store.index, &digest, &record))
        return false;
    blob_record_release(&record);
    return true;
}

static enum err settled;

static void on_settled(void *owner, enum err err)
{
    *(bool *)owner = true;
    settled = err;
}

static void settle(struct blob *blob)
{
    bool over = false;

    blob_finish(blob);
    settle_start(&store, &loop, blob, on_settled, &over);
    while (!over)
        uv_run(&loop.uv, UV_RUN_ONCE);
    blob_unref(blob);
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
}

static void assert_gone(void)
{
    assert_false(is_recorded());
    assert_int_equal(store.used, 0);
    assert_int_equal(store.blobs.unlinked, 0);
    assert_int_equal(store.blobs.open, 0);
}

static void settle__makes_nothing_whole_of_what_a_sync_has_lost(void **state)
{
    (void)state;
    loop_init(&loop, "test", false);
    struct blob *blob = written();
    sync_it(blob); /* the next sync will say that all is well */
    settle(blob);
    assert_int_equal(settled, ERR_DISK_FAILED);
    assert_gone();
    blob = written();
    loses = true;
    settle(blob);
    assert_int_equal(settled, ERR_DISK_FAILED);
    assert_gone();
    settle(written());
    assert_int_equal(settled, OK);
    assert_true(is_recorded());
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
}

static void partial_sync__discards_what_is_lost_and_nobody_fills(void **state)
{
    (void)state;
    loop_init(&loop, "test", false);
    struct blob *blob = written();
    assert_true(blob_unfill(blob));
    sync_it(blob);
    assert_int_equal(blob_look(blob, 0, NULL).state, BLOB_FAILED);
    blob_unref(blob);
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
    assert_gone();
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
}

/* There is something to wait for only while a sync runs; what it covers counts no more. */
static void partial_is_behind__while_too_much_is_unsynced(void **state)
{
    struct config other = *store.config;
    const struct config *before = store.config;

    (void)state;
    loop_init(&loop, "test", false);
    struct blob *blob = written();
    other.checkpoint = 28;
    store.config = &other;
    assert_false(partial_is_behind(&store, blob));
    synced = 0;
    partial_sync(&store, &loop, blob, &busy, on_synced);
    assert_true(partial_is_behind(&store, blob));
    other.checkpoint = 32;
    assert_false(partial_is_behind(&store, blob));
    other.checkpoint = 28;
    partial_sync(&store, &loop, blob, &busy, on_synced); /* another one is to follow */
    while (busy > 0)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_int_equal(synced, 2);
    assert_int_equal(extents_total(&blob->durable), 7);
    blob->syncing = true;
    assert_false(partial_is_behind(&store, blob));
    blob->syncing = false;
    store.config = before;
    settle(blob);
    assert_int_equal(settled, OK);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
}

/* A partial file goes, but its record stays on the disk: were there a new file in its place when we
 * are killed, its holes would be served as what the record says. */
static void partial_create__waits_until_the_last_file_is_forgotten(void **state)
{
    struct extents nothing = {0};
    struct rlimit limit;
    bool is_new;

    (void)state;
    struct blob *blob = written();
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 0; /* the disk refuses all writes */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    partial_discard(&store, blob);
    blob_fail(blob, ERR_DIGEST_MISMATCH, NULL, 0);
    blob_unref(blob);
    index_flush_wait(store.index);
    blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    blob_opened_partial(blob, -1, 7, &nothing);
    blob_fill(blob);
    assert_int_equal(partial_create(&store, blob), ERR_DISK_FAILED);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (index_is_behind(store.index, &digest)) /* it is tried again with each write */
        index_flush_wait(store.index);
    assert_int_equal(partial_create(&store, blob), OK);
    assert_true(blob_unfill(blob));
    blob_unref(blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settle__makes_nothing_whole_of_what_a_sync_has_lost),
        TEST(partial_sync__discards_what_is_lost_and_nobody_fills),
        TEST(partial_is_behind__while_too_much_is_unsynced),
        TEST(partial_create__waits_until_the_last_file_is_forgotten),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
