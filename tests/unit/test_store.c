/* Unit tests of the cache directory: whose it is, who has it, and what is found in it. */
#include "cache/store.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/footprint.h"
#include "io/disk.h"

static char folder[64];
static struct config config; /* of the cache in folder/cache, and without upstreams */
static struct store store;
static bool is_open;
static struct buf problem;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int setup(void **state)
{
    char cache[128];

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-store-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(cache, sizeof(cache), "%s/cache", folder);
    config_init(&config);
    config_drop_upstreams(&config);
    return config_set(&config, "cache", cache, &problem) == OK &&
                   config_set(&config, "cache_size", "1MiB", &problem) == OK
               ? 0
               : -1;
}

static void open_store(void)
{
    if (store_open(&store, &config, &problem) != OK)
        fail_msg("%s", problem.data);
    is_open = true;
}

static void close_store(void)
{
    store_close(&store);
    is_open = false;
}

static int teardown(void **state)
{
    (void)state;
    if (is_open)
        close_store();
    config_release(&config);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void assert_refused(enum err expected, const char *part)
{
    struct store other;

    buf_clear(&problem);
    assert_int_equal(store_open(&other, &config, &problem), expected);
    if (strstr(problem.data, config.cache) == NULL || strstr(problem.data, part) == NULL)
        fail_msg("\"%s\" or the path is not in: %s", part, problem.data);
}

/* Names below the cache directory. */
static const char *below(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", config.cache, name);
    return path;
}

static bool exists(const char *name)
{
    struct stat status;

    return lstat(below(name), &status) == 0;
}

static void write_file(const char *name, const char *content)
{
    const char *path = below(name);

    assert_int_equal(disk_make_parents(AT_FDCWD, path), OK);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(fd, content, strlen(content), 0), OK);
    close(fd);
}

static void assert_content(const char *name, const char *content)
{
    char found[256] = "";
    int fd = open(below(name), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, found, sizeof(found) - 1) >= 0);
    close(fd);
    assert_string_equal(found, content);
}

static struct digest digest_of_text(const char *text)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, text, strlen(text), &digest);
    return digest;
}

/* ---- whose it is ---- */

static void store_open__makes_the_folder(void **state)
{
    char deep[256];

    (void)state;
    (void)snprintf(deep, sizeof(deep), "%s/a/b/c", folder);
    assert_int_equal(config_set(&config, "cache", deep, &problem), OK);
    open_store();
    assert_content("format", "entrepot 1\n");
    assert_true(exists("index/data.mdb") && exists("lock"));
    assert_true(store.used == 0 && store.reserved == 0);
    assert_int_equal(strlen(store.boot_id), 36);
    close_store();
    open_store(); /* and takes it over again */
}

static void store_open__refuses_a_foreign_folder(void **state)
{
    (void)state;
    write_file("notes.txt", "mine");
    assert_refused(ERR_CONFIG, "--cache");
    assert_content("notes.txt", "mine");
    assert_false(exists("format") || exists("index") || exists("lock"));
    write_file("format", "entrepot 1\n"); /* somebody said that it is ours */
    open_store();
    assert_content("notes.txt", "mine");
}

static void store_open__takes_over_what_can_only_be_ours(void **state)
{
    (void)state;
    write_file("lost+found/x", "");
    write_file("lock", "");
    write_file("index.damaged-1700000000/data.mdb", "");
    open_store();
    assert_content("format", "entrepot 1\n");
}

static void store_open__finishes_what_was_cut_short(void **state)
{
    (void)state;
    write_file("format", "");
    open_store();
    assert_content("format", "entrepot 1\n");
    close_store();
    write_file("notes.txt", "mine");
    write_file("format", "");
    assert_refused(ERR_CONFIG, "--cache");
}

static void store_open__refuses_another_layout(void **state)
{
    static const char *const others[] = {"entrepot 2\n", "entrepot 10\n", "entrepot 1\n\n", "\n",
                                         "entrepot 1 and then more than all that could be meant\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        write_file("format", others[i]);
        assert_refused(ERR_CONFIG, "run the Entrepot that made it");
        assert_content("format", others[i]);
        assert_false(exists("index"));
    }
    write_file("format", "entrepot 2\n");
    assert_refused(ERR_CONFIG, "\"entrepot 2\"");
}

static void store_open__says_what_it_cannot_do(void **state)
{
    (void)state;
    assert_int_equal(config_set(&config, "cache", "/dev/null/cache", &problem), OK);
    assert_refused(ERR_DISK_FAILED, "cannot");
}

static void store_open__is_refused_while_another_has_it(void **state)
{
    (void)state;
    open_store();
    assert_refused(ERR_CACHE_IN_USE, "in use");
    assert_refused(ERR_CACHE_IN_USE, "in use");
    close_store();
    open_store();
}

static void store_open__passes_on_what_the_index_says(void **state)
{
    (void)state;
    write_file("format", "entrepot 1\n");
    write_file("index", "not a folder");
    assert_refused(ERR_DISK_FAILED, "index");
    assert_int_equal(unlink(below("index")), 0);
    open_store(); /* the lock was let go */
}

/* ---- what is in it ---- */

static void write_blob(const char *content)
{
    struct digest digest = digest_of_text(content);
    char path[BLOB_PATH_SIZE];

    blob_path_complete(&digest, path);
    write_file(path, content);
}

static void assert_recorded(const char *content)
{
    struct digest digest = digest_of_text(content);
    struct blob_record record;

    assert_true(index_get_blob(store.index, &digest, &record));
    assert_true(record.complete && record.size == strlen(content));
    assert_true(record.last_used_ms > 0 && record.last_used_ms <= clock_wall_ms());
    blob_record_release(&record);
}

static bool on_counted(void *argument, const struct digest *digest,
                       const struct blob_record *record)
{
    (void)digest;
    (void)record;
    ++*(int *)argument;
    return true;
}

static void assert_records(int expected)
{
    int count = 0;

    index_each_blob(store.index, on_counted, &count);
    assert_int_equal(count, expected);
}

static void store_open__lists_blobs_again_without_an_index(void **state)
{
    struct digest digest = digest_of_text("elsewhere");
    char path[BLOB_PATH_SIZE], wrong[BLOB_PATH_SIZE + 8];

    (void)state;
    write_blob("one");
    write_blob("two and more");
    write_blob("");
    /* Names that we do not make are not blobs. */
    write_file("blobs/sha256/ab/abcdef", "short");
    write_file("blobs/sha256/.hidden/x", "hidden");
    write_file("blobs/md5/ab/ab", "another algorithm");
    blob_path_complete(&digest, path);
    (void)snprintf(wrong, sizeof(wrong), "blobs/sha256/zz/%s", strrchr(path, '/') + 1);
    write_file(wrong, "in another folder");
    write_file("format", "entrepot 1\n");
    digest = digest_of_text("linked");
    blob_path_complete(&digest, path);
    assert_int_equal(disk_make_parents(AT_FDCWD, below(path)), OK);
    assert_int_equal(symlink("/etc/passwd", below(path)), 0);
    open_store();
    assert_recorded("one");
    assert_recorded("two and more");
    assert_recorded("");
    assert_records(3);
    assert_int_equal(store.used, footprint_of_size(3) + footprint_of_size(12));
}

static void store_open__survives_the_loss_of_the_index(void **state)
{
    (void)state;
    open_store();
    close_store();
    write_blob("one");
    open_store(); /* its index says nothing of it, but the name does */
    assert_recorded("one");
    assert_int_equal(store.used, footprint_of_size(3));
    close_store();
    open_store();
    assert_int_equal(store.used, footprint_of_size(3)); /* counted once */
    close_store();
    assert_int_equal(nftw(below("index"), remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    open_store();
    assert_recorded("one");
    close_store();
    int fd = open(below("index/data.mdb"), O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(disk_write(fd, "garbage", 7, 0), OK);
    close(fd);
    open_store();
    assert_recorded("one");
    assert_int_equal(store.used, footprint_of_size(3));
}

static void write_partial(const char *content, char path[BLOB_PATH_SIZE])
{
    struct digest digest = digest_of_text(content);

    blob_path_partial(&digest, path);
    write_file(path, content);
}

static void put_record(const char *content, bool complete)
{
    struct digest digest = digest_of_text(content);
    struct blob_record record = {.size = 1000, .complete = complete};

    if (!complete) {
        extents_add(&record.present, (struct extent){0, 3});
        memcpy(record.boot_id, store.boot_id, sizeof(record.boot_id));
    }
    index_put_blob(store.index, &digest, &record);
    blob_record_release(&record);
}

static void store_open__removes_partial_files_without_a_record(void **state)
{
    char known[BLOB_PATH_SIZE], unknown[BLOB_PATH_SIZE], done[BLOB_PATH_SIZE];

    (void)state;
    open_store();
    put_record("known", false);
    put_record("done", true);
    close_store();
    write_partial("known", known);
    write_partial("unknown", unknown);
    write_partial("done", done); /* under blobs/ by now */
    write_file("partial/sha256/rubbish", "");
    open_store();
    assert_true(exists(known));
    assert_false(exists(unknown) || exists(done) || exists("partial/sha256/rubbish"));
    /* of the partial one what is there */
    assert_int_equal(store.used, footprint_of_size(1000) + footprint_of_size(3));
    assert_records(2);
}

/* Of a file of twelve blocks with these bytes recorded, in this boot or another. */
static uint64_t blocks_after(bool same_boot, struct extent present, struct extent durable)
{
    static char content[12 * FOOTPRINT_BLOCK];
    struct digest digest = digest_of_text("killed");
    struct blob_record record = {.size = sizeof(content)};
    char path[BLOB_PATH_SIZE];
    struct stat status;

    open_store();
    memset(content, 'x', sizeof(content) - 1);
    if (present.end > 0)
        extents_add(&record.present, present);
    if (durable.end > 0)
        extents_add(&record.durable, durable);
    memcpy(record.boot_id, same_boot ? store.boot_id : "another", sizeof("another"));
    if (same_boot)
        memcpy(record.boot_id, store.boot_id, sizeof(record.boot_id));
    index_put_blob(store.index, &digest, &record);
    blob_record_release(&record);
    close_store();
    blob_path_partial(&digest, path);
    write_file(path, content);
    open_store();
    uint64_t used = store.used;
    uint64_t blocks = stat(below(path), &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
    assert_int_equal(used, blocks == 0 ? 0 : blocks + FOOTPRINT_BLOCK);
    close_store();
    return blocks;
}

static void store_open__gives_back_what_no_record_tells_of(void **state)
{
    enum { BLOCK = FOOTPRINT_BLOCK };
    struct extent none = {0, 0}, some = {2 * BLOCK + 10, 5 * BLOCK - 10},
                  less = {3 * BLOCK, 4 * BLOCK};

    (void)state;
    assert_int_equal(blocks_after(true, some, none), 3 * BLOCK);
    assert_int_equal(blocks_after(true, (struct extent){0, 12 * BLOCK}, none), 12 * BLOCK);
    assert_int_equal(blocks_after(false, some, less), BLOCK);
    assert_int_equal(blocks_after(false, some, none), 0);
    open_store();
    assert_records(0);
}

static void store_open__believes_a_name_more_than_a_partial_record(void **state)
{
    (void)state;
    open_store();
    put_record("moved", false);
    close_store();
    write_blob("moved"); /* we were killed before the index said so */
    open_store();
    assert_recorded("moved");
    assert_records(1);
    assert_int_equal(store.used, footprint_of_size(5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(store_open__makes_the_folder),
        TEST(store_open__refuses_a_foreign_folder),
        TEST(store_open__takes_over_what_can_only_be_ours),
        TEST(store_open__finishes_what_was_cut_short),
        TEST(store_open__refuses_another_layout),
        TEST(store_open__says_what_it_cannot_do),
        TEST(store_open__is_refused_while_another_has_it),
        TEST(store_open__passes_on_what_the_index_says),
        TEST(store_open__lists_blobs_again_without_an_index),
        TEST(store_open__survives_the_loss_of_the_index),
        TEST(store_open__removes_partial_files_without_a_record),
        TEST(store_open__gives_back_what_no_record_tells_of),
        TEST(store_open__believes_a_name_more_than_a_partial_record),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
