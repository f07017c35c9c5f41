#include "base/pattern.h"

#include <ctype.h>
#include <string.h>

#include "base/grammar.h"
#include "base/problem.h"

static const char expected[] =
    "is not a pattern of images; write registry/repository in lower case, and :tag or @digest "
    "behind it where one is meant, such as docker.io/library/alpine:3.20 or ghcr.io/acme/*";

bool pattern_match(struct view glob, struct view text)
{
    size_t at = 0, from = 0;         /* in the glob, and in the text */
    size_t star = SIZE_MAX, end = 0; /* the last star, and where what stands for it ends */

    while (from < text.length) {
        if (at < glob.length && glob.data[at] == '*') {
            star = at++;
            end = from;
        } else if (at < glob.length && glob.data[at] == text.data[from]) {
            at++;
            from++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            from = ++end;
        } else {
            return false;
        }
    }
    while (at < glob.length && glob.data[at] == '*')
        at++;
    return at == glob.length;
}

/* Whether some text of the grammar matches: one of them then has a letter for each star. */
static bool is_possible(struct view glob, bool (*is_valid)(struct view text))
{
    char text[PATTERN_LENGTH_MAX];

    for (size_t i = 0; i < glob.length; i++)
        text[i] = glob.data[i];
    for (size_t i = 0; i < glob.length; i++)
        if (text[i] == '*')
            text[i] = 'a';
    return is_valid((struct view){text, glob.length});
}

static bool has(struct view text, char c)
{
    return text.length > 0 && memchr(text.data, c, text.length) != NULL;
}

/* Whether it is made of what names of upstreams are made of. */
static bool is_registry(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!isalnum((unsigned char)text.data[i]) && memchr(".:-", text.data[i], 3) == NULL)
            return false;
    return true;
}

/* Takes the registry off the front of `*name` when there is one that looks like a host. */
static enum err take_registry(struct view text, struct view *name, struct pattern *pattern,
                              struct buf *ret_problem)
{
    struct view rest = *name;
    struct view first = view_cut(&rest, '/');

    if (!has(*name, '/'))
        return OK;
    if (has(first, '*') && (has(first, '.') || has(first, ':')))
        return problem_value(ret_problem, text,
                             "has a * in its registry; name one registry, such as ghcr.io/*");
    if (grammar_is_host(first)) {
        if (!is_registry(first))
            return problem_value(ret_problem, text, "%s", expected);
        pattern->registry = first;
        *name = rest;
    }
    return OK;
}

/* Takes the tag off the end of `*name`: what is behind a colon in the last component. */
static void take_tag(struct view *name, struct pattern *pattern)
{
    for (size_t i = name->length; i > 0 && name->data[i - 1] != '/'; i--)
        if (name->data[i - 1] == ':') {
            pattern->tag = (struct view){name->data + i, name->length - i};
            name->length = i - 1;
            return;
        }
}

enum err pattern_parse(struct view text, struct pattern *ret_pattern, struct buf *ret_problem)
{
    struct pattern pattern = {.by_digest = has(text, '@')};
    struct view digest = text;
    struct view name = view_cut(&digest, '@');

    if (text.length > PATTERN_LENGTH_MAX)
        return problem_value(ret_problem, text, "is longer than a pattern may be, %d bytes",
                             PATTERN_LENGTH_MAX);
    if (pattern.by_digest && !digest_parse(digest, &pattern.digest))
        return problem_value(ret_problem, text,
                             "has no digest behind its @; write sha256: and 64 hex digits in lower "
                             "case, or sha512: and 128");
    size_t before = name.length;
    take_tag(&name, &pattern);
    bool has_tag = name.length < before;
    enum err err = take_registry(text, &name, &pattern, ret_problem);
    if (err != OK)
        return err;
    if (!is_possible(name, grammar_is_repository) ||
        (has_tag && !is_possible(pattern.tag, grammar_is_tag)))
        return problem_value(ret_problem, text, "%s", expected);
    pattern.repository = name;
    *ret_pattern = pattern;
    return OK;
}

/* The last name of an official image: "alpine" of "library/alpine"; else empty. */
static struct view short_name(const struct pattern *pattern, struct view repository)
{
    static const struct view library = {"library/", 8};

    if (!pattern->upstream->is_docker_hub || !view_starts_with(repository, library))
        return (struct view){NULL, 0};
    return (struct view){repository.data + library.length, repository.length - library.length};
}

bool pattern_means(const struct pattern *pattern, const char *upstream, const char *repository,
                   const char *tag)
{
    struct view whole = view_of(repository);

    if (pattern->by_digest || strcmp(pattern->upstream->name, upstream) != 0)
        return false;
    if (pattern->tag.length > 0 && !(tag[0] != '\0' && pattern_match(pattern->tag, view_of(tag))))
        return false;
    struct view official = short_name(pattern, whole);
    return pattern_match(pattern->repository, whole) ||
           (official.length > 0 && pattern_match(pattern->repository, official));
}
