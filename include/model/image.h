#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

/*
 * The documents that make layers an image: an OCI index of one manifest and one config each for
 * linux/amd64 and linux/arm64 (OCI image-spec 1.1). The layers are the same for both.
 *
 * Their bytes follow from the spec alone: compact JSON with a fixed order of keys, a constant time,
 * and nothing of the host, the clock or the version of Entrepot. So every node gives a commit the
 * same digests, which can never change; what is made here is part of layout v1 (models.md 3.1).
 *
 *   index ----> manifest ----> config
 *   of a revision      \-----> layers
 *
 * Revision, source and license are annotations: of the index, the manifests and the descriptors of
 * the manifests. Configs know of the layers only, so those of two revisions, or of two
 * repositories, with the same layers are the same, and so is what builders cache by them.
 *
 * A config has an entry of `history` for each layer. Clients do without; but where there are fewer,
 * `docker history` of an image built on it gives the layers' sizes to the wrong lines. An image
 * without layers is one that clients pull and build on; some have no root for it: `docker save` and
 * `podman image mount` fail.
 *
 * Pure. Thread: any.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "model/tree.h"

enum {
    IMAGE_LAYERS_MAX = TREE_LAYERS_MAX,
    IMAGE_LICENSE_MAX = 256, /* bytes */
};

/* Where a repository is for everybody, whatever mirror of the hub is asked: what `source` begins
 * with, since digests are not to depend on the mirror. */
#define IMAGE_HUB_URL "https://huggingface.co/"

#define IMAGE_INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define IMAGE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define IMAGE_CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"
#define IMAGE_LAYER_TYPE    "application/vnd.oci.image.layer.v1.tar+gzip"

struct image_layer {
    struct digest digest, diff_id, toc_digest;
    uint64_t size, uncompressed; /* bytes of the blob and of its archive */
};

/* What an image is made of; all borrowed. Texts may hold anything: JSON's escapes are added, and
 * what is not UTF-8 becomes U+FFFD. */
struct image_spec {
    const char *revision; /* the commit, 40 hex digits */
    const char *source;   /* the repository's URL at the hub itself, not at a mirror of it:
                           * "https://huggingface.co/Org/Model" */
    const char *license;  /* as the hub tells it; "": none; one of over IMAGE_LICENSE_MAX bytes is
                           * left out */
    const struct image_layer *layers; /* from the lowest */
    size_t layer_count;               /* up to IMAGE_LAYERS_MAX */
};

/* In an order in which each comes after those that it points at. */
enum image_part {
    IMAGE_CONFIG_AMD64,
    IMAGE_CONFIG_ARM64,
    IMAGE_MANIFEST_AMD64,
    IMAGE_MANIFEST_ARM64,
    IMAGE_INDEX,
    IMAGE_PARTS
};

struct image_document {
    struct buf bytes;       /* owned; under 64 KiB, whatever the license, for a source of 1 KiB */
    struct digest digest;   /* sha256 */
    const char *media_type; /* static */
};

/* All-zero is empty. */
struct image {
    struct image_document parts[IMAGE_PARTS];
};

void image_init(struct image *image, const struct image_spec *spec);
void image_release(struct image *image);

#endif
