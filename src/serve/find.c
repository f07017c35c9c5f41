/*
 * find() runs again each time something that a request waited for has come, until it answers.
 */
#include "serve/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "cache/lookup.h"
#include "cache/tag.h"
#include "serve/find_layer.h"
#include "serve/find_model.h"
#include "wire/hub.h"

enum {
    SMALL_BLOB = 16384,     /* nothing of it could be sent before it is verified: wait for that */
    WELL_WITHIN_MS = 10000, /* an upstream that answered so lately is there */
    RENEWALS_MAX = 3,       /* how often to begin again after another repository's refusal */
};

static void find(struct request *request);

/* ---- does this repository hold it? ---- */

static void on_confirmed(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    const struct flight_answer *answer = &request->caller.answer;
    LOOP_CALLBACK(request->caller.loop);
    bool was_known = request->known;

    request->checked = true;
    if (answer->err != OK) {
        /* A known manifest was about to be served: what it points at is not all here (M7). */
        bool refused = source_is_refusal(answer->err) || !was_known;
        request_fail(request, refused ? answer->err : ERR_INCOMPLETE);
        return;
    }
    request->known = true;
    if (request->size == BLOB_SIZE_UNKNOWN)
        request->size = answer->size;
    if (request->media_type[0] == '\0') /* it came here as a blob, which has none */
        (void)view_copy(view_of(answer->media_type), request->media_type,
                        sizeof(request->media_type));
    if (request->blob == NULL) {
        request->exchange.outcome = STATS_MISS;
        if (request->size == BLOB_SIZE_UNKNOWN)
            request_fail(request, ERR_UPSTREAM_NONSENSE);
        else
            request_answer_head(request);
        return;
    }
    find(request);
}

/* Asks the upstream, once for all who want to know. */
static void confirm(struct request *request)
{
    const struct services *services = request->services;

    if (request->blob != NULL)
        blob_unpark(request->blob, &request->waiter);
    if (request->source.upstream->config->is_hub) { /* nothing is there but what was made here */
        request_fail(request, source_err(&request->source, ERR_NAME_UNKNOWN));
        return;
    }
    enum err err = absence_find(&services->store->absences, request->source.key);
    if (err != OK) {
        request_fail(request, err);
        return;
    }
    request->caller.mail.deliver = on_confirmed;
    lookup_holding(services->fetchers, &request->source, &request->route.digest, &request->caller);
}

/* ---- is all of a manifest here? (M7) ---- */

static void on_wholeness(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    LOOP_CALLBACK(request->caller.loop);

    if (request->caller.answer.err == OK) {
        request_answer_blob(request, request->blob->size);
    } else { /* its upstream may be there again by now */
        request->known = true;
        confirm(request);
    }
}

/* A manifest is served when all it points at is cached, or its upstream is there to bring the rest:
 * podman chooses its mirror by the manifest, and then needs every blob from it. */
static void serve_manifest(struct request *request)
{
    const struct services *services = request->services;
    uint64_t recently = services->config->tag_ttl;

    if (recently < WELL_WITHIN_MS)
        recently = WELL_WITHIN_MS;
    bool whole = request->blob->whole_epoch == services->store->blobs.eviction_epoch ||
                 request->source.upstream->config->is_hub; /* it was made whole, here */
    if (whole || request->checked ||
        (!request->stale && upstream_well_within(request->source.upstream, recently))) {
        request_answer_blob(request, request->blob->size);
        return;
    }
    request->caller.mail.deliver = on_wholeness;
    lookup_whole(services->fetchers, request->blob, &request->caller);
}

/* ---- finding ---- */

/* Nothing of it is sent before all of it is verified (M3). */
static bool is_held_whole(const struct request *request, uint64_t size)
{
    return request->route.kind == ROUTE_MANIFEST ||
           (size != BLOB_SIZE_UNKNOWN && size <= SMALL_BLOB);
}

/* Where in the blob we wait; and how far it will be read from there. */
static uint64_t offset_of(struct request *request, uint64_t size)
{
    struct extent first = selection_first(&request->selection, size);

    request->waiter.until = first.end;
    if (size == BLOB_SIZE_UNKNOWN && selection_needs_size(&request->selection))
        return BLOB_OFFSET_END; /* it will be told */
    return is_held_whole(request, size) ? BLOB_OFFSET_END : first.start;
}

/* Says what is wanted of the blob, until the request is over: closed ranges, or for good the rest.
 */
static void demand(struct request *request)
{
    uint64_t offset;
    size_t count;

    bool sizeless = request->size == BLOB_SIZE_UNKNOWN && selection_needs_size(&request->selection);
    if (is_held_whole(request, request->size) || sizeless) {
        blob_demand_rest(request->blob, 0);
    } else if (selection_is_rest(&request->selection, request->size, &offset)) {
        blob_demand_rest(request->blob, offset);
    } else {
        free(request->wanted);
        request->wanted = selection_extents(&request->selection, request->size, &count);
        request->demand = (struct demand){.ranges = request->wanted, .count = count};
        blob_demand(request->blob, &request->demand);
    }
}

/* Has what is wanted of the blob brought, or made. False: it is not a hub's to be made. */
static bool have_filled(struct request *request)
{
    if (request->source.upstream->config->is_hub)
        return find_model_document(request);
    fetcher_want(request->services->fetchers, request->blob, &request->source);
    return true;
}

/* The size is another one than it was when we said what is wanted: that may be more now, all of a
 * small blob or another suffix. */
static void demand_again(struct request *request)
{
    if (selection_is_outside(&request->selection, request->size))
        return;
    blob_withdraw(request->blob, &request->demand);
    demand(request);
    (void)have_filled(request);
}

/* Whether all that was asked for is here, of a blob that is not verified and perhaps never will be:
 * then nobody needs to be asked for anything. */
static bool is_all_here(const struct request *request, const struct blob_view *view)
{
    uint64_t offset;
    size_t count;

    if (request->size == BLOB_SIZE_UNKNOWN || is_held_whole(request, request->size))
        return false;
    if (selection_is_outside(&request->selection, request->size))
        return !request->known; /* nothing is missing but the word of its upstream */
    if (selection_is_rest(&request->selection, request->size, &offset) && view->whole)
        return false; /* it will be verified */
    struct extent *extents = selection_extents(&request->selection, request->size, &count);
    bool here = count > 0 && blob_has(request->blob, extents, count);
    free(extents);
    return here;
}

/* Whether the disk takes new bytes, as far as is known. */
static enum err ask_disk(const struct request *request)
{
    return disk_rest_ask(&request->services->store->disk_rest, clock_monotonic_us() / 1000);
}

static void join(struct request *request)
{
    request->wanted_fill = true;
    request->exchange.outcome = STATS_COLLAPSED;
    request->source.size = request->size;
    stats_add(STAT_READERS_COALESCED, AT_ALL, 1);
    demand(request);
    (void)have_filled(request);
}

/* Nobody fills it: have it filled. */
static void want(struct request *request)
{
    const struct services *services = request->services;
    uint64_t *retry_after = &request->caller.answer.retry_after;

    bool is_hub = request->source.upstream->config->is_hub;
    enum err err = absence_find(&services->store->absences, request->source.key);
    if (err == OK && !is_hub)
        err = upstream_is_resting(request->source.upstream, retry_after);
    if (err == OK)
        err = ask_disk(request);
    if (err != OK) {
        request_fail(request, err);
        return;
    }
    if (!blob_want(request->blob)) { /* somebody was quicker */
        join(request);
        return;
    }
    request->wanted_fill = true;
    request->exchange.outcome = STATS_MISS;
    request->source.size = request->size;
    demand(request);
    if (!have_filled(request))
        request_fail(request, source_err(&request->source, ERR_NAME_UNKNOWN));
}

/* Waits for the blob's end, or for its source to answer. False: the end has come already. */
static bool wait_for_end(struct request *request)
{
    struct blob_view view = blob_look(request->blob, BLOB_OFFSET_END, &request->waiter);

    return view.state != BLOB_COMPLETE && view.state != BLOB_FAILED;
}

/* Our own repository's answer began it, or goes on: the index may not have heard of that yet. */
static bool is_held_by_ours(const struct request *request, const unsigned char *held_by)
{
    return memcmp(held_by, request->source.key, FLIGHT_KEY_SIZE) == 0;
}

/* Nobody fills it. */
static void find_partial(struct request *request, const struct blob_view *view)
{
    request->known |= is_held_by_ours(request, view->held_by);
    if (is_all_here(request, view)) {
        if (request->exchange.outcome == STATS_NONE)
            request->exchange.outcome = STATS_HIT;
        if (request->known)
            request_answer_blob(request, request->size);
        else
            confirm(request);
        return;
    }
    if (request->wanted_fill && view->state == BLOB_PARTIAL) { /* it ended without what we want */
        blob_withdraw(request->blob, &request->demand);
        request->wanted_fill = false;
    }
    if (view->readable > 0) /* an answer begins when it is clear that it can be brought to an end */
        (void)blob_look(request->blob, BLOB_OFFSET_END, &request->waiter);
    if (!request->wanted_fill)
        want(request);
}

/* A range that cannot be answered is refused before anything is fetched for it. */
static bool refuse_range(struct request *request)
{
    if (request->known && selection_is_outside(&request->selection, request->size))
        request_fail(request, ERR_RANGE_UNSATISFIABLE);
    else if (selection_is_excessive(&request->selection, request->size))
        request_fail(request, ERR_TOO_MANY_RANGES);
    else
        return false;
    return true;
}

/* A fill runs. It may be somebody else's, from a repository that says nothing about ours. */
static void find_filling(struct request *request, const struct blob_view *view)
{
    request->known |= is_held_by_ours(request, view->held_by);
    if (request->size != BLOB_SIZE_UNKNOWN && refuse_range(request))
        return;
    bool here = is_all_here(request, view);
    if (!request->known && (view->answered || here)) {
        confirm(request);
        return;
    }
    if (here) {
        if (request->exchange.outcome == STATS_NONE)
            request->exchange.outcome = STATS_HIT;
        request_answer_blob(request, request->size);
        return;
    }
    if (!request->wanted_fill) {
        enum err err = ask_disk(request);
        if (err != OK) {
            request_fail(request, err);
            return;
        }
        join(request);
    }
    if (view->readable > 0 && view->size != BLOB_SIZE_UNKNOWN && request->known && view->answered) {
        request_answer_blob(request, view->size);
    } else if (view->readable > 0 && !wait_for_end(request)) { /* there was no length to tell */
        find(request);
    }
}

static void find_failed(struct request *request, const struct blob_view *view)
{
    static const unsigned char nobody[FLIGHT_KEY_SIZE];
    struct absences *absences = &request->services->store->absences;
    enum err mine = absence_find(absences, request->source.key);
    bool others = memcmp(view->held_by, nobody, sizeof(nobody)) != 0 &&
                  memcmp(view->held_by, request->source.key, sizeof(nobody)) != 0;

    bool damaged = view->err == ERR_DAMAGED;

    if (mine == OK && (others || damaged) && request->renewals++ < RENEWALS_MAX) {
        /* Another repository's failure says nothing of ours, which came too late to be asked; in
         * the place of a damaged one there is another by now. */
        request_drop_blob(request);
        request->blob = fetcher_blob(request->services->fetchers, &request->route.digest);
        request->wanted_fill = false;
        find(request);
        return;
    }
    request->caller.answer.retry_after = view->retry_after_s;
    request_fail(request, mine != OK ? mine : view->err);
}

static void on_contents(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    LOOP_CALLBACK(request->caller.loop);

    if (request->caller.answer.err != OK) {
        request_fail(request, request->caller.answer.err);
        return;
    }
    request->learned = true;
    serve_manifest(request);
}

static void find_complete(struct request *request, const struct blob_view *view)
{
    if (request->exchange.outcome == STATS_NONE)
        request->exchange.outcome = request->stale ? STATS_STALE : STATS_HIT;
    request->size = view->size;
    bool ours = request->wanted_fill && is_held_by_ours(request, request->blob->held_by);
    request->known |= ours;
    if (!request->known) {
        confirm(request);
    } else if (request->route.kind == ROUTE_MANIFEST && !request->learned && !ours) {
        /* It came by way of another repository: what it points at is to be known in this one too,
         * before its client asks for that. */
        request->caller.mail.deliver = on_contents;
        lookup_contents(request->services->fetchers, &request->source, request->blob,
                        &request->caller);
    } else if (request->route.kind == ROUTE_MANIFEST) {
        serve_manifest(request);
    } else {
        request_answer_blob(request, view->size);
    }
}

/* Looks at the blob, and does what its state asks for. */
static void find(struct request *request)
{
    const struct selection *selection = &request->selection;

    struct blob_view view =
        blob_look(request->blob, offset_of(request, request->size), &request->waiter);
    if (view.size != BLOB_SIZE_UNKNOWN && view.size != request->size) {
        request->size = view.size; /* what a manifest says of it is hearsay: look again with it */
        blob_unpark(request->blob, &request->waiter);
        if (request->wanted_fill)
            demand_again(request);
        find(request);
        return;
    }
    if (request->size != BLOB_SIZE_UNKNOWN && view.state != BLOB_OPENING &&
        view.state != BLOB_FAILED && refuse_range(request))
        return;
    if (request->size == BLOB_SIZE_UNKNOWN && view.size == BLOB_SIZE_UNKNOWN && !request->checked &&
        view.state != BLOB_OPENING && view.state != BLOB_FAILED &&
        (selection_needs_size(selection) || (view.readable > 0 && !view.answered))) {
        confirm(request); /* its upstream knows */
        return;
    }
    switch (view.state) {
    case BLOB_OPENING:
        break;
    case BLOB_PARTIAL:
    case BLOB_WANTED:
        find_partial(request, &view);
        break;
    case BLOB_FILLING:
        find_filling(request, &view);
        break;
    case BLOB_COMPLETE:
        find_complete(request, &view);
        break;
    case BLOB_FAILED:
        find_failed(request, &view);
        break;
    }
}

static void on_wake(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, waiter.mail);
    LOOP_CALLBACK(request->waiter.loop);

    find(request);
}

/* What is in memory is newer than the index: stargz asks for the size as soon as it has the first
 * two bytes. */
static void look_at_open_blob(struct request *request)
{
    struct blob *blob = blobs_find(&request->services->store->blobs, &request->route.digest);

    if (blob == NULL)
        return;
    struct blob_view view = blob_look(blob, 0, NULL);
    const unsigned char *held_by = view.state == BLOB_COMPLETE ? blob->held_by : view.held_by;
    if (view.state != BLOB_FAILED && view.size != BLOB_SIZE_UNKNOWN &&
        is_held_by_ours(request, held_by)) {
        request->known = true;
        request->size = view.size;
    }
    (void)blob_unref(blob);
}

/* HEAD of a blob: its size is enough, and no reason to fetch it (peers 14). */
static void head_of_blob(struct request *request)
{
    struct blob_record record;

    look_at_open_blob(request);
    if (request->known &&
        index_get_blob(request->services->store->index, &request->route.digest, &record)) {
        if (record.size != BLOB_SIZE_UNKNOWN) /* it has been seen; a manifest only tells of it */
            request->size = record.size;
        blob_record_release(&record);
    }
    if (!request->known || request->size == BLOB_SIZE_UNKNOWN) {
        confirm(request);
        return;
    }
    request->exchange.outcome = STATS_HIT;
    request_answer_head(request);
}

/*
 * R6: nobody said which upstream is meant: the one that was last learned to hold the digest in a
 * repository of that name. Of a name of one component docker.io made `library/...`, which another
 * upstream would not.
 */
static bool find_holder(const struct request *request, const char **repository,
                        struct upstream **ret_upstream, struct holding_record *ret_holding)
{
    const struct services *services = request->services;
    const char *names[] = {*repository, NULL};

    if (request->route.library_added)
        names[1] = *repository + sizeof("library/") - 1;
    for (size_t i = 0; i < 2 && names[i] != NULL; i++) {
        if (!index_get_holding(services->store->index, "", names[i], &request->route.digest,
                               ret_holding))
            continue;
        int other = config_find_upstream(services->config, view_of(ret_holding->upstream));
        if (other < 0)
            continue;
        *ret_upstream = &services->store->upstreams.list[other];
        *repository = names[i];
        return true;
    }
    return false;
}

void find_digest(struct request *request, bool is_manifest)
{
    const struct services *services = request->services;
    struct upstream *upstream = &services->store->upstreams.list[request->route.upstream];
    const char *repository = request->route.repository;
    const struct digest *digest = &request->route.digest;
    struct holding_record holding;

    bool held = index_get_holding(services->store->index, upstream->config->name, repository,
                                  digest, &holding);
    if (!held && !request->route.upstream_named)
        held = find_holder(request, &repository, &upstream, &holding);
    /* A layer is no manifest, whoever asks for it as one. */
    request->known |= held && (holding.is_manifest || !is_manifest);
    request->learned = held && holding.learned;
    if (held && request->size == BLOB_SIZE_UNKNOWN)
        request->size = holding.size;
    request->exchange.upstream = upstream->config->name;
    source_init(&request->source, upstream, repository, is_manifest, digest);
    bool is_document = upstream->config->is_hub && find_model_is_document(request);
    if (upstream->config->is_hub && !is_document && !is_manifest) {
        find_layer(request);
        return;
    }
    if (upstream->config->is_hub && !(is_document && request->known)) { /* nobody would bring it */
        request_fail(request, is_manifest ? ERR_MANIFEST_UNKNOWN : ERR_BLOB_UNKNOWN);
        return;
    }
    if (request->exchange.method == HTTP_METHOD_HEAD && !is_manifest) {
        head_of_blob(request);
        return;
    }
    request->waiter.mail.deliver = on_wake;
    request->blob = fetcher_blob(services->fetchers, digest);
    find(request);
}

/* ---- tags ---- */

static void take_tag(struct request *request, const struct digest *digest, uint64_t size,
                     const char *media_type)
{
    request->route.digest = *digest;
    request->known = true;
    request->size = size;
    (void)view_copy(view_of(media_type), request->media_type, sizeof(request->media_type));
    if (request->exchange.method == HTTP_METHOD_HEAD && !request->stale &&
        size != BLOB_SIZE_UNKNOWN && media_type[0] != '\0') {
        request->exchange.outcome =
            request->checked ? STATS_MISS : STATS_HIT; /* of the tag: no body is asked for */
        request_answer_head(request);
        return;
    }
    find_digest(request, true);
}

static void on_tag_checked(struct mail *mail)
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
    take_tag(request, &answer->digest, answer->size, answer->media_type);
}

/* Asks the upstream where the tag points now. A NULL caller only sees to it that it is asked. */
static void check_tag(struct request *request, struct upstream *upstream,
                      struct flight_caller *caller)
{
    const struct route *route = &request->route;

    if (upstream->config->is_hub)
        find_model_check(request, upstream, caller);
    else
        tag_check(request->services->fetchers, upstream, route->repository, route->tag, caller);
}

void find_tag(struct request *request)
{
    struct store *store = request->services->store;
    struct upstream *upstream = &store->upstreams.list[request->route.upstream];
    const struct route *route = &request->route;
    struct tag_record record;

    enum tag_age age = tag_find(store, upstream, route->repository, route->tag, &record);
    if (upstream->config->is_hub && age != TAG_UNKNOWN && hub_is_commit(view_of(route->tag)))
        age = TAG_FRESH; /* it never moves */
    if (age == TAG_AGING)
        check_tag(request, upstream, NULL);
    if (age == TAG_FRESH || age == TAG_AGING) {
        /* A check that failed moved the clock: it is fresh, and stale all the same. */
        request->stale = record.checked != record.confirmed;
        take_tag(request, &record.digest, record.size, record.media_type);
        return;
    }
    request->caller.mail.deliver = on_tag_checked;
    check_tag(request, upstream, &request->caller);
}
