#ifndef CACHE_PINS_H
#define CACHE_PINS_H

/*
 * What the setting `pin` keeps: the manifests that its patterns mean, and all that is under them:
 * the platforms' manifests and whatever else an index lists, configs and layers, whole or partial.
 * Models are not known in this room: their images, which no file holds, and the files that their
 * layers are computed from, come from a pins_source, and so does what the catalog keeps.
 *
 * It is computed from the index and from the manifests on disk when a pass of the evictor begins,
 * so that what a pinned tag points at then is kept, and what it pointed at before is not. A
 * manifest that is not cached says nothing of what is under it. A pattern with a digest keeps what
 * is under that digest, whoever has it. What lies below PINS_DEPTH_MAX indexes, or comes behind
 * PINS_MANIFESTS_MAX manifests or at least PINS_MAX digests, is not kept, and the log says so.
 * Without patterns and models to be kept nothing is looked at. Else a pass reads all tags and
 * manifests of the index, some 30 ms for 100,000, and the file of each pinned manifest, some 50 us.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/store.h"

enum { PINS_MAX = 1 << 18, PINS_MANIFESTS_MAX = 100000, PINS_DEPTH_MAX = 4 };

/* Takes a digest, which is a manifest's or not. */
typedef void pins_take(void *taker, const struct digest *digest, bool is_manifest);

/* What a room above this one knows. Called by pins_compute(), in its thread. */
struct pins_source {
    /* Whether there is anything to keep beside what `pin` means. */
    bool (*has_roots)(const struct pins_source *source);
    /* Gives the manifests to keep beside those that `pin` means. */
    void (*each_root)(const struct pins_source *source, struct store *store, pins_take *take,
                      void *taker);
    /* Gives what is under a manifest that no file holds, or what a layer is computed from: nothing
     * when it knows neither. May be called from inside `take`. */
    void (*each_part)(const struct pins_source *source, struct store *store,
                      const struct digest *digest, pins_take *take, void *taker);
};

struct pins {
    const struct pins_source *source; /* borrowed; NULL: none */
    struct digest *list;              /* owned; sorted, each once */
    size_t count, capacity;
    bool too_many;         /* some are left out */
    uint64_t blobs, bytes; /* that pins_keep() kept */
    uint64_t said_us;      /* when the log was last told that they take too much; 0: never */
};

/* Finds what is pinned. Pins that are all-zero but for `source`, or ended ones. Reads files:
 * sleeps. Thread: pool. */
void pins_compute(struct pins *pins, struct store *store);

/* Whether the blob stays; counts it, and the `bytes` of it that are on disk, when it does. Once a
 * blob and computation. Thread: the one that computes, like the other two. */
bool pins_keep(struct pins *pins, const struct digest *digest, uint64_t bytes);

/* Shows in the metrics what was kept; tells the log, once a minute, when there is `no_room` and
 * what was kept is to blame, or when too many are pinned. Empties the pins. */
void pins_end(struct pins *pins, const struct store *store, bool no_room);

#endif
