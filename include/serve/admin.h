#ifndef SERVE_ADMIN_H
#define SERVE_ADMIN_H

/*
 * Health, readiness and metrics, on an address of their own that is not for clients:
 *
 *   /healthz  200 while the process runs
 *   /readyz   200 while it can serve (never depends on an upstream); 503 while it stops
 *   /metrics  Prometheus text
 *
 * Lives on main's loop. Thread: the loop's own, all functions.
 */

#include <stdbool.h>

#include "base/config.h"
#include "io/listener.h"
#include "io/loop.h"

struct admin {
    struct listener listener;
    bool stopping; /* /readyz says no */
};

/* Starts to answer on `fd`, a listening socket. */
void admin_init(struct admin *admin, struct loop *loop, int fd, const struct config *config);

/* Closes all of it, and lets the loop end. */
void admin_stop(struct admin *admin);

#endif
