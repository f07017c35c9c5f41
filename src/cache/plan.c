#include "cache/plan.h"

#include "base/check.h"

void plan_init(struct plan *plan, const struct extents *present, uint64_t size, uint64_t grid,
               uint64_t most)
{
    CHECK(grid > 0 && most >= grid);
    *plan = (struct plan){.present = present, .size = size, .grid = grid, .most = most};
}

void plan_release(struct plan *plan)
{
    extents_release(&plan->coming);
}

void plan_cover(struct plan *plan, struct extent range)
{
    extents_add(&plan->coming, range);
}

/* The end of the covered run at `offset`, whichever of the two sets its parts are in; `offset`
 * itself when it is not covered. */
static uint64_t run_end(const struct plan *plan, uint64_t offset)
{
    for (;;) {
        uint64_t end = extents_run_end(&plan->coming, extents_run_end(plan->present, offset));
        if (end == offset || end == UINT64_MAX)
            return end;
        offset = end;
    }
}

/* The uncovered run around `offset`, which is not covered. */
static struct extent hole_at(const struct plan *plan, uint64_t offset)
{
    struct extent hole = extents_hole(plan->present, offset);
    struct extent other = extents_hole(&plan->coming, offset);

    if (other.start > hole.start)
        hole.start = other.start;
    if (other.end < hole.end)
        hole.end = other.end;
    return hole;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where the cell of the grid begins, cut or not. */
static uint64_t uncut_floor(const struct plan *plan, uint64_t offset)
{
    return offset - offset % plan->grid;
}

static uint64_t grid_floor(const struct plan *plan, uint64_t offset)
{
    uint64_t floor = uncut_floor(plan, offset);

    for (size_t i = 0; i < 2; i++)
        if (plan->cuts[i] > floor && plan->cuts[i] <= offset)
            floor = plan->cuts[i];
    return floor;
}

static uint64_t grid_ceiling(const struct plan *plan, uint64_t offset)
{
    uint64_t over = offset % plan->grid, ceiling = offset;

    if (over > 0)
        ceiling = offset > UINT64_MAX - plan->grid ? UINT64_MAX : offset - over + plan->grid;
    for (size_t i = 0; i < 2; i++)
        if (plan->cuts[i] >= offset && plan->cuts[i] > 0)
            ceiling = least(ceiling, plan->cuts[i]);
    return ceiling;
}

bool plan_covers(const struct plan *plan, uint64_t offset)
{
    if (!plan->whole_cells)
        return run_end(plan, offset) > offset;
    return run_end(plan, grid_floor(plan, offset)) >=
           least(grid_ceiling(plan, offset + 1), plan->size);
}

bool plan_next(struct plan *plan, struct extent want, struct extent *ret_range)
{
    if (plan->whole_cells)
        want = (struct extent){grid_floor(plan, want.start), grid_ceiling(plan, want.end)};
    want.end = least(want.end, plan->size);
    struct extent gap = {run_end(plan, want.start), want.end};
    if (gap.start >= gap.end)
        return false;
    struct extent hole = hole_at(plan, gap.start);
    gap.end = least(gap.end, hole.end);
    uint64_t floor = grid_floor(plan, gap.start), first = uncut_floor(plan, gap.start);
    uint64_t limit = first > UINT64_MAX - plan->most ? UINT64_MAX : first + plan->most;

    gap.start = floor > hole.start ? floor : hole.start;
    gap.end = least(least(grid_ceiling(plan, gap.end), hole.end), plan->size);
    if (gap.end != UINT64_MAX) /* else nobody knows where to stop */
        gap.end = least(gap.end, limit);
    extents_add(&plan->coming, gap);
    *ret_range = gap;
    return true;
}

void plan_extend(struct plan *plan, struct extent want, struct extent *range)
{
    uint64_t length = range->end - uncut_floor(plan, range->start);
    uint64_t start = want.start > range->end ? want.start : range->end;
    struct extent more;

    if (range->end == UINT64_MAX || length >= plan->most)
        return;
    if (want.end == UINT64_MAX && plan->size == UINT64_MAX)
        return; /* nobody knows where it stops: a request of its own */
    uint64_t room = least(plan->most - length, UINT64_MAX - range->end);
    uint64_t end = least(least(want.end, plan->size), range->end + room);
    if (start >= end || grid_floor(plan, start) > range->end || run_end(plan, start) > start ||
        hole_at(plan, start).start != range->end)
        return; /* not a neighbour, or something of it is here already */
    CHECK(plan_next(plan, (struct extent){start, end}, &more) && more.start == range->end);
    range->end = more.end;
}
