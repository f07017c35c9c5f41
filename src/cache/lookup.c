#include "cache/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/learn.h"
#include "io/disk.h"
#include "wire/http.h"
#include "wire/range.h"

enum { LIST_MAX = 2 << 20 };

static void finish(struct fetcher *fetcher, struct flight *flight,
                   const struct flight_answer *answer)
{
    flight_finish(&fetcher->store->flights, flight, answer);
    fetcher->busy--;
}

/* ---- who asks upstreams has this in common ---- */

/* OK, or why the upstream is not asked now. */
static enum err may_ask(const struct fetcher *fetcher, struct upstream *upstream,
                        struct flight_answer *answer)
{
    answer->err = upstream_is_resting(upstream, &answer->retry_after);
    if (answer->err == OK && fetcher->busy > fetcher->store->config->max_fills)
        answer->err = ERR_BUSY;
    return answer->err;
}

/* ---- does it hold the digest? ---- */

struct holding {
    struct flight flight;
    struct fetcher *fetcher;
    struct source source;
    struct digest digest;
    struct flight_answer answer;
};

static void holding_done(struct holding *holding)
{
    finish(holding->fetcher, &holding->flight, &holding->answer);
    free(holding);
}

static enum err on_holding_head(struct call *call, int status)
{
    struct holding *holding = call_owner(call);
    struct extent range;

    holding->answer.size = BLOB_SIZE_UNKNOWN;
    if (status == 206)
        (void)range_parse_content_range(call_field(call, "Content-Range"), &range,
                                        &holding->answer.size);
    else
        (void)view_to_uint64(call_field(call, "Content-Length"), &holding->answer.size);
    (void)http_media_type(call_field(call, "Content-Type"), holding->answer.media_type,
                          sizeof(holding->answer.media_type));
    return OK;
}

/* A blob's first byte, or the whole of one whose upstream ignores ranges: the head has told enough.
 */
static enum err on_holding_body(struct call *call, const void *data, size_t length)
{
    (void)call;
    (void)data;
    return length > 1 ? ERR_STOPPING : OK;
}

static void on_holding_end(struct call *call, enum err err)
{
    struct holding *holding = call_owner(call);
    const struct source *source = &holding->source;
    bool held = err == OK || (err == ERR_STOPPING && call_status(call) == 200);

    if (call_status(call) == 416) { /* there is no first byte: it is empty */
        held = true;
        holding->answer.size = 0;
    }
    holding->answer.err = held ? OK : source_err(source, err);
    holding->answer.retry_after = call_retry_after(call);
    if (held)
        source_note_held(source, holding->fetcher->store->index, &holding->digest,
                         holding->answer.size, false);
    else
        source_note_err(source, holding->fetcher->store, holding->answer.err, call_sentence(call));
    holding_done(holding);
}

static void on_holding_start(struct mail *mail)
{
    static const struct call_events events = {
        .on_head = on_holding_head, .on_body = on_holding_body, .on_end = on_holding_end};
    struct holding *holding = container_of(mail, struct holding, flight.start);
    const struct source *source = &holding->source;
    char text[DIGEST_TEXT_SIZE], path[DIGEST_TEXT_SIZE + 16];

    holding->fetcher->busy++;
    if (may_ask(holding->fetcher, source->upstream, &holding->answer) != OK) {
        holding_done(holding);
        return;
    }
    if (!source->is_manifest) {
        source_call(source, &holding->fetcher->calls, &holding->digest, (struct extent){0, 1}, true,
                    NULL, &events, holding);
        return;
    }
    (void)snprintf(path, sizeof(path), "manifests/%s", digest_print(&holding->digest, text));
    call_start(&holding->fetcher->calls,
               &(struct call_request){.upstream = source->upstream,
                                      .method = TRANSFER_HEAD,
                                      .repository = source->repository,
                                      .path = path,
                                      .wants_manifest = true},
               &events, holding);
}

static struct flight *make_holding(void *argument)
{
    struct holding *holding = check_malloc(sizeof(*holding));

    *holding = *(struct holding *)argument;
    return &holding->flight;
}

void lookup_holding(struct fetchers *fetchers, const struct source *source,
                    const struct digest *digest, struct flight_caller *caller)
{
    struct fetcher *fetcher = fetcher_of_key(fetchers, source->key);
    struct holding holding = {
        .flight = {.loop = &fetcher->loop, .start.deliver = on_holding_start},
        .fetcher = fetcher,
        .source = *source,
        .digest = *digest,
    };

    flight_join(&fetchers->store->flights, source->key, caller, make_holding, &holding);
}

/* ---- lists ---- */

struct listing {
    struct flight flight;
    struct fetcher *fetcher;
    struct upstream *upstream;
    char *repository; /* owned, as the other texts */
    char *path;
    char *query;
    struct flight_answer answer;
};

static void listing_done(struct listing *listing)
{
    finish(listing->fetcher, &listing->flight, &listing->answer);
    bytes_unref(listing->answer.bytes);
    free(listing->repository);
    free(listing->path);
    free(listing->query);
    free(listing);
}

static enum err on_listing_head(struct call *call, int status)
{
    struct listing *listing = call_owner(call);
    struct bytes *bytes = listing->answer.bytes;
    struct view next;

    (void)status;
    if (!http_media_type(call_field(call, "Content-Type"), bytes->media_type,
                         sizeof(bytes->media_type)))
        (void)view_copy(VIEW("application/json"), bytes->media_type, sizeof(bytes->media_type));
    if (http_link_next(call_field(call, "Link"), &next))
        (void)view_copy(next, bytes->link, sizeof(bytes->link));
    (void)view_copy(call_field(call, "OCI-Filters-Applied"), bytes->filters,
                    sizeof(bytes->filters));
    return OK;
}

static enum err on_listing_body(struct call *call, const void *data, size_t length)
{
    struct listing *listing = call_owner(call);

    if (listing->answer.bytes->data.length + length > LIST_MAX)
        return ERR_UPSTREAM_TOO_LARGE;
    buf_append(&listing->answer.bytes->data, data, length);
    return OK;
}

static void on_listing_end(struct call *call, enum err err)
{
    struct listing *listing = call_owner(call);

    listing->answer.err = err;
    listing->answer.retry_after = call_retry_after(call);
    listing_done(listing);
}

static void on_listing_start(struct mail *mail)
{
    static const struct call_events events = {
        .on_head = on_listing_head, .on_body = on_listing_body, .on_end = on_listing_end};
    struct listing *listing = container_of(mail, struct listing, flight.start);

    listing->fetcher->busy++;
    listing->answer.bytes = bytes_new();
    if (may_ask(listing->fetcher, listing->upstream, &listing->answer) != OK) {
        listing_done(listing);
        return;
    }
    call_start(&listing->fetcher->calls,
               &(struct call_request){.upstream = listing->upstream,
                                      .method = TRANSFER_GET,
                                      .repository = listing->repository,
                                      .path = listing->path,
                                      .query = listing->query},
               &events, listing);
}

static struct flight *make_listing(void *argument)
{
    struct listing *listing = check_malloc(sizeof(*listing));

    *listing = *(struct listing *)argument;
    listing->repository = check_strdup(listing->repository);
    listing->path = check_strdup(listing->path);
    listing->query = check_strdup(listing->query);
    return &listing->flight;
}

void lookup_list(struct fetchers *fetchers, struct upstream *upstream, const char *repository,
                 const char *path, const char *query, struct flight_caller *caller)
{
    unsigned char key[FLIGHT_KEY_SIZE];

    flight_key(key, "list", upstream->config->name, repository, path, query, NULL);
    struct fetcher *fetcher = fetcher_of_key(fetchers, key);
    struct listing listing = {
        .flight = {.loop = &fetcher->loop, .start.deliver = on_listing_start},
        .fetcher = fetcher,
        .upstream = upstream,
        .repository = (char *)repository,
        .path = (char *)path,
        .query = (char *)query,
    };
    flight_join(&fetchers->store->flights, key, caller, make_listing, &listing);
}

/* ---- what does it point at? ---- */

struct reading {
    struct flight flight;
    struct fetcher *fetcher;
    struct blob *blob; /* counted */
    struct source source;
};

static void on_learned(void *owner, const struct learned *learned)
{
    struct reading *reading = owner;
    struct flight_answer answer = {.err = learned->err};

    finish(reading->fetcher, &reading->flight, &answer);
    blob_unref(reading->blob);
    free(reading);
}

static void on_reading_start(struct mail *mail)
{
    struct reading *reading = container_of(mail, struct reading, flight.start);

    reading->fetcher->busy++;
    learn_start(reading->fetcher->store, &reading->fetcher->loop, reading->blob, &reading->source,
                on_learned, reading);
}

static struct flight *make_reading(void *argument)
{
    struct reading *reading = check_malloc(sizeof(*reading));

    *reading = *(struct reading *)argument;
    blob_ref(reading->blob);
    return &reading->flight;
}

void lookup_contents(struct fetchers *fetchers, const struct source *source, struct blob *blob,
                     struct flight_caller *caller)
{
    unsigned char key[FLIGHT_KEY_SIZE];
    char text[DIGEST_TEXT_SIZE];

    flight_key(key, "contents", source->upstream->config->name, source->repository,
               digest_print(&blob->digest, text), NULL);
    struct fetcher *fetcher = fetcher_of_key(fetchers, key);
    struct reading reading = {
        .flight = {.loop = &fetcher->loop, .start.deliver = on_reading_start},
        .fetcher = fetcher,
        .blob = blob,
        .source = *source,
    };
    flight_join(&fetchers->store->flights, key, caller, make_reading, &reading);
}

/* ---- is all of it cached? ---- */

struct wholeness {
    struct flight flight;
    struct disk_job job;
    struct fetcher *fetcher;
    struct blob *blob; /* counted */
    uint64_t epoch;
    bool whole;
};

static void work_wholeness(struct disk_job *job)
{
    struct wholeness *wholeness = container_of(job, struct wholeness, job);
    struct store *store = wholeness->fetcher->store;

    wholeness->epoch = store->blobs.eviction_epoch; /* before looking: an eviction undoes it */
    wholeness->whole = learn_is_whole(store, wholeness->blob);
}

static void done_wholeness(struct disk_job *job)
{
    struct wholeness *wholeness = container_of(job, struct wholeness, job);
    struct flight_answer answer = {.err = wholeness->whole ? OK : ERR_INCOMPLETE};

    if (wholeness->whole)
        wholeness->blob->whole_epoch = wholeness->epoch;
    finish(wholeness->fetcher, &wholeness->flight, &answer);
    blob_unref(wholeness->blob);
    free(wholeness);
}

static void on_wholeness_start(struct mail *mail)
{
    struct wholeness *wholeness = container_of(mail, struct wholeness, flight.start);

    wholeness->fetcher->busy++;
    wholeness->job.work = work_wholeness;
    wholeness->job.done = done_wholeness;
    disk_run(&wholeness->job, &wholeness->fetcher->loop);
}

static struct flight *make_wholeness(void *argument)
{
    struct wholeness *wholeness = check_malloc(sizeof(*wholeness));

    *wholeness = *(struct wholeness *)argument;
    blob_ref(wholeness->blob);
    return &wholeness->flight;
}

void lookup_whole(struct fetchers *fetchers, struct blob *blob, struct flight_caller *caller)
{
    unsigned char key[FLIGHT_KEY_SIZE];
    char text[DIGEST_TEXT_SIZE];

    flight_key(key, "whole", digest_print(&blob->digest, text), NULL);
    struct fetcher *fetcher = fetcher_of_key(fetchers, key);
    struct wholeness wholeness = {
        .flight = {.loop = &fetcher->loop, .start.deliver = on_wholeness_start},
        .fetcher = fetcher,
        .blob = blob,
    };
    flight_join(&fetchers->store->flights, key, caller, make_wholeness, &wholeness);
}
