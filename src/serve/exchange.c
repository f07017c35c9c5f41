#include "serve/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {206, "Partial Content"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

void exchange_begin(struct exchange *exchange, struct conn *conn,
                    const struct http_request *request, void (*on_done)(struct exchange *exchange))
{
    *exchange = (struct exchange){
        .conn = conn,
        .method = HTTP_METHOD_OTHER,
        .kind = STATS_KIND_OTHER,
        .began_us = clock_monotonic_us(),
        .upstream = "",
        .repository = "",
        .reference = "",
        .on_done = on_done,
    };
    if (request == NULL)
        return;
    struct view range = http_field(request, VIEW("Range"));
    exchange->method = request->method;
    if (range.length >= sizeof(exchange->range))
        range.length = sizeof(exchange->range) - 1;
    (void)view_copy(range, exchange->range, sizeof(exchange->range));
}

/* ---- the end ---- */

static unsigned stats_method_of(enum http_method method)
{
    switch (method) {
    case HTTP_METHOD_GET:
        return STATS_GET;
    case HTTP_METHOD_HEAD:
        return STATS_HEAD;
    case HTTP_METHOD_POST:
    case HTTP_METHOD_OTHER:
        break;
    }
    return STATS_METHOD_OTHER;
}

static void log_exchange(const struct exchange *exchange, uint64_t bytes, const char *end)
{
    const struct reply *reply = &exchange->reply;
    uint64_t now = clock_monotonic_us();
    struct log_line line;

    if (exchange->quiet || !log_begin(&line, CONFIG_LOG_INFO, "request"))
        return;
    log_text(&line, "client", view_of(exchange->conn->peer));
    log_text(&line, "method",
             view_of(stats_word(STATS_LABEL_METHOD, stats_method_of(exchange->method))));
    log_text(&line, "kind", view_of(stats_word(STATS_LABEL_KIND, exchange->kind)));
    log_text(&line, "upstream", view_of(exchange->upstream));
    log_text(&line, "repository", view_of(exchange->repository));
    log_text(&line, "reference", view_of(exchange->reference));
    log_text(&line, "range", view_of(exchange->range));
    log_number(&line, "status", (uint64_t)exchange->status);
    log_number(&line, "bytes", bytes);
    log_text(&line, "outcome", view_of(stats_word(STATS_LABEL_OUTCOME, exchange->outcome)));
    log_seconds(&line, "first_byte",
                reply->first_byte_us == 0 ? 0 : reply->first_byte_us - exchange->began_us);
    log_seconds(&line, "seconds", now - exchange->began_us);
    log_text(&line, "end", view_of(end));
    if (exchange->err != OK)
        log_text(&line, "error", view_of(err_label(exchange->err)));
    log_end(&line);
}

static void done(struct exchange *exchange, const char *end)
{
    uint64_t head = exchange->head.length, total = exchange->reply.total;
    uint64_t bytes = total > head ? total - head : 0;

    stats_add(STAT_REQUESTS,
              AT(stats_method_of(exchange->method), exchange->kind, stats_status(exchange->status),
                 exchange->outcome),
              1);
    stats_add(STAT_BYTES_SERVED, AT(exchange->kind), bytes);
    log_exchange(exchange, bytes, end);
    exchange->on_done(exchange);
}

static void on_reply_end(struct reply *reply, enum reply_result result)
{
    struct exchange *exchange = container_of(reply, struct exchange, reply);
    struct conn *conn = exchange->conn;

    switch (result) {
    case REPLY_SENT:
        done(exchange, "sent");
        conn_finish(conn);
        break;
    case REPLY_CUT:
        exchange->err = reply->err;
        stats_add(STAT_REQUESTS_CUT, AT(reply->err), 1);
        done(exchange, "cut");
        conn_cut(conn);
        break;
    case REPLY_LOST:
        stats_add(STAT_CLIENTS_GONE, AT_ALL, 1);
        done(exchange, "gone");
        conn_cut(conn);
        break;
    }
}

void exchange_gone(struct exchange *exchange)
{
    reply_abandon(&exchange->reply);
    stats_add(STAT_CLIENTS_GONE, AT_ALL, 1);
    done(exchange, "gone");
}

void exchange_release(struct exchange *exchange)
{
    buf_release(&exchange->head);
    buf_release(&exchange->body);
    buf_release(&exchange->error_fields);
    if (exchange->pieces != exchange->few)
        free(exchange->pieces);
}

/* ---- heads and bodies ---- */

void exchange_head(struct exchange *exchange, int status, uint64_t content_length,
                   const char *media_type)
{
    CHECK(exchange->status == 0);
    exchange->status = status;
    buf_printf(&exchange->head,
               "HTTP/1.1 %d %s\r\n"
               "Date: %s\r\n"
               "Content-Length: %llu\r\n"
               "Content-Type: %s\r\n"
               "Docker-Distribution-API-Version: registry/2.0\r\n",
               status, reason_of(status), loop_date(exchange->conn->group->loop),
               (unsigned long long)content_length, media_type);
    if (!conn_keeps_alive(exchange->conn))
        buf_append_text(&exchange->head, "Connection: close\r\n");
}

void exchange_field(struct exchange *exchange, const char *name, const char *format, ...)
{
    va_list arguments;

    buf_printf(&exchange->head, "%s: ", name);
    va_start(arguments, format);
    buf_vprintf(&exchange->head, format, arguments);
    va_end(arguments);
    buf_append_text(&exchange->head, "\r\n");
}

struct piece *exchange_pieces(struct exchange *exchange, size_t count)
{
    CHECK(exchange->pieces == NULL);
    exchange->pieces = exchange->few;
    if (count + 1 > sizeof(exchange->few) / sizeof(exchange->few[0]))
        exchange->pieces = check_calloc(count + 1, sizeof(*exchange->pieces));
    return exchange->pieces + 1;
}

void exchange_send_pieces(struct exchange *exchange, size_t count)
{
    buf_append_text(&exchange->head, "\r\n");
    exchange->pieces[0] = (struct piece){.bytes = view_of_buf(&exchange->head)};
    if (exchange->method == HTTP_METHOD_HEAD)
        count = 0;
    reply_start(&exchange->reply, exchange->conn, exchange->pieces, count + 1, on_reply_end);
}

void exchange_send_view(struct exchange *exchange, struct view body)
{
    exchange_pieces(exchange, 1)[0] = (struct piece){.bytes = body};
    exchange_send_pieces(exchange, 1);
}

void exchange_send(struct exchange *exchange)
{
    exchange_send_view(exchange, view_of_buf(&exchange->body));
}

/* distribution-spec, "Error Codes": {"errors": [{"code", "message", "detail"}]}. Clients show
 * people the message only, so it has the detail too. */
void exchange_fail(struct exchange *exchange, enum err err, const char *detail,
                   uint64_t retry_after_s)
{
    struct buf *body = &exchange->body;

    exchange->err = err;
    buf_clear(body);
    buf_printf(body, "{\"errors\":[{\"code\":\"%s\",\"message\":\"", err_code(err));
    buf_append_json(body, view_of(err_sentence(err)));
    if (detail[0] != '\0') {
        buf_append_text(body, ": ");
        buf_append_json(body, view_of(detail));
        buf_append_text(body, "\",\"detail\":\"");
        buf_append_json(body, view_of(detail));
    }
    buf_append_text(body, "\"}]}\n");
    exchange_head(exchange, err_status(err), body->length, "application/json");
    buf_append_view(&exchange->head, view_of_buf(&exchange->error_fields));
    if (err_status(err) == 405)
        exchange_field(exchange, "Allow", "GET, HEAD%s", exchange->takes_post ? ", POST" : "");
    if (err_status(err) == 503)
        exchange_field(exchange, "Retry-After", "%llu",
                       (unsigned long long)(retry_after_s == 0 ? 1 : retry_after_s));
    exchange_send(exchange);
}
