#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

/*
 * The whole mirror: everything is made in order, runs until SIGTERM or SIGINT, drains, and is taken
 * down in the opposite order. SIGHUP: serve/reload.
 *
 *   RUNNING --SIGTERM--> DRAINING --all answers have ended, or drain_timeout--> gone
 */

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"

/* Runs it. Returns when it has ended: OK after a drain, an error and its reason when it could not
 * start. Thread: main. */
enum err server_run(const struct config *config, struct buf *ret_problem) MUST_CHECK;

#endif
