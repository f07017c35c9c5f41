#ifndef BASE_GRAMMAR_H
#define BASE_GRAMMAR_H

/*
 * What a repository and a tag may be called, as the distribution-spec has it ("Pulling manifests").
 * Pure. Thread: any.
 */

#include <stdbool.h>

#include "base/buf.h"

enum {
    GRAMMAR_REPOSITORY_SIZE = 256, /* with the NUL (distribution-spec: 255 with the host) */
    GRAMMAR_TAG_SIZE = 129,        /* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
};

/* Components of [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* with slashes between them. */
bool grammar_is_repository(struct view text);
bool grammar_is_tag(struct view text);

/* Makes its ASCII letters lower-case ones: a hub takes names in any case, the grammar does not. */
void grammar_lower(char *text);

/* Whether the first of several components is a host and not the start of a repository: it holds a
 * dot or a colon, or is "localhost" (distribution's reference grammar). */
bool grammar_is_host(struct view text);

#endif
