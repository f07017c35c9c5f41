/*
 * A stress of how a digest changes hands: readers get the blob of one digest and look at it without
 * a lock, while one thread finds it damaged again and again, one evicts it whenever it is idle, and
 * one sweeps.
 *
 * Each life of the blob has a size of its own, larger than those before. Who gets the blob after it
 * was seized must not be given the old one, and of one that is COMPLETE nothing changes but that it
 * may be FAILED.
 *
 * What catches what, each seen to fail with the bug planted: blobs_seize() that leaves the old blob
 * in its bucket, the readers' CHECK; without the bucket's mutex, TSan; blob_fail() that clears
 * `held_by` of a COMPLETE blob, clang's TSan (gcc's does not see memset).
 */
#include "cache/blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

enum { READERS = 3, SEIZURES = 2000, SEEN = 20 };

static struct blobs table;
static const struct digest digest = {.bytes = {1, 2, 3}};
static _Atomic uint64_t last_life;   /* the size that was given last */
static _Atomic uint64_t seized_life; /* no blob of this life or an earlier one is given any more */
static _Atomic bool done;
static _Atomic unsigned failures_seen, evictions;

static void begin_life(struct blob *blob)
{
    blob_opened_complete(blob, -1, ++last_life, "");
}

/* Looks until it fails, or long enough. */
static void look(struct blob *blob, uint64_t size)
{
    static const unsigned char nobody[sizeof(blob->held_by)];

    for (int i = 0; i < 50; i++) {
        struct blob_view view = blob_look(blob, 0, NULL);
        if (view.state == BLOB_FAILED) {
            CHECK(view.err == ERR_DAMAGED && view.readable == 0);
            failures_seen++;
            return;
        }
        CHECK(view.state == BLOB_COMPLETE && view.size == size && view.readable == size);
        CHECK(memcmp(blob->held_by, nobody, sizeof(nobody)) == 0);
    }
}

static void *read_on(void *unused)
{
    (void)unused;
    while (!done) {
        uint64_t seized = seized_life;
        bool is_new;
        struct blob *blob = blobs_get(&table, &digest, &is_new);
        if (is_new)
            begin_life(blob);
        struct blob_view view = blob_look(blob, 0, NULL);
        if (view.state == BLOB_COMPLETE || view.state == BLOB_FAILED) {
            CHECK(view.size > seized);
            look(blob, view.size);
        }
        blob_unref(blob);
    }
    return NULL;
}

static void *seize(void *unused)
{
    (void)unused;
    for (int seizures = 0; seizures < SEIZURES || evictions < SEEN || failures_seen < SEEN;) {
        struct blob *old = blobs_find(&table, &digest);
        if (old == NULL)
            continue;
        struct blob_view view = blob_look(old, 0, NULL);
        struct blob *fresh = view.state == BLOB_COMPLETE ? blobs_seize(&table, old) : NULL;
        if (fresh != NULL) {
            seized_life = view.size;
            blob_fail(old, ERR_DAMAGED, NULL, 0);
            CHECK(blob_look(fresh, 0, NULL).state == BLOB_OPENING);
            begin_life(fresh);
            blob_unref(fresh);
            seizures++;
        }
        blob_unref(old);
    }
    done = true;
    return NULL;
}

static void *evict(void *unused)
{
    (void)unused;
    while (!done) {
        struct blob *claim = blobs_claim(&table, &digest);
        if (claim != NULL) {
            evictions++;
            begin_life(claim);
            blob_unref(claim);
        }
        blobs_sweep(&table, 0, 0);
    }
    return NULL;
}

static void blobs_seize__never_gives_the_old_one_again(void **state)
{
    pthread_t threads[READERS + 2];

    (void)state;
    blobs_init(&table);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, NULL);
    pthread_create(&threads[READERS], NULL, seize, NULL);
    pthread_create(&threads[READERS + 1], NULL, evict, NULL);
    for (int i = 0; i < READERS + 2; i++)
        pthread_join(threads[i], NULL);
    blobs_release(&table);
    assert_true(last_life > SEIZURES + SEEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_seize__never_gives_the_old_one_again),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
