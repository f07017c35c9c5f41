#include "base/extents.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Index of the first range whose end is at or beyond `offset`; `count` if there is none. */
static size_t first_ending_at_or_after(const struct extents *set, uint64_t offset)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (set->ranges[mid].end < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void make_room(struct extents *set)
{
    if (set->count < set->capacity)
        return;
    set->capacity = set->capacity ? 2 * set->capacity : 4;
    set->ranges = check_realloc(set->ranges, set->capacity * sizeof(*set->ranges));
}

void extents_release(struct extents *set)
{
    free(set->ranges);
    *set = (struct extents){0};
}

void extents_add(struct extents *set, struct extent range)
{
    if (range.start == range.end)
        return;

    /* [first, last) are the ranges that overlap or touch `range`: they melt into it. */
    size_t first = first_ending_at_or_after(set, range.start), last = first;
    while (last < set->count && set->ranges[last].start <= range.end)
        last++;

    if (first == last) {
        make_room(set);
        set->total += range.end - range.start;
        memmove(&set->ranges[first + 1], &set->ranges[first],
                (set->count - first) * sizeof(*set->ranges));
        set->ranges[first] = range;
        set->count++;
        return;
    }

    struct extent *merged = &set->ranges[first];
    uint64_t last_end = set->ranges[last - 1].end;
    for (size_t i = first; i < last; i++)
        set->total -= set->ranges[i].end - set->ranges[i].start;
    if (range.start < merged->start)
        merged->start = range.start;
    merged->end = range.end > last_end ? range.end : last_end;
    set->total += merged->end - merged->start;
    memmove(merged + 1, &set->ranges[last], (set->count - last) * sizeof(*set->ranges));
    set->count -= last - first - 1;
}

void extents_remove(struct extents *set, struct extent range)
{
    if (range.start == range.end)
        return;

    /* [first, last) are the ranges that overlap `range`. */
    size_t first = first_ending_at_or_after(set, range.start + 1), last = first;
    while (last < set->count && set->ranges[last].start < range.end)
        last++;
    if (first == last)
        return;

    struct extent left = {set->ranges[first].start, range.start};
    struct extent right = {range.end, set->ranges[last - 1].end};
    for (size_t i = first; i < last; i++)
        set->total -= set->ranges[i].end - set->ranges[i].start;
    memmove(&set->ranges[first], &set->ranges[last], (set->count - last) * sizeof(*set->ranges));
    set->count -= last - first;
    if (left.start < left.end)
        extents_add(set, left);
    if (right.start < right.end)
        extents_add(set, right);
}

uint64_t extents_total(const struct extents *set)
{
    return set->total;
}

uint64_t extents_end(const struct extents *set)
{
    return set->count == 0 ? 0 : set->ranges[set->count - 1].end;
}

uint64_t extents_run_end(const struct extents *set, uint64_t offset)
{
    size_t i = first_ending_at_or_after(set, offset + 1);

    if (i == set->count || set->ranges[i].start > offset)
        return offset;
    return set->ranges[i].end;
}

bool extents_first_gap(const struct extents *set, struct extent within, struct extent *ret_gap)
{
    uint64_t start = extents_run_end(set, within.start);
    if (start >= within.end)
        return false;

    size_t next = first_ending_at_or_after(set, start + 1);
    uint64_t end = within.end;
    if (next < set->count && set->ranges[next].start < end)
        end = set->ranges[next].start;
    *ret_gap = (struct extent){start, end};
    return true;
}

uint64_t extents_missing(const struct extents *set, struct extent within)
{
    uint64_t missing = within.end - within.start;

    if (set->count == 0 || (within.start <= set->ranges[0].start && within.end >= extents_end(set)))
        return missing - set->total;
    for (size_t i = first_ending_at_or_after(set, within.start);
         i < set->count && set->ranges[i].start < within.end; i++) {
        const struct extent *range = &set->ranges[i];
        uint64_t start = range->start > within.start ? range->start : within.start;
        missing -= (range->end < within.end ? range->end : within.end) - start;
    }
    return missing;
}

struct extent extents_hole(const struct extents *set, uint64_t offset)
{
    size_t next = first_ending_at_or_after(set, offset + 1);
    struct extent hole = {0, UINT64_MAX};

    if (next > 0)
        hole.start = set->ranges[next - 1].end;
    if (next < set->count)
        hole.end = set->ranges[next].start;
    CHECK(hole.start <= offset && offset < hole.end);
    return hole;
}

void extents_copy(const struct extents *set, struct extents *copy)
{
    CHECK(copy->count == 0);
    if (set->count == 0)
        return;
    if (copy->capacity < set->count) {
        copy->capacity = set->count;
        copy->ranges = check_realloc(copy->ranges, copy->capacity * sizeof(*copy->ranges));
    }
    copy->count = set->count;
    copy->total = set->total;
    memcpy(copy->ranges, set->ranges, set->count * sizeof(*set->ranges));
}
