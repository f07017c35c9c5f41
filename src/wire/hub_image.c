#include "wire/hub_image.h"

#include <stdio.h>
#include <string.h>

#include "base/problem.h"

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

/* Takes the upstream's name off the front, or a host, or nothing. */
static bool take_upstream(const struct config *config, struct view *name, struct hub_image *image,
                          struct buf *problem)
{
    bool is_found = false;
    int named = has_more_parts(*name) ? config_find_upstream(config, first_part(*name)) : -1;

    if (named < 0 && has_more_parts(*name) && grammar_is_host(first_part(*name))) {
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

const char *hub_image_print(const struct config *config, const struct hub_image *image,
                            char out[HUB_IMAGE_SIZE])
{
    (void)snprintf(out, HUB_IMAGE_SIZE, "%s/%s:%s", config->upstreams[image->upstream].name,
                   image->repository, image->tag);
    return out;
}
