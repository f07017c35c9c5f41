#include "base/config_keys.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "base/problem.h"

/* ---- the tables ---- */

static const char *const setting_names[] = {
#define SETTING(kind, name, default_, min, max, prose) #name,
#include "base/settings.def"
#undef SETTING
    CONFIG_KEY_UPSTREAMS,
};

static const char *const upstream_names[] = {
#define KEY(name, prose) #name,
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
};

#define LIST_ADDRESS  false
#define LIST_NAME     false
#define LIST_PATH     false
#define LIST_SIZE     false
#define LIST_BUDGET   false
#define LIST_DURATION false
#define LIST_COUNT    false
#define LIST_CHOICE   false
#define LIST_PATTERNS true

static const bool is_list[] = {
#define SETTING(kind, name, default_, min, max, prose) LIST_##kind,
#include "base/settings.def"
#undef SETTING
};

/* A key that is given twice is an error, and of lists there is one. */
enum {
    KEYS_MAX = CONFIG_SETTING_COUNT + 1 + CONFIG_PATTERNS_MAX +
               CONFIG_UPSTREAMS_MAX * (1 + CONFIG_KEY_COUNT)
};

/* ---- the walk ---- */

struct walk {
    const char *path;    /* borrowed */
    struct buf *problem; /* borrowed */
    struct view text;
    yaml_parser_t parser;
    yaml_event_t event;
    struct config_keys *keys; /* borrowed; what is found */
};

static enum err at_line(struct walk *walk, size_t line)
{
    return problem_within(walk->problem, "%s:%zu: ", walk->path, line);
}

static size_t event_line(const struct walk *walk)
{
    return walk->event.start_mark.line + 1;
}

static enum err at_event(struct walk *walk)
{
    return at_line(walk, event_line(walk));
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
    return at_line(walk, line);
}

static struct view scalar_text(const struct walk *walk)
{
    return (struct view){(const char *)walk->event.data.scalar.value,
                         walk->event.data.scalar.length};
}

static bool is_scalar(const struct walk *walk)
{
    return walk->event.type == YAML_SCALAR_EVENT;
}

/* Whether the value is YAML's null: nothing at all, or one of the words of
 * CYAML_FLAG_POINTER_NULL_STR. */
static bool is_null(const struct walk *walk)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (!is_scalar(walk) || walk->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (view_equal(scalar_text(walk), view_of(words[i])))
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

/* Steps to the next event. */
static enum err step(struct walk *walk)
{
    yaml_event_delete(&walk->event);
    if (yaml_parser_parse(&walk->parser, &walk->event) == 0) {
        walk->event = (yaml_event_t){0};
        return not_yaml(walk);
    }
    if (has_frills(walk)) {
        problem_set(walk->problem, "anchors, aliases and tags are not supported");
        return at_event(walk);
    }
    if (is_scalar(walk) && strlen(scalar_text(walk).data) != scalar_text(walk).length) {
        problem_set(walk->problem, "a text with a NUL byte in it cannot be used");
        return at_event(walk);
    }
    return OK;
}

static void add_key(struct walk *walk, size_t upstream, size_t field, size_t item)
{
    struct config_keys *keys = walk->keys;

    CHECK(keys->count < KEYS_MAX);
    keys->keys[keys->count++] = (struct config_key){upstream, field, item, event_line(walk)};
}

/* Notes the key that the walk is at; an error when it was there before. */
static enum err note(struct walk *walk, size_t upstream, size_t field)
{
    for (size_t i = 0; i < walk->keys->count; i++) {
        const struct config_key *former = &walk->keys->keys[i];
        if (former->upstream != upstream || former->field != field)
            continue;
        problem_value(walk->problem, scalar_text(walk), "is given twice, first in line %zu",
                      former->line);
        return at_event(walk);
    }
    add_key(walk, upstream, field, CONFIG_NONE);
    return OK;
}

/* Looks the key that the walk is at up in a table. */
static enum err look_up(struct walk *walk, const char *const *names, size_t count,
                        size_t *ret_index)
{
    if (!is_scalar(walk)) {
        problem_set(walk->problem, "expected a key, one word");
        return at_event(walk);
    }
    for (size_t i = 0; i < count; i++)
        if (view_equal(scalar_text(walk), view_of(names[i]))) {
            *ret_index = i;
            return OK;
        }
    problem_unknown(walk->problem, "key", scalar_text(walk), names, count);
    return at_event(walk);
}

/* The value of the key `name`: one piece of text. */
static enum err walk_text(struct walk *walk, const char *name)
{
    size_t key_line = event_line(walk);

    enum err err = step(walk);
    if (err != OK)
        return err;
    if (is_null(walk)) {
        problem_set(walk->problem,
                    "%s: has no value; leave the line out, or write \"\" for nothing", name);
        return at_line(walk, key_line);
    }
    if (is_scalar(walk))
        return OK;
    problem_set(walk->problem, "%s: expected one value, not a list or a mapping", name);
    return at_event(walk);
}

/* The value of the setting `field`, a list of texts, up to its end. */
static enum err walk_list(struct walk *walk, size_t field)
{
    enum err err = step(walk);

    if (err == OK && walk->event.type != YAML_SEQUENCE_START_EVENT) {
        problem_set(walk->problem, "%s: expected a list, such as [a, b]", setting_names[field]);
        return at_event(walk);
    }
    if (err == OK)
        err = step(walk);
    for (size_t item = 0; err == OK && walk->event.type != YAML_SEQUENCE_END_EVENT; item++) {
        if (!is_scalar(walk) || is_null(walk)) {
            problem_set(walk->problem, "%s: expected a text in the list", setting_names[field]);
            return at_event(walk);
        }
        if (item == CONFIG_PATTERNS_MAX) {
            problem_set(walk->problem, "%s: there are more than %d", setting_names[field],
                        CONFIG_PATTERNS_MAX);
            return at_event(walk);
        }
        add_key(walk, CONFIG_NONE, field, item);
        err = step(walk);
    }
    return err;
}

/* The mapping below an upstream's name, up to its end. */
static enum err walk_upstream(struct walk *walk, size_t upstream)
{
    enum err err = step(walk);

    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        err = look_up(walk, upstream_names, CONFIG_KEY_COUNT, &key);
        if (err == OK)
            err = note(walk, upstream, key);
        if (err == OK)
            err = walk_text(walk, upstream_names[key]);
        if (err == OK)
            err = step(walk);
    }
    return err;
}

/* The name of an upstream, which the walk is at. */
static enum err walk_name(struct walk *walk)
{
    size_t upstream = walk->keys->name_count;

    if (!is_scalar(walk)) {
        problem_set(walk->problem, CONFIG_KEY_UPSTREAMS ": expected a registry's name");
        return at_event(walk);
    }
    for (size_t i = 0; i < walk->keys->name_count; i++)
        if (view_equal(scalar_text(walk), view_of(walk->keys->names[i])))
            return note(walk, i, CONFIG_NONE);
    if (upstream == CONFIG_UPSTREAMS_MAX) {
        problem_set(walk->problem, CONFIG_KEY_UPSTREAMS ": there are more than %d",
                    CONFIG_UPSTREAMS_MAX);
        return at_event(walk);
    }
    walk->keys->names[walk->keys->name_count++] = view_dup(scalar_text(walk));
    return note(walk, upstream, CONFIG_NONE);
}

/* What is below `upstreams`. */
static enum err walk_upstreams(struct walk *walk)
{
    walk->keys->upstreams_line = event_line(walk);
    enum err err = step(walk);
    if (err != OK)
        return err;
    if (walk->event.type != YAML_MAPPING_START_EVENT) {
        problem_set(walk->problem,
                    CONFIG_KEY_UPSTREAMS ": expected a mapping from registries' names, such as "
                                         "\"docker.io: {}\" below it");
        return at_line(walk, walk->keys->upstreams_line);
    }
    err = step(walk);
    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t upstream = walk->keys->name_count;
        err = walk_name(walk);
        if (err == OK)
            err = step(walk);
        if (err == OK && walk->event.type == YAML_MAPPING_START_EVENT) {
            err = walk_upstream(walk, upstream);
        } else if (err == OK && !is_null(walk)) {
            problem_value(walk->problem, view_of(walk->keys->names[upstream]),
                          "is a name; expected {} behind it, or url, username, ... below it");
            err = at_event(walk);
        }
        if (err == OK)
            err = step(walk);
    }
    return err;
}

/* The file's mapping, up to its end. */
static enum err walk_settings(struct walk *walk)
{
    enum err err = step(walk);

    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        err = look_up(walk, setting_names, CONFIG_SETTING_COUNT + 1, &key);
        if (err == OK)
            err = note(walk, CONFIG_NONE, key);
        if (err == OK && key == CONFIG_SETTING_COUNT)
            err = walk_upstreams(walk);
        else if (err == OK && is_list[key])
            err = walk_list(walk, key);
        else if (err == OK)
            err = walk_text(walk, setting_names[key]);
        if (err == OK)
            err = step(walk);
    }
    return err;
}

/* The whole file: nothing, or one document with one mapping. */
static enum err walk_file(struct walk *walk)
{
    enum err err = step(walk); /* the start of the stream */

    if (err == OK)
        err = step(walk);
    if (err != OK || walk->event.type == YAML_STREAM_END_EVENT)
        return err;
    err = step(walk); /* behind the start of the document */
    if (err != OK)
        return err;
    if (walk->event.type == YAML_MAPPING_START_EVENT) {
        err = walk_settings(walk);
    } else if (!is_null(walk)) {
        problem_set(walk->problem, "expected settings, such as \"cache_size: 200GiB\"");
        err = at_event(walk);
    }
    if (err == OK)
        err = step(walk); /* the end of the document */
    if (err == OK)
        err = step(walk);
    if (err == OK && walk->event.type != YAML_STREAM_END_EVENT) {
        problem_set(walk->problem, "expected the end of the file, not a second document");
        err = at_event(walk);
    }
    return err;
}

enum err config_keys_read(struct config_keys *keys, struct view text, const char *path,
                          struct buf *ret_problem)
{
    struct walk walk = {.path = path, .problem = ret_problem, .text = text, .keys = keys};

    *keys = (struct config_keys){.keys = check_calloc(KEYS_MAX, sizeof(*keys->keys))};
    CHECK(yaml_parser_initialize(&walk.parser) != 0);
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text.data, text.length);
    enum err err = walk_file(&walk);
    yaml_event_delete(&walk.event);
    yaml_parser_delete(&walk.parser);
    return err;
}

void config_keys_release(struct config_keys *keys)
{
    for (size_t i = 0; i < keys->name_count; i++)
        free(keys->names[i]);
    free(keys->keys);
    *keys = (struct config_keys){0};
}
