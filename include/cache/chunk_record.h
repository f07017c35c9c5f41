#ifndef CACHE_CHUNK_RECORD_H
#define CACHE_CHUNK_RECORD_H

/*
 * The value of INDEX_NOTE_NUMBERS: the numbers of a file's chunks (base/numbers.h), under the
 * file's sha256. Where there is one, whatever is fetched of that file can be verified cell by cell.
 * Numbers that were not counted here are a claim: of a hub's file, bytes that do not agree with
 * them are refused all the same, but nothing new is computed from them, and nobody else who has the
 * digest is measured by them. Pure; the decoder is fuzzed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/numbers.h"

struct chunk_record {
    uint64_t size;             /* of the file, bytes */
    bool is_claimed;           /* by a numbers file; false: counted here, over all its bytes */
    bool has_edges;            /* they are known: numbers_has_edges(size), and not told without */
    struct edge_numbers edges; /* then */
    struct chunk_numbers *chunks; /* owned; numbers_count(size) of them, NULL when none */
};

void chunk_record_encode(const struct chunk_record *record, struct buf *out);

/* False, leaving the output alone, when the bytes are not such a record of this version. */
bool chunk_record_decode(struct view bytes, struct chunk_record *ret_record);

/* Harmless to an all-zero one. */
void chunk_record_release(struct chunk_record *record);

#endif
