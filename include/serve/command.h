#ifndef SERVE_COMMAND_H
#define SERVE_COMMAND_H

/* What the commands have in common that work beside the mirror. Thread: main. */

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/config.h"

/* Starts the log, of warnings at most, at standard error, and gives what was standard output; NULL
 * when that cannot be had. To be closed by the caller, after log_stop(). */
FILE *command_start(const struct config *config);

/* Whether there is a cache in the configured directory, so that none is made by mistake; else a
 * sentence says what to do. */
bool command_finds_cache(const struct config *config, struct buf *problem);

#endif
