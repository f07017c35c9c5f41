#ifndef CACHE_PARTIAL_H
#define CACHE_PARTIAL_H

/*
 * The file of a blob that is filling, under partial/, and the record of what was written to it. The
 * record follows the file: it may say less than the file holds, never more.
 */

#include <stdbool.h>

#include "base/err.h"
#include "cache/blob.h"
#include "cache/store.h"

/* Makes an empty file and gives it to the blob. ERR_DISK_FAILED too while the index cannot forget
 * what was in the one before. Sleeps. */
enum err partial_create(struct store *store, struct blob *blob) MUST_CHECK;

/* Records what is present, and this boot's id: a crash of the process from here on will not lose
 * it. Nothing is recorded of an empty file. Thread: the blob's owner loop. */
void partial_record(struct store *store, struct blob *blob);

/*
 * Syncs the file in the pool, and records then that what is present now outlives a power cut too.
 * One at a time a blob: while one runs, the next waits for its end. `*busy` counts it until then,
 * and `done` is called then. Thread: the blob's owner loop, which is `loop`.
 */
void partial_sync(struct store *store, struct loop *loop, struct blob *blob, unsigned *busy,
                  void (*done)(struct blob *blob));

/*
 * Whether so much of it would not outlive a power cut that the sync that runs is to be waited for
 * before there is more: a quarter of `checkpoint`, or half with what waits to be verified. The rest
 * is for what comes all the same, for the record's own way to the disk, and for what is lost in
 * sockets, which may be megabytes each. Thread: the blob's owner loop.
 */
bool partial_is_behind(const struct store *store, const struct blob *blob);

/* The bytes are wrong: removes record and file, and counts them no more. Thread: the blob's owner
 * loop. */
void partial_discard(struct store *store, struct blob *blob);

#endif
