#ifndef IO_WATCH_H
#define IO_WATCH_H

/*
 * The sockets of one curl multi, as the loop watches them; also those of the connections that curl
 * keeps for later, which it looks at when it needs one only, and not well enough (7.88.1).
 *
 *   IN_USE --watch_leave()--> LEFT --watches_keep()--> KEPT
 *    ^----watches_take()-------' ^------watches_use()-----'
 *
 * A socket that is LEFT is nobody's to look at: its transfer is held back, or has just begun on a
 * kept connection, or is over. watch_stop() is from anywhere, at the latest when curl closes it.
 *
 * Whatever comes on a kept connection is no answer to the next request: its end, TLS's word of
 * that, a 408. It is emptied and shut down then, which curl does notice. So are all to a peer that
 * leaves a request on a kept connection without an answer: what befell that one, a restart or a
 * firewall that has forgotten it, befell the others too.
 *
 * Thread: the loop's own, all functions.
 */

#include <curl/curl.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "io/loop.h"

struct watch;

struct watches {
    struct loop *loop; /* borrowed */
    CURLM *multi;      /* borrowed */
    struct list list;
    unsigned open;      /* uv handles not yet closed */
    uint64_t silent_ms; /* a request on a kept connection is to be acknowledged within that */
    void *owner;        /* for on_ready */
    void (*on_ready)(void *owner, curl_socket_t socket, int flags); /* CURL_CSELECT_* */
};

/* The caller sets `owner` and on_ready next. All watches have been stopped, by
 * curl_multi_cleanup(), and `open` is 0, before the memory goes. */
void watches_init(struct watches *watches, struct loop *loop, CURLM *multi, uint64_t silent_ms);

/* The watch of that socket, which is in use from now on. */
struct watch *watches_take(struct watches *watches, curl_socket_t socket);

/* Has on_ready called when there is one of these `events` (UV_READABLE, UV_WRITABLE). */
void watch_start(struct watch *watch, int events);

/* curl does not want to know of it any more, for now or because its transfer is over; which is only
 * compared with later ones, and may be gone then. */
void watch_leave(struct watch *watch, const void *transfer);

/* The transfer begins on a kept connection, of which `port` is our end. */
void watches_use(struct watches *watches, int port, const void *transfer);

/* The transfer is over, and what it has left is kept. */
void watches_keep(struct watches *watches, const void *transfer);

/* Its request got no answer: if it had been kept, the others to its peer are shut down. */
void watch_blame(struct watch *watch);

/* Forgets it; its memory goes when libuv has let go of the handle. It is nobody's from here on. */
void watch_stop(struct watch *watch);

/* curl closes that socket. */
void watches_forget(struct watches *watches, curl_socket_t socket);

#endif
