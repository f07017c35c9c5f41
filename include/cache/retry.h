#ifndef CACHE_RETRY_H
#define CACHE_RETRY_H

/*
 * Whether and when a fill tries again: a bounded number of failures in a row, with a pause that
 * doubles; a new byte begins a new row. Pure: no clock, no timer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"

struct retry {
    unsigned failures; /* in a row */
};

/* A try has failed with `err`; `progressed`: after new bytes. */
void retry_note(struct retry *retry, bool progressed);

/*
 * Whether to try again. `fresh`: the fill has had no byte yet; its clients still have better hosts
 * to ask, so an upstream that cannot be reached is not tried for long. `retry_after_s`: what the
 * upstream told us to wait, or 0; what is longer than a client would wait is not waited for.
 */
bool retry_is_due(const struct retry *retry, const struct config *config, enum err err, bool fresh,
                  uint64_t retry_after_s);

/* How long to wait before it. */
uint64_t retry_pause_ms(const struct retry *retry, const struct config *config,
                        uint64_t retry_after_s);

#endif
