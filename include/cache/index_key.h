#ifndef CACHE_INDEX_KEY_H
#define CACHE_INDEX_KEY_H

/*
 * The keys of the index's tables: a digest's bytes, or a hash where a name could exceed LMDB's 511
 * bytes. For `index` and `index_walks` only. Pure.
 */

#include <stddef.h>

#include "base/digest.h"

enum { INDEX_KEY_MAX = 1 + DIGEST_BYTES_MAX };

struct index_key {
    size_t length;
    unsigned char bytes[INDEX_KEY_MAX];
};

struct index_key index_digest_key(const struct digest *digest);

/* Of three texts. */
struct index_key index_name_key(const char *upstream, const char *repository, const char *name);

struct index_key index_holding_key(const char *upstream, const char *repository,
                                   const struct digest *digest);

struct index_key index_note_key(unsigned note, const unsigned char key[32]);

#endif
