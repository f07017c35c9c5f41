#include "wire/manifest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wire/bounded_json.h"
#include "wire/http.h"

/* Above what MANIFEST_DESCRIPTORS_MAX descriptors need; they keep a hostile manifest at tens of
 * MiB.
 */
static const struct bounded_json_limits limits = {.containers = 100000, .values = 500000};

enum { TYPE_OCI_IMAGE, TYPE_OCI_ARTIFACT, TYPE_OCI_INDEX, TYPE_DOCKER_IMAGE, TYPE_DOCKER_LIST };

static const struct type {
    const char *name;
    enum manifest_kind kind;
} types[] = {
    [TYPE_OCI_IMAGE] = {"application/vnd.oci.image.manifest.v1+json", MANIFEST_IMAGE},
    [TYPE_OCI_ARTIFACT] = {"application/vnd.oci.artifact.manifest.v1+json", MANIFEST_IMAGE},
    [TYPE_OCI_INDEX] = {"application/vnd.oci.image.index.v1+json", MANIFEST_INDEX},
    [TYPE_DOCKER_IMAGE] = {"application/vnd.docker.distribution.manifest.v2+json", MANIFEST_IMAGE},
    [TYPE_DOCKER_LIST] = {"application/vnd.docker.distribution.manifest.list.v2+json",
                          MANIFEST_INDEX},
};

/* The kind that a media type promises; MANIFEST_UNKNOWN when it promises none. */
static enum manifest_kind kind_of_type(const char *media_type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, media_type) == 0)
            return types[i].kind;
    return MANIFEST_UNKNOWN;
}

/* The member `mediaType`; false, leaving `out` empty, when it is no media type or too long. */
static bool read_media_type(const json_t *object, char out[MANIFEST_MEDIA_TYPE_SIZE])
{
    const char *text = json_string_value(json_object_get(object, "mediaType"));

    out[0] = '\0';
    return text != NULL && http_media_type(view_of(text), out, MANIFEST_MEDIA_TYPE_SIZE);
}

static void add_descriptor(struct manifest *manifest, const json_t *json, bool is_manifest)
{
    struct descriptor descriptor = {.is_manifest = is_manifest};
    const json_t *size = json_object_get(json, "size");
    const char *digest = json_string_value(json_object_get(json, "digest"));

    if (manifest->count == MANIFEST_DESCRIPTORS_MAX || digest == NULL ||
        !digest_parse(view_of(digest), &descriptor.digest) || !json_is_integer(size) ||
        json_integer_value(size) < 0)
        return;
    descriptor.size = (uint64_t)json_integer_value(size);
    (void)read_media_type(json, descriptor.media_type);
    manifest->descriptors[manifest->count++] = descriptor;
}

static void add_descriptors(struct manifest *manifest, const json_t *array, bool is_manifest)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        add_descriptor(manifest, json_array_get(array, i), is_manifest);
}

/*
 * What its members make of it. OCI image-spec, "manifest.md": a document that is an index and an
 * image at once is neither, since two readers could see different content (CVE-2021-41190).
 */
static const struct type *type_of_shape(const json_t *root)
{
    bool is_index = json_is_array(json_object_get(root, "manifests"));
    bool is_image = json_is_array(json_object_get(root, "layers"));
    bool is_artifact = json_is_array(json_object_get(root, "blobs"));
    bool has_config = json_object_get(root, "config") != NULL;

    if (is_index)
        return is_image || is_artifact || has_config ? NULL : &types[TYPE_OCI_INDEX];
    if (is_image)
        return is_artifact ? NULL : &types[TYPE_OCI_IMAGE];
    return is_artifact ? &types[TYPE_OCI_ARTIFACT] : NULL;
}

static void read_root(const json_t *root, struct manifest *manifest)
{
    const struct type *shape = type_of_shape(root);
    bool is_named = read_media_type(root, manifest->media_type);
    enum manifest_kind promised = kind_of_type(manifest->media_type);
    const json_t *layers = json_object_get(root, "layers"), *blobs = json_object_get(root, "blobs"),
                 *manifests = json_object_get(root, "manifests");

    if (shape == NULL || (promised != MANIFEST_UNKNOWN && promised != shape->kind))
        return;
    if (!is_named)
        (void)view_copy(view_of(shape->name), manifest->media_type, sizeof(manifest->media_type));
    manifest->kind = shape->kind;
    size_t most = 1 + json_array_size(layers) + json_array_size(blobs) + json_array_size(manifests);
    if (most > MANIFEST_DESCRIPTORS_MAX)
        most = MANIFEST_DESCRIPTORS_MAX;
    manifest->descriptors = check_calloc(most, sizeof(*manifest->descriptors));
    if (shape->kind == MANIFEST_INDEX) {
        add_descriptors(manifest, manifests, true);
    } else {
        add_descriptor(manifest, json_object_get(root, "config"), false);
        add_descriptors(manifest, layers, false);
        add_descriptors(manifest, blobs, false);
    }
}

void manifest_parse(struct view json, struct manifest *ret_manifest)
{
    json_t *root = bounded_json_load(json, &limits, NULL);

    *ret_manifest = (struct manifest){0};
    if (json_is_object(root))
        read_root(root, ret_manifest);
    json_decref(root);
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->descriptors);
    *manifest = (struct manifest){0};
}
