#ifndef SERVE_ADMIN_H
#define SERVE_ADMIN_H

/*
 * Health, readiness, metrics and scrubbing, on an address of their own that is not for clients:
 *
 *   /healthz  200 while the process runs
 *   /readyz   200 while it can serve (never depends on an upstream); 503 while it stops
 *   /metrics  Prometheus text
 *   /scrub    POST: has all complete blobs read again and compared with their digests, or joins the
 *             scrub that runs; both it and GET answer with how it stands (serve/scrub_report.h)
 *
 * Lives on main's loop. Thread: the loop's own, all functions.
 */

#include <stdbool.h>

#include "cache/scrubber.h"
#include "io/listener.h"
#include "io/loop.h"

struct admin {
    struct listener listener;
    struct scrubber *scrubber; /* borrowed */
    bool stopping;             /* /readyz says no */
};

/* Starts to answer on `fd`, a listening socket. */
void admin_init(struct admin *admin, struct loop *loop, int fd, struct scrubber *scrubber);

/* Closes all of it, and lets the loop end. */
void admin_stop(struct admin *admin);

#endif
