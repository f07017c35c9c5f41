#ifndef WIRE_HUB_IMAGE_H
#define WIRE_HUB_IMAGE_H

/*
 * What people call an image of a hub, at a command line or over HTTP:
 *
 *   hf/org/model                      the upstream's name, the repository; the tag "latest"
 *   hf/datasets/org/name:v1.0         a data set, a tag
 *   127.0.0.1:5000/hf/org/model:tag   as clients write it, with the mirror's address
 *   huggingface.co/Org/Model          any host in front, any case; but of two parts the first is a
 *                                     host only with a colon, or if it is localhost or a hub's own:
 *   Some.Org/Model                    this is an organisation
 *   org/model                         of the first upstream of type huggingface
 *   hf/org/model@sha256:...           by the digest of its index, where that makes sense
 *
 * Pure; fuzzed. Thread: any.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/grammar.h"
#include "wire/hub_name.h"

enum { HUB_IMAGE_SIZE = 256 + GRAMMAR_REPOSITORY_SIZE + GRAMMAR_TAG_SIZE };

struct hub_image {
    size_t upstream;                          /* index into config->upstreams */
    char repository[GRAMMAR_REPOSITORY_SIZE]; /* its OCI name, lower case */
    char tag[GRAMMAR_TAG_SIZE];
    bool is_tag_given; /* else it is "latest" */
    bool by_digest;    /* `digest` is set; then a tag counts only if it is given */
    struct digest digest;
};

/* Reads such a name. False, with a sentence in `problem`, when it is none, or no upstream of that
 * config is meant. */
bool hub_image_parse(const struct config *config, struct view text, struct hub_image *ret_image,
                     struct buf *problem);

/*
 * Takes such a name, still to be parsed, out of what was sent over HTTP: `image=` in a query or in
 * a form, percent-encoded; in a body also JSON, {"image": "hf/org/model:tag"} with no other member.
 * False: there is none, or, with a sentence in `problem`, it cannot be read.
 */
bool hub_image_in_query(struct view query, char ret_name[HUB_IMAGE_SIZE], struct buf *problem);
bool hub_image_in_body(struct view body, char ret_name[HUB_IMAGE_SIZE], struct buf *problem);

/* Prints "hf/org/model:tag" and returns `out`. */
const char *hub_image_print(const struct config *config, const struct hub_image *image,
                            char out[HUB_IMAGE_SIZE]);

#endif
