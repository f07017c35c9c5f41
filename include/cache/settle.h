#ifndef CACHE_SETTLE_H
#define CACHE_SETTLE_H

/*
 * Makes a whole, verified blob last: its bytes are synced, its file moves from partial/ to blobs/,
 * and only then does the index say that it is complete. Readers are served meanwhile.
 */

#include "cache/blob.h"
#include "cache/store.h"

/* The blob is referred to until then. An error leaves the partial file and its record: the blob is
 * verified again when it is opened the next time. Thread: loop's own. */
void settle_start(struct store *store, struct loop *loop, struct blob *blob,
                  void (*on_settled)(void *owner, enum err err), void *owner);

#endif
