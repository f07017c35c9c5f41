#include "model/layer_hash.h"

#include "base/check.h"

enum { SCRATCH = 4096 };

void layer_hash_start(struct layer_hash *hash, const struct layout *layout, enum layer_hash_of of)
{
    *hash = (struct layer_hash){.layout = layout, .of = of};
    hasher_init(&hash->hasher, DIGEST_SHA256);
}

static uint64_t whole(const struct layer_hash *hash)
{
    struct layout_sizes sizes = layout_sizes(hash->layout);

    return hash->of == LAYER_HASH_LAYER ? sizes.layer : sizes.uncompressed;
}

/* Hashes framing up to the next byte of a file. Returns how many bytes of that file come in a row;
 * 0 at the end. */
static uint64_t hash_framing(struct layer_hash *hash)
{
    uint8_t scratch[SCRATCH];
    struct layout_piece piece;
    uint64_t end = whole(hash), offset = hash->offset;
    bool more = true;

    while (more) {
        more = hash->of == LAYER_HASH_LAYER
                   ? layout_next(hash->layout, &offset, end, scratch, SCRATCH, &piece)
                   : layout_next_uncompressed(hash->layout, &offset, end, scratch, SCRATCH, &piece);
        if (more && piece.bytes.length == 0)
            return piece.end - piece.start;
        if (more)
            hasher_update(&hash->hasher, piece.bytes.data, piece.bytes.length);
        hash->offset = offset;
    }
    return 0;
}

void layer_hash_update(struct layer_hash *hash, const void *data, size_t length)
{
    const uint8_t *at = data;

    while (length > 0) {
        uint64_t room = hash_framing(hash);
        size_t count = length < room ? length : (size_t)room;
        CHECK(count > 0);
        hasher_update(&hash->hasher, at, count);
        hash->offset += count;
        at += count;
        length -= count;
    }
}

void layer_hash_finish(struct layer_hash *hash, struct digest *ret_digest)
{
    CHECK(layout_is_sealed(hash->layout));
    CHECK(hash_framing(hash) == 0);
    CHECK(hash->offset == whole(hash));
    hasher_finish(&hash->hasher, ret_digest);
}

void layer_hash_release(struct layer_hash *hash)
{
    hasher_release(&hash->hasher);
    *hash = (struct layer_hash){0};
}
