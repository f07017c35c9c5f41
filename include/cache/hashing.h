#ifndef CACHE_HASHING_H
#define CACHE_HASHING_H

/*
 * The digest of a file that is being filled: hashed in file order, in the pool, behind the fill.
 * The bytes are read back while they are still in the page cache.
 *
 * Embedded in the fetch. At most one job runs at a time; the owner says again and again how far the
 * file is whole from its start.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "io/disk.h"

struct hashing {
    struct disk_job job;
    struct hasher hasher;
    uint64_t done;  /* hashed up to here; the job's while it runs */
    uint64_t limit; /* of the running job */
    int fd;         /* borrowed */
    enum err err;   /* the file could not be read */
    bool running;
    void (*on_progress)(struct hashing *hashing); /* a job has ended */
};

void hashing_init(struct hashing *hashing, enum digest_algorithm algorithm,
                  void (*on_progress)(struct hashing *hashing));

/* Only when no job is running. */
void hashing_release(struct hashing *hashing);

/* Bytes [0, end) are there: hashes on, unless a job is running already. Thread: loop's own. */
void hashing_go(struct hashing *hashing, struct loop *loop, int fd, uint64_t end);

/* The digest of all that was hashed; once. Only when no job is running. */
void hashing_finish(struct hashing *hashing, struct digest *ret_digest);

#endif
