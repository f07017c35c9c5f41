#ifndef WIRE_HUB_NAME_H
#define WIRE_HUB_NAME_H

/*
 * Names of images, and names on a Hugging Face hub. Pure; fuzzed. Thread: any.
 *
 *   repository              on the hub         tag             revision
 *   org/model               model org/model    latest          main
 *   gpt2                    model gpt2         v1.0            v1.0
 *   datasets/org/name       dataset org/name   refs--pr--1     refs/pr/1
 *   datasets/squad          dataset squad      <40 hex>        that commit
 *
 * Repositories differ in nothing but case: images have lower-case ones, a hub takes any case and
 * answers with the canonical id.
 *
 * Tags cannot hold a slash; it is written "--". Both directions hold to one rule, so that a name
 * never means two things:
 *   - A revision with a tag gives it by hub_name_tag(), and that tag gives the same revision.
 *   - A tag with a revision gives it, and that revision gives the same tag; but "main", which is
 *     understood as well, gives "latest".
 *   - Without a tag are: a branch called "latest"; what holds "--", "-/" or "/-"; what no tag can
 *     hold (other characters, over 128 bytes, a dot or dash in front); what git allows no name.
 *   - Without a revision are: a tag with three dashes or more in a row; one that ends in "--"; one
 *     that stands for what git allows no name.
 * What git allows no name (git-check-ref-format): ".." anywhere, an empty part, a part that begins
 * with a dot or ends in ".lock", a dot at the end.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/grammar.h"
#include "wire/hub.h"

enum hub_kind { HUB_MODEL, HUB_DATASET };

struct hub_name {
    enum hub_kind kind;
    char id[HUB_ID_SIZE]; /* "org/model", "gpt2"; never with "datasets/" */
};

struct hub_revision {
    char text[GRAMMAR_TAG_SIZE];
    bool is_commit; /* it is 40 lower-case hex, so it can never move */
};

/* What to tell of a repository that is none. */
#define HUB_NAME_FORMS "a hub's images are called org/model, model, or datasets/org/name"

/* Reads "org/model" or "datasets/org/name", in any case. False for what is neither: more parts,
 * "spaces/...", or what hub_is_id() refuses. */
bool hub_name_parse(struct view repository, struct hub_name *ret_name);

/* The other way round, "datasets/org/Name", as wire/hub_path takes it; returns `out`. */
const char *hub_name_print(const struct hub_name *name, char out[HUB_REPOSITORY_SIZE]);

/* The revision that a tag stands for; false when there is none. */
bool hub_name_revision(struct view tag, struct hub_revision *ret_revision);

/* Whether a revision can be called so, with or without a tag that stands for it: what git allows as
 * a name, in up to GRAMMAR_TAG_SIZE - 1 bytes. */
bool hub_name_is_revision(struct view text);

/* The tag that stands for a revision, in `out`; false, leaving it empty, when there is none. */
bool hub_name_tag(struct view revision, char out[GRAMMAR_TAG_SIZE]);

#endif
