/* Unit tests of eviction: what goes, in which order, and what stays. */
#include "cache/evict.h"

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

/* So that FULL blobs are too many: ten lie below 98 % of what the index leaves of 64 MiB, and nine
 * below 95 %. A blob takes TAKEN. */
enum { SIZE = 6447104, TAKEN = SIZE + 4096, FULL = 12 };
enum { ROOM = 1 << 20 }; /* the index may grow meanwhile */

static char folder[64];
static struct config config;
static struct store store;
static struct loop loop;
static struct evictor evictor;
static struct buf problem;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-evict-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    config_drop_upstreams(&config);
    if (config_set(&config, "cache", folder, &problem) != OK ||
        config_set(&config, "cache_size", "64MiB", &problem) != OK ||
        store_open(&store, &config, &problem) != OK)
        return -1;
    loop_init(&loop, "test", false);
    evictor_init(&evictor, &store, &loop);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    store_close(&store);
    config_release(&config);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct digest digest_of_number(int number)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
    return digest;
}

static bool is_on_disk(int number)
{
    struct digest digest = digest_of_number(number);
    char path[BLOB_PATH_SIZE];
    struct stat status;

    blob_path_complete(&digest, path);
    return fstatat(store.directory, path, &status, 0) == 0;
}

static bool is_recorded(int number)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record;

    if (!index_get_blob(store.index, &digest, &record))
        return false;
    blob_record_release(&record);
    return true;
}

/* A file of SIZE bytes, sparse, at `path`. */
static void make_file(const char *path)
{
    assert_int_equal(disk_make_parents(store.directory, path), OK);
    int fd = openat(store.directory, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    close(fd);
}

static void put_blob(int number, int64_t last_used_ms)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record = {.complete = true, .size = SIZE, .last_used_ms = last_used_ms};
    char path[BLOB_PATH_SIZE];

    blob_path_complete(&digest, path);
    make_file(path);
    index_put_blob(store.index, &digest, &record);
    store.used += TAKEN;
}

/* Numbers 0 to FULL - 1; those used least recently have the highest. */
static void put_blobs(void)
{
    for (int i = 0; i < FULL; i++)
        put_blob(i, 1000 - i);
    index_flush_wait(store.index);
}

/* Whether these are there, and no others. */
static void assert_left(int first, int end)
{
    for (int i = 0; i < FULL; i++) {
        assert_int_equal(is_on_disk(i), i >= first && i < end);
        assert_int_equal(is_recorded(i), i >= first && i < end);
    }
    assert_int_equal(store.used, (uint64_t)(end - first) * TAKEN);
}

static struct evictor *stopped;

static void on_stopped(struct evictor *which)
{
    stopped = which;
}

/* One pass. */
static void evict(void)
{
    stopped = NULL;
    evict_run(&evictor);
    while (evictor.running)
        uv_run(&loop.uv, UV_RUN_ONCE);
    evictor_stop(&evictor, on_stopped);
    assert_ptr_equal(stopped, &evictor);
    assert_false(evictor.running);
    evictor_init(&evictor, &store, &loop);
}

static void evict_reserve__counts_what_will_be_written(void **state)
{
    uint64_t half = evict_budget(&store) / 2, rest = evict_budget(&store) - half;

    (void)state;
    assert_false(evict_is_due(&store));
    assert_int_equal(evict_reserve(&store, half, half), OK);
    assert_false(evict_is_due(&store));
    assert_int_equal(evict_reserve(&store, rest, rest), OK); /* just fits */
    assert_true(evict_is_due(&store));
    assert_int_equal(evict_reserve(&store, 1, 1), ERR_NO_ROOM);
    assert_int_equal(store.reserved, half + rest);
    evict_unreserve(&store, rest);
    assert_int_equal(evict_reserve(&store, 1, 1), OK);
    evict_unreserve(&store, half + 1);
    assert_int_equal(store.reserved, 0);
}

static void evict_reserve__refuses_what_could_never_fit(void **state)
{
    (void)state;
    assert_int_equal(evict_reserve(&store, evict_budget(&store) + 1, 1), ERR_OVER_BUDGET);
    assert_int_equal(evict_reserve(&store, UINT64_MAX, UINT64_MAX), ERR_OVER_BUDGET);
    assert_int_equal(store.reserved, 0);
}

static void evict_run__does_nothing_below_the_budget(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        put_blob(i, 1);
    index_flush_wait(store.index);
    evict_run(&evictor);
    assert_false(evictor.running);
    assert_left(0, 10);
}

static void evict_run__removes_the_least_recently_used(void **state)
{
    uint64_t epoch = store.blobs.eviction_epoch;

    (void)state;
    put_blobs();
    evict();
    assert_left(0, 9);
    assert_int_equal(store.blobs.eviction_epoch, epoch + 3);
    assert_int_equal(store.blobs.open, 3); /* what was claimed, idle */
    evict();                               /* not due any more */
    assert_left(0, 9);
}

/* The index, room for it to grow, and what lies beside it are not the blobs'. */
static void evict_budget__leaves_room_for_the_index(void **state)
{
    uint64_t budget = evict_budget(&store), index = index_bytes(store.index);

    (void)state;
    assert_true(index > 0 && budget + index < config.cache_size);
    for (int i = 0; i < 20000; i++) {
        struct digest digest = digest_of_number(i);
        index_put_tag(store.index, "x", digest_print(&digest, (char[DIGEST_TEXT_SIZE]){0}), "1",
                      &(struct tag_record){.digest = digest});
    }
    index_flush_wait(store.index);
    assert_true(index_bytes(store.index) > index + (1 << 20));
    assert_true(evict_budget(&store) + index_bytes(store.index) < config.cache_size);
    store.aside = config.cache_size;
    assert_int_equal(evict_budget(&store), 0);
    assert_false(evict_is_due(&store)); /* there is nothing that could go */
    assert_int_equal(evict_reserve(&store, 1, 1), ERR_OVER_BUDGET);
    evict_run(&evictor); /* says so */
    assert_true(evictor.told && !evictor.running);
}

/* It was used long before the others, but costs next to nothing. */
static void evict_run__spares_a_small_one(void **state)
{
    struct digest digest = digest_of_number(100);
    int64_t now = clock_wall_ms();
    struct blob_record record = {.complete = true, .size = 1000, .last_used_ms = now - 40 * 60000};
    char path[BLOB_PATH_SIZE];

    (void)state;
    blob_path_complete(&digest, path);
    make_file(path);
    index_put_blob(store.index, &digest, &record);
    store.used += 2 * 4096;
    for (int i = 0; i < FULL; i++)
        put_blob(i, now - 60000 - i);
    index_flush_wait(store.index);
    evict();
    assert_true(is_on_disk(100) && is_recorded(100));
    assert_false(is_on_disk(FULL - 1));
}

static bool told;

static void on_told(struct mail *mail)
{
    (void)mail;
    told = true;
}

static struct evict_waiter waiter;

static void wait_for(uint64_t bytes)
{
    waiter = (struct evict_waiter){.mail.deliver = on_told, .loop = &loop, .bytes = bytes};
    told = false;
    evict_wait(&store, &waiter);
}

static enum err room_for(uint64_t bytes)
{
    wait_for(bytes);
    while (!told)
        uv_run(&loop.uv, UV_RUN_ONCE);
    return waiter.err;
}

static void evict_wait__makes_room_for_those_who_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        put_blob(i, 1000 - i);
    assert_int_equal(room_for((uint64_t)5 * TAKEN), OK);
    assert_left(0, 5);
    assert_int_equal(room_for((uint64_t)5 * TAKEN), OK); /* it is there already */
    assert_left(0, 5);
}

static void evict_wait__removes_all_for_one_that_needs_all(void **state)
{
    (void)state;
    put_blobs();
    assert_int_equal(room_for(evict_budget(&store) - ROOM), OK);
    assert_left(0, 0);
}

static struct blob *open_blob(int number);

static void evict_wait__says_so_when_all_is_in_use(void **state)
{
    struct blob *used[FULL];

    (void)state;
    put_blobs();
    for (int i = 0; i < FULL; i++)
        used[i] = open_blob(i);
    assert_int_equal(room_for(1), ERR_NO_ROOM);
    assert_left(0, FULL);
    for (int i = 0; i < FULL; i++)
        blob_unref(used[i]);
    assert_int_equal(room_for(1), OK);
}

static void evict_leave__takes_the_wish_back(void **state)
{
    (void)state;
    put_blobs();
    wait_for(evict_budget(&store) - ROOM);
    evict_leave(&store, &waiter); /* before the pass, */
    evict();
    assert_left(0, 9);
    wait_for(evict_budget(&store) - ROOM);
    while (!evictor.running)
        uv_run(&loop.uv, UV_RUN_ONCE);
    evict_leave(&store, &waiter); /* in the middle of it, */
    while (evictor.running)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_false(told);
    evict_leave(&store, &waiter); /* and when there is none */
}

static void evict_wait__ends_with_the_evictor(void **state)
{
    (void)state;
    wait_for(1);
    evictor_stop(&evictor, on_stopped);
    while (!told)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_int_equal(waiter.err, ERR_STOPPING);
    assert_int_equal(room_for(1), ERR_STOPPING);
    evictor_release(&evictor);
    assert_int_equal(room_for(1), ERR_NO_ROOM);
    evictor_init(&evictor, &store, &loop);
}

static struct blob *open_blob(int number)
{
    struct digest digest = digest_of_number(number);
    char path[BLOB_PATH_SIZE];
    bool is_new;

    blob_path_complete(&digest, path);
    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    int fd = openat(store.directory, path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    blob_opened_complete(blob, fd, SIZE, "");
    return blob;
}

static void evict_reserve__counts_what_was_unlinked_and_is_open(void **state)
{
    uint64_t budget = evict_budget(&store) - ROOM;

    (void)state;
    put_blob(0, 1);
    struct blob *blob = open_blob(0);
    blob_forget(blob);
    blob_unlinked(blob, TAKEN);
    store.used -= TAKEN;
    assert_int_equal(evict_reserve(&store, budget, budget), ERR_NO_ROOM);
    blob_unref(blob); /* the last reader; it is closed by whoever may sleep */
    assert_int_equal(evict_reserve(&store, budget, budget), ERR_NO_ROOM);
    blobs_close_forgotten(&store.blobs);
    assert_int_equal(evict_reserve(&store, budget, budget), OK);
    evict_unreserve(&store, budget);
}

static void evict_run__leaves_what_is_used(void **state)
{
    char byte;

    (void)state;
    put_blobs();
    struct blob *used = open_blob(FULL - 1), *idle = open_blob(FULL - 2);
    int fd = idle->fd;
    blob_unref(idle);
    evict();
    assert_true(is_on_disk(FULL - 1) && is_recorded(FULL - 1));
    assert_int_equal(pread(used->fd, &byte, 1, SIZE - 1), 1);
    assert_true(fcntl(fd, F_GETFD) < 0); /* the idle one's file was closed */
    for (int i = 0; i < FULL - 1; i++)
        assert_int_equal(is_on_disk(i), i < 8);
    assert_int_equal(store.used, (uint64_t)9 * TAKEN);
    blob_unref(used);
}

static void evict_run__ends_when_all_are_used(void **state)
{
    struct blob *used[FULL];

    (void)state;
    put_blobs();
    for (int i = 0; i < FULL; i++)
        used[i] = open_blob(i);
    evict();
    assert_left(0, FULL);
    assert_true(evict_is_due(&store));
    for (int i = 0; i < FULL; i++)
        blob_unref(used[i]);
    evict();
    assert_left(0, 9);
}

static void evict_run__counts_a_use_that_is_on_its_way(void **state)
{
    struct digest digest = digest_of_number(FULL - 1);

    (void)state;
    put_blobs();
    index_touch(store.index, &digest);
    evict();
    for (int i = 0; i < FULL; i++)
        assert_int_equal(is_on_disk(i), i < 8 || i == FULL - 1);
}

/* What is there of it counts, not what it will be. */
static void evict_run__removes_partial_blobs_too(void **state)
{
    struct blob_record partial = {.size = (uint64_t)10 * SIZE};
    struct digest digest = digest_of_number(100);
    char path[BLOB_PATH_SIZE];
    struct stat status;

    (void)state;
    blob_path_partial(&digest, path);
    make_file(path);
    extents_add(&partial.present, (struct extent){0, 1000});
    extents_add(&partial.present, (struct extent){SIZE, 3 * SIZE - 1000});
    index_put_blob(store.index, &digest, &partial);
    blob_record_release(&partial);
    store.used += 2 * SIZE + 2 * 4096; /* a block at the start, and the file's own */
    put_blobs();
    evict();
    assert_left(0, 9);
    assert_false(is_recorded(100));
    assert_int_not_equal(fstatat(store.directory, path, &status, 0), 0);
}

static void evict_run__takes_what_is_there_when_it_comes_to_it(void **state)
{
    struct digest digest = digest_of_number(FULL - 1);

    (void)state;
    put_blobs();
    index_delete_blob(store.index, &digest); /* somebody took it out: it is not counted twice */
    store.used -= TAKEN;
    evict();
    for (int i = 0; i < FULL - 1; i++)
        assert_int_equal(is_on_disk(i), i < 9);
    assert_int_equal(store.used, (uint64_t)9 * TAKEN);
}

static void evict_press__goes_below_what_is_used(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        put_blob(i, 1000 - i);
    assert_false(evict_is_due(&store));
    evict_press(&store);
    assert_true(evict_is_due(&store));
    evict();
    assert_left(0, 9);
    assert_false(evict_is_due(&store)); /* it holds for one pass */
}

static void evict_run__pauses_after_a_pass_in_vain(void **state)
{
    (void)state;
    uint64_t all = evict_budget(&store);
    assert_int_equal(evict_reserve(&store, all, all), OK);
    put_blob(0, 1);
    index_flush_wait(store.index);
    struct blob *used = open_blob(0);
    evict_run(&evictor);
    assert_true(evictor.running);
    while (evictor.running)
        uv_run(&loop.uv, UV_RUN_ONCE);
    evict_run(&evictor);
    assert_false(evictor.running);
    blob_unref(used);
    evict_unreserve(&store, all);
}

static void evict_run__leaves_a_blob_that_can_be_fetched_again(void **state)
{
    struct digest digest = digest_of_number(FULL - 1);
    bool is_new;

    (void)state;
    put_blobs();
    evict();
    struct blob *blob = blobs_get(&store.blobs, &digest, &is_new);
    struct blob_view view = blob_look(blob, 0, NULL);
    assert_true(!is_new && view.state == BLOB_PARTIAL && view.fd == -1);
    assert_true(view.size == BLOB_SIZE_UNKNOWN && blob_want(blob));
    blob_unref(blob);
}

static void evictor_stop__lets_no_pass_begin(void **state)
{
    (void)state;
    put_blobs();
    stopped = NULL;
    evictor_stop(&evictor, on_stopped);
    assert_ptr_equal(stopped, &evictor); /* nothing was running */
    evict_run(&evictor);
    assert_false(evictor.running);
    assert_left(0, FULL);
}

/* ---- what is pinned ---- */

/* Pins the blobs from `first` on by their digests; 0 of them: none. */
static void pin(int first, size_t count)
{
    static struct pattern patterns[FULL];

    for (size_t i = 0; i < count; i++)
        patterns[i] =
            (struct pattern){.by_digest = true, .digest = digest_of_number(first + (int)i)};
    config.pins = count > 0 ? patterns : NULL;
    config.pin_count = count;
}

static void assert_pinned_left(int first, int end)
{
    for (int i = first; i < end; i++)
        assert_true(is_on_disk(i) && is_recorded(i));
}

static void evict_run__takes_others_for_what_is_pinned(void **state)
{
    (void)state;
    put_blobs();
    pin(FULL - 2, 2); /* those used least recently */
    evict();
    assert_pinned_left(FULL - 2, FULL);
    assert_false(is_on_disk(FULL - 3) || is_on_disk(FULL - 4) || is_on_disk(FULL - 5));
    pin(0, 0);
    assert_int_equal(room_for(3 * SIZE), OK); /* they are what goes first again */
    assert_false(is_on_disk(FULL - 1) || is_on_disk(FULL - 2));
}

static void evict_wait__says_so_when_all_is_pinned(void **state)
{
    (void)state;
    put_blobs();
    pin(0, FULL);
    assert_int_equal(room_for(1), ERR_NO_ROOM);
    assert_pinned_left(0, FULL);
    assert_true(evictor.pins.said_us > 0);
    pin(FULL - 5, 5);
    assert_int_equal(room_for(3 * SIZE), OK);
    assert_int_equal(room_for(evict_budget(&store) - 5 * TAKEN + 1), ERR_NO_ROOM);
    assert_pinned_left(FULL - 5, FULL);
    assert_true(is_on_disk(0)); /* it would be in vain */
    pin(0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(evict_reserve__counts_what_will_be_written),
        TEST(evict_reserve__refuses_what_could_never_fit),
        TEST(evict_budget__leaves_room_for_the_index),
        TEST(evict_run__does_nothing_below_the_budget),
        TEST(evict_run__spares_a_small_one),
        TEST(evict_run__removes_the_least_recently_used),
        TEST(evict_wait__makes_room_for_those_who_wait),
        TEST(evict_wait__removes_all_for_one_that_needs_all),
        TEST(evict_wait__says_so_when_all_is_in_use),
        TEST(evict_wait__ends_with_the_evictor),
        TEST(evict_leave__takes_the_wish_back),
        TEST(evict_reserve__counts_what_was_unlinked_and_is_open),
        TEST(evict_run__leaves_what_is_used),
        TEST(evict_run__ends_when_all_are_used),
        TEST(evict_run__counts_a_use_that_is_on_its_way),
        TEST(evict_run__removes_partial_blobs_too),
        TEST(evict_run__takes_what_is_there_when_it_comes_to_it),
        TEST(evict_run__pauses_after_a_pass_in_vain),
        TEST(evict_run__leaves_a_blob_that_can_be_fetched_again),
        TEST(evict_press__goes_below_what_is_used),
        TEST(evictor_stop__lets_no_pass_begin),
        TEST(evict_run__takes_others_for_what_is_pinned),
        TEST(evict_wait__says_so_when_all_is_pinned),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
