/*
 * An ask is a flight: it begins with on_start(), and its callers get one answer, with or before the
 * end of the import that it waits for.
 */
#include "model/importer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "model/hub_get.h"
#include "model/record.h"
#include "wire/hub_name.h"
#include "wire/hub_path.h"

enum { ASKS_MAX = 10000, STOP_TICK_MS = 10 };

struct ask {
    struct flight flight;
    struct list node;    /* in importer->asks */
    struct list waiting; /* in import->asks */
    struct importer *importer;
    struct upstream *upstream;
    char repository[REFERENCE_REPOSITORY_SIZE];
    char tag[REFERENCE_TAG_SIZE];
    unsigned char key[FLIGHT_KEY_SIZE];
    struct hub_name name;
    char revision[GRAMMAR_TAG_SIZE]; /* "": it did not come so far */
    char *filter;                    /* owned; NULL until there is a revision */
    bool imported;                   /* and that is there */
    struct hub_get get;
    struct flight_answer answer;
    bool answered;         /* with what was there before; it has no callers any more */
    struct import *import; /* borrowed; that it waits for, or NULL */
    struct import_report report;
    uint64_t began_us;
    bool is_over;    /* `report` is how it ended, */
    bool was_import; /* not only a look at what was there already; */
    bool is_silent;  /* of which there is no report, since nothing was asked */
    struct mail flushed;
};

static const char *name_of(const struct ask *ask)
{
    return ask->upstream->config->name;
}

/* ---- the end of an ask ---- */

static void ask_free(struct ask *ask)
{
    list_unlink(&ask->node);
    if (list_is_linked(&ask->waiting))
        list_unlink(&ask->waiting);
    hub_get_release(&ask->get);
    bytes_unref(ask->answer.bytes);
    ahead_note(&ask->importer->ahead, name_of(ask), ask->repository, ask->tag, ask->revision,
               ask->filter, ask->imported);
    free(ask->filter);
    free(ask);
}

/* Gives the answer to whoever still waits for one. */
static void answer(struct ask *ask)
{
    if (!ask->answered)
        flight_finish(&ask->importer->thread.store->flights, &ask->flight, &ask->answer);
    ask->answered = true;
}

static void finish(struct ask *ask)
{
    if (ask->is_over && !ask->is_silent)
        import_history_add(&ask->importer->ended, &ask->report, ask->was_import);
    answer(ask);
    ask_free(ask);
}

static void on_flushed(struct mail *mail)
{
    struct ask *ask = container_of(mail, struct ask, flushed);

    ask->importer->thread.flushing--;
    finish(ask);
}

/* The next request must see what was written, or it would ask again. */
static void finish_flushed(struct ask *ask)
{
    ask->flushed.deliver = on_flushed;
    ask->importer->thread.flushing++;
    index_flush(ask->importer->thread.store->index, &ask->importer->thread.loop, &ask->flushed);
}

/* How it stands, or stood when its import ended. */
static void tell(struct ask *ask, struct import_report *report)
{
    *report = ask->report;
    report->us = clock_monotonic_us() - ask->began_us;
    if (ask->is_over)
        report->state = IMPORT_REPORT_WRITING;
    else if (ask->import != NULL)
        import_tell(ask->import, report);
}

static void note_end(struct ask *ask, enum import_report_state state)
{
    tell(ask, &ask->report);
    ask->report.state = state;
    ask->report.error[0] = '\0';
    ask->is_over = true;
    ask->was_import = ask->import != NULL;
}

/* What the tag stood for before. */
static bool use_old(struct ask *ask, bool is_stale)
{
    struct store *store = ask->importer->thread.store;
    struct tag_record record;
    int64_t now = clock_wall_s();

    if (!index_get_tag(store->index, name_of(ask), ask->repository, ask->tag, &record))
        return false;
    if (is_stale && (now - record.confirmed) * 1000 >= (int64_t)store->config->stale)
        return false;
    record.checked = now;
    index_put_tag(store->index, name_of(ask), ask->repository, ask->tag, &record);
    ask->answer.err = OK;
    ask->answer.stale = is_stale;
    ask->answer.digest = record.digest;
    ask->answer.size = record.size;
    (void)view_copy(view_of(record.media_type), ask->answer.media_type,
                    sizeof(ask->answer.media_type));
    return true;
}

/* Whether the hub has said that there is no such thing, or that it is not for us. */
static bool is_final(enum err err)
{
    return err == ERR_NAME_UNKNOWN || err == ERR_MANIFEST_UNKNOWN || err == ERR_UPSTREAM_REFUSED ||
           err == ERR_MODEL_UNFIT;
}

static void fail(struct ask *ask, enum err err, struct view sentence)
{
    struct store *store = ask->importer->thread.store;

    note_end(ask, IMPORT_REPORT_FAILED);
    import_report_set_error(&ask->report, err, sentence);
    if (err == ERR_NAME_UNKNOWN || err == ERR_MANIFEST_UNKNOWN) {
        index_delete_tag(store->index, name_of(ask), ask->repository, ask->tag);
    } else if (!ask->answered && err != ERR_STOPPING && use_old(ask, true)) {
        log_message(CONFIG_LOG_WARN, "stale", "%s/%s:%s is answered from the cache: %s",
                    name_of(ask), ask->repository, ask->tag, err_sentence(err));
        finish_flushed(ask);
        return;
    }
    if (is_final(err))
        absence_note(&store->absences, ask->key, err, store->config->negative_ttl);
    ask->answer.err = err;
    if (sentence.length > 0 && ask->answer.bytes == NULL) {
        ask->answer.bytes = bytes_new();
        buf_append_view(&ask->answer.bytes->data, sentence);
    }
    if (is_final(err) && err != ERR_UPSTREAM_REFUSED)
        finish_flushed(ask); /* the tag is gone */
    else
        finish(ask);
}

/* The commit is imported. */
static void succeed(struct ask *ask, const struct digest *index_digest, uint64_t size)
{
    struct store *store = ask->importer->thread.store;
    int64_t now = clock_wall_s();
    struct tag_record record = {
        .digest = *index_digest, .size = size, .checked = now, .confirmed = now};

    ask->imported = true;
    note_end(ask, IMPORT_REPORT_DONE);
    ask->report.digest = *index_digest;
    CHECK(view_copy(VIEW(IMAGE_INDEX_TYPE), record.media_type, sizeof(record.media_type)));
    import_write_names(store, ask->upstream, ask->repository, index_digest);
    index_put_tag(store->index, name_of(ask), ask->repository, ask->tag, &record);
    ask->answer.err = OK;
    ask->answer.digest = record.digest;
    ask->answer.size = size;
    (void)view_copy(VIEW(IMAGE_INDEX_TYPE), ask->answer.media_type, sizeof(ask->answer.media_type));
    finish_flushed(ask);
}

/* ---- waiting for an import ---- */

/* Notes that it is to be gone on with after a restart, or not any more. */
static void note_import(struct ask *ask, bool is_under_way)
{
    struct index *index = ask->importer->thread.store->index;
    struct import_record record = {.since_ms = clock_wall_ms()};
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    import_record_key(name_of(ask), ask->repository, ask->tag, key);
    if (!is_under_way) {
        index_delete_note(index, INDEX_NOTE_IMPORT, key);
        return;
    }
    CHECK(view_copy(view_of(name_of(ask)), record.upstream, sizeof(record.upstream)) &&
          view_copy(view_of(ask->repository), record.repository, sizeof(record.repository)) &&
          view_copy(view_of(ask->tag), record.tag, sizeof(record.tag)));
    import_record_encode(&record, &value);
    index_put_note(index, INDEX_NOTE_IMPORT, key, view_of_buf(&value));
    buf_release(&value);
}

static void on_import_end(struct import *import, enum err err, struct view sentence)
{
    struct list *asks = import_asks(import);
    struct digest digest;
    uint64_t size;

    import_result(import, &digest, &size);
    while (!list_is_empty(asks)) {
        struct ask *ask = container_of(asks->next, struct ask, waiting);
        list_unlink(&ask->waiting);
        if (err != ERR_STOPPING)
            note_import(ask, false);
        if (err == OK)
            succeed(ask, &digest, size);
        else
            fail(ask, err, sentence);
    }
    import_free(import);
}

static struct import *find_import(const struct ask *ask, const char *repository, const char *commit)
{
    struct list *imports = &ask->importer->thread.imports;

    for (struct list *node = imports->next; node != imports; node = node->next)
        if (import_is_of(import_of_node(node), ask->upstream, repository, commit, ask->filter))
            return import_of_node(node);
    return NULL;
}

/* Whether that commit is imported already. */
static bool find_image(const struct ask *ask, const char *repository, const char *commit,
                       struct image_record *ret_record)
{
    struct index *index = ask->importer->thread.store->index;
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    image_record_key(name_of(ask), repository, commit, ask->filter, key);
    bool found = index_get_note(index, INDEX_NOTE_IMAGE, key, &value) &&
                 image_record_decode(view_of_buf(&value), ret_record);
    buf_release(&value);
    return found;
}

/* Of an image that is there: its files are not counted any more. */
static void tell_image(struct import_report *report, const struct image_record *record)
{
    memcpy(report->id, record->id, sizeof(report->id));
    memcpy(report->commit, record->commit, sizeof(report->commit));
    report->bytes = report->bytes_total = record->bytes;
    report->layers = report->layers_total = record->layer_count;
}

static void on_commit(struct ask *ask, const struct hub_info *info)
{
    struct hub_name canonical = ask->name;
    char repository[HUB_REPOSITORY_SIZE];
    struct image_record record;

    memcpy(canonical.id, info->id, sizeof(canonical.id));
    (void)hub_name_print(&canonical, repository);
    if (find_image(ask, repository, info->commit, &record)) {
        tell_image(&ask->report, &record);
        succeed(ask, &record.index_digest, record.index_size);
        image_record_release(&record);
        return;
    }
    struct import *import = find_import(ask, repository, info->commit);
    if (import == NULL)
        import = import_start(&ask->importer->thread, ask->upstream, repository, info, ask->filter,
                              on_import_end);
    ask->import = import;
    list_append(import_asks(import), &ask->waiting);
    note_import(ask, true);
    if (use_old(ask, false))
        answer(ask);
}

/* ---- asking the hub ---- */

static void on_info(struct hub_get *get, enum err err)
{
    struct ask *ask = container_of(get, struct ask, get);
    struct hub_info info;
    struct buf problem = {0};

    ask->answer.retry_after = get->retry_after;
    if (err != OK)
        fail(ask, err, view_of_buf(&get->sentence));
    else if (!hub_read_info(view_of_buf(&get->body), &info, &problem))
        fail(ask, ERR_UPSTREAM_NONSENSE, view_of_buf(&problem));
    else
        on_commit(ask, &info);
    buf_release(&problem);
}

/* Finds out which revision, and which of its files, the tag stands for. */
static bool choose_revision(struct ask *ask)
{
    struct catalog *catalog = catalogs_get(ask->importer->catalogs);
    const struct catalog_model *model =
        catalog_find(catalog, name_of(ask), ask->repository, ask->tag);
    struct hub_revision revision;

    bool found = model != NULL || hub_name_revision(view_of(ask->tag), &revision);
    if (found) {
        CHECK(view_copy(view_of(model != NULL ? model->revision : revision.text), ask->revision,
                        sizeof(ask->revision)));
        ask->filter = view_dup(view_of(model != NULL ? model->filter : ""));
    }
    catalog_unref(catalog);
    return found;
}

static void ask_hub(struct ask *ask)
{
    char repository[HUB_REPOSITORY_SIZE];
    struct buf path = {0};

    if (!hub_name_parse(view_of(ask->repository), &ask->name)) {
        fail(ask, ERR_NAME_UNKNOWN,
             VIEW("a hub's images are called org/model, model, or "
                  "datasets/org/name"));
        return;
    }
    if (!choose_revision(ask)) {
        fail(ask, ERR_MANIFEST_UNKNOWN,
             VIEW("this tag stands for no revision: branches, tags and "
                  "commits do, with -- for a slash"));
        return;
    }
    (void)hub_name_print(&ask->name, repository);
    hub_path_info(&path, view_of(repository), view_of(ask->revision));
    hub_get_start(&ask->get, &ask->importer->thread.calls, ask->upstream, repository, path.data,
                  HUB_ANSWER_MAX, on_info);
    buf_release(&path);
}

/* A commit that the catalog pins, and that is here, is the answer, whatever has become of its
 * repository or of the hub. */
static bool answer_pinned(struct ask *ask)
{
    struct catalog *catalog = catalogs_get(ask->importer->catalogs);
    const struct catalog_model *model =
        catalog_find(catalog, name_of(ask), ask->repository, ask->tag);
    struct digest digest;
    uint64_t size;

    bool found = model != NULL && model->is_commit &&
                 import_is_known(ask->importer->thread.store, ask->upstream, ask->repository,
                                 model->revision, model->filter, &digest, &size);
    catalog_unref(catalog);
    if (found)
        succeed(ask, &digest, size);
    return found;
}

static size_t count(const struct list *list)
{
    size_t n = 0;

    for (const struct list *node = list->next; node != list; node = node->next)
        n++;
    return n;
}

static void on_start(struct mail *mail)
{
    struct ask *ask = container_of(mail, struct ask, flight.start);
    struct store *store = ask->importer->thread.store;
    bool is_full = count(&ask->importer->asks) >= ASKS_MAX;

    ask->began_us = clock_monotonic_us();
    ask->report.started_ms = clock_wall_ms();
    (void)snprintf(ask->report.image, sizeof(ask->report.image), "%s/%s:%s", name_of(ask),
                   ask->repository, ask->tag);
    list_append(&ask->importer->asks, &ask->node);
    if (!ask->importer->stopping && answer_pinned(ask))
        return;
    enum err err = absence_find(&store->absences, ask->key);
    if (err != OK) { /* known already: to note it again would be to note it for ever */
        ask->is_silent = true; /* it was told when it was found out */
        ask->answer.err = err;
        finish(ask);
        return;
    }
    err = upstream_is_resting(ask->upstream, &ask->answer.retry_after);
    if (err == OK && ask->importer->stopping)
        err = ERR_STOPPING;
    if (err == OK && is_full)
        err = ERR_BUSY;
    if (err != OK)
        fail(ask, err, VIEW(""));
    else
        ask_hub(ask);
}

static struct flight *make(void *argument)
{
    struct ask *ask = check_malloc(sizeof(*ask));

    *ask = *(struct ask *)argument;
    return &ask->flight;
}

void importer_ask(struct importer *importer, struct upstream *upstream, const char *repository,
                  const char *tag, struct flight_caller *caller)
{
    struct ask ask = {.importer = importer,
                      .upstream = upstream,
                      .flight = {.loop = &importer->thread.loop, .start.deliver = on_start}};

    CHECK(view_copy(view_of(repository), ask.repository, sizeof(ask.repository)) &&
          view_copy(view_of(tag), ask.tag, sizeof(ask.tag)));
    flight_key(ask.key, "model", upstream->config->name, repository, tag, NULL);
    flight_join(&importer->thread.store->flights, ask.key, caller, make, &ask);
}

void importer_want(struct importer *importer, struct upstream *upstream, const char *repository,
                   const char *tag)
{
    unsigned char key[FLIGHT_KEY_SIZE];

    flight_key(key, "model", upstream->config->name, repository, tag, NULL);
    absence_note(&importer->thread.store->absences, key, OK, 0);
    importer_ask(importer, upstream, repository, tag, NULL);
}

/* ---- reports ---- */

/* Somebody wants to know how imports stand. */
struct inquiry {
    struct flight flight;
    struct importer *importer;
    char image[IMPORT_REPORT_IMAGE_SIZE]; /* "": all */
};

static void print(const struct inquiry *inquiry, const struct import_report *report,
                  struct buf *out)
{
    if (inquiry->image[0] != '\0' && strcmp(inquiry->image, report->image) != 0)
        return;
    if (out->length > 0 && out->data[out->length - 1] == '}')
        buf_append_text(out, ",\n");
    import_report_print(report, out);
}

static void on_inquiry(struct mail *mail)
{
    struct inquiry *inquiry = container_of(mail, struct inquiry, flight.start);
    struct importer *importer = inquiry->importer;
    struct flight_answer reply = {.bytes = bytes_new()};
    struct buf *out = &reply.bytes->data;
    struct import_report report;

    import_report_begin(out);
    for (struct list *node = importer->asks.next; node != &importer->asks; node = node->next) {
        tell(container_of(node, struct ask, node), &report);
        print(inquiry, &report, out);
    }
    for (size_t i = importer->ended.count; i > 0; i--)
        print(inquiry, &importer->ended.list[i - 1], out);
    import_report_end(out);
    flight_finish(&importer->thread.store->flights, &inquiry->flight, &reply);
    bytes_unref(reply.bytes);
    free(inquiry);
}

static struct flight *make_inquiry(void *argument)
{
    struct inquiry *inquiry = check_malloc(sizeof(*inquiry));

    *inquiry = *(struct inquiry *)argument;
    return &inquiry->flight;
}

void importer_report(struct importer *importer, const char *image, struct flight_caller *caller)
{
    struct inquiry inquiry = {
        .importer = importer,
        .flight = {.loop = &importer->thread.loop, .start.deliver = on_inquiry}};
    unsigned char key[FLIGHT_KEY_SIZE];
    char number[24];

    if (image != NULL)
        (void)view_copy(view_of(image), inquiry.image, sizeof(inquiry.image));
    /* A report of its own for everybody: one that is on its way may be older than the question. */
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)importer->reports++);
    flight_key(key, "imports", number, NULL);
    flight_join(&importer->thread.store->flights, key, caller, make_inquiry, &inquiry);
}

/* ---- the thread ---- */

struct resuming {
    struct importer *importer;
    struct import_record *list; /* owned */
    size_t count;
};

static bool collect(void *argument, const unsigned char key[32], struct view value)
{
    struct resuming *resuming = argument;
    struct import_record record;

    (void)key;
    if (!import_record_decode(value, &record))
        return true;
    resuming->list = check_realloc(resuming->list, (resuming->count + 1) * sizeof(*resuming->list));
    resuming->list[resuming->count++] = record;
    return resuming->count < ASKS_MAX;
}

/* What was under way when the last process ended. */
static void resume(struct importer *importer)
{
    struct resuming resuming = {.importer = importer};

    index_each_note(importer->thread.store->index, INDEX_NOTE_IMPORT, collect, &resuming);
    for (size_t i = 0; i < resuming.count; i++) {
        const struct import_record *record = &resuming.list[i];
        int upstream =
            config_find_upstream(importer->thread.store->config, view_of(record->upstream));
        if (upstream >= 0 && importer->thread.store->config->upstreams[upstream].is_hub)
            importer_ask(importer, &importer->thread.store->upstreams.list[upstream],
                         record->repository, record->tag, NULL);
    }
    free(resuming.list);
}

static void stop_asks(struct importer *importer)
{
    for (struct list *node = importer->asks.next, *next; node != &importer->asks; node = next) {
        struct ask *ask = container_of(node, struct ask, node);
        next = node->next;
        if (ask->get.call == NULL)
            continue; /* its import ends it, or the index */
        hub_get_release(&ask->get);
        fail(ask, ERR_STOPPING, VIEW(""));
    }
}

static void on_stop_tick(uv_timer_t *timer)
{
    struct importer *importer = container_of(timer, struct importer, stop_timer);

    stop_asks(importer);
    for (struct list *node = importer->thread.imports.next, *next;
         node != &importer->thread.imports; node = next) {
        next = node->next;
        import_stop(import_of_node(node));
    }
    if (!list_is_empty(&importer->asks) || !list_is_empty(&importer->thread.imports) ||
        importer->thread.flushing > 0)
        return;
    importer->quiet = true;
}

static void on_stop(struct mail *mail)
{
    struct importer *importer = container_of(mail, struct importer, stop);

    importer->stopping = true;
    ahead_close(&importer->ahead);
    uv_timer_start(&importer->stop_timer, on_stop_tick, 0, STOP_TICK_MS);
}

static void on_close(struct mail *mail)
{
    struct importer *importer = container_of(mail, struct importer, close);

    transfers_stop(&importer->thread.calls.transfers);
    uv_close((uv_handle_t *)&importer->stop_timer, NULL);
    loop_stop(&importer->thread.loop);
}

static void ask_ahead(struct ahead *ahead, const struct catalog_model *model)
{
    struct importer *importer = container_of(ahead, struct importer, ahead);
    struct store *store = importer->thread.store;

    importer_ask(importer, &store->upstreams.list[model->upstream - store->config->upstreams],
                 model->repository, model->tag, NULL);
}

void importer_start(struct importer *importer, struct store *store, struct fetchers *fetchers,
                    struct catalogs *catalogs)
{
    *importer = (struct importer){.thread = {.store = store, .fetchers = fetchers},
                                  .catalogs = catalogs,
                                  .stop.deliver = on_stop,
                                  .close.deliver = on_close};
    loop_init(&importer->thread.loop, "import", false);
    importer->thread.calls.loop = &importer->thread.loop;
    importer->thread.calls.store = store;
    transfers_init(&importer->thread.calls.transfers, &importer->thread.loop, store->config);
    calls_init(&importer->thread.calls);
    list_init(&importer->asks);
    list_init(&importer->thread.imports);
    CHECK(uv_timer_init(&importer->thread.loop.uv, &importer->stop_timer) == 0);
    ahead_init(&importer->ahead, &importer->thread.loop, catalogs, store->config, ask_ahead);
    resume(importer);
    loop_start(&importer->thread.loop);
}

void importer_stop(struct importer *importer)
{
    loop_post(&importer->thread.loop, &importer->stop);
    while (!importer->quiet)
        nanosleep(&(struct timespec){0, STOP_TICK_MS * 1000000L}, NULL);
    loop_post(&importer->thread.loop, &importer->close);
    loop_join(&importer->thread.loop);
    transfers_release(&importer->thread.calls.transfers);
    calls_release(&importer->thread.calls);
    loop_release(&importer->thread.loop);
}
