#ifndef CACHE_FETCH_STATE_H
#define CACHE_FETCH_STATE_H

/*
 * The states of a fetch, as fetch.h draws them, and which of them may follow which. Pure, but for a
 * line in the log.
 */

#include "base/digest.h"

enum fetch_state {
    FETCH_CALL,
    FETCH_PAUSE,
    FETCH_ROOM,
    FETCH_IDLE,
    FETCH_HASH,
    FETCH_LEARN,
    FETCH_SETTLE,
    FETCH_ENDING,
};

enum { FETCH_STATE_COUNT = FETCH_ENDING + 1 };

/* CHECKs that there is such an edge, and tells of it when the log is at debug. */
void fetch_state_set(enum fetch_state *state, enum fetch_state next, const struct digest *digest);

#endif
