#include "serve/admin.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "serve/exchange.h"
#include "serve/scrub_report.h"

struct visit {
    struct conn conn;
    struct admin *admin;
    struct exchange exchange;
};

static void on_done(struct exchange *exchange)
{
    exchange_release(exchange);
}

static void answer(struct visit *visit, int status, const char *media_type)
{
    exchange_head(&visit->exchange, status, visit->exchange.body.length, media_type);
    exchange_field(&visit->exchange, "Cache-Control", "no-store");
    exchange_send(&visit->exchange);
}

static void answer_scrub(struct visit *visit)
{
    struct scrubber *scrubber = visit->admin->scrubber;
    char directory[SCRUB_DIRECTORY_SIZE];
    struct scrub_report report;

    if (visit->exchange.method == HTTP_METHOD_POST)
        scrubber_ask(scrubber);
    scrubber_report(scrubber, &report);
    scrub_directory(scrubber->store->directory, directory);
    scrub_report_print(&report, directory, &visit->exchange.body);
    answer(visit, 200, "application/json");
}

static void on_request(struct conn *conn, const struct http_request *request)
{
    struct visit *visit = container_of(conn, struct visit, conn);
    struct exchange *exchange = &visit->exchange;
    struct view path = request->target;

    path = view_cut(&path, '?');
    exchange_begin(exchange, conn, request, on_done);
    exchange->kind = STATS_ADMIN;
    exchange->quiet = true;
    exchange->takes_post = view_equal(path, VIEW("/scrub"));
    if (request->method == HTTP_METHOD_OTHER ||
        (request->method == HTTP_METHOD_POST && !exchange->takes_post)) {
        exchange_fail(exchange, ERR_METHOD_UNSUPPORTED, "", 0);
    } else if (view_equal(path, VIEW("/healthz"))) {
        buf_append_text(&exchange->body, "ok\n");
        answer(visit, 200, "text/plain");
    } else if (view_equal(path, VIEW("/readyz"))) {
        buf_append_text(&exchange->body, visit->admin->stopping ? "stopping\n" : "ready\n");
        answer(visit, visit->admin->stopping ? 503 : 200, "text/plain");
    } else if (view_equal(path, VIEW("/metrics"))) {
        stats_set(STAT_LOG_DROPPED, AT_ALL, log_dropped());
        stats_render(&exchange->body);
        answer(visit, 200, "text/plain; version=0.0.4; charset=utf-8");
    } else if (exchange->takes_post) {
        answer_scrub(visit);
    } else {
        exchange_fail(exchange, ERR_ADMIN_ROUTE_UNKNOWN, "", 0);
    }
}

static void on_refused(struct conn *conn, enum err err, const char *detail)
{
    struct visit *visit = container_of(conn, struct visit, conn);

    exchange_begin(&visit->exchange, conn, NULL, on_done);
    visit->exchange.kind = STATS_ADMIN;
    exchange_fail(&visit->exchange, err, detail, 0);
}

static void on_writable(struct conn *conn)
{
    reply_on_writable(&container_of(conn, struct visit, conn)->exchange.reply);
}

static void on_gone(struct conn *conn)
{
    exchange_gone(&container_of(conn, struct visit, conn)->exchange);
}

static void on_closed(struct conn *conn)
{
    free(container_of(conn, struct visit, conn));
}

static struct conn *on_accept(struct conn_group *group)
{
    struct visit *visit = check_calloc(1, sizeof(*visit));
    struct listener *listener = container_of(group, struct listener, group);

    visit->admin = container_of(listener, struct admin, listener);
    return &visit->conn;
}

void admin_init(struct admin *admin, struct loop *loop, int fd, struct scrubber *scrubber)
{
    /* Every answer is at hand at once: nothing is ever awaited, so nothing is overdue. */
    static const struct conn_events events = {on_accept, on_request, on_refused, on_writable,
                                              on_gone,   on_gone,    on_closed};

    admin->stopping = false;
    admin->scrubber = scrubber;
    listener_init(&admin->listener, loop, fd, scrubber->store->config, &events, false);
}

static void on_drained(struct listener *listener)
{
    (void)listener; /* the loop ends when nothing else is left on it */
}

void admin_stop(struct admin *admin)
{
    listener_drain(&admin->listener, on_drained);
    listener_cut(&admin->listener);
}
