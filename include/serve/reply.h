#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

/*
 * Streams an answer, a sequence of pieces, to a connection: the only delivery path.
 *
 * A piece is bytes in memory or a range of a blob; whoever made the sequence is none of our
 * business. Of a blob that is still filling, what is there is sent, and the rest as it comes. At
 * most 4 MiB a connection a turn; windows that are not in the page cache are read by the pool
 * first.
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
#include "cache/blob.h"
#include "io/conn.h"

struct piece {
    struct blob *blob;   /* borrowed; NULL: `bytes` */
    struct view bytes;   /* borrowed */
    uint64_t start, end; /* of the blob */
    /* It ends where the blob ends, and with what came before it its reader has the whole: while a
     * blob that will be verified is not, its last bytes are held back (clients.md B9). */
    bool verified_end;
};

enum reply_result { REPLY_SENT, REPLY_CUT, REPLY_LOST };

struct warming;

struct reply {
    struct conn *conn;          /* borrowed */
    const struct piece *pieces; /* borrowed, until the end */
    size_t count;
    size_t index;         /* of the piece being sent */
    uint64_t sent;        /* bytes of it */
    uint64_t total;       /* bytes sent in all */
    struct waiter waiter; /* PARKED */
    struct warming *warming;
    uint64_t warm_until;    /* of the piece's blob: offset up to which it need not be asked */
    uint64_t first_byte_us; /* when the first byte was taken by the socket; 0: not yet */
    enum err err;           /* CUT: why */
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
