/*
 * The settings as YAML, read and printed by libcyaml with one schema, which is made from the
 * tables.
 *
 * libcyaml wants to know every key of a mapping in advance, and `upstreams` has keys that only the
 * file knows. So a file is read twice. First config_keys walks libyaml's events: this lists the
 * keys with their lines and refuses whatever is not in the tables, with a better sentence than a
 * library that does not know them could. Then libcyaml loads the values, as text, through a schema
 * made for the very names that were found (struct schema), and config_set, config_add and
 * config_upstream_set take them one by one, in the order of the file.
 *
 * A file may be hostile: its size is bounded, and by config_keys the rest, before libcyaml sees it.
 */
#include <cyaml/cyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/config.h"
#include "base/config_keys.h"
#include "base/problem.h"
#include "base/small_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define UPSTREAMS       CONFIG_KEY_UPSTREAMS

enum { FILE_MAX_BYTES = 1 << 20 };

/* ---- the schema ---- */

/* What libcyaml fills in and prints: every value as text, or as a list of texts. */
struct file_upstream {
#define KEY(name, prose) char *name;
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
};

#define TEXT_MEMBER(name) char *name;
#define LIST_MEMBER(name)                                                                          \
    char **name;                                                                                   \
    uint32_t name##_count;
#define MEMBER_ADDRESS(name)  TEXT_MEMBER(name)
#define MEMBER_NAME(name)     TEXT_MEMBER(name)
#define MEMBER_PATH(name)     TEXT_MEMBER(name)
#define MEMBER_SIZE(name)     TEXT_MEMBER(name)
#define MEMBER_BUDGET(name)   TEXT_MEMBER(name)
#define MEMBER_DURATION(name) TEXT_MEMBER(name)
#define MEMBER_COUNT(name)    TEXT_MEMBER(name)
#define MEMBER_CHOICE(name)   TEXT_MEMBER(name)
#define MEMBER_PATTERNS(name) LIST_MEMBER(name)

struct file {
#define SETTING(kind, name, default_, min, max, prose) MEMBER_##kind(name)
#include "base/settings.def"
#undef SETTING
    struct file_upstream **upstreams; /* one pointer a name, in the order of the schema */
};

/* One row of a schema: `member` of `structure` is optional text. */
#define TEXT_FIELD(structure, member, style)                                                       \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_OPTIONAL | (style), structure, member, 0,           \
                           CYAML_UNLIMITED)

/* Texts are printed in quotes: "null" is a text, null is none. */
#define QUOTED CYAML_FLAG_SCALAR_QUOTE_DOUBLE
#define PLAIN  CYAML_FLAG_DEFAULT

static const cyaml_schema_value_t item = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER | QUOTED, char, 0, CYAML_UNLIMITED)};

#define FIELD_ADDRESS(name)  TEXT_FIELD(struct file, name, QUOTED)
#define FIELD_NAME(name)     TEXT_FIELD(struct file, name, QUOTED)
#define FIELD_PATH(name)     TEXT_FIELD(struct file, name, QUOTED)
#define FIELD_SIZE(name)     TEXT_FIELD(struct file, name, PLAIN)
#define FIELD_BUDGET(name)   TEXT_FIELD(struct file, name, PLAIN)
#define FIELD_DURATION(name) TEXT_FIELD(struct file, name, PLAIN)
#define FIELD_COUNT(name)    TEXT_FIELD(struct file, name, PLAIN)
#define FIELD_CHOICE(name)   TEXT_FIELD(struct file, name, PLAIN)
#define FIELD_PATTERNS(name)                                                                       \
    CYAML_FIELD_SEQUENCE(#name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, name,       \
                         &item, 0, CONFIG_PATTERNS_MAX)

static const cyaml_schema_field_t setting_fields[] = {
#define SETTING(kind, name, default_, min, max, prose) FIELD_##kind(name),
#include "base/settings.def"
#undef SETTING
};

static const cyaml_schema_field_t upstream_fields[] = {
#define KEY(name, prose) TEXT_FIELD(struct file_upstream, name, QUOTED),
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
        CYAML_FIELD_END,
};

enum { SETTING_COUNT = COUNT_OF(setting_fields) };

struct schema {
    cyaml_schema_field_t names[CONFIG_UPSTREAMS_MAX + 1]; /* of the mapping `upstreams` */
    cyaml_schema_field_t fields[SETTING_COUNT + 3];       /* of the file */
    cyaml_schema_value_t root;
};

/* The names are borrowed. `models` may be there, and are left to others. */
static void schema_init(struct schema *schema, char *const *names, size_t count)
{
    const cyaml_schema_field_t end = CYAML_FIELD_END;
    const cyaml_schema_field_t models = CYAML_FIELD_IGNORE(CONFIG_KEY_MODELS, CYAML_FLAG_OPTIONAL);
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
    schema->fields[SETTING_COUNT + 1] = models;
    schema->fields[SETTING_COUNT + 2] = end;
    schema->root = root;
}

/* The text that `field` describes inside `data`. */
static char **text_at(void *data, const cyaml_schema_field_t *field)
{
    return (char **)(void *)((char *)data + field->data_offset);
}

/* The list that `field` describes, and how many it has. */
static char ***list_at(void *data, const cyaml_schema_field_t *field)
{
    return (char ***)(void *)((char *)data + field->data_offset);
}

static uint32_t *list_count_at(void *data, const cyaml_schema_field_t *field)
{
    return (uint32_t *)(void *)((char *)data + field->count_offset);
}

static bool is_list(const cyaml_schema_field_t *field)
{
    return field->value.type == CYAML_SEQUENCE;
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

/* ---- reading ---- */

/* Hands a value to its setting; a list item by item. */
static enum err take_setting(struct config *config, const struct config_key *key, struct file *file,
                             struct buf *ret_problem)
{
    const cyaml_schema_field_t *field = &setting_fields[key->field];

    if (!is_list(field))
        return config_set(config, field->key, *text_at(file, field), ret_problem);
    if (key->item == CONFIG_NONE)
        return config_set(config, field->key, "", ret_problem);
    CHECK(key->item < *list_count_at(file, field));
    return config_add(config, field->key, (*list_at(file, field))[key->item], ret_problem);
}

/* Hands a value that libcyaml loaded to the setting or upstream it is for. */
static enum err take(struct config *config, const struct config_keys *keys,
                     const struct config_key *key, struct file *file,
                     struct config_upstream **upstream, struct buf *ret_problem)
{
    if (key->upstream == CONFIG_NONE && key->field != CONFIG_NONE && key->field >= SETTING_COUNT)
        return OK; /* the key `upstreams` itself, or `models` */
    if (key->upstream == CONFIG_NONE)
        return take_setting(config, key, file, ret_problem);
    const char *name = keys->names[key->upstream];
    enum err err;
    if (key->field == CONFIG_NONE) {
        err = config_push_upstream(config, view_of(name), upstream, ret_problem);
        return err == OK ? OK : problem_within(ret_problem, UPSTREAMS ": ");
    }
    const cyaml_schema_field_t *field = &upstream_fields[key->field];
    const char *text = *text_at(file->upstreams[key->upstream], field);
    err = config_upstream_set(*upstream, field->key, text, ret_problem);
    return err == OK ? OK : problem_within(ret_problem, UPSTREAMS ": %s: ", name);
}

/* Loads the values of the keys, and takes them in the order of the file. */
static enum err load(struct config *config, struct config_keys *keys, struct view text,
                     const char *path, struct buf *ret_problem)
{
    struct schema schema;
    struct buf detail = {0};
    cyaml_config_t setup = cyaml_setup(&detail);
    struct config_upstream *upstream = NULL;
    void *file = NULL;
    enum err err = OK;

    schema_init(&schema, keys->names, keys->name_count);
    cyaml_err_t verdict =
        cyaml_load_data((const uint8_t *)text.data, text.length, &setup, &schema.root, &file, NULL);
    if (verdict != CYAML_OK)
        err = problem_set(ret_problem, "%s: %s%s", path, detail.length > 0 ? detail.data : "",
                          cyaml_strerror(verdict));
    if (err == OK && keys->upstreams_line > 0)
        config_drop_upstreams(config);
    for (size_t i = 0; err == OK && i < keys->count; i++) {
        err = take(config, keys, &keys->keys[i], file, &upstream, ret_problem);
        if (err != OK)
            err = problem_within(ret_problem, "%s:%zu: ", path, keys->keys[i].line);
    }
    (void)cyaml_free(&setup, &schema.root, file, 0);
    buf_release(&detail);
    return err;
}

enum err config_read_text(struct config *config, struct view text, const char *path,
                          struct buf *ret_problem)
{
    struct config_keys keys;

    if (text.length > FILE_MAX_BYTES)
        return problem_set(ret_problem, "%s: is larger than 1MiB, the most that is read", path);
    enum err err = config_keys_read(&keys, text, path, ret_problem);
    if (err == OK && keys.count > 0)
        err = load(config, &keys, text, path, ret_problem);
    config_keys_release(&keys);
    return err;
}

enum err config_read_file(struct config *config, const char *path, struct buf *ret_problem)
{
    struct buf text = {0};

    enum err err = small_file_read(path, FILE_MAX_BYTES, &text, ret_problem);
    if (err == OK)
        err = config_read_text(config, view_of_buf(&text), path, ret_problem);
    free(config->file);
    config->file = view_dup(view_of(path));
    buf_release(&text);
    return err;
}

/* ---- printing ---- */

/* Borrows the texts of an upstream. What came from elsewhere is left to where it came from. */
static void print_upstream(const struct config_upstream *upstream, struct file_upstream *out)
{
    static char hidden[] = CONFIG_HIDDEN;

    *out = (struct file_upstream){.type = upstream->type,
                                  .url = upstream->url,
                                  .username = upstream->username,
                                  .password_file = upstream->password_file,
                                  .ca_file = upstream->ca_file};
    if (upstream->password != NULL && upstream->password_file == NULL)
        out->password = hidden;
    if (upstream->has_docker_credentials)
        out->username = out->password = NULL;
}

/* The value of a setting, for libcyaml; on the heap. */
static void print_setting(const struct config *config, const cyaml_schema_field_t *field,
                          struct file *out)
{
    struct buf value = {0};

    config_get(config, field->key, &value);
    if (!is_list(field)) {
        *text_at(out, field) = value.data;
        return;
    }
    char **items = check_calloc(CONFIG_PATTERNS_MAX, sizeof(*items));
    uint32_t count = 0;
    for (struct view rest = view_of_buf(&value); rest.length > 0; count++)
        items[count] = view_dup(view_cut(&rest, ' '));
    *list_at(out, field) = items;
    *list_count_at(out, field) = count;
    buf_release(&value);
}

static void free_setting(const cyaml_schema_field_t *field, struct file *file)
{
    if (is_list(field))
        for (uint32_t i = 0; i < *list_count_at(file, field); i++)
            free((*list_at(file, field))[i]);
    free(is_list(field) ? (void *)*list_at(file, field) : *text_at(file, field));
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

    for (size_t i = 0; i < SETTING_COUNT; i++)
        print_setting(config, &setting_fields[i], &file);
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
        free_setting(&setting_fields[i], &file);
}
