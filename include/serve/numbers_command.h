#ifndef SERVE_NUMBERS_COMMAND_H
#define SERVE_NUMBERS_COMMAND_H

/*
 * `entrepot numbers export REF` and `entrepot numbers import FILE|- [REF]`: moves the numbers of an
 * imported model (model/numbers_file.h) from one node to another.
 *
 *   entrepot numbers export hf/org/model:v1 > numbers.json
 *   entrepot numbers import numbers.json
 *
 * Works on the cache of the configuration: when no mirror uses it, directly, and by way of the
 * mirror that does otherwise, at the admin address of the same configuration. The file goes to
 * standard output; `import` says there what the image is called, and its digest, to be compared.
 */

#include "base/config.h"

enum {
    NUMBERS_EXIT_DONE = 0,
    NUMBERS_EXIT_REFUSED = 1, /* not imported here, or not taken over; a sentence says why */
    NUMBERS_EXIT_USAGE = 2,
    NUMBERS_EXIT_FAILED = 3, /* no cache, no file, no mirror; a sentence says what to do */
};

/* Run it; the exit code. `image` may be NULL in an import. Thread: main. */
int numbers_export_command(const struct config *config, const char *image);
int numbers_import_command(const struct config *config, const char *path, const char *image);

#endif
