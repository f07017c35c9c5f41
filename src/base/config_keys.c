#include "base/config_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "base/walk.h"

/* ---- the tables ---- */

static const char *const setting_names[] = {
#define SETTING(kind, name, default_, min, max, prose) #name,
#include "base/settings.def"
#undef SETTING
    CONFIG_KEY_UPSTREAMS,
    CONFIG_KEY_MODELS,
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
    KEYS_MAX = CONFIG_KEYS_END + CONFIG_PATTERNS_MAX + CONFIG_UPSTREAMS_MAX * (1 + CONFIG_KEY_COUNT)
};

/* ---- the walk ---- */

struct reader {
    struct walk walk;
    struct config_keys *keys; /* borrowed; what is found */
};

static void add_key(struct reader *reader, size_t upstream, size_t field, size_t item)
{
    struct config_keys *keys = reader->keys;

    CHECK(keys->count < KEYS_MAX);
    keys->keys[keys->count++] =
        (struct config_key){upstream, field, item, walk_line(&reader->walk)};
}

/* Notes the key that the walk is at; an error when it was there before. */
static enum err note(struct reader *reader, size_t upstream, size_t field)
{
    struct walk *walk = &reader->walk;
    for (size_t i = 0; i < reader->keys->count; i++) {
        const struct config_key *former = &reader->keys->keys[i];
        if (former->upstream != upstream || former->field != field)
            continue;
        problem_value(walk->problem, walk_text(walk), "is given twice, first in line %zu",
                      former->line);
        return walk_at_event(walk);
    }
    add_key(reader, upstream, field, CONFIG_NONE);
    return OK;
}

/* The value of the setting `field`, a list of texts, up to its end. */
static enum err read_list(struct reader *reader, size_t field)
{
    struct walk *walk = &reader->walk;
    enum err err = walk_step(walk);

    if (err == OK && walk->event.type != YAML_SEQUENCE_START_EVENT) {
        problem_set(walk->problem, "%s: expected a list, such as [a, b]", setting_names[field]);
        return walk_at_event(walk);
    }
    if (err == OK)
        err = walk_step(walk);
    for (size_t item = 0; err == OK && walk->event.type != YAML_SEQUENCE_END_EVENT; item++) {
        if (!walk_is_scalar(walk) || walk_is_null(walk)) {
            problem_set(walk->problem, "%s: expected a text in the list", setting_names[field]);
            return walk_at_event(walk);
        }
        if (item == CONFIG_PATTERNS_MAX) {
            problem_set(walk->problem, "%s: there are more than %d", setting_names[field],
                        CONFIG_PATTERNS_MAX);
            return walk_at_event(walk);
        }
        add_key(reader, CONFIG_NONE, field, item);
        err = walk_step(walk);
    }
    return err;
}

/* The mapping below an upstream's name, up to its end. */
static enum err read_upstream(struct reader *reader, size_t upstream)
{
    struct walk *walk = &reader->walk;
    enum err err = walk_step(walk);

    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        err = walk_look_up(walk, upstream_names, CONFIG_KEY_COUNT, &key);
        if (err == OK)
            err = note(reader, upstream, key);
        if (err == OK)
            err = walk_value(walk, upstream_names[key]);
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

/* The name of an upstream, which the walk is at. */
static enum err read_name(struct reader *reader)
{
    struct walk *walk = &reader->walk;
    size_t upstream = reader->keys->name_count;

    if (!walk_is_scalar(walk)) {
        problem_set(walk->problem, CONFIG_KEY_UPSTREAMS ": expected a registry's name");
        return walk_at_event(walk);
    }
    for (size_t i = 0; i < reader->keys->name_count; i++)
        if (view_equal(walk_text(walk), view_of(reader->keys->names[i])))
            return note(reader, i, CONFIG_NONE);
    if (upstream == CONFIG_UPSTREAMS_MAX) {
        problem_set(walk->problem, CONFIG_KEY_UPSTREAMS ": there are more than %d",
                    CONFIG_UPSTREAMS_MAX);
        return walk_at_event(walk);
    }
    reader->keys->names[reader->keys->name_count++] = view_dup(walk_text(walk));
    return note(reader, upstream, CONFIG_NONE);
}

/* What is below `upstreams`. */
static enum err read_upstreams(struct reader *reader)
{
    struct walk *walk = &reader->walk;
    reader->keys->upstreams_line = walk_line(walk);
    enum err err = walk_step(walk);
    if (err != OK)
        return err;
    if (walk->event.type != YAML_MAPPING_START_EVENT) {
        problem_set(walk->problem,
                    CONFIG_KEY_UPSTREAMS ": expected a mapping from registries' names, such as "
                                         "\"docker.io: {}\" below it");
        return walk_at_line(walk, reader->keys->upstreams_line);
    }
    err = walk_step(walk);
    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t upstream = reader->keys->name_count;
        err = read_name(reader);
        if (err == OK)
            err = walk_step(walk);
        if (err == OK && walk->event.type == YAML_MAPPING_START_EVENT) {
            err = read_upstream(reader, upstream);
        } else if (err == OK && !walk_is_null(walk)) {
            problem_value(walk->problem, view_of(reader->keys->names[upstream]),
                          "is a name; expected {} behind it, or url, username, ... below it");
            err = walk_at_event(walk);
        }
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

/* The file's mapping, up to its end. */
static enum err read_settings(struct reader *reader)
{
    struct walk *walk = &reader->walk;
    enum err err = walk_step(walk);

    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        err = walk_look_up(walk, setting_names, CONFIG_KEYS_END, &key);
        if (err == OK)
            err = note(reader, CONFIG_NONE, key);
        if (err == OK && key == CONFIG_KEYS_UPSTREAMS)
            err = read_upstreams(reader);
        else if (err == OK && key == CONFIG_KEYS_MODELS)
            err = walk_skip(walk); /* the catalog reads them */
        else if (err == OK && is_list[key])
            err = read_list(reader, key);
        else if (err == OK)
            err = walk_value(walk, setting_names[key]);
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

enum err config_keys_read(struct config_keys *keys, struct view text, const char *path,
                          struct buf *ret_problem)
{
    struct reader reader = {.keys = keys};
    bool found;

    *keys = (struct config_keys){.keys = check_calloc(KEYS_MAX, sizeof(*keys->keys))};
    walk_init(&reader.walk, text, path, ret_problem);
    enum err err =
        walk_begin(&reader.walk, "expected settings, such as \"cache_size: 200GiB\"", &found);
    if (err == OK && found)
        err = read_settings(&reader);
    if (err == OK)
        err = walk_end(&reader.walk);
    walk_release(&reader.walk);
    return err;
}

void config_keys_release(struct config_keys *keys)
{
    for (size_t i = 0; i < keys->name_count; i++)
        free(keys->names[i]);
    free(keys->keys);
    *keys = (struct config_keys){0};
}
