#ifndef CACHE_PORTION_H
#define CACHE_PORTION_H

/*
 * In what portions a large blob is brought: how many requests for it may run at once, and how much
 * each of them asks for. Pure. Thread: any.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

enum {
    PORTION_MIN = 4 << 20, /* bytes */
    PORTION_MAX = 32 << 20,
    PORTION_PARKED_EXTRA = 8,
};

/*
 * The bytes of a request, a multiple of `grid`, when `missing` bytes are neither here nor on their
 * way: what one connection brings in about a second (`rate`, bytes a second, or 0), so that whoever
 * waits is served in his turn, and less at the end, so that all end together. From PORTION_MIN to
 * PORTION_MAX, before it is rounded up to the grid.
 */
uint64_t portion_size(const struct config *config, uint64_t missing, uint64_t rate, uint64_t grid);

/*
 * How many requests may run at once: blob_connections, and PORTION_PARKED_EXTRA more where the next
 * one is for a reader who waits for it (`is_parked`); at most `crowd`, which is what the upstream
 * bears. `cell`: so many bytes are lost with a crash as long as not all of them are here, or 0: as
 * many cells may be under way as make half of `checkpoint`, and one in any case.
 */
uint64_t portion_count(const struct config *config, bool is_parked, uint64_t crowd, uint64_t cell);

#endif
