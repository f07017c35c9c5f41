#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

/*
 * Content digests: sha256:<64 hex> and sha512:<128 hex> (OCI image-spec, descriptor.md, "Digests").
 * A digest is a plain value: compare with digest_equal, copy by assignment. Unused bytes are zero.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum digest_algorithm { DIGEST_SHA256, DIGEST_SHA512 };

enum {
    DIGEST_BYTES_MAX = 64,
    DIGEST_TEXT_SIZE = sizeof("sha512:") + 2 * DIGEST_BYTES_MAX, /* with the NUL */
};

struct digest {
    enum digest_algorithm algorithm;
    uint8_t bytes[DIGEST_BYTES_MAX];
};

/* Parses the whole of `text`; lower-case hex only. False, leaving `*ret_digest` alone, when it is
 * not a digest we know. Pure. */
bool digest_parse(struct view text, struct digest *ret_digest);

/* Prints "sha256:3f2a..." and returns `out`. */
const char *digest_print(const struct digest *digest, char out[DIGEST_TEXT_SIZE]);

const char *digest_algorithm_name(enum digest_algorithm algorithm); /* "sha256" */
size_t digest_length(const struct digest *digest);                  /* in bytes: 32 or 64 */
bool digest_equal(const struct digest *a, const struct digest *b);

/* One-shot. */
void digest_of(enum digest_algorithm algorithm, const void *data, size_t length,
               struct digest *ret_digest);

/* A running computation. All-zero is idle; hasher_release is harmless then. One thread at a time.
 */
struct hasher {
    void *context; /* owned; EVP_MD_CTX */
    enum digest_algorithm algorithm;
};

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm);
void hasher_update(struct hasher *hasher, const void *data, size_t length);

/* Gives the digest of all that was hashed. The hasher can then only be released. */
void hasher_finish(struct hasher *hasher, struct digest *ret_digest);
void hasher_release(struct hasher *hasher);

#endif
