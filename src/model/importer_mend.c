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

static bool is_under_way(const struct importer *importer, const struct upstream *upstream,
                         const struct layer_place *place)
{
    const struct list *imports = &importer->thread.imports;

    for (struct list *node = imports->next; node != imports; node = node->next)
        if (import_is_of(import_of_node(node), upstream, place->repository, place->commit, NULL))
            return true;
    return false;
}

/* Has the commit imported, if it is an image here: one of the catalog's with some of its files has
 * none of the other images' layers, perhaps. */
static bool import_place(struct importer *importer, const struct layer_place *place)
{
    struct store *store = importer->thread.store;
    char repository[RECORD_REPOSITORY_SIZE], tag[GRAMMAR_TAG_SIZE];
    int found = config_find_upstream(store->config, view_of(place->upstream));

    if (found < 0 || !store->config->upstreams[found].is_hub)
        return false;
    struct upstream *upstream = &store->upstreams.list[found];
    for (size_t at = 0; at < sizeof(repository); at++)
        repository[at] = (char)tolower((unsigned char)place->repository[at]);
    if (has_image(store->index, place, ""))
        (void)view_copy(view_of(place->commit), tag, sizeof(tag));
    else
        find_tag(importer, place, repository, tag);
    if (tag[0] == '\0')
        return false;
    if (!is_under_way(importer, upstream, place))
        importer_ask(importer, upstream, repository, tag, NULL);
    return true;
}

/* ---- a layer of which nothing is known but that an image has it ---- */

struct search {
    const struct digest *digest;
    struct layer_place place; /* all but its upstream */
    bool found;
};

static bool on_image(void *argument, const unsigned char key[MODEL_KEY_SIZE], struct view value)
{
    struct search *search = argument;
    struct image_record record;

    (void)key;
    if (!image_record_decode(value, &record))
        return true;
    for (size_t i = 0; i < record.layer_count && !search->found; i++)
        search->found = digest_equal(&record.layers[i], search->digest);
    if (search->found) {
        memcpy(search->place.repository, record.id, sizeof(record.id));
        memcpy(search->place.commit, record.commit, sizeof(record.commit));
    }
    image_record_release(&record);
    return !search->found;
}

static bool import_image(struct importer *importer, const struct digest *digest)
{
    const struct config *config = importer->thread.store->config;
    struct search search = {.digest = digest};
    bool begun = false;

    index_each_note(importer->thread.store->index, INDEX_NOTE_IMAGE, on_image, &search);
    for (size_t i = 0; search.found && i < config->upstream_count && !begun; i++)
        begun = view_copy(view_of(config->upstreams[i].name), search.place.upstream,
                          sizeof(search.place.upstream)) &&
                import_place(importer, &search.place);
    return begun;
}

/* ---- mending ---- */

static bool mend(struct mending *mending)
{
    struct importer *importer = mending->importer;
    struct index *index = importer->thread.store->index;
    struct layer_record layer;
    struct buf value = {0};
    bool begun = false;

    bool known = index_get_note(index, INDEX_NOTE_LAYER, mending->digest.bytes, &value) &&
                 layer_record_decode(view_of_buf(&value), &layer);
    buf_release(&value);
    if (known && mending->err == ERR_DAMAGED)
        drop(index, &mending->digest, &layer);
    for (size_t i = 0; known && i < layer.place_count && !begun; i++)
        begun = import_place(importer, &layer.places[i]);
    if (known)
        layer_record_release(&layer);
    return begun || import_image(importer, &mending->digest);
}

static void on_start(struct mail *mail)
{
    struct mending *mending = container_of(mail, struct mending, flight.start);
    struct importer *importer = mending->importer;
    struct flight_answer answer = {.err = ERR_BLOB_UNKNOWN};

    if (importer->stopping)
        answer.err = ERR_STOPPING;
    else if (mend(mending))
        answer.err = ERR_LAYER_INCOMPLETE;
    if (answer.err == ERR_LAYER_INCOMPLETE)
        stats_add(STAT_LAYERS_MENDED, AT_ALL, 1);
    flight_finish(&importer->thread.store->flights, &mending->flight, &answer);
    free(mending);
}

static struct flight *make(void *argument)
{
    struct mending *mending = check_malloc(sizeof(*mending));

    *mending = *(struct mending *)argument;
    return &mending->flight;
}

void importer_mend(struct importer *importer, const struct digest *layer, enum err err,
                   struct flight_caller *caller)
{
    struct mending mending = {
        .importer = importer,
        .digest = *layer,
        .err = err,
        .flight = {.loop = &importer->thread.loop, .start.deliver = on_start}};
    unsigned char key[FLIGHT_KEY_SIZE];
    char text[DIGEST_TEXT_SIZE];

    flight_key(key, "mend", digest_print(layer, text), NULL);
    flight_join(&importer->thread.store->flights, key, caller, make, &mending);
}
