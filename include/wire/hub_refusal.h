#ifndef WIRE_HUB_REFUSAL_H
#define WIRE_HUB_REFUSAL_H

/*
 * How a Hugging Face hub refuses: from the head of its answer to an error of ours, a sentence for
 * the person who asked, and how long to wait. Pure; fuzzed. Thread: any.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    HUB_REFUSAL_WORDS_MAX = 200,  /* bytes of the hub's own words that a sentence repeats */
    HUB_REFUSAL_CODE_SIZE = 32,   /* of an X-Error-Code: no longer one is known */
    HUB_REFUSAL_BODY_MAX = 4096,  /* bytes of a body that are read for its words */
    HUB_REFUSAL_WAIT_MAX = 86400, /* seconds */
};

/*
 * What an answer that is not a 2xx means, from its status, X-Error-Code and X-Error-Message (empty
 * when absent): an error, and in `sentence`, which is overwritten, what to tell a person. What the
 * hub says goes in cut to HUB_REFUSAL_WORDS_MAX printable ASCII bytes without quotes and
 * backslashes. `repository` is only named.
 *
 *   ERR_UPSTREAM_REFUSED   gated, disabled, or not to be read with this token, or without one
 *   ERR_NAME_UNKNOWN       no such repository, or one that is hidden from us; a 404 or 410
 *                          that gives no code
 *   ERR_MANIFEST_UNKNOWN   no such revision
 *   ERR_BLOB_UNKNOWN       no such file at that revision
 *   ERR_UPSTREAM_LIMITED   429; hub_refusal_wait() says how long
 *   ERR_UPSTREAM_FAILED    408 and 5xx, whatever else they say
 *                          (a 503 that tells how long to stay away is a limit, to its caller)
 *   ERR_UPSTREAM_NONSENSE  anything else
 */
enum err hub_refusal_read(unsigned status, struct view code, struct view message,
                          struct view repository, struct buf *sentence) MUST_CHECK;

/* The sentence for one of where the hub has the bytes of large files, which knows no repositories:
 * its status, and its words if it has any. `sentence` is overwritten. */
void hub_refusal_of_storage(unsigned status, struct view message, struct buf *sentence);

/*
 * The words that stand in the body of such an answer, {"error": "..."}, for one whose head has no
 * X-Error-Message: appends them to `words`, as they are. False: it is nothing of the kind, or
 * longer than HUB_REFUSAL_BODY_MAX.
 */
bool hub_refusal_words(struct view body, struct buf *words);

/*
 * How long to ask nothing more, in seconds, from RateLimit and Retry-After (empty when absent): the
 * longest `t` of the limits of which nothing remains, as in `"api";r=0;t=123`; without one,
 * Retry-After, measured against `now` (seconds since the epoch); without both, `otherwise`. At most
 * HUB_REFUSAL_WAIT_MAX, unless `otherwise` is more.
 */
uint64_t hub_refusal_wait(struct view rate_limit, struct view retry_after, int64_t now,
                          uint64_t otherwise);

#endif
