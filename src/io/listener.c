#include "io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stats.h"

enum { ACCEPTS_A_TURN = 64, ACCEPT_PAUSE_MS = 100, BACKLOG = 4096 };

/* More clients than max_connections: say so, rather than let them wait. */
static void turn_away(int fd)
{
#define BODY                                                                                       \
    "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"too many clients "                       \
    "(max_connections)\"}]}\n"
    char answer[512]; /* E1 */
    int length = snprintf(answer, sizeof(answer),
                          "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                          "Retry-After: 1\r\n\r\n" BODY,
                          sizeof(BODY) - 1);

    (void)!send(fd, answer, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct listener *listener = container_of(timer, struct listener, pause);

    uv_poll_start(&listener->poll, UV_READABLE, on_acceptable);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = container_of(poll, struct listener, poll);
    LOOP_CALLBACK(listener->group.loop);

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof(peer);
        int fd =
            accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
            log_message(CONFIG_LOG_WARN, "accept", "no descriptor left; raise `ulimit -n`");
            uv_poll_stop(&listener->poll);
            uv_timer_start(&listener->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
        }
        if (fd < 0)
            return;
        if (listener->group.is_public &&
            stats_get(STAT_CONNECTIONS, AT_ALL) >= listener->group.config->max_connections)
            turn_away(fd);
        else
            conn_open(&listener->group, fd, (struct sockaddr *)&peer, length);
    }
}

/* "host:port", "[v6]:port" or ":port" to what getaddrinfo() takes. */
static enum err resolve(const char *address, struct addrinfo **ret_list, struct buf *ret_problem)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(address, ':');
    char host[256];
    struct view name = {address, colon == NULL ? 0 : (size_t)(colon - address)};

    if (name.length >= 2 && name.data[0] == '[' && name.data[name.length - 1] == ']')
        name = (struct view){name.data + 1, name.length - 2};
    if (colon == NULL || !view_copy(name, host, sizeof(host))) {
        buf_printf(ret_problem, "%s is not host:port", address);
        return ERR_CONFIG;
    }
    int code = getaddrinfo(host[0] == '\0' ? "0.0.0.0" : host, colon + 1, &hints, ret_list);
    if (code == 0)
        return OK;
    buf_printf(ret_problem, "cannot listen on %s: %s", address, gai_strerror(code));
    return ERR_CONFIG;
}

/* SO_REUSEPORT would let a second process share the address in silence: try without it first. */
static bool is_taken(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool taken = bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, 1) != 0;
    int error = errno;
    close(fd);
    errno = error;
    return taken;
}

enum err listener_bind(const char *address, bool alone, int *ret_fd, struct buf *ret_address,
                       struct buf *ret_problem)
{
    struct addrinfo *list = NULL;
    struct sockaddr_storage actual = {0};
    socklen_t length = sizeof(actual);
    char text[CONN_ADDRESS_SIZE];
    int on = 1, fd = -1;

    enum err err = resolve(address, &list, ret_problem);
    if (err != OK)
        return err;
    if ((alone && is_taken(list)) ||
        (fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&actual, &length) != 0) {
        buf_printf(ret_problem, "cannot listen on %s: %s", address, strerror(errno));
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
        return ERR_CONFIG;
    }
    freeaddrinfo(list);
    conn_print_address((struct sockaddr *)&actual, length, text);
    buf_append_text(ret_address, text);
    *ret_fd = fd;
    return OK;
}

void listener_init(struct listener *listener, struct loop *loop, int fd,
                   const struct config *config, const struct conn_events *events, bool is_public)
{
    *listener = (struct listener){
        .group = {.loop = loop, .config = config, .events = events, .is_public = is_public},
        .fd = fd,
        .handles = 2};
    list_init(&listener->group.conns);
    CHECK(uv_poll_init(&loop->uv, &listener->poll, fd) == 0);
    CHECK(uv_timer_init(&loop->uv, &listener->pause) == 0);
    CHECK(uv_poll_start(&listener->poll, UV_READABLE, on_acceptable) == 0);
}

static void settle(struct listener *listener)
{
    if (listener->handles > 0 || !list_is_empty(&listener->group.conns))
        return;
    listener->group.on_empty = NULL;
    listener->on_drained(listener);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;

    listener->handles--;
    settle(listener);
}

static void on_empty(struct conn_group *group)
{
    settle(container_of(group, struct listener, group));
}

void listener_drain(struct listener *listener, void (*on_drained)(struct listener *listener))
{
    CHECK(!listener->group.draining);
    listener->on_drained = on_drained;
    listener->group.on_empty = on_empty;
    listener->poll.data = listener->pause.data = listener;
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->pause, on_handle_closed);
    close(listener->fd);
    conn_group_drain(&listener->group);
}

void listener_cut(struct listener *listener)
{
    conn_group_cut(&listener->group);
}
