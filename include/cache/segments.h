#ifndef CACHE_SEGMENTS_H
#define CACHE_SEGMENTS_H

/*
 * The requests for ranges of one blob that run now, each a segment of it, and the choice of the
 * next ones: what parked readers wait for first, then what other readers will come to, then the
 * rest. Each byte is on its way in one segment only.
 *
 * One that brings next to nothing while others flow is given up, and the rest of it asked for anew.
 * A reader parked far ahead of where a running segment is has that segment end where he waits, and
 * another begin there. A source that answers a range with the whole is asked for the whole.
 *
 * Embedded in the fetch. Callbacks never come from inside a segments_ function. Thread: the blob's
 * owner loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "cache/intake.h"
#include "cache/source.h"
#include "cache/token.h"

struct segments;

/* How a segment ended. */
struct segment_end {
    enum err err; /* OK: all that was to come of it has come */
    uint64_t retry_after_s;
    struct view words; /* a hub's, of the error; borrowed until the callback returns */
    bool answered;     /* with a good head */
    bool progressed;   /* new bytes came */
    bool parted;       /* it had asked for a part */
    bool is_stale;     /* of a source that was turned away from meanwhile */
    bool is_crowded;   /* refused beside others: there are to be fewer at once */
};

struct segments_events {
    void (*on_answer)(struct segments *segments); /* a good head has come: more may be asked */
    void (*on_bytes)(struct segments *segments);  /* something was published */
    void (*on_end)(struct segments *segments, const struct segment_end *end);
};

struct segments {
    struct intake *intake; /* borrowed, as all these */
    struct calls *calls;
    const struct source *source; /* who is asked; see segments_turn() */
    const struct segments_events *events;
    struct list running;
    unsigned count;
    unsigned turns;
    char *target;       /* owned; where the source redirected us to, or NULL */
    bool gives_parts;   /* it has answered with one, in this turn */
    unsigned strays;    /* wrong answers since then */
    bool whole_only;    /* it gives no parts: ask for the whole, pass over what is here */
    uint64_t window_us; /* since when they are compared; 0: not yet */
    unsigned patience;  /* how often one was given up that ran alone */
};

void segments_init(struct segments *segments, struct intake *intake, struct calls *calls,
                   const struct source *source, const struct segments_events *events);

/* Cancels what runs. */
void segments_release(struct segments *segments);

/* Starts what may be started now of what is wanted of the blob. An error: there is no room for it
 * in the budget; what was started before that runs. */
enum err segments_ask(struct segments *segments) MUST_CHECK;

/* A sync is over: those that waited for it go on, soon. */
void segments_resume(struct segments *segments);

/* Ends all that run, without a callback. */
void segments_cancel(struct segments *segments);

/* From now on the whole is asked for. */
void segments_ask_whole(struct segments *segments);

/* Where the source redirected us to is not trusted any more: the source is asked for another. */
void segments_forget_target(struct segments *segments);

/* `*source` is another one now. What runs goes on with the one it asked. */
void segments_turn(struct segments *segments);

#endif
