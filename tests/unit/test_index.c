/*
 * Unit tests of the index, a property test against an array, and a stress of readers beside
 * writers: what one transaction sees is what was written up to some moment, in the order in which
 * it was given.
 *
 * What catches what, each seen to fail with the bug planted in queue(): the lock left out, TSan;
 * writes put in front, the readers' CHECKs; the writer not woken, the alarm.
 */
#include "cache/index.h"

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <lmdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "index_helpers.h"

static void index_put_blob__keeps_all_of_it(void **state)
{
    struct digest digest = digest_of_number(1);
    struct blob_record record = {
        .size = 1000, .last_used_ms = 5, .media_type = "a/b", .boot_id = "boot"};

    (void)state;
    assert_int_equal(blob_size(1), 0);
    extents_add(&record.present, (struct extent){10, 20});
    extents_add(&record.durable, (struct extent){12, 15});
    index_put_blob(catalog, &digest, &record);
    blob_record_release(&record); /* it was copied */
    index_flush_wait(catalog);
    assert_true(index_get_blob(catalog, &digest, &record));
    assert_true(record.size == 1000 && !record.complete && record.durable.count == 1);
    assert_int_equal(record.last_used_ms, 5);
    assert_string_equal(record.media_type, "a/b");
    assert_string_equal(record.boot_id, "boot");
    assert_int_equal(record.present.count, 1);
    assert_int_equal(extents_run_end(&record.present, 10), 20);
    blob_record_release(&record);
    index_delete_blob(catalog, &digest);
    index_delete_blob(catalog, &digest); /* of nothing: harmless */
    index_flush_wait(catalog);
    assert_int_equal(blob_size(1), 0);
}

static void index_put_tag__is_found_under_its_names_only(void **state)
{
    struct tag_record record = {.digest = digest_of_number(1), .size = 7, .checked = 3}, found;
    char long_name[256] = "", long_tag[129] = "";

    (void)state;
    memset(long_name, 'r', sizeof(long_name) - 1);
    memset(long_tag, 't', sizeof(long_tag) - 1);
    index_put_tag(catalog, "docker.io", "library/nginx", "latest", &record);
    record.checked = 4;
    index_put_tag(catalog, long_name, long_name, long_tag, &record);
    index_flush_wait(catalog);
    assert_true(index_get_tag(catalog, "docker.io", "library/nginx", "latest", &found));
    assert_true(digest_equal(&found.digest, &record.digest) && found.size == 7);
    assert_int_equal(found.checked, 3);
    assert_string_equal(found.repository, "library/nginx");
    assert_true(index_get_tag(catalog, long_name, long_name, long_tag, &found));
    assert_int_equal(found.checked, 4);
    assert_string_equal(found.tag, long_tag);
    assert_false(index_get_tag(catalog, "docker.io", "library/nginx", "late", &found));
    assert_false(index_get_tag(catalog, "docker.io", "library", "nginx/latest", &found));
    assert_false(index_get_tag(catalog, "", "library/nginx", "latest", &found));
    index_delete_tag(catalog, "docker.io", "library/nginx", "latest");
    index_flush_wait(catalog);
    assert_false(index_get_tag(catalog, "docker.io", "library/nginx", "latest", &found));
    assert_true(index_get_tag(catalog, long_name, long_name, long_tag, &found));
}

static void index_put_holding__is_found_without_an_upstream_too(void **state)
{
    struct digest digest = digest_of_number(1), other = digest_of_number(2);
    struct holding_record first = {.size = 5, .is_manifest = true, .upstream = "a.example"},
                          second = {.size = 5, .learned = true, .upstream = "b.example"}, found;

    (void)state;
    index_put_holding(catalog, "team/app", &digest, &first);
    index_put_holding(catalog, "team/app", &digest, &second);
    index_flush_wait(catalog);
    assert_true(index_get_holding(catalog, "a.example", "team/app", &digest, &found));
    assert_true(found.is_manifest && !found.learned && found.size == 5);
    assert_string_equal(found.upstream, "a.example");
    assert_true(index_get_holding(catalog, "b.example", "team/app", &digest, &found));
    assert_true(!found.is_manifest && found.learned);
    assert_true(index_get_holding(catalog, "", "team/app", &digest, &found));
    assert_string_equal(found.upstream, "b.example"); /* the last one */
    assert_false(index_get_holding(catalog, "", "team/other", &digest, &found));
    assert_false(index_get_holding(catalog, "", "team/app", &other, &found));
    assert_false(index_get_holding(catalog, "c.example", "team/app", &digest, &found));
}

/* Random writes, and then the last of each key counts. */
static void index__agrees_with_an_array(void **state)
{
    enum { KEYS = 16, STEPS = 2000 };
    uint64_t model[KEYS] = {0};
    unsigned random = 5;

    (void)state;
    for (unsigned step = 1; step <= STEPS; step++) {
        unsigned key = (unsigned)rand_r(&random) % KEYS;
        struct digest digest = digest_of_number(key);
        if (rand_r(&random) % 3 == 0) {
            index_delete_blob(catalog, &digest);
            model[key] = 0;
        } else {
            put_blob(key, step);
            model[key] = step;
        }
        if (rand_r(&random) % 100 != 0)
            continue;
        index_flush_wait(catalog);
        for (unsigned i = 0; i < KEYS; i++)
            assert_true(blob_size(i) == model[i]);
    }
}

/* ---- flush, touch, each ---- */

struct post {
    struct mail mail;
    struct loop loop;
    bool came;
};

static void on_flushed(struct mail *mail)
{
    struct post *post = container_of(mail, struct post, mail);

    assert_int_equal(blob_size(1), 100);
    assert_int_equal(blob_size(2), 200);
    post->came = true;
    loop_stop(&post->loop);
}

static void index_flush__mails_when_all_is_committed(void **state)
{
    struct post post = {.mail.deliver = on_flushed};

    (void)state;
    loop_init(&post.loop, "test", false);
    put_blob(1, 100);
    put_blob(2, 200);
    index_flush(catalog, &post.loop, &post.mail);
    loop_run(&post.loop);
    assert_true(post.came);
    loop_release(&post.loop);
}

static void *put_and_flush(void *argument)
{
    put_blob(1, *(const unsigned *)argument);
    index_flush_wait(catalog);
    return NULL;
}

static void *put_only(void *argument)
{
    put_blob(2, *(const unsigned *)argument);
    return NULL;
}

static void *hold_next(void *unused)
{
    (void)unused;
    index_hold(catalog);
    put_blob(3, blob_size(3) + 1); /* as it was when the first had released */
    index_release(catalog);
    return NULL;
}

/* Others' writes wait, the holder's do not. Each seen to fail: writes that are not held back; a
 * second holder beside the first; a release that wakes nobody; a hold that does not wait for what
 * was given before. */
static void index_hold__has_the_others_wait(void **state)
{
    unsigned two = 2;
    pthread_t flusher, putter, holder;

    (void)state;
    put_blob(1, 1);
    index_hold(catalog);
    assert_int_equal(blob_size(1), 1); /* what was given before is there */
    assert_int_equal(pthread_create(&flusher, NULL, put_and_flush, &two), 0);
    assert_int_equal(pthread_create(&putter, NULL, put_only, &two), 0);
    assert_int_equal(pthread_join(putter, NULL), 0);
    assert_int_equal(pthread_create(&holder, NULL, hold_next, NULL), 0);
    put_blob(3, 7);
    put_blob(2, 1);
    index_flush_wait(catalog);
    assert_true(blob_size(1) == 1 && blob_size(2) == 1 && blob_size(3) == 7);
    index_release(catalog);
    assert_int_equal(pthread_join(flusher, NULL), 0);
    assert_int_equal(pthread_join(holder, NULL), 0);
    index_flush_wait(catalog);
    assert_true(blob_size(1) == 2 && blob_size(2) == 2 && blob_size(3) == 8);
}

static void assert_last_used(unsigned number, int64_t first, int64_t last)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record;

    assert_true(index_get_blob(catalog, &digest, &record));
    assert_true(record.last_used_ms >= first && record.last_used_ms <= last);
    assert_int_equal(record.size, 100);
    blob_record_release(&record);
}

static void index_touch__notes_the_time(void **state)
{
    struct digest digests[] = {digest_of_number(1), digest_of_number(2), digest_of_number(3)};
    struct blob_record future = {.complete = true, .size = 100, .last_used_ms = INT64_MAX};
    int64_t before = clock_wall_ms();

    (void)state;
    put_blob(1, 100);
    index_put_blob(catalog, &digests[1], &future);
    for (size_t i = 0; i < 3; i++)
        index_touch(catalog, &digests[i]);
    index_flush_wait(catalog);
    assert_last_used(1, before, clock_wall_ms());
    assert_last_used(2, INT64_MAX, INT64_MAX); /* never back */
    assert_int_equal(blob_size(3), 0);         /* and of what is not there nothing comes */
}

static void index_touch__is_dropped_when_many_wait(void **state)
{
    struct digest one = digest_of_number(1), other = digest_of_number(2);

    (void)state;
    put_blob(1, 100);
    put_blob(2, 100);
    index_flush_wait(catalog);
    for (int i = 0; i < 5000; i++)
        index_touch(catalog, &other);
    index_touch(catalog, &one);
    index_flush_wait(catalog);
    assert_last_used(1, 1, 1);
    index_touch(catalog, &one);
    index_flush_wait(catalog);
    assert_last_used(1, 2, clock_wall_ms());
}

static int64_t verified_ms(unsigned number)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record;

    assert_true(index_get_blob(catalog, &digest, &record));
    blob_record_release(&record);
    return record.verified_ms;
}

static void index_verified__moves_the_time_of_whole_blobs_on(void **state)
{
    struct digest whole = digest_of_number(1), part = digest_of_number(2),
                  none = digest_of_number(3);
    struct blob_record partial = {.size = 100};

    (void)state;
    put_blob(1, 100);
    extents_add(&partial.present, (struct extent){0, 50});
    index_put_blob(catalog, &part, &partial);
    blob_record_release(&partial);
    index_verified(catalog, &whole, 70);
    index_verified(catalog, &whole, 60); /* never back */
    index_verified(catalog, &part, 70);  /* nothing has seen it whole */
    index_verified(catalog, &none, 70);
    index_touch(catalog, &whole); /* and neither undoes the other */
    index_flush_wait(catalog);
    assert_int_equal(verified_ms(1), 70);
    assert_last_used(1, 2, clock_wall_ms());
    assert_int_equal(verified_ms(2), 0);
    assert_int_equal(blob_size(3), 0);
}

struct sum {
    unsigned visited, stop_at;
    uint64_t sizes;
    struct digest last;
};

static bool on_blob(void *argument, const struct digest *digest, const struct blob_record *record)
{
    struct sum *sum = argument;

    sum->visited++;
    sum->sizes += record->size;
    sum->last = *digest;
    return sum->visited != sum->stop_at;
}

static void index_each_blob__visits_all_until_told_to_stop(void **state)
{
    struct sum none = {0}, all = {0}, some = {.stop_at = 7};
    struct blob_record record;

    (void)state;
    index_each_blob(catalog, on_blob, &none);
    assert_int_equal(none.visited, 0);
    for (unsigned i = 0; i < 100; i++)
        put_blob(i, i + 1);
    index_flush_wait(catalog);
    index_each_blob(catalog, on_blob, &all);
    assert_true(all.visited == 100 && all.sizes == 5050);
    assert_true(index_get_blob(catalog, &all.last, &record)); /* the digest is a whole one */
    blob_record_release(&record);
    index_each_blob(catalog, on_blob, &some);
    assert_int_equal(some.visited, 7);
}

/* ---- the stress ---- */

enum { WRITERS = 2, READERS = 3, GROUP = 8, ROUNDS = 400 };

static _Atomic bool done;

static struct digest stress_digest(unsigned writer, unsigned place)
{
    return (struct digest){.bytes = {(uint8_t)writer, (uint8_t)place}};
}

static void *write_rounds(void *argument)
{
    const unsigned *writer = argument;

    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned place = 0; place < GROUP; place++) {
            struct digest digest = stress_digest(*writer, place);
            struct blob_record record = {.size = round, .last_used_ms = round};
            extents_add(&record.present, (struct extent){round - 1, round});
            index_put_blob(catalog, &digest, &record);
            blob_record_release(&record);
        }
        if (round % 20 == 0)
            index_flush_wait(catalog);
    }
    return NULL;
}

struct snapshot {
    uint64_t sizes[WRITERS][GROUP];
};

static bool on_stressed(void *argument, const struct digest *digest,
                        const struct blob_record *record)
{
    struct snapshot *snapshot = argument;

    CHECK((uint64_t)record->last_used_ms == record->size && record->present.count == 1);
    snapshot->sizes[digest->bytes[0]][digest->bytes[1]] = record->size;
    return true;
}

static void *read_rounds(void *unused)
{
    struct snapshot before = {0};

    (void)unused;
    for (bool last = false; !last;) {
        struct snapshot now = {0};
        last = done;
        index_each_blob(catalog, on_stressed, &now);
        for (unsigned w = 0; w < WRITERS; w++) {
            for (unsigned i = 1; i < GROUP; i++)
                CHECK(now.sizes[w][i] <= now.sizes[w][i - 1]);
            CHECK(now.sizes[w][0] <= now.sizes[w][GROUP - 1] + 1);
            CHECK(now.sizes[w][0] >= before.sizes[w][0]);
            struct digest digest = stress_digest(w, 3);
            struct blob_record record;
            if (index_get_blob(catalog, &digest, &record)) {
                CHECK(record.size >= now.sizes[w][3]);
                blob_record_release(&record);
            }
        }
        before = now;
    }
    CHECK(before.sizes[0][0] == ROUNDS && before.sizes[WRITERS - 1][GROUP - 1] == ROUNDS);
    return NULL;
}

static void index__shows_readers_what_was_written_so_far(void **state)
{
    static unsigned numbers[WRITERS] = {0, 1};
    pthread_t readers[READERS], writers[WRITERS];

    (void)state;
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_rounds, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&writers[i], NULL, write_rounds, &numbers[i]);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    index_flush_wait(catalog);
    done = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(index_put_blob__keeps_all_of_it),
        TEST(index_put_tag__is_found_under_its_names_only),
        TEST(index_put_holding__is_found_without_an_upstream_too),
        TEST(index__agrees_with_an_array),
        TEST(index_flush__mails_when_all_is_committed),
        TEST(index_hold__has_the_others_wait),
        TEST(index_touch__notes_the_time),
        TEST(index_touch__is_dropped_when_many_wait),
        TEST(index_verified__moves_the_time_of_whole_blobs_on),
        TEST(index_each_blob__visits_all_until_told_to_stop),
        TEST(index__shows_readers_what_was_written_so_far),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
