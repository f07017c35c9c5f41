#include "wire/hub_image.h"

#include <stdio.h>
#include <string.h>

#include "base/problem.h"
#include "wire/bounded_json.h"
#include "wire/http.h"

enum { TEXT_MAX = 1024 };

/* The first of several parts, without taking it off. */
static struct view first_part(struct view text)
{
    return view_cut(&text, '/');
}

static bool has_more_parts(struct view text)
{
    return memchr(text.data, '/', text.length) != NULL;
}

/* Whether a model's page is at that host. */
static bool is_host_of_hub(const struct config *config, struct view host)
{
    bool is_found = false;

    for (size_t i = 0; i < config->upstream_count && !is_found; i++)
        is_found = config->upstreams[i].is_hub &&
                   view_equal_nocase(host, config_upstream_host(&config->upstreams[i]));
    return is_found;
}

/* Whether the first of several parts is a host, and not an organisation with a dot in its name, of
 * which nothing but the model would be left. */
static bool has_host(const struct config *config, struct view name)
{
    struct view host = view_cut(&name, '/');

    if (!grammar_is_host(host))
        return false;
    return has_more_parts(name) || memchr(host.data, ':', host.length) != NULL ||
           view_equal(host, VIEW("localhost")) || is_host_of_hub(config, host);
}

/* Takes the upstream's name off the front, or a host, or nothing. */
static bool take_upstream(const struct config *config, struct view *name, struct hub_image *image,
                          struct buf *problem)
{
    bool is_found = false;
    int named = has_more_parts(*name) ? config_find_upstream(config, first_part(*name)) : -1;

    if (named < 0 && has_more_parts(*name) && has_host(config, *name)) {
        (void)view_cut(name, '/');
        named = has_more_parts(*name) ? config_find_upstream(config, first_part(*name)) : -1;
    }
    if (named >= 0) {
        image->upstream = (size_t)named;
        (void)view_cut(name, '/');
        if (!config->upstreams[named].is_hub)
            buf_printf(problem, "the upstream %s is a registry, not a model hub",
                       config->upstreams[named].name);
        return config->upstreams[named].is_hub;
    }
    for (size_t i = 0; i < config->upstream_count && !is_found; i++) {
        is_found = config->upstreams[i].is_hub;
        image->upstream = i;
    }
    if (!is_found)
        buf_append_text(problem, "no model hub is configured; add one to `upstreams`: hf: "
                                 "{type: huggingface}");
    return is_found;
}

/* Takes "@digest" and ":tag" off the end. */
static bool take_reference(struct view *name, struct hub_image *image, struct buf *problem)
{
    struct view rest = *name;

    *name = view_cut(&rest, '@');
    if (rest.data != NULL) {
        image->by_digest = digest_parse(rest, &image->digest);
        if (!image->by_digest)
            buf_append_text(problem, "what stands behind the @ is no digest");
        return image->by_digest && take_reference(name, image, problem);
    }
    const char *slash = name->length == 0 ? NULL : memrchr(name->data, '/', name->length);
    rest =
        slash == NULL ? *name : (struct view){slash, (size_t)(name->data + name->length - slash)};
    struct view last = view_cut(&rest, ':');
    image->is_tag_given = rest.data != NULL;
    if (image->is_tag_given)
        name->length = (size_t)(last.data + last.length - name->data);
    struct view tag = image->is_tag_given ? rest : VIEW("latest");
    struct hub_revision revision;
    if (grammar_is_tag(tag) && hub_name_revision(tag, &revision))
        return view_copy(tag, image->tag, sizeof(image->tag));
    buf_append_text(problem, "this tag stands for no revision: branches, tags and commits do, with "
                             "-- for a slash");
    return false;
}

static bool take_repository(struct view name, struct hub_image *image)
{
    struct hub_name hub_name;

    if (!view_copy(name, image->repository, sizeof(image->repository)))
        return false;
    grammar_lower(image->repository);
    return grammar_is_repository(view_of(image->repository)) &&
           hub_name_parse(view_of(image->repository), &hub_name);
}

bool hub_image_parse(const struct config *config, struct view text, struct hub_image *ret_image,
                     struct buf *problem)
{
    struct hub_image image = {0};
    struct buf sentence = {0};
    struct view name = text;

    bool good = text.length > 0 && text.length <= TEXT_MAX &&
                take_reference(&name, &image, &sentence) &&
                take_upstream(config, &name, &image, &sentence);
    if (good && !take_repository(name, &image)) {
        good = false;
        buf_append_text(&sentence, "a hub's images are called hf/org/model, hf/model, or "
                                   "hf/datasets/org/name, with :tag behind");
    }
    if (!good) {
        problem_quote(problem, text);
        buf_printf(problem, " is not a model's name: %s",
                   sentence.length > 0 ? sentence.data : "it is empty, or too long");
    } else {
        *ret_image = image;
    }
    buf_release(&sentence);
    return good;
}

/* ---- over HTTP ---- */

bool hub_image_in_query(struct view query, char ret_name[HUB_IMAGE_SIZE], struct buf *problem)
{
    struct view value;

    if (!http_query_value(query, VIEW("image"), &value))
        return false;
    if (http_percent_decode(value, ret_name, HUB_IMAGE_SIZE))
        return true;
    buf_append_text(problem, "the image's name is too long, or wrongly encoded");
    return false;
}

static bool read_json(struct view body, char *ret_name, struct buf *problem)
{
    static const struct bounded_json_limits limits = {.containers = 10, .values = 100};
    const char *fault = NULL;
    json_t *root = bounded_json_load(body, &limits, &fault);
    const json_t *image = json_object_get(root, "image");

    if (root == NULL)
        buf_printf(problem, "the body %s", fault);
    else if (!json_is_string(image) || json_object_size(root) != 1)
        buf_append_text(problem, "the body is to be {\"image\": \"hf/org/model:tag\"}");
    else if (!view_copy((struct view){json_string_value(image), json_string_length(image)},
                        ret_name, HUB_IMAGE_SIZE))
        buf_append_text(problem, "the image's name is too long");
    json_decref(root);
    return problem->length == 0;
}

bool hub_image_in_body(struct view body, char ret_name[HUB_IMAGE_SIZE], struct buf *problem)
{
    while (body.length > 0 && strchr(" \t\r\n", body.data[0]) != NULL)
        body = (struct view){body.data + 1, body.length - 1};
    while (body.length > 0 && strchr(" \t\r\n", body.data[body.length - 1]) != NULL)
        body.length--;
    if (view_starts_with(body, VIEW("{")))
        return read_json(body, ret_name, problem);
    return hub_image_in_query(body, ret_name, problem);
}

const char *hub_image_print(const struct config *config, const struct hub_image *image,
                            char out[HUB_IMAGE_SIZE])
{
    (void)snprintf(out, HUB_IMAGE_SIZE, "%s/%s:%s", config->upstreams[image->upstream].name,
                   image->repository, image->tag);
    return out;
}
