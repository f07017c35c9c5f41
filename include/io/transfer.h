#ifndef IO_TRANSFER_H
#define IO_TRANSFER_H

/*
 * One HTTP transfer to an upstream on a fetch loop (libcurl multi): one request, its head, its body
 * piece by piece, and exactly one end. It knows no registry: no tokens, no redirects, no retries.
 *
 *   RUNNING --on_head?, on_body*--> on_end     (never from inside transfer_start)
 *      `------transfer_cancel()---> gone, nothing more is called
 *
 * Thread: the loop's own, all functions.
 */

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"
#include "io/watch.h"

struct transfer;

/* All transfers of one fetch loop; they share connections. */
struct transfers {
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    CURLM *multi;                /* owned */
    uv_timer_t timer;            /* curl's */
    struct mail reap;            /* to ourselves: free what was cancelled inside a curl callback */
    struct list dead;
    struct list running;
    struct list starting;       /* while curl calls us: to be given to it when it has returned */
    struct list refused;        /* while curl calls us: on_body said no, the end is to come */
    struct mail go_on;          /* to ourselves: there are some in */
    struct list resuming;       /* that were held back, and are not to be any more */
    struct list bereft;         /* while curl calls us: that lost a connection before their head */
    struct buf gathered;        /* owned; a piece of a body, */
    struct transfer *gathering; /* and whose it is; NULL: nobody's, and it is empty */
    struct watches watches;     /* of curl's sockets */
    unsigned timers;            /* uv handles not yet closed */
    uint64_t failed_ms;         /* when nobody was met at an address the last time; 0: never */
    bool inside;                /* curl is calling us */
};

struct transfer_events {
    /* The head has come (not a 1xx). An error ends the transfer with it. */
    enum err (*on_head)(struct transfer *transfer, int status);
    /* Some bytes of the body, at most 1 MiB. An error ends the transfer with it. */
    enum err (*on_body)(struct transfer *transfer, const void *data, size_t length);
    /* Whether the body is to wait at its upstream for now; NULL: never. No deadline runs then.
     * Asked before each piece; transfer_resume() has it asked again. */
    bool (*is_held)(struct transfer *transfer);
    /* The end: OK when the whole answer came. The transfer is freed after it. */
    void (*on_end)(struct transfer *transfer, enum err err);
};

enum transfer_method { TRANSFER_GET, TRANSFER_HEAD };

struct transfer_request {
    enum transfer_method method;
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end; copied */
    const char *ca_file;        /* or NULL; copied */
    unsigned upstream;          /* for stats */
};

void transfers_init(struct transfers *transfers, struct loop *loop, const struct config *config);

/* Ends every transfer that runs with `err`, as if it had failed. */
void transfers_fail(struct transfers *transfers, enum err err);

/* Closes connections, and lets the loop end. Nothing may be running. */
void transfers_stop(struct transfers *transfers);
void transfers_release(struct transfers *transfers);

/* Starts a transfer; `owner` is for the callbacks: transfer_owner(). Never fails: what goes wrong
 * is told by on_end. */
struct transfer *transfer_start(struct transfers *transfers, const struct transfer_request *request,
                                const struct transfer_events *events, void *owner);
void *transfer_owner(const struct transfer *transfer);

/* Has a body that was held back go on, soon; harmless to one that was not, and to NULL. */
void transfer_resume(struct transfer *transfer);

/* Ends it now, without another callback. NULL is harmless. */
void transfer_cancel(struct transfer *transfer);

/* The last field of that name in the head, or the empty view; valid until the callback returns. */
struct view transfer_field(struct transfer *transfer, const char *name);

/* All fields of that name, in their order, with ", " between them (RFC 9110 5.3). */
void transfer_fields(struct transfer *transfer, const char *name, struct buf *out);

/* curl's words on what went wrong, for the log; "" when it has none. During on_end only. */
const char *transfer_problem(const struct transfer *transfer);

#endif
