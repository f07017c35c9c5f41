#ifndef CACHE_EVICT_H
#define CACHE_EVICT_H

/*
 * Keeps the disk under its budget by unlinking what is least worth keeping of the blobs, whole or
 * partial, that nobody reads or fills now: by age and size, as worth.h has it, with its sources;
 * bench/eviction shows the hit ratios beside plain LRU's. What is pinned (pins.h) never goes.
 *
 * The budget is cache_size less what the index takes now, with room for it to grow, and whatever
 * else lies in the folder. A blob counts with its blocks, see footprint.h. Space is reserved before
 * a fill starts, so that what runs now fits too. An index that takes all of a small cache_size
 * leaves no room for blobs: that is said in the log, and every fill ends with ERR_OVER_BUDGET.
 *
 * A fill that finds no room waits for one pass and not for other fills: if others hold all the room
 * and bring nothing, it ends with ERR_NO_ROOM as soon as the pass has removed what can be removed.
 * Nothing is removed for one that would find no room even so.
 *
 * A victim's record goes first, then its file; in between its digest is claimed in the table of
 * open blobs, so that a request that comes just then waits, and finds it gone. Its file is closed
 * before, so that its blocks are given back then; those of a blob that failed while it was read are
 * counted until its last reader has left.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/pins.h"
#include "cache/store.h"
#include "io/disk.h"

struct evictor {
    struct store *store; /* borrowed */
    struct loop *loop;   /* borrowed; whose pool jobs it runs */
    struct disk_job job;
    bool running;
    bool told;              /* that the index leaves little room */
    uint64_t not_before_ms; /* after a pass that could remove nothing */
    uint64_t removed;       /* by the last pass */
    struct pins pins;       /* of the running pass */
    struct mail kick;       /* somebody waits */
    pthread_mutex_t mutex;  /* guards what follows */
    struct list waiting;    /* for the next pass, */
    struct list passing;    /* and for the running one */
    bool kicked;            /* `kick` is on its way */
    bool closed;
    void (*on_stopped)(struct evictor *evictor);
};

/* Who waits for room. Embedded in the waiter; belongs to its loop. */
struct evict_waiter {
    struct mail mail; /* delivered when `err` is known */
    struct loop *loop;
    struct list node;
    uint64_t bytes;
    enum err err; /* OK: there was room a moment ago. ERR_NO_ROOM, ERR_STOPPING: there is none */
};

/* Makes it the store's. */
void evictor_init(struct evictor *evictor, struct store *store, struct loop *loop);

/* After evictor_stop(). */
void evictor_release(struct evictor *evictor);

/* What blobs may take now. Thread: any. */
uint64_t evict_budget(const struct store *store);

/*
 * Counts `bytes` of the disk that a fill will still take, after which its blob will take `size`.
 * ERR_OVER_BUDGET: the blob could never fit. ERR_NO_ROOM: it does not fit now, and nothing was
 * counted; evict_wait() may help. Thread: any.
 */
enum err evict_reserve(struct store *store, uint64_t size, uint64_t bytes) MUST_CHECK;

/* Asks for room for `waiter->bytes`: its mail comes once. Thread: waiter->loop. */
void evict_wait(struct store *store, struct evict_waiter *waiter);

/* Waits no more: the mail will not come. Harmless when it does not wait. Thread: waiter->loop. */
void evict_leave(struct store *store, struct evict_waiter *waiter);

/* Gives back what was reserved and not written. Thread: any. */
void evict_unreserve(struct store *store, uint64_t bytes);

/* The disk is full before the budget is: makes the next pass go a little below what is used now,
 * unless that was tried a while ago and no write has succeeded since. Thread: any. */
void evict_press(struct store *store);

/* Whether what is stored and reserved is so near to the budget that a pass should make room before
 * somebody has to wait for it. Thread: any. */
bool evict_is_due(const struct store *store);

/* To be called every so often: starts a pass over the index in the pool, when one is due, and keeps
 * the metrics of the budget. Thread: evictor->loop. */
void evict_run(struct evictor *evictor);

/* Calls back when no pass is running, and runs none after that. Thread: evictor->loop. */
void evictor_stop(struct evictor *evictor, void (*on_stopped)(struct evictor *evictor));

#endif
