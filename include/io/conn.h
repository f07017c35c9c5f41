#ifndef IO_CONN_H
#define IO_CONN_H

/*
 * One client's connection: it reads request heads and hands them up one at a time; while a request
 * is being answered its owner pushes bytes and file ranges, and is told when more can be pushed.
 * The choice of how bytes get into the socket is made here and nowhere else.
 *
 *            .------------------ conn_finish(), keep-alive -----------------.
 *            v                                                              |
 *          HEAD --a head has come: on_request | on_refused--> BUSY ---------'
 *            |                                                 |  conn_finish(), no keep-alive
 *            | end, idle deadline                              |  conn_cut()
 *            v                                                 v
 *          CLOSED <---------------end, deadline------------- LINGER
 *            ^-------- peer gone, send deadline: on_gone ---- (BUSY)
 *
 * LINGER: our side is shut, and what the peer still sends is read and dropped, so that the peer
 * sees a FIN and not a reset, which would make it lose what we sent last (clients.md B10).
 *
 * Embedded by the owner's object, which on_closed() may free. Callbacks never come from inside a
 * conn_ function. Thread: the loop's own, all functions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"
#include "wire/http.h"

struct conn;
struct conn_group;

enum { CONN_ADDRESS_SIZE = 64 };

/* What conn_send() and conn_send_file() return in place of a number of bytes. */
enum { CONN_GONE = -1, CONN_UNREADABLE = -2 };

struct conn_events {
    /* A new client: returns the conn inside a fresh object of the owner. */
    struct conn *(*on_accept)(struct conn_group *group);
    /* A head has come. Its views are valid during the call only. Answer, then conn_finish(). */
    void (*on_request)(struct conn *conn, const struct http_request *request);
    /* A head that cannot be answered. Send an error, then conn_finish(); the conn will not be kept.
     */
    void (*on_refused)(struct conn *conn, enum err err, const char *detail);
    /* More can be sent; after conn_want_writable(). */
    void (*on_writable)(struct conn *conn);
    /* The answer has not begun within the time that conn_await() gave it: send an error. */
    void (*on_overdue)(struct conn *conn);
    /* The peer left, or took nothing for too long, in the middle of an answer: let go of
     * everything. on_closed follows. */
    void (*on_gone)(struct conn *conn);
    /* The conn is no more: free the object. */
    void (*on_closed)(struct conn *conn);
};

enum conn_state { CONN_HEAD, CONN_BUSY, CONN_LINGER, CONN_CLOSED };

struct conn {
    struct conn_group *group; /* borrowed */
    struct list node;         /* in group->conns */
    uv_poll_t poll;
    uv_timer_t timer;
    struct mail again;          /* to ourselves: look at pipelined bytes */
    struct buf in;              /* bytes read and not yet parsed; empty for an idle conn */
    struct http_parser *parser; /* owned; NULL unless part of a head is in `in` */
    uint64_t deadline_ms;       /* loop time; 0: none. The timer is moved only when it fires */
    uint64_t timer_due_ms;      /* 0: the timer does not run */
    enum conn_state state;
    int fd;
    int interest;     /* what `poll` asks for now */
    unsigned handles; /* not yet closed */
    bool keep_alive;  /* as the request being answered allows */
    bool peer_ended;  /* it will send nothing more */
    bool wants_writable;
    size_t body_length; /* of the body that is waited for; 0: none is */
    void (*on_body)(struct conn *conn, struct buf *body);
    char peer[CONN_ADDRESS_SIZE]; /* "192.0.2.7:51234" */
};

/* The connections of one loop that came in by one door. Embedded by the listener. */
struct conn_group {
    struct loop *loop;                /* borrowed */
    const struct config *config;      /* borrowed */
    const struct conn_events *events; /* borrowed */
    struct list conns;
    bool is_public; /* its conns are counted, and limited (max_connections) */
    bool draining;  /* nobody is kept for another request */
    void (*on_empty)(struct conn_group *group); /* NULL, or told when the last conn has closed */
};

/* Takes over an accepted, non-blocking socket. */
void conn_open(struct conn_group *group, int fd, const struct sockaddr *peer, socklen_t length);

/* Closes idle connections, and the others as their answers end. */
void conn_group_drain(struct conn_group *group);

/* Closes every connection that is left, busy ones too (on_gone). */
void conn_group_cut(struct conn_group *group);

/* Prints "192.0.2.7:51234" or "[2001:db8::1]:51234". */
void conn_print_address(const struct sockaddr *address, socklen_t length,
                        char out[CONN_ADDRESS_SIZE]);

/* Whether the conn will carry another request after this one. */
bool conn_keeps_alive(const struct conn *conn);

/* Forbids that. Only while BUSY. */
void conn_set_last(struct conn *conn);

/*
 * Sends some of the bytes; `more` says that more follows at once. Returns how many were taken, 0
 * when the socket is full, CONN_GONE when the peer is (on_gone will come). Bytes may be those of a
 * mapped file: CONN_UNREADABLE when they cannot be had. Only while BUSY.
 */
ssize_t conn_send(struct conn *conn, const struct iovec *parts, size_t count, bool more);

/* The same for a range of a file. CONN_UNREADABLE: the file cannot be read there, or ends. */
ssize_t conn_send_file(struct conn *conn, int fd, uint64_t offset, uint64_t length);

/*
 * Reads the body of the request that has just come, `length` bytes, into memory, and gives it to
 * `on_body`, who may take what `body` has. Only while BUSY, once, before anything is sent, and only
 * on a conn that will not be kept, as none with a body is. A peer that ends before, or sends
 * nothing for send_timeout, is gone (on_gone).
 */
void conn_read_body(struct conn *conn, size_t length,
                    void (*on_body)(struct conn *conn, struct buf *body));

/* Calls on_overdue when nothing of the answer is sent within that time. Only while BUSY. */
void conn_await(struct conn *conn, uint64_t timeout_ms);

/* Asks for on_writable, again and again until it is taken back; the send deadline runs meanwhile
 * and starts anew with each call. */
void conn_want_writable(struct conn *conn, bool wanted);

/* The answer is complete. */
void conn_finish(struct conn *conn);

/* The answer ends here, short of its length: the peer gets a FIN. */
void conn_cut(struct conn *conn);

#endif
