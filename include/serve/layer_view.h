#ifndef SERVE_LAYER_VIEW_H
#define SERVE_LAYER_VIEW_H

/*
 * A layer of a model as one reader sees it: a composite of framing, which its layout computes, and
 * of ranges of files, which are blobs like any other.
 *
 * It holds one blob at a time: that of the file which is read. When bytes of it are missing it has
 * them fetched from the places that the layer's record names: of a closed range no more than is
 * read, each file's when its turn comes; of a reply that goes on to the layer's end the whole rest
 * of a file, whether the reader stays or not. Whether a file is whole, partial, evicted, or filled
 * by somebody else is all the same to it. Small files are opened, and fetched, a little ahead.
 *
 * Embedded in the request. Thread: its loop's own, all functions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/extents.h"
#include "cache/blob.h"
#include "cache/fetcher.h"
#include "cache/upstream.h"
#include "model/layers.h"
#include "serve/composite.h"

struct layer_view {
    struct composite composite;      /* of the layer */
    struct layers *layers;           /* borrowed */
    struct layer *layer;             /* counted */
    struct fetchers *fetchers;       /* borrowed */
    const struct upstream *upstream; /* borrowed; the request's: its places are asked first */
    struct extent *ranges;           /* owned; of the layer: what is read, in that order; */
    size_t range_count;              /* 0: all from some offset on */

    struct blob *blob;    /* counted; of the file that is read; NULL: of none yet */
    size_t file;          /* which */
    struct extent range;  /* of it: what is read next, and how far */
    struct extent *asked; /* owned; of it: all that is read, as `demand` has it */
    struct demand demand;
    bool is_demanded;          /* it was said to the blob what is wanted of it */
    bool is_touched;           /* its use is noted */
    bool looks_ahead;          /* a file was not open, or not whole */
    size_t opened_to, sent_to; /* files before these were looked at ahead */

    bool waits;             /* bytes were missing, and nobody was bringing them, */
    bool joins;             /* or somebody was */
    uint64_t retry_after_s; /* why bytes will not come: when to try again; 0: nobody said; */
    unsigned char blamed[FLIGHT_KEY_SIZE]; /* and whose error it is: a source's key, or zero */
};

/* Starts to read `layer`, taking the caller's reference over. All-zero, a view may be released. */
void layer_view_init(struct layer_view *view, struct layers *layers, struct layer *layer,
                     struct fetchers *fetchers, const struct upstream *upstream);

/* Takes the closed ranges over that will be read; without, all from some offset on is. */
void layer_view_select(struct layer_view *view, struct extent **ranges, size_t count);

void layer_view_release(struct layer_view *view);

/*
 * Whether the first byte of a file within [start, end) of the layer is here and all others seem to
 * be on their way (`*ret_ready`): then an answer may begin. If not, `waiter` is parked, and its
 * mail says to ask again. An error: it will not be, see retry_after_s and blamed.
 */
enum err layer_view_begin(struct layer_view *view, uint64_t start, uint64_t end,
                          struct waiter *waiter, bool *ret_ready) MUST_CHECK;

/* Stops waiting. Harmless when it is not. */
void layer_view_leave(struct layer_view *view, struct waiter *waiter);

/* After an error: begins anew with the blob, if its failure came from others, whose places say
 * nothing of ours, or from its copy here; false: it was ours. */
bool layer_view_renew(struct layer_view *view);

#endif
