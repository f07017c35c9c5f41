#ifndef MODEL_IMPORTED_H
#define MODEL_IMPORTED_H

/*
 * Which commits are images here: their import has ended, and all that their layers are computed
 * from is still known. A commit of which anything has been lost since is not: it is imported again,
 * which costs the hub nothing for what the cache has.
 *
 * What was taken over with a numbers file is known as well as what was found out here; an image is
 * proven when the hub has listed its files, and each of its layers was hashed here.
 *
 * Reads the index several times a file of the image. Thread: any, but no serve loop.
 */

#include <stdbool.h>

#include "cache/index.h"
#include "model/record.h"

/* The image of a commit, `id` in the hub's own case. With `proven`, only one that is. `ret_record`:
 * owned by the caller, and untouched when there is none. */
bool imported_find(struct index *index, const char *upstream, const char *id, const char *commit,
                   const char *filter, bool proven, struct image_record *ret_record);

/* The same by the repository's name in any case, when the hub is not to be asked; false too when it
 * has another name by now. Looks through all images. */
bool imported_search(struct index *index, const char *upstream, const char *repository,
                     const char *commit, const char *filter, bool proven,
                     struct image_record *ret_record);

/* Whether the numbers of each file of a layer are known. */
bool imported_has_numbers(struct index *index, const struct layer_record *layer);

#endif
