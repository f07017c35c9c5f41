/*
 * An ask is a flight: it begins with on_start(), and its callers get one answer, with or before the
 * end of the import that it waits for. While the hub cannot say what the tag stands for it is
 * PAUSED, and asks again.
 */
#include "model/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "model/imported.h"
#include "model/record.h"
#include "wire/hub_name.h"
#include "wire/hub_path.h"

static const char *name_of(const struct ask *ask)
{
    return ask->upstream->config->name;
}

/* ---- the end of an ask ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct ask, timer));
}

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
    uv_close((uv_handle_t *)&ask->timer, on_timer_closed);
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

/* Goes on with `deliver` when the index has what it was given. */
static void flush(struct ask *ask, void (*deliver)(struct mail *mail))
{
    ask->flushed.deliver = deliver;
    ask->importer->thread.flushing++;
    index_flush(ask->importer->thread.store->index, &ask->importer->thread.loop, &ask->flushed);
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
    flush(ask, on_flushed);
}

void ask_tell(struct ask *ask, struct import_report *report)
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
    ask_tell(ask, &ask->report);
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

/* Notes that it is to be gone on with after a restart, or not any more. */
static void note_import(struct ask *ask, bool is_under_way)
{
    struct index *index = ask->importer->thread.store->index;
    struct import_record record = {.since_ms = clock_wall_ms(), .is_wanted = ask->is_wanted};
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    ask->is_noted = is_under_way;
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

/* Whether the hub says that the tag stands for nothing any more. A commit that went away while it
 * was imported says nothing of the tag. */
static bool is_gone(const struct ask *ask, enum err err)
{
    return ask->import == NULL && (err == ERR_NAME_UNKNOWN || err == ERR_MANIFEST_UNKNOWN);
}

/* What a process left that was killed after it had noted the image. */
static void forget_import(struct ask *ask)
{
    unsigned char key[MODEL_KEY_SIZE];
    struct buf value = {0};

    import_record_key(name_of(ask), ask->repository, ask->tag, key);
    if (ask->import == NULL && (ask->is_noted || index_get_note(ask->importer->thread.store->index,
                                                                INDEX_NOTE_IMPORT, key, &value)))
        note_import(ask, false);
    buf_release(&value);
}

/* What the callers are told of the error. */
static void say(struct ask *ask, struct view sentence)
{
    if (sentence.length == 0 || ask->answer.bytes != NULL)
        return;
    ask->answer.bytes = bytes_new();
    buf_append_view(&ask->answer.bytes->data, sentence);
}

static void fail(struct ask *ask, enum err err, struct view sentence)
{
    struct store *store = ask->importer->thread.store;

    note_end(ask, IMPORT_REPORT_FAILED);
    import_report_set_error(&ask->report, err, sentence);
    if (is_final(err) && (!ask->answered || ask->is_noted) && !ask->is_outdated)
        note_import(ask, false);
    if (is_gone(ask, err)) {
        index_delete_tag(store->index, name_of(ask), ask->repository, ask->tag);
    } else if (!ask->answered && err != ERR_STOPPING && use_old(ask, true)) {
        log_message(CONFIG_LOG_WARN, "stale", "%s/%s:%s is answered from the cache: %s",
                    name_of(ask), ask->repository, ask->tag, err_sentence(err));
        finish_flushed(ask);
        return;
    }
    if (is_final(err) && !ask->answered) /* else there is the old one */
        absence_note(&store->absences, ask->key, err, store->config->negative_ttl);
    ask->answer.err = err;
    say(ask, sentence);
    if (is_final(err) && err != ERR_UPSTREAM_REFUSED)
        finish_flushed(ask); /* the tag is gone */
    else
        finish(ask);
}

/* The commit's own name stands for the image too, unless the catalog takes it for some files. */
static void name_commit(struct ask *ask, const struct tag_record *record)
{
    struct catalog *catalog = catalogs_get(ask->importer->catalogs);

    bool is_taken =
        catalog_find(catalog, name_of(ask), ask->repository, ask->report.commit) != NULL;
    catalog_unref(catalog);
    if (!is_taken && ask->filter != NULL && ask->filter[0] == '\0')
        index_put_tag(ask->importer->thread.store->index, name_of(ask), ask->repository,
                      ask->report.commit, record);
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
    if (!ask->is_outdated)
        index_put_tag(store->index, name_of(ask), ask->repository, ask->tag, &record);
    name_commit(ask, &record);
    forget_import(ask);
    ask->answer.err = OK;
    ask->answer.digest = record.digest;
    ask->answer.size = size;
    (void)view_copy(VIEW(IMAGE_INDEX_TYPE), ask->answer.media_type, sizeof(ask->answer.media_type));
    finish_flushed(ask);
}

/* ---- waiting for an import ---- */

static void on_import_end(struct import *import, enum err err, struct view sentence)
{
    struct list *asks = import_asks(import);
    struct digest digest;
    uint64_t size;

    import_result(import, &digest, &size);
    while (!list_is_empty(asks)) {
        struct ask *ask = container_of(asks->next, struct ask, waiting);
        list_unlink(&ask->waiting);
        if (err != ERR_STOPPING && !ask->is_outdated) /* else the note is the newer one's */
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

/* Of an image that is there: its files are not counted any more. */
static void tell_image(struct import_report *report, const struct image_record *record)
{
    memcpy(report->id, record->id, sizeof(report->id));
    memcpy(report->commit, record->commit, sizeof(report->commit));
    report->bytes = report->bytes_total = record->bytes;
    report->layers = report->layers_total = record->layer_count;
}

/* The tag stands for another commit now than when those who still wait for it were told. */
static void outdate_others(const struct ask *ask, const struct import *import)
{
    struct list *asks = &ask->importer->asks;

    for (struct list *node = asks->next; node != asks; node = node->next) {
        struct ask *other = container_of(node, struct ask, node);
        if (other != ask && memcmp(other->key, ask->key, sizeof(ask->key)) == 0)
            other->is_outdated = other->import != import;
    }
}

static void on_commit(struct ask *ask, const struct hub_info *info)
{
    struct hub_name canonical = ask->name;
    char repository[HUB_REPOSITORY_SIZE];
    struct image_record record;

    memcpy(canonical.id, info->id, sizeof(canonical.id));
    (void)hub_name_print(&canonical, repository);
    if (imported_find(ask->importer->thread.store->index, name_of(ask), repository, info->commit,
                      ask->filter, ask->is_wanted, &record)) {
        outdate_others(ask, NULL);
        tell_image(&ask->report, &record);
        succeed(ask, &record.index_digest, record.index_size);
        image_record_release(&record);
        return;
    }
    struct import *import = find_import(ask, repository, info->commit);
    if (import == NULL)
        import = import_start(&ask->importer->thread, ask->upstream, repository, info, ask->filter,
                              ask->is_wanted, on_import_end);
    else if (ask->is_wanted)
        import_prove(import);
    outdate_others(ask, import);
    ask->import = import;
    list_append(import_asks(import), &ask->waiting);
    note_import(ask, true);
    if (use_old(ask, false))
        answer(ask);
}

/* ---- asking the hub ---- */

static void ask_hub(struct ask *ask);

static void on_pause_over(uv_timer_t *timer)
{
    struct ask *ask = container_of(timer, struct ask, timer);
    LOOP_CALLBACK(&ask->importer->thread.loop);

    ask->report.state = IMPORT_REPORT_RESOLVING;
    ask->report.error[0] = '\0';
    ask_hub(ask);
}

/* The hub cannot say it now: it is asked again later, if that is worth it. Who waits has what was
 * there before, when there is something; then there is nothing more to do for a client. */
static void put_off(struct ask *ask, enum err err, struct view sentence)
{
    uint64_t pause_ms;

    bool has_old = !ask->answered && use_old(ask, true);
    if ((has_old && !ask->is_noted) ||
        !import_retry_next(&ask->retry, ask->is_noted, err, ask->answer.retry_after, &pause_ms)) {
        fail(ask, err, sentence);
        return;
    }
    if (has_old)
        answer(ask);
    ask->report.state = IMPORT_REPORT_PAUSED;
    import_report_set_error(&ask->report, err, sentence);
    log_message(CONFIG_LOG_INFO, "import", "%s: %s; asked again in %llu s", ask->report.image,
                err_sentence(err), (unsigned long long)(pause_ms / 1000));
    uv_timer_start(&ask->timer, on_pause_over, pause_ms, 0);
}

static void on_info(struct hub_get *get, enum err err)
{
    struct ask *ask = container_of(get, struct ask, get);
    struct hub_info info;
    struct buf problem = {0};

    ask->answer.retry_after = get->retry_after;
    bool good = err == OK && hub_read_info(view_of_buf(&get->body), &info, &problem);
    buf_release(&get->body); /* it may be long, and so may the import that is waited for */
    if (err != OK)
        put_off(ask, err, view_of_buf(&get->sentence));
    else if (!good)
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
        free(ask->filter);
        ask->filter = view_dup(view_of(model != NULL ? model->filter : ""));
    }
    catalog_unref(catalog);
    return found;
}

/* What the tag is taken for is known. */
static void ask_info(struct ask *ask)
{
    char repository[HUB_REPOSITORY_SIZE];
    struct buf path = {0};

    enum err err = upstream_is_resting(ask->upstream, &ask->answer.retry_after);
    if (err != OK) {
        put_off(ask, err, VIEW(""));
        return;
    }
    (void)hub_name_print(&ask->name, repository);
    hub_path_info(&path, view_of(repository), view_of(ask->revision));
    hub_get_start(&ask->get, &ask->importer->thread.calls, ask->upstream, repository, path.data,
                  HUB_ANSWER_MAX, on_info);
    buf_release(&path);
}

static void on_noted(struct mail *mail)
{
    struct ask *ask = container_of(mail, struct ask, flushed);

    ask->importer->thread.flushing--;
    if (ask->importer->stopping)
        fail(ask, ERR_STOPPING, VIEW(""));
    else
        ask_info(ask);
}

static void ask_hub(struct ask *ask)
{
    if (!hub_name_parse(view_of(ask->repository), &ask->name)) {
        fail(ask, ERR_NAME_UNKNOWN, VIEW(HUB_NAME_FORMS));
        return;
    }
    if (!choose_revision(ask)) {
        fail(ask, ERR_MANIFEST_UNKNOWN,
             VIEW("this tag stands for no revision: branches, tags and "
                  "commits do, with -- for a slash"));
        return;
    }
    if (ask->is_wanted && !ask->is_noted) { /* before all else: the hub may be down for long */
        note_import(ask, true);
        flush(ask, on_noted);
        return;
    }
    ask_info(ask);
}

/* A commit that the catalog pins, and that is here, is the answer, whatever has become of its
 * repository or of the hub. */
static bool answer_pinned(struct ask *ask)
{
    struct catalog *catalog = catalogs_get(ask->importer->catalogs);
    const struct catalog_model *model =
        catalog_find(catalog, name_of(ask), ask->repository, ask->tag);
    struct image_record record;

    bool found = model != NULL && model->is_commit &&
                 imported_search(ask->importer->thread.store->index, name_of(ask), ask->repository,
                                 model->revision, model->filter, ask->is_wanted, &record);
    catalog_unref(catalog);
    if (!found)
        return false;
    tell_image(&ask->report, &record);
    succeed(ask, &record.index_digest, record.index_size);
    image_record_release(&record);
    return true;
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
    bool is_full = count(&ask->importer->asks) >= IMPORTER_ASKS_MAX;

    ask->began_us = clock_monotonic_us();
    ask->report.started_ms = clock_wall_ms();
    (void)snprintf(ask->report.image, sizeof(ask->report.image), "%s/%s:%s", name_of(ask),
                   ask->repository, ask->tag);
    CHECK(uv_timer_init(&ask->importer->thread.loop.uv, &ask->timer) == 0);
    list_append(&ask->importer->asks, &ask->node);
    if (!ask->importer->stopping && answer_pinned(ask))
        return;
    enum err err = absence_find(&store->absences, ask->key);
    if (err != OK) {           /* known already: to note it again would be to note it for ever */
        ask->is_silent = true; /* it was told when it was found out */
        ask->answer.err = err;
        say(ask, import_history_reason(&ask->importer->ended, ask->report.image, err));
        finish(ask);
        return;
    }
    if (ask->importer->stopping)
        fail(ask, ERR_STOPPING, VIEW(""));
    else if (is_full)
        fail(ask, ERR_BUSY, VIEW(""));
    else
        ask_hub(ask);
}

static struct flight *make(void *argument)
{
    struct ask *ask = check_malloc(sizeof(*ask));

    *ask = *(struct ask *)argument;
    return &ask->flight;
}

static void ask_init(struct ask *ask, struct importer *importer, struct upstream *upstream,
                     const char *repository, const char *tag)
{
    *ask = (struct ask){.importer = importer,
                        .upstream = upstream,
                        .flight = {.loop = &importer->thread.loop, .start.deliver = on_start}};
    CHECK(view_copy(view_of(repository), ask->repository, sizeof(ask->repository)) &&
          view_copy(view_of(tag), ask->tag, sizeof(ask->tag)));
    flight_key(ask->key, "model", upstream->config->name, repository, tag, NULL);
}

void importer_ask(struct importer *importer, struct upstream *upstream, const char *repository,
                  const char *tag, struct flight_caller *caller)
{
    struct ask ask;

    ask_init(&ask, importer, upstream, repository, tag);
    flight_join(&importer->thread.store->flights, ask.key, caller, make, &ask);
}

void ask_resume(struct importer *importer, struct upstream *upstream,
                const struct import_record *record)
{
    struct ask ask;

    ask_init(&ask, importer, upstream, record->repository, record->tag);
    ask.is_wanted = record->is_wanted;
    ask.is_noted = true;
    flight_join(&importer->thread.store->flights, ask.key, NULL, make, &ask);
}

/* A person wants what a client may be asking already. */
struct wish {
    struct mail mail;
    struct importer *importer;
    unsigned char key[FLIGHT_KEY_SIZE];
};

static void on_wish(struct mail *mail)
{
    struct wish *wish = container_of(mail, struct wish, mail);
    struct list *asks = &wish->importer->asks;

    for (struct list *node = asks->next; node != asks; node = node->next) {
        struct ask *ask = container_of(node, struct ask, node);
        if (ask->is_wanted || ask->is_over || memcmp(ask->key, wish->key, sizeof(ask->key)) != 0)
            continue;
        ask->is_wanted = true;
        note_import(ask, true);
        if (ask->import != NULL)
            import_prove(ask->import);
    }
    free(wish);
}

void importer_want(struct importer *importer, struct upstream *upstream, const char *repository,
                   const char *tag)
{
    struct wish *wish = check_calloc(1, sizeof(*wish));
    struct ask ask;

    ask_init(&ask, importer, upstream, repository, tag);
    ask.is_wanted = true;
    absence_note(&importer->thread.store->absences, ask.key, OK, 0);
    wish->importer = importer;
    wish->mail.deliver = on_wish;
    memcpy(wish->key, ask.key, sizeof(wish->key));
    flight_join(&importer->thread.store->flights, ask.key, NULL, make, &ask);
    loop_post(&importer->thread.loop, &wish->mail); /* behind the start of a new one */
}

void ask_stop(struct ask *ask)
{
    if (ask->get.call == NULL && !uv_is_active((uv_handle_t *)&ask->timer))
        return; /* its import ends it, or the index */
    uv_timer_stop(&ask->timer);
    hub_get_release(&ask->get);
    fail(ask, ERR_STOPPING, VIEW(""));
}
