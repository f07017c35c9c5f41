#ifndef CACHE_EVICT_H
#define CACHE_EVICT_H

/*
 * Keeps the disk under its budget by unlinking what is least worth keeping: the blobs, whole or
 * partial, that were used least recently, and that nobody reads or fills now. Space is counted
 * before a fill starts, so that what runs now fits too.
 *
 * A victim's record goes first, then its file; in between its digest is claimed in the table of
 * open blobs, so that a request that comes just then waits, and finds it gone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/store.h"
#include "io/disk.h"

struct evictor {
    struct store *store; /* borrowed */
    struct loop *loop;   /* borrowed; whose pool jobs it runs */
    struct disk_job job;
    bool running;
    uint64_t not_before_ms; /* after a pass that could remove nothing */
    uint64_t removed;       /* by the last pass */
    void (*on_stopped)(struct evictor *evictor);
};

void evictor_init(struct evictor *evictor, struct store *store, struct loop *loop);

/* Counts `bytes` that a fill will still write to a blob of `size`. ERR_OVER_BUDGET when the blob
 * could never fit. Thread: any. */
enum err evict_reserve(struct store *store, uint64_t size, uint64_t bytes) MUST_CHECK;

/* Gives back what was reserved and not written. Thread: any. */
void evict_unreserve(struct store *store, uint64_t bytes);

/* The disk is full before the budget is: makes the next pass go below what is used now. Thread:
 * any. */
void evict_press(struct store *store);

/* Whether what is stored and reserved exceeds the budget. Thread: any. */
bool evict_is_due(const struct store *store);

/* Starts a pass over the index in the pool, when one is due. Thread: evictor->loop. */
void evict_run(struct evictor *evictor);

/* Calls back when no pass is running, and runs none after that. Thread: evictor->loop. */
void evictor_stop(struct evictor *evictor, void (*on_stopped)(struct evictor *evictor));

#endif
