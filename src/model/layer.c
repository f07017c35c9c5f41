#include "model/layer.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/problem.h"

enum { FILE_MEMORY = 400 };

void layer_free(struct layer *layer)
{
    if (layer == NULL)
        return;
    for (size_t i = 0; layer->numbers != NULL && i < layer->record.count; i++)
        chunk_record_release(&layer->numbers[i]);
    free(layer->numbers);
    free(layer->touched_s);
    layout_free(layer->layout);
    layer_record_release(&layer->record);
    free(layer);
}

void layer_file_digest(const struct layer *layer, size_t file, struct digest *ret_digest)
{
    CHECK(file < layer->record.count);
    *ret_digest = (struct digest){.algorithm = DIGEST_SHA256};
    memcpy(ret_digest->bytes, layer->record.files[file].sha256, NUMBERS_SHA256);
}

/* ---- opening ---- */

static bool read_numbers(struct index *index, struct layer *layer, size_t file, struct buf *problem)
{
    const struct layer_file *named = &layer->record.files[file];
    struct chunk_record *numbers = &layer->numbers[file];
    struct buf bytes = {0};

    if (named->size == 0)
        return true;
    bool known = index_get_note(index, INDEX_NOTE_NUMBERS, named->sha256, &bytes);
    bool good = known && chunk_record_decode(view_of_buf(&bytes), numbers);
    buf_release(&bytes);
    if (!good || numbers->size != named->size) {
        (void)problem_value(problem, view_of(named->name), "%s",
                            good    ? "has another size in its numbers than in the layer"
                            : known ? "has numbers that cannot be read"
                                    : "has no numbers");
        return false;
    }
    layout_set_chunks(layer->layout, file, numbers->chunks);
    layout_set_sha256(layer->layout, file, named->sha256);
    layer->memory += numbers_count(named->size) * sizeof(*numbers->chunks);
    return true;
}

static bool lay_out(struct layer *layer, struct buf *problem)
{
    size_t count = layer->record.count;
    struct tree_file *files = check_calloc(count + 1, sizeof(*files));

    layer->memory = sizeof(*layer);
    for (size_t i = 0; i < count; i++) {
        files[i] =
            (struct tree_file){view_of(layer->record.files[i].name), layer->record.files[i].size};
        layer->memory += FILE_MEMORY + 2 * files[i].name.length;
    }
    bool good = layout_new(files, count, &layer->layout, problem);
    free(files);
    return good;
}

/* Whether the layout is that of the layer, as far as anything but a pass over it all can tell. */
static bool agrees(const struct layer *layer, struct buf *problem)
{
    struct layout_sizes sizes = layout_sizes(layer->layout);
    const struct layer_record *record = &layer->record;
    struct digest toc_digest;

    layout_toc_digest(layer->layout, &toc_digest);
    if (sizes.layer == record->size && sizes.uncompressed == record->uncompressed &&
        digest_equal(&toc_digest, &record->toc_digest))
        return true;
    (void)problem_set(problem, "its files and their numbers make another layer");
    return false;
}

static enum err open_layer(struct index *index, struct view record, struct layer *layer,
                           struct buf *problem)
{
    if (!layer_record_decode(record, &layer->record)) {
        (void)problem_set(problem, "its record cannot be read");
        return ERR_DAMAGED;
    }
    if (!lay_out(layer, problem))
        return ERR_DAMAGED;
    layer->numbers = check_calloc(layer->record.count + 1, sizeof(*layer->numbers));
    layer->touched_s = check_calloc(layer->record.count + 1, sizeof(*layer->touched_s));
    for (size_t i = 0; i < layer->record.count; i++)
        if (!read_numbers(index, layer, i, problem))
            return ERR_LAYER_INCOMPLETE;
    layout_seal(layer->layout);
    return agrees(layer, problem) ? OK : ERR_DAMAGED;
}

static void log_problem(const struct digest *digest, const struct buf *problem)
{
    char text[DIGEST_TEXT_SIZE];
    struct log_line line;

    if (!log_begin(&line, CONFIG_LOG_WARN, "layer"))
        return;
    log_text(&line, "digest", view_of(digest_print(digest, text)));
    log_text(&line, "problem", view_of_buf(problem));
    log_end(&line);
}

enum err layer_open(struct index *index, const struct digest *digest, struct layer **ret_layer)
{
    struct buf record = {0}, problem = {0};
    struct layer *layer = NULL;
    enum err err = ERR_BLOB_UNKNOWN;

    index_flush_wait(index); /* its import may have ended this moment */
    if (digest->algorithm == DIGEST_SHA256 &&
        index_get_note(index, INDEX_NOTE_LAYER, digest->bytes, &record)) {
        layer = check_calloc(1, sizeof(*layer));
        layer->digest = *digest;
        err = open_layer(index, view_of_buf(&record), layer, &problem);
    }
    if (err == OK)
        *ret_layer = layer;
    else
        layer_free(layer);
    if (problem.length > 0)
        log_problem(digest, &problem);
    buf_release(&record);
    buf_release(&problem);
    return err;
}
