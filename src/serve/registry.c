/*
 * A session is a client's connection; a request is made when a head has come, routed, and found or
 * asked for; it frees itself when its answer has ended.
 */
#include "serve/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/stats.h"
#include "cache/lookup.h"
#include "model/image.h"
#include "serve/find.h"
#include "serve/request.h"
#include "wire/tag_list.h"

struct session {
    struct conn conn;
    struct registry *registry;
    struct request *request; /* owned; NULL between requests */
};

/* ---- lists ---- */

/* Link to the next page, which `link` holds the query of, with the host and prefix that the client
 * used: relative (E8). */
static void link_field(struct request *request, const char *link)
{
    const char *query = strchr(link, '?');
    const struct config_upstream *upstream =
        &request->services->config->upstreams[request->route.upstream];

    if (query != NULL)
        exchange_field(&request->exchange, "Link", "</v2/%s/%s/tags/list%s>; rel=\"next\"",
                       upstream->name, request->route.repository, query);
}

static void on_listed(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    struct exchange *exchange = &request->exchange;
    const struct flight_answer *answer = &request->caller.answer;
    LOOP_CALLBACK(request->caller.loop);

    if (answer->err != OK) {
        /* E7: a registry without the referrers API is no reason to fail a pull. */
        request_fail(request,
                     request->route.kind == ROUTE_REFERRERS && answer->err == ERR_NAME_UNKNOWN
                         ? ERR_REFERRERS_UNSUPPORTED
                         : answer->err);
        return;
    }
    exchange_head(exchange, 200, answer->bytes->data.length, answer->bytes->media_type);
    if (answer->bytes->filters[0] != '\0')
        exchange_field(exchange, "OCI-Filters-Applied", "%s", answer->bytes->filters);
    if (answer->bytes->link[0] != '\0' && request->route.kind == ROUTE_TAGS)
        link_field(request, answer->bytes->link);
    request_common_fields(request);
    exchange_send_view(exchange,
                       view_of_buf(&answer->bytes->data)); /* the answer's own reference */
}

/* The tags of a hub's repository. */
static void on_tags(struct mail *mail)
{
    struct request *request = container_of(mail, struct request, caller.mail);
    struct exchange *exchange = &request->exchange;
    const struct flight_answer *answer = &request->caller.answer;
    struct buf next = {0};
    LOOP_CALLBACK(request->caller.loop);

    if (answer->err != OK) {
        request_fail(request, answer->err);
        return;
    }
    if (!tag_list_print(view_of_buf(&answer->bytes->data), view_of(request->route.repository),
                        view_of(request->route.query), &exchange->body, &next)) {
        request_fail(request, ERR_BAD_REQUEST);
        return;
    }
    exchange->outcome = answer->stale ? STATS_STALE : answer->kept ? STATS_HIT : STATS_MISS;
    if (exchange->outcome == STATS_MISS && request->caller.joined)
        exchange->outcome = STATS_COLLAPSED;
    exchange_head(exchange, 200, exchange->body.length, "application/json");
    if (next.length > 0)
        link_field(request, next.data);
    buf_release(&next);
    request_common_fields(request);
    exchange_send(exchange);
}

/* Nothing refers to an image of a model. */
static void answer_no_referrers(struct request *request)
{
    static const char none[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_INDEX_TYPE "\",\"manifests\":[]}";

    buf_append_text(&request->exchange.body, none);
    exchange_head(&request->exchange, 200, sizeof(none) - 1, IMAGE_INDEX_TYPE);
    exchange_send(&request->exchange);
}

static void find_list(struct request *request)
{
    const struct services *services = request->services;
    struct upstream *upstream = &services->store->upstreams.list[request->route.upstream];
    char text[DIGEST_TEXT_SIZE], path[DIGEST_TEXT_SIZE + 16] = "tags/list";

    if (upstream->config->is_hub && request->route.kind == ROUTE_TAGS) {
        request->caller.mail.deliver = on_tags;
        importer_tags(services->importer, upstream, request->route.repository, &request->caller);
        return;
    }
    if (upstream->config->is_hub) {
        answer_no_referrers(request);
        return;
    }
    if (request->route.kind == ROUTE_REFERRERS)
        (void)snprintf(path, sizeof(path), "referrers/%s",
                       digest_print(&request->route.digest, text));
    request->caller.mail.deliver = on_listed;
    lookup_list(services->fetchers, upstream, request->route.repository, path, request->route.query,
                &request->caller);
}

/* ---- a request comes ---- */

static void answer_ping(struct request *request)
{
    buf_append_text(&request->exchange.body, "{}");
    exchange_head(&request->exchange, 200, 2, "application/json"); /* P1 */
    if (request->route.ns[0] != '\0')
        exchange_field(&request->exchange, "OCI-Namespace", "%s", request->route.ns);
    exchange_send(&request->exchange);
}

static enum stats_kind kind_of(enum route_kind kind)
{
    switch (kind) {
    case ROUTE_PING:
        return STATS_PING;
    case ROUTE_MANIFEST:
        return STATS_MANIFEST;
    case ROUTE_BLOB:
        return STATS_BLOB;
    case ROUTE_TAGS:
        return STATS_TAGS;
    case ROUTE_REFERRERS:
        return STATS_REFERRERS;
    case ROUTE_OTHER:
        break;
    }
    return STATS_KIND_OTHER;
}

/* Notes for the log what was asked for. */
static void describe(struct request *request)
{
    const struct route *route = &request->route;
    struct exchange *exchange = &request->exchange;

    exchange->kind = kind_of(route->kind);
    exchange->repository = route->repository;
    exchange->reference = request->reference;
    if (route->upstream >= 0 && route->kind != ROUTE_PING)
        exchange->upstream = request->services->config->upstreams[route->upstream].name;
    if (route->by_digest || route->kind == ROUTE_BLOB || route->kind == ROUTE_REFERRERS)
        digest_print(&route->digest, request->reference);
    else
        (void)view_copy(view_of(route->tag), request->reference, sizeof(request->reference));
}

static void route(struct request *request)
{
    switch (request->route.kind) {
    case ROUTE_PING:
        answer_ping(request);
        break;
    case ROUTE_MANIFEST:
        if (request->route.by_digest)
            find_digest(request, true);
        else
            find_tag(request);
        break;
    case ROUTE_BLOB:
        find_digest(request, false);
        break;
    case ROUTE_TAGS:
    case ROUTE_REFERRERS:
        find_list(request);
        break;
    case ROUTE_OTHER:
        request_fail(request, ERR_ROUTE_UNKNOWN);
        break;
    }
}

static void on_request(struct conn *conn, const struct http_request *http)
{
    struct session *session = container_of(conn, struct session, conn);
    struct registry *registry = session->registry;
    struct request *request = request_new(&registry->services, &session->request, conn, http);

    enum err err = reference_parse(registry->services.config, http->target,
                                   http_field(http, VIEW("OCI-Namespace")), &request->route);
    describe(request);
    if (http->method != HTTP_METHOD_GET &&
        http->method != HTTP_METHOD_HEAD) { /* E6; what may follow it is none of our business */
        err = ERR_METHOD_UNSUPPORTED;
        conn_set_last(conn);
    }
    if (err == OK && http->method == HTTP_METHOD_GET) /* RFC 9110 14.2: Range is for GET */
        err = selection_read(&request->selection, http_field(http, VIEW("Range")));
    if (err != OK) {
        request_fail(request, err);
        return;
    }
    conn_await(conn, registry->services.config->answer_timeout);
    route(request);
}

static void on_refused(struct conn *conn, enum err err, const char *detail)
{
    struct session *session = container_of(conn, struct session, conn);

    struct request *request =
        request_new(&session->registry->services, &session->request, conn, NULL);

    exchange_fail(&request->exchange, err, detail, 0);
}

static void on_writable(struct conn *conn)
{
    reply_on_writable(&container_of(conn, struct session, conn)->request->exchange.reply);
}

/* E5: a client never waits for ever; what it waited for goes on. */
static void on_overdue(struct conn *conn)
{
    struct request *request = container_of(conn, struct session, conn)->request;

    request_fail(request, request->overdue);
}

static void on_gone(struct conn *conn)
{
    exchange_gone(&container_of(conn, struct session, conn)->request->exchange);
}

static void on_closed(struct conn *conn)
{
    struct session *session = container_of(conn, struct session, conn);

    CHECK(session->request == NULL);
    free(session);
}

static struct conn *on_accept(struct conn_group *group)
{
    struct session *session = check_calloc(1, sizeof(*session));
    struct listener *listener = container_of(group, struct listener, group);

    session->registry = container_of(listener, struct registry, listener);
    return &session->conn;
}

/* ---- the loop ---- */

static void on_listener_drained(struct listener *listener)
{
    struct registry *registry = container_of(listener, struct registry, listener);

    loop_recall(&registry->loop, &registry->cut);
    loop_stop(&registry->loop);
    loop_post(registry->main_loop, registry->ended);
}

/* Who waits for an import would wait beyond our end: it goes on at the next start. */
static void fail_waiting(struct conn_group *group)
{
    for (struct list *node = group->conns.next; node != &group->conns; node = node->next) {
        struct conn *conn = container_of(node, struct conn, node);
        struct request *request = container_of(conn, struct session, conn)->request;
        if (request == NULL || request->overdue != ERR_IMPORTING || request->known ||
            request->exchange.status != 0)
            continue;
        conn_set_last(conn);
        request_fail(request, ERR_STOPPING);
    }
}

static void on_drain(struct mail *mail)
{
    struct registry *registry = container_of(mail, struct registry, drain);

    fail_waiting(&registry->listener.group);
    listener_drain(&registry->listener, on_listener_drained);
}

static void on_cut(struct mail *mail)
{
    struct registry *registry = container_of(mail, struct registry, cut);

    listener_cut(&registry->listener);
}

void registry_start(struct registry *registry, size_t number, int fd,
                    const struct services *services)
{
    static const struct conn_events events = {on_accept,  on_request, on_refused, on_writable,
                                              on_overdue, on_gone,    on_closed};
    char name[16];

    *registry = (struct registry){.services = *services};
    registry->services.loop = &registry->loop;
    registry->drain.deliver = on_drain;
    registry->cut.deliver = on_cut;
    (void)snprintf(name, sizeof(name), "serve-%u", (unsigned)number % 1000);
    loop_init(&registry->loop, name, true);
    listener_init(&registry->listener, &registry->loop, fd, services->config, &events, true);
    loop_start(&registry->loop);
}

void registry_drain(struct registry *registry, struct loop *loop, struct mail *ended)
{
    registry->main_loop = loop;
    registry->ended = ended;
    loop_post(&registry->loop, &registry->drain);
}

void registry_cut(struct registry *registry)
{
    loop_post(&registry->loop, &registry->cut);
}

void registry_join(struct registry *registry)
{
    loop_join(&registry->loop);
}

void registry_release(struct registry *registry)
{
    loop_release(&registry->loop);
}
