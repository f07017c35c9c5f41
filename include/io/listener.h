#ifndef IO_LISTENER_H
#define IO_LISTENER_H

/*
 * One listening socket of one loop. All serve loops listen on the same address (SO_REUSEPORT); the
 * kernel spreads the connections among them.
 */

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "io/conn.h"
#include "io/loop.h"

struct listener {
    struct conn_group group;
    uv_poll_t poll;
    uv_timer_t pause; /* runs after accept() ran out of descriptors */
    int fd;
    unsigned handles; /* not yet closed */
    void (*on_drained)(struct listener *listener);
};

/*
 * Binds and listens on "host:port". `alone` refuses an address that another process listens on;
 * the further sockets of a group pass false. `ret_address` gets the actual address, so that port 0
 * is resolved by the first socket for all. On an error the reason is in `ret_problem`. Thread: any.
 */
enum err listener_bind(const char *address, bool alone, int *ret_fd, struct buf *ret_address,
                       struct buf *ret_problem) MUST_CHECK;

/* Takes over `fd` and starts accepting. `is_public`: clients come here. Thread: the loop's own, as
 * all below; or before it runs. */
void listener_init(struct listener *listener, struct loop *loop, int fd,
                   const struct config *config, const struct conn_events *events, bool is_public);

/* Stops accepting, and drains the connections. `on_drained` comes once, when all are gone. */
void listener_drain(struct listener *listener, void (*on_drained)(struct listener *listener));

/* After listener_drain(): closes every connection that is left. */
void listener_cut(struct listener *listener);

#endif
