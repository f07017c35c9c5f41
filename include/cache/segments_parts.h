#ifndef CACHE_SEGMENTS_PARTS_H
#define CACHE_SEGMENTS_PARTS_H

/*
 * Segments from inside. For `segments_run`, which has their life and their answers, and
 * `segments_ask`, which chooses the next ones. Thread: the blob's owner loop.
 */

#include "cache/call.h"
#include "cache/segments.h"

enum { SEGMENTS_LARGE = 64 << 20 }; /* a blob that is no larger is brought by one request */

struct segment {
    struct list node; /* in segments->running */
    struct segments *segments;
    struct call *call;
    struct source source; /* who is asked: a copy, since others may be turned to meanwhile */
    struct extent asked;
    uint64_t at;        /* where the next byte of the body belongs */
    uint64_t end;       /* no byte from here on is taken; UINT64_MAX: nobody knows */
    uint64_t announced; /* the end as the answer's head told it; `end` may be moved before it */
    uint64_t received;
    uint64_t started_us;
    uint64_t window_at; /* `at` when segments->window_us was */
    unsigned turn;      /* segments->turns when it began */
    bool answered;      /* the head of a good answer has come */
    bool parted;        /* a part was asked for, with a Range */
    bool is_guess;      /* nobody knows yet whether there is as much as was asked for */
    bool is_extra;      /* others had an answer before it had */
    bool is_surplus;    /* another one that runs brings all of it */
};

/* The blob's, or what its manifest says as long as no answer has: but for an empty one, of which no
 * byte could be asked for. */
uint64_t segments_size(const struct segments *segments);

/* What running segments will still take on the disk, as far as anybody knows. */
uint64_t segments_outstanding(const struct segments *segments);

/* Whether a large blob is to be asked for in parts. */
bool segments_want_parts(const struct segments *segments);

void segment_start(struct segments *segments, struct extent range);

/* Gives it up, without a callback; what it has brought stays. */
void segment_cancel(struct segment *segment);

#endif
