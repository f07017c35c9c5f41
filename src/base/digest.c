#include "base/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

static const struct algorithm {
    const char *name;
    size_t length; /* bytes */
} algorithms[] = {
    [DIGEST_SHA256] = {"sha256", 32},
    [DIGEST_SHA512] = {"sha512", 64},
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool digest_parse(struct view text, struct digest *ret_digest)
{
    struct view name = view_cut(&text, ':');
    struct digest digest = {0};
    size_t which = 0;

    while (which < 2 && !view_equal(name, view_of(algorithms[which].name)))
        which++;
    if (which == 2 || text.length != 2 * algorithms[which].length)
        return false;
    digest.algorithm = (enum digest_algorithm)which;
    for (size_t i = 0; i < text.length; i += 2) {
        int high = hex_value(text.data[i]), low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest.bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return true;
}

const char *digest_print(const struct digest *digest, char out[DIGEST_TEXT_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    size_t length = digest_length(digest);
    char *at = out + snprintf(out, DIGEST_TEXT_SIZE, "%s:", algorithms[digest->algorithm].name);

    for (size_t i = 0; i < length; i++) {
        *at++ = hex[digest->bytes[i] >> 4];
        *at++ = hex[digest->bytes[i] & 15];
    }
    *at = '\0';
    return out;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

size_t digest_length(const struct digest *digest)
{
    return algorithms[digest->algorithm].length;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, digest_length(a)) == 0;
}

static const EVP_MD *evp_of(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA256 ? EVP_sha256() : EVP_sha512();
}

void digest_of(enum digest_algorithm algorithm, const void *data, size_t length,
               struct digest *ret_digest)
{
    struct hasher hasher;

    hasher_init(&hasher, algorithm);
    hasher_update(&hasher, data, length);
    hasher_finish(&hasher, ret_digest);
    hasher_release(&hasher);
}

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm)
{
    hasher->algorithm = algorithm;
    hasher->context = EVP_MD_CTX_new();
    CHECK(hasher->context != NULL);
    CHECK(EVP_DigestInit_ex(hasher->context, evp_of(algorithm), NULL) == 1);
}

void hasher_update(struct hasher *hasher, const void *data, size_t length)
{
    CHECK(EVP_DigestUpdate(hasher->context, data, length) == 1);
}

void hasher_finish(struct hasher *hasher, struct digest *ret_digest)
{
    *ret_digest = (struct digest){.algorithm = hasher->algorithm};
    CHECK(EVP_DigestFinal_ex(hasher->context, ret_digest->bytes, NULL) == 1);
}

void hasher_release(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    *hasher = (struct hasher){0};
}
