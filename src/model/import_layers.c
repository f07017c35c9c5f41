#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "cache/chunk_record.h"
#include "model/import_parts.h"
#include "model/imported.h"

/* ---- which layers there are ---- */

/* Whether there may be memory for the numbers of all its files: a chunk's sha256 alone has 64
 * digits in the table of contents, and the sizes are only what a hub says. */
static bool is_bounded(const struct import_layer *layer)
{
    uint64_t chunks = 0;

    for (size_t i = 0; i < layer->count; i++)
        chunks += numbers_count(layer->import->files[layer->members[i]].listed->size);
    return chunks <= LAYOUT_TOC_MAX / (2 * NUMBERS_SHA256);
}

bool import_layers_take(struct import *import)
{
    struct tree_file *tree = check_calloc(import->count + 1, sizeof(*tree));
    struct buf problem = {0};

    for (size_t i = 0; i < import->count; i++)
        tree[i] = (struct tree_file){view_of(import->files[i].listed->path),
                                     import->files[i].listed->size};
    bool good = tree_split(tree, import->count, &import->split, &problem);
    free(tree);
    if (!good)
        import_note_error(import, ERR_MODEL_UNFIT, view_of_buf(&problem), 0);
    buf_release(&problem);
    if (!good)
        return false;
    import->layers = check_calloc(import->split.layer_count + 1, sizeof(*import->layers));
    for (size_t i = 0; i < import->split.layer_count; i++) {
        size_t start = i == 0 ? 0 : import->split.ends[i - 1];
        import->layers[i].import = import;
        import->layers[i].members = import->split.order + start;
        import->layers[i].count = import->split.ends[i] - start;
        for (size_t m = start; m < import->split.ends[i]; m++)
            import->layers[i].bytes += import->files[import->split.order[m]].listed->size;
        good &= is_bounded(&import->layers[i]);
    }
    if (!good)
        import_note_error(import, ERR_MODEL_UNFIT, VIEW(LAYER_PASS_TOC_TOO_LONG), 0);
    return good;
}

static const struct import_file *member(const struct import_layer *layer, size_t i)
{
    return &layer->import->files[layer->members[i]];
}

/* What the same files at the same names have: the same layer, whosever they are. */
static void key_of(const struct import_layer *layer, unsigned char ret_key[MODEL_KEY_SIZE])
{
    struct hasher hasher;

    layer_of_key_begin(&hasher);
    for (size_t i = 0; i < layer->count; i++) {
        const struct import_file *file = member(layer, i);
        layer_of_key_add(&hasher, file->listed->path, file->listed->size, file->sha256.bytes);
    }
    layer_of_key_end(&hasher, ret_key);
}

/* ---- records ---- */

static struct layer_place place_of(const struct import *import)
{
    struct layer_place place = {0};

    CHECK(view_copy(view_of(import->upstream->config->name), place.upstream,
                    sizeof(place.upstream)) &&
          view_copy(view_of(import->repository), place.repository, sizeof(place.repository)) &&
          view_copy(view_of(import->info.commit), place.commit, sizeof(place.commit)));
    return place;
}

static void put_record(struct import_layer *layer, const struct layer_record *record,
                       const struct digest *digest)
{
    struct buf value = {0};

    layer_record_encode(record, &value);
    index_put_note(layer->import->thread->store->index, INDEX_NOTE_LAYER, digest->bytes,
                   view_of_buf(&value));
    layers_forget(layer->import->thread->layers, digest); /* it is opened again, with its places */
    buf_release(&value);
}

static void set_result(struct import_layer *layer, const struct layer_record *record,
                       const struct digest *digest)
{
    layer->result = (struct image_layer){.digest = *digest,
                                         .diff_id = record->diff_id,
                                         .toc_digest = record->toc_digest,
                                         .size = record->size,
                                         .uncompressed = record->uncompressed};
    layer->state = IMPORT_LAYER_DONE;
}

/* Whether that is the layer of these files. What was claimed of a layer may have been replaced by
 * what it is; then it is another's. */
static bool has_files(const struct import_layer *layer, const struct layer_record *record)
{
    bool same = record->count == layer->count;

    for (size_t i = 0; same && i < layer->count; i++) {
        const struct import_file *file = member(layer, i);
        const struct layer_file *named = &record->files[i];
        same = strcmp(named->name, file->listed->path) == 0 && named->size == file->listed->size &&
               memcmp(named->sha256, file->sha256.bytes, sizeof(named->sha256)) == 0;
    }
    return same;
}

/* Whether the layer need not be hashed: what its framing is made of is known, and it is not a claim
 * that is to be proven, or that was made of another repository. */
static bool is_enough(const struct import *import, const struct layer_record *record)
{
    struct layer_place place = place_of(import);
    bool proven = import->prove || !layer_record_is_of(record, &place);

    return imported_has_numbers(import->thread->store->index, record, proven) &&
           !(proven && record->is_claimed);
}

/* Whether all that its layer is computed from is in the index already; then it is DONE. */
static bool find_known(struct import_layer *layer)
{
    struct index *index = layer->import->thread->store->index;
    struct layer_place place = place_of(layer->import);
    struct digest digest = {.algorithm = DIGEST_SHA256};
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0}, bytes = {0};
    struct layer_record record;

    key_of(layer, key);
    bool found =
        index_get_note(index, INDEX_NOTE_LAYER_OF, key, &value) && value.length == MODEL_KEY_SIZE;
    if (found)
        memcpy(digest.bytes, value.data, MODEL_KEY_SIZE);
    found = found && index_get_note(index, INDEX_NOTE_LAYER, digest.bytes, &bytes) &&
            layer_record_decode(view_of_buf(&bytes), &record);
    if (found && !(has_files(layer, &record) && is_enough(layer->import, &record))) {
        layer_record_release(&record);
        found = false;
    }
    if (found) {
        if (layer_record_add_place(&record, &place))
            put_record(layer, &record, &digest);
        set_result(layer, &record, &digest);
        layer->is_claimed = record.is_claimed;
        layer_record_release(&record);
    }
    buf_release(&value);
    buf_release(&bytes);
    return found;
}

/* Where else the layer's files can be fetched from, when it was known before. */
static void take_places(struct index *index, const struct digest *digest,
                        struct layer_record *record)
{
    struct layer_record before;
    struct buf value = {0};

    if (index_get_note(index, INDEX_NOTE_LAYER, digest->bytes, &value) &&
        layer_record_decode(view_of_buf(&value), &before)) {
        memcpy(record->places, before.places, sizeof(record->places));
        record->place_count = before.place_count;
        layer_record_release(&before);
    }
    buf_release(&value);
}

/* The pass is over: what it found goes into the index at once, so that a restart does not hash it
 * again. */
static void write_down(struct import_layer *layer)
{
    struct layer_pass *pass = &layer->pass;
    struct layout_sizes sizes = layout_sizes(pass->layout);
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION,
                                  .size = sizes.layer,
                                  .uncompressed = sizes.uncompressed,
                                  .diff_id = pass->diff_id,
                                  .count = layer->count};
    struct layer_place place = place_of(layer->import);
    unsigned char key[MODEL_KEY_SIZE];

    layout_toc_digest(pass->layout, &record.toc_digest);
    record.files = check_calloc(layer->count, sizeof(*record.files));
    for (size_t i = 0; i < layer->count; i++) {
        const struct import_file *file = member(layer, i);
        record.files[i].name = check_strdup(file->listed->path);
        record.files[i].size = file->listed->size;
        memcpy(record.files[i].sha256, file->sha256.bytes, sizeof(record.files[i].sha256));
    }
    take_places(layer->import->thread->store->index, &pass->digest, &record);
    (void)layer_record_add_place(&record, &place);
    put_record(layer, &record, &pass->digest);
    key_of(layer, key);
    index_put_note(layer->import->thread->store->index, INDEX_NOTE_LAYER_OF, key,
                   (struct view){(const char *)pass->digest.bytes, MODEL_KEY_SIZE});
    set_result(layer, &record, &pass->digest);
    layer_record_release(&record);
}

/* ---- passes ---- */

static void drop_files(struct import_layer *layer)
{
    for (size_t i = 0; layer->files != NULL && i < layer->count; i++)
        free(layer->files[i].chunks);
    free(layer->files);
    layer->files = NULL;
}

static void source_of(void *owner, size_t file, struct source *ret_source)
{
    const struct import_layer *layer = owner;
    const struct import *import = layer->import;
    const struct import_file *at = member(layer, file);

    source_init_file(ret_source, import->upstream, import->repository, import->info.commit,
                     view_of(at->listed->path), &at->sha256, at->listed->size);
}

/* The hub sends other bytes than the numbers of some file are those of. Numbers that somebody has
 * claimed are not to keep a file from being imported: its sha256 tells what is right. Whether there
 * were any. */
static bool drop_claims(const struct import_layer *layer)
{
    struct index *index = layer->import->thread->store->index;
    struct chunk_record record;
    struct buf value = {0};
    bool any = false;

    for (size_t i = 0; i < layer->count; i++) {
        const uint8_t *sha256 = member(layer, i)->sha256.bytes;
        buf_clear(&value);
        if (!index_get_note(index, INDEX_NOTE_NUMBERS, sha256, &value) ||
            !chunk_record_decode(view_of_buf(&value), &record))
            continue;
        if (record.is_claimed)
            index_delete_note(index, INDEX_NOTE_NUMBERS, sha256);
        any |= record.is_claimed;
        chunk_record_release(&record);
    }
    buf_release(&value);
    return any;
}

/* At which file the pass has failed, and what the hub says of it, or what may be done. */
static void describe(const struct layer_pass *pass, enum err err, struct buf *sentence)
{
    struct buf words = {0};
    struct source source;

    if (pass->at == pass->count)
        return;
    buf_append_text(sentence, "the file ");
    problem_quote(sentence, pass->files[pass->order[pass->at]].name);
    pass->source_of(pass->owner, pass->order[pass->at], &source);
    absence_words(&pass->fetchers->store->absences, source.key, err, &words);
    if (words.length > 0) {
        buf_append_text(sentence, ": ");
        buf_append_view(sentence, view_of_buf(&words));
    } else if (err == ERR_UPSTREAM_REFUSED) {
        buf_append_text(sentence,
                        ", which the hub does not let Entrepot read: its repository's page says "
                        "whether access is to be asked for; then give Entrepot a token that has it "
                        "(password_file)");
    }
    buf_release(&words);
}

/* A file of hours has come further, though not to its end. */
static void note_progress(struct import_layer *layer)
{
    if (layer->read <= layer->furthest)
        return;
    layer->furthest = layer->read;
    layer->import->retry = (struct import_retry){0};
}

static void on_pass_end(struct layer_pass *pass, enum err err)
{
    struct buf sentence = {0};
    struct import_layer *layer = pass->owner;
    struct import *import = layer->import;

    layer->state = IMPORT_LAYER_WAITS;
    if ((err == ERR_CHUNK_MISMATCH || err == ERR_SIZE_MISMATCH) && drop_claims(layer))
        err = ERR_CHUNK_MISMATCH; /* which is worth another try */
    if (err == OK) {
        write_down(layer);
        import->retry = (struct import_retry){0};
    } else {
        note_progress(layer);
        describe(pass, err, &sentence);
        import_note_error(import, err, view_of_buf(&sentence), pass->retry_after_s);
        buf_release(&sentence);
    }
    layer_pass_release(pass);
    drop_files(layer);
    import_step(import);
}

static void add_file(struct import_layer *layer, size_t i)
{
    const struct import_file *file = member(layer, i);
    struct pass_file *to = &layer->files[i];
    struct chunk_record record;
    struct buf value = {0};

    *to = (struct pass_file){
        .name = view_of(file->listed->path), .size = file->listed->size, .sha256 = file->sha256};
    if (index_get_note(layer->import->thread->store->index, INDEX_NOTE_NUMBERS, file->sha256.bytes,
                       &value) &&
        chunk_record_decode(view_of_buf(&value), &record)) {
        if (record.size == to->size && !record.is_claimed) {
            to->chunks = record.chunks;
            to->has_numbers = true;
        } else {
            chunk_record_release(&record);
        }
    }
    if (!to->has_numbers && to->size > 0)
        to->chunks = check_calloc(numbers_count(to->size), sizeof(*to->chunks));
    buf_release(&value);
}

static void start(struct import_layer *layer)
{
    struct import *import = layer->import;
    struct buf problem = {0};

    layer->files = check_calloc(layer->count, sizeof(*layer->files));
    for (size_t i = 0; i < layer->count; i++)
        add_file(layer, i);
    layer->state = IMPORT_LAYER_RUNS;
    layer->read = 0;
    layer->pass = (struct layer_pass){.fetchers = import->thread->fetchers,
                                      .loop = &import->thread->loop,
                                      .files = layer->files,
                                      .count = layer->count,
                                      .source_of = source_of,
                                      .on_end = on_pass_end,
                                      .owner = layer,
                                      .read = &layer->read};
    if (!layer_pass_start(&layer->pass, &problem)) {
        import_note_error(import, ERR_MODEL_UNFIT, view_of_buf(&problem), 0);
        layer->state = IMPORT_LAYER_WAITS;
        layer_pass_release(&layer->pass);
        drop_files(layer);
    }
    buf_release(&problem);
}

void import_prove(struct import *import)
{
    import->prove = true;
    for (size_t i = 0; import->layers != NULL && i < import->split.layer_count; i++)
        if (import->layers[i].state == IMPORT_LAYER_DONE && import->layers[i].is_claimed)
            import->layers[i].state = IMPORT_LAYER_WAITS;
}

size_t import_layers_done(const struct import *import, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    size_t done = 0;

    for (size_t i = 0; import->layers != NULL && i < import->split.layer_count; i++) {
        const struct import_layer *layer = &import->layers[i];
        if (layer->state == IMPORT_LAYER_RUNS)
            bytes += layer->read;
        if (layer->state != IMPORT_LAYER_DONE)
            continue;
        bytes += layer->bytes;
        done++;
    }
    *ret_bytes = bytes;
    return done;
}

size_t import_layers_run(struct import *import, size_t *ret_left)
{
    size_t running = 0, left = 0;

    for (size_t i = 0; i < import->split.layer_count; i++)
        running += import->layers[i].state == IMPORT_LAYER_RUNS;
    for (size_t i = 0; i < import->split.layer_count; i++) {
        struct import_layer *layer = &import->layers[i];
        if (layer->state == IMPORT_LAYER_WAITS && !find_known(layer) && import->err == OK &&
            running < IMPORT_LAYERS_AT_ONCE) {
            start(layer);
            running += layer->state == IMPORT_LAYER_RUNS;
        }
        left += layer->state != IMPORT_LAYER_DONE;
    }
    *ret_left = left;
    return running;
}

void import_layers_stop(struct import *import)
{
    for (size_t i = 0; import->layers != NULL && i < import->split.layer_count; i++)
        if (import->layers[i].state == IMPORT_LAYER_RUNS)
            layer_pass_stop(&import->layers[i].pass);
}

void import_layers_release(struct import *import)
{
    free(import->layers);
    import->layers = NULL;
}
