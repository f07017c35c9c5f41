#ifndef MODEL_AHEAD_H
#define MODEL_AHEAD_H

/*
 * Has the models of the catalog imported before anybody asks for them: each is asked for once the
 * catalog is there, or is there anew, and then again every `tag_ttl`, when its revision moves; a
 * commit that is imported is not asked for again.
 *
 *   DUE --ask--> ASKED --imported--> DUE again after tag_ttl, or DONE when it is a commit
 *    ^             `--failed------> DUE again, after half a minute at most
 *    `-- another catalog
 *
 * At most AHEAD_AT_ONCE run at a time, so that clients' imports find room beside them; and, since a
 * hub counts what it is asked, AHEAD_BURST may come in a row, then one a second: 300 in the five
 * minutes in which a hub allows 500. Thread: the importer's loop, all but ahead_init().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"
#include "model/catalogs.h"

enum { AHEAD_AT_ONCE = 4, AHEAD_BURST = 50 };

struct ahead_model;

struct ahead {
    struct loop *loop; /* borrowed, as what follows */
    struct catalogs *catalogs;
    const struct config *config;
    struct catalog *catalog;    /* counted; NULL: none yet */
    struct ahead_model *models; /* owned; one for each of the catalog's */
    unsigned tokens;            /* how many may be asked for now */
    uint64_t tokens_ms;         /* when they last grew */
    uv_timer_t timer;
    void (*ask)(struct ahead *ahead, const struct catalog_model *model);
};

/* Begins on a loop that does not run yet. `ask` has the hub asked, and at last calls
 * ahead_note(). */
void ahead_init(struct ahead *ahead, struct loop *loop, struct catalogs *catalogs,
                const struct config *config,
                void (*ask)(struct ahead *ahead, const struct catalog_model *model));

/* Closes its timer and frees what it has. */
void ahead_close(struct ahead *ahead);

/* What was asked of that name has ended: whether that revision, by that filter, is imported; "" and
 * not: it did not come to a revision. It need not have been asked for by us, nor be in the catalog.
 */
void ahead_note(struct ahead *ahead, const char *upstream, const char *repository, const char *tag,
                const char *revision, const char *filter, bool is_imported);

#endif
