#include "wire/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/config_upstream.h"
#include "base/pattern.h"

const char *filter_fault(struct view pattern)
{
    if (pattern.length == 0)
        return "is no pattern; write a path in which * stands for any characters";
    if (pattern.length > FILTER_PATTERN_MAX)
        return "is longer than a pattern may be, 512 bytes";
    if (!config_text_is_clean(pattern))
        return "is not UTF-8 without control characters";
    if (pattern.data[0] == '/' || view_starts_with(pattern, VIEW("./")))
        return "matches nothing: paths begin with the name of a file or folder";
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const struct view *left = a, *right = b;
    size_t shorter = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->data, right->data, shorter);

    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

static void print(struct view *patterns, size_t count, const char *sign, struct buf *out)
{
    if (count > 1)
        qsort(patterns, count, sizeof(*patterns), compare);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && view_equal(patterns[i - 1], patterns[i]))
            continue;
        buf_append_text(out, sign);
        buf_append_view(out, patterns[i]);
        buf_append_text(out, "\n");
    }
}

void filter_print(struct view *include, size_t include_count, struct view *exclude,
                  size_t exclude_count, struct buf *out)
{
    buf_append_text(out, ""); /* a NUL, when there is nothing */
    print(include, include_count, "+", out);
    print(exclude, exclude_count, "-", out);
}

static bool matches(struct view pattern, struct view path)
{
    struct view folder = path;

    if (!view_ends_with(pattern, VIEW("/")))
        return pattern_match(pattern, path);
    for (size_t i = 0; i < path.length; i++) {
        folder.length = i + 1;
        if (path.data[i] == '/' && pattern_match(pattern, folder))
            return true;
    }
    return false;
}

bool filter_takes(const char *filter, struct view path)
{
    bool is_chosen = filter[0] != '+'; /* those of `include` come first */

    for (struct view rest = view_of(filter); rest.length > 0;) {
        struct view line = view_cut(&rest, '\n');
        struct view pattern = {line.data + 1, line.length - 1};
        if (line.data[0] == '+')
            is_chosen = is_chosen || matches(pattern, path);
        else if (is_chosen && matches(pattern, path))
            return false;
    }
    return is_chosen;
}
