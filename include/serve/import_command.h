#ifndef SERVE_IMPORT_COMMAND_H
#define SERVE_IMPORT_COMMAND_H

/*
 * `entrepot import REF [--wait]`: has the running mirror import a model, which it finds at the
 * admin address of the configuration; so that can be a mirror on another machine. What REF may be
 * stands in wire/hub_image.h.
 *
 * Without --wait it says how the import stands, and ends; the import goes on. With it, it waits for
 * the end, and shows meanwhile how far it is, on standard error: in one line that moves when that
 * is a terminal, else now and then in a line of its own. It may be interrupted: the import goes on
 * all the same. The digest and the line for a Dockerfile go to standard output.
 */

#include <stdbool.h>

#include "base/config.h"

enum {
    IMPORT_EXIT_DONE = 0,   /* it is there; or, without --wait, on its way */
    IMPORT_EXIT_FAILED = 1, /* it cannot be had; a sentence says why, in the hub's own words */
    IMPORT_EXIT_USAGE = 2,  /* there is no such REF */
    IMPORT_EXIT_UNASKED = 3 /* no mirror answers, or it has stopped; a sentence says what to do */
};

/* Runs it; the exit code. Thread: main. */
int import_command(const struct config *config, const char *image, bool waits);

#endif
