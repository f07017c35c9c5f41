#ifndef SERVE_SCRUB_COMMAND_H
#define SERVE_SCRUB_COMMAND_H

/*
 * `entrepot scrub`: has every complete blob of a cache read again, and tells what was damaged.
 *
 * When no mirror uses the cache directory, it opens it and reads all of it itself, as fast as the
 * disk allows (nobody waits meanwhile), and holds it until it has ended. When one does, it asks
 * that one, at the admin address of the same configuration, which goes at its `scrub_rate` beside
 * its clients.
 *
 * The report goes to standard output; progress, when that is a terminal, and the log to standard
 * error.
 */

#include "base/config.h"

enum {
    SCRUB_EXIT_SOUND = 0,
    SCRUB_EXIT_DAMAGED = 1, /* and taken out */
    SCRUB_EXIT_FAILED = 3,  /* not all of it was checked; a sentence says why */
};

/* Runs it; the exit code. Thread: main. */
int scrub_command(const struct config *config);

#endif
