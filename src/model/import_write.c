#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/index.h"
#include "model/import_parts.h"
#include "wire/manifest.h"

enum { DEPTH_MAX = 2 }; /* an index, and what it points at */

static void put_document(struct index *index, const struct image_document *document)
{
    struct document_record record = {.bytes = view_of_buf(&document->bytes)};
    struct buf value = {0};

    CHECK(view_copy(view_of(document->media_type), record.media_type, sizeof(record.media_type)));
    document_record_encode(&record, &value);
    index_put_note(index, INDEX_NOTE_DOCUMENT, document->digest.bytes, view_of_buf(&value));
    buf_release(&value);
}

void import_write_image(struct store *store, const struct upstream *upstream,
                        const struct image *image, const char *filter, struct image_record *record)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    for (size_t i = 0; i < IMAGE_PARTS; i++)
        put_document(store->index, &image->parts[i]);
    record->index_digest = image->parts[IMAGE_INDEX].digest;
    record->index_size = image->parts[IMAGE_INDEX].bytes.length;
    image_record_key(upstream->config->name, record->id, record->commit, filter, key);
    image_record_encode(record, &value);
    index_put_note(store->index, INDEX_NOTE_IMAGE, key, view_of_buf(&value));
    buf_release(&value);
}

void import_write(struct import *import)
{
    struct image_layer *layers = check_calloc(import->split.layer_count + 1, sizeof(*layers));
    struct image_record record = {.bytes = import->bytes,
                                  .imported_ms = clock_wall_ms(),
                                  .layer_count = import->split.layer_count};
    struct buf source = {0};
    struct image image;

    CHECK(view_copy(view_of(import->repository), record.id, sizeof(record.id)) &&
          view_copy(view_of(import->info.commit), record.commit, sizeof(record.commit)));
    record.layers = check_calloc(record.layer_count + 1, sizeof(*record.layers));
    for (size_t i = 0; i < import->split.layer_count; i++) {
        layers[i] = import->layers[i].result;
        record.layers[i] = layers[i].digest;
    }
    buf_printf(&source, IMAGE_HUB_URL "%s", import->repository);
    image_init(&image, &(struct image_spec){.revision = import->info.commit,
                                            .source = source.data,
                                            .license = import->info.license,
                                            .layers = layers,
                                            .layer_count = import->split.layer_count});
    import_write_image(import->thread->store, import->upstream, &image, import->filter, &record);
    import->index_digest = record.index_digest;
    import->index_size = record.index_size;
    image_record_release(&record);
    image_release(&image);
    buf_release(&source);
    free(layers);
}

/* ---- names ---- */

static void put_holding(struct store *store, const struct upstream *upstream,
                        const char *repository, const struct digest *digest, uint64_t size,
                        bool is_manifest)
{
    struct holding_record record = {
        .size = size, .is_manifest = is_manifest, .learned = is_manifest};

    CHECK(view_copy(view_of(upstream->config->name), record.upstream, sizeof(record.upstream)));
    index_put_holding(store->index, repository, digest, &record);
}

/* What a document that was made here points at, and so on. */
static void put_names(struct store *store, const struct upstream *upstream, const char *repository,
                      const struct digest *digest, unsigned depth)
{
    struct document_record record;
    struct manifest manifest;
    struct buf value = {0};

    if (depth == DEPTH_MAX ||
        !index_get_note(store->index, INDEX_NOTE_DOCUMENT, digest->bytes, &value))
        return;
    if (document_record_decode(view_of_buf(&value), &record)) {
        manifest_parse(record.bytes, &manifest);
        for (size_t i = 0; i < manifest.count; i++) {
            const struct descriptor *at = &manifest.descriptors[i];
            put_holding(store, upstream, repository, &at->digest, at->size, at->is_manifest);
            if (at->is_manifest)
                put_names(store, upstream, repository, &at->digest, depth + 1);
        }
        manifest_release(&manifest);
        put_holding(store, upstream, repository, digest, record.bytes.length, true);
    }
    buf_release(&value);
}

void import_write_names(struct store *store, const struct upstream *upstream,
                        const char *repository, const struct digest *index_digest)
{
    put_names(store, upstream, repository, index_digest, 0);
}
