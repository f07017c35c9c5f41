#include "wire/tag_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "wire/bounded_json.h"
#include "wire/http.h"
#include "wire/hub_name.h"
#include "wire/reference.h"

/* A name, a ref and a commit each; besides, a hub tells of refs that it has made itself. */
static const struct bounded_json_limits limits = {.containers = TAG_LIST_MAX + 1000,
                                                  .values = 10 * TAG_LIST_MAX};

/* ---- order ---- */

static int compare(struct view a, struct view b)
{
    size_t length = a.length < b.length ? a.length : b.length;
    int order = length == 0 ? 0 : memcmp(a.data, b.data, length);

    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_lines(const void *a, const void *b)
{
    return compare(*(const struct view *)a, *(const struct view *)b);
}

void tag_list_add(struct buf *list, struct view tag)
{
    buf_append_view(list, tag);
    buf_append_text(list, "\n");
}

void tag_list_sort(struct buf *list)
{
    struct buf sorted = {0};
    size_t count = 0;

    for (size_t i = 0; i < list->length; i++)
        count += list->data[i] == '\n';
    struct view *lines = check_calloc(count + 1, sizeof(*lines));
    count = 0;
    for (struct view rest = view_of_buf(list); rest.length > 0;)
        lines[count++] = view_cut(&rest, '\n');
    qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare(lines[i - 1], lines[i]) != 0)
            tag_list_add(&sorted, lines[i]);
    free(lines);
    buf_release(list);
    *list = sorted;
}

/* ---- what a hub tells ---- */

/* False when it is no list of refs; none at all is one. */
static bool read_refs(const json_t *refs, struct buf *list)
{
    char tag[GRAMMAR_TAG_SIZE];

    if (refs != NULL && !json_is_null(refs) && !json_is_array(refs))
        return false;
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *name = json_object_get(json_array_get(refs, i), "name");
        struct view text = {json_string_value(name), json_string_length(name)};
        if (hub_name_tag(text, tag))
            tag_list_add(list, view_of(tag));
    }
    return true;
}

bool tag_list_read(struct view json, struct buf *list, struct buf *problem)
{
    const char *fault = "is larger than 32 MiB";
    struct buf read = {0};
    json_t *root = NULL;

    if (json.length <= HUB_ANSWER_MAX)
        root = bounded_json_load(json, &limits, &fault);
    const json_t *branches = json_object_get(root, "branches");
    const json_t *tags = json_object_get(root, "tags");
    if (root != NULL && !json_is_array(branches))
        fault = "has no list of branches";
    else if (root != NULL && !(read_refs(branches, &read) && read_refs(tags, &read)))
        fault = "has tags that are no list";
    else if (root != NULL && json_array_size(branches) + json_array_size(tags) > TAG_LIST_MAX)
        fault = "tells of more than 20000 branches and tags";
    else if (root != NULL)
        fault = NULL;
    json_decref(root);
    if (fault != NULL) {
        (void)problem_set(problem, "the hub's list of branches and tags %s", fault);
    } else {
        tag_list_sort(&read);
        buf_append_view(list, view_of_buf(&read));
    }
    buf_release(&read);
    return fault == NULL;
}

/* ---- a page ---- */

static bool read_query(struct view query, uint64_t *ret_n, char last[REFERENCE_QUERY_SIZE])
{
    struct view value = {NULL, 0};

    *ret_n = UINT64_MAX;
    if (http_query_value(query, VIEW("n"), &value) && !view_to_uint64(value, ret_n))
        return false;
    value = VIEW("");
    (void)http_query_value(query, VIEW("last"), &value);
    return http_percent_decode(value, last, REFERENCE_QUERY_SIZE);
}

bool tag_list_print(struct view list, struct view repository, struct view query, struct buf *body,
                    struct buf *next)
{
    char last[REFERENCE_QUERY_SIZE];
    struct view tag = {NULL, 0};
    uint64_t n, count = 0;

    if (!read_query(query, &n, last))
        return false;
    buf_append_text(body, "{\"name\":\"");
    buf_append_json(body, repository);
    buf_append_text(body, "\",\"tags\":[");
    while (list.length > 0 && count < n) {
        struct view line = view_cut(&list, '\n');
        if (compare(line, view_of(last)) <= 0)
            continue;
        tag = line;
        buf_append_text(body, count++ == 0 ? "\"" : ",\"");
        buf_append_json(body, tag);
        buf_append_text(body, "\"");
    }
    buf_append_text(body, "]}");
    if (list.length > 0 && count > 0) {
        buf_printf(next, "?n=%llu&last=", (unsigned long long)n);
        http_percent_encode(next, tag);
    }
    return true;
}
