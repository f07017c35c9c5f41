#include "model/image.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "model/tar.h"

/* ---- pieces; keys stand in the order of the image-spec's Go types ---- */

static void put_digest(struct buf *out, const char *key, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    buf_printf(out, "\"%s\":\"%s\"", key, digest_print(digest, text));
}

static void put_annotation(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "\"org.opencontainers.image.%s\":\"", key);
    buf_append_json(out, view_of(value));
    buf_append_text(out, "\"");
}

static void put_annotations(struct buf *out, const struct image_spec *spec)
{
    size_t license = strlen(spec->license);

    buf_append_text(out, "\"annotations\":{");
    if (license > 0 && license <= IMAGE_LICENSE_MAX) {
        put_annotation(out, "licenses", spec->license);
        buf_append_text(out, ",");
    }
    put_annotation(out, "revision", spec->revision);
    buf_append_text(out, ",");
    put_annotation(out, "source", spec->source);
    buf_append_text(out, "}");
}

/* The beginning of a descriptor, whose end the caller puts. */
static void put_descriptor(struct buf *out, const char *media_type, const struct digest *digest,
                           uint64_t size)
{
    buf_printf(out, "{\"mediaType\":\"%s\",", media_type);
    put_digest(out, "digest", digest);
    buf_printf(out, ",\"size\":%" PRIu64, size);
}

static void put_document(struct buf *out, const struct image_document *document)
{
    put_descriptor(out, document->media_type, &document->digest, document->bytes.length);
}

/* Lazy pullers need both annotations: stargz-snapshotter fs/fs.go, its store, containers/storage
 * (models.md 1.5). */
static void put_layer(struct buf *out, const struct image_layer *layer)
{
    put_descriptor(out, IMAGE_LAYER_TYPE, &layer->digest, layer->size);
    buf_append_text(out, ",\"annotations\":{");
    put_digest(out, "containerd.io/snapshot/stargz/toc.digest", &layer->toc_digest);
    buf_printf(out, ",\"io.containers.estargz.uncompressed-size\":\"%" PRIu64 "\"}}",
               layer->uncompressed);
}

/* ---- documents ---- */

static const char *const architectures[] = {"amd64", "arm64"};

enum { ARCHITECTURES = sizeof(architectures) / sizeof(architectures[0]) };

static void put_config(struct buf *out, const struct image_spec *spec, const char *architecture)
{
    buf_printf(out,
               "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"WorkingDir\":\"/\"},"
               "\"created\":\"" TAR_TIME_TEXT "\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
               architecture);
    for (size_t i = 0; i < spec->layer_count; i++) {
        char text[DIGEST_TEXT_SIZE];
        buf_printf(out, "%s\"%s\"", i == 0 ? "" : ",",
                   digest_print(&spec->layers[i].diff_id, text));
    }
    buf_append_text(out, "]},\"history\":[");
    for (size_t i = 0; i < spec->layer_count; i++)
        buf_printf(out, "%s{\"created\":\"" TAR_TIME_TEXT "\",\"created_by\":\"layout v1\"}",
                   i == 0 ? "" : ",");
    buf_append_text(out, "]}");
}

static void put_manifest(struct buf *out, const struct image_spec *spec,
                         const struct image_document *config)
{
    buf_append_text(out, "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_MANIFEST_TYPE "\","
                         "\"config\":");
    put_document(out, config);
    buf_append_text(out, "},\"layers\":[");
    for (size_t i = 0; i < spec->layer_count; i++) {
        if (i > 0)
            buf_append_text(out, ",");
        put_layer(out, &spec->layers[i]);
    }
    buf_append_text(out, "],");
    put_annotations(out, spec);
    buf_append_text(out, "}");
}

static void put_index(struct buf *out, const struct image_spec *spec,
                      const struct image_document *manifests)
{
    buf_append_text(out, "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_INDEX_TYPE "\","
                         "\"manifests\":[");
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        if (i > 0)
            buf_append_text(out, ",");
        put_document(out, &manifests[i]);
        buf_append_text(out, ",");
        put_annotations(out, spec);
        buf_printf(out, ",\"platform\":{\"architecture\":\"%s\",\"os\":\"linux\"}}",
                   architectures[i]);
    }
    buf_append_text(out, "],");
    put_annotations(out, spec);
    buf_append_text(out, "}");
}

/* What its bytes come to, once they are there. */
static void finish(struct image_document *document, const char *media_type)
{
    digest_of(DIGEST_SHA256, document->bytes.data, document->bytes.length, &document->digest);
    document->media_type = media_type;
}

void image_init(struct image *image, const struct image_spec *spec)
{
    struct image_document *configs = &image->parts[IMAGE_CONFIG_AMD64];
    struct image_document *manifests = &image->parts[IMAGE_MANIFEST_AMD64];
    struct image_document *index = &image->parts[IMAGE_INDEX];

    CHECK(spec->layer_count <= IMAGE_LAYERS_MAX);
    *image = (struct image){0};
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        put_config(&configs[i].bytes, spec, architectures[i]);
        finish(&configs[i], IMAGE_CONFIG_TYPE);
        put_manifest(&manifests[i].bytes, spec, &configs[i]);
        finish(&manifests[i], IMAGE_MANIFEST_TYPE);
    }
    put_index(&index->bytes, spec, manifests);
    finish(index, IMAGE_INDEX_TYPE);
}

void image_release(struct image *image)
{
    for (size_t i = 0; i < IMAGE_PARTS; i++)
        buf_release(&image->parts[i].bytes);
    *image = (struct image){0};
}
