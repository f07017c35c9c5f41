#include "serve/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/stats.h"
#include "cache/scrubber.h"

enum { TOUCH_INTERVAL_MS = 50, IMPORT_RETRY_S = 30 };

/* ---- the end ---- */

/* Waits for nothing any more. */
static void stop_waiting(struct request *request)
{
    if (request->blob != NULL)
        blob_unpark(request->blob, &request->waiter);
    layer_view_leave(&request->layer, &request->waiter);
    flight_leave(&request->services->store->flights, &request->caller);
}

static void on_done(struct exchange *exchange)
{
    struct request *request = container_of(exchange, struct request, exchange);

    const struct blob *blob = request->blob != NULL ? request->blob : request->layer.blob;
    const struct digest *suspect = blob != NULL ? &blob->digest : NULL;

    if (exchange->reply.has_unreadable)
        suspect = &exchange->reply.unreadable;
    if (exchange->err == ERR_DISK_FAILED && suspect != NULL)
        scrubber_suspect(request->services->store, suspect);
    stop_waiting(request);
    request_drop_blob(request);
    layer_view_release(&request->layer);
    *request->place = NULL;
    exchange_release(exchange);
    selection_release(&request->selection);
    free(request->wanted);
    free(request);
}

void request_drop_blob(struct request *request)
{
    if (request->blob == NULL)
        return;
    blob_unpark(request->blob, &request->waiter);
    blob_withdraw(request->blob, &request->demand);
    request->blob = blob_unref(request->blob);
}

void request_fail(struct request *request, enum err err)
{
    uint64_t retry_after = request->caller.answer.retry_after;

    if (err == ERR_IMPORTING || err == ERR_LAYER_INCOMPLETE)
        retry_after = IMPORT_RETRY_S;
    if (retry_after > UPSTREAM_REST_MAX_MS / 1000) /* by then we would ask again ourselves */
        retry_after = UPSTREAM_REST_MAX_MS / 1000;
    if (request->is_mirror) /* all that we are the mirror of would rest there for so long */
        retry_after = 1;
    struct buf detail = {0};
    const struct flight_answer *answer = &request->caller.answer;
    if (answer->err == err && answer->bytes != NULL) /* what a hub says of it */
        buf_append_view(&detail, view_of_buf(&answer->bytes->data));
    stop_waiting(request);
    if (err == ERR_RANGE_UNSATISFIABLE) /* RFC 9110 14.4 */
        buf_printf(&request->exchange.error_fields, "Content-Range: bytes */%llu\r\n",
                   (unsigned long long)request->size);
    exchange_fail(&request->exchange, err, detail.length == 0 ? "" : detail.data, retry_after);
    buf_release(&detail);
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

/* What of the blob, or of the layer, is sent. */
static struct piece piece_of(struct request *request, struct extent extent)
{
    struct piece piece = {.blob = request->blob, .start = extent.start, .end = extent.end};

    if (request->layer.layer != NULL)
        piece.composite = &request->layer.composite;
    return piece;
}

/* B6: a part for each range, in their order, never merged; exact Content-Length. */
static void answer_parts(struct request *request, uint64_t size, const struct extent *extents,
                         size_t count)
{
    struct exchange *exchange = &request->exchange;
    struct buf *heads = &exchange->body;
    uint64_t length = 0, at = 0, random[2] = {0};
    char boundary[40], type[80];

    if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0)
        random[0] = exchange->began_us;
    (void)snprintf(boundary, sizeof(boundary), "%016llx%016llx", (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    (void)snprintf(type, sizeof(type), "multipart/byteranges; boundary=%s", boundary);
    struct piece *pieces = exchange_pieces(exchange, 2 * count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t before = heads->length;
        buf_printf(heads,
                   "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
                   i == 0 ? "" : "\r\n", boundary, media_type_of(request),
                   (unsigned long long)extents[i].start, (unsigned long long)(extents[i].end - 1),
                   (unsigned long long)size);
        pieces[2 * i].bytes.length = heads->length - before;
        pieces[2 * i + 1] = piece_of(request, extents[i]);
        length += extents[i].end - extents[i].start;
    }
    size_t before = heads->length;
    buf_printf(heads, "\r\n--%s--\r\n", boundary);
    pieces[2 * count].bytes.length = heads->length - before;
    for (size_t i = 0; i <= count; i++) { /* where the heads lie is known only now */
        pieces[2 * i].bytes.data = heads->data + at;
        at += pieces[2 * i].bytes.length;
    }
    head_of(request, 206, length + heads->length, type);
    exchange_send_pieces(exchange, 2 * count + 1);
}

static void answer_part(struct request *request, uint64_t size, struct extent extent)
{
    struct exchange *exchange = &request->exchange;
    uint64_t offset;

    head_of(request, request->selection.count > 0 ? 206 : 200, extent.end - extent.start,
            media_type_of(request));
    if (request->selection.count > 0) /* B3: one numeric Content-Range, and a Content-Type */
        exchange_field(exchange, "Content-Range", "bytes %llu-%llu/%llu",
                       (unsigned long long)extent.start, (unsigned long long)(extent.end - 1),
                       (unsigned long long)size);
    struct piece *piece = exchange_pieces(exchange, 1);
    *piece = piece_of(request, extent);
    /* B9: with what it had before, the client then has the whole of the blob. */
    piece->verified_end = selection_is_rest(&request->selection, size, &offset);
    exchange_send_pieces(exchange, 1);
}

bool request_refuse_range(struct request *request, uint64_t size)
{
    enum err err = OK;

    if (selection_is_outside(&request->selection, size))
        err = ERR_RANGE_UNSATISFIABLE;
    else if (selection_is_excessive(&request->selection, size))
        err = ERR_TOO_MANY_RANGES;
    if (err == OK)
        return false;
    request->size = size;
    request_fail(request, err);
    return true;
}

void request_answer_blob(struct request *request, uint64_t size)
{
    const struct selection *selection = &request->selection;
    struct extent *extents;
    size_t count;

    if (request_refuse_range(request, size))
        return;
    if (request->blob != NULL) {
        blob_unpark(request->blob,
                    &request->waiter); /* what it waited for may have come just now */
        touch(request);
    }
    extents = selection_extents(selection, size, &count);
    if (selection->count > 1)
        answer_parts(request, size, extents, count);
    else
        answer_part(request, size, extents[0]);
    free(extents); /* the request may be gone */
}

/* models.md 5.3: who waits for a head without a limit. BuildKit does, but for the one within a new
 * dockerd, which gives up after 30 s: it would not be helped by a 503 a moment before, since it is
 * reported at once; where it says that it is dockerd's ("moby/"), it is told all the same. */
static bool is_patient(struct view user_agent)
{
    static const char *const patient[] = {"containers/", "skopeo/", "Buildah/",
                                          "libpod/",     "podman/", "buildkit/"};

    for (size_t i = 0; i < sizeof(patient) / sizeof(patient[0]); i++)
        if (view_starts_with(user_agent, view_of(patient[i])))
            return memmem(user_agent.data, user_agent.length, " moby/", 6) == NULL;
    return false;
}

struct request *request_new(const struct services *services, struct request **place,
                            struct conn *conn, const struct http_request *http)
{
    struct request *request = check_calloc(1, sizeof(*request));

    *place = request;
    request->place = place;
    request->services = services;
    request->size = BLOB_SIZE_UNKNOWN;
    request->overdue = ERR_UPSTREAM_TIMEOUT;
    struct view user_agent = http == NULL ? VIEW("") : http_field(http, VIEW("User-Agent"));
    request->is_patient = is_patient(user_agent);
    request->is_mirror = view_starts_with(user_agent, VIEW("entrepot/"));
    request->waiter.loop = request->caller.loop = services->loop;
    exchange_begin(&request->exchange, conn, http, on_done);
    return request;
}
