#include "serve/request.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/stats.h"

enum { TOUCH_INTERVAL_MS = 50 };

/* ---- the end ---- */

/* Waits for nothing any more. */
static void stop_waiting(struct request *request)
{
    if (request->blob != NULL)
        blob_unpark(request->blob, &request->waiter);
    flight_leave(&request->services->store->flights, &request->caller);
}

static void on_done(struct exchange *exchange)
{
    struct request *request = container_of(exchange, struct request, exchange);

    stop_waiting(request);
    if (request->blob != NULL)
        blob_unref(request->blob);
    *request->place = NULL;
    exchange_release(exchange);
    free(request);
}

void request_fail(struct request *request, enum err err)
{
    uint64_t retry_after = request->caller.answer.retry_after;

    stop_waiting(request);
    if (err == ERR_RANGE_UNSATISFIABLE) /* RFC 9110 14.4 */
        buf_printf(&request->exchange.error_fields, "Content-Range: bytes */%llu\r\n",
                   (unsigned long long)request->size);
    exchange_fail(&request->exchange, err, "", retry_after);
}

/* ---- answering ---- */

void request_common_fields(struct request *request)
{
    static const char *const cache_status[] = {
        [STATS_NONE] = "entrepot; fwd=bypass",
        [STATS_HIT] = "entrepot; hit",
        [STATS_MISS] = "entrepot; fwd=uri-miss; stored",
        [STATS_COLLAPSED] = "entrepot; fwd=uri-miss; collapsed; stored",
        [STATS_STALE] = "entrepot; fwd=stale",
    };
    struct exchange *exchange = &request->exchange;

    exchange_field(exchange, "Cache-Status", "%s", cache_status[exchange->outcome]); /* RFC 9211 */
    if (request->route.ns[0] != '\0')
        exchange_field(exchange, "OCI-Namespace", "%s", request->route.ns); /* R9 */
}

static void touch(struct request *request)
{
    struct blob *blob = request->blob;
    uint64_t now = loop_now_ms(request->services->loop);

    if (now - blob->touched_ms < TOUCH_INTERVAL_MS)
        return;
    blob->touched_ms = now;
    index_touch(request->services->store->index, &blob->digest);
}

/* M1: the upstream's own media type, length and digest, the same for HEAD and GET. */
static void head_of(struct request *request, int status, uint64_t length, const char *media_type)
{
    char text[DIGEST_TEXT_SIZE];

    exchange_head(&request->exchange, status, length, media_type);
    exchange_field(&request->exchange, "Docker-Content-Digest", "%s",
                   digest_print(&request->route.digest, text));
    exchange_field(&request->exchange, "Accept-Ranges", "bytes"); /* B1 */
    request_common_fields(request);
}

static const char *media_type_of(const struct request *request)
{
    if (request->route.kind != ROUTE_MANIFEST)
        return "application/octet-stream";
    if (request->blob != NULL && request->blob->media_type[0] != '\0')
        return request->blob->media_type;
    if (request->media_type[0] != '\0')
        return request->media_type;
    return "application/octet-stream";
}

void request_answer_head(struct request *request)
{
    CHECK(request->exchange.method == HTTP_METHOD_HEAD);
    head_of(request, 200, request->size, media_type_of(request));
    exchange_send(&request->exchange);
}

bool request_is_unsatisfiable(const struct request *request, uint64_t size)
{
    struct extent extent;

    return request->has_range && !range_resolve(&request->range, size, &extent);
}

void request_answer_blob(struct request *request, uint64_t size)
{
    struct exchange *exchange = &request->exchange;
    struct extent extent = {0, size};
    int status = 200;

    if (request->has_range && !range_resolve(&request->range, size, &extent)) {
        request->size = size;
        request_fail(request, ERR_RANGE_UNSATISFIABLE);
        return;
    }
    if (request->has_range)
        status = 206;
    touch(request);
    head_of(request, status, extent.end - extent.start, media_type_of(request));
    if (status == 206) /* B3: one numeric Content-Range, and a Content-Type */
        exchange_field(exchange, "Content-Range", "bytes %llu-%llu/%llu",
                       (unsigned long long)extent.start, (unsigned long long)(extent.end - 1),
                       (unsigned long long)size);
    /* B9: a client that gets the last byte has, with what it had before, the whole of the blob. */
    exchange_send_blob(exchange, request->blob, extent.start, extent.end, extent.end == size);
}

struct request *request_new(const struct services *services, struct request **place,
                            struct conn *conn, const struct http_request *http)
{
    struct request *request = check_calloc(1, sizeof(*request));

    *place = request;
    request->place = place;
    request->services = services;
    request->size = BLOB_SIZE_UNKNOWN;
    request->waiter.loop = request->caller.loop = services->loop;
    exchange_begin(&request->exchange, conn, http, on_done);
    return request;
}
