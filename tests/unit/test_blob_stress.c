/*
 * A stress of a blob's wake-up and cancellation protocol: readers on two loops follow blobs that
 * two other threads open, fill out of order, and end. A third of the readers hang up on a timer,
 * and every woken reader may hang up a neighbour that was woken in the same burst; both are freed
 * on the spot.
 *
 * What catches what, each seen to fail with the bug planted: a lock left out (blob_publish without
 * the mutex), TSan; a mail that outlives its reader (blob_unpark without loop_recall), ASan; a lost
 * wake-up (blob_publish that wakes nobody), the alarm, since a filler does not finish a blob before
 * every reader has reached its end unaided.
 */
#include "cache/blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

enum { LOOPS = 2, FILLERS = 2, BLOBS = 6, READERS = 150, CHUNKS = 64, CHUNK = 1000, FAILING = 5 };

#define WHOLE ((uint64_t)CHUNKS * CHUNK)

struct hangup {
    uv_timer_t timer;
    struct reader *reader; /* NULL: it has gone */
};

struct reader {
    struct waiter waiter;
    struct hangup *hangup; /* owned; freed when libuv lets go of it */
    int number;            /* of the blob */
    uint64_t offset;
    struct reader *neighbour; /* on the same loop and blob; NULL once either has gone */
    bool arrived;
};

static struct blobs table;
static struct blob *blobs[BLOBS];
static struct loop loops[LOOPS];
static pthread_barrier_t ready; /* every reader has its blob */
static pthread_mutex_t tally_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t tally_changed = PTHREAD_COND_INITIALIZER;
static int awaited[BLOBS]; /* readers that have neither reached the end nor gone */
static int wanted[BLOBS];  /* guarded by tally_mutex, as awaited */
static _Atomic int finished, hung_up, wakeups;
static _Thread_local int alive;
static _Thread_local unsigned seed;

static void on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct hangup, timer));
}

static void add(int *tally, int amount)
{
    pthread_mutex_lock(&tally_mutex);
    *tally += amount;
    pthread_cond_broadcast(&tally_changed);
    pthread_mutex_unlock(&tally_mutex);
}

static void await(const int *tally, int value)
{
    pthread_mutex_lock(&tally_mutex);
    while (*tally != value)
        pthread_cond_wait(&tally_changed, &tally_mutex);
    pthread_mutex_unlock(&tally_mutex);
}

static void arrive(struct reader *reader)
{
    if (!reader->arrived)
        add(&awaited[reader->number], -1);
    reader->arrived = true;
}

static void reader_free(struct reader *reader)
{
    struct loop *home = reader->waiter.loop;

    arrive(reader);
    if (reader->neighbour != NULL)
        reader->neighbour->neighbour = NULL;
    uv_close((uv_handle_t *)&reader->hangup->timer, on_closed);
    blob_unref(blobs[reader->number]);
    free(reader);
    if (--alive == 0)
        loop_stop(home);
}

static void read_on(struct reader *reader)
{
    struct blob *source = blobs[reader->number];
    struct blob_view view;

    while ((view = blob_look(source, reader->offset, &reader->waiter)).readable > 0)
        reader->offset += view.readable;
    if (view.state == BLOB_PARTIAL && blob_want(source))
        add(&wanted[reader->number], 1);
    if (reader->offset == WHOLE)
        arrive(reader);
    if (view.state != BLOB_COMPLETE && view.state != BLOB_FAILED)
        return;
    CHECK(reader->offset == WHOLE || view.err == ERR_UPSTREAM_BROKEN);
    finished++;
    reader_free(reader);
}

static void hang_up(struct reader *reader)
{
    blob_unpark(blobs[reader->number], &reader->waiter);
    hung_up++;
    reader_free(reader);
}

static void on_wake(struct mail *mail)
{
    struct reader *reader = container_of(mail, struct reader, waiter.mail);

    wakeups++;
    if (reader->neighbour != NULL && rand_r(&seed) % 8 == 0)
        hang_up(reader->neighbour);
    read_on(reader);
}

static void on_hangup(uv_timer_t *timer)
{
    hang_up(container_of(timer, struct hangup, timer)->reader);
}

static struct reader *reader_new(struct loop *home, int i, struct reader *const *readers)
{
    struct reader *reader = check_calloc(1, sizeof(*reader));

    reader->waiter.loop = home;
    reader->waiter.mail.deliver = on_wake;
    reader->number = i % BLOBS;
    blob_ref(blobs[reader->number]);
    reader->hangup = check_calloc(1, sizeof(*reader->hangup));
    reader->hangup->reader = reader;
    uv_timer_init(&home->uv, &reader->hangup->timer);
    if ((i / BLOBS) % 3 == 0) /* some of each blob stay */
        uv_timer_start(&reader->hangup->timer, on_hangup, (uint64_t)(rand_r(&seed) % 30), 0);
    if (i >= BLOBS && (i / BLOBS) % 2 == 1) {
        reader->neighbour = readers[i - BLOBS];
        reader->neighbour->neighbour = reader;
    }
    return reader;
}

static void *serve(void *argument)
{
    struct loop *home = argument;
    struct reader *readers[READERS];

    home->thread = pthread_self();
    seed = (unsigned)(home - loops) + 11;
    alive = READERS;
    for (int i = 0; i < READERS; i++)
        readers[i] = reader_new(home, i, readers);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < READERS; i++)
        read_on(readers[i]);
    loop_run(home);
    return NULL;
}

/* In no order; the failing one half way. Now and then it lets the readers come and park. */
static void publish_all(size_t number, unsigned *random)
{
    int order[CHUNKS];

    for (int i = 0; i < CHUNKS; i++)
        order[i] = i;
    for (int i = CHUNKS - 1; i > 0; i--) {
        int j = rand_r(random) % (i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < (number == FAILING ? CHUNKS / 2 : CHUNKS); i++) {
        uint64_t start = (uint64_t)order[i] * CHUNK;
        blob_publish(blobs[number], (struct extent){start, start + CHUNK});
        if (i % 4 == 0)
            usleep(300);
        if (i == 20)
            blob_set_size(blobs[number], WHOLE);
    }
}

static void *fill_blobs(void *argument)
{
    size_t first = *(const size_t *)argument;
    unsigned random = (unsigned)first + 1;

    pthread_barrier_wait(&ready);
    for (size_t b = first; b < BLOBS; b += FILLERS) {
        struct extents nothing = {0};
        blob_opened_partial(blobs[b], -1, BLOB_SIZE_UNKNOWN, &nothing);
        await(&wanted[b], 1);
        blob_fill(blobs[b]);
        publish_all(b, &random);
        if (b != FAILING)
            await(&awaited[b], 0);
        if (b == FAILING)
            blob_fail(blobs[b], ERR_UPSTREAM_BROKEN, NULL, 0);
        else
            blob_finish(blobs[b]);
    }
    return NULL;
}

static void get_blobs(void)
{
    bool is_new;

    blobs_init(&table);
    for (int b = 0; b < BLOBS; b++) {
        struct digest digest = {.bytes = {(uint8_t)b}}; /* all in one bucket */
        blobs[b] = blobs_get(&table, &digest, &is_new);
        awaited[b] = LOOPS * READERS / BLOBS;
    }
}

static void blob__survives_readers_that_come_and_go(void **state)
{
    static const size_t firsts[FILLERS] = {0, 1};
    pthread_t servers[LOOPS], fillers[FILLERS];

    (void)state;
    get_blobs();
    pthread_barrier_init(&ready, NULL, LOOPS + FILLERS);
    for (int i = 0; i < LOOPS; i++) {
        loop_init(&loops[i], "stress", false);
        pthread_create(&servers[i], NULL, serve, &loops[i]);
    }
    for (int i = 0; i < FILLERS; i++)
        pthread_create(&fillers[i], NULL, fill_blobs, (void *)&firsts[i]);
    for (int i = 0; i < FILLERS; i++)
        pthread_join(fillers[i], NULL);
    for (int i = 0; i < LOOPS; i++) {
        pthread_join(servers[i], NULL);
        loop_release(&loops[i]);
    }
    pthread_barrier_destroy(&ready);
    for (int b = 0; b < BLOBS; b++) {
        assert_int_equal(wanted[b], 1);
        blob_unref(blobs[b]);
    }
    blobs_release(&table);
    assert_int_equal(finished + hung_up, LOOPS * READERS);
    assert_true(finished > 0 && wakeups > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob__survives_readers_that_come_and_go),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
