#include "cache/scrubber.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"

enum {
    FIRST_LOOK_MS = 1000,
    LOOK_MS = 60000,        /* how often what is due is looked for, */
    REST_MS = 24 * 3600000, /* and when the disk was found ill: each look takes some blobs out */
};

/* Who may touch scrubber->check. */
enum step { STEP_SCRUB, STEP_READER, STEP_DONE, STEP_QUIT };

/* ---- bells: rung by anybody, heard by one thread ---- */

static int bell_new(void)
{
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    CHECK(bell >= 0);
    return bell;
}

static void bell_ring(int bell)
{
    const uint64_t one = 1;

    CHECK(write(bell, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
}

/* Sleeps until it is rung, or the time is over; -1: no time. A ring before counts. */
static void bell_wait(int bell, int timeout_ms)
{
    struct pollfd wait = {.fd = bell, .events = POLLIN};
    uint64_t rung;

    if (poll(&wait, 1, timeout_ms) > 0)
        (void)!read(bell, &rung, sizeof(rung));
}

/* ---- the reader ---- */

static bool is_cut_short(const struct scrubber *scrubber)
{
    return scrubber->halted || (scrubber->asked && !scrubber->is_full);
}

/* Waits until so many bytes are within the rate. */
static bool on_piece(void *argument, uint64_t length)
{
    struct scrubber *scrubber = argument;
    uint64_t rate = scrubber->store->config->scrub_rate, now = clock_monotonic_us();

    scrubber->bytes += length;
    stats_add(STAT_SCRUBBED_BYTES, AT_ALL, length);
    if (rate > 0)
        scrubber->due_us += length * 1000000 / rate;
    for (; !is_cut_short(scrubber) && now < scrubber->due_us; now = clock_monotonic_us())
        bell_wait(scrubber->reader_bell, (int)((scrubber->due_us - now + 999) / 1000));
    return !is_cut_short(scrubber);
}

static void be_idle(void)
{
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3 << 13 }; /* ioprio_set(2) */
    const struct sched_param none = {0};

    (void)sched_setscheduler(0, SCHED_IDLE, &none);
    (void)syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
}

static void *run_reader(void *argument)
{
    struct scrubber *scrubber = argument;

    pthread_setname_np(pthread_self(), "scrub-read");
    be_idle();
    for (;;) {
        if (scrubber->step == STEP_READER) {
            uint64_t now = clock_monotonic_us();
            if (scrubber->due_us < now) /* what was not read in time is not made up for */
                scrubber->due_us = now;
            scrub_hash(&scrubber->check, on_piece, scrubber);
            scrubber->step = STEP_DONE;
            bell_ring(scrubber->bell);
        } else if (scrubber->step == STEP_QUIT) {
            return NULL;
        } else {
            bell_wait(scrubber->reader_bell, -1);
        }
    }
}

/* ---- suspects ---- */

static bool take_suspect(struct scrubber *scrubber, struct digest *ret_digest)
{
    pthread_mutex_lock(&scrubber->mutex);
    bool found = scrubber->suspect_count > 0;
    if (found)
        *ret_digest = scrubber->suspects[--scrubber->suspect_count];
    pthread_mutex_unlock(&scrubber->mutex);
    return found;
}

static bool on_suspect_piece(void *argument, uint64_t length)
{
    const struct scrubber *scrubber = argument;

    stats_add(STAT_SCRUBBED_BYTES, AT_ALL, length);
    return !scrubber->halted;
}

static void check_suspects(struct scrubber *scrubber)
{
    struct scrub_check check;
    struct digest digest;

    while (!scrubber->halted && take_suspect(scrubber, &digest)) {
        index_flush_wait(scrubber->store->index); /* it may have become whole only now */
        if (scrub_begin(&check, scrubber->store, &digest))
            scrub_hash(&check, on_suspect_piece, scrubber);
        (void)scrub_end(&check);
    }
}

void scrubber_suspect(struct store *store, const struct digest *digest)
{
    struct scrubber *scrubber = store->scrubber;
    bool is_new = true;

    if (scrubber == NULL)
        return;
    pthread_mutex_lock(&scrubber->mutex);
    for (unsigned i = 0; i < scrubber->suspect_count && is_new; i++)
        is_new = !digest_equal(&scrubber->suspects[i], digest);
    if (is_new && scrubber->suspect_count < SCRUB_SUSPECTS_MAX)
        scrubber->suspects[scrubber->suspect_count++] = *digest;
    pthread_mutex_unlock(&scrubber->mutex);
    bell_ring(scrubber->bell);
}

/* ---- passes ---- */

/* By the reader; suspects meanwhile. */
static enum scrub_verdict check_one(struct scrubber *scrubber, const struct digest *digest)
{
    struct scrub_check *check = &scrubber->check;

    if (scrub_begin(check, scrubber->store, digest)) {
        scrubber->step = STEP_READER;
        bell_ring(scrubber->reader_bell);
        while (scrubber->step != STEP_DONE) {
            bell_wait(scrubber->bell, -1);
            check_suspects(scrubber);
        }
        scrubber->step = STEP_SCRUB;
    }
    return scrub_end(check);
}

/* Puts the pass's report where it is read, if it was asked for. */
static void publish(struct scrubber *scrubber, struct scrub_report *report, uint64_t began_us)
{
    report->bytes = scrubber->bytes;
    report->us = clock_monotonic_us() - began_us;
    if (!scrubber->is_full)
        return;
    pthread_mutex_lock(&scrubber->mutex);
    scrubber->report = *report;
    pthread_mutex_unlock(&scrubber->mutex);
}

/* Over all of the list, in its order; false: cut short. */
static bool check_all(struct scrubber *scrubber, const struct scrub_list *list,
                      struct scrub_report *report, uint64_t began_us)
{
    for (size_t i = 0; i < list->count; i++) {
        check_suspects(scrubber);
        if (is_cut_short(scrubber))
            return false;
        enum scrub_verdict verdict = check_one(scrubber, &list->items[i].digest);
        bool go_on = scrub_count(report, &list->items[i], &scrubber->check, verdict);
        publish(scrubber, report, began_us);
        if (!go_on || verdict == SCRUB_STOPPED)
            return false;
    }
    return true;
}

/* What is due, or everything. */
static void run_pass(struct scrubber *scrubber)
{
    struct scrub_report report = {0};
    struct scrub_list list;
    uint64_t began_us = clock_monotonic_us();
    int64_t interval = (int64_t)scrubber->store->config->scrub_interval, before_ms = 1;

    scrubber->bytes = 0;
    if (scrubber->is_full) {
        pthread_mutex_lock(&scrubber->mutex);
        scrubber->asked = false;
        report = scrubber->report;
        began_us = scrubber->began_us;
        pthread_mutex_unlock(&scrubber->mutex);
        before_ms = INT64_MAX;
    } else if (interval > 0) {
        before_ms = clock_wall_ms() - interval;
    }
    index_flush_wait(scrubber->store->index); /* what was put a moment ago counts */
    scrub_list_make(&list, scrubber->store, before_ms);
    report.blobs_total = list.count;
    report.bytes_total = list.bytes;
    publish(scrubber, &report, began_us);
    bool whole = check_all(scrubber, &list, &report, began_us);
    report.running = false;
    if (whole || report.failed) {
        publish(scrubber, &report, began_us);
        if (scrubber->is_full || list.count > 0)
            scrub_log(&report);
    }
    scrub_list_release(&list);
    scrubber->look_ms = clock_monotonic_us() / 1000 + (report.failed ? REST_MS : LOOK_MS);
}

static void *run(void *argument)
{
    struct scrubber *scrubber = argument;

    pthread_setname_np(pthread_self(), "scrub");
    scrubber->look_ms = clock_monotonic_us() / 1000 + FIRST_LOOK_MS;
    while (!scrubber->halted) {
        uint64_t now = clock_monotonic_us() / 1000;
        check_suspects(scrubber);
        scrubber->is_full = scrubber->asked;
        if (scrubber->is_full || now >= scrubber->look_ms)
            run_pass(scrubber);
        else
            bell_wait(scrubber->bell, (int)(scrubber->look_ms - now));
    }
    scrubber->step = STEP_QUIT;
    bell_ring(scrubber->reader_bell);
    return NULL;
}

void scrubber_ask(struct scrubber *scrubber)
{
    pthread_mutex_lock(&scrubber->mutex);
    if (!scrubber->report.running) {
        scrubber->report = (struct scrub_report){.running = true,
                                                 .started_ms = clock_wall_ms(),
                                                 .rate = scrubber->store->config->scrub_rate};
        scrubber->began_us = clock_monotonic_us();
        scrubber->asked = true;
    }
    pthread_mutex_unlock(&scrubber->mutex);
    bell_ring(scrubber->bell);
    bell_ring(scrubber->reader_bell);
}

void scrubber_report(struct scrubber *scrubber, struct scrub_report *ret_report)
{
    pthread_mutex_lock(&scrubber->mutex);
    *ret_report = scrubber->report;
    if (ret_report->running && !scrubber->asked) {
        ret_report->bytes = scrubber->bytes;
        ret_report->us = clock_monotonic_us() - scrubber->began_us;
    }
    pthread_mutex_unlock(&scrubber->mutex);
}

/* ---- the threads ---- */

void scrubber_start(struct scrubber *scrubber, struct store *store)
{
    *scrubber = (struct scrubber){.store = store, .bell = bell_new(), .reader_bell = bell_new()};
    pthread_mutex_init(&scrubber->mutex, NULL);
    CHECK(pthread_create(&scrubber->reader, NULL, run_reader, scrubber) == 0);
    CHECK(pthread_create(&scrubber->thread, NULL, run, scrubber) == 0);
    store->scrubber = scrubber;
}

void scrubber_halt(struct scrubber *scrubber)
{
    scrubber->halted = true;
    bell_ring(scrubber->bell);
    bell_ring(scrubber->reader_bell);
}

void scrubber_stop(struct scrubber *scrubber)
{
    scrubber_halt(scrubber);
    pthread_join(scrubber->thread, NULL);
    pthread_join(scrubber->reader, NULL);
}

void scrubber_release(struct scrubber *scrubber)
{
    scrubber->store->scrubber = NULL;
    pthread_mutex_destroy(&scrubber->mutex);
    close(scrubber->bell);
    close(scrubber->reader_bell);
}
