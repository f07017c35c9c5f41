#include "cache/footprint.h"

static uint64_t block_floor(uint64_t offset)
{
    return offset - offset % FOOTPRINT_BLOCK;
}

/* UINT64_MAX where it would be beyond that. */
static uint64_t block_ceiling(uint64_t offset)
{
    uint64_t over = offset % FOOTPRINT_BLOCK;

    if (over == 0)
        return offset;
    return offset > UINT64_MAX - FOOTPRINT_BLOCK ? UINT64_MAX : offset - over + FOOTPRINT_BLOCK;
}

uint64_t footprint_of_size(uint64_t size)
{
    return size == 0 ? 0 : block_ceiling(size) + FOOTPRINT_BLOCK;
}

uint64_t footprint_of_extents(const struct extents *present)
{
    uint64_t bytes = present->count > 0 ? FOOTPRINT_BLOCK : 0, counted = 0;

    for (size_t i = 0; i < present->count; i++) {
        uint64_t start = block_floor(present->ranges[i].start);
        uint64_t end = block_ceiling(present->ranges[i].end);
        if (start < counted)
            start = counted; /* two ranges lie in one block */
        bytes += end - start;
        counted = end;
    }
    return bytes;
}

uint64_t footprint_of_record(const struct blob_record *record)
{
    return record->complete ? footprint_of_size(record->size)
                            : footprint_of_extents(&record->present);
}

uint64_t footprint_growth(const struct extents *present, struct extent gap)
{
    struct extent hole = extents_hole(present, gap.start);
    uint64_t start = block_floor(gap.start), end = block_ceiling(gap.end);

    if (hole.start > start) /* something of that block is there already */
        start += FOOTPRINT_BLOCK;
    if (hole.end < end)
        end -= FOOTPRINT_BLOCK;
    return (start < end ? end - start : 0) + (present->count == 0 ? FOOTPRINT_BLOCK : 0);
}

uint64_t footprint_missing(const struct extents *present, struct extent range)
{
    uint64_t bytes = 0;
    struct extent gap;

    while (range.start < range.end && extents_first_gap(present, range, &gap)) {
        bytes += footprint_growth(present, gap);
        range.start = gap.end;
    }
    return bytes;
}
