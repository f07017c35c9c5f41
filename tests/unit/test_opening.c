/* Unit tests of opening a blob: what is counted when its record says more than can be trusted. */
#include "cache/opening.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/footprint.h"
#include "io/disk.h"
#include "store_helpers.h"

/* Three pages were written, by a boot that is over, and the first of them synced. */
static void put_partial(struct blob_record *record)
{
    char path[BLOB_PATH_SIZE];

    blob_path_partial(&digest, path);
    assert_int_equal(disk_make_parents(store.directory, path), OK);
    int fd = openat(store.directory, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 12288), 0);
    close(fd);
    *record = (struct blob_record){.size = 16384, .boot_id = "another"};
    extents_add(&record->present, (struct extent){0, 12288});
    extents_add(&record->durable, (struct extent){0, 4096});
    index_put_blob(store.index, &digest, record);
    store.used += footprint_of_record(record);
}

static void on_opened(void *owner)
{
    loop_stop(owner);
}

/* What a reader sees; `starved`: no descriptor is left meanwhile. */
static struct blob_view view_when_opened(bool starved)
{
    struct rlimit limit;
    struct loop loop;
    bool is_new;

    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    loop_init(&loop, "test", false);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = starved ? 0 : before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    opening_start(&store, &loop, blob, on_opened, &loop);
    loop_run(&loop);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    loop_release(&loop);
    struct blob_view view = blob_look(blob, 0, NULL);
    blob_unref(blob);
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
    return view;
}

static uint64_t readable_when_opened(void)
{
    return view_when_opened(false).readable;
}

static void opening__counts_off_once_what_is_not_trusted(void **state)
{
    struct blob_record record;

    (void)state;
    put_partial(&record);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(readable_when_opened(), 4096);
        assert_int_equal(store.used, footprint_of_extents(&record.durable));
    }
    store.boot_id[0] = '\0'; /* the kernel does not say */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(readable_when_opened(), 4096);
        assert_int_equal(store.used, footprint_of_extents(&record.durable));
    }
    blob_record_release(&record);
}

static void opening__keeps_a_partial_file_that_it_cannot_open_now(void **state)
{
    struct blob_record record;

    (void)state;
    put_partial(&record);
    struct blob_view view = view_when_opened(true);
    assert_true(view.state == BLOB_FAILED && view.err == ERR_DISK_FAILED);
    assert_int_equal(readable_when_opened(), 4096);
    blob_record_release(&record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opening__counts_off_once_what_is_not_trusted),
        TEST(opening__keeps_a_partial_file_that_it_cannot_open_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
