#ifndef CACHE_REMOVAL_H
#define CACHE_REMOVAL_H

/*
 * Takes a blob off the disk: its record goes first, then its file, so that the index never says
 * more than the disk holds, and what it took is counted no more.
 *
 * Only of a digest that nobody else can open meanwhile: the caller has its blob, OPENING, from
 * blobs_get(), blobs_claim() or blobs_seize(). Sleeps. Thread: any but serve loops.
 */

#include <stdint.h>

#include "base/digest.h"
#include "cache/record.h"
#include "cache/store.h"

/* Removes what `record`, the digest's own, says is there, and returns the bytes that were given
 * back. */
uint64_t removal_run(struct store *store, const struct digest *digest,
                     const struct blob_record *record);

/* The same for a complete blob that is not what its record says: says so in the log, with `why`
 * ("is missing"), and counts it. */
void removal_damaged(struct store *store, const struct digest *digest,
                     const struct blob_record *record, const char *why);

#endif
