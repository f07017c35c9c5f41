#include "wire/hub_path.h"

#include <string.h>

#include "wire/http.h"

/* Takes `prefix` off the front; false, leaving all as it is, when it is not there. */
static bool take(struct view *rest, struct view prefix)
{
    if (!view_starts_with(*rest, prefix))
        return false;
    *rest = (struct view){rest->data + prefix.length, rest->length - prefix.length};
    return true;
}

/* Encodes all but the slashes. */
static void put_parts(struct buf *path, struct view text)
{
    while (text.length > 0) {
        size_t before = text.length;
        struct view part = view_cut(&text, '/');
        http_percent_encode(path, part);
        if (part.length < before)
            buf_append_text(path, "/");
    }
}

static void put_api_path(struct buf *path, struct view repository, const char *what)
{
    buf_append_text(path, take(&repository, VIEW("datasets/")) ? "/api/datasets/" : "/api/models/");
    put_parts(path, repository);
    buf_printf(path, "/%s", what);
}

void hub_path_info(struct buf *path, struct view repository, struct view revision)
{
    put_api_path(path, repository, "revision/");
    http_percent_encode(path, revision);
}

void hub_path_tree(struct buf *path, struct view repository, struct view revision)
{
    put_api_path(path, repository, "tree/");
    http_percent_encode(path, revision);
    buf_append_text(path, "?recursive=True&expand=False");
}

void hub_path_refs(struct buf *path, struct view repository)
{
    put_api_path(path, repository, "refs");
}

void hub_path_file(struct buf *path, struct view repository, struct view revision, struct view file)
{
    buf_append_text(path, "/");
    put_parts(path, repository);
    buf_append_text(path, "/resolve/");
    http_percent_encode(path, revision);
    buf_append_text(path, "/");
    put_parts(path, file);
}

/* Whether one of its parts is "." or "..", which whoever resolves the path may follow. */
static bool has_dots(struct view path)
{
    while (path.length > 0) {
        char plain[3];
        struct view part = view_cut(&path, '/');
        if (http_percent_decode(part, plain, sizeof(plain)) &&
            (strcmp(plain, ".") == 0 || strcmp(plain, "..") == 0))
            return true;
    }
    return false;
}

bool hub_path_is_own(struct view target, struct view prefix)
{
    size_t length = 0;

    while (length < target.length && target.data[length] != '?' && target.data[length] != '#')
        length++;
    struct view path = {target.data, length};
    if (!take(&path, prefix) || has_dots(path))
        return false;
    if (!view_starts_with(path, VIEW("/")))
        return false;
    return view_starts_with(path, VIEW("/api/")) ||
           memmem(path.data, path.length, "/resolve/", sizeof("/resolve/") - 1) != NULL;
}

/* Drops "https://host" off the front of an http(s) URL. */
static struct view drop_host(struct view target)
{
    struct view rest = target;
    struct view scheme = view_cut(&rest, ':');

    if ((!view_equal_nocase(scheme, VIEW("https")) && !view_equal_nocase(scheme, VIEW("http"))) ||
        !take(&rest, VIEW("//")))
        return target;
    while (rest.length > 0 && strchr("/?#", rest.data[0]) == NULL)
        rest = (struct view){rest.data + 1, rest.length - 1};
    return rest;
}

/* Drops the prefix off the front of a path, if it is there and what is left is one of the API. */
static struct view drop_prefix(struct view path, struct view prefix)
{
    struct view rest = path;

    return take(&rest, prefix) && view_starts_with(rest, VIEW("/api/")) ? rest : path;
}

static bool is_visible(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr("\\\"<>#", text.data[i]))
            return false;
    return true;
}

bool hub_path_next(struct view target, struct view prefix, struct view page, struct buf *path)
{
    struct view query = drop_prefix(drop_host(target), prefix);
    struct view base = view_cut(&query, '?');

    if (view_starts_with(target, VIEW("?")))
        base = view_cut(&page, '?');
    size_t length = base.length + (query.data != NULL) + query.length;
    if (target.length > HUB_PATH_NEXT_MAX || length > HUB_PATH_NEXT_MAX)
        return false;
    if (!is_visible(target) || !is_visible(base) || !view_starts_with(base, VIEW("/api/")) ||
        has_dots(base))
        return false;
    buf_append_view(path, base);
    if (query.data != NULL) {
        buf_append_text(path, "?");
        buf_append_view(path, query);
    }
    return true;
}
