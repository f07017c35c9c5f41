#ifndef CACHE_TOKEN_H
#define CACHE_TOKEN_H

/*
 * Bearer tokens (distribution's token specification): one request to the token server per upstream
 * and scope, however many want it, through a flight; kept in the upstream until shortly before it
 * expires, and renewed behind the scenes before that.
 */

#include "cache/flight.h"
#include "cache/store.h"
#include "cache/upstream.h"
#include "io/transfer.h"

/* Calls to one upstream that may run at once, and those that wait for one of them to end. */
struct lane {
    unsigned running;
    struct list waiting;
};

/* What talks to upstreams on one fetch loop. */
struct calls {
    struct loop *loop;          /* borrowed */
    struct store *store;        /* borrowed */
    struct transfers transfers; /* contents owned */
    struct lane *lanes;         /* owned; two for each upstream, see call.h */
};

/*
 * Gets a token for `scope` as `challenge` demands it (and for the scope that it names, if it does:
 * the token is kept under `scope` all the same), joining a request that is under way. The
 * answer's `err` is OK when upstream_token() will find one. With a NULL caller it is a renewal
 * nobody waits for. Thread: calls->loop, and caller->loop is that too.
 */
void token_get(struct calls *calls, struct upstream *upstream, const struct challenge *challenge,
               const char *scope, struct flight_caller *caller);

#endif
