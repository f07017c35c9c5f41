#ifndef WIRE_CATALOG_EDIT_H
#define WIRE_CATALOG_EDIT_H

/*
 * Another commit for models of a catalog, in the text of its file: nothing else in it changes, not
 * its comments, order or blanks. Pure; fuzzed with the catalog. Thread: any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "wire/catalog.h"

struct catalog_edit {
    const struct catalog_model *model; /* borrowed; its revision is a commit */
    char commit[HUB_COMMIT_SIZE];      /* the new one */
};

/* Whether the model's revision can be replaced: it stands in `text`, which it was read from, as 40
 * characters, in quotes or without. */
bool catalog_edit_is_possible(struct view text, const struct catalog_model *model);

/* Appends `text` with the edits made. They are possible, and in the order of the file. */
void catalog_edit(struct view text, const struct catalog_edit *edits, size_t count,
                  struct buf *out);

#endif
