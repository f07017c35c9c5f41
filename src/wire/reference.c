#include "wire/reference.h"

#include <string.h>

#include "base/grammar.h"
#include "wire/http.h"

enum {
    PATH_COMPONENTS_MAX = 140, /* a repository of 255 bytes has at most 128 */
    PATH_BYTES_MAX = 2048,     /* decoded */
};

/* A path cut at its slashes, then percent-decoded. */
struct path {
    struct view components[PATH_COMPONENTS_MAX];
    size_t count;
    char bytes[PATH_BYTES_MAX]; /* what the components point at */
};

/* Its parts: what stands before /v2/ (R3), and all that comes after it. */
struct names {
    struct view prefix;       /* borrowed from path; empty when there is none */
    const struct view *first; /* borrowed from path; `count` of them */
    size_t count;
};

/* ---- the path ---- */

/*
 * Splits at '/' first and decodes then, so that an encoded slash cannot move a border. False when a
 * component does not decode, holds a slash, or there is more of it than any name could need.
 */
static bool split_path(struct view text, struct path *path)
{
    size_t used = 0;
    bool is_more = true;

    path->count = 0;
    if (!view_starts_with(text, VIEW("/")))
        return false;
    (void)view_cut(&text, '/');
    while (is_more) {
        is_more = text.length > 0 && memchr(text.data, '/', text.length) != NULL;
        struct view encoded = view_cut(&text, '/');
        char *decoded = path->bytes + used;
        if (path->count == PATH_COMPONENTS_MAX || used == PATH_BYTES_MAX ||
            !http_percent_decode(encoded, decoded, PATH_BYTES_MAX - used))
            return false;
        struct view component = view_of(decoded);
        if (memchr(component.data, '/', component.length) != NULL)
            return false;
        path->components[path->count++] = component;
        used += component.length + 1;
    }
    return true;
}

/* Finds /v2/ in the first or (R3) the second place; false when it is in neither. */
static bool find_version(const struct path *path, struct names *names)
{
    size_t at = 0;

    if (path->count > 1 && !view_equal(path->components[0], VIEW("v2"))) {
        names->prefix = path->components[0];
        at = 1;
    }
    if (!view_equal(path->components[at], VIEW("v2")) || (at == 1 && names->prefix.length == 0))
        return false;
    names->first = path->components + at + 1;
    names->count = path->count - at - 1;
    return true;
}

/* From the right end: a repository may hold components called manifests, blobs or tags. */
static enum route_kind kind_of(const struct config *config, const struct names *names)
{
    size_t count = names->count;

    if (count > 0 && names->first[count - 1].length == 0)
        count--;
    if (count == 0 || (count == 1 && config_find_upstream(config, names->first[0]) >= 0))
        return ROUTE_PING;
    if (names->count < 3)
        return ROUTE_OTHER;
    struct view keyword = names->first[names->count - 2], last = names->first[names->count - 1];
    if (view_equal(keyword, VIEW("manifests")))
        return ROUTE_MANIFEST;
    if (view_equal(keyword, VIEW("blobs")))
        return ROUTE_BLOB;
    if (view_equal(keyword, VIEW("referrers")))
        return ROUTE_REFERRERS;
    if (view_equal(keyword, VIEW("tags")) && view_equal(last, VIEW("list")))
        return ROUTE_TAGS;
    return ROUTE_OTHER;
}

/* ---- the upstream ---- */

/* The value of ns, else of OCI-Namespace (R1, R7); false when it cannot be a name. */
static bool read_ns(struct view query, struct view ns_field, char *out, size_t out_size)
{
    struct view ns = {NULL, 0};

    if (http_query_value(query, VIEW("ns"), &ns) && ns.length > 0)
        return http_percent_decode(ns, out, out_size);
    return view_copy(ns_field, out, out_size);
}

/* Settles who is asked, and takes the upstream's name off the front of the repository. */
static enum err find_upstream(const struct config *config, const char *ns, struct names *names,
                              struct route *route)
{
    int named = -1;

    if (names->prefix.length > 0) {
        named = config_find_upstream(config, names->prefix);
        if (named < 0)
            return ERR_NAMESPACE_UNKNOWN;
    }
    if (ns[0] != '\0') {
        int by_ns = config_find_upstream(config, view_of(ns));
        if (by_ns < 0) /* R10 */
            return ERR_NAMESPACE_UNKNOWN;
        if (named >= 0 && named != by_ns) /* R4 */
            return ERR_NAMESPACE_CONFLICT;
        named = by_ns;
    }
    if (names->prefix.length == 0) {
        int by_path = config_find_upstream(config, names->first[0]); /* R2 */
        if (by_path >= 0 && named >= 0 && named != by_path)          /* R4 */
            return ERR_NAMESPACE_CONFLICT;
        if (by_path < 0 && named < 0 && grammar_is_host(names->first[0]))
            return ERR_NAMESPACE_UNKNOWN;
        if (by_path >= 0) {
            named = by_path;
            names->first++;
            names->count--;
        }
    }
    route->upstream_named = named >= 0;
    route->upstream = named >= 0 ? named : (int)config->default_index; /* R5 */
    return OK;
}

/* A ping is answered without an upstream, whatever ns says (P1), but not under a foreign prefix. */
static enum err parse_ping(const struct config *config, const char *ns, const struct names *names,
                           struct route *route)
{
    if (names->prefix.length > 0 && config_find_upstream(config, names->prefix) < 0)
        return ERR_NAMESPACE_UNKNOWN;
    if (config_find_upstream(config, view_of(ns)) >= 0)
        (void)view_copy(view_of(ns), route->ns, sizeof(route->ns));
    return OK;
}

/* ---- the rest ---- */

/* Joins all components but the last two. */
static enum err join_repository(const struct config *config, const struct names *names,
                                struct route *route)
{
    size_t count = names->count - 2, used = 0;

    if (count == 1 && config->upstreams[route->upstream].is_docker_hub) { /* R8 */
        (void)view_copy(VIEW("library/"), route->repository, sizeof(route->repository));
        used = 8;
        route->library_added = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && used + 1 < sizeof(route->repository))
            route->repository[used++] = '/';
        if (!view_copy(names->first[i], route->repository + used, sizeof(route->repository) - used))
            return ERR_NAME_INVALID;
        used += names->first[i].length;
    }
    if (config->upstreams[route->upstream].is_hub) /* models.md 2: any case in */
        grammar_lower(route->repository);
    return grammar_is_repository(view_of(route->repository)) ? OK : ERR_NAME_INVALID;
}

/* Decodes and encodes again, so that nothing but what was meant goes upstream. */
static bool copy_parameter(struct view query, const char *name, struct buf *out)
{
    char decoded[REFERENCE_QUERY_SIZE];
    struct view value;

    if (!http_query_value(query, view_of(name), &value) || value.length == 0)
        return true;
    if (!http_percent_decode(value, decoded, sizeof(decoded)))
        return false;
    buf_printf(out, "%s%s=", out->length > 0 ? "&" : "", name);
    http_percent_encode(out, view_of(decoded));
    return true;
}

/* clients.md E7, E8: what the upstream needs to see. */
static enum err copy_query(struct view query, struct route *route)
{
    struct buf out = {0};
    bool ok;

    if (route->kind == ROUTE_TAGS)
        ok = copy_parameter(query, "n", &out) && copy_parameter(query, "last", &out);
    else
        ok = copy_parameter(query, "artifactType", &out);
    ok = ok && view_copy(view_of_buf(&out), route->query, sizeof(route->query));
    buf_release(&out);
    return ok ? OK : ERR_BAD_REQUEST;
}

static enum err parse_tail(struct view last, struct view query, struct route *route)
{
    if (route->kind == ROUTE_TAGS)
        return copy_query(query, route);
    if (route->kind == ROUTE_MANIFEST && memchr(last.data, ':', last.length) == NULL) {
        if (!grammar_is_tag(last))
            return ERR_TAG_INVALID;
        (void)view_copy(last, route->tag, sizeof(route->tag));
        return OK;
    }
    if (!digest_parse(last, &route->digest))
        return ERR_DIGEST_INVALID;
    route->by_digest = true;
    return route->kind == ROUTE_REFERRERS ? copy_query(query, route) : OK;
}

enum err reference_parse(const struct config *config, struct view target, struct view ns_field,
                         struct route *ret_route)
{
    struct view query = target;
    struct view text = view_cut(&query, '?');
    struct names names = {0};
    struct path path;
    char ns[sizeof(ret_route->ns)];

    *ret_route = (struct route){.kind = ROUTE_OTHER, .upstream = -1};
    if (!split_path(text, &path))
        return ERR_NAME_INVALID;
    if (!find_version(&path, &names))
        return ERR_ROUTE_UNKNOWN;
    bool is_ns_readable = read_ns(query, ns_field, ns, sizeof(ns));
    ret_route->kind = kind_of(config, &names);
    if (ret_route->kind == ROUTE_PING)
        return parse_ping(config, ns, &names, ret_route);
    if (ret_route->kind == ROUTE_OTHER)
        return ERR_ROUTE_UNKNOWN;
    if (!is_ns_readable)
        return ERR_NAMESPACE_UNKNOWN;
    enum err err = find_upstream(config, ns, &names, ret_route);
    if (err != OK)
        return err;
    (void)view_copy(view_of(ns), ret_route->ns, sizeof(ret_route->ns)); /* R9 */
    if (names.count < 3) /* nothing left but the upstream's name */
        return ERR_NAME_INVALID;
    err = join_repository(config, &names, ret_route);
    if (err != OK)
        return err;
    return parse_tail(names.first[names.count - 1], query, ret_route);
}
