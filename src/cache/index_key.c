#include "cache/index_key.h"

#include <string.h>

struct index_key index_digest_key(const struct digest *digest)
{
    struct index_key key = {.length = 1 + digest_length(digest)};

    key.bytes[0] = (unsigned char)digest->algorithm;
    memcpy(key.bytes + 1, digest->bytes, digest_length(digest));
    return key;
}

struct index_key index_name_key(const char *upstream, const char *repository, const char *name)
{
    const char *const parts[] = {upstream, repository, name};
    struct index_key key = {.length = 32};
    struct digest digest;
    struct hasher hasher;

    hasher_init(&hasher, DIGEST_SHA256);
    for (size_t i = 0; i < 3; i++)
        hasher_update(&hasher, parts[i], strlen(parts[i]) + 1);
    hasher_finish(&hasher, &digest);
    hasher_release(&hasher);
    memcpy(key.bytes, digest.bytes, key.length);
    return key;
}

struct index_key index_holding_key(const char *upstream, const char *repository,
                                   const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    return index_name_key(upstream, repository, digest_print(digest, text));
}

struct index_key index_note_key(unsigned note, const unsigned char key[32])
{
    struct index_key made = {.length = 33};

    made.bytes[0] = (unsigned char)note;
    memcpy(made.bytes + 1, key, 32);
    return made;
}
