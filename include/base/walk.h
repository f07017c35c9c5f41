#ifndef BASE_WALK_H
#define BASE_WALK_H

/*
 * A walk over the events of a YAML file, for those who want to refuse what they do not know, with
 * one sentence that says where: libyaml, without what YAML can do and a configuration does not need
 * (anchors, aliases, tags, texts with a NUL). Pure. Thread: any.
 *
 *   walk_init, walk_begin, then walk_step from event to event, walk_end, walk_release
 *
 * Every error is ERR_CONFIG, with a sentence that begins with path and line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"

struct walk {
    const char *path;    /* borrowed */
    struct buf *problem; /* borrowed */
    struct view text;    /* borrowed */
    yaml_parser_t parser;
    yaml_event_t event; /* where it is */
};

void walk_init(struct walk *walk, struct view text, const char *path, struct buf *problem);
void walk_release(struct walk *walk);

/* Steps to the next event. */
enum err walk_step(struct walk *walk) MUST_CHECK;

/* Steps to the file's mapping; `expected` is what a file of another kind is told. `*ret_found`:
 * there is one. Nothing at all, and null, are files without. */
enum err walk_begin(struct walk *walk, const char *expected, bool *ret_found) MUST_CHECK;

/* From the end of the mapping, or of what was there instead, to the end of the file. */
enum err walk_end(struct walk *walk) MUST_CHECK;

/* The line that the event begins in, and the text of a scalar, borrowed until the next step. */
size_t walk_line(const struct walk *walk);
struct view walk_text(const struct walk *walk);

bool walk_is(const struct walk *walk, yaml_event_type_t type);
bool walk_is_scalar(const struct walk *walk);

/* Whether it is YAML's null: nothing at all, or one of the words of CYAML_FLAG_POINTER_NULL_STR. */
bool walk_is_null(const struct walk *walk);

/* Puts path and line in front of the sentence that is there, and returns ERR_CONFIG. */
enum err walk_at_line(struct walk *walk, size_t line);
enum err walk_at_event(struct walk *walk);

/* Looks the key that it is at up in a table. */
enum err walk_look_up(struct walk *walk, const char *const *names, size_t count,
                      size_t *ret_index) MUST_CHECK;

/* Steps from the key `name` to its value, which must be one piece of text. */
enum err walk_value(struct walk *walk, const char *name) MUST_CHECK;

/* Steps over the value of the key that it is at, to its last event. */
enum err walk_skip(struct walk *walk) MUST_CHECK;

#endif
