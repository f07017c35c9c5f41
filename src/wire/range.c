#include "wire/range.h"

/* RFC 9110 14.1.1: positions have no upper limit, so those beyond ours are as good as the last. */
static bool parse_position(struct view text, uint64_t *ret_position)
{
    if (text.length == 0)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    if (!view_to_uint64(text, ret_position))
        *ret_position = UINT64_MAX;
    return true;
}

static bool parse_spec(struct view text, struct range_spec *ret_spec)
{
    struct view last = text;
    struct view first = view_cut(&last, '-');
    struct range_spec spec = {RANGE_CLOSED, 0, 0};

    if (first.length == text.length) /* no '-' */
        return false;
    if (first.length == 0)
        spec.shape = RANGE_SUFFIX;
    else if (last.length == 0)
        spec.shape = RANGE_OPEN;
    if (spec.shape != RANGE_SUFFIX && !parse_position(first, &spec.first))
        return false;
    if (spec.shape != RANGE_OPEN && !parse_position(last, &spec.last))
        return false;
    if (spec.shape == RANGE_CLOSED && spec.last < spec.first)
        return false;
    *ret_spec = spec;
    return true;
}

enum range_answer range_parse(struct view value, struct range_spec *specs, size_t capacity,
                              size_t *ret_count)
{
    struct view set = view_trim(value);
    struct view unit = view_cut(&set, '=');
    size_t count = 0;

    /* RFC 9110 14.2: a unit we do not know, and a set that is not valid, are ignored, not refused.
     */
    if (!view_equal_nocase(unit, VIEW("bytes")))
        return RANGE_NONE;
    while (set.length > 0) {
        struct range_spec spec;
        struct view text = view_trim(view_cut(&set, ','));
        if (text.length == 0) /* RFC 9110 5.6.1.2: empty elements of a list do not count */
            continue;
        if (!parse_spec(text, &spec))
            return RANGE_NONE;
        if (count < capacity)
            specs[count] = spec;
        count++;
    }
    if (count == 0)
        return RANGE_NONE;
    /* clients.md B7, P7: 400 is what makes clients ask for fewer. */
    if (count > capacity)
        return RANGE_TOO_MANY;
    *ret_count = count;
    return RANGE_SOME;
}

bool range_resolve(const struct range_spec *spec, uint64_t size, struct extent *ret_extent)
{
    struct extent extent = {spec->first, size};

    if (spec->shape == RANGE_SUFFIX)
        extent.start = spec->last < size ? size - spec->last : 0;
    else if (spec->shape == RANGE_CLOSED && spec->last < size)
        extent.end = spec->last + 1;
    /* RFC 9110 14.1.2: this also covers a suffix of length 0 and an empty representation. */
    if (extent.start >= extent.end)
        return false;
    *ret_extent = extent;
    return true;
}

bool range_parse_content_range(struct view value, struct extent *ret_extent, uint64_t *ret_size)
{
    struct view size_text = view_trim(value);
    struct view unit = view_cut(&size_text, ' ');
    struct view last_text = view_cut(&size_text, '/');
    struct extent extent = {0, 0};
    uint64_t size = UINT64_MAX;
    bool is_size_known = !view_equal(size_text, VIEW("*"));

    /* RFC 9110 14.4 */
    if (!view_equal_nocase(unit, VIEW("bytes")))
        return false;
    if (is_size_known && (!view_to_uint64(size_text, &size) || size == UINT64_MAX))
        return false;
    if (view_equal(last_text, VIEW("*"))) {
        if (!is_size_known)
            return false;
    } else {
        struct view first_text = view_cut(&last_text, '-');
        uint64_t last;
        if (!view_to_uint64(first_text, &extent.start) || !view_to_uint64(last_text, &last) ||
            last < extent.start || last >= size)
            return false;
        extent.end = last + 1;
    }
    *ret_extent = extent;
    *ret_size = size;
    return true;
}
