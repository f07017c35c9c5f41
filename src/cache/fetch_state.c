#include "cache/fetch_state.h"

#include <stdbool.h>

#include "base/check.h"
#include "base/log.h"

void fetch_state_set(enum fetch_state *state, enum fetch_state next, const struct digest *digest)
{
    static const char *const names[FETCH_STATE_COUNT] = {"CALL", "PAUSE", "ROOM",   "IDLE",
                                                         "HASH", "LEARN", "SETTLE", "ENDING"};
    static const bool edges[FETCH_STATE_COUNT][FETCH_STATE_COUNT] = {
        [FETCH_CALL] = {[FETCH_PAUSE] = true,
                        [FETCH_ROOM] = true,
                        [FETCH_IDLE] = true,
                        [FETCH_HASH] = true,
                        [FETCH_ENDING] = true},
        [FETCH_ROOM] = {[FETCH_CALL] = true, [FETCH_ENDING] = true},
        [FETCH_PAUSE] =
            {[FETCH_CALL] = true, [FETCH_ROOM] = true, [FETCH_HASH] = true, [FETCH_ENDING] = true},
        [FETCH_IDLE] = {[FETCH_CALL] = true, [FETCH_ENDING] = true},
        [FETCH_HASH] = {[FETCH_LEARN] = true, [FETCH_SETTLE] = true, [FETCH_ENDING] = true},
        [FETCH_LEARN] = {[FETCH_SETTLE] = true},
        [FETCH_SETTLE] = {[FETCH_ENDING] = true},
    };
    struct log_line line;
    char text[DIGEST_TEXT_SIZE];

    CHECK(edges[*state][next]);
    if (log_begin(&line, CONFIG_LOG_DEBUG, "fetch")) {
        log_text(&line, "digest", view_of(digest_print(digest, text)));
        log_text(&line, "from", view_of(names[*state]));
        log_text(&line, "to", view_of(names[next]));
        log_end(&line);
    }
    *state = next;
}
