#ifndef MODEL_LAYER_PASS_H
#define MODEL_LAYER_PASS_H

/*
 * The one pass over the bytes of a layer's files that its digests need: reads them in the layer's
 * order out of their blobs, behind whoever fills those, and has them filled when nobody does.
 *
 *   READING <--> WAITING (for more bytes)       per file; the pool reads and hashes
 *      `--> SEALING --> on_end(OK), and the digests are there
 *      `--> on_end(error): a file could not be had, or is not what the hub says
 *
 * At its end the numbers of each file are in the index, file by file, so that none is read twice
 * for them. Embedded in the import. Thread: the loop's own.
 */

#include <stdbool.h>

#include "base/digest.h"
#include "base/numbers.h"
#include "cache/fetcher.h"
#include "io/disk.h"
#include "model/layer_hash.h"

/* What is said of a layer that would have too long a table of contents. */
#define LAYER_PASS_TOC_TOO_LONG                                                                    \
    "the table of contents of a layer would be longer than 150 MiB, which clients refuse"

/* A file of the layer. The pass fills in `chunks`. */
struct pass_file {
    struct view name; /* borrowed */
    uint64_t size;
    struct digest sha256;
    struct chunk_numbers *chunks; /* owned by the pass's owner; numbers_count(size) of them */
    bool has_numbers;             /* and they are filled in already: bytes that lay in the cache
                                   * before must agree with them */
};

struct layer_pass {
    struct fetchers *fetchers; /* borrowed, as what follows up to `owner` */
    struct loop *loop;
    const struct pass_file *files; /* in any order */
    size_t count;
    void (*source_of)(void *owner, size_t file, struct source *ret_source);
    void (*on_end)(struct layer_pass *pass, enum err err);
    void *owner;

    struct layout *layout;  /* owned; SEALED at the end */
    struct digest digest;   /* at the end: of the layer, */
    struct digest diff_id;  /* and of its archive */
    uint64_t retry_after_s; /* of an error: what the hub told us to wait; or 0 */
    _Atomic uint64_t *read; /* borrowed; bytes read are added to it; or NULL */

    size_t *order;     /* owned; tree_order() of the files */
    size_t at;         /* in it */
    uint64_t offset;   /* in that file */
    struct blob *blob; /* counted; that file's, or NULL */
    struct waiter waiter;
    struct numbers numbers;
    struct layer_hash layer, archive;
    struct disk_job job;
    struct chunk_numbers *counted; /* owned; of a file that has numbers, to compare */
    char *buffer;                  /* owned */
    size_t length;                 /* of what the job reads */
    bool has_begun;                /* the numbers of this file */
    unsigned opened;               /* how often a blob was opened again */
    bool wanted;                   /* we have it filled */
    bool running;                  /* the job */
    bool stopped;                  /* by layer_pass_stop() */
    enum err err;                  /* the job's */
};

/* Starts. False, with a sentence in `problem`, when an image cannot hold the files, or the table of
 * contents would be longer than LAYOUT_TOC_MAX. The fields up to `owner` are set by the caller, all
 * others are zero. on_end never comes from inside. */
bool layer_pass_start(struct layer_pass *pass, struct buf *problem);

/* Ends it early: on_end comes soon, not from inside, with ERR_STOPPING. */
void layer_pass_stop(struct layer_pass *pass);

/* Frees what it has. After on_end, or when it was never started. */
void layer_pass_release(struct layer_pass *pass);

#endif
