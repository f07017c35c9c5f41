#ifndef SERVE_REGISTRY_H
#define SERVE_REGISTRY_H

/*
 * The pull API (OCI distribution-spec, "Pull") on one serve loop: route, find, reply, errors. What
 * real clients need of it is the checklist of clients.md; its rows are cited where they bind.
 *
 *   route -> manifest by tag:    is the tag fresh? else ask, once -.
 *         -> manifest by digest: --------------------------------+-> find -> reply
 *         -> blob:               --------------------------------'
 *         -> tag list, referrers: ask the upstream; of a hub, the importer; it has no referrers
 *
 * Find: look at the blob; wait for it, want it, or confirm that this repository holds it, until
 * there is something to send. Every wait ends with an error in bounded time: answer_timeout, or for
 * an import import_hold, or a day for clients that are known to wait. What was waited for goes on.
 */

#include "cache/fetcher.h"
#include "io/listener.h"
#include "io/loop.h"
#include "serve/request.h"

/* What one serve loop has. */
struct registry {
    struct loop loop;
    struct listener listener;
    struct services services;
    struct mail drain, cut; /* from main */
    struct loop *main_loop; /* borrowed */
    struct mail *ended;     /* borrowed; posted to main's loop when the last conn has closed */
};

/* Starts to serve on `fd`, a listening socket, in a thread of its own. `services` are copied; their
 * loop is the registry's. Thread: main. */
void registry_start(struct registry *registry, size_t number, int fd,
                    const struct services *services);

/* Stops accepting; running answers may end, but who waits for an import has ERR_STOPPING at once.
 * With the last of them `ended` is posted to `loop`, once, and the thread ends. Thread: main. */
void registry_drain(struct registry *registry, struct loop *loop, struct mail *ended);

/* After registry_drain: cuts the answers that are left. Once. Thread: main. */
void registry_cut(struct registry *registry);

/* Waits for the thread. Thread: main. */
void registry_join(struct registry *registry);

/* Frees what registry_start made. Only when nothing of the mirror runs any more: the loop's own
 * descriptors are closed here. Thread: main. */
void registry_release(struct registry *registry);

#endif
