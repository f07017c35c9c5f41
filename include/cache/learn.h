#ifndef CACHE_LEARN_H
#define CACHE_LEARN_H

/*
 * Learns from a manifest what its repository holds: digest, size and kind of each descriptor go to
 * the index, so that sizes are known without asking the upstream, and a blob is answered under the
 * repositories only that hold it.
 */

#include "cache/blob.h"
#include "cache/source.h"
#include "cache/store.h"

struct learned {
    enum err err;
    char media_type[RECORD_MEDIA_TYPE_SIZE]; /* the manifest's own, as its content says */
};

/*
 * Reads the manifest's file in the pool, and calls back when all it says is committed. The blob is
 * referred to meanwhile. The file must be whole and verified. Thread: loop's own.
 */
void learn_start(struct store *store, struct loop *loop, struct blob *blob,
                 const struct source *source,
                 void (*on_learned)(void *owner, const struct learned *learned), void *owner);

/*
 * Whether all that a manifest points at is cached: config and layers; of an index, all of at least
 * one platform's manifest (clients.md M7). Reads files: sleeps. Thread: pool.
 */
bool learn_is_whole(struct store *store, struct blob *blob);

#endif
