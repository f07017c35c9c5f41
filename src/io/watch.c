#include "io/watch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

/*
 * By a descriptor of our own: curl does not always say before it closes a socket, and then another
 * thread may have its number the next moment.
 */
struct watch {
    struct list node; /* in watches->list, until it is stopped */
    uv_poll_t poll;
    struct watches *watches;
    curl_socket_t socket;     /* curl's */
    int duplicate;            /* ours; -1: no descriptor was left, curl's is watched */
    const void *left_by;      /* LEFT: the transfer; only compared */
    int port;                 /* LEFT, KEPT: of our end */
    bool is_kept;             /* KEPT */
    bool was_kept;            /* and from then on: `peer` is known, and silence ends it */
    struct sockaddr_in6 peer; /* or an IPv4 one */
};

void watches_init(struct watches *watches, struct loop *loop, CURLM *multi, uint64_t silent_ms)
{
    *watches = (struct watches){.loop = loop, .multi = multi, .silent_ms = silent_ms};
    list_init(&watches->list);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *watch = container_of((uv_poll_t *)handle, struct watch, poll);

    watch->watches->open--;
    free(watch);
}

void watch_stop(struct watch *watch)
{
    curl_multi_assign(watch->watches->multi, watch->socket, NULL);
    list_unlink(&watch->node);
    uv_close((uv_handle_t *)&watch->poll, on_closed); /* stops it first */
    if (watch->duplicate >= 0)
        close(watch->duplicate);
}

static struct watch *find(const struct watches *watches, curl_socket_t socket)
{
    for (struct list *node = watches->list.next; node != &watches->list; node = node->next) {
        struct watch *watch = container_of(node, struct watch, node);
        if (watch->socket == socket)
            return watch;
    }
    return NULL;
}

void watches_forget(struct watches *watches, curl_socket_t socket)
{
    struct watch *watch = find(watches, socket);

    if (watch != NULL)
        watch_stop(watch);
}

static struct watch *watch_new(struct watches *watches, curl_socket_t socket)
{
    struct watch *watch = check_calloc(1, sizeof(*watch));

    watch->watches = watches;
    watch->socket = socket;
    watch->duplicate = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    int watched = watch->duplicate >= 0 ? watch->duplicate : socket;
    CHECK(uv_poll_init_socket(&watches->loop->uv, &watch->poll, watched) == 0);
    watches->open++;
    list_append(&watches->list, &watch->node);
    return watch;
}

struct watch *watches_take(struct watches *watches, curl_socket_t socket)
{
    struct watch *watch = find(watches, socket);

    if (watch == NULL)
        watch = watch_new(watches, socket);
    watch->left_by = NULL;
    watch->is_kept = false;
    curl_multi_assign(watches->multi, socket, watch);
    return watch;
}

/* The port of its end here; -1: not of a kind that has one. */
static int port_of(const struct watch *watch)
{
    struct sockaddr_in6 own = {0}; /* or an IPv4 one, with the port in the same place */
    socklen_t size = sizeof(own);

    if (getsockname(watch->duplicate, (struct sockaddr *)&own, &size) != 0 || size > sizeof(own) ||
        own.sin6_port == 0)
        return -1;
    return ntohs(own.sin6_port);
}

void watch_leave(struct watch *watch, const void *transfer)
{
    uv_poll_stop(&watch->poll);
    watch->left_by = transfer;
    if (watch->port == 0)
        watch->port = port_of(watch);
}

void watches_use(struct watches *watches, int port, const void *transfer)
{
    for (struct list *node = watches->list.next; node != &watches->list; node = node->next) {
        struct watch *watch = container_of(node, struct watch, node);
        if (watch->port != port || (!watch->is_kept && watch->left_by == NULL))
            continue;
        watch->is_kept = false;
        watch_leave(watch, transfer);
    }
}

/* ---- in use ---- */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = container_of(poll, struct watch, poll);
    struct watches *watches = watch->watches;
    LOOP_CALLBACK(watches->loop);
    int flags = 0;

    /* An error is curl's to read from the socket: told of it, curl ends the transfer at once; when
     * it finds a kept connection closed by its peer it asks once more on a fresh one. libuv has
     * stopped watching by then. */
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE;
        watch_start(watch, events);
    }
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    watches->on_ready(watches->owner, watch->socket, flags);
}

void watch_start(struct watch *watch, int events)
{
    CHECK(uv_poll_start(&watch->poll, events, on_ready) == 0);
}

/* ---- kept ---- */

/* No good any more: curl finds its end when it wants to use it, and nothing before that. */
static void shut(struct watch *watch)
{
    char dropped[4096];

    (void)shutdown(watch->duplicate, SHUT_RDWR);
    while (recv(watch->duplicate, dropped, sizeof(dropped), MSG_DONTWAIT) > 0)
        continue;
    watch_stop(watch);
}

static void on_unasked(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = container_of(poll, struct watch, poll);
    LOOP_CALLBACK(watch->watches->loop);
    char byte;

    (void)events;
    /* Not what was there when it was still in use. */
    if (status < 0 || recv(watch->duplicate, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
        shut(watch);
}

static void keep(struct watch *watch)
{
    socklen_t size = sizeof(watch->peer);
    int milliseconds = (int)watch->watches->silent_ms;

    watch->left_by = NULL;
    if (watch->port < 0 ||
        getpeername(watch->duplicate, (struct sockaddr *)&watch->peer, &size) != 0 ||
        size > sizeof(watch->peer)) {
        watch_stop(watch);
        return;
    }
    (void)setsockopt(watch->duplicate, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds,
                     sizeof(milliseconds));
    watch->is_kept = watch->was_kept = true;
    CHECK(uv_poll_start(&watch->poll, UV_READABLE, on_unasked) == 0);
}

void watches_keep(struct watches *watches, const void *transfer)
{
    struct list *next;

    for (struct list *node = watches->list.next; node != &watches->list; node = next) {
        struct watch *watch = container_of(node, struct watch, node);
        next = node->next;
        if (watch->left_by == transfer)
            keep(watch);
    }
}

void watch_blame(struct watch *watch)
{
    struct watches *watches = watch->watches;
    struct list *next;

    if (!watch->was_kept)
        return;
    for (struct list *node = watches->list.next; node != &watches->list; node = next) {
        struct watch *other = container_of(node, struct watch, node);
        next = node->next;
        if (other->is_kept && memcmp(&other->peer, &watch->peer, sizeof(watch->peer)) == 0)
            shut(other);
    }
}
