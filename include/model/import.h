#ifndef MODEL_IMPORT_H
#define MODEL_IMPORT_H

/*
 * The import of one commit: lists its files, gets the small ones, whose sha256 the hub does not
 * tell, passes once over the bytes of each layer, and writes down what it has found.
 *
 *   LISTING --> SMALL --> LAYERS --> WRITING --> on_end(OK)
 *      |          |         |
 *      `----------+---------+--> PAUSED --> where it was; or, at last, on_end(error)
 *
 * It is QUEUED first, while `max_imports` others have the places; and again after a pause, in which
 * others have its place: then before those that came after it. What the index knows already is not
 * done again: a file's numbers, a layer of the same files. What lies in the cache is not fetched
 * again. Thread: thread->loop.
 */

#include "base/list.h"
#include "cache/fetcher.h"
#include "model/image.h"
#include "model/import_report.h"
#include "model/layers.h"
#include "model/record.h"
#include "wire/hub.h"

struct import;

/* What the imports of a process run on; the importer's. */
struct import_thread {
    struct loop loop;
    struct calls calls;
    struct store *store;       /* borrowed */
    struct fetchers *fetchers; /* borrowed, as the layers that are open */
    struct layers *layers;
    struct list imports;
    unsigned running;  /* of them, QUEUED and PAUSED ones apart; at most `max_imports` */
    unsigned flushing; /* writes of the index that somebody waits for */
};

/* Starts the import of what `info` names. `repository` is the hub's own name of it,
 * "datasets/Org/Name"; `filter` chooses among its files (wire/filter). With `prove`, layers that
 * are known from a numbers file alone are hashed too. `on_end` comes once, never from inside;
 * `sentence` says more, or is "". */
struct import *import_start(struct import_thread *thread, struct upstream *upstream,
                            const char *repository, const struct hub_info *info, const char *filter,
                            bool prove,
                            void (*on_end)(struct import *import, enum err err,
                                           struct view sentence));

/* Layers are to be hashed that are known from a numbers file alone, unless it is WRITING already.
 */
void import_prove(struct import *import);

/* Ends it early: on_end comes with ERR_STOPPING, perhaps from inside. */
void import_stop(struct import *import);

/* Whether it is the import of that commit, by that filter; by any when that is NULL. */
bool import_is_of(const struct import *import, const struct upstream *upstream,
                  const char *repository, const char *commit, const char *filter);

/* At on_end: the image. */
void import_result(const struct import *import, struct digest *ret_index, uint64_t *ret_size);

/* How it stands: all but image, started_ms and us. */
void import_tell(const struct import *import, struct import_report *report);

/* The asks that wait for it: the importer's own. */
struct list *import_asks(struct import *import);

/* In thread->imports. */
struct list *import_node(struct import *import);
struct import *import_of_node(struct list *node);

/* After on_end. */
void import_free(struct import *import);

/* Notes an image and its documents as what the commit that `record` names came to; index_digest and
 * index_size of it are set from the documents. Thread: any, as the next. */
void import_write_image(struct store *store, const struct upstream *upstream,
                        const struct image *image, const char *filter, struct image_record *record);

/* Notes, under that name, that the repository holds the image of that index and all under it, whose
 * documents must have reached the index. */
void import_write_names(struct store *store, const struct upstream *upstream,
                        const char *repository, const struct digest *index_digest);

#endif
