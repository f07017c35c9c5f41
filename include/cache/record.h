#ifndef CACHE_RECORD_H
#define CACHE_RECORD_H

/*
 * The values of the index, and their bytes. Pure; the decoders are fuzzed, since a disk may hand
 * back anything. A record begins with its schema version; one of another version is not decoded.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/extents.h"
#include "base/grammar.h"

enum {
    RECORD_MEDIA_TYPE_SIZE = 128,
    RECORD_UPSTREAM_SIZE = 256,
    RECORD_REPOSITORY_SIZE = GRAMMAR_REPOSITORY_SIZE,
    RECORD_TAG_SIZE = GRAMMAR_TAG_SIZE,
    RECORD_BOOT_ID_SIZE = 40
};

/* A size that is not known yet. */
#define RECORD_SIZE_UNKNOWN UINT64_MAX

/* A blob or manifest of which bytes are on disk. */
struct blob_record {
    uint64_t size;        /* RECORD_SIZE_UNKNOWN only when partial */
    bool complete;        /* whole, verified, under blobs/; else some of it is under partial/ */
    int64_t last_used_ms; /* since the epoch */
    int64_t verified_ms;  /* complete: when its bytes were last seen to match; 0: never, as far as
                           * anybody remembers: only its name says so */
    char media_type[RECORD_MEDIA_TYPE_SIZE]; /* a manifest's, as the upstream sent it; else "" */
    char boot_id[RECORD_BOOT_ID_SIZE];       /* partial: the boot in which it was written */
    struct extents present;                  /* partial: what was written; owned */
    struct extents durable; /* partial: what of that outlives a power cut too; owned */
};

/* Where a tag points. */
struct tag_record {
    struct digest digest;
    uint64_t size;
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    int64_t checked;   /* when the upstream was last asked, with whatever result; epoch seconds */
    int64_t confirmed; /* when it last said that the tag points here */
    char upstream[RECORD_UPSTREAM_SIZE];     /* its names, which a key does not give back; */
    char repository[RECORD_REPOSITORY_SIZE]; /* index_put_tag() fills them in */
    char tag[RECORD_TAG_SIZE];
};

/* That a repository holds a digest, learned from a manifest or from the upstream's answer. */
struct holding_record {
    uint64_t size;    /* RECORD_SIZE_UNKNOWN when nobody said */
    bool is_manifest; /* to be asked for under /manifests/ */
    bool learned;     /* a manifest: what it points at is in the index under this repository */
    char upstream[RECORD_UPSTREAM_SIZE]; /* its name in the config */
    /* A manifest's own names, which a key does not give back; index_put_holding() fills them in. Of
     * a layer, and in the record that is found without an upstream, they are empty. */
    char repository[RECORD_REPOSITORY_SIZE];
    struct digest digest;
};

void blob_record_release(struct blob_record *record);

void blob_record_encode(const struct blob_record *record, struct buf *out);
void tag_record_encode(const struct tag_record *record, struct buf *out);
void holding_record_encode(const struct holding_record *record, struct buf *out);

/* False, leaving the output alone, when the bytes are not such a record of this version. */
bool blob_record_decode(struct view bytes, struct blob_record *ret_record);
bool tag_record_decode(struct view bytes, struct tag_record *ret_record);
bool holding_record_decode(struct view bytes, struct holding_record *ret_record);

#endif
