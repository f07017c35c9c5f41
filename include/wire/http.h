#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

/*
 * Heads of HTTP/1.1 requests (llhttp does the parsing), and small things heads are made of.
 *
 * Pure: bytes in, views out; no socket, no clock but what is passed in. Fuzzed.
 * A request head is parsed incrementally out of one contiguous buffer that the caller grows (and
 * may move) between calls, so a slow head costs no more than a fast one.
 *
 *   MORE --http_parser_feed--> MORE | DONE | BAD       (DONE and BAD are final)
 */

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { HTTP_FIELDS_MAX = 128 };

enum http_method { HTTP_METHOD_GET, HTTP_METHOD_HEAD, HTTP_METHOD_POST, HTTP_METHOD_OTHER };

enum http_progress { HTTP_MORE, HTTP_DONE, HTTP_BAD };

struct http_field {
    struct view name;
    struct view value; /* without blanks around it */
};

struct http_request {
    enum http_method method;
    struct view target; /* path and query, as sent; of other methods perhaps "*" or "host:port" */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    size_t head_length; /* bytes of the head, its empty line included */
    bool keep_alive;    /* the connection may carry another request (RFC 9112 9.3) */
    bool has_body;      /* Content-Length above 0, or Transfer-Encoding: read it, or close */
};

/* One head being parsed. Embedded by the connection. All fields are private. */
struct http_parser {
    llhttp_t llhttp;
    const char *base; /* borrowed; the buffer, during a feed */
    size_t fed;       /* bytes of the buffer that llhttp has seen; at the end, the head's length */
    struct {
        uint32_t name, name_length, value, value_length; /* offsets from base */
    } spans[HTTP_FIELDS_MAX];
    size_t span_count;
    uint32_t target, target_length;
    enum http_progress progress;
    const char *problem;
};

/* Gets ready for a head that starts at the first byte of the buffer. */
void http_parser_init(struct http_parser *parser);

/*
 * Parses on. `data[0..length)` is the whole buffer, from the head's first byte; bytes behind the
 * head (a body, a pipelined request) are left alone. At most UINT32_MAX bytes. On HTTP_DONE
 * `*ret_request` holds views into `data`; after the buffer has moved, feed it again to get them
 * anew. HTTP_BAD: malformed, an unsupported version, more than HTTP_FIELDS_MAX fields, both
 * Content-Length and Transfer-Encoding, repeated Content-Length, repeated Host or (in HTTP/1.1)
 * none, bare LF or CR, folded lines, a GET, HEAD or POST of a target that does not start with '/'
 * (RFC 9112 2.2, 3.2, 5.2, 6.1, 11.2; absolute-form is accepted, and its scheme and host dropped);
 * then http_parser_problem() says what. A first byte that cannot start a method, such as a TLS
 * ClientHello's (clients.md P4), is HTTP_BAD at once.
 */
enum http_progress http_parser_feed(struct http_parser *parser, const char *data, size_t length,
                                    struct http_request *ret_request);

/* A static sentence fragment: "both Content-Length and Transfer-Encoding". NULL unless HTTP_BAD. */
const char *http_parser_problem(const struct http_parser *parser);

/* The first field of that name (any case), or the empty view. */
struct view http_field(const struct http_request *request, struct view name);

/* How often a field of that name occurs. */
size_t http_field_count(const struct http_request *request, struct view name);

/*
 * Retry-After (RFC 9110 10.2.3): seconds, or an HTTP-date measured against `now` (seconds since the
 * epoch; IMF-fixdate only). Returns seconds, at most 86400; `otherwise` when it cannot be read.
 */
uint64_t http_retry_after(struct view value, int64_t now, uint64_t otherwise);

/*
 * A media type without its parameters, lower case, in `out`: "Application/JSON; charset=utf-8"
 * gives "application/json" (clients.md M1). False, leaving `out` empty, when it is not type/subtype
 * of token characters or does not fit.
 */
bool http_media_type(struct view value, char *out, size_t out_size);

/* Undoes percent-encoding into `out` (with a NUL); '+' stays what it is. False, leaving `out`
 * empty, on a bad escape, a NUL, encoded or not, or when it does not fit. */
bool http_percent_decode(struct view encoded, char *out, size_t out_size);

/* Appends `text` percent-encoded for use inside a query value. */
void http_percent_encode(struct buf *buf, struct view text);

/* The raw (still encoded) value of the first `name` in a query string "a=1&b=2"; false when it is
 * not there. */
bool http_query_value(struct view query, struct view name, struct view *ret_value);

/* Takes the token (RFC 9110 5.6.2) at the front of `*rest`; empty when there is none. */
struct view http_take_token(struct view *rest);

/*
 * Takes a parameter's value off the front of `*rest`: a token, which may be empty, or a
 * quoted-string, given without its quotes and with its escapes as they are. False, leaving all as
 * it is, when a quote is not closed (RFC 9110 5.6.6).
 */
bool http_take_value(struct view *rest, struct view *ret_value);

/* The target of the first link with rel="next" in a Link field (RFC 8288); false when there is
 * none. */
bool http_link_next(struct view link, struct view *ret_target);

#endif
