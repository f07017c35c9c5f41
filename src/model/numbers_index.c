#include "model/numbers_index.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "cache/chunk_record.h"
#include "model/import.h"
#include "model/numbers_file.h"
#include "model/record.h"
#include "wire/bounded_json.h"
#include "wire/hub_name.h"

/* ---- export: finding the image ---- */

struct search {
    const char *upstream;
    const char *repository;      /* the OCI name */
    const char *commit;          /* or NULL: by the digest */
    const struct digest *digest; /* of its index */
    struct image_record record;  /* when found: owned */
    bool found;
    bool found_other; /* another upstream's, or one of some files of the commit: they have other
                         keys */
};

static bool is_it(const struct search *search, const struct image_record *record)
{
    return view_equal_nocase(view_of(record->id), view_of(search->repository)) &&
           (search->commit != NULL ? strcmp(record->commit, search->commit) == 0
                                   : digest_equal(&record->index_digest, search->digest));
}

static bool on_image(void *argument, const unsigned char key[32], struct view value)
{
    struct search *search = argument;
    unsigned char own[MODEL_KEY_SIZE];
    struct image_record record;

    if (!image_record_decode(value, &record))
        return true;
    image_record_key(search->upstream, record.id, record.commit, "", own);
    if (is_it(search, &record)) {
        search->found = memcmp(own, key, sizeof(own)) == 0;
        search->found_other |= !search->found;
    }
    if (search->found)
        search->record = record;
    else
        image_record_release(&record);
    return !search->found;
}

static enum err find_image(struct store *store, const struct hub_image *image,
                           struct image_record *ret_record)
{
    struct search search = {.upstream = store->config->upstreams[image->upstream].name,
                            .repository = image->repository,
                            .digest = &image->digest};
    struct holding_record holding;
    struct tag_record tag;

    if (!image->by_digest && hub_is_commit(view_of(image->tag))) {
        search.commit = image->tag;
    } else if (!image->by_digest) {
        if (!index_get_tag(store->index, search.upstream, image->repository, image->tag, &tag))
            return ERR_NUMBERS_UNKNOWN;
        search.digest = &tag.digest;
    }
    index_each_note(store->index, INDEX_NOTE_IMAGE, on_image, &search);
    *ret_record = search.record;
    if (search.found)
        return OK;
    bool is_chosen = search.found_other && search.commit == NULL &&
                     index_get_holding(store->index, search.upstream, image->repository,
                                       search.digest, &holding);
    return is_chosen ? ERR_NUMBERS_REFUSED : ERR_NUMBERS_UNKNOWN;
}

/* Why there is nothing to export. */
static void describe(const struct store *store, const struct hub_image *image, enum err err,
                     struct buf *problem)
{
    char name[HUB_IMAGE_SIZE];

    buf_append_text(problem, hub_image_print(store->config, image, name));
    if (err == ERR_NUMBERS_UNKNOWN)
        buf_append_text(problem, " was not imported here: `entrepot import` does that");
    else
        buf_append_text(problem, " has some files of its commit only, by include and exclude of "
                                 "the catalog; whoever took its numbers over would give them out "
                                 "as all there are. Import the commit itself, by its 40 digits as "
                                 "the tag, and export that");
}

/* ---- export: what is known of it ---- */

/* The license stands in the index alone. */
static bool read_license(struct store *store, const struct digest *index_digest,
                         struct numbers_file *file)
{
    static const struct bounded_json_limits limits = {.containers = 100, .values = 1000};
    struct document_record document;
    const char *license = "";
    json_t *root = NULL;
    struct buf value = {0};

    if (index_get_note(store->index, INDEX_NOTE_DOCUMENT, index_digest->bytes, &value) &&
        document_record_decode(view_of_buf(&value), &document))
        root = bounded_json_load(document.bytes, &limits, NULL);
    (void)json_unpack(root, "{s:{s:s}}", "annotations", "org.opencontainers.image.licenses",
                      &license);
    bool good = root != NULL && view_copy(view_of(license), file->license, sizeof(file->license));
    json_decref(root);
    buf_release(&value);
    return good;
}

static bool read_numbers(struct store *store, const uint8_t sha256[NUMBERS_SHA256],
                         struct chunk_record *ret_record)
{
    struct buf value = {0};

    bool good = index_get_note(store->index, INDEX_NOTE_NUMBERS, sha256, &value) &&
                chunk_record_decode(view_of_buf(&value), ret_record);
    buf_release(&value);
    return good;
}

static bool read_chunks(struct store *store, struct numbers_entry *entry)
{
    struct chunk_record record = {0};

    bool good = read_numbers(store, entry->sha256, &record) && record.size == entry->size;
    if (good) {
        entry->chunks = record.chunks;
        entry->has_edges = record.has_edges;
        entry->edges = record.edges;
    } else {
        chunk_record_release(&record);
    }
    return good;
}

static bool read_layer(struct store *store, const struct digest *digest, struct layer_record *ret)
{
    struct buf value = {0};

    bool good = index_get_note(store->index, INDEX_NOTE_LAYER, digest->bytes, &value) &&
                layer_record_decode(view_of_buf(&value), ret);
    buf_release(&value);
    return good;
}

static enum err add_files(struct store *store, const struct layer_record *layer,
                          struct numbers_file *file, struct buf *problem)
{
    if (layer->count > NUMBERS_FILE_FILES_MAX - file->count) {
        buf_printf(problem, "it has more than %d files", NUMBERS_FILE_FILES_MAX);
        return ERR_NUMBERS_REFUSED;
    }
    file->files =
        check_realloc(file->files, (file->count + layer->count + 1) * sizeof(*file->files));
    for (size_t i = 0; i < layer->count; i++) {
        struct numbers_entry *entry = &file->files[file->count++];
        *entry = (struct numbers_entry){.path = check_strdup(layer->files[i].name),
                                        .size = layer->files[i].size};
        memcpy(entry->sha256, layer->files[i].sha256, sizeof(entry->sha256));
        if (entry->size > 0 && !read_chunks(store, entry)) {
            problem_name(problem, "the numbers of its file ", entry->path, " are not known");
            return ERR_NUMBERS_UNKNOWN;
        }
    }
    return OK;
}

static enum err add_layer(struct store *store, const struct digest *digest,
                          struct numbers_file *file, struct buf *problem)
{
    struct layer_record layer;

    if (!read_layer(store, digest, &layer)) {
        buf_append_text(problem, "one of its layers is not known");
        return ERR_NUMBERS_UNKNOWN;
    }
    file->layers[file->layer_count++] = (struct image_layer){.digest = *digest,
                                                             .diff_id = layer.diff_id,
                                                             .toc_digest = layer.toc_digest,
                                                             .size = layer.size,
                                                             .uncompressed = layer.uncompressed};
    enum err err = add_files(store, &layer, file, problem);
    layer_record_release(&layer);
    return err;
}

static enum err fill_file(struct store *store, const struct image_record *record,
                          struct numbers_file *file, struct buf *problem)
{
    file->index_digest = record->index_digest;
    file->layers = check_calloc(record->layer_count + 1, sizeof(*file->layers));
    if (!view_copy(view_of(record->id), file->repository, sizeof(file->repository)) ||
        !view_copy(view_of(record->commit), file->commit, sizeof(file->commit)) ||
        !read_license(store, &record->index_digest, file)) {
        buf_append_text(problem, "its index is not known");
        return ERR_NUMBERS_UNKNOWN;
    }
    enum err err = OK;
    for (size_t i = 0; err == OK && i < record->layer_count; i++)
        err = add_layer(store, &record->layers[i], file, problem);
    return err;
}

enum err numbers_index_export(struct store *store, const struct hub_image *image, struct buf *out,
                              struct buf *problem)
{
    struct image_record record = {0};
    struct numbers_file file = {0};

    enum err err = find_image(store, image, &record);
    if (err != OK) {
        describe(store, image, err, problem);
        return err;
    }
    /* An image by its digest is a commit's, whatever tag once stood for it. */
    const char *tag = image->by_digest && !image->is_tag_given ? record.commit : image->tag;
    CHECK(view_copy(view_of(tag), file.tag, sizeof(file.tag)));
    err = fill_file(store, &record, &file, problem);
    if (err == OK)
        numbers_file_print(&file, out);
    numbers_file_release(&file);
    image_record_release(&record);
    return err;
}

/* ---- import: does the index know otherwise? ---- */

/* One that is being taken over. */
struct taking {
    struct store *store;
    const struct upstream *upstream;
    struct numbers_taken taken;
    struct numbers_file file;
    struct image image;
    struct tree_split split;
    struct layer_record *layers; /* owned; file.layer_count of them */
    bool is_listed;              /* the hub has said here already that the commit is so */
};

static void release(struct taking *taking)
{
    for (size_t i = 0; taking->layers != NULL && i < taking->file.layer_count; i++)
        layer_record_release(&taking->layers[i]);
    free(taking->layers);
    numbers_file_release(&taking->file);
    image_release(&taking->image);
    tree_split_release(&taking->split);
}

/* The records of the layers, as an import would have made them. */
static void make_layers(struct taking *taking)
{
    const struct numbers_file *file = &taking->file;
    size_t start = 0;

    taking->layers = check_calloc(file->layer_count + 1, sizeof(*taking->layers));
    for (size_t i = 0; i < file->layer_count; i++) {
        const struct image_layer *from = &file->layers[i];
        struct layer_record *layer = &taking->layers[i];
        *layer = (struct layer_record){.layout_version = MODEL_LAYOUT_VERSION,
                                       .is_claimed = true,
                                       .size = from->size,
                                       .uncompressed = from->uncompressed,
                                       .diff_id = from->diff_id,
                                       .toc_digest = from->toc_digest,
                                       .count = taking->split.ends[i] - start};
        layer->files = check_calloc(layer->count + 1, sizeof(*layer->files));
        for (size_t j = 0; j < layer->count; j++) {
            const struct numbers_entry *entry = &file->files[taking->split.order[start + j]];
            layer->files[j].name = check_strdup(entry->path);
            layer->files[j].size = entry->size;
            memcpy(layer->files[j].sha256, entry->sha256, sizeof(entry->sha256));
        }
        start = taking->split.ends[i];
    }
}

static void key_of(const struct layer_record *layer, unsigned char ret_key[MODEL_KEY_SIZE])
{
    struct hasher hasher;

    layer_of_key_begin(&hasher);
    for (size_t i = 0; i < layer->count; i++)
        layer_of_key_add(&hasher, layer->files[i].name, layer->files[i].size,
                         layer->files[i].sha256);
    layer_of_key_end(&hasher, ret_key);
}

/* Whether the index has the same numbers of it, or none yet. */
static bool entry_agrees(struct store *store, const struct numbers_entry *entry)
{
    struct chunk_record known = {0};
    size_t length = numbers_count(entry->size) * sizeof(*entry->chunks);

    bool good = !read_numbers(store, entry->sha256, &known) ||
                (known.size == entry->size &&
                 view_equal((struct view){(const char *)known.chunks, length},
                            (struct view){(const char *)entry->chunks, length}));
    chunk_record_release(&known);
    return good;
}

/* Whether the index has these files as that layer, or as none yet. */
static bool name_agrees(struct store *store, const struct layer_record *layer,
                        const struct digest *digest)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct buf known = {0};

    key_of(layer, key);
    bool good =
        !index_get_note(store->index, INDEX_NOTE_LAYER_OF, key, &known) ||
        view_equal(view_of_buf(&known), (struct view){(const char *)digest->bytes, MODEL_KEY_SIZE});
    buf_release(&known);
    return good;
}

/* What is known of that layer has the places that it may be fetched from besides: they are taken
 * along, as is that it was hashed here. */
static bool layer_agrees(struct taking *taking, size_t at)
{
    struct layer_record *layer = &taking->layers[at];
    const struct digest *digest = &taking->file.layers[at].digest;
    struct buf known = {0}, own = {0};
    struct layer_record record = {0};

    bool is_known = read_layer(taking->store, digest, &record);
    if (is_known) {
        memcpy(layer->places, record.places, sizeof(layer->places));
        layer->place_count = record.place_count;
        layer->is_claimed = record.is_claimed;
        layer_record_encode(&record, &known);
        layer_record_encode(layer, &own);
        layer_record_release(&record);
    }
    bool good = view_equal(view_of_buf(&known), view_of_buf(&own)) &&
                name_agrees(taking->store, layer, digest);
    buf_release(&known);
    buf_release(&own);
    return good;
}

static bool image_agrees(struct taking *taking)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct image_record record;
    struct buf value = {0};
    bool good = true;

    image_record_key(taking->upstream->config->name, taking->file.repository, taking->file.commit,
                     "", key);
    if (index_get_note(taking->store->index, INDEX_NOTE_IMAGE, key, &value) &&
        image_record_decode(view_of_buf(&value), &record)) {
        good = digest_equal(&record.index_digest, &taking->file.index_digest);
        taking->is_listed = !record.is_claimed;
        image_record_release(&record);
    }
    buf_release(&value);
    return good;
}

static bool check_known(struct taking *taking, struct buf *problem)
{
    const struct numbers_file *file = &taking->file;
    bool good = image_agrees(taking);

    if (!good)
        buf_append_text(problem, "this commit is here already, with another index");
    for (size_t i = 0; good && i < file->count; i++) {
        good = entry_agrees(taking->store, &file->files[i]);
        if (!good)
            problem_name(problem, "the file ", file->files[i].path,
                         " is known here, with other numbers");
    }
    for (size_t i = 0; good && i < file->layer_count; i++) {
        good = layer_agrees(taking, i);
        if (!good)
            buf_printf(problem, "layer %zu is known here, and is another", i + 1);
    }
    if (!good)
        buf_append_text(problem, "; `entrepot import` finds out anew what it is");
    return good;
}

/* ---- import: writing ---- */

/* One that is known is not overwritten, not even by the same: the disk need not write it. */
static void put_numbers(const struct taking *taking)
{
    struct buf value = {0};

    for (size_t i = 0; i < taking->file.count; i++) {
        const struct numbers_entry *entry = &taking->file.files[i];
        struct chunk_record known = {0}, record = {.size = entry->size,
                                                   .is_claimed = true,
                                                   .has_edges = entry->has_edges,
                                                   .edges = entry->edges,
                                                   .chunks = entry->chunks};
        if (entry->size > 0 && !read_numbers(taking->store, entry->sha256, &known)) {
            buf_clear(&value);
            chunk_record_encode(&record, &value);
            index_put_note(taking->store->index, INDEX_NOTE_NUMBERS, entry->sha256,
                           view_of_buf(&value));
        }
        chunk_record_release(&known);
    }
    buf_release(&value);
}

static void put_layers(struct taking *taking)
{
    struct index *index = taking->store->index;
    struct layer_place place = {0};
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    CHECK(view_copy(view_of(taking->upstream->config->name), place.upstream,
                    sizeof(place.upstream)) &&
          view_copy(view_of(taking->file.repository), place.repository, sizeof(place.repository)) &&
          view_copy(view_of(taking->file.commit), place.commit, sizeof(place.commit)));
    for (size_t i = 0; i < taking->file.layer_count; i++) {
        const struct digest *digest = &taking->file.layers[i].digest;
        buf_clear(&value);
        (void)layer_record_add_place(&taking->layers[i], &place);
        layer_record_encode(&taking->layers[i], &value);
        index_put_note(index, INDEX_NOTE_LAYER, digest->bytes, view_of_buf(&value));
        key_of(&taking->layers[i], key);
        index_put_note(index, INDEX_NOTE_LAYER_OF, key,
                       (struct view){(const char *)digest->bytes, MODEL_KEY_SIZE});
    }
    buf_release(&value);
}

static void put_image(const struct taking *taking)
{
    const struct numbers_file *file = &taking->file;
    struct image_record record = {.is_claimed = !taking->is_listed,
                                  .imported_ms = clock_wall_ms(),
                                  .layer_count = file->layer_count};

    CHECK(view_copy(view_of(file->repository), record.id, sizeof(record.id)) &&
          view_copy(view_of(file->commit), record.commit, sizeof(record.commit)));
    record.layers = check_calloc(record.layer_count + 1, sizeof(*record.layers));
    for (size_t i = 0; i < record.layer_count; i++)
        record.layers[i] = file->layers[i].digest;
    for (size_t i = 0; i < file->count; i++)
        record.bytes += file->files[i].size;
    import_write_image(taking->store, taking->upstream, &taking->image, "", &record);
    image_record_release(&record);
    index_flush_wait(taking->store->index); /* the next reads what was written */
    import_write_names(taking->store, taking->upstream, taking->taken.image.repository,
                       &file->index_digest);
}

/* Whether the tag stands for the image now. */
static bool put_tag(const struct taking *taking, const char *tag)
{
    const struct image_document *document = &taking->image.parts[IMAGE_INDEX];
    const char *upstream = taking->upstream->config->name;
    const char *repository = taking->taken.image.repository;
    struct index *index = taking->store->index;
    int64_t now = clock_wall_s();
    struct tag_record record;

    if (index_get_tag(index, upstream, repository, tag, &record))
        return digest_equal(&record.digest, &document->digest);
    record = (struct tag_record){.digest = document->digest,
                                 .size = document->bytes.length,
                                 .checked = now,
                                 .confirmed = now};
    CHECK(view_copy(view_of(document->media_type), record.media_type, sizeof(record.media_type)));
    index_put_tag(index, upstream, repository, tag, &record);
    return true;
}

/* ---- import ---- */

/* Under which name it is to be here. */
static bool find_name(struct taking *taking, const struct hub_image *as, struct buf *problem)
{
    const struct config *config = taking->store->config;
    struct hub_image *image = &taking->taken.image;

    if (as != NULL)
        *image = *as;
    else if (!hub_image_parse(config, view_of(taking->file.repository), image, problem))
        return false;
    if (!view_equal_nocase(view_of(image->repository), view_of(taking->file.repository))) {
        buf_printf(problem, "they are those of %s, not of %s; say as which image they are taken",
                   taking->file.repository, image->repository);
        return false;
    }
    if (image->by_digest && !digest_equal(&image->digest, &taking->file.index_digest)) {
        buf_append_text(problem, "they are those of an index with another digest");
        return false;
    }
    if (as == NULL || !as->is_tag_given)
        (void)view_copy(view_of(taking->file.tag), image->tag, sizeof(image->tag));
    if (hub_is_commit(view_of(image->tag)) && strcmp(image->tag, taking->file.commit) != 0) {
        buf_printf(problem, "they are those of the commit %s", taking->file.commit);
        return false;
    }
    taking->upstream = &taking->store->upstreams.list[image->upstream];
    return true;
}

static bool prepare(struct taking *taking, struct view json, const struct hub_image *as,
                    struct buf *problem)
{
    if (!numbers_file_parse(json, &taking->file, problem) || !find_name(taking, as, problem) ||
        !numbers_file_check(&taking->file, &taking->image, &taking->split, problem))
        return false;
    make_layers(taking);
    return true;
}

/* Nobody else writes meanwhile: what is known stays as it is. */
static bool take(struct taking *taking, struct buf *problem)
{
    struct index *index = taking->store->index;

    index_hold(index);
    bool good = check_known(taking, problem);
    if (good) {
        put_numbers(taking);
        put_layers(taking);
        put_image(taking);
        taking->taken.index_digest = taking->file.index_digest;
        (void)put_tag(taking, taking->file.commit);
        taking->taken.has_tag = put_tag(taking, taking->taken.image.tag);
    }
    index_release(index);
    index_flush_wait(index);
    return good;
}

void numbers_taken_print(const struct config *config, const struct numbers_taken *taken,
                         struct buf *out)
{
    char name[HUB_IMAGE_SIZE], digest[DIGEST_TEXT_SIZE];

    buf_printf(out, "{\"image\": \"%s\", \"digest\": \"%s\", \"tagged\": %s}\n",
               hub_image_print(config, &taken->image, name),
               digest_print(&taken->index_digest, digest), taken->has_tag ? "true" : "false");
}

enum err numbers_index_import(struct store *store, struct view json, const struct hub_image *as,
                              struct numbers_taken *ret_taken, struct buf *problem)
{
    struct taking taking = {.store = store};

    bool good = prepare(&taking, json, as, problem) && take(&taking, problem);
    if (good)
        *ret_taken = taking.taken;
    release(&taking);
    return good ? OK : ERR_NUMBERS_REFUSED;
}
