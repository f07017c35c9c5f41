#ifndef MODEL_HUB_GET_H
#define MODEL_HUB_GET_H

/*
 * One GET of a hub into memory: its JSON, or a small file. Embedded in its owner. Thread: the
 * loop's own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cache/call.h"

struct hub_get {
    struct call *call;         /* NULL: it has ended */
    struct upstream *upstream; /* borrowed */
    char *path;                /* owned; what was asked for */
    struct buf body;           /* owned */
    uint64_t limit;
    char *next;           /* owned; the path of the next page, or NULL */
    struct buf sentence;  /* owned; on an error what the hub says of it, or "" */
    uint64_t retry_after; /* seconds, or 0 */
    void (*on_end)(struct hub_get *get, enum err err);
};

/* Asks for `path`, behind the hub's URL, on behalf of `repository`, for words on errors. More than
 * `limit` bytes are ERR_UPSTREAM_NONSENSE. An all-zero one, or one that has ended, can be started;
 * `on_end` never comes from inside. */
void hub_get_start(struct hub_get *get, struct calls *calls, struct upstream *upstream,
                   const char *repository, const char *path, uint64_t limit,
                   void (*on_end)(struct hub_get *get, enum err err));

/* Ends it without on_end, and frees what it has. Harmless to an all-zero one. */
void hub_get_release(struct hub_get *get);

#endif
