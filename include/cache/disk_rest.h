#ifndef CACHE_DISK_REST_H
#define CACHE_DISK_REST_H

/*
 * A disk that did not take a write rests a moment: what would need new bytes is refused at once,
 * rather than fetched in vain, and one request a rest is let through to see whether the disk takes
 * writes again. The first write that succeeds ends it. An all-zero struct is a disk that is well.
 * Thread: any.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { DISK_REST_MS = 2000, DISK_PRESS_PAUSE_MS = 300000 };

struct disk_rest {
    _Atomic int err;           /* of the last write, if that failed; OK */
    _Atomic uint64_t until_ms; /* who comes then is the next to try */
    _Atomic uint64_t press_not_before_ms;
};

/* OK: write. Else the error that the last write failed with, a moment ago. */
enum err disk_rest_ask(struct disk_rest *rest, uint64_t now_ms) MUST_CHECK;

/* A write has ended with `err`, which may be OK. */
void disk_rest_note(struct disk_rest *rest, enum err err, uint64_t now_ms);

/*
 * Whether to evict for a disk that was full before the budget is. Once in DISK_PRESS_PAUSE_MS, as
 * long as no write succeeds: where that does not help, because it is a quota or somebody else who
 * fills the disk, the cache would go bit by bit for nothing.
 */
bool disk_rest_may_press(struct disk_rest *rest, uint64_t now_ms);

/* There is now what may go: whoever has filled the disk has given up. */
void disk_rest_allow_press(struct disk_rest *rest);

#endif
