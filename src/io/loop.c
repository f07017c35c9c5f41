#include "io/loop.h"

#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"

enum { HEARTBEAT_MS = 500, STALL_US = 50000 };

uint64_t clock_monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL);
}

int64_t clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Mails are popped one at a time, so that a mail may recall any other, even one that arrived in
 * the same burst. Mails posted while we deliver ring the bell again: they wait for the next turn
 * of the loop, so a chatty thread cannot starve the sockets.
 */
static void on_bell(uv_async_t *bell)
{
    struct loop *loop = container_of(bell, struct loop, bell);
    LOOP_CALLBACK(loop);
    struct list burst;

    list_init(&burst);
    pthread_mutex_lock(&loop->mutex);
    while (!list_is_empty(&loop->inbox)) {
        struct list *node = loop->inbox.next;
        list_unlink(node);
        list_append(&burst, node);
    }
    while (!list_is_empty(&burst)) {
        struct mail *mail = container_of(burst.next, struct mail, node);
        list_unlink(&mail->node);
        pthread_mutex_unlock(&loop->mutex);
        mail->deliver(mail); /* may free `mail` */
        pthread_mutex_lock(&loop->mutex);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static void on_heartbeat(uv_timer_t *timer)
{
    struct loop *loop = container_of(timer, struct loop, heartbeat);
    uint64_t now = clock_monotonic_us();
    uint64_t lag = now > loop->heartbeat_due_us ? now - loop->heartbeat_due_us : 0;

    stats_set(STAT_LOOP_LAG, AT(loop->stats_loop), lag);
    loop->heartbeat_due_us = now + HEARTBEAT_MS * 1000;
    uv_timer_start(timer, on_heartbeat, HEARTBEAT_MS, 0);
}

void loop_init(struct loop *loop, const char *name, bool must_not_sleep)
{
    *loop = (struct loop){.must_not_sleep = must_not_sleep};
    (void)snprintf(loop->name, sizeof(loop->name), "%s", name);
    loop->stats_loop = stats_name(STATS_LABEL_LOOP, name);
    CHECK(uv_loop_init(&loop->uv) == 0);
    CHECK(uv_async_init(&loop->uv, &loop->bell, on_bell) == 0);
    CHECK(uv_timer_init(&loop->uv, &loop->heartbeat) == 0);
    uv_unref((uv_handle_t *)&loop->heartbeat);
    pthread_mutex_init(&loop->mutex, NULL);
    list_init(&loop->inbox);
    loop->thread = pthread_self();
}

void loop_run(struct loop *loop)
{
    loop->thread = pthread_self();
    loop->heartbeat_due_us = clock_monotonic_us();
    uv_update_time(&loop->uv);
    on_heartbeat(&loop->heartbeat);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void *thread_main(void *argument)
{
    struct loop *loop = argument;

    pthread_setname_np(pthread_self(), loop->name);
    loop_run(loop);
    return NULL;
}

void loop_start(struct loop *loop)
{
    CHECK(pthread_create(&loop->handle, NULL, thread_main, loop) == 0);
}

void loop_join(struct loop *loop)
{
    pthread_join(loop->handle, NULL);
}

void loop_stop(struct loop *loop)
{
    loop_check_thread(loop);
    uv_close((uv_handle_t *)&loop->bell, NULL);
    uv_close((uv_handle_t *)&loop->heartbeat, NULL);
}

void loop_release(struct loop *loop)
{
    CHECK(uv_loop_close(&loop->uv) == 0);
    pthread_mutex_destroy(&loop->mutex);
}

void loop_post(struct loop *loop, struct mail *mail)
{
    pthread_mutex_lock(&loop->mutex);
    bool was_empty = list_is_empty(&loop->inbox);
    list_append(&loop->inbox, &mail->node);
    if (was_empty)
        uv_async_send(&loop->bell);
    pthread_mutex_unlock(&loop->mutex);
}

void loop_recall(struct loop *loop, struct mail *mail)
{
    loop_check_thread(loop);
    pthread_mutex_lock(&loop->mutex);
    if (list_is_linked(&mail->node))
        list_unlink(&mail->node);
    pthread_mutex_unlock(&loop->mutex);
}

void loop_check_thread(const struct loop *loop)
{
    CHECK(pthread_equal(loop->thread, pthread_self()));
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

const char *loop_date(struct loop *loop)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm utc;

    if (now != loop->date_second) {
        gmtime_r(&now, &utc);
        (void)snprintf(loop->date, sizeof(loop->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                       days[utc.tm_wday], (unsigned)utc.tm_mday % 100, months[utc.tm_mon],
                       (unsigned)(utc.tm_year + 1900) % 10000, (unsigned)utc.tm_hour % 100,
                       (unsigned)utc.tm_min % 100, (unsigned)utc.tm_sec % 100);
        loop->date_second = now;
    }
    return loop->date;
}

#ifdef ENTREPOT_TIME_CALLBACKS
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What this thread waited for a processor: "ran waited slices", in nanoseconds (Linux,
 * Documentation/scheduler/sched-stats.rst). Zero where the kernel has none. */
static uint64_t queued_us(void)
{
    static _Thread_local int fd = -2;
    char text[96];
    char *rest;

    if (fd == -2)
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    (void)strtoull(text, &rest, 10); /* what it ran is known better from its clock */
    return strtoull(rest, NULL, 10) / 1000;
}

/* Running and waiting for a processor: neither is sleep. */
static uint64_t awake_us(void)
{
    struct timespec ran;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
    return (uint64_t)ran.tv_sec * 1000000 + (uint64_t)ran.tv_nsec / 1000 + queued_us();
}

struct loop_watch loop_watch_begin(struct loop *loop, const char *function)
{
    return (struct loop_watch){loop, function, clock_monotonic_us(), awake_us()};
}

void loop_watch_end(struct loop_watch *watch)
{
    uint64_t awake = awake_us() - watch->awake_us;
    uint64_t wall = clock_monotonic_us() - watch->wall_us;

    if (!watch->loop->must_not_sleep || wall < awake + STALL_US)
        return;
    stats_add(STAT_STALLS, AT(watch->loop->stats_loop), 1);
    log_message(CONFIG_LOG_WARN, "stall", "%s slept for %llu us on %s", watch->function,
                (unsigned long long)(wall - awake), watch->loop->name);
}
#endif
