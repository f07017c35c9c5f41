#include "cache/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/refusal.h"
#include "io/url.h"
#include "wire/http.h"
#include "wire/hub_path.h"
#include "wire/range.h"

enum { REDIRECTS_MAX = 5, ERROR_BODY_MAX = 65536, LIMITED_PAUSE_S = 2 };

struct call {
    struct calls *calls;
    struct list waiting; /* linked in WAITING, in its lane */
    struct upstream *upstream;
    const struct call_events *events;
    void *owner;
    struct call_request request; /* its texts are ours */
    char *scope;                 /* owned */
    char *origin;                /* owned; the URL before redirects */
    char *url;                   /* owned; the URL asked now */
    char *location;              /* owned; where a redirect leads, until its answer has ended */
    char *token;                 /* owned; the one last sent, or NULL */
    struct transfer *transfer;   /* REQUEST */
    struct flight_caller caller; /* TOKEN */
    struct challenge challenge;  /* of the last 401 */
    int status;
    uint64_t retry_after;
    uint64_t unsatisfied_size; /* of a 416; else UINT64_MAX */
    uint64_t dropped;          /* bytes of an error's body */
    unsigned redirects;
    struct refusal refusal; /* of a hub; owned */
    bool met_challenge;     /* after a 401; the next 401 is final */
    bool restarted;         /* after a redirect target's 403 */
    bool accepted;          /* on_head was called */
    bool remembered;        /* it began with request.target */
    bool is_extra;          /* see call_set_extra() */
};

static void ask(struct call *call);

/* Whether another host than the registry is asked; or a CDN that a hub has under its own name. */
static bool is_elsewhere(const struct call *call)
{
    const struct config_upstream *config = call->upstream->config;

    if (!url_same_authority(call->url, call->origin))
        return true;
    const char *path = strstr(call->url, "://") + 3;
    path += strcspn(path, "/?#");
    return config->is_hub && !hub_path_is_own(view_of(path), config_upstream_prefix(config));
}

/* ---- the end ---- */

static void call_free(struct call *call)
{
    free((char *)call->request.repository);
    free((char *)call->request.path);
    free((char *)call->request.query);
    free(call->scope);
    free(call->origin);
    free(call->url);
    free(call->location);
    free(call->token);
    refusal_release(&call->refusal);
    free(call);
}

static struct lane *lane_of(const struct call *call)
{
    return &call->calls->lanes[call->upstream->index * 2 + call->request.is_bulk];
}

/* It leaves its lane: who waits longest comes next. */
static void leave_lane(struct call *call)
{
    struct lane *lane = lane_of(call);

    if (list_is_linked(&call->waiting)) {
        list_unlink(&call->waiting);
        return;
    }
    lane->running--;
    if (list_is_empty(&lane->waiting))
        return;
    struct call *next = container_of(lane->waiting.next, struct call, waiting);
    list_unlink(&next->waiting);
    lane->running++;
    ask(next);
}

static void end(struct call *call, enum err err)
{
    struct log_line line;

    if (err != OK && log_begin(&line, CONFIG_LOG_DEBUG, "upstream")) {
        log_text(&line, "url", view_of(call->origin));
        log_text(&line, "error", view_of(err_label(err)));
        log_number(&line, "status", (uint64_t)call->status);
        log_end(&line);
    }
    bool counts = !is_elsewhere(call) && !call->is_extra;
    if (counts && err == ERR_UPSTREAM_TIMEOUT && call->status == 0)
        upstream_rest(call->upstream, err, call->calls->store->config->upstream_rest);
    if (counts && err == ERR_UPSTREAM_LIMITED)
        upstream_rest(call->upstream, err, call->retry_after * 1000);
    leave_lane(call);
    call->events->on_end(call, err);
    call_free(call);
}

void call_cancel(struct call *call)
{
    if (call == NULL)
        return;
    leave_lane(call);
    transfer_cancel(call->transfer);
    flight_leave(&call->calls->store->flights, &call->caller);
    call_free(call);
}

/* ---- redirects and challenges ---- */

static void on_token(struct mail *mail)
{
    struct call *call = container_of(mail, struct call, caller.mail);

    call->retry_after = call->caller.answer.retry_after;
    if (call->caller.answer.err != OK)
        end(call, call->caller.answer.err);
    else
        ask(call);
}

/* After a 401: gets what its challenge asks for. False: we have nothing that it could accept. */
static bool meet(struct call *call)
{
    struct challenge general = call->challenge;
    general.scope[0] = '\0'; /* that was for this call */
    upstream_set_challenge(call->upstream, &general);
    if (call->challenge.scheme == CHALLENGE_NONE ||
        (call->challenge.scheme == CHALLENGE_BASIC && call->upstream->config->username == NULL))
        return false;
    if (call->token != NULL)
        upstream_drop_token(call->upstream, call->scope, call->token);
    ask(call);
    return true;
}

/* ---- one transfer ---- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* What its answer says of the registry; where it sends us says nothing of it. */
static void note_status(const struct call *call)
{
    int status = call->status;

    if (is_elsewhere(call) || (status == 401 && !call->met_challenge))
        return;
    if (status < 400 || status == 404 || status == 410 || status == 416)
        upstream_was_well(call->upstream);
    else if (!call->is_extra)
        upstream_was_ill(call->upstream);
}

static enum err on_head(struct transfer *transfer, int status)
{
    struct call *call = transfer_owner(transfer);

    call->status = status;
    note_status(call);
    if (status == 200 || status == 206) {
        call->accepted = true;
        return call->events->on_head(call, status);
    }
    if (is_redirect(status)) {
        free(call->location);
        call->location = url_resolve(call->url, transfer_field(transfer, "Location"));
    }
    if (status == 401) {
        struct buf fields = {0};
        transfer_fields(transfer, "WWW-Authenticate", &fields);
        challenge_parse(view_of_buf(&fields), &call->challenge);
        buf_release(&fields);
    }
    if (status == 416) {
        struct extent none;
        (void)range_parse_content_range(transfer_field(transfer, "Content-Range"), &none,
                                        &call->unsatisfied_size);
    }
    if (status == 429 || status == 503)
        call->retry_after = http_retry_after(transfer_field(transfer, "Retry-After"),
                                             clock_wall_s(), status == 429 ? LIMITED_PAUSE_S : 0);
    if (status >= 400 && call->upstream->config->is_hub) {
        bool elsewhere = is_elsewhere(call);
        refusal_read(&call->refusal, transfer, (unsigned)status,
                     elsewhere ? NULL : call->request.repository);
        if (!elsewhere)
            call->retry_after = call->refusal.retry_after;
    }
    return OK;
}

static enum err on_body(struct transfer *transfer, const void *data, size_t length)
{
    struct call *call = transfer_owner(transfer);

    if (call->accepted)
        return call->events->on_body(call, data, length);
    /* An error's or a redirect's body is read, so that the connection can be used again. */
    refusal_add(&call->refusal, data, length);
    call->dropped += length;
    return call->dropped > ERROR_BODY_MAX ? ERR_UPSTREAM_NONSENSE : OK;
}

static bool is_held(struct transfer *transfer)
{
    struct call *call = transfer_owner(transfer);

    return call->accepted && call->events->is_held != NULL && call->events->is_held(call);
}

static enum err err_of_status(const struct call *call)
{
    if (call->status >= 400 && call->upstream->config->is_hub && !is_elsewhere(call))
        return call->refusal.err;
    switch (call->status) {
    case 401:
    case 403:
        return ERR_UPSTREAM_REFUSED;
    case 404:
    case 410:
        return ERR_NAME_UNKNOWN;
    case 429:
        return ERR_UPSTREAM_LIMITED;
    case 503:
        return call->retry_after > 0 ? ERR_UPSTREAM_LIMITED : ERR_UPSTREAM_FAILED;
    case 408:
    case 504:
        return ERR_UPSTREAM_FAILED;
    default:
        return call->status >= 500 ? ERR_UPSTREAM_FAILED : ERR_UPSTREAM_NONSENSE;
    }
}

/* A whole answer that was not a 2xx: go on, or end. */
static void answered(struct call *call)
{
    if (is_redirect(call->status) && call->location != NULL && ++call->redirects <= REDIRECTS_MAX) {
        free(call->url);
        call->url = call->location;
        call->location = NULL;
        ask(call);
        return;
    }
    bool elsewhere = is_elsewhere(call);
    if (call->status == 401 && !elsewhere && !call->met_challenge &&
        !call->upstream->config->is_hub) {
        call->met_challenge = true;
        if (meet(call))
            return;
    }
    /* A signed URL that has expired: the upstream makes a fresh one. */
    bool expired = call->status == 401 || call->status == 403 ||
                   (call->remembered && call->status >= 400 && call->status != 416);
    if (expired && elsewhere && !call->restarted) {
        call->restarted = true;
        free(call->url);
        call->url = check_strdup(call->origin);
        ask(call);
        return;
    }
    refusal_end(&call->refusal);
    enum err err = err_of_status(call);
    if (elsewhere && (err == ERR_NAME_UNKNOWN || err == ERR_UPSTREAM_REFUSED))
        err = ERR_UPSTREAM_FAILED; /* the registry has it; where it sent us does not (E4) */
    stats_add(STAT_UPSTREAM_ERRORS, AT(call->upstream->index, err), 1);
    end(call, err);
}

static void on_end(struct transfer *transfer, enum err err)
{
    struct call *call = transfer_owner(transfer);

    call->transfer = NULL;
    if (err == ERR_UPSTREAM_UNREACHABLE || err == ERR_UPSTREAM_TLS)
        log_message(CONFIG_LOG_WARN, "upstream", "%.*s: %s", (int)strcspn(call->url, "?"),
                    call->url,
                    transfer_problem(transfer)); /* what is behind the ? may be a signature */
    /* A broken error body, or one that is too long to be read to its end, is an answer still. */
    bool told = err == OK || err == ERR_UPSTREAM_BROKEN || call->dropped > ERROR_BODY_MAX;
    if (call->accepted || call->status == 0 || !told)
        end(call, err == OK && !call->accepted ? ERR_UPSTREAM_NONSENSE : err);
    else
        answered(call);
}

/* ---- asking ---- */

/* M6: the full list, so that no client's narrow one decides what is cached under a tag. */
static const char accept_manifests[] =
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.v1+prettyjws, */*";

static void transmit(struct call *call, const char *authorization)
{
    static const struct transfer_events events = {on_head, on_body, is_held, on_end};
    const struct call_request *request = &call->request;
    const char *headers[5] = {"Accept-Encoding: identity"}; /* B2 */
    struct buf range = {0};
    size_t count = 1;

    if (request->wants_manifest)
        headers[count++] = accept_manifests;
    if (authorization != NULL)
        headers[count++] = authorization;
    if (request->wants_range) {
        buf_printf(&range, "Range: bytes=%llu-", (unsigned long long)request->range_start);
        if (request->range_end != UINT64_MAX)
            buf_printf(&range, "%llu", (unsigned long long)(request->range_end - 1));
        headers[count++] = range.data;
    }
    call->status = 0;
    call->retry_after = 0;
    call->dropped = 0;
    refusal_release(&call->refusal);
    call->transfer =
        transfer_start(&call->calls->transfers,
                       &(struct transfer_request){.method = request->method,
                                                  .url = call->url,
                                                  .headers = headers,
                                                  .ca_file = call->upstream->config->ca_file,
                                                  .upstream = call->upstream->index},
                       &events, call);
    buf_release(&range);
}

static void ask_with_token(struct call *call, const struct challenge *challenge)
{
    struct buf header = {0};
    bool due = false;

    buf_append_text(&header, "Authorization: Bearer ");
    size_t prefix = header.length;
    if (!upstream_token(call->upstream, call->scope, &header, &due)) {
        buf_release(&header);
        /* What its own challenge asks for goes before what we think of. */
        token_get(call->calls, call->upstream, call->met_challenge ? &call->challenge : challenge,
                  call->scope, &call->caller);
        return;
    }
    if (due)
        token_get(call->calls, call->upstream, challenge, call->scope, NULL);
    free(call->token);
    call->token = check_strdup(header.data + prefix);
    transmit(call, header.data);
    buf_release(&header);
}

/* A hub takes its token as it is. */
static void ask_hub(struct call *call)
{
    const char *token = call->upstream->config->password;
    struct buf header = {0};

    if (token != NULL)
        buf_printf(&header, "Authorization: Bearer %s", token);
    transmit(call, header.data);
    buf_release(&header);
}

static void ask(struct call *call)
{
    struct challenge challenge = upstream_challenge(call->upstream);
    struct buf header = {0};

    if (is_elsewhere(call)) {
        transmit(call, NULL); /* somebody else's host: no credentials */
        return;
    }
    if (call->upstream->config->is_hub) {
        ask_hub(call);
        return;
    }
    switch (challenge.scheme) {
    case CHALLENGE_NONE:
        transmit(call, NULL);
        return;
    case CHALLENGE_BASIC:
        buf_append_text(&header, "Authorization: ");
        transmit(call, upstream_basic(call->upstream, &header) ? header.data : NULL);
        buf_release(&header);
        return;
    case CHALLENGE_BEARER:
        ask_with_token(call, &challenge);
        return;
    }
}

struct call *call_start(struct calls *calls, const struct call_request *request,
                        const struct call_events *events, void *owner)
{
    struct call *call = check_calloc(1, sizeof(*call));
    struct buf text = {0};

    loop_check_thread(calls->loop);
    /* Else it would be a part of the host's name, and the hub's token would go there. */
    CHECK(!request->upstream->config->is_hub || request->path[0] == '/');
    call->calls = calls;
    call->upstream = request->upstream;
    call->events = events;
    call->owner = owner;
    call->request = *request;
    call->request.repository = check_strdup(request->repository);
    call->request.path = check_strdup(request->path);
    call->request.query = request->query == NULL ? NULL : check_strdup(request->query);
    call->request.target = NULL; /* it is in `url` */
    call->remembered = request->target != NULL;
    call->unsatisfied_size = UINT64_MAX;
    call->caller.loop = calls->loop;
    call->caller.mail.deliver = on_token;
    buf_printf(&text, "repository:%s:pull", request->repository);
    call->scope = text.data;
    text = (struct buf){0};
    if (request->upstream->config->is_hub)
        buf_printf(&text, "%s%s", request->upstream->config->url, request->path);
    else
        buf_printf(&text, "%s/v2/%s/%s", request->upstream->config->url, request->repository,
                   request->path);
    if (request->query != NULL && request->query[0] != '\0')
        buf_printf(&text, "?%s", request->query);
    call->origin = text.data;
    call->url = check_strdup(request->target != NULL ? request->target : call->origin);
    struct lane *lane = lane_of(call);
    if (lane->running < calls->store->config->upstream_connections) {
        lane->running++;
        ask(call);
    } else {
        list_append(&lane->waiting, &call->waiting);
    }
    return call;
}

void calls_init(struct calls *calls)
{
    size_t count = calls->store->upstreams.count * 2;

    calls->lanes = check_calloc(count, sizeof(*calls->lanes));
    for (size_t i = 0; i < count; i++)
        list_init(&calls->lanes[i].waiting);
}

void calls_release(struct calls *calls)
{
    free(calls->lanes);
    calls->lanes = NULL;
}

void calls_fail_waiting(struct calls *calls, enum err err)
{
    for (size_t i = 0; i < calls->store->upstreams.count * 2; i++) {
        struct list *waiting = &calls->lanes[i].waiting;
        while (!list_is_empty(waiting))
            end(container_of(waiting->next, struct call, waiting), err);
    }
}

void call_set_extra(struct call *call, bool is_extra)
{
    call->is_extra = is_extra;
}

void call_resume(struct call *call)
{
    transfer_resume(call->transfer);
}

void *call_owner(const struct call *call)
{
    return call->owner;
}

int call_status(const struct call *call)
{
    return call->status;
}

uint64_t call_retry_after(const struct call *call)
{
    return call->retry_after;
}

const char *call_target(const struct call *call)
{
    return is_elsewhere(call) ? call->url : NULL;
}

uint64_t call_unsatisfied_size(const struct call *call)
{
    return call->unsatisfied_size;
}

struct view call_sentence(const struct call *call)
{
    return view_of_buf(&call->refusal.sentence);
}

struct view call_field(struct call *call, const char *name)
{
    return transfer_field(call->transfer, name);
}

void call_fields(struct call *call, const char *name, struct buf *out)
{
    transfer_fields(call->transfer, name, out);
}
