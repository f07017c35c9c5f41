#include "model/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "model/catalogs.h"
#include "model/hub_get.h"
#include "model/record.h"
#include "wire/hub_name.h"
#include "wire/hub_path.h"
#include "wire/reference.h"
#include "wire/tag_list.h"

struct listing {
    struct flight flight;
    struct list node; /* in importer->listings */
    struct importer *importer;
    struct upstream *upstream;
    char repository[REFERENCE_REPOSITORY_SIZE];
    unsigned char key[MODEL_KEY_SIZE]; /* of the flight, and of what is kept */
    struct hub_get get;
    struct flight_answer answer;
    struct mail flushed;
};

/* ---- the end ---- */

static void finish(struct listing *listing)
{
    flight_finish(&listing->importer->thread.store->flights, &listing->flight, &listing->answer);
    list_unlink(&listing->node);
    listing->importer->listing_count--;
    hub_get_release(&listing->get);
    bytes_unref(listing->answer.bytes);
    free(listing);
}

static void on_flushed(struct mail *mail)
{
    struct listing *listing = container_of(mail, struct listing, flushed);

    listing->importer->thread.flushing--;
    finish(listing);
}

/* The next request must see what was written, or it would ask again. */
static void finish_flushed(struct listing *listing)
{
    struct import_thread *thread = &listing->importer->thread;

    listing->flushed.deliver = on_flushed;
    thread->flushing++;
    index_flush(thread->store->index, &thread->loop, &listing->flushed);
}

/* Answers with these tags, and with those that the catalog has of the repository. */
static void set_tags(struct listing *listing, struct view list)
{
    struct catalog *catalog = catalogs_get(listing->importer->catalogs);
    struct bytes *bytes = bytes_new();

    buf_append_view(&bytes->data, list);
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        if (model->upstream == listing->upstream->config &&
            strcmp(model->repository, listing->repository) == 0)
            tag_list_add(&bytes->data, view_of(model->tag));
    }
    if (bytes->data.length > list.length)
        tag_list_sort(&bytes->data);
    catalog_unref(catalog);
    listing->answer.err = OK;
    listing->answer.bytes = bytes;
}

/* Keeps them, and answers with them. */
static void finish_kept(struct listing *listing, struct view list, int64_t confirmed)
{
    struct tags_record record = {.checked = clock_wall_s(), .confirmed = confirmed, .list = list};
    struct buf value = {0};

    set_tags(listing, list);
    tags_record_encode(&record, &value);
    index_put_note(listing->importer->thread.store->index, INDEX_NOTE_TAGS, listing->key,
                   view_of_buf(&value));
    buf_release(&value);
    finish_flushed(listing);
}

/* Whether something is kept, whose list then lies in `value`. */
static bool find_kept(const struct listing *listing, struct buf *value,
                      struct tags_record *ret_record)
{
    return index_get_note(listing->importer->thread.store->index, INDEX_NOTE_TAGS, listing->key,
                          value) &&
           tags_record_decode(view_of_buf(value), ret_record);
}

static void fail(struct listing *listing, enum err err, struct view sentence)
{
    struct store *store = listing->importer->thread.store;
    struct tags_record record;
    struct buf value = {0};

    bool is_kept = find_kept(listing, &value, &record);
    if (is_kept && err != ERR_NAME_UNKNOWN && err != ERR_STOPPING &&
        (clock_wall_s() - record.confirmed) * 1000 < (int64_t)store->config->stale) {
        log_message(CONFIG_LOG_WARN, "stale", "the tags of %s/%s are answered from the cache: %s",
                    listing->upstream->config->name, listing->repository, err_sentence(err));
        listing->answer.stale = true;
        finish_kept(listing, record.list, record.confirmed);
        buf_release(&value);
        return;
    }
    buf_release(&value);
    listing->answer.err = err;
    listing->answer.bytes = bytes_new();
    buf_append_view(&listing->answer.bytes->data, sentence);
    if (is_kept && err == ERR_NAME_UNKNOWN) {
        index_delete_note(store->index, INDEX_NOTE_TAGS, listing->key);
        finish_flushed(listing);
    } else {
        finish(listing);
    }
}

/* ---- asking the hub ---- */

static void on_refs(struct hub_get *get, enum err err)
{
    struct listing *listing = container_of(get, struct listing, get);
    struct buf list = {0}, problem = {0};

    listing->answer.retry_after = get->retry_after;
    if (err != OK)
        fail(listing, err, view_of_buf(&get->sentence));
    else if (!tag_list_read(view_of_buf(&get->body), &list, &problem))
        fail(listing, ERR_UPSTREAM_NONSENSE, view_of_buf(&problem));
    else
        finish_kept(listing, view_of_buf(&list), clock_wall_s());
    buf_release(&list);
    buf_release(&problem);
}

static void ask_hub(struct listing *listing)
{
    char repository[HUB_REPOSITORY_SIZE];
    struct hub_name name;
    struct buf path = {0};

    if (!hub_name_parse(view_of(listing->repository), &name)) {
        fail(listing, ERR_NAME_UNKNOWN, VIEW(HUB_NAME_FORMS));
        return;
    }
    enum err err = upstream_is_resting(listing->upstream, &listing->answer.retry_after);
    if (err != OK) {
        fail(listing, err, VIEW(""));
        return;
    }
    hub_path_refs(&path, view_of(hub_name_print(&name, repository)));
    hub_get_start(&listing->get, &listing->importer->thread.calls, listing->upstream, repository,
                  path.data, HUB_ANSWER_MAX, on_refs);
    buf_release(&path);
}

static bool is_fresh(const struct listing *listing, const struct tags_record *record)
{
    int64_t age_ms = (clock_wall_s() - record->checked) * 1000;

    return age_ms >= 0 && age_ms < (int64_t)listing->importer->thread.store->config->tag_ttl;
}

static void on_start(struct mail *mail)
{
    struct listing *listing = container_of(mail, struct listing, flight.start);
    struct importer *importer = listing->importer;
    struct tags_record record;
    struct buf value = {0};

    list_append(&importer->listings, &listing->node);
    importer->listing_count++;
    if (find_kept(listing, &value, &record) && is_fresh(listing, &record)) {
        listing->answer.kept = true;
        set_tags(listing, record.list);
        finish(listing);
    } else if (importer->stopping) {
        fail(listing, ERR_STOPPING, VIEW(""));
    } else if (importer->listing_count > LISTINGS_MAX) {
        fail(listing, ERR_BUSY, VIEW(""));
    } else {
        ask_hub(listing);
    }
    buf_release(&value);
}

static struct flight *make(void *argument)
{
    struct listing *listing = check_malloc(sizeof(*listing));

    *listing = *(struct listing *)argument;
    return &listing->flight;
}

void importer_tags(struct importer *importer, struct upstream *upstream, const char *repository,
                   struct flight_caller *caller)
{
    struct listing listing = {
        .importer = importer,
        .upstream = upstream,
        .flight = {.loop = &importer->thread.loop, .start.deliver = on_start}};

    CHECK(view_copy(view_of(repository), listing.repository, sizeof(listing.repository)));
    tags_record_key(upstream->config->name, repository, listing.key);
    flight_join(&importer->thread.store->flights, listing.key, caller, make, &listing);
}

void listings_stop(struct importer *importer)
{
    for (struct list *node = importer->listings.next, *next; node != &importer->listings;
         node = next) {
        struct listing *listing = container_of(node, struct listing, node);
        next = node->next;
        if (listing->get.call == NULL)
            continue; /* the index ends it */
        hub_get_release(&listing->get);
        fail(listing, ERR_STOPPING, VIEW(""));
    }
}
