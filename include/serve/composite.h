#ifndef SERVE_COMPOSITE_H
#define SERVE_COMPOSITE_H

/*
 * A body that is computed: a long sequence of bytes in memory and ranges of blobs, which nobody
 * has written down. It can be read from any offset, and again from one before: so whoever reads it
 * keeps nothing of it between two calls but the offset.
 *
 * Embedded in its maker's object. Thread: the loop of the one who reads it, all functions.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cache/blob.h"

/* What stands at one offset. */
struct composite_part {
    struct view bytes;   /* in the caller's scratch; when `blob` is NULL */
    struct blob *blob;   /* borrowed, until the next call of `next`; else NULL */
    uint64_t start, end; /* of the blob */
    uint64_t until;      /* of the blob: as far as it is read on from there, `end` or more; what is
                          * between the ranges is not of it */
};

struct composite {
    /*
     * Gives what stands from `*offset` on, before `end`, which is more, and moves `*offset` behind
     * it: one byte or more, in `scratch` those that are in memory. The bytes of the blob need not
     * be there.
     */
    void (*next)(struct composite *composite, uint64_t *offset, uint64_t end, char *scratch,
                 size_t size, struct composite_part *ret_part);

    /*
     * The bytes of the blob that `next` gave last are not there: sees that they come. Its caller is
     * parked on the blob already, so that he hears of whatever happens to it from here on; he comes
     * again, with `next` before it, each time that it was not what he waited for. An error: they
     * will not come.
     */
    enum err (*await)(struct composite *composite);
};

#endif
