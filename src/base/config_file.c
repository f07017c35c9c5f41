/*
 * The settings as YAML, read and printed by libcyaml with one schema, which is made from the
 * tables.
 *
 * libcyaml wants to know every key of a mapping in advance, and `upstreams` has keys that only the
 * file knows. So a file is read twice. First we walk libyaml's events (struct walk): this lists the
 * keys with their lines and refuses whatever is not in the tables, with a better sentence than a
 * library that does not know them could. Then libcyaml loads the values, as text, through a schema
 * made for the very names that were found (struct schema), and config_set and config_upstream_set
 * take them one by one, in the order of the file.
 *
 * A file may be hostile: its size, depth, number of keys and number of upstreams are bounded by the
 * walk, and anchors and aliases refused, before libcyaml sees it.
 */
#include <cyaml/cyaml.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "base/config.h"
#include "base/problem.h"
#include "base/small_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define UPSTREAMS       "upstreams"

enum { FILE_MAX_BYTES = 1 << 20 };

/* ---- the schema ---- */

/* What libcyaml fills in and prints: every value as text. */
struct file_upstream {
#define KEY(name, prose) char *name;
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
};

struct file {
#define SETTING(kind, name, default_, min, max, prose) char *name;
#include "base/settings.def"
#undef SETTING
    struct file_upstream **upstreams; /* one pointer a name, in the order of the schema */
};

/* Texts are printed in quotes: "null" is a text, null is none. */
#define QUOTED         CYAML_FLAG_SCALAR_QUOTE_DOUBLE
#define STYLE_ADDRESS  QUOTED
#define STYLE_NAME     QUOTED
#define STYLE_PATH     QUOTED
#define STYLE_SIZE     CYAML_FLAG_DEFAULT
#define STYLE_BUDGET   CYAML_FLAG_DEFAULT
#define STYLE_DURATION CYAML_FLAG_DEFAULT
#define STYLE_COUNT    CYAML_FLAG_DEFAULT
#define STYLE_CHOICE   CYAML_FLAG_DEFAULT

/* One row of a schema: `member` of `structure` is optional text. */
#define TEXT_FIELD(structure, member, style)                                                       \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_OPTIONAL | (style), structure, member, 0,           \
                           CYAML_UNLIMITED)

static const cyaml_schema_field_t setting_fields[] = {
#define SETTING(kind, name, default_, min, max, prose) TEXT_FIELD(struct file, name, STYLE_##kind),
#include "base/settings.def"
#undef SETTING
};

static const cyaml_schema_field_t upstream_fields[] = {
#define KEY(name, prose) TEXT_FIELD(struct file_upstream, name, QUOTED),
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
        CYAML_FIELD_END,
};

enum {
    SETTING_COUNT = COUNT_OF(setting_fields),
    KEY_COUNT = COUNT_OF(upstream_fields) - 1,
};

struct schema {
    cyaml_schema_field_t names[CONFIG_UPSTREAMS_MAX + 1]; /* of the mapping `upstreams` */
    cyaml_schema_field_t fields[SETTING_COUNT + 2];       /* of the file */
    cyaml_schema_value_t root;
};

/* The names are borrowed. */
static void schema_init(struct schema *schema, char *const *names, size_t count)
{
    const cyaml_schema_field_t end = CYAML_FIELD_END;
    const cyaml_schema_value_t root = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, schema->fields)};

    CHECK(count <= CONFIG_UPSTREAMS_MAX);
    for (size_t i = 0; i < count; i++)
        schema->names[i] = (cyaml_schema_field_t){
            .key = names[i],
            .data_offset = (uint32_t)(i * sizeof(struct file_upstream *)),
            .value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER_NULL_STR, struct file_upstream,
                                          upstream_fields)}};
    schema->names[count] = end;
    memcpy(schema->fields, setting_fields, sizeof(setting_fields));
    schema->fields[SETTING_COUNT] = (cyaml_schema_field_t){
        .key = UPSTREAMS,
        .data_offset = offsetof(struct file, upstreams),
        .value = {.type = CYAML_MAPPING,
                  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                  .data_size = (uint32_t)((count + 1) * sizeof(struct file_upstream *)),
                  .mapping = {.fields = schema->names}}};
    schema->fields[SETTING_COUNT + 1] = end;
    schema->root = root;
}

/* The text that `field` describes inside `data`. */
static char **text_at(void *data, const cyaml_schema_field_t *field)
{
    return (char **)(void *)((char *)data + field->data_offset);
}

/* libcyaml's allocator: size 0 frees. */
static void *on_memory(void *context, void *old, size_t size)
{
    (void)context;
    if (size > 0)
        return check_realloc(old, size);
    free(old);
    return NULL;
}

/* Keeps what libcyaml has to say about an error, on one line. */
static void on_log(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct buf *detail = context;

    (void)level;
    buf_vprintf(detail, format, arguments);
    while (view_ends_with(view_of_buf(detail), VIEW("\n")))
        detail->data[--detail->length] = '\0';
    buf_append_text(detail, "; ");
}

static cyaml_config_t cyaml_setup(struct buf *detail)
{
    return (cyaml_config_t){.log_fn = on_log,
                            .log_ctx = detail,
                            .mem_fn = on_memory,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_STYLE_BLOCK | CYAML_CFG_NO_ALIAS};
}

/* ---- the walk ---- */

#define NONE SIZE_MAX

/* A key of the file. */
struct found {
    size_t upstream; /* index of the name it is under; NONE: a setting */
    size_t field;    /* index in the table; NONE: the name of an upstream itself */
    size_t line;
};

struct walk {
    const char *path;    /* borrowed */
    struct buf *problem; /* borrowed */
    struct view text;
    yaml_parser_t parser;
    yaml_event_t event;
    char *names[CONFIG_UPSTREAMS_MAX]; /* owned */
    size_t name_count;
    size_t upstreams_line; /* 0: the file has no `upstreams` */
    /* Bounded: a key that is given twice is an error. */
    struct found found[SETTING_COUNT + CONFIG_UPSTREAMS_MAX * (1 + KEY_COUNT)];
    size_t found_count;
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
    for (size_t i = 0; i < COUNT_OF(words); i++)
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

/* Notes the key that the walk is at; an error when it was there before. */
static enum err note(struct walk *walk, size_t upstream, size_t field)
{
    for (size_t i = 0; i < walk->found_count; i++) {
        const struct found *former = &walk->found[i];
        if (former->upstream != upstream || former->field != field)
            continue;
        problem_value(walk->problem, scalar_text(walk), "is given twice, first in line %zu",
                      former->line);
        return at_event(walk);
    }
    CHECK(walk->found_count < COUNT_OF(walk->found));
    walk->found[walk->found_count++] = (struct found){upstream, field, event_line(walk)};
    return OK;
}

/* Looks the key that the walk is at up in a table; `extra` (NULL: none) is one more, of index
 * `count`. */
static enum err look_up(struct walk *walk, const cyaml_schema_field_t *fields, size_t count,
                        const char *extra, size_t *ret_index)
{
    const char *keys[SETTING_COUNT + 1];
    size_t key_count = count;

    if (!is_scalar(walk)) {
        problem_set(walk->problem, "expected a key, one word");
        return at_event(walk);
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = fields[i].key;
    if (extra != NULL)
        keys[key_count++] = extra;
    for (size_t i = 0; i < key_count; i++)
        if (view_equal(scalar_text(walk), view_of(keys[i]))) {
            *ret_index = i;
            return OK;
        }
    problem_unknown(walk->problem, "key", scalar_text(walk), keys, key_count);
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

/* The mapping below an upstream's name, up to its end. */
static enum err walk_upstream(struct walk *walk, size_t upstream)
{
    enum err err = step(walk);

    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t key = 0;
        err = look_up(walk, upstream_fields, KEY_COUNT, NULL, &key);
        if (err == OK)
            err = note(walk, upstream, key);
        if (err == OK)
            err = walk_text(walk, upstream_fields[key].key);
        if (err == OK)
            err = step(walk);
    }
    return err;
}

/* The name of an upstream, which the walk is at. */
static enum err walk_name(struct walk *walk)
{
    size_t upstream = walk->name_count;

    if (!is_scalar(walk)) {
        problem_set(walk->problem, UPSTREAMS ": expected a registry's name");
        return at_event(walk);
    }
    for (size_t i = 0; i < walk->name_count; i++)
        if (view_equal(scalar_text(walk), view_of(walk->names[i])))
            return note(walk, i, NONE);
    if (upstream == CONFIG_UPSTREAMS_MAX) {
        problem_set(walk->problem, UPSTREAMS ": there are more than %d", CONFIG_UPSTREAMS_MAX);
        return at_event(walk);
    }
    walk->names[walk->name_count++] = view_dup(scalar_text(walk));
    return note(walk, upstream, NONE);
}

/* What is below `upstreams`. */
static enum err walk_upstreams(struct walk *walk)
{
    walk->upstreams_line = event_line(walk);
    enum err err = step(walk);
    if (err != OK)
        return err;
    if (walk->event.type != YAML_MAPPING_START_EVENT) {
        problem_set(walk->problem, UPSTREAMS ": expected a mapping from registries' names, such as "
                                             "\"docker.io: {}\" below it");
        return at_line(walk, walk->upstreams_line);
    }
    err = step(walk);
    while (err == OK && walk->event.type != YAML_MAPPING_END_EVENT) {
        size_t upstream = walk->name_count;
        err = walk_name(walk);
        if (err == OK)
            err = step(walk);
        if (err == OK && walk->event.type == YAML_MAPPING_START_EVENT) {
            err = walk_upstream(walk, upstream);
        } else if (err == OK && !is_null(walk)) {
            problem_value(walk->problem, view_of(walk->names[upstream]),
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
        err = look_up(walk, setting_fields, SETTING_COUNT, UPSTREAMS, &key);
        if (err == OK)
            err = note(walk, NONE, key);
        if (err == OK && key == SETTING_COUNT)
            err = walk_upstreams(walk);
        else if (err == OK)
            err = walk_text(walk, setting_fields[key].key);
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

static void walk_release(struct walk *walk)
{
    yaml_event_delete(&walk->event);
    yaml_parser_delete(&walk->parser);
    for (size_t i = 0; i < walk->name_count; i++)
        free(walk->names[i]);
    *walk = (struct walk){0};
}

/* ---- reading ---- */

/* Hands a value that libcyaml loaded to the setting or upstream it is for. */
static enum err take(struct config *config, const struct walk *walk, const struct found *found,
                     struct file *file, struct config_upstream **upstream)
{
    const cyaml_schema_field_t *field;

    if (found->upstream == NONE) {
        if (found->field == SETTING_COUNT)
            return OK; /* the key `upstreams` itself */
        field = &setting_fields[found->field];
        return config_set(config, field->key, *text_at(file, field), walk->problem);
    }
    const char *name = walk->names[found->upstream];
    enum err err;
    if (found->field == NONE) {
        err = config_push_upstream(config, view_of(name), upstream, walk->problem);
        return err == OK ? OK : problem_within(walk->problem, UPSTREAMS ": ");
    }
    field = &upstream_fields[found->field];
    const char *text = *text_at(file->upstreams[found->upstream], field);
    err = config_upstream_set(*upstream, field->key, text, walk->problem);
    return err == OK ? OK : problem_within(walk->problem, UPSTREAMS ": %s: ", name);
}

/* Loads the values of what the walk found, and takes them in the order of the file. */
static enum err load(struct config *config, struct walk *walk)
{
    struct schema schema;
    struct buf detail = {0};
    cyaml_config_t setup = cyaml_setup(&detail);
    struct config_upstream *upstream = NULL;
    void *file = NULL;
    enum err err = OK;

    schema_init(&schema, walk->names, walk->name_count);
    cyaml_err_t verdict = cyaml_load_data((const uint8_t *)walk->text.data, walk->text.length,
                                          &setup, &schema.root, &file, NULL);
    if (verdict != CYAML_OK)
        err = problem_set(walk->problem, "%s: %s%s", walk->path,
                          detail.length > 0 ? detail.data : "", cyaml_strerror(verdict));
    if (err == OK && walk->upstreams_line > 0)
        config_drop_upstreams(config);
    for (size_t i = 0; err == OK && i < walk->found_count; i++) {
        err = take(config, walk, &walk->found[i], file, &upstream);
        if (err != OK)
            err = at_line(walk, walk->found[i].line);
    }
    (void)cyaml_free(&setup, &schema.root, file, 0);
    buf_release(&detail);
    return err;
}

enum err config_read_text(struct config *config, struct view text, const char *path,
                          struct buf *ret_problem)
{
    struct walk walk = {.path = path, .problem = ret_problem, .text = text};

    if (text.length > FILE_MAX_BYTES)
        return problem_set(ret_problem, "%s: is larger than 1MiB, the most that is read", path);
    CHECK(yaml_parser_initialize(&walk.parser) != 0);
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text.data, text.length);
    enum err err = walk_file(&walk);
    if (err == OK && walk.found_count > 0)
        err = load(config, &walk);
    walk_release(&walk);
    return err;
}

enum err config_read_file(struct config *config, const char *path, struct buf *ret_problem)
{
    struct buf text = {0};

    enum err err = small_file_read(path, FILE_MAX_BYTES, &text, ret_problem);
    if (err == OK)
        err = config_read_text(config, view_of_buf(&text), path, ret_problem);
    buf_release(&text);
    return err;
}

/* ---- printing ---- */

/* Borrows the texts of an upstream. What came from elsewhere is left to where it came from. */
static void print_upstream(const struct config_upstream *upstream, struct file_upstream *out)
{
    static char hidden[] = CONFIG_HIDDEN;

    *out = (struct file_upstream){.url = upstream->url,
                                  .username = upstream->username,
                                  .password_file = upstream->password_file,
                                  .ca_file = upstream->ca_file};
    if (upstream->password != NULL && upstream->password_file == NULL)
        out->password = hidden;
    if (upstream->has_docker_credentials)
        out->username = out->password = NULL;
}

void config_print(const struct config *config, struct buf *out)
{
    struct schema schema;
    struct buf detail = {0};
    cyaml_config_t setup = cyaml_setup(&detail);
    char *names[CONFIG_UPSTREAMS_MAX];
    struct file_upstream values[CONFIG_UPSTREAMS_MAX];
    struct file_upstream *upstreams[CONFIG_UPSTREAMS_MAX];
    struct file file = {.upstreams = upstreams};
    char *text = NULL;
    size_t length = 0;

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct buf value = {0};
        config_get(config, setting_fields[i].key, &value);
        *text_at(&file, &setting_fields[i]) = value.data;
    }
    for (size_t i = 0; i < config->upstream_count; i++) {
        names[i] = config->upstreams[i].name;
        upstreams[i] = &values[i];
        print_upstream(&config->upstreams[i], &values[i]);
    }
    schema_init(&schema, names, config->upstream_count);
    /* Every text is clean (config_text_is_clean), so it can be printed. */
    CHECK(cyaml_save_data(&text, &length, &setup, &schema.root, &file, 0) == CYAML_OK);
    buf_append(out, text, length);
    on_memory(NULL, text, 0);
    buf_release(&detail);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        free(*text_at(&file, &setting_fields[i]));
}
