#include "cache/tag.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "cache/call.h"
#include "cache/source.h"
#include "wire/http.h"
#include "wire/manifest.h"

enum { HEAD_TRIES = 2 };

struct tag_request {
    struct flight flight;
    struct mail committed;
    struct fetcher *fetcher;
    struct fetchers *fetchers;
    struct upstream *upstream;
    char *repository; /* owned, as the tag */
    char *tag;
    unsigned char key[FLIGHT_KEY_SIZE];
    struct flight_answer answer;
    bool has_digest; /* the answer's digest was told by the upstream */
    bool by_get;
    struct buf body; /* of a GET */
    unsigned tries;
};

enum tag_age tag_find(struct store *store, const struct upstream *upstream, const char *repository,
                      const char *tag, struct tag_record *ret_record)
{
    int64_t ttl_ms = (int64_t)store->config->tag_ttl;

    if (!index_get_tag(store->index, upstream->config->name, repository, tag, ret_record))
        return TAG_UNKNOWN;
    int64_t age_ms = (clock_wall_s() - ret_record->checked) * 1000;
    if (age_ms < 0 || age_ms >= ttl_ms) /* a clock that went back says nothing */
        return TAG_DUE;
    return age_ms < ttl_ms / 4 * 3 ? TAG_FRESH : TAG_AGING;
}

/* ---- the end ---- */

static void finish(struct tag_request *request)
{
    flight_finish(&request->fetcher->store->flights, &request->flight, &request->answer);
    request->fetcher->busy--;
    buf_release(&request->body);
    free(request->repository);
    free(request->tag);
    free(request);
}

static void on_committed(struct mail *mail)
{
    finish(container_of(mail, struct tag_request, committed));
}

/* The next request must see the record, or it would ask again: answer when it is committed. */
static void finish_committed(struct tag_request *request)
{
    request->committed.deliver = on_committed;
    index_flush(request->fetcher->store->index, &request->fetcher->loop, &request->committed);
}

static void succeed(struct tag_request *request)
{
    struct index *index = request->fetcher->store->index;
    const struct flight_answer *answer = &request->answer;
    const char *upstream = request->upstream->config->name;
    int64_t now = clock_wall_s();
    struct tag_record record = {
        .digest = answer->digest, .size = answer->size, .checked = now, .confirmed = now};
    struct source source;

    CHECK(view_copy(view_of(answer->media_type), record.media_type, sizeof(record.media_type)));
    source_init(&source, request->upstream, request->repository, true, &answer->digest);
    index_put_tag(index, upstream, request->repository, request->tag, &record);
    source_note_held(&source, index, &answer->digest, answer->size, false);
    finish_committed(request);
}

/* The upstream could not be asked: what was known is good for a while yet. */
static void fall_back(struct tag_request *request, enum err err)
{
    struct store *store = request->fetcher->store;
    struct flight_answer *answer = &request->answer;
    const char *upstream = request->upstream->config->name;
    struct tag_record record;
    int64_t now = clock_wall_s();

    bool known = index_get_tag(store->index, upstream, request->repository, request->tag, &record);
    if (!known || (now - record.confirmed) * 1000 >= (int64_t)store->config->stale) {
        answer->err = err;
        finish(request);
        return;
    }
    log_message(CONFIG_LOG_WARN, "stale", "%s/%s:%s is answered from the cache: %s", upstream,
                request->repository, request->tag, err_sentence(err));
    record.checked = now;
    index_put_tag(store->index, upstream, request->repository, request->tag, &record);
    answer->err = OK;
    answer->stale = true;
    answer->digest = record.digest;
    answer->size = record.size;
    (void)view_copy(view_of(record.media_type), answer->media_type, sizeof(answer->media_type));
    finish_committed(request);
}

static void fail(struct tag_request *request, struct call *call, enum err err)
{
    struct store *store = request->fetcher->store;

    request->answer.retry_after = call_retry_after(call);
    if (err != ERR_NAME_UNKNOWN) {
        if (err == ERR_UPSTREAM_REFUSED)
            absence_note(&store->absences, request->key, err, store->config->negative_ttl);
        fall_back(request, err);
        return;
    }
    index_delete_tag(store->index, request->upstream->config->name, request->repository,
                     request->tag);
    request->answer.err = ERR_MANIFEST_UNKNOWN;
    absence_note(&store->absences, request->key, ERR_MANIFEST_UNKNOWN, store->config->negative_ttl);
    finish_committed(request);
}

/* ---- asking ---- */

static void ask(struct tag_request *request);

static enum err on_head(struct call *call, int status)
{
    struct tag_request *request = call_owner(call);
    struct flight_answer *answer = &request->answer;

    (void)status;
    answer->size = BLOB_SIZE_UNKNOWN;
    (void)view_to_uint64(call_field(call, "Content-Length"), &answer->size);
    request->has_digest =
        digest_parse(call_field(call, "Docker-Content-Digest"), &answer->digest) &&
        http_media_type(call_field(call, "Content-Type"), answer->media_type,
                        sizeof(answer->media_type)) &&
        answer->size > 0;
    return OK;
}

static enum err on_body(struct call *call, const void *data, size_t length)
{
    struct tag_request *request = call_owner(call);

    if (request->body.length + length > request->fetcher->store->config->max_manifest)
        return ERR_UPSTREAM_TOO_LARGE;
    buf_append(&request->body, data, length);
    return OK;
}

/* A whole manifest that came by its tag: what it is called is computed, and it is kept. */
static void take_body(struct tag_request *request)
{
    struct flight_answer *answer = &request->answer;
    struct source source;
    struct manifest manifest;

    manifest_parse(view_of_buf(&request->body), &manifest);
    bool is_manifest = manifest.kind != MANIFEST_UNKNOWN;
    manifest_release(&manifest);
    if (!is_manifest) { /* a web server that answers everything, for example */
        fall_back(request, ERR_UPSTREAM_NONSENSE);
        return;
    }
    digest_of(DIGEST_SHA256, request->body.data, request->body.length, &answer->digest);
    answer->size = request->body.length;
    source_init(&source, request->upstream, request->repository, true, &answer->digest);
    struct blob *blob = fetcher_blob(request->fetchers, &answer->digest);
    fetcher_give(request->fetchers, blob, &source, request->body.data, request->body.length,
                 answer->media_type);
    blob_unref(blob);
    succeed(request);
}

static void on_end(struct call *call, enum err err)
{
    struct tag_request *request = call_owner(call);
    bool head_unsupported = call_status(call) == 405 || call_status(call) == 501;

    if (err == ERR_UPSTREAM_BROKEN && ++request->tries < HEAD_TRIES)
        ask(request);
    else if (!request->by_get && (err == OK ? !request->has_digest : head_unsupported)) {
        request->by_get = true;
        ask(request);
    } else if (err != OK)
        fail(request, call, err);
    else if (request->by_get)
        take_body(request);
    else
        succeed(request);
}

static void ask(struct tag_request *request)
{
    static const struct call_events events = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    char path[REFERENCE_TAG_SIZE + 16];

    buf_clear(&request->body);
    (void)snprintf(path, sizeof(path), "manifests/%s", request->tag);
    call_start(&request->fetcher->calls,
               &(struct call_request){
                   .upstream = request->upstream,
                   .method = request->by_get ? TRANSFER_GET : TRANSFER_HEAD,
                   .repository = request->repository,
                   .path = path,
                   .wants_manifest = true,
               },
               &events, request);
}

static void on_start(struct mail *mail)
{
    struct tag_request *request = container_of(mail, struct tag_request, flight.start);
    struct store *store = request->fetcher->store;

    request->fetcher->busy++;
    enum err err = absence_find(&store->absences, request->key);
    if (err == ERR_MANIFEST_UNKNOWN) {
        request->answer.err = err;
        finish(request);
        return;
    }
    if (err == OK)
        err = upstream_is_resting(request->upstream, &request->answer.retry_after);
    if (err == OK && request->fetcher->busy > store->config->max_fills)
        err = ERR_BUSY;
    if (err != OK)
        fall_back(request, err);
    else
        ask(request);
}

static struct flight *make(void *argument)
{
    struct tag_request *request = check_malloc(sizeof(*request));

    *request = *(struct tag_request *)argument;
    request->repository = check_strdup(request->repository);
    request->tag = check_strdup(request->tag);
    return &request->flight;
}

void tag_check(struct fetchers *fetchers, struct upstream *upstream, const char *repository,
               const char *tag, struct flight_caller *caller)
{
    struct tag_request request = {
        .fetchers = fetchers,
        .upstream = upstream,
        .repository = (char *)repository,
        .tag = (char *)tag,
    };

    flight_key(request.key, "tag", upstream->config->name, repository, tag, NULL);
    request.fetcher = fetcher_of_key(fetchers, request.key);
    request.flight.loop = &request.fetcher->loop;
    request.flight.start.deliver = on_start;
    flight_join(&fetchers->store->flights, request.key, caller, make, &request);
}
