#ifndef SERVE_EXCHANGE_H
#define SERVE_EXCHANGE_H

/*
 * One request and its answer: times, outcome, head and body, and the line in the log at the end.
 *
 * Embedded in the owner's object. An answer is begun once, by one of the exchange_ functions that
 * say so; `on_done` comes when it has ended, in whatever way, and may come before they return.
 * Thread: the conn's loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/stats.h"
#include "io/conn.h"
#include "serve/reply.h"
#include "wire/http.h"

struct exchange {
    struct conn *conn; /* borrowed */
    struct reply reply;
    struct piece few[2];  /* the head, and a body in one piece */
    struct piece *pieces; /* `few`, or owned when there are more */
    struct buf head;
    struct buf body;         /* errors, lists, metrics, heads of parts */
    struct buf error_fields; /* more fields for the head of an error, each with its CRLF */
    enum http_method method;
    enum stats_kind kind;
    enum stats_outcome outcome;
    int status;   /* 0: not begun */
    enum err err; /* what the client was told, or why it was cut */
    uint64_t began_us;
    bool quiet;             /* no line in the log */
    bool takes_post;        /* what was asked for does, if the method is refused */
    char range[128];        /* as asked for, cut */
    const char *upstream;   /* borrowed: for the log; or "" */
    const char *repository; /* borrowed */
    const char *reference;  /* borrowed: tag or digest */
    void (*on_done)(struct exchange *exchange);
};

/* Starts the clock. `request` may be NULL: a head that could not be parsed. */
void exchange_begin(struct exchange *exchange, struct conn *conn,
                    const struct http_request *request, void (*on_done)(struct exchange *exchange));

/* Starts a head: the status line, and what stands in every head. Not yet the answer. */
void exchange_head(struct exchange *exchange, int status, uint64_t content_length,
                   const char *media_type);

/* One more field. */
void exchange_field(struct exchange *exchange, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Answers with the head and, unless the method is HEAD, exchange->body. Begins the answer. */
void exchange_send(struct exchange *exchange);

/* The same with bytes that the owner keeps until on_done. */
void exchange_send_view(struct exchange *exchange, struct view body);

/* The same with pieces: asks for room for `count` of them, which the caller fills in. What they
 * borrow is kept until on_done. */
struct piece *exchange_pieces(struct exchange *exchange, size_t count);
void exchange_send_pieces(struct exchange *exchange, size_t count);

/* Answers with an error in the form of the OCI distribution-spec. `detail` says more, or is ""; it
 * stands in the message as well. Begins the answer. */
void exchange_fail(struct exchange *exchange, enum err err, const char *detail,
                   uint64_t retry_after_s);

/* The conn is gone: on_done comes. */
void exchange_gone(struct exchange *exchange);

/* Releases what is left, after on_done. */
void exchange_release(struct exchange *exchange);

#endif
