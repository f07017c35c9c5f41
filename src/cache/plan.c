#include "cache/plan.h"

#include "base/check.h"

void plan_init(struct plan *plan, const struct extents *present, uint64_t size, uint64_t grid,
               uint64_t most)
{
    CHECK(grid > 0 && most >= grid);
    *plan = (struct plan){.size = size, .grid = grid, .most = most};
    extents_copy(present, &plan->covered);
}

void plan_release(struct plan *plan)
{
    extents_release(&plan->covered);
}

void plan_cover(struct plan *plan, struct extent range)
{
    extents_add(&plan->covered, range);
}

static uint64_t grid_floor(const struct plan *plan, uint64_t offset)
{
    return offset - offset % plan->grid;
}

static uint64_t grid_ceiling(const struct plan *plan, uint64_t offset)
{
    uint64_t over = offset % plan->grid;

    if (over == 0)
        return offset;
    return offset > UINT64_MAX - plan->grid ? UINT64_MAX : offset - over + plan->grid;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool plan_next(struct plan *plan, struct extent want, struct extent *ret_range)
{
    struct extent gap;

    want.end = least(want.end, plan->size);
    if (want.start >= want.end || !extents_first_gap(&plan->covered, want, &gap))
        return false;
    struct extent hole = extents_hole(&plan->covered, gap.start);
    uint64_t floor = grid_floor(plan, gap.start);
    uint64_t limit = floor > UINT64_MAX - plan->most ? UINT64_MAX : floor + plan->most;

    gap.start = floor > hole.start ? floor : hole.start;
    gap.end = least(least(grid_ceiling(plan, gap.end), hole.end), plan->size);
    if (gap.end != UINT64_MAX) /* else nobody knows where to stop */
        gap.end = least(gap.end, limit);
    extents_add(&plan->covered, gap);
    *ret_range = gap;
    return true;
}

void plan_extend(struct plan *plan, struct extent want, struct extent *range)
{
    uint64_t length = range->end - grid_floor(plan, range->start);
    uint64_t start = want.start > range->end ? want.start : range->end;
    struct extent more;

    if (range->end == UINT64_MAX || length >= plan->most)
        return;
    if (want.end == UINT64_MAX && plan->size == UINT64_MAX)
        return; /* nobody knows where it stops: a request of its own */
    uint64_t room = least(plan->most - length, UINT64_MAX - range->end);
    uint64_t end = least(least(want.end, plan->size), range->end + room);
    if (start >= end || grid_floor(plan, start) > range->end ||
        extents_run_end(&plan->covered, start) > start ||
        extents_hole(&plan->covered, start).start != range->end)
        return; /* not a neighbour, or something of it is here already */
    CHECK(plan_next(plan, (struct extent){start, end}, &more) && more.start == range->end);
    range->end = more.end;
}
