#ifndef MODEL_RECORD_H
#define MODEL_RECORD_H

/*
 * What the index notes about models, and its bytes. Pure; the decoders are fuzzed, since a disk may
 * hand back anything. A record begins with its schema version; one of another version is not
 * decoded. Nor is one that cannot be: a commit that is none, sizes that do not add up, a file
 * without a name. Decoding allocates at most a small multiple of the bytes it is given.
 *
 * The keys are hashes: what a record must be found by stands in the key alone, and what must be
 * known of it again stands in the record.
 *
 * A commit is 40 lower-case hex digits; to encode a record with another is a bug. All texts end in
 * a NUL. Thread: any, as all here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "cache/record.h"
#include "model/tree.h"

enum {
    MODEL_KEY_SIZE = 32,
    MODEL_OID_SIZE = 20,     /* of a git object's id, a SHA-1 */
    MODEL_COMMIT_SIZE = 41,  /* with the NUL */
    MODEL_LAYOUT_VERSION = 1 /* the only layout there is: model/layout */
};

/* ---- GIT: which bytes a small file has, whose sha256 the hub does not tell ---- */

struct git_record {
    uint8_t sha256[32];
    uint64_t size; /* up to INT64_MAX */
};

void git_record_key(const uint8_t oid[MODEL_OID_SIZE], unsigned char ret_key[MODEL_KEY_SIZE]);
void git_record_encode(const struct git_record *record, struct buf *out);

/* False, leaving the output alone, when the bytes are not such a record; so are all that follow. */
bool git_record_decode(struct view bytes, struct git_record *ret_record);

/* ---- LAYER: what a layer is computed from. The key is its digest's bytes ---- */

struct layer_file {
    char *name; /* owned; never empty */
    uint64_t size;
    uint8_t sha256[32];
};

/* A commit that the files of the layer can be fetched from. */
struct layer_place {
    char upstream[RECORD_UPSTREAM_SIZE];     /* its name in the config */
    char repository[RECORD_REPOSITORY_SIZE]; /* the hub's id in its own case; "datasets/..." */
    char commit[MODEL_COMMIT_SIZE];
};

enum { LAYER_PLACES_MAX = 8 };

/* All-zero is empty. sum of the files' sizes <= uncompressed < size <= INT64_MAX */
struct layer_record {
    unsigned layout_version; /* MODEL_LAYOUT_VERSION */
    bool is_claimed;         /* by a numbers file; false: all its bytes were hashed here */
    uint64_t size;           /* of the layer */
    uint64_t uncompressed;   /* of its archive */
    struct digest diff_id;
    struct digest toc_digest;
    struct layer_file *files;                    /* owned; in the layer's order */
    size_t count;                                /* up to TREE_ENTRIES_MAX */
    struct layer_place places[LAYER_PLACES_MAX]; /* the newest first */
    size_t place_count;
};

/*
 * Puts a place first. When it was there it only moves, and false is returned if it was first: the
 * record is as it was. When there is no room, the last place whose repository has another goes, or
 * else the last: many commits of one repository do not push out the others.
 */
bool layer_record_add_place(struct layer_record *record, const struct layer_place *place);

/* Whether one of its places is of the same repository, whatever the commit. */
bool layer_record_is_of(const struct layer_record *record, const struct layer_place *place);

void layer_record_release(struct layer_record *record);
void layer_record_encode(const struct layer_record *record, struct buf *out);
bool layer_record_decode(struct view bytes, struct layer_record *ret_record);

/*
 * The key of LAYER_OF, whose value is the digest's 32 bytes of the layer that has these files:
 * begin, add each file in the layer's order, end.
 */
void layer_of_key_begin(struct hasher *hasher);
void layer_of_key_add(struct hasher *hasher, const char *name, uint64_t size,
                      const uint8_t sha256[32]);
void layer_of_key_end(struct hasher *hasher, unsigned char ret_key[MODEL_KEY_SIZE]);

/* ---- IMAGE: what an import of a commit came to ---- */

/* All-zero is empty. */
struct image_record {
    char id[RECORD_REPOSITORY_SIZE]; /* as in layer_place */
    char commit[MODEL_COMMIT_SIZE];
    bool is_claimed; /* by a numbers file, as which files the commit has; false: the hub listed them
                      */
    struct digest index_digest;
    uint64_t index_size;
    uint64_t bytes;        /* of all files; up to INT64_MAX */
    int64_t imported_ms;   /* since the epoch */
    struct digest *layers; /* owned; from the lowest */
    size_t layer_count;    /* up to TREE_LAYERS_MAX */
};

/* `filter` says which files of the commit are in the image, "" when all are: any text that is the
 * same for the same choice. */
void image_record_key(const char *upstream, const char *id, const char *commit, const char *filter,
                      unsigned char ret_key[MODEL_KEY_SIZE]);
void image_record_release(struct image_record *record);
void image_record_encode(const struct image_record *record, struct buf *out);
bool image_record_decode(struct view bytes, struct image_record *ret_record);

/* ---- DOCUMENT: a config, manifest or index. The key is its digest's bytes ---- */

struct document_record {
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    struct view bytes; /* borrowed, after decoding from what was decoded */
};

void document_record_encode(const struct document_record *record, struct buf *out);
bool document_record_decode(struct view bytes, struct document_record *ret_record);

/* ---- IMPORT: one that is under way ---- */

struct import_record {
    char upstream[RECORD_UPSTREAM_SIZE];
    char repository[RECORD_REPOSITORY_SIZE]; /* its OCI name */
    char tag[RECORD_TAG_SIZE];
    int64_t since_ms; /* since the epoch */
    bool is_wanted;   /* by a person: a claim is not enough */
};

void import_record_key(const char *upstream, const char *repository, const char *tag,
                       unsigned char ret_key[MODEL_KEY_SIZE]);
void import_record_encode(const struct import_record *record, struct buf *out);
bool import_record_decode(struct view bytes, struct import_record *ret_record);

/* ---- TAGS: of a repository, as its hub told them ---- */

struct tags_record {
    int64_t checked;   /* seconds since the epoch: when the hub was asked last, */
    int64_t confirmed; /* and when it last told */
    struct view list;  /* of wire/tag_list; borrowed, after decoding from what was decoded */
};

void tags_record_key(const char *upstream, const char *repository,
                     unsigned char ret_key[MODEL_KEY_SIZE]);
void tags_record_encode(const struct tags_record *record, struct buf *out);
bool tags_record_decode(struct view bytes, struct tags_record *ret_record);

#endif
