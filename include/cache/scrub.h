#ifndef CACHE_SCRUB_H
#define CACHE_SCRUB_H

/*
 * Looks whether complete blobs are what they are called: reads them again, compares the digest, and
 * takes out what is damaged, so that it is fetched again when it is asked for. Readers in the
 * middle of a damaged blob are cut short: what they had may be wrong, and they must not take it for
 * whole.
 *
 * One blob's check is three steps, of which the long one may be another thread's:
 *
 *   scrub_begin --false--------------------------.
 *        `----true--> scrub_hash (long) ---------+--> scrub_end, which judges
 *
 * A blob that is evicted, filled or opened meanwhile is somebody else's matter: it is looked at
 * again before anything is removed, and what is removed is the file that was hashed. Sleeps.
 * Thread: any but serve loops; one at a time for each cache.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "cache/record.h"
#include "cache/rehash.h"
#include "cache/store.h"

enum { SCRUB_LISTED_MAX = 100, SCRUB_UNREADABLE_MAX = 3 };

enum scrub_verdict {
    SCRUB_SOUND,
    SCRUB_DAMAGED,   /* and taken out */
    SCRUB_GONE,      /* evicted meanwhile, or being fetched again */
    SCRUB_UNCHECKED, /* it could not be read now; the log says why */
    SCRUB_STOPPED,   /* on_piece() said so */
};

/* One blob's check. */
struct scrub_check {
    struct store *store; /* borrowed */
    struct digest digest;
    struct blob_record record; /* as it was at the beginning */
    int fd;                    /* owned; -1: none */
    int64_t began_ms;
    bool over;            /* there is nothing to hash: */
    bool gone;            /* no complete record, */
    const char *why;      /* or static: what is wrong with it; NULL: nothing that is known */
    struct rehash rehash; /* unless it is over */
    enum rehash_result result;
};

/* What a pass over the cache has found so far. */
struct scrub_report {
    bool running;
    bool failed;        /* given up: see scrub_count() */
    int64_t started_ms; /* since the epoch; 0: there was none */
    uint64_t us;        /* how long it took, so far */
    uint64_t rate;      /* its limit, in bytes a second; 0: none */
    uint64_t blobs, blobs_total;
    uint64_t bytes, bytes_total;
    uint64_t unchecked;
    uint64_t damaged;
    struct digest list[SCRUB_LISTED_MAX]; /* of the damaged ones the first */
    unsigned unreadable;                  /* how many in a row, up to now */
};

/* Complete blobs that are to be checked, the longest unverified first. */
struct scrub_list {
    struct scrub_item {
        struct digest digest;
        int64_t verified_ms;
        uint64_t size;
    } * items; /* owned */
    size_t count, capacity;
    uint64_t bytes;    /* of all of them */
    int64_t before_ms; /* private */
};

/* Those last verified before `before_ms`, or never, or at a time that is yet to come. */
void scrub_list_make(struct scrub_list *list, struct store *store, int64_t before_ms);
void scrub_list_release(struct scrub_list *list);

/* Opens the file. False: there is nothing to hash. */
bool scrub_begin(struct scrub_check *check, struct store *store, const struct digest *digest);

/* Reads all of it; see rehash_run(). */
void scrub_hash(struct scrub_check *check, bool (*on_piece)(void *argument, uint64_t length),
                void *argument);

/* Judges: notes that it is sound, or takes it out. */
enum scrub_verdict scrub_end(struct scrub_check *check);

/*
 * Adds the verdict on an item of the list to a report. False when the pass should be given up:
 * SCRUB_UNREADABLE_MAX blobs in a row could not be read, so that it is the disk that is ill, and
 * nothing is gained by taking out all that is on it.
 */
bool scrub_count(struct scrub_report *report, const struct scrub_item *item,
                 const struct scrub_check *check, enum scrub_verdict verdict);

/* Says in the log how a pass ended. */
void scrub_log(const struct scrub_report *report);

#endif
