#include "model/pinned.h"

#include <string.h>

#include "base/list.h"
#include "cache/index.h"
#include "model/record.h"
#include "wire/manifest.h"

static struct catalog *catalog_of(const struct pins_source *source)
{
    return catalogs_get(
        container_of((struct pins_source *)source, struct pinned, source)->catalogs);
}

static bool has_roots(const struct pins_source *source)
{
    struct catalog *catalog = catalog_of(source);
    bool has_any = catalog->count > 0;

    catalog_unref(catalog);
    return has_any;
}

static void each_root(const struct pins_source *source, struct store *store, pins_take *take,
                      void *taker)
{
    struct catalog *catalog = catalog_of(source);

    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        struct tag_record record;
        if (index_get_tag(store->index, model->upstream->name, model->repository, model->tag,
                          &record))
            take(taker, &record.digest, true);
    }
    catalog_unref(catalog);
}

/* What a document that was made by an import points at; false when there is none. */
static bool each_child(struct store *store, const struct digest *digest, pins_take *take,
                       void *taker)
{
    struct document_record record;
    struct manifest manifest;
    struct buf value = {0};

    bool found = index_get_note(store->index, INDEX_NOTE_DOCUMENT, digest->bytes, &value) &&
                 document_record_decode(view_of_buf(&value), &record);
    if (found) {
        manifest_parse(record.bytes, &manifest);
        for (size_t i = 0; i < manifest.count; i++)
            take(taker, &manifest.descriptors[i].digest, manifest.descriptors[i].is_manifest);
        manifest_release(&manifest);
    }
    buf_release(&value);
    return found;
}

static void each_file(struct store *store, const struct digest *digest, pins_take *take,
                      void *taker)
{
    struct digest file = {.algorithm = DIGEST_SHA256};
    struct layer_record record;
    struct buf value = {0};

    if (index_get_note(store->index, INDEX_NOTE_LAYER, digest->bytes, &value) &&
        layer_record_decode(view_of_buf(&value), &record)) {
        for (size_t i = 0; i < record.count; i++) {
            memcpy(file.bytes, record.files[i].sha256, sizeof(record.files[i].sha256));
            take(taker, &file, false);
        }
        layer_record_release(&record);
    }
    buf_release(&value);
}

static void each_part(const struct pins_source *source, struct store *store,
                      const struct digest *digest, pins_take *take, void *taker)
{
    (void)source;
    if (digest->algorithm != DIGEST_SHA256)
        return;
    if (!each_child(store, digest, take, taker))
        each_file(store, digest, take, taker);
}

void pinned_init(struct pinned *pinned, struct catalogs *catalogs)
{
    *pinned = (struct pinned){
        .source = {.has_roots = has_roots, .each_root = each_root, .each_part = each_part},
        .catalogs = catalogs};
}
