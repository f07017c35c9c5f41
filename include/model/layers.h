#ifndef MODEL_LAYERS_H
#define MODEL_LAYERS_H

/*
 * The table of opened layers: a digest has at most one.
 *
 * References are counted; a layer that nobody refers to stays for the next reader, until there are
 * too many such or they take too much memory: then the one that was used longest ago goes.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "cache/fetcher.h"
#include "cache/flight.h"
#include "model/layer.h"

enum { LAYERS_BUCKETS = 256 };

/* How many unused layers are kept: a number, and bytes of memory. */
enum { LAYERS_UNUSED_MAX = 256 };
#define LAYERS_UNUSED_MEMORY (UINT64_C(64) << 20)

struct layers {
    pthread_mutex_t mutex; /* guards what follows */
    struct list buckets[LAYERS_BUCKETS];
    unsigned forgotten[LAYERS_BUCKETS]; /* how often, of those that belong there */
    struct list unused;                 /* the one used last at the end */
    size_t unused_count;
    uint64_t unused_memory; /* of these, bytes */
};

void layers_init(struct layers *layers);

/* CHECKs that nobody refers to a layer. Thread: main, at the end. */
void layers_release(struct layers *layers);

/* The layer of that digest, one reference more, if it is open; or NULL. Never sleeps. Thread: any.
 */
struct layer *layers_find(struct layers *layers, const struct digest *digest);

/*
 * Has it opened, once for all who ask: a caller whose answer is OK is to find it then. It may have
 * gone again by that time, so he counts his tries. Answer: as layer_open(). Thread: caller->loop.
 */
void layers_open(struct layers *layers, struct fetchers *fetchers, const struct digest *digest,
                 struct flight_caller *caller);

/* What layers_add() is told of a layer that is going to be opened. Thread: any. */
unsigned layers_age(struct layers *layers, const struct digest *digest);

/* Puts a layer into the table, which takes it over; one that is there already stays, and this one
 * is freed. So is one whose age has changed since before it was opened: its record may be another
 * one now. Thread: any. */
void layers_add(struct layers *layers, struct layer *layer, unsigned age);

/* Takes it out of the table, since its record is another one now; who has it keeps it. Thread: any.
 */
void layers_forget(struct layers *layers, const struct digest *digest);

/* One reference less. Returns NULL. Thread: any. */
struct layer *layers_unref(struct layers *layers, struct layer *layer);

#endif
