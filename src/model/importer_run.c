/*
 * The importer as a whole: its thread, what it takes up again at a start and lets go at a stop, and
 * what it tells of itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "model/ask.h"
#include "model/listing.h"

enum { STOP_TICK_MS = 10 };

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

/* Whether no other ask of the same tag has come to wait for its import before: one that was
 * answered with what was there has one more behind it each tag_ttl. */
static bool is_first(const struct ask *ask)
{
    if (ask->import == NULL || ask->is_over)
        return true;
    const struct list *node = import_asks(ask->import)->next;
    for (; node != &ask->waiting; node = node->next)
        if (strcmp(container_of(node, struct ask, waiting)->report.image, ask->report.image) == 0)
            return false;
    return true;
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
        struct ask *ask = container_of(node, struct ask, node);
        if (!is_first(ask))
            continue; /* and its files, which may be many, are not counted once more */
        ask_tell(ask, &report);
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
    return resuming->count < IMPORTER_ASKS_MAX;
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
            ask_resume(importer, &importer->thread.store->upstreams.list[upstream], record);
    }
    free(resuming.list);
}

static void stop_asks(struct importer *importer)
{
    for (struct list *node = importer->asks.next, *next; node != &importer->asks; node = next) {
        next = node->next;
        ask_stop(container_of(node, struct ask, node));
    }
}

static void on_stop_tick(uv_timer_t *timer)
{
    struct importer *importer = container_of(timer, struct importer, stop_timer);

    stop_asks(importer);
    listings_stop(importer);
    for (struct list *node = importer->thread.imports.next, *next;
         node != &importer->thread.imports; node = next) {
        next = node->next;
        import_stop(import_of_node(node));
    }
    if (!list_is_empty(&importer->asks) || !list_is_empty(&importer->listings) ||
        !list_is_empty(&importer->thread.imports) || importer->thread.flushing > 0)
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
                    struct layers *layers, struct catalogs *catalogs)
{
    *importer =
        (struct importer){.thread = {.store = store, .fetchers = fetchers, .layers = layers},
                          .catalogs = catalogs,
                          .stop.deliver = on_stop,
                          .close.deliver = on_close};
    loop_init(&importer->thread.loop, "import", false);
    importer->thread.calls.loop = &importer->thread.loop;
    importer->thread.calls.store = store;
    transfers_init(&importer->thread.calls.transfers, &importer->thread.loop, store->config);
    calls_init(&importer->thread.calls);
    list_init(&importer->asks);
    list_init(&importer->listings);
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
}

void importer_release(struct importer *importer)
{
    transfers_release(&importer->thread.calls.transfers);
    calls_release(&importer->thread.calls);
    loop_release(&importer->thread.loop);
}
