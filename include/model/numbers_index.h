#ifndef MODEL_NUMBERS_INDEX_H
#define MODEL_NUMBERS_INDEX_H

/*
 * Numbers files (model/numbers_file.h) out of the index of one node, and into that of another,
 * which then has the image, though none of its bytes: its manifests are served at once, and of its
 * layers what is asked for is fetched.
 *
 * Sleeps: not on a serve loop. Thread: pool, or main while nothing else runs.
 */

#include <stdbool.h>

#include "base/err.h"
#include "cache/store.h"
#include "wire/hub_image.h"

/*
 * Appends the numbers of an imported image: of what its tag stands for now, or of its digest, or of
 * the commit that is its tag. With a sentence: ERR_NUMBERS_UNKNOWN, when it was not imported here,
 * or not all is known of it; ERR_NUMBERS_REFUSED, when it has some files of its commit only, or
 * more than a numbers file may. The former because numbers files of version 1 do not say so: who
 * takes one over notes that the commit has these files and no others.
 */
enum err numbers_index_export(struct store *store, const struct hub_image *image, struct buf *out,
                              struct buf *problem) MUST_CHECK;

/* What came of taking one over. */
struct numbers_taken {
    struct hub_image image; /* under what name it is here */
    struct digest index_digest;
    bool has_tag; /* image.tag stands for it; false: it stands for another here, and goes on to */
};

/* Prints {"image": "hf/org/model:tag", "digest": "sha256:...", "tagged": true} and a newline. */
void numbers_taken_print(const struct config *config, const struct numbers_taken *taken,
                         struct buf *out);

/*
 * Checks a file, and notes what it says. `as` is the upstream, repository and tag that it becomes;
 * with NULL, the first upstream that is a hub, and the file's own. What the index knows stays as it
 * is: when the file contradicts it, nothing is taken over, and nobody else writes between. A
 * commit's tag stands for the image afterwards, and the given tag too, unless that stands for
 * another already: only the hub moves tags. On return reads find all of it. ERR_NUMBERS_REFUSED,
 * with a sentence.
 */
enum err numbers_index_import(struct store *store, struct view json, const struct hub_image *as,
                              struct numbers_taken *ret_taken, struct buf *problem) MUST_CHECK;

#endif
