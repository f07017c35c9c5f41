#ifndef SERVE_CATALOG_COMMAND_H
#define SERVE_CATALOG_COMMAND_H

/*
 * `entrepot catalog update FILE`: asks the hubs which commit the branches have that the models
 * follow, and writes those into the file, which is replaced in one step; all else in it stays as it
 * is. A line for each model says what came of it. Thread: main.
 */

#include "base/config.h"

enum { CATALOG_EXIT_OK = 0, CATALOG_EXIT_FAILED = 1, CATALOG_EXIT_USAGE = 2 };

/* `config` says what the hubs are, and how we sign in. Returns the exit code: FAILED when a model's
 * commit was not to be had, or when the file cannot be written; what was had is written. */
int catalog_command_update(const struct config *config, const char *path);

#endif
