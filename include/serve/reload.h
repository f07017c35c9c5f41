#ifndef SERVE_RELOAD_H
#define SERVE_RELOAD_H

/*
 * SIGHUP: the catalog is read again, from the configuration file and the file that `catalog` names.
 * A fault in either leaves everything as it was, and the log says what it is. Other settings take
 * effect at a restart; the log names those that are not what the mirror was started with.
 * Thread: main.
 */

#include "base/config.h"
#include "model/catalogs.h"

struct reload {
    const struct config *config; /* borrowed; what the mirror runs with */
    struct config as_read;       /* the file alone, as it was at the start */
    struct catalogs catalogs;
};

/* Reads the catalog for the first time. After an error there is nothing to release. */
enum err reload_init(struct reload *reload, const struct config *config,
                     struct buf *ret_problem) MUST_CHECK;
void reload_release(struct reload *reload);

void reload_run(struct reload *reload);

#endif
