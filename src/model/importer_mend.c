/*
 * Layers that cannot be opened. What is known of them and does not hold is dropped, and their
 * commit is imported again: imported_find() sees that something is missing.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/stats.h"
#include "model/importer.h"
#include "model/record.h"

struct mending {
    struct flight flight;
    struct importer *importer;
    struct digest digest;
    enum err err;
};

/* The parts contradict each other. A claim is the part that is wrong, or nobody else has it; of
 * what was hashed here it is the numbers, which can be counted again. */
static void drop(struct index *index, const struct digest *digest, const struct layer_record *layer)
{
    if (layer->is_claimed)
        index_delete_note(index, INDEX_NOTE_LAYER, digest->bytes);
    for (size_t i = 0; !layer->is_claimed && i < layer->count; i++)
        index_delete_note(index, INDEX_NOTE_NUMBERS, layer->files[i].sha256);
}

/* Whether that commit was imported with that choice of files. */
static bool has_image(struct index *index, const struct layer_place *place, const char *filter)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    image_record_key(place->upstream, place->repository, place->commit, filter, key);
    bool found = index_get_note(index, INDEX_NOTE_IMAGE, key, &value);
    buf_release(&value);
    return found;
}

/* A tag of the catalog by whose choice of files the commit was imported: "" when there is none. */
static void find_tag(struct importer *importer, const struct layer_place *place,
                     const char *repository, char ret_tag[GRAMMAR_TAG_SIZE])
{
    struct catalog *catalog = catalogs_get(importer->catalogs);

    ret_tag[0] = '\0';
    for (size_t i = 0; i < catalog->count && ret_tag[0] == '\0'; i++) {
        const struct catalog_model *model = &catalog->models[i];
        if (strcmp(model->upstream->name, place->upstream) == 0 &&
            strcmp(model->repository, repository) == 0 &&
            has_image(importer->thread.store->index, place, model->filter))
            (void)view_copy(view_of(model->tag), ret_tag, GRAMMAR_TAG_SIZE);
    }
    catalog_unref(catalog);
}

/* Has the first of its commits imported that a hub of the config has; the catalog's images with
 * some of the files have none of those files' layers otherwise. */
static void import_again(struct importer *importer, const struct layer_record *layer)
{
    struct store *store = importer->thread.store;
    char repository[RECORD_REPOSITORY_SIZE], tag[GRAMMAR_TAG_SIZE];

    for (size_t i = 0; i < layer->place_count; i++) {
        const struct layer_place *place = &layer->places[i];
        int upstream = config_find_upstream(store->config, view_of(place->upstream));
        if (upstream < 0 || !store->config->upstreams[upstream].is_hub)
            continue;
        for (size_t at = 0; at < sizeof(repository); at++)
            repository[at] = (char)tolower((unsigned char)place->repository[at]);
        if (has_image(store->index, place, ""))
            (void)view_copy(view_of(place->commit), tag, sizeof(tag));
        else
            find_tag(importer, place, repository, tag);
        if (tag[0] == '\0')
            continue;
        importer_ask(importer, &store->upstreams.list[upstream], repository, tag, NULL);
        return;
    }
}

static void on_start(struct mail *mail)
{
    struct mending *mending = container_of(mail, struct mending, flight.start);
    struct importer *importer = mending->importer;
    struct index *index = importer->thread.store->index;
    struct layer_record layer;
    struct buf value = {0};

    bool known = index_get_note(index, INDEX_NOTE_LAYER, mending->digest.bytes, &value);
    if (known && !layer_record_decode(view_of_buf(&value), &layer)) {
        index_delete_note(index, INDEX_NOTE_LAYER, mending->digest.bytes);
        known = false;
    }
    if (known && mending->err == ERR_DAMAGED)
        drop(index, &mending->digest, &layer);
    if (known)
        stats_add(STAT_LAYERS_MENDED, AT_ALL, 1);
    if (known && !importer->stopping)
        import_again(importer, &layer);
    if (known)
        layer_record_release(&layer);
    buf_release(&value);
    flight_finish(&importer->thread.store->flights, &mending->flight, &(struct flight_answer){0});
    free(mending);
}

static struct flight *make(void *argument)
{
    struct mending *mending = check_malloc(sizeof(*mending));

    *mending = *(struct mending *)argument;
    return &mending->flight;
}

void importer_mend(struct importer *importer, const struct digest *layer, enum err err)
{
    struct mending mending = {
        .importer = importer,
        .digest = *layer,
        .err = err,
        .flight = {.loop = &importer->thread.loop, .start.deliver = on_start}};
    unsigned char key[FLIGHT_KEY_SIZE];
    char text[DIGEST_TEXT_SIZE];

    flight_key(key, "mend", digest_print(layer, text), NULL);
    flight_join(&importer->thread.store->flights, key, NULL, make, &mending);
}
