#ifndef CACHE_UPSTREAM_H
#define CACHE_UPSTREAM_H

/*
 * What we know of an upstream registry at run time: whether it is worth asking now, and how it
 * wants to be asked (its last challenge, tokens by scope). Thread: any, all functions.
 *
 * An upstream rests after it did not answer in time (upstream_rest), or as long as it told us to
 * stay away (Retry-After): new work is then answered from the cache or refused at once, so that a
 * dead upstream costs one timeout a window and not one a pull.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/list.h"
#include "wire/challenge.h"

enum {
    UPSTREAM_TOKENS_MAX = 1024,
    UPSTREAM_REST_MAX_MS = 60000,
    UPSTREAM_CROWD_MS = 60000, /* for how long it is not asked for more at once than it gave */
};

struct upstream {
    const struct config_upstream *config; /* borrowed */
    unsigned index;                       /* in the config, and its UPSTREAM label */
    pthread_mutex_t mutex;                /* guards what follows */
    uint64_t rests_until_ms;              /* monotonic */
    enum err rest_reason;
    uint64_t well_ms;           /* when it last answered; 0: never */
    uint64_t rate;              /* bytes a second of one connection, lately; 0: not known */
    bool takes_ranges;          /* it has answered a Range with 206 */
    unsigned crowd;             /* requests for one blob at once that it did not refuse, lately, */
    uint64_t crowd_until_ms;    /* which counts until then */
    struct challenge challenge; /* its last one; scheme NONE: none yet, ask without */
    struct list tokens;         /* newest use first */
    unsigned token_count;
};

struct upstreams {
    struct upstream *list; /* owned; in the config's order */
    size_t count;
};

void upstreams_init(struct upstreams *upstreams, const struct config *config);
void upstreams_release(struct upstreams *upstreams);

/* OK, or why it is not to be asked now; `ret_retry_after` gets the seconds left. */
enum err upstream_is_resting(struct upstream *upstream, uint64_t *ret_retry_after);

/* It answered, and as a registry that is there does. */
void upstream_was_well(struct upstream *upstream);

/* It answered with an error of its own, or refused us: it is reached, but not there for us. */
void upstream_was_ill(struct upstream *upstream);

/* Whether it answered within the last `ms`. */
bool upstream_well_within(struct upstream *upstream, uint64_t ms);

/* It did not answer, or limits us: leave it alone for that long, a minute at most: what was said to
 * one request need not hold for all. */
void upstream_rest(struct upstream *upstream, enum err reason, uint64_t for_ms);

/* `bytes` came on one connection within `us`: the rate follows slowly. */
void upstream_note_rate(struct upstream *upstream, uint64_t bytes, uint64_t us);

/* Bytes a second that one connection brings, or 0. */
uint64_t upstream_rate(struct upstream *upstream);

/* It has answered a Range with 206; whether it ever has. */
void upstream_note_ranges(struct upstream *upstream);
bool upstream_takes_ranges(struct upstream *upstream);

/* It refused one more request for a blob beside `running` others. How many may run at once as far
 * as that is known, at least 1; UINT_MAX: it has refused none lately. */
void upstream_note_crowd(struct upstream *upstream, unsigned running);
unsigned upstream_crowd(struct upstream *upstream);

/* Whether that is what an upstream may say, or do, that has enough of us. Pure. */
bool upstream_is_of_crowd(enum err err);

/* Its challenge, to be met beforehand the next time. */
void upstream_set_challenge(struct upstream *upstream, const struct challenge *challenge);
struct challenge upstream_challenge(struct upstream *upstream);

/* Appends the token for `scope` to `out`. False: there is none that is still good. `ret_is_due`:
 * it will not be good much longer. */
bool upstream_token(struct upstream *upstream, const char *scope, struct buf *out,
                    bool *ret_is_due);
void upstream_set_token(struct upstream *upstream, const char *scope, const char *token,
                        uint64_t life_s);

/* Forgets a token that was refused, if it is still that one. */
void upstream_drop_token(struct upstream *upstream, const char *scope, const char *token);

/* Appends "Basic <base64 of user:password>"; false when there are no credentials. */
bool upstream_basic(const struct upstream *upstream, struct buf *out);

#endif
