#include "wire/hub_name.h"

#include <stdio.h>
#include <string.h>

/* ---- repositories ---- */

bool hub_name_parse(struct view repository, struct hub_name *ret_name)
{
    struct view rest = repository;
    struct view first = view_cut(&rest, '/');
    struct hub_name name = {.kind = HUB_MODEL};

    if (view_equal_nocase(first, VIEW("spaces")))
        return false;
    if (view_equal_nocase(first, VIEW("datasets"))) {
        name.kind = HUB_DATASET;
        repository = rest;
    }
    if (!hub_is_id(repository) || !view_copy(repository, name.id, sizeof(name.id)))
        return false;
    *ret_name = name;
    return true;
}

const char *hub_name_print(const struct hub_name *name, char out[HUB_REPOSITORY_SIZE])
{
    (void)snprintf(out, HUB_REPOSITORY_SIZE, "%s%s", name->kind == HUB_DATASET ? "datasets/" : "",
                   name->id);
    return out;
}

/* ---- revisions ---- */

static bool holds(struct view text, const char *part, size_t length)
{
    return text.length > 0 && memmem(text.data, text.length, part, length) != NULL;
}

/* Whether git allows it as a name, as far as a tag can write it. */
static bool is_git_name(struct view text)
{
    if (text.length == 0 || holds(text, "..", 2) || text.data[text.length - 1] == '.' ||
        text.data[text.length - 1] == '/')
        return false;
    while (text.length > 0) {
        struct view part = view_cut(&text, '/');
        if (part.length == 0 || part.data[0] == '.' || view_ends_with(part, VIEW(".lock")))
            return false;
    }
    return true;
}

/* Writes a slash for each two dashes. */
static bool decode(struct view tag, char out[GRAMMAR_TAG_SIZE])
{
    size_t length = 0;

    if (holds(tag, "---", 3))
        return false;
    for (size_t i = 0; i < tag.length; i++) {
        bool is_slash = tag.data[i] == '-' && i + 1 < tag.length && tag.data[i + 1] == '-';
        out[length++] = (char)(is_slash ? '/' : tag.data[i]);
        i += is_slash;
    }
    out[length] = '\0';
    return is_git_name(view_of(out));
}

bool hub_name_revision(struct view tag, struct hub_revision *ret_revision)
{
    struct hub_revision revision = {0};

    if (!grammar_is_tag(tag))
        return false;
    if (view_equal(tag, VIEW("latest")))
        tag = VIEW("main");
    if (!decode(tag, revision.text))
        return false;
    revision.is_commit = hub_is_commit(view_of(revision.text));
    *ret_revision = revision;
    return true;
}

bool hub_name_is_revision(struct view text)
{
    if (text.length >= GRAMMAR_TAG_SIZE || !is_git_name(text) || holds(text, "@{", 2))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c == 127 || memchr("~^:?*[\\", c, 7) != NULL)
            return false;
    }
    return true;
}

bool hub_name_tag(struct view revision, char out[GRAMMAR_TAG_SIZE])
{
    struct buf tag = {0};

    out[0] = '\0';
    if (view_equal(revision, VIEW("latest")) || holds(revision, "--", 2) ||
        holds(revision, "-/", 2) || holds(revision, "/-", 2) || !is_git_name(revision))
        return false;
    if (view_equal(revision, VIEW("main")))
        revision = VIEW("latest");
    for (size_t i = 0; i < revision.length && tag.length < GRAMMAR_TAG_SIZE; i++)
        buf_append_view(&tag,
                        revision.data[i] == '/' ? VIEW("--") : (struct view){revision.data + i, 1});
    bool ok =
        grammar_is_tag(view_of_buf(&tag)) && view_copy(view_of_buf(&tag), out, GRAMMAR_TAG_SIZE);
    buf_release(&tag);
    return ok;
}
