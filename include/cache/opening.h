#ifndef CACHE_OPENING_H
#define CACHE_OPENING_H

/*
 * Ends a blob's OPENING: asks the index and the disk, in the pool, what there is of it.
 *
 * The index never says more than the disk holds, but disks lose things: a complete file that is
 * missing or of another size is taken out and is to be fetched again. Extents of a partial file
 * that were not synced are trusted only in the boot in which they were written.
 */

#include "cache/blob.h"
#include "cache/store.h"

/* Holds a reference to the blob until it is opened, then calls back. Thread: loop's own. */
void opening_start(struct store *store, struct loop *loop, struct blob *blob,
                   void (*on_opened)(void *owner), void *owner);

#endif
