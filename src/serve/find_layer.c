#include "serve/find_layer.h"

#include "base/stats.h"
#include "model/importer.h"

enum { TRIES_MAX = 3 }; /* how often to begin again */

/* With what the hub says of it. */
static void fail(struct request *request, enum err err)
{
    struct flight_answer *answer = &request->caller.answer;

    bytes_unref(answer->bytes);
    *answer = (struct flight_answer){
        .err = err, .retry_after = request->layer.retry_after_s, .bytes = bytes_new()};
    absence_words(&request->services->store->absences, request->layer.blamed, err,
                  &answer->bytes->data);
    request_fail(request, err);
}

/* Looks whether the answer can begin. */
static void look(struct request *request)
{
    struct layer_view *view = &request->layer;
    struct extent first = selection_first(&request->selection, request->size);
    bool ready;

    enum err err = layer_view_begin(view, first.start, first.end, &request->waiter, &ready);
    if (err != OK && request->renewals++ < TRIES_MAX && layer_view_renew(view)) {
        look(request);
        return;
    }
    if (err != OK) {
        fail(request, err);
        return;
    }
    if (!ready)
        return;
    request->exchange.outcome = view->waits   ? STATS_MISS
                                : view->joins ? STATS_COLLAPSED
                                              : STATS_HIT;
    request_answer_blob(request, request->size);
}

static void on_wake(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, waiter.mail);
    LOOP_CALLBACK(request->waiter.loop);

    look(request);
}

static void answer_head(struct request *request)
{
    request->exchange.outcome = STATS_HIT;
    request_answer_head(request);
}

/* False: the layer is not open. */
static bool begin(struct request *request)
{
    const struct services *services = request->services;
    bool is_head = request->exchange.method == HTTP_METHOD_HEAD;
    uint64_t offset;
    size_t count;

    if (is_head && request->size != BLOB_SIZE_UNKNOWN) { /* which is all there is to know */
        answer_head(request);
        return true;
    }
    struct layer *layer = layers_find(services->layers, &request->route.digest);
    if (layer == NULL)
        return false;
    request->size = layer->record.size;
    if (is_head || request_refuse_range(request, request->size)) {
        layers_unref(services->layers, layer);
        if (is_head)
            answer_head(request);
        return true;
    }
    layer_view_init(&request->layer, services->layers, layer, services->fetchers,
                    request->source.upstream);
    if (!selection_is_rest(&request->selection, request->size, &offset)) {
        struct extent *ranges = selection_extents(&request->selection, request->size, &count);
        layer_view_select(&request->layer, &ranges, count);
    }
    request->waiter.mail.deliver = on_wake;
    look(request);
    return true;
}

static void open_layer(struct request *request);

static void on_mended(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    LOOP_CALLBACK(request->caller.loop);

    request_fail(request, request->caller.answer.err);
}

static void on_opened(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    LOOP_CALLBACK(request->caller.loop);
    enum err err = request->caller.answer.err;

    if (err == ERR_LAYER_INCOMPLETE || err == ERR_DAMAGED || err == ERR_BLOB_UNKNOWN) {
        request->caller.mail.deliver = on_mended;
        importer_mend(request->services->importer, &request->route.digest, err, &request->caller);
    } else if (err != OK) {
        request_fail(request, err);
    } else if (!begin(request)) {
        open_layer(request); /* others have pushed it out already */
    }
}

static void open_layer(struct request *request)
{
    const struct services *services = request->services;

    if (request->renewals++ >= TRIES_MAX) {
        request_fail(request, ERR_BUSY);
        return;
    }
    request->caller.mail.deliver = on_opened;
    layers_open(services->layers, services->fetchers, &request->route.digest, &request->caller);
}

void find_layer(struct request *request)
{
    if (!request->known) {
        request_fail(request, ERR_BLOB_UNKNOWN);
        return;
    }
    if (!begin(request))
        open_layer(request);
}
