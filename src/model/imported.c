#include "model/imported.h"

#include <string.h>
#include <strings.h>

#include "cache/chunk_record.h"

/* ---- is all known that it is made of? ---- */

static bool file_has_numbers(struct index *index, const struct layer_file *file)
{
    struct chunk_record numbers = {0};
    struct buf value = {0};

    if (file->size == 0)
        return true;
    bool good = index_get_note(index, INDEX_NOTE_NUMBERS, file->sha256, &value) &&
                chunk_record_decode(view_of_buf(&value), &numbers) && numbers.size == file->size;
    chunk_record_release(&numbers);
    buf_release(&value);
    return good;
}

bool imported_has_numbers(struct index *index, const struct layer_record *layer)
{
    bool good = true;

    for (size_t i = 0; good && i < layer->count; i++)
        good = file_has_numbers(index, &layer->files[i]);
    return good;
}

static bool has_layer(struct index *index, const struct digest *digest, bool proven)
{
    struct layer_record layer = {0};
    struct buf value = {0};

    bool good = index_get_note(index, INDEX_NOTE_LAYER, digest->bytes, &value) &&
                layer_record_decode(view_of_buf(&value), &layer) && !(proven && layer.is_claimed) &&
                imported_has_numbers(index, &layer);
    layer_record_release(&layer);
    buf_release(&value);
    return good;
}

static bool is_whole(struct index *index, const struct image_record *record, bool proven)
{
    bool good = true;

    for (size_t i = 0; good && i < record->layer_count; i++)
        good = has_layer(index, &record->layers[i], proven);
    return good;
}

/* ---- finding it ---- */

bool imported_find(struct index *index, const char *upstream, const char *id, const char *commit,
                   const char *filter, bool proven, struct image_record *ret_record)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct image_record record = {0};
    struct buf value = {0};

    image_record_key(upstream, id, commit, filter, key);
    bool found = index_get_note(index, INDEX_NOTE_IMAGE, key, &value) &&
                 image_record_decode(view_of_buf(&value), &record) &&
                 !(proven && record.is_claimed) && is_whole(index, &record, proven);
    buf_release(&value);
    if (found)
        *ret_record = record;
    else
        image_record_release(&record);
    return found;
}

struct search {
    const char *upstream, *repository, *commit, *filter;
    char id[RECORD_REPOSITORY_SIZE]; /* when found */
    bool found;
};

static bool on_image(void *argument, const unsigned char key[MODEL_KEY_SIZE], struct view value)
{
    struct search *search = argument;
    unsigned char wanted[MODEL_KEY_SIZE];
    struct image_record record;

    if (!image_record_decode(value, &record))
        return true;
    if (strcmp(record.commit, search->commit) == 0 &&
        strcasecmp(record.id, search->repository) == 0) {
        image_record_key(search->upstream, record.id, record.commit, search->filter, wanted);
        search->found = memcmp(key, wanted, sizeof(wanted)) == 0;
        memcpy(search->id, record.id, sizeof(search->id));
    }
    image_record_release(&record);
    return !search->found;
}

bool imported_search(struct index *index, const char *upstream, const char *repository,
                     const char *commit, const char *filter, bool proven,
                     struct image_record *ret_record)
{
    struct search search = {
        .upstream = upstream, .repository = repository, .commit = commit, .filter = filter};

    index_each_note(index, INDEX_NOTE_IMAGE, on_image, &search);
    return search.found &&
           imported_find(index, upstream, search.id, commit, filter, proven, ret_record);
}
