#ifndef MODEL_IMPORT_RETRY_H
#define MODEL_IMPORT_RETRY_H

/*
 * Whether and when an import tries again what has failed, or a question to the hub that may begin
 * one. Pure: no clock, no timer.
 *
 * What may pass by itself is tried again after 1, 2, 4 s and so on, a minute at most, and only a
 * few times in a row. A hub that says when to come again is there, and is waited for as it says, a
 * quarter of an hour at a time at most. That does not count as a try, but its sum is bounded:
 *
 *                      tries in a row                              waiting, together
 *   a job              8, which takes three minutes                4 hours
 *   a client's ask     3; 1 when the hub cannot be reached, and    15 minutes
 *                      0 when it does not answer: its client is
 *                      to hear of that, not only that we wait
 *
 * A job is an import, and an ask that is to come to its end whoever waits for it: a person's, or
 * one of before the restart.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* All-zero begins anew: whoever gets on does that. */
struct import_retry {
    unsigned tries;      /* in a row that failed, */
    unsigned waits;      /* and that the hub put off, */
    uint64_t waiting_ms; /* for so long together */
};

/*
 * It has failed with `err`; `told_s` is what the hub said to wait, or 0. False: for good. Else
 * `*ret_pause_ms` is how long to ask nothing.
 */
bool import_retry_next(struct import_retry *retry, bool is_job, enum err err, uint64_t told_s,
                       uint64_t *ret_pause_ms);

#endif
