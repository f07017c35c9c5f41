#include "serve/find_model.h"

#include <string.h>

#include "cache/tag.h"
#include "model/importer.h"
#include "model/record.h"
#include "serve/find.h"
#include "wire/hub_name.h"

enum { FOR_EVER_MS = 24 * 60 * 60 * 1000 };

static void on_imported(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    const struct flight_answer *answer = &request->caller.answer;
    LOOP_CALLBACK(request->caller.loop);

    if (answer->err != OK) {
        request_fail(request, answer->err);
        return;
    }
    request->stale = answer->stale;
    request->checked = !answer->stale;
    find_by_tag(request, &answer->digest, answer->size, answer->media_type);
}

void find_model_tag(struct request *request)
{
    const struct services *services = request->services;
    struct upstream *upstream = &services->store->upstreams.list[request->route.upstream];
    const char *repository = request->route.repository, *tag = request->route.tag;
    struct tag_record record;

    enum tag_age age = tag_find(services->store, upstream, repository, tag, &record);
    if (age != TAG_UNKNOWN && hub_is_commit(view_of(tag)))
        age = TAG_FRESH; /* it never moves */
    if (age == TAG_AGING)
        importer_ask(services->importer, upstream, repository, tag, NULL);
    if (age == TAG_FRESH || age == TAG_AGING) {
        request->stale = record.checked != record.confirmed;
        find_by_tag(request, &record.digest, record.size, record.media_type);
        return;
    }
    request->overdue = ERR_IMPORTING;
    conn_await(request->exchange.conn,
               request->is_patient ? FOR_EVER_MS : services->config->import_hold);
    request->caller.mail.deliver = on_imported;
    importer_ask(services->importer, upstream, repository, tag, &request->caller);
}

bool find_model_document(struct request *request)
{
    const struct services *services = request->services;
    const struct digest *digest = &request->route.digest;
    struct document_record record;
    struct buf value = {0};

    bool found = digest->algorithm == DIGEST_SHA256 &&
                 index_get_note(services->store->index, INDEX_NOTE_DOCUMENT, digest->bytes, &value) &&
                 document_record_decode(view_of_buf(&value), &record);
    if (found)
        fetcher_give(services->fetchers, request->blob, &request->source, record.bytes.data,
                     record.bytes.length,
                     request->route.kind == ROUTE_MANIFEST ? record.media_type : "");
    buf_release(&value);
    return found;
}
