/* Unit tests of opening a blob: what is counted when its record says more than can be trusted. */
#include "cache/opening.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/footprint.h"
#include "io/disk.h"

static char folder[64];
static struct config config;
static struct store store;
static struct buf problem;
static struct digest digest;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-opening-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    config_drop_upstreams(&config);
    digest_of(DIGEST_SHA256, "content", 7, &digest);
    return config_set(&config, "cache", folder, &problem) == OK &&
                   config_set(&config, "cache_size", "1MiB", &problem) == OK &&
                   store_open(&store, &config, &problem) == OK
               ? 0
               : -1;
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(name);
}

static int teardown(void **state)
{
    (void)state;
    store_close(&store);
    config_release(&config);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

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

/* How much of it can be read. */
static uint64_t readable_when_opened(void)
{
    struct loop loop;
    bool is_new;

    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    loop_init(&loop, "test", false);
    opening_start(&store, &loop, blob, on_opened, &loop);
    loop_run(&loop);
    loop_release(&loop);
    uint64_t readable = blob_look(blob, 0, NULL).readable;
    blob_unref(blob);
    blobs_sweep(&store.blobs, UINT64_MAX, 0);
    return readable;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opening__counts_off_once_what_is_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
