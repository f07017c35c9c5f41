#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

/*
 * Streams an answer, a sequence of pieces, to a connection: the only delivery path.
 *
 * A piece is bytes in memory, a range of a blob, or a range of a composite, which gives its parts,
 * bytes and ranges of blobs again, as they are sent; whoever made the sequence is none of our
 * business. Of a blob that is still filling, what is there is sent, and the rest as it comes. At
 * most 4 MiB a connection a turn; windows that are not in the page cache are read by the pool
 * first. The parts of a composite go out many in one call, from a mapping of the file.
 *
 *   SENDING <--> PARKED    (nothing readable yet: the blob wakes us)
 *      |    <--> WARMING   (the pool reads)
 *      `--> END            on_end, once: SENT, CUT (the blob failed, or its file could not be read:
 *                          ERR_DISK_FAILED) or LOST (the peer is gone); after reply_abandon,
 * nothing
 *
 * Embedded in the request. Thread: the conn's loop, all functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "cache/blob.h"
#include "io/conn.h"
#include "serve/composite.h"

struct piece {
    struct composite *composite; /* borrowed; or NULL */
    struct blob *blob;           /* borrowed; both NULL: `bytes` */
    struct view bytes;           /* borrowed */
    uint64_t start, end;         /* of the composite, or of the blob */
    /* It ends where the blob ends, and with what came before it its reader has the whole: while a
     * blob that will be verified is not, its last bytes are held back (clients.md B9). */
    bool verified_end;
};

enum reply_result { REPLY_SENT, REPLY_CUT, REPLY_LOST };

struct warming;

/* A window of a composite's file in our memory, whose bytes the kernel alone reads: a disk that
 * fails ends the call, not us. Up to 8 MiB, which count as resident, though they are the page
 * cache's. */
struct mapped {
    struct blob *blob;   /* counted; NULL: none */
    void *at;            /* owned; where `start` is */
    uint64_t start, end; /* of the blob */
};

struct reply {
    struct conn *conn;          /* borrowed */
    const struct piece *pieces; /* borrowed, until the end */
    size_t count;
    size_t index;         /* of the piece being sent */
    uint64_t sent;        /* bytes of it */
    uint64_t total;       /* bytes sent in all */
    struct waiter waiter; /* PARKED */
    struct blob *parked;  /* borrowed; where the waiter may be; NULL: nowhere */
    struct warming *warming;
    const struct blob *warm_blob;   /* the last one that was read of; to be compared only */
    uint64_t warm_from, warm_until; /* of it: what need not be asked about again */
    struct mapped mapped;
    uint64_t first_byte_us; /* when the first byte was taken by the socket; 0: not yet */
    enum err err;           /* CUT: why, */
    bool has_unreadable;    /* and with ERR_DISK_FAILED of which blob, if that is known: */
    struct digest unreadable;
    void (*on_end)(struct reply *reply, enum reply_result result);
};

/* Starts. `on_end` may come before it returns. Only when no reply of this conn runs. */
void reply_start(struct reply *reply, struct conn *conn, const struct piece *pieces, size_t count,
                 void (*on_end)(struct reply *reply, enum reply_result result));

/* The conn can take more. */
void reply_on_writable(struct reply *reply);

/* The conn is gone: lets go of everything. Harmless when the reply has ended. */
void reply_abandon(struct reply *reply);

#endif
