#ifndef CACHE_FILL_LINE_H
#define CACHE_FILL_LINE_H

/*
 * The lines in the log that tell how a fill ended, and the counters beside them. Thread: any.
 */

#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "cache/source.h"
#include "cache/verifier.h"

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

/* Counts, and logs, that `source` sent bytes whose digest is `found` for `expected`. */
void fill_line_mismatch(const struct source *source, const struct digest *expected,
                        const struct digest *found);

/* Counts, and logs, that a chunk of `digest` came that is not what its numbers say. */
void fill_line_chunk(const struct digest *digest, const struct verdict *verdict);

#endif
