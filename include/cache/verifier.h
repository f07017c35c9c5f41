#ifndef CACHE_VERIFIER_H
#define CACHE_VERIFIER_H

/*
 * The chunks of a blob that are written and not verified yet, or rather the cells: what
 * base/numbers says of the edges of a file holds here for chunks. Where the index has the numbers
 * of a file (chunk_record.h), what is fetched of it becomes readable chunk by chunk, each after its
 * sha256 was found right; what is wrong is taken back, and nobody has seen it.
 *
 *   missing --all its bytes are written--> waits --> is checked in the pool --right--> published
 *      ^                                                  |
 *      `---------- it is wrong: its bytes are given back -'
 *
 * Meanwhile blob->written says what lies in the file. Bytes that were published are never touched:
 * also those of a chunk that began to be fetched before there were numbers. Only what is published
 * is recorded, so that after a crash nothing is trusted that was not verified.
 *
 * Embedded in the intake. All-zero is one that is off: what is written is published at once then,
 * by whoever writes. Thread: the blob's owner loop; only the hashing is in the pool.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/extents.h"
#include "base/list.h"
#include "cache/blob.h"
#include "cache/chunk_record.h"
#include "cache/source.h"
#include "cache/store.h"

/* What came out for one chunk. */
struct verdict {
    enum err err; /* OK: it is published. ERR_CHUNK_MISMATCH: it was given back. Else it could
                   * not be read */
    struct extent range;  /* the chunk's bytes */
    uint64_t fresh;       /* OK: so many of them were not readable before */
    struct digest found;  /* ERR_CHUNK_MISMATCH, as all these: its sha256, */
    struct digest wanted; /* and what it was to be */
    unsigned wrongs;      /* how often it was wrong, with this time */
    bool is_mixed;        /* several sources had sent of it; else only this one: */
    bool has_older; /* some of its bytes were published before there were numbers, and these were
                     * counted here: what is published is wrong */
    const struct source *sender; /* who sent its last bytes; borrowed */
};

struct verifier_chunk;

struct verifier {
    struct store *store; /* borrowed, as these two; NULL: it is off */
    struct loop *loop;   /* the blob's owner */
    struct blob *blob;
    struct chunk_record numbers;   /* owned */
    struct cells cells;            /* of it */
    struct verifier_chunk *chunks; /* owned; what became of each */
    struct extents written;        /* `present`, and what waits */
    struct list waiting;           /* chunks to be checked */
    unsigned running;              /* jobs */
    bool has_ended;                /* what the jobs find interests nobody any more */
    struct source *senders;        /* owned; all who have sent of it */
    size_t sender_count;
    /* A job has ended; NULL: after verifier_end(). */
    void (*on_verdict)(struct verifier *verifier, const struct verdict *verdict);
};

/* Turns on an all-zero one if the index has numbers of the blob, of which nobody has written since
 * it was opened. Numbers that come later do not count. */
void verifier_begin(struct verifier *verifier, struct store *store, struct loop *loop,
                    struct blob *blob,
                    void (*on_verdict)(struct verifier *verifier, const struct verdict *verdict));

bool verifier_is_on(const struct verifier *verifier);

/* These bytes, of which nothing was written and which lie within the file, are written: `sender`
 * sent them. A chunk that is whole by that is checked. */
void verifier_wrote(struct verifier *verifier, const struct source *sender, struct extent range);

/* Whether a chunk is being checked, or is to be. */
bool verifier_is_busy(const struct verifier *verifier);

/* Whether a job runs, also one that interests nobody. */
bool verifier_runs(const struct verifier *verifier);

/* Gives back what was not verified; blob->written is `present` again. More than once is harmless.
 */
void verifier_end(struct verifier *verifier);

/* After verifier_end(), when no job runs. */
void verifier_release(struct verifier *verifier);

#endif
