#ifndef IO_LOOP_H
#define IO_LOOP_H

/*
 * One thread, one uv_loop_t, one inbox.
 *
 * A loop owns everything created on it; no other thread may touch those things. The only way in
 * from outside is a mail: post it, and the loop's thread will call `mail->deliver(mail)`.
 *
 * A mail is embedded in the object it is about, so posting never allocates and never fails.
 *
 * Lock order: any module's lock -> the loop's inbox lock. Deliver runs with no lock held.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"

struct mail {
    struct list node; /* idle, or linked into the inbox; guarded by the inbox lock */
    void (*deliver)(struct mail *mail);
};

struct loop {
    uv_loop_t uv;
    uv_async_t bell;      /* rung whenever the inbox stops being empty */
    uv_timer_t heartbeat; /* measures how late the loop is */
    uint64_t heartbeat_due_us;
    pthread_mutex_t mutex; /* guards `inbox` and the `node` of every mail in it */
    struct list inbox;
    pthread_t thread;    /* who runs it: its maker until it starts */
    pthread_t handle;    /* for loop_join */
    bool must_not_sleep; /* a serve loop: ENTREPOT_TIME_CALLBACKS counts callbacks that slept */
    char name[16];
    unsigned stats_loop; /* its LOOP label */
    time_t date_second;  /* of `date` */
    char date[32];       /* an IMF-fixdate, for loop_date */
};

void loop_init(struct loop *loop, const char *name, bool must_not_sleep);

/* Starts the loop's thread, which runs until loop_stop(). Thread: any, once. */
void loop_start(struct loop *loop);

/* Runs in the calling thread, until nothing is left to do; the loop is that thread's then. */
void loop_run(struct loop *loop);

/* Waits for the thread that loop_start() made. Thread: any other. */
void loop_join(struct loop *loop);

/* Lets the loop end once every other handle is closed. Thread: the loop's own. */
void loop_stop(struct loop *loop);

/* Frees what loop_init() made. Thread: any, after the loop has ended. */
void loop_release(struct loop *loop);

/*
 * Queues `mail` for delivery on `loop`, exactly once. The mail must be idle; the caller keeps it
 * alive until it is delivered or recalled. Thread: any.
 */
void loop_post(struct loop *loop, struct mail *mail);

/*
 * Takes back a mail that was posted but not yet delivered; harmless if it is idle. After this the
 * mail will not be delivered, unless somebody posts it again. Thread: the loop's own.
 */
void loop_recall(struct loop *loop, struct mail *mail);

/* CHECKs that the caller is the loop's own thread. */
void loop_check_thread(const struct loop *loop);

/* The loop's clock: milliseconds, monotonic, as of the start of this turn. Thread: the loop's own.
 */
uint64_t loop_now_ms(const struct loop *loop);

/* The current date as an IMF-fixdate (RFC 9110 5.6.7), made once a second. Thread: the loop's own.
 */
const char *loop_date(struct loop *loop);

/* Microseconds of the monotonic clock, now. Thread: any. */
uint64_t clock_monotonic_us(void);

/* The time of day since the epoch, in seconds and in milliseconds. Thread: any. */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

/*
 * LOOP_CALLBACK(loop) as the first line of whatever the loop calls. In builds with
 * ENTREPOT_TIME_CALLBACKS it watches until the end of the scope: a callback on a loop that must not
 * sleep, and did for longer than a lock that is held by a preempted thread explains (waiting for a
 * processor is not sleep), is logged and counted.
 */
#ifdef ENTREPOT_TIME_CALLBACKS
struct loop_watch {
    struct loop *loop;
    const char *function;
    uint64_t wall_us, awake_us;
};
struct loop_watch loop_watch_begin(struct loop *loop, const char *function);
void loop_watch_end(struct loop_watch *watch);
#define LOOP_CALLBACK(loop)                                                                        \
    __attribute__((cleanup(loop_watch_end))) struct loop_watch loop_watch_ =                       \
        loop_watch_begin((loop), __func__)
#else
#define LOOP_CALLBACK(loop) ((void)(loop))
#endif

#endif
