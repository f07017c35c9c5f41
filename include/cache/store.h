#ifndef CACHE_STORE_H
#define CACHE_STORE_H

/*
 * The cache directory, and what all loops share of the cache.
 *
 *   <cache>/format                   "entrepot 1": this folder is ours, and which layout it has
 *   <cache>/lock                     held (flock) by the process that uses it
 *   <cache>/index/                   LMDB
 *   <cache>/partial/<alg>/<hex>      sparse file while filling
 *   <cache>/blobs/<alg>/<ab>/<hex>   complete, verified; renamed here from partial/
 *
 * A name under blobs/ means whole and true, even if the index is lost: it is then listed again.
 */

#include <stdatomic.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "cache/absence.h"
#include "cache/blob.h"
#include "cache/disk_rest.h"
#include "cache/flight.h"
#include "cache/index.h"
#include "cache/upstream.h"
#include "wire/manifest.h"

struct evictor;
struct scrubber;

struct store {
    const struct config *config; /* borrowed */
    int directory;               /* owned; all paths are relative to it */
    int lock;                    /* owned */
    struct index *index;         /* owned */
    struct blobs blobs;
    struct flights flights;
    struct absences absences;
    struct disk_rest disk_rest;
    struct upstreams upstreams;
    uint64_t aside; /* bytes of the disk that are neither blobs' nor the index's: what was set
                     * aside, what a crash left and could not be given back, and small change;
                     * constant */
    char boot_id[RECORD_BOOT_ID_SIZE];   /* of the running kernel; "" when it does not say */
    _Atomic uint64_t used;               /* by complete and partial blobs, see footprint.h */
    _Atomic uint64_t pressed;            /* a ceiling below the budget, for the next eviction */
    _Atomic uint64_t reserved;           /* what running fills will still use */
    _Atomic(struct evictor *) evictor;   /* who makes room; NULL: nobody yet, or no more */
    _Atomic(struct scrubber *) scrubber; /* who looks for damage; NULL: nobody yet, or no more */
};

/*
 * Makes or takes over the cache directory, refuses one that is not ours, of another layout, or in
 * use by another process (ERR_CACHE_IN_USE; `ret_problem` says what to do), opens the index, or
 * makes it anew from blobs/, and removes partial files that nothing is recorded about, and what
 * lies in others beyond their records: so that what is counted is what there is. Sleeps. Thread:
 * main, before the loops run.
 */
enum err store_open(struct store *store, const struct config *config,
                    struct buf *ret_problem) MUST_CHECK;

/* Reads a manifest of `size` bytes from its file, which is whole. ERR_UPSTREAM_TOO_LARGE: it is
 * larger than max_manifest. Sleeps. Thread: pool. */
enum err store_read_manifest(const struct store *store, int fd, uint64_t size,
                             struct manifest *ret_manifest) MUST_CHECK;

/* Thread: main, after the loops have ended. */
void store_close(struct store *store);

#endif
