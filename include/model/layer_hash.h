#ifndef MODEL_LAYER_HASH_H
#define MODEL_LAYER_HASH_H

/*
 * The digest of a layer, or of its uncompressed archive (the diffID), from the bytes of its files,
 * fed in the layer's order (tree_order). The framing comes from the layout.
 *
 * Framing is hashed when the byte behind it comes. So the layout may still be a draft: the CRC32 of
 * a chunk must be in the table by the first byte of the next chunk, and the layout must be sealed
 * by layer_hash_finish. What does so in one pass:
 *
 *   numbers_update(&numbers, data, length);
 *   layer_hash_update(&layer, data, length);
 *   layer_hash_update(&diff_id, data, length);
 *
 * The three know nothing of each other and may run in three threads, the two behind the first:
 * bytes are handed on under a lock once their numbers are written, and layout_set_chunks came
 * before. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "model/layout.h"

enum layer_hash_of { LAYER_HASH_LAYER, LAYER_HASH_UNCOMPRESSED };

/* All-zero is idle; layer_hash_release is harmless then. */
struct layer_hash {
    const struct layout *layout; /* borrowed */
    enum layer_hash_of of;
    struct hasher hasher;
    uint64_t offset; /* bytes hashed of the layer or the archive */
};

void layer_hash_start(struct layer_hash *hash, const struct layout *layout, enum layer_hash_of of);

/* Takes the next bytes of the files: all of the first that is not empty, all of the next, ... More
 * bytes than they have are a bug. */
void layer_hash_update(struct layer_hash *hash, const void *data, size_t length);

/* Gives the digest. All bytes must have been fed and the layout be sealed. It can then only be
 * released. */
void layer_hash_finish(struct layer_hash *hash, struct digest *ret_digest);
void layer_hash_release(struct layer_hash *hash);

#endif
