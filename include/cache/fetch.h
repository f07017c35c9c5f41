#ifndef CACHE_FETCH_H
#define CACHE_FETCH_H

/*
 * Fills blobs: on the fetch loop that owns the digest (digest[0] % F), a fetch asks its source for
 * what is wanted and missing, writes what comes, publishes it, hashes it in file order behind the
 * writing, and goes on after a break where it broke.
 *
 *   CALL <-> PAUSE       a try failed: wait, then ask for what is missing
 *     |<-> ROOM -> ENDING     the cache is full: wait until something is evicted; there is nothing
 *     |-----> HASH -> LEARN -> SETTLE -> ENDING
 *     |         `--> ENDING   the digest differs
 *     |------------> ENDING   failed for good, with every source that was offered
 *     `<-> IDLE -> ENDING     all that was wanted is here; the blob is PARTIAL again
 *
 * Of a blob whose chunks have numbers in the index only verified ones are published (verifier.h). A
 * source that sent a wrong one is asked after the others; when it comes wrong again and again the
 * fetch fails, and those that were right stay. What has come of a chunk that is not whole does not
 * stay at a stop, no more than at a crash: so many requests run at once that this is half of
 * `checkpoint` at most, or one chunk. Numbers that are a claim (chunk_record.h) count only
 * for a fetch that a hub's file began, and are taken for wrong before what was published is.
 *
 * Readers see the blob COMPLETE at the end of HASH (LEARN for a manifest, so that what it names is
 * known when its reader asks for it); SETTLE makes it last (fsync, rename, record) behind their
 * back. A fill goes on when all its readers have left. Only when it fails for good do they get an
 * error, all the same one; what was written stays for the next try.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "cache/blob.h"
#include "cache/source.h"
#include "cache/store.h"
#include "cache/token.h"
#include "io/loop.h"

struct fetch;

/* What one fetch loop has. */
struct fetcher {
    struct loop loop;
    struct calls calls;
    struct store *store; /* borrowed */
    struct list fetches; /* all that are not gone */
    unsigned running;    /* how many of those bring or verify bytes */
    unsigned busy;       /* other computations under way on this loop */
    struct mail stop, close;
    uv_timer_t stop_timer;
    _Atomic unsigned quiet; /* ticks in a row, while stopping, that found nothing left */
    bool stopping;
};

/*
 * Starts to fill a PARTIAL blob; it is FILLING when this returns. `given`, when not empty, holds
 * all its bytes, and is taken over; `media_type` is theirs, or "". Thread: fetcher's loop, as all
 * here.
 */
void fetch_start(struct fetcher *fetcher, struct blob *blob, const struct source *source,
                 struct buf *given, const char *media_type);

/* Somebody else wants something of the blob, and has one more source for it, to be asked when the
 * others have refused; NULL: he has none. */
void fetch_join(struct fetch *fetch, const struct source *source);

/* Fails what can be failed now, with ERR_STOPPING; what has been verified is left to settle. The
 * calls that run are ended by the fetcher. */
void fetch_stop(struct fetch *fetch);

/* For the fetcher's walk over its fetches. */
struct fetch *fetch_of_node(struct list *node);

#endif
