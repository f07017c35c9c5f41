#ifndef WIRE_MANIFEST_H
#define WIRE_MANIFEST_H

/*
 * OCI and Docker manifests and indexes, read for what a cache needs to know of them: their own
 * media type and the descriptors they point at. Pure; fuzzed. Never rewritten: clients get the
 * upstream's bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"

enum { MANIFEST_MEDIA_TYPE_SIZE = 128, MANIFEST_DESCRIPTORS_MAX = 20000 };

enum manifest_kind {
    MANIFEST_UNKNOWN, /* not JSON, or JSON of no kind we know (schema 1, for example), or of two */
    MANIFEST_IMAGE,   /* config and layers: OCI image or artifact, Docker schema 2 */
    MANIFEST_INDEX,   /* manifests: OCI index, Docker manifest list */
};

struct descriptor {
    struct digest digest;
    uint64_t size;
    char media_type[MANIFEST_MEDIA_TYPE_SIZE]; /* "" when absent or longer */
    bool is_manifest;                          /* it stood in an index's `manifests` */
};

struct manifest {
    enum manifest_kind kind;
    char media_type[MANIFEST_MEDIA_TYPE_SIZE]; /* its own: `mediaType`, else guessed from its shape;
                                                * no parameters, lower case; "" when UNKNOWN has
                                                * none */
    struct descriptor *descriptors;            /* owned; config first, then layers; or manifests */
    size_t count;
};

/*
 * Reads a manifest's bytes. Never fails: what makes no sense is MANIFEST_UNKNOWN without
 * descriptors, and so is what nests deeper, or holds more values, than a sound manifest of 20,000
 * descriptors. A document with both `manifests` and layers, or one that contradicts its mediaType,
 * is UNKNOWN. Descriptors without a usable digest and size (0..INT64_MAX), and those behind the
 * first MANIFEST_DESCRIPTORS_MAX, are left out. Layers with `urls` (foreign layers) count like
 * others.
 */
void manifest_parse(struct view json, struct manifest *ret_manifest);
void manifest_release(struct manifest *manifest);

#endif
