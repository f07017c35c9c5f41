/*
 * The values of one model are collected in a draft, in whatever order they come; what they mean
 * together is decided at the model's end.
 */
#include "wire/catalog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "base/walk.h"
#include "wire/filter.h"
#include "wire/hub_name.h"

#define MODELS "models"

enum key { KEY_NAME, KEY_REVISION, KEY_FOLLOW, KEY_TAG, KEY_TEXTS, KEY_INCLUDE = 4, KEY_EXCLUDE };

static const char *const key_names[] = {"name", "revision", "follow", "tag", "include", "exclude"};

enum { KEY_COUNT = sizeof(key_names) / sizeof(key_names[0]), LISTS = KEY_COUNT - KEY_TEXTS };

struct text {
    char *value; /* owned; NULL: not given */
    size_t start, end;
};

struct patterns {
    struct view *items; /* owned, like their texts */
    size_t count;
};

struct draft {
    size_t line; /* where the model begins */
    size_t key_lines[KEY_COUNT];
    struct text texts[KEY_TEXTS];
    struct patterns lists[LISTS];
};

struct reader {
    struct walk walk;
    struct catalog *catalog;
    const struct config *config;
    const char *path; /* the catalog's own */
    struct draft draft;
};

/* ---- the life of a catalog ---- */

struct catalog *catalog_new(void)
{
    struct catalog *catalog = check_calloc(1, sizeof(*catalog));

    catalog->references = 1;
    return catalog;
}

struct catalog *catalog_ref(struct catalog *catalog)
{
    catalog->references++;
    return catalog;
}

struct catalog *catalog_unref(struct catalog *catalog)
{
    if (catalog == NULL || --catalog->references > 0)
        return NULL;
    for (size_t i = 0; i < catalog->count; i++)
        free(catalog->models[i].filter);
    free(catalog->models);
    free(catalog->sorted);
    free(catalog->paths[0]);
    free(catalog->paths[1]);
    free(catalog);
    return NULL;
}

/* ---- finding ---- */

static int compare(const struct catalog_model *model, const char *upstream, const char *repository,
                   const char *tag)
{
    int order = strcmp(model->upstream->name, upstream);

    if (order == 0)
        order = strcmp(model->repository, repository);
    return order != 0 ? order : strcmp(model->tag, tag);
}

/* Where it is in `sorted`, or is to be put. */
static size_t position(const struct catalog *catalog, const char *upstream, const char *repository,
                       const char *tag)
{
    size_t low = 0, high = catalog->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&catalog->models[catalog->sorted[middle]], upstream, repository, tag) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct catalog_model *catalog_find(const struct catalog *catalog, const char *upstream,
                                         const char *repository, const char *tag)
{
    size_t at = position(catalog, upstream, repository, tag);

    if (at == catalog->count)
        return NULL;
    const struct catalog_model *model = &catalog->models[catalog->sorted[at]];
    return compare(model, upstream, repository, tag) == 0 ? model : NULL;
}

/* ---- what a draft means ---- */

static void draft_empty(struct draft *draft)
{
    for (size_t i = 0; i < KEY_TEXTS; i++)
        free(draft->texts[i].value);
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t j = 0; j < draft->lists[i].count; j++)
            free((char *)draft->lists[i].items[j].data);
        free(draft->lists[i].items);
    }
    *draft = (struct draft){0};
}

/* Puts which model and key it is, and where, in front of the sentence. */
static enum err within(struct reader *reader, enum key key)
{
    const struct draft *draft = &reader->draft;
    const char *name = draft->texts[KEY_NAME].value;

    (void)problem_within(reader->walk.problem,
                         MODELS ": %s%s%s: ", name == NULL || key == KEY_NAME ? "" : name,
                         name == NULL || key == KEY_NAME ? "" : ": ", key_names[key]);
    return walk_at_line(&reader->walk,
                        draft->key_lines[key] > 0 ? draft->key_lines[key] : draft->line);
}

static const struct config_upstream *first_hub(const struct config *config)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].is_hub)
            return &config->upstreams[i];
    return NULL;
}

/* Which upstream's model it is, and what that calls it. */
static enum err take_name(struct reader *reader, struct catalog_model *model)
{
    const char *text = reader->draft.texts[KEY_NAME].value;
    struct buf *problem = reader->walk.problem;
    struct view name = view_of(text), rest = name;
    struct hub_name parsed;

    if (text == NULL) {
        problem_set(problem, "is missing");
        return within(reader, KEY_NAME);
    }
    int upstream = config_find_upstream(reader->config, view_cut(&rest, '/'));
    if (upstream >= 0 && rest.length > 0) {
        name = rest;
        model->upstream = &reader->config->upstreams[upstream];
    } else {
        model->upstream = first_hub(reader->config);
    }
    if (model->upstream == NULL)
        problem_value(problem, view_of(text),
                      "is of no upstream: there is none of type huggingface in `upstreams`");
    else if (!model->upstream->is_hub)
        problem_value(problem, view_of(text), "is of %s, which is no upstream of type huggingface",
                      model->upstream->name);
    else if (!hub_name_parse(name, &parsed) ||
             !view_copy(name, model->repository, sizeof(model->repository)))
        problem_value(problem, view_of(text),
                      "is no model of a hub; write org/model, model, or datasets/org/name");
    else {
        for (char *at = model->repository; *at != '\0'; at++)
            *at = (char)tolower((unsigned char)*at);
        if (grammar_is_repository(view_of(model->repository)))
            return OK;
        problem_value(problem, view_of(text),
                      "cannot be an image's name, which has single dots, dashes or underscores "
                      "between letters and digits");
    }
    return within(reader, KEY_NAME);
}

static enum err take_revision(struct reader *reader, enum key key, const char *none, char *out)
{
    const char *text = reader->draft.texts[key].value;

    (void)view_copy(view_of(text == NULL ? none : text), out, GRAMMAR_TAG_SIZE);
    if (text == NULL || hub_name_is_revision(view_of(text)))
        return OK;
    problem_value(reader->walk.problem, view_of(text),
                  "is no revision; write a branch, a tag, or a commit's 40 hex digits");
    return within(reader, key);
}

static enum err take_revisions(struct reader *reader, struct catalog_model *model)
{
    const struct text *texts = reader->draft.texts;

    enum err err = take_revision(reader, KEY_REVISION, "main", model->revision);
    if (err != OK)
        return err;
    model->is_commit = hub_is_commit(view_of(model->revision));
    model->revision_start = texts[KEY_REVISION].start;
    model->revision_end = texts[KEY_REVISION].end;
    if (strlen(model->revision) == HUB_COMMIT_SIZE - 1 && !model->is_commit &&
        strspn(model->revision, "0123456789abcdefABCDEF") == HUB_COMMIT_SIZE - 1) {
        problem_value(reader->walk.problem, view_of(model->revision),
                      "has capital letters; write a commit in small ones");
        return within(reader, KEY_REVISION);
    }
    if (!model->is_commit && texts[KEY_FOLLOW].value != NULL) {
        problem_set(reader->walk.problem,
                    "is for commits: the revision %s moves by itself; leave one of them out",
                    model->revision);
        return within(reader, KEY_FOLLOW);
    }
    return take_revision(reader, KEY_FOLLOW, model->is_commit ? "main" : "", model->follow);
}

static enum err take_tag(struct reader *reader, struct catalog_model *model)
{
    const char *text = reader->draft.texts[KEY_TAG].value;

    if (text == NULL)
        text = "latest";
    if (!grammar_is_tag(view_of(text))) {
        problem_value(reader->walk.problem, view_of(text),
                      "is no tag; write up to 128 letters, digits, dots, dashes and underscores");
        return within(reader, KEY_TAG);
    }
    CHECK(view_copy(view_of(text), model->tag, sizeof(model->tag)));
    const struct catalog_model *former =
        catalog_find(reader->catalog, model->upstream->name, model->repository, model->tag);
    if (former == NULL)
        return OK;
    problem_set(reader->walk.problem,
                "%s/%s:%s is given twice, first in %s, line %zu; give one of them another tag",
                model->upstream->name, model->repository, model->tag, former->path, former->line);
    return within(reader, KEY_TAG);
}

/* Adds the model of the draft. */
static enum err take(struct reader *reader)
{
    struct catalog *catalog = reader->catalog;
    struct patterns *lists = reader->draft.lists;
    struct catalog_model model = {.path = reader->path, .line = reader->draft.line};
    struct buf filter = {0};

    enum err err = take_name(reader, &model);
    if (err == OK)
        err = take_revisions(reader, &model);
    if (err == OK)
        err = take_tag(reader, &model);
    if (err != OK)
        return err;
    filter_print(lists[0].items, lists[0].count, lists[1].items, lists[1].count, &filter);
    model.filter = filter.data;
    size_t at = position(catalog, model.upstream->name, model.repository, model.tag);
    catalog->models =
        check_realloc(catalog->models, (catalog->count + 1) * sizeof(*catalog->models));
    catalog->sorted =
        check_realloc(catalog->sorted, (catalog->count + 1) * sizeof(*catalog->sorted));
    memmove(&catalog->sorted[at + 1], &catalog->sorted[at],
            (catalog->count - at) * sizeof(*catalog->sorted));
    catalog->sorted[at] = catalog->count;
    catalog->models[catalog->count++] = model;
    return OK;
}

/* ---- the walk ---- */

static enum err read_text(struct reader *reader, enum key key)
{
    struct text *text = &reader->draft.texts[key];

    enum err err = walk_value(&reader->walk, key_names[key]);
    if (err != OK)
        return err;
    *text = (struct text){.value = view_dup(walk_text(&reader->walk)),
                          .start = reader->walk.event.start_mark.index,
                          .end = reader->walk.event.end_mark.index};
    return OK;
}

/* One pattern, which the walk is at. */
static enum err read_pattern(struct reader *reader, enum key key)
{
    struct walk *walk = &reader->walk;
    struct patterns *list = &reader->draft.lists[key - KEY_TEXTS];
    const char *fault = NULL;

    if (!walk_is_scalar(walk) || walk_is_null(walk))
        problem_set(walk->problem, "%s: expected a text in the list", key_names[key]);
    else if (list->count == CATALOG_PATTERNS_MAX)
        problem_set(walk->problem, "%s: there are more than %d", key_names[key],
                    CATALOG_PATTERNS_MAX);
    else if ((fault = filter_fault(walk_text(walk))) != NULL) {
        problem_value(walk->problem, walk_text(walk), "%s", fault);
        (void)problem_within(walk->problem, "%s: ", key_names[key]);
    } else {
        list->items = check_realloc(list->items, (list->count + 1) * sizeof(*list->items));
        list->items[list->count++] =
            (struct view){view_dup(walk_text(walk)), walk_text(walk).length};
        return OK;
    }
    return walk_at_event(walk);
}

static enum err read_list(struct reader *reader, enum key key)
{
    struct walk *walk = &reader->walk;

    enum err err = walk_step(walk);
    if (err == OK && !walk_is(walk, YAML_SEQUENCE_START_EVENT)) {
        problem_set(walk->problem, "%s: expected a list, such as [\"*.safetensors\", config.json]",
                    key_names[key]);
        err = walk_at_event(walk);
    }
    if (err == OK)
        err = walk_step(walk);
    while (err == OK && !walk_is(walk, YAML_SEQUENCE_END_EVENT)) {
        err = read_pattern(reader, key);
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

/* A key of a model, and its value. */
static enum err read_key(struct reader *reader)
{
    struct walk *walk = &reader->walk;
    struct draft *draft = &reader->draft;
    size_t key = 0;

    enum err err = walk_look_up(walk, key_names, KEY_COUNT, &key);
    if (err != OK)
        return err;
    if (draft->key_lines[key] > 0) {
        problem_value(walk->problem, walk_text(walk), "is given twice, first in line %zu",
                      draft->key_lines[key]);
        return walk_at_event(walk);
    }
    draft->key_lines[key] = walk_line(walk);
    return key < KEY_TEXTS ? read_text(reader, (enum key)key) : read_list(reader, (enum key)key);
}

/* A model of the list, which the walk is at, up to its end. */
static enum err read_model(struct reader *reader)
{
    struct walk *walk = &reader->walk;

    if (!walk_is(walk, YAML_MAPPING_START_EVENT)) {
        problem_set(walk->problem, MODELS ": expected a model, such as \"- name: org/model\"");
        return walk_at_event(walk);
    }
    if (reader->catalog->count == CATALOG_MODELS_MAX) {
        problem_set(walk->problem, MODELS ": there are more than %d", CATALOG_MODELS_MAX);
        return walk_at_event(walk);
    }
    reader->draft.line = walk_line(walk);
    enum err err = walk_step(walk);
    while (err == OK && !walk_is(walk, YAML_MAPPING_END_EVENT)) {
        err = read_key(reader);
        if (err == OK)
            err = walk_step(walk);
    }
    if (err == OK)
        err = take(reader);
    draft_empty(&reader->draft);
    return err;
}

/* The value of the key `models`. */
static enum err read_models(struct reader *reader)
{
    struct walk *walk = &reader->walk;

    enum err err = walk_step(walk);
    if (err != OK || walk_is_null(walk))
        return err;
    if (!walk_is(walk, YAML_SEQUENCE_START_EVENT)) {
        problem_set(walk->problem, MODELS ": expected a list, such as \"- name: org/model\"");
        return walk_at_event(walk);
    }
    err = walk_step(walk);
    while (err == OK && !walk_is(walk, YAML_SEQUENCE_END_EVENT)) {
        err = read_model(reader);
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

static enum err refuse_key(struct walk *walk)
{
    if (walk_is_scalar(walk))
        problem_value(walk->problem, walk_text(walk),
                      "is no key of a catalog, which has \"" MODELS "\" and no other");
    else
        problem_set(walk->problem, "expected the key \"" MODELS "\"");
    return walk_at_event(walk);
}

static enum err read_file(struct reader *reader, enum catalog_kind kind)
{
    struct walk *walk = &reader->walk;
    size_t first_line = 0;

    enum err err = walk_step(walk);
    while (err == OK && !walk_is(walk, YAML_MAPPING_END_EVENT)) {
        bool is_ours = walk_is_scalar(walk) && view_equal(walk_text(walk), VIEW(MODELS));
        if (!is_ours && kind == CATALOG_CONFIG && walk_is_scalar(walk)) {
            err = walk_skip(walk);
        } else if (!is_ours) {
            err = refuse_key(walk);
        } else if (first_line > 0) {
            problem_set(walk->problem, MODELS ": is given twice, first in line %zu", first_line);
            err = walk_at_event(walk);
        } else {
            first_line = walk_line(walk);
            err = read_models(reader);
        }
        if (err == OK)
            err = walk_step(walk);
    }
    return err;
}

enum err catalog_read_text(struct catalog *catalog, const struct config *config, struct view text,
                           const char *path, enum catalog_kind kind, struct buf *ret_problem)
{
    struct reader reader = {.catalog = catalog, .config = config};
    char **slot = &catalog->paths[catalog->paths[0] != NULL];
    bool found;

    if (text.length > CATALOG_FILE_MAX)
        return problem_set(ret_problem, "%s: is larger than 4MiB, the most that is read", path);
    CHECK(*slot == NULL);
    reader.path = *slot = view_dup(view_of(path));
    walk_init(&reader.walk, text, path, ret_problem);
    enum err err = walk_begin(&reader.walk, "expected \"models:\" and a list below it", &found);
    if (err == OK && found)
        err = read_file(&reader, kind);
    if (err == OK)
        err = walk_end(&reader.walk);
    draft_empty(&reader.draft);
    walk_release(&reader.walk);
    return err;
}

/* ---- printing ---- */

/* Characters that JSON takes as they are, and YAML does not, or for the ends of lines
 * (YAML 1.1, 5.1 and 5.4): 2 or 3 bytes; 0: it is none. */
static size_t unprintable(struct view rest, unsigned *ret_character)
{
    const unsigned char *at = (const unsigned char *)rest.data;
    unsigned character = 0;

    if (rest.length >= 2 && at[0] == 0xc2 && at[1] < 0xa0) {
        *ret_character = at[1];
        return 2;
    }
    if (rest.length >= 3 && (at[0] & 0xf0) == 0xe0)
        character = (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    *ret_character = character;
    return character == 0x2028 || character == 0x2029 || character == 0xfeff || character >= 0xfffe
               ? 3
               : 0;
}

static void print_quoted(struct buf *out, struct view value)
{
    size_t done = 0, length;
    unsigned character;

    buf_append_text(out, "\"");
    for (size_t i = 0; i < value.length; i++) {
        length = unprintable((struct view){value.data + i, value.length - i}, &character);
        if (length == 0)
            continue;
        buf_append_json(out, (struct view){value.data + done, i - done});
        buf_printf(out, "\\u%04x", character);
        i += length - 1;
        done = i + 1;
    }
    buf_append_json(out, (struct view){value.data + done, value.length - done});
    buf_append_text(out, "\"\n");
}

static void print_text(struct buf *out, const char *key, struct view value)
{
    buf_printf(out, "    %s: ", key);
    print_quoted(out, value);
}

static void print_list(struct buf *out, const char *key, const char *filter, char sign)
{
    bool has_any = false;

    for (struct view rest = view_of(filter); rest.length > 0;) {
        struct view line = view_cut(&rest, '\n');
        if (line.data[0] != sign)
            continue;
        if (!has_any)
            buf_printf(out, "    %s:\n", key);
        has_any = true;
        buf_append_text(out, "    - ");
        print_quoted(out, (struct view){line.data + 1, line.length - 1});
    }
}

void catalog_print(const struct catalog *catalog, const char *path, struct buf *out)
{
    bool has_any = false;

    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        if (strcmp(model->path, path) != 0)
            continue;
        if (!has_any)
            buf_append_text(out, MODELS ":\n");
        has_any = true;
        buf_printf(out, "  - name: \"%s/%s\"\n", model->upstream->name, model->repository);
        print_text(out, "revision", view_of(model->revision));
        if (model->is_commit)
            print_text(out, "follow", view_of(model->follow));
        print_text(out, "tag", view_of(model->tag));
        print_list(out, "include", model->filter, '+');
        print_list(out, "exclude", model->filter, '-');
    }
}
