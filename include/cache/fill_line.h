#ifndef CACHE_FILL_LINE_H
#define CACHE_FILL_LINE_H

/*
 * The line in the log that tells how a fill ended, and the counters beside it. Thread: any.
 */

#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "cache/source.h"

struct fill_line {
    const struct digest *digest;
    const struct source *source;
    uint64_t bytes; /* that it brought */
    uint64_t size;  /* of the blob, or BLOB_SIZE_UNKNOWN */
    uint64_t resumed;
    uint64_t us; /* how long it took */
    enum err verdict;
};

/* Counts the fill among those that have ended, and logs it. */
void fill_line_end(const struct fill_line *fill);

#endif
