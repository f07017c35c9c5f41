#include "model/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"

/* ---- names ---- */

/* Bytes of the UTF-8 character at the beginning; 0 when there is none (RFC 3629 4). */
static size_t character_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t length;
    } shapes[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        size_t length = shapes[i].length;
        if (at[0] < shapes[i].first_min || at[0] > shapes[i].first_max)
            continue;
        if (length > left)
            return 0;
        if (length > 1 && (at[1] < shapes[i].second_min || at[1] > shapes[i].second_max))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

static bool is_utf8(struct view text)
{
    const unsigned char *at = (const unsigned char *)text.data;

    for (size_t i = 0, length; i < text.length; i += length) {
        length = character_length(at + i, text.length - i);
        if (length == 0)
            return false;
    }
    return true;
}

static const char *part_fault(struct view part)
{
    if (part.length == 0)
        return "has an empty part: it begins or ends with a slash, or has two in a row";
    if (view_equal(part, VIEW(".")))
        return "has a part that is \".\"";
    if (view_equal(part, VIEW("..")))
        return "has a part that is \"..\"";
    if (part.length > TREE_PART_MAX)
        return "has a part of over 255 bytes, which file systems do not take";
    if (view_starts_with(part, VIEW(".wh.")))
        return "has a part that begins with \".wh.\", which deletes files in an image";
    return NULL;
}

const char *tree_name_fault(struct view name)
{
    static const struct view kept[] = {
        {"stargz.index.json", 17}, {".prefetch.landmark", 18}, {".no.prefetch.landmark", 21}};

    if (name.length == 0)
        return "is an empty name";
    if (name.length > TREE_NAME_MAX)
        return "is longer than 2048 bytes";
    if (memchr(name.data, '\0', name.length) != NULL)
        return "holds a NUL";
    if (!is_utf8(name))
        return "is not UTF-8";
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (view_equal(name, kept[i]))
            return "is a name that eStargz keeps for itself";
    for (size_t start = 0, folders = 0; start <= name.length; folders++) {
        if (folders > TREE_FOLDERS_MAX)
            return "is in more than 100 folders";
        const char *slash = memchr(name.data + start, '/', name.length - start);
        size_t end = slash == NULL ? name.length : (size_t)(slash - name.data);
        const char *fault = part_fault((struct view){name.data + start, end - start});
        if (fault != NULL)
            return fault;
        start = end + 1;
    }
    return NULL;
}

/* ---- order ---- */

static int compare_names(struct view a, struct view b)
{
    size_t length = a.length < b.length ? a.length : b.length;
    int order = length == 0 ? 0 : memcmp(a.data, b.data, length);

    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_indexes(const void *a, const void *b, void *context)
{
    const struct tree_file *files = context;

    return compare_names(files[*(const size_t *)a].name, files[*(const size_t *)b].name);
}

size_t tree_shared(struct view before, struct view name)
{
    size_t shared = 0;

    for (size_t i = 0; i < before.length && i < name.length && before.data[i] == name.data[i]; i++)
        if (name.data[i] == '/')
            shared = i + 1;
    return shared;
}

static bool has_file(const struct tree_file *files, const size_t *order, size_t count,
                     struct view name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int compared = compare_names(files[order[middle]].name, name);
        if (compared == 0)
            return true;
        if (compared < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Counts the folders of the `i`th name that the one before it is not in. False when one of them is
 * a file. */
static bool check_folders(const struct tree_file *files, const size_t *order, size_t count,
                          size_t i, size_t *entries, struct buf *problem)
{
    struct view name = files[order[i]].name;

    for (size_t at = i == 0 ? 0 : tree_shared(files[order[i - 1]].name, name); at < name.length;
         at++) {
        struct view folder = {name.data, at};
        if (name.data[at] != '/')
            continue;
        ++*entries;
        if (has_file(files, order, count, folder)) {
            (void)problem_value(problem, folder, "is a file and a folder, too");
            return false;
        }
    }
    return true;
}

static bool check_files(const struct tree_file *files, const size_t *order, size_t count,
                        struct buf *problem)
{
    size_t entries = count;

    for (size_t i = 0; i < count; i++) {
        const struct tree_file *file = &files[order[i]];
        const char *fault = tree_name_fault(file->name);
        if (fault == NULL && file->size > INT64_MAX)
            fault = "is said to have more than 2^63 bytes";
        if (fault == NULL && i > 0 && view_equal(file->name, files[order[i - 1]].name))
            fault = "is there twice";
        if (fault != NULL) {
            (void)problem_value(problem, file->name, "%s", fault);
            return false;
        }
        if (!check_folders(files, order, count, i, &entries, problem))
            return false;
    }
    if (entries > TREE_ENTRIES_MAX)
        (void)problem_set(problem, "there are %zu files and folders; an image takes %d", entries,
                          TREE_ENTRIES_MAX);
    return entries <= TREE_ENTRIES_MAX;
}

bool tree_order(const struct tree_file *files, size_t count, size_t **ret_order,
                struct buf *problem)
{
    size_t *order;

    if (count == 0) {
        *ret_order = NULL;
        return true;
    }
    order = check_calloc(count, sizeof(*order));
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof(*order), compare_indexes, (void *)(uintptr_t)files);
    if (!check_files(files, order, count, problem)) {
        free(order);
        return false;
    }
    *ret_order = order;
    return true;
}

/* ---- split ---- */

/* Copies those of `order` that are large, or are not, behind the `count` that are there. */
static size_t pick(const struct tree_file *files, const size_t *order, size_t order_count,
                   bool large, size_t *picked, size_t count)
{
    for (size_t i = 0; i < order_count; i++) {
        const struct tree_file *file = &files[order[i]];
        if ((file->size >= TREE_LARGE) == large && !view_equal(file->name, VIEW(".gitattributes")))
            picked[count++] = order[i];
    }
    return count;
}

bool tree_split(const struct tree_file *files, size_t count, struct tree_split *ret_split,
                struct buf *problem)
{
    struct tree_split split = {0};
    size_t *order, large, all, a_layer;

    if (!tree_order(files, count, &order, problem))
        return false;
    split.order = check_calloc(count + 1, sizeof(*split.order));
    large = pick(files, order, count, true, split.order, 0);
    all = pick(files, order, count, false, split.order, large);
    free(order);

    a_layer = (large + TREE_LARGE_LAYERS_MAX - 1) / TREE_LARGE_LAYERS_MAX;
    for (size_t end = 0; end < large;) {
        end = large - end > a_layer ? end + a_layer : large;
        split.ends[split.layer_count++] = end;
    }
    if (all > large)
        split.ends[split.layer_count++] = all;
    *ret_split = split;
    return true;
}

void tree_split_release(struct tree_split *split)
{
    free(split->order);
    *split = (struct tree_split){0};
}
