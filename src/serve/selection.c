#include "serve/selection.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { EXCESS_FREE = 1 << 20 };

enum err selection_read(struct selection *selection, struct view range)
{
    struct range_spec specs[SELECTION_RANGES_MAX];
    size_t count;

    switch (range_parse(range, specs, SELECTION_RANGES_MAX, &count)) {
    case RANGE_NONE:
        return OK;
    case RANGE_SOME:
        break;
    case RANGE_TOO_MANY:
        return ERR_TOO_MANY_RANGES;
    }
    selection->specs = check_malloc(count * sizeof(*specs));
    memcpy(selection->specs, specs, count * sizeof(*specs));
    selection->count = count;
    return OK;
}

void selection_release(struct selection *selection)
{
    free(selection->specs);
    *selection = (struct selection){0};
}

bool selection_is_outside(const struct selection *selection, uint64_t size)
{
    struct extent extent;

    for (size_t i = 0; i < selection->count; i++)
        if (range_resolve(&selection->specs[i], size, &extent))
            return false;
    return selection->count > 0;
}

/* RFC 9110 14.2: overlapping ranges may be an attack: the answer would be many times the blob. */
bool selection_is_excessive(const struct selection *selection, uint64_t size)
{
    uint64_t room = size > INT64_MAX / 2 ? INT64_MAX : 2 * size + EXCESS_FREE;
    struct extent extent;

    for (size_t i = 0; i < selection->count; i++) {
        if (!range_resolve(&selection->specs[i], size, &extent))
            continue;
        if (extent.end - extent.start > room)
            return true;
        room -= extent.end - extent.start;
    }
    return false;
}

bool selection_needs_size(const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        enum range_shape shape = selection->specs[i].shape;
        if (shape == RANGE_SUFFIX || (shape == RANGE_OPEN && selection->count > 1))
            return true;
    }
    return false;
}

struct extent selection_first(const struct selection *selection, uint64_t size)
{
    struct extent extent = {0, size};

    for (size_t i = 0; i < selection->count; i++)
        if (range_resolve(&selection->specs[i], size, &extent))
            return extent;
    return selection->count == 0 ? extent : (struct extent){0, 0};
}

bool selection_is_rest(const struct selection *selection, uint64_t size, uint64_t *ret_offset)
{
    const struct range_spec *spec = selection->specs;
    struct extent extent = {0, size};

    if (selection->count > 1)
        return false;
    if (selection->count == 1 && !range_resolve(spec, size, &extent))
        return false;
    if (selection->count == 1 && spec->shape != RANGE_OPEN &&
        (extent.start > 0 || extent.end < size))
        return false;
    *ret_offset = extent.start;
    return true;
}

struct extent *selection_extents(const struct selection *selection, uint64_t size,
                                 size_t *ret_count)
{
    struct extent *extents = check_malloc((selection->count + 1) * sizeof(*extents));
    size_t count = 0;

    for (size_t i = 0; i < selection->count; i++)
        count += range_resolve(&selection->specs[i], size, &extents[count]);
    if (selection->count == 0)
        extents[count++] = (struct extent){0, size};
    *ret_count = count;
    return extents;
}
