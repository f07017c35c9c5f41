#include "cache/evict.h"

#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/footprint.h"
#include "cache/removal.h"
#include "cache/worth.h"

enum {
    EMPTY_PASS_PAUSE_MS = 2000,
    PRESS_SLACK = 256 << 20,
    INDEX_ROOM = 64 << 10,
    BUSY_TRIES = 10,
    BUSY_PAUSE_MS = 20
};

/* What is not the blobs'. */
static uint64_t overhead(const struct store *store)
{
    return index_bytes(store->index) + store->aside;
}

uint64_t evict_budget(const struct store *store)
{
    uint64_t total = store->config->cache_size, taken = overhead(store);

    /* A commit may copy half of the pages, and a reader keep the old ones from being used again. */
    taken += index_bytes(store->index) / 2 + INDEX_ROOM;
    return taken < total ? total - taken : 0;
}

/* The budget, or less when the disk was full before that. */
static uint64_t ceiling(const struct store *store)
{
    uint64_t pressed = store->pressed, budget = evict_budget(store);

    return pressed < budget ? pressed : budget;
}

/* A pass makes room below the budget, so that not every blob that comes starts one, or waits for
 * it: down to 95 %, whenever 98 % are used. Less where the disk was full before: it may not help,
 * and when it does, the fill presses again. */
static uint64_t low_water(const struct store *store)
{
    uint64_t top = ceiling(store), slack = top - top / 100 * 95;

    if (top < evict_budget(store) && slack > PRESS_SLACK)
        slack = PRESS_SLACK;
    return top - slack;
}

static uint64_t high_water(const struct store *store)
{
    return ceiling(store) / 100 * 98;
}

struct victims {
    struct worth *list;     /* owned */
    struct digest *digests; /* owned; by list[].number */
    size_t count, capacity;
    uint64_t bytes;    /* of all of them */
    struct pins *pins; /* borrowed; what is no victim */
};

/* What is taken, or will be. */
static uint64_t taken(const struct store *store)
{
    return store->used + store->reserved + store->blobs.unlinked;
}

enum err evict_reserve(struct store *store, uint64_t size, uint64_t bytes)
{
    uint64_t budget = evict_budget(store);

    if (size > budget) {
        log_message(CONFIG_LOG_ERROR, "evict",
                    "a blob that takes %llu bytes is larger than the whole cache: raise cache_size "
                    "(%llu bytes, of which %llu are not for blobs: the index)",
                    (unsigned long long)size, (unsigned long long)store->config->cache_size,
                    (unsigned long long)overhead(store));
        return ERR_OVER_BUDGET;
    }
    store->reserved += bytes; /* first: of two who come at once at most one is told that he fits */
    if (taken(store) <= budget)
        return OK;
    store->reserved -= bytes;
    return ERR_NO_ROOM;
}

void evict_unreserve(struct store *store, uint64_t bytes)
{
    store->reserved -= bytes;
}

void evict_press(struct store *store)
{
    uint64_t used = taken(store);

    if (!disk_rest_may_press(&store->disk_rest, clock_monotonic_us() / 1000))
        return;
    store->pressed = used > 0 ? used - 1 : 0;
}

bool evict_is_due(const struct store *store)
{
    return taken(store) > high_water(store);
}

static bool collect(void *argument, const struct digest *digest, const struct blob_record *record)
{
    struct victims *victims = argument;

    if (pins_keep(victims->pins, digest,
                  record->complete ? record->size : extents_total(&record->present)))
        return true;
    if (victims->count == victims->capacity) {
        victims->capacity = victims->capacity == 0 ? 1024 : 2 * victims->capacity;
        victims->list = check_realloc(victims->list, victims->capacity * sizeof(*victims->list));
        victims->digests =
            check_realloc(victims->digests, victims->capacity * sizeof(*victims->digests));
    }
    victims->digests[victims->count] = *digest;
    victims->list[victims->count] = (struct worth){.bytes = footprint_of_record(record),
                                                   .last_used_ms = record->last_used_ms,
                                                   .number = victims->count};
    victims->bytes += victims->list[victims->count].bytes;
    victims->count++;
    return true;
}

/* Returns the bytes that were given back; 0: somebody uses it, or it has gone. */
static uint64_t remove_blob(struct store *store, const struct digest *digest)
{
    struct extents nothing = {0};
    struct blob_record record;
    uint64_t size = 0;

    struct blob *claim = blobs_claim(&store->blobs, digest);
    if (claim == NULL)
        return 0;
    index_flush_wait(store->index); /* what it was a moment ago counts, not what the list says */
    if (index_get_blob(store->index, digest, &record)) {
        size = removal_run(store, digest, &record);
        blob_record_release(&record);
    }
    blob_opened_partial(claim, -1, BLOB_SIZE_UNKNOWN, &nothing);
    blob_unref(claim);
    return size;
}

static void answer(struct evict_waiter *waiter, enum err err)
{
    waiter->err = err;
    loop_post(waiter->loop, &waiter->mail); /* under the lock: see evict_leave */
}

/* What those who wait want below `top`; but for who would find no room even when all victims have
 * gone: for him nothing goes. */
static uint64_t wanted_locked(struct evictor *evictor, const struct victims *victims, uint64_t top)
{
    uint64_t now = taken(evictor->store), wanted = 0;
    uint64_t stays = now > victims->bytes ? now - victims->bytes : 0;

    for (struct list *node = evictor->passing.next; node != &evictor->passing; node = node->next) {
        uint64_t bytes = container_of(node, struct evict_waiter, node)->bytes;
        if (stays < top && bytes <= top - stays)
            wanted += bytes;
    }
    return wanted;
}

/* Who has room by now does not wait for the rest of the pass. */
static void answer_early_locked(struct evictor *evictor)
{
    uint64_t now = taken(evictor->store), budget = evict_budget(evictor->store);
    uint64_t room = now < budget ? budget - now : 0;

    for (struct list *node = evictor->passing.next, *next; node != &evictor->passing; node = next) {
        struct evict_waiter *waiter = container_of(node, struct evict_waiter, node);
        next = node->next;
        if (waiter->bytes > room)
            continue;
        room -= waiter->bytes;
        list_unlink(node);
        answer(waiter, OK);
    }
}

/* How far the pass is to go on; UINT64_MAX: no further, the mirror stops. */
static uint64_t next_goal(struct evictor *evictor, const struct victims *victims)
{
    uint64_t low = low_water(evictor->store), top = ceiling(evictor->store);

    pthread_mutex_lock(&evictor->mutex);
    answer_early_locked(evictor);
    uint64_t wanted = wanted_locked(evictor, victims, top);
    bool closed = evictor->closed;
    pthread_mutex_unlock(&evictor->mutex);
    if (closed)
        return UINT64_MAX;
    return wanted > top - low ? top - (wanted < top ? wanted : top) : low;
}

/* One walk over the victims. Returns how far it was to go. */
static uint64_t remove_some(struct evictor *evictor, struct victims *victims, uint64_t *removed,
                            uint64_t *bytes)
{
    struct store *store = evictor->store;
    uint64_t goal = next_goal(evictor, victims);

    for (size_t i = 0; i < victims->count && taken(store) > goal; i++) {
        uint64_t size = remove_blob(store, &victims->digests[victims->list[i].number]);
        *removed += size > 0;
        *bytes += size;
        victims->bytes -= victims->list[i].bytes;
        goal = next_goal(evictor, victims);
    }
    return goal;
}

static bool somebody_waits(struct evictor *evictor)
{
    pthread_mutex_lock(&evictor->mutex);
    bool waits = !list_is_empty(&evictor->passing) && !evictor->closed;
    pthread_mutex_unlock(&evictor->mutex);
    return waits;
}

/* When nothing can go and somebody waits, walks again a few times: a blob that has just become
 * whole is in use until it is settled. */
static uint64_t remove_least_worth(struct evictor *evictor, struct victims *victims,
                                   uint64_t *removed, uint64_t *bytes)
{
    uint64_t all = victims->bytes, goal = remove_some(evictor, victims, removed, bytes);

    for (int tries = 0; *removed == 0 && victims->count > 0 && tries < BUSY_TRIES; tries++) {
        if (taken(evictor->store) <= goal || !somebody_waits(evictor))
            break;
        nanosleep(&(struct timespec){0, BUSY_PAUSE_MS * 1000000L}, NULL);
        victims->bytes = all;
        goal = remove_some(evictor, victims, removed, bytes);
    }
    return goal;
}

static void on_work(struct disk_job *job)
{
    struct evictor *evictor = container_of(job, struct evictor, job);
    struct store *store = evictor->store;
    struct victims victims = {.pins = &evictor->pins};
    uint64_t removed = 0, bytes = 0;

    index_flush_wait(store->index); /* touches that are on their way count */
    pins_compute(&evictor->pins, store);
    index_each_blob(store->index, collect, &victims);
    worth_sort(victims.list, victims.count, clock_wall_ms());
    uint64_t pressed = store->pressed;
    uint64_t goal = remove_least_worth(evictor, &victims, &removed, &bytes);
    free(victims.list);
    pthread_mutex_lock(&evictor->mutex);
    bool refused = !list_is_empty(&evictor->passing);
    pthread_mutex_unlock(&evictor->mutex);
    pins_end(&evictor->pins, store, refused || taken(store) > goal);
    free(victims.digests);
    /* It holds for one pass; what came in the middle of this one is for the next. */
    (void)atomic_compare_exchange_strong(&store->pressed, &pressed, UINT64_MAX);
    evictor->removed = removed;
    if (removed == 0)
        return;
    stats_add(STAT_EVICTED_BLOBS, AT_ALL, removed);
    stats_add(STAT_EVICTED_BYTES, AT_ALL, bytes);
    log_message(CONFIG_LOG_INFO, "evict", "removed %llu blobs, %llu bytes",
                (unsigned long long)removed, (unsigned long long)bytes);
}

/* ---- who waits ---- */

/* Tells all of a list. */
static void answer_all_locked(struct evictor *evictor, struct list *list, enum err err)
{
    const struct store *store = evictor->store;

    while (!list_is_empty(list)) {
        struct evict_waiter *waiter = container_of(list->next, struct evict_waiter, node);
        list_unlink(&waiter->node);
        bool fits = taken(store) + waiter->bytes <= evict_budget(store);
        answer(waiter, err != OK || fits ? err : ERR_NO_ROOM);
    }
}

void evict_wait(struct store *store, struct evict_waiter *waiter)
{
    struct evictor *evictor = store->evictor;

    waiter->err = ERR_NO_ROOM;
    if (evictor == NULL) {
        loop_post(waiter->loop, &waiter->mail);
        return;
    }
    pthread_mutex_lock(&evictor->mutex);
    if (evictor->closed) {
        answer(waiter, ERR_STOPPING);
    } else {
        list_append(&evictor->waiting, &waiter->node);
        if (!evictor->kicked) /* also when who waited before has left, or is in a pass by now */
            loop_post(evictor->loop, &evictor->kick);
        evictor->kicked = true;
    }
    pthread_mutex_unlock(&evictor->mutex);
}

void evict_leave(struct store *store, struct evict_waiter *waiter)
{
    struct evictor *evictor = store->evictor;

    if (evictor != NULL) {
        pthread_mutex_lock(&evictor->mutex);
        if (list_is_linked(&waiter->node))
            list_unlink(&waiter->node);
        pthread_mutex_unlock(&evictor->mutex);
    }
    loop_recall(waiter->loop, &waiter->mail);
}

/* ---- passes ---- */

static void start_pass(struct evictor *evictor)
{
    pthread_mutex_lock(&evictor->mutex);
    while (!list_is_empty(&evictor->waiting)) {
        struct evict_waiter *waiter =
            container_of(evictor->waiting.next, struct evict_waiter, node);
        list_unlink(&waiter->node);
        list_append(&evictor->passing, &waiter->node);
    }
    pthread_mutex_unlock(&evictor->mutex);
    evictor->running = true;
    disk_run(&evictor->job, evictor->loop);
}

static void on_done(struct disk_job *job)
{
    struct evictor *evictor = container_of(job, struct evictor, job);

    evictor->running = false;
    if (evictor->removed == 0)
        evictor->not_before_ms = loop_now_ms(evictor->loop) + EMPTY_PASS_PAUSE_MS;
    pthread_mutex_lock(&evictor->mutex);
    answer_all_locked(evictor, &evictor->passing, OK);
    bool more = !list_is_empty(&evictor->waiting);
    pthread_mutex_unlock(&evictor->mutex);
    if (evictor->on_stopped != NULL)
        evictor->on_stopped(evictor);
    else if (more)
        start_pass(evictor);
}

static void on_kick(struct mail *mail)
{
    struct evictor *evictor = container_of(mail, struct evictor, kick);

    pthread_mutex_lock(&evictor->mutex);
    evictor->kicked = false;
    pthread_mutex_unlock(&evictor->mutex);
    if (!evictor->running && evictor->on_stopped == NULL)
        start_pass(evictor);
}

void evictor_init(struct evictor *evictor, struct store *store, struct loop *loop)
{
    *evictor = (struct evictor){.store = store,
                                .loop = loop,
                                .job = {.work = on_work, .done = on_done},
                                .kick.deliver = on_kick};
    pthread_mutex_init(&evictor->mutex, NULL);
    list_init(&evictor->waiting);
    list_init(&evictor->passing);
    store->evictor = evictor;
}

void evictor_release(struct evictor *evictor)
{
    evictor->store->evictor = NULL;
    pthread_mutex_destroy(&evictor->mutex);
}

/* The metrics; and once, that there is next to no room for blobs. */
static void report(struct evictor *evictor)
{
    const struct store *store = evictor->store;
    uint64_t total = store->config->cache_size;
    bool scarce = evict_budget(store) < total / 4;

    stats_set(STAT_CACHE_USED, AT_ALL, store->used + store->blobs.unlinked + overhead(store));
    if (scarce && !evictor->told)
        log_message(
            CONFIG_LOG_ERROR, "evict",
            "the index takes %llu of the %llu bytes of cache_size, which leaves little room for "
            "blobs: raise cache_size",
            (unsigned long long)overhead(store), (unsigned long long)total);
    evictor->told = scarce;
}

void evict_run(struct evictor *evictor)
{
    loop_check_thread(evictor->loop);
    report(evictor);
    if (evictor->running || evictor->on_stopped != NULL || !evict_is_due(evictor->store) ||
        loop_now_ms(evictor->loop) < evictor->not_before_ms)
        return;
    start_pass(evictor);
}

void evictor_stop(struct evictor *evictor, void (*on_stopped)(struct evictor *evictor))
{
    loop_check_thread(evictor->loop);
    evictor->on_stopped = on_stopped;
    pthread_mutex_lock(&evictor->mutex);
    evictor->closed = true;
    answer_all_locked(evictor, &evictor->waiting, ERR_STOPPING);
    pthread_mutex_unlock(&evictor->mutex);
    loop_recall(evictor->loop, &evictor->kick);
    if (!evictor->running)
        on_stopped(evictor);
}
