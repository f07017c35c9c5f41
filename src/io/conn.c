/*
 * The life of a conn: on_connection accepts it, on_readable reads heads until one is whole, the
 * owner answers and calls conn_finish, and so on until one side ends it; on_handle_closed gives it
 * back.
 *
 * Heads are read into a scratch buffer of the thread first: a head that comes in one piece, as
 * nearly all do, never costs the conn any memory of its own.
 */
#include "io/conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/stats.h"

enum {
    SCRATCH_SIZE = 16384,
    READ_AHEAD_MAX = 65536, /* pipelined bytes kept while busy */
    LINGER_MS = 2000,       /* how long a peer may take to notice our FIN */
    LINGER_BYTES_MAX = 1 << 20,
    TLS_HANDSHAKE = 0x16,  /* RFC 8446 5.1: the first byte of a ClientHello */
    HALF_CLOSED_MS = 5000, /* how long to wait on for somebody who will send nothing more */
};

static _Thread_local char scratch[SCRATCH_SIZE];

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static void set_state(struct conn *conn, enum conn_state state)
{
    static const bool edges[4][4] = {
        [CONN_HEAD] = {[CONN_BUSY] = true, [CONN_CLOSED] = true},
        [CONN_BUSY] = {[CONN_HEAD] = true, [CONN_LINGER] = true, [CONN_CLOSED] = true},
        [CONN_LINGER] = {[CONN_CLOSED] = true},
    };

    CHECK(edges[conn->state][state]);
    conn->state = state;
}

/* ---- what we wait for: poll interest and deadline ---- */

/* How much may be read while we are busy: the next requests, or the body. */
static size_t read_limit(const struct conn *conn)
{
    return conn->body_length > 0 ? conn->body_length : READ_AHEAD_MAX;
}

static int interest_of(const struct conn *conn)
{
    int interest = 0;

    if (!conn->peer_ended && (conn->state != CONN_BUSY || conn->in.length < read_limit(conn)))
        interest |= UV_READABLE;
    if (conn->wants_writable)
        interest |= UV_WRITABLE;
    /* With nothing to ask for, ask for urgent data: errors are reported in any case. */
    return interest == 0 ? UV_PRIORITIZED : interest;
}

/* A change costs two epoll_ctl calls: only when there is one. */
static void update_interest(struct conn *conn)
{
    int interest = interest_of(conn);

    if (interest == conn->interest)
        return;
    conn->interest = interest;
    CHECK(uv_poll_start(&conn->poll, interest, on_poll) == 0);
}

static void set_deadline(struct conn *conn, uint64_t timeout_ms)
{
    uint64_t due = loop_now_ms(conn->group->loop) + timeout_ms;

    conn->deadline_ms = due;
    if (conn->timer_due_ms != 0 && conn->timer_due_ms <= due)
        return; /* the timer fires before that, and will look again */
    conn->timer_due_ms = due;
    uv_timer_start(&conn->timer, on_timer, timeout_ms, 0);
}

static void clear_deadline(struct conn *conn)
{
    conn->deadline_ms = 0;
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct conn_group *group = conn->group;

    if (--conn->handles > 0)
        return;
    list_unlink(&conn->node);
    buf_release(&conn->in);
    free(conn->parser);
    if (group->is_public)
        stats_subtract(STAT_CONNECTIONS, AT_ALL, 1);
    group->events->on_closed(conn);
    if (list_is_empty(&group->conns) && group->on_empty != NULL)
        group->on_empty(group);
}

static void conn_close(struct conn *conn)
{
    set_state(conn, CONN_CLOSED);
    loop_recall(conn->group->loop, &conn->again);
    uv_close((uv_handle_t *)&conn->poll, on_handle_closed); /* stops it first: fd may be closed */
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    close(conn->fd);
    conn->fd = -1;
}

/* The peer is gone, whatever we were doing. */
static void conn_lose(struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->state == CONN_BUSY)
        conn->group->events->on_gone(conn);
    conn_close(conn);
}

static void conn_linger(struct conn *conn)
{
    set_state(conn, CONN_LINGER);
    conn->wants_writable = false;
    buf_release(&conn->in);
    if (conn->peer_ended || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_close(conn);
        return;
    }
    set_deadline(conn, LINGER_MS);
    update_interest(conn);
}

/* ---- reading heads ---- */

static void refuse(struct conn *conn, enum err err, const char *detail)
{
    set_state(conn, CONN_BUSY);
    conn->keep_alive = false;
    clear_deadline(conn);
    stats_add(err == ERR_TLS_UNSUPPORTED ? STAT_TLS_HELLOS : STAT_BAD_REQUESTS, AT_ALL, 1);
    conn->group->events->on_refused(conn, err, detail);
}

static void hand_up(struct conn *conn, const struct http_request *request)
{
    set_state(conn, CONN_BUSY);
    clear_deadline(conn);
    /* A body is never wanted here; reading it to its end would be the client's choice of work. */
    conn->keep_alive = request->keep_alive && !request->has_body && !conn->group->draining;
    conn->group->events->on_request(conn, request);
}

/* Bytes that wait for on_again, or for the event that comes before it. */
static bool has_pipelined(const struct conn *conn)
{
    return conn->state == CONN_HEAD && conn->in.length > 0 && conn->parser == NULL;
}

/* A whole head: what is behind it stays in `in`, and its views live until on_request has returned.
 */
static void take_head(struct conn *conn, const char *data, size_t length,
                      const struct http_request *request)
{
    struct buf head = {0};

    free(conn->parser);
    conn->parser = NULL;
    if (data == conn->in.data) {
        head = conn->in;
        conn->in = (struct buf){0};
    }
    if (request->head_length < length)
        buf_append(&conn->in, data + request->head_length, length - request->head_length);
    hand_up(conn, request);
    buf_release(&head);
}

/* Looks for a head in data[0..length), which is either conn->in or the scratch buffer. */
static void parse(struct conn *conn, const char *data, size_t length)
{
    struct http_request request;
    bool begun = conn->parser == NULL;

    if (begun) {
        conn->parser = check_malloc(sizeof(*conn->parser));
        http_parser_init(conn->parser);
    }
    switch (http_parser_feed(conn->parser, data, length, &request)) {
    case HTTP_BAD:
        /* P4: podman and containerd try TLS first, and take bytes that begin with HTTP/ for a no.
         */
        refuse(conn, data[0] == TLS_HANDSHAKE ? ERR_TLS_UNSUPPORTED : ERR_BAD_REQUEST,
               http_parser_problem(conn->parser));
        return;
    case HTTP_DONE:
        if (request.head_length > conn->group->config->max_head)
            break;
        take_head(conn, data, length, &request);
        return;
    case HTTP_MORE:
        if (length > conn->group->config->max_head)
            break;
        if (data != conn->in.data)
            buf_append(&conn->in, data, length);
        /* A deadline for the head as a whole: a byte now and then must not keep it open. */
        if (begun)
            set_deadline(conn, conn->group->config->head_timeout);
        return;
    }
    refuse(conn, ERR_HEAD_TOO_LARGE, "max_head");
}

/* Returns what recv() did, and notes the end: > 0 bytes, 0 nothing now, -1 the conn is lost. */
static ssize_t receive(struct conn *conn, char *into, size_t room)
{
    ssize_t got = recv(conn->fd, into, room, 0);

    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0) {
        conn_lose(conn);
        return -1;
    }
    conn->peer_ended = true;
    return 0;
}

/* The peer has ended, and no whole head is left of what it sent. */
static void close_if_over(struct conn *conn)
{
    if (conn->state == CONN_HEAD && conn->peer_ended && !has_pipelined(conn))
        conn_close(conn);
}

static void read_head(struct conn *conn)
{
    ssize_t got;

    if (conn->in.length == 0) {
        got = receive(conn, scratch, sizeof(scratch));
        if (got > 0)
            parse(conn, scratch, (size_t)got);
    } else {
        if (has_pipelined(conn))
            loop_recall(conn->group->loop, &conn->again);
        buf_reserve(&conn->in, SCRATCH_SIZE);
        got = receive(conn, conn->in.data + conn->in.length, SCRATCH_SIZE);
        if (got > 0) {
            conn->in.length += (size_t)got;
            parse(conn, conn->in.data, conn->in.length);
        }
    }
    if (got >= 0)
        close_if_over(conn);
}

/* All of the body is here, or we wait for more of it. */
static void look_for_body(struct conn *conn)
{
    struct buf body = conn->in;

    if (conn->in.length < conn->body_length) {
        if (conn->peer_ended)
            conn_lose(conn);
        else
            set_deadline(conn, conn->group->config->send_timeout);
        return;
    }
    conn->in = (struct buf){0};
    body.length = conn->body_length; /* what is behind it goes: the conn will not be kept */
    body.data[body.length] = '\0';
    conn->body_length = 0;
    clear_deadline(conn);
    update_interest(conn);
    conn->on_body(conn, &body);
    buf_release(&body);
}

/*
 * While busy: bytes of the next request, or the end. A peer that has ended its side may have left,
 * or only closed that half and still want the answer: nobody can tell before something is sent. So
 * it is sent what there is, and waited for a little while nothing is.
 */
static void read_ahead(struct conn *conn)
{
    size_t room = read_limit(conn) - conn->in.length;

    if (conn->in.length >= read_limit(conn))
        return;
    if (room > READ_AHEAD_MAX)
        room = READ_AHEAD_MAX; /* memory comes as the bytes do */
    buf_reserve(&conn->in, room);
    ssize_t got = receive(conn, conn->in.data + conn->in.length, room);
    if (got < 0)
        return;
    conn->in.length += (size_t)got;
    if (conn->body_length > 0) {
        look_for_body(conn);
        return;
    }
    if (conn->peer_ended && !conn->wants_writable)
        set_deadline(conn, HALF_CLOSED_MS);
    update_interest(conn);
}

static void drain(struct conn *conn)
{
    size_t dropped = 0;
    ssize_t got = 1;

    while (got > 0 && dropped < LINGER_BYTES_MAX) {
        got = recv(conn->fd, scratch, sizeof(scratch), 0);
        dropped += got > 0 ? (size_t)got : 0;
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        conn_close(conn);
}

/* ---- events ---- */

static void on_readable(struct conn *conn)
{
    switch (conn->state) {
    case CONN_HEAD:
        read_head(conn);
        break;
    case CONN_BUSY:
        read_ahead(conn);
        break;
    case CONN_LINGER:
        drain(conn);
        break;
    case CONN_CLOSED:
        break;
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = container_of(poll, struct conn, poll);
    LOOP_CALLBACK(conn->group->loop);

    if (status < 0 || (events & UV_PRIORITIZED) != 0) {
        conn_lose(conn);
        return;
    }
    if ((events & UV_READABLE) != 0)
        on_readable(conn);
    if (conn->state == CONN_BUSY && conn->wants_writable && (events & UV_WRITABLE) != 0)
        conn->group->events->on_writable(conn);
}

static void on_deadline(struct conn *conn)
{
    switch (conn->state) {
    case CONN_HEAD:
        if (conn->in.length > 0)
            refuse(conn, ERR_HEAD_TIMEOUT, "head_timeout");
        else
            conn_close(conn);
        break;
    case CONN_BUSY:
        conn->deadline_ms = 0;
        if (conn->wants_writable || conn->peer_ended || conn->body_length > 0)
            conn_lose(conn);
        else
            conn->group->events->on_overdue(conn);
        break;
    case CONN_LINGER:
        conn_close(conn);
        break;
    case CONN_CLOSED:
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    LOOP_CALLBACK(conn->group->loop);
    uint64_t now = loop_now_ms(conn->group->loop);

    conn->timer_due_ms = 0;
    if (conn->deadline_ms == 0)
        return;
    if (conn->deadline_ms > now)
        set_deadline(conn, conn->deadline_ms - now);
    else
        on_deadline(conn);
}

/* Pipelined bytes were there when an answer ended, or when a body was asked for. */
static void on_again(struct mail *mail)
{
    struct conn *conn = container_of(mail, struct conn, again);

    if (conn->body_length > 0) {
        look_for_body(conn);
        return;
    }
    parse(conn, conn->in.data, conn->in.length);
    close_if_over(conn);
}

/* ---- what the owner calls ---- */

bool conn_keeps_alive(const struct conn *conn)
{
    return conn->keep_alive;
}

void conn_set_last(struct conn *conn)
{
    conn->keep_alive = false;
}

ssize_t conn_send(struct conn *conn, const struct iovec *parts, size_t count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};

    CHECK(conn->state == CONN_BUSY);
    ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (sent >= 0)
        return sent;
    if (errno == EFAULT)
        return CONN_UNREADABLE; /* bytes of a mapped file, of which the disk gives none */
    return errno == EAGAIN || errno == EINTR ? 0 : CONN_GONE;
}

ssize_t conn_send_file(struct conn *conn, int fd, uint64_t offset, uint64_t length)
{
    off_t at = (off_t)offset;

    CHECK(conn->state == CONN_BUSY);
    ssize_t sent = sendfile(conn->fd, fd, &at, length);
    if (sent > 0)
        return sent;
    if (sent == 0)
        return CONN_UNREADABLE; /* the file is shorter than its record */
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return err_is_loss(errno) ? CONN_UNREADABLE : CONN_GONE; /* no socket says so */
}

void conn_read_body(struct conn *conn, size_t length,
                    void (*on_body)(struct conn *conn, struct buf *body))
{
    CHECK(conn->state == CONN_BUSY && !conn->keep_alive && conn->body_length == 0 && length > 0);
    conn->on_body = on_body;
    conn->body_length = length;
    if (conn->in.length >= length || conn->peer_ended)
        loop_post(conn->group->loop, &conn->again); /* never from inside */
    set_deadline(conn, conn->group->config->send_timeout);
    update_interest(conn);
}

void conn_await(struct conn *conn, uint64_t timeout_ms)
{
    CHECK(conn->state == CONN_BUSY && !conn->wants_writable);
    set_deadline(conn, timeout_ms);
}

void conn_want_writable(struct conn *conn, bool wanted)
{
    CHECK(conn->state == CONN_BUSY);
    conn->wants_writable = wanted;
    if (wanted)
        set_deadline(conn, conn->group->config->send_timeout);
    else if (conn->peer_ended)
        set_deadline(conn, HALF_CLOSED_MS);
    else
        clear_deadline(conn);
    update_interest(conn);
}

void conn_finish(struct conn *conn)
{
    if (!conn->keep_alive || (conn->peer_ended && conn->in.length == 0)) {
        conn_linger(conn);
        return;
    }
    set_state(conn, CONN_HEAD);
    conn->wants_writable = false;
    set_deadline(conn, conn->group->config->idle_timeout);
    update_interest(conn);
    /* Never from inside: the owner is still in the middle of the last request. */
    if (has_pipelined(conn))
        loop_post(conn->group->loop, &conn->again);
}

void conn_cut(struct conn *conn)
{
    CHECK(conn->state == CONN_BUSY);
    conn_linger(conn);
}

/* ---- the group ---- */

void conn_print_address(const struct sockaddr *address, socklen_t length,
                        char out[CONN_ADDRESS_SIZE])
{
    char host[48], port[8];

    if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(out, CONN_ADDRESS_SIZE, "?");
        return;
    }
    bool brackets = strchr(host, ':') != NULL;
    (void)snprintf(out, CONN_ADDRESS_SIZE, brackets ? "[%s]:%s" : "%s:%s", host, port);
}

void conn_open(struct conn_group *group, int fd, const struct sockaddr *peer, socklen_t length)
{
    struct conn *conn = group->events->on_accept(group);
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *conn = (struct conn){.group = group, .fd = fd, .handles = 2, .again.deliver = on_again};
    conn_print_address(peer, length, conn->peer);
    CHECK(uv_poll_init(&group->loop->uv, &conn->poll, fd) == 0);
    CHECK(uv_timer_init(&group->loop->uv, &conn->timer) == 0);
    conn->poll.data = conn->timer.data = conn;
    list_append(&group->conns, &conn->node);
    if (group->is_public) {
        stats_add(STAT_CONNECTIONS, AT_ALL, 1);
        stats_add(STAT_CONNECTIONS_ACCEPTED, AT_ALL, 1);
    }
    set_deadline(conn, group->config->idle_timeout);
    update_interest(conn);
}

void conn_group_drain(struct conn_group *group)
{
    loop_check_thread(group->loop);
    group->draining = true;
    for (struct list *node = group->conns.next; node != &group->conns; node = node->next) {
        struct conn *conn = container_of(node, struct conn, node);
        conn->keep_alive = false;
        if (conn->state == CONN_HEAD)
            conn_close(conn);
    }
}

void conn_group_cut(struct conn_group *group)
{
    loop_check_thread(group->loop);
    for (struct list *node = group->conns.next; node != &group->conns; node = node->next)
        conn_lose(container_of(node, struct conn, node));
}
