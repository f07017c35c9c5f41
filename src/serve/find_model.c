#include "serve/find_model.h"

#include "model/importer.h"
#include "model/record.h"

enum {
    FOR_EVER_MS = 24 * 60 * 60 * 1000,
    MIRROR_MS = 10000, /* less than another Entrepot's header_timeout */
};

/* For how long its client is held while a model is imported. */
static uint64_t hold_of(const struct request *request)
{
    uint64_t hold = request->services->config->import_hold;

    if (request->is_patient)
        return FOR_EVER_MS;
    return request->is_mirror && hold > MIRROR_MS ? MIRROR_MS : hold;
}

void find_model_check(struct request *request, struct upstream *upstream,
                      struct flight_caller *caller)
{
    const struct services *services = request->services;

    if (caller != NULL) {
        request->overdue = ERR_IMPORTING;
        conn_await(request->exchange.conn, hold_of(request));
    }
    importer_ask(services->importer, upstream, request->route.repository, request->route.tag,
                 caller);
}

/* The document of that digest; its bytes lie in `value`, which the caller releases. */
static bool get(const struct request *request, struct buf *value,
                struct document_record *ret_record)
{
    const struct digest *digest = &request->route.digest;

    return digest->algorithm == DIGEST_SHA256 &&
           index_get_note(request->services->store->index, INDEX_NOTE_DOCUMENT, digest->bytes,
                          value) &&
           document_record_decode(view_of_buf(value), ret_record);
}

bool find_model_is_document(const struct request *request)
{
    struct document_record record;
    struct buf value = {0};

    bool is_document = get(request, &value, &record);
    buf_release(&value);
    return is_document;
}

bool find_model_document(struct request *request)
{
    const struct services *services = request->services;
    struct document_record record;
    struct buf value = {0};

    bool found = get(request, &value, &record);
    if (found)
        fetcher_give(services->fetchers, request->blob, &request->source, record.bytes.data,
                     record.bytes.length,
                     request->route.kind == ROUTE_MANIFEST ? record.media_type : "");
    buf_release(&value);
    return found;
}
