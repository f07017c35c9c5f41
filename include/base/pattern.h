#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

/*
 * Which images are meant: a reference in which `*` may stand for any run of characters.
 *
 *   [registry/]repository[:tag][@digest]     docker.io/library/alpine:3.20   alpine:3.*
 *                                            ghcr.io/acme/x*   quay.io/a/b@sha256:...
 *
 * The first component is the registry when it looks like a host, or names an upstream; else the
 * default upstream is meant, as in a request's path. `*` never stands for a registry; elsewhere it
 * stands for slashes too. Without a tag and digest all of the repository is meant. With a digest
 * that one manifest is, and a tag beside it says nothing, as in Docker's references. Docker Hub's
 * official images have two names: library/alpine and alpine.
 * Pure; fuzzed. Thread: any.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/config_upstream.h"
#include "base/digest.h"
#include "base/err.h"

enum { PATTERN_LENGTH_MAX = 512 };

struct pattern {
    struct view registry;   /* borrowed from the text, like the others; empty: not named */
    struct view repository; /* of the upstream, once `upstream` is known */
    struct view tag;        /* empty: any, and none */
    bool by_digest;
    struct digest digest;
    const struct config_upstream *upstream; /* borrowed; whose images; config_finish() sets it */
};

/* Parses the whole of `text`. What no image could ever match is refused with a sentence. */
enum err pattern_parse(struct view text, struct pattern *ret_pattern,
                       struct buf *ret_problem) MUST_CHECK;

/*
 * Whether the manifest that `upstream` (its name in the config) has in `repository` is meant. `tag`
 * is what it is called there, or "" when only its digest is known. Never when the pattern has a
 * digest: that says by itself which manifest is meant. `pattern->upstream` must be known.
 */
bool pattern_means(const struct pattern *pattern, const char *upstream, const char *repository,
                   const char *tag);

/* Whether `text` is `glob`, with something or nothing for each `*` in it. */
bool pattern_match(struct view glob, struct view text);

#endif
