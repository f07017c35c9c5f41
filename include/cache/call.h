#ifndef CACHE_CALL_H
#define CACHE_CALL_H

/*
 * One authorised request to an upstream's registry API, or to a hub's: the token it needs, its
 * redirects (without credentials to another host, nor to what is no address of a hub's own), and
 * one answer.
 *
 *   WAITING (for its lane)
 *     |
 *   TOKEN <-----> REQUEST --2xx--> on_head, on_body*, on_end
 *                  |   ^
 *                  |   `-- 401 with a challenge we can meet, once; 3xx, a few times; 403 from a
 *                  |       redirect's target: once more from the start
 *                  `------ anything else: on_end with an error, call_status() tells the status
 *
 * At most upstream_connections calls a lane run at once, and an upstream has two: one for bodies
 * that may take hours, and one for all else, so that no manifest waits for a layer.
 *
 * No retries: whoever calls knows whether they make sense. The upstream learns from each call
 * whether it is well, and rests when it did not answer or told us to stay away. Thread:
 * calls->loop, all functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cache/token.h"
#include "io/transfer.h"

struct call;

struct call_events {
    /* The head of a 200 or 206. An error ends the call with it. */
    enum err (*on_head)(struct call *call, int status);
    enum err (*on_body)(struct call *call, const void *data, size_t length);
    /* Whether the body is to wait for now; NULL: never. See call_resume(). */
    bool (*is_held)(struct call *call);
    /* The end; the call is freed after it. */
    void (*on_end)(struct call *call, enum err err);
};

struct call_request {
    struct upstream *upstream;
    enum transfer_method method;
    const char *repository; /* copied; the scope is pull of it */
    const char *path;       /* copied; behind /v2/<repository>/: "blobs/sha256:..."; of a hub, which
                             * knows no repositories here, behind its URL: "/api/models/..." */
    const char *query;      /* copied; without '?'; or NULL */
    bool is_bulk;           /* its lane: a body that may be large */
    bool wants_manifest; /* send the full Accept list, whatever the client sent (clients.md M6) */
    bool wants_range;
    uint64_t range_start;
    uint64_t range_end; /* exclusive; UINT64_MAX: to the end */
    const char
        *target; /* copied; where an earlier call was redirected to (call_target), to be asked
                  * first; or NULL. When it refuses, the registry is asked for a fresh one */
};

/* Makes and frees the lanes. */
void calls_init(struct calls *calls);
void calls_release(struct calls *calls);

/* Fails every call that waits for its lane. */
void calls_fail_waiting(struct calls *calls, enum err err);

/* Starts. Callbacks never come from inside. */
struct call *call_start(struct calls *calls, const struct call_request *request,
                        const struct call_events *events, void *owner);

/* Whether it is beside others for the same thing that run, or that have been answered while it has
 * not: when it is refused, or not answered at all, it may be one too many, which says nothing of
 * the upstream. False unless told. */
void call_set_extra(struct call *call, bool is_extra);

/* Has a body that was held back go on, soon; harmless to one that was not. */
void call_resume(struct call *call);

/* Ends it without another callback. NULL is harmless. */
void call_cancel(struct call *call);

void *call_owner(const struct call *call);

/* The last HTTP status, 0 when there was none. */
int call_status(const struct call *call);

/* Seconds that a 429 or 503 told us to wait, or 0. During on_end. */
uint64_t call_retry_after(const struct call *call);

/* What a hub, or its storage, says of its refusal, for a person, borrowed; else empty. During
 * on_end. */
struct view call_sentence(const struct call *call);

/* Where it was redirected to: a URL of another host, or of a CDN under a hub's own name, borrowed;
 * NULL when the registry itself answered. During on_head only. */
const char *call_target(const struct call *call);

/* The whole length, as a 416 told it, or UINT64_MAX. During on_end. */
uint64_t call_unsatisfied_size(const struct call *call);

/* A field of the head. During on_head only. */
struct view call_field(struct call *call, const char *name);

/* Appends all fields of that name, as one list. During on_head only. */
void call_fields(struct call *call, const char *name, struct buf *out);

#endif
