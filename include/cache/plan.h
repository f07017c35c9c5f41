#ifndef CACHE_PLAN_H
#define CACHE_PLAN_H

/*
 * Which bytes of a blob to ask its source for next. Pure: no clock, no I/O.
 *
 * What readers want is offered range by range, the most urgent first. A request begins at the first
 * byte of it that is neither here nor on its way, and is widened to the grid as far as bytes are
 * missing there, so that no byte is ever asked for twice.
 *
 * Where bytes are of use only with all of their cell of the grid (it is verified as a whole), what
 * is wanted is widened to whole cells first, so that the rest of one that broke off is asked for
 * too. Such cells may be cut in two.
 *
 *   plan_init -> (plan_next | plan_extend)* -> plan_release
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/extents.h"

struct plan {
    const struct extents *present; /* borrowed */
    struct extents coming;         /* on its way, or planned; owned */
    uint64_t size;                 /* of the blob; UINT64_MAX: not known yet */
    uint64_t grid;
    uint64_t most;    /* bytes of one request; at least `grid` */
    bool whole_cells; /* see above; false after plan_init(), for the caller to set, as */
    uint64_t cuts[2]; /* where cells are cut, but for 0 */
};

/* `present` may not change meanwhile; plan_cover() adds what is on its way. */
void plan_init(struct plan *plan, const struct extents *present, uint64_t size, uint64_t grid,
               uint64_t most);
void plan_release(struct plan *plan);

/* These bytes need not be asked for. */
void plan_cover(struct plan *plan, struct extent range);

/* Whether the byte at `offset`, or all of its cell, is here, on its way, or planned. */
bool plan_covers(const struct plan *plan, uint64_t offset);

/*
 * The request for the first bytes of `want` that are not covered, which are covered then. False,
 * leaving `*ret_range` alone, when there are none. `want.end` UINT64_MAX: to the end; of a blob
 * whose size is not known the request is open-ended too (`ret_range->end` is UINT64_MAX), whatever
 * `most` says.
 */
bool plan_next(struct plan *plan, struct extent want, struct extent *ret_range);

/* Lengthens `*range`, which plan_next() gave, by what `want` lacks of the bytes right behind it:
 * one request for neighbours. */
void plan_extend(struct plan *plan, struct extent want, struct extent *range);

#endif
