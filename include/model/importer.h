#ifndef MODEL_IMPORTER_H
#define MODEL_IMPORTER_H

/*
 * Makes images of a hub's repositories. One thread asks hubs what a tag stands for and has commits
 * imported (model/import.h), one import a commit, however many ask; what is under way outlives its
 * askers and, by notes in the index, the process.
 *
 *   importer_ask --> RESOLVING (the hub is asked which commit a tag stands for)
 *                       |<-> PAUSED (it cannot say that now)
 *                       |--> that commit is imported: the answer
 *                       |--> it is not, and the tag had another: that one is the answer, and the
 *                       |    import goes on behind it
 *                       `--> it is not: the answer comes with the import's end
 *
 * A hub that limits us, is down, or breaks is asked again, as import_retry.h says: for a person,
 * and for what a restart interrupted, as long as for any import. For a client not for longer than
 * it is of use to it: a hub that cannot be reached is asked once more, a second later, one that
 * gives no answer is not, and after some seconds of others' errors the client has the last of them,
 * well within import_hold; only what the hub itself puts off is waited for, a quarter of an hour at
 * most. Who has an old image has that at once.
 *
 * A tag that the catalog has stands for the revision, and the choice of files, that it says there.
 */

#include <stdbool.h>

#include "cache/fetcher.h"
#include "cache/flight.h"
#include "io/loop.h"
#include "model/ahead.h"
#include "model/import.h"
#include "model/import_report.h"

enum { IMPORTER_ASKS_MAX = 10000 };

struct importer {
    struct import_thread thread;
    struct list asks;     /* tags that are being looked into */
    struct list listings; /* tags that are being listed: model/listing */
    unsigned listing_count;
    struct import_history ended;
    _Atomic uint64_t reports; /* asked for so far */
    struct mail stop, close;
    uv_timer_t stop_timer;
    struct ahead ahead;
    struct catalogs *catalogs; /* borrowed */
    _Atomic bool quiet;
    bool stopping;
};

/* Starts the thread, what was under way when the last process ended, and the models of the catalog.
 * Thread: main. */
void importer_start(struct importer *importer, struct store *store, struct fetchers *fetchers,
                    struct layers *layers, struct catalogs *catalogs);

/* Ends it: what runs is stopped, and goes on at the next start. Before the fetchers. Waits. Thread:
 * main. */
void importer_stop(struct importer *importer);

/* Frees what importer_start made. Only when nothing of the mirror runs any more: the loop's own
 * descriptors are closed here. Thread: main. */
void importer_release(struct importer *importer);

/*
 * Asks what the tag of a hub's repository stands for, and has it imported. Answer: err, digest,
 * size, media_type, stale, retry_after; of an error, bytes are a sentence that says more, or NULL.
 * A NULL caller only has it looked into. Thread: caller->loop.
 */
void importer_ask(struct importer *importer, struct upstream *upstream, const char *repository,
                  const char *tag, struct flight_caller *caller);

/* The same for a person, who does not wait for the answer: what the hub refused a moment ago is
 * asked again, what is known from a numbers file alone is fetched and hashed, and the wish outlives
 * the process, also while the hub is down. What is asked for with importer_report() afterwards
 * tells of it. Thread: any. */
void importer_want(struct importer *importer, struct upstream *upstream, const char *repository,
                   const char *tag);

/*
 * A layer that images here have cannot be opened, for that reason (model/layer.h): what is wrong of
 * it is forgotten, and its image is imported again. Answer: ERR_LAYER_INCOMPLETE, the import is
 * under way; ERR_BLOB_UNKNOWN, no image here has it. Thread: caller->loop.
 */
void importer_mend(struct importer *importer, const struct digest *layer, enum err err,
                   struct flight_caller *caller);

/*
 * Asks which tags a hub's repository has: its branches and tags, and what the catalog calls images
 * of it. What the hub told is kept for `tag_ttl`, and while it cannot tell for `stale`. Answer:
 * err, kept, stale, retry_after; bytes are a list of wire/tag_list, or of an error as of
 * importer_ask(). Thread: caller->loop.
 */
void importer_tags(struct importer *importer, struct upstream *upstream, const char *repository,
                   struct flight_caller *caller);

/* Asks how imports stand. Answer: bytes, the JSON of import_report.h; of `image` alone unless it is
 * NULL. Thread: caller->loop. */
void importer_report(struct importer *importer, const char *image, struct flight_caller *caller);

#endif
