#ifndef MODEL_WINDOW_H
#define MODEL_WINDOW_H

/*
 * A view on a part of a long text that is written from its beginning, or from any place of it that
 * can be computed: what falls outside the part is counted and dropped. So one function that writes
 * a text serves any range of it, without the text ever being in memory.
 *
 * Pure. A plain value; there is nothing to release.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct window {
    uint64_t at;         /* offset in the text of what is put next */
    uint64_t start, end; /* the part that is wanted */
    uint8_t *out;        /* borrowed; where byte `start` goes; room for end - start */
};

/* Puts bytes at `at` and moves on behind them. */
void window_put(struct window *window, const void *data, size_t length);
void window_put_view(struct window *window, struct view view);
void window_put_zeros(struct window *window, uint64_t count);

/* Puts a number in decimal. */
void window_put_number(struct window *window, uint64_t number);

#endif
