#include "base/walk.h"

#include <string.h>

#include "base/check.h"
#include "base/problem.h"

enum err walk_at_line(struct walk *walk, size_t line)
{
    return problem_within(walk->problem, "%s:%zu: ", walk->path, line);
}

size_t walk_line(const struct walk *walk)
{
    return walk->event.start_mark.line + 1;
}

enum err walk_at_event(struct walk *walk)
{
    return walk_at_line(walk, walk_line(walk));
}

static enum err not_yaml(struct walk *walk)
{
    const yaml_parser_t *parser = &walk->parser;
    size_t line = parser->problem_mark.line + 1;

    CHECK(parser->error != YAML_MEMORY_ERROR);
    if (parser->error == YAML_READER_ERROR) { /* bad bytes have an offset, but no line */
        line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < walk->text.length; i++)
            line += walk->text.data[i] == '\n';
    }
    problem_set(walk->problem, "is not valid YAML: %s", parser->problem);
    if (parser->context != NULL)
        buf_printf(walk->problem, " (%s)", parser->context);
    return walk_at_line(walk, line);
}

struct view walk_text(const struct walk *walk)
{
    return (struct view){(const char *)walk->event.data.scalar.value,
                         walk->event.data.scalar.length};
}

bool walk_is(const struct walk *walk, yaml_event_type_t type)
{
    return walk->event.type == type;
}

bool walk_is_scalar(const struct walk *walk)
{
    return walk->event.type == YAML_SCALAR_EVENT;
}

bool walk_is_null(const struct walk *walk)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (!walk_is_scalar(walk) || walk->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (view_equal(walk_text(walk), view_of(words[i])))
            return true;
    return false;
}

/* What YAML can do and a configuration does not need. */
static bool has_frills(const struct walk *walk)
{
    const yaml_event_t *event = &walk->event;

    if (event->type == YAML_ALIAS_EVENT)
        return true;
    if (event->type == YAML_SCALAR_EVENT)
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    if (event->type == YAML_MAPPING_START_EVENT)
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    return false;
}

enum err walk_step(struct walk *walk)
{
    yaml_event_delete(&walk->event);
    if (yaml_parser_parse(&walk->parser, &walk->event) == 0) {
        walk->event = (yaml_event_t){0};
        return not_yaml(walk);
    }
    if (has_frills(walk)) {
        problem_set(walk->problem, "anchors, aliases and tags are not supported");
        return walk_at_event(walk);
    }
    if (walk_is_scalar(walk) && strlen(walk_text(walk).data) != walk_text(walk).length) {
        problem_set(walk->problem, "a text with a NUL byte in it cannot be used");
        return walk_at_event(walk);
    }
    return OK;
}

enum err walk_look_up(struct walk *walk, const char *const *names, size_t count, size_t *ret_index)
{
    if (!walk_is_scalar(walk)) {
        problem_set(walk->problem, "expected a key, one word");
        return walk_at_event(walk);
    }
    for (size_t i = 0; i < count; i++)
        if (view_equal(walk_text(walk), view_of(names[i]))) {
            *ret_index = i;
            return OK;
        }
    problem_unknown(walk->problem, "key", walk_text(walk), names, count);
    return walk_at_event(walk);
}

enum err walk_value(struct walk *walk, const char *name)
{
    size_t key_line = walk_line(walk);

    enum err err = walk_step(walk);
    if (err != OK)
        return err;
    if (walk_is_null(walk)) {
        problem_set(walk->problem,
                    "%s: has no value; leave the line out, or write \"\" for nothing", name);
        return walk_at_line(walk, key_line);
    }
    if (walk_is_scalar(walk))
        return OK;
    problem_set(walk->problem, "%s: expected one value, not a list or a mapping", name);
    return walk_at_event(walk);
}

enum err walk_skip(struct walk *walk)
{
    size_t depth = 0;
    enum err err;

    do {
        err = walk_step(walk);
        if (err != OK)
            return err;
        if (walk_is(walk, YAML_MAPPING_START_EVENT) || walk_is(walk, YAML_SEQUENCE_START_EVENT))
            depth++;
        if (walk_is(walk, YAML_MAPPING_END_EVENT) || walk_is(walk, YAML_SEQUENCE_END_EVENT))
            depth--;
    } while (depth > 0);
    return OK;
}

enum err walk_begin(struct walk *walk, const char *expected, bool *ret_found)
{
    enum err err = walk_step(walk); /* the start of the stream */

    *ret_found = false;
    if (err == OK)
        err = walk_step(walk);
    if (err != OK || walk_is(walk, YAML_STREAM_END_EVENT))
        return err;
    err = walk_step(walk); /* behind the start of the document */
    if (err != OK)
        return err;
    *ret_found = walk_is(walk, YAML_MAPPING_START_EVENT);
    if (*ret_found || walk_is_null(walk))
        return OK;
    problem_set(walk->problem, "%s", expected);
    return walk_at_event(walk);
}

enum err walk_end(struct walk *walk)
{
    if (walk_is(walk, YAML_STREAM_END_EVENT))
        return OK;
    enum err err = walk_step(walk); /* the end of the document */
    if (err == OK)
        err = walk_step(walk);
    if (err == OK && !walk_is(walk, YAML_STREAM_END_EVENT)) {
        problem_set(walk->problem, "expected the end of the file, not a second document");
        err = walk_at_event(walk);
    }
    return err;
}

void walk_init(struct walk *walk, struct view text, const char *path, struct buf *problem)
{
    *walk = (struct walk){.path = path, .problem = problem, .text = text};
    CHECK(yaml_parser_initialize(&walk->parser) != 0);
    const char *data = text.length > 0 ? text.data : ""; /* libyaml insists on one */
    yaml_parser_set_input_string(&walk->parser, (const unsigned char *)data, text.length);
}

void walk_release(struct walk *walk)
{
    yaml_event_delete(&walk->event);
    yaml_parser_delete(&walk->parser);
    *walk = (struct walk){0};
}
