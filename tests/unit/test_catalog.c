/* Unit tests of the list of models: what is read, refused, found, printed and edited. */
#include "wire/catalog_edit.h"

#include <stdio.h>
#include <stdlib.h>

#include "config_helpers.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER  "fedcba9876543210fedcba9876543210fedcba98"

static struct catalog *catalog;

static int set_up(void **state)
{
    (void)setup(state);
    catalog = NULL;
    return 0;
}

static int tear_down(void **state)
{
    catalog = catalog_unref(catalog);
    return teardown(state);
}

static enum err read_as(const char *text, enum catalog_kind kind)
{
    catalog_unref(catalog);
    catalog = catalog_new();
    return catalog_read_text(catalog, &config, view_of(text), "c.yaml", kind, &problem);
}

static void assert_refused(const char *text, const char *sentence)
{
    assert_problem(read_as(text, CATALOG_ITSELF), sentence);
}

static const struct catalog_model *find(const char *repository, const char *tag)
{
    return catalog_find(catalog, "hf", repository, tag);
}

/* ---- reading ---- */

static void catalog_read_text__takes_models(void **state)
{
    (void)state;
    assert_ok(read_as("models:\n"
                      "- name: Org/Model\n"
                      "- tag: v1\n"
                      "  revision: " COMMIT "\n"
                      "  include: ['*.json', a]\n"
                      "  exclude: []\n"
                      "  name: hf/org/model\n"
                      "- {name: datasets/Org/Set, revision: refs/pr/1, tag: set}\n"
                      "- {name: gpt2, revision: " COMMIT ", follow: stable}\n",
                      CATALOG_ITSELF));
    assert_int_equal(catalog->count, 4);
    const struct catalog_model *model = find("org/model", "latest");
    assert_string_equal(model->upstream->name, "hf");
    assert_string_equal(model->revision, "main");
    assert_string_equal(model->follow, "");
    assert_string_equal(model->filter, "");
    assert_false(model->is_commit);
    model = find("org/model", "v1");
    assert_string_equal(model->revision, COMMIT);
    assert_string_equal(model->follow, "main");
    assert_string_equal(model->filter, "+*.json\n+a\n");
    assert_true(model->is_commit);
    assert_int_equal(model->line, 3);
    assert_string_equal(find("datasets/org/set", "set")->revision, "refs/pr/1");
    assert_string_equal(find("gpt2", "latest")->follow, "stable");
    assert_null(find("org/model", "v2"));
    assert_null(find("org/other", "v1"));
    assert_null(catalog_find(catalog, "docker.io", "org/model", "v1"));
}

static void catalog_read_text__takes_empty_lists(void **state)
{
    static const char *const texts[] = {"", "# none\n", "models:\n", "models: []\n", "{}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_ok(read_as(texts[i], CATALOG_ITSELF));
        assert_int_equal(catalog->count, 0);
    }
    assert_ok(read_as(NULL, CATALOG_ITSELF));
}

static void catalog_read_text__reads_models_among_settings(void **state)
{
    static const char text[] = "tag_ttl: 5m\nupstreams: {hf: {}, x: {y: [z]}}\n"
                               "models: [{name: a/b}]\npin: [a]\n";

    (void)state;
    assert_ok(read_as(text, CATALOG_CONFIG));
    assert_int_equal(catalog->count, 1);
    assert_problem_has(read_as(text, CATALOG_ITSELF),
                       "c.yaml:1: \"tag_ttl\" is no key of a catalog");
    assert_ok(read_text("tag_ttl: 5m\nmodels: [{name: a/b}, 7]\n"));
    assert_value("tag_ttl", "5m");
}

static void catalog_read_text__means_the_first_hub_or_the_one_that_is_named(void **state)
{
    (void)state;
    assert_ok(read_text("upstreams:\n  quay.io: {}\n  one: {type: huggingface}\n"
                        "  two.org: {type: huggingface}\n"));
    assert_ok(
        read_as("models: [{name: a/b}, {name: two.org/a/b}, {name: ONE/gpt2}]\n", CATALOG_ITSELF));
    assert_string_equal(catalog->models[0].upstream->name, "one");
    assert_string_equal(catalog->models[1].upstream->name, "two.org");
    assert_string_equal(catalog->models[1].repository, "a/b");
    assert_string_equal(catalog->models[2].upstream->name, "one");
    assert_problem_has(read_as("models: [{name: quay.io/a/b}]\n", CATALOG_ITSELF),
                       "is of quay.io, which is no upstream of type huggingface");
    assert_ok(read_text("upstreams:\n  quay.io: {}\n"));
    assert_problem_has(read_as("models: [{name: a/b}]\n", CATALOG_ITSELF), "there is none of type");
}

static void catalog_read_text__says_what_is_wrong_and_where(void **state)
{
    (void)state;
    assert_refused("models: {}\n",
                   "c.yaml:1: models: expected a list, such as \"- name: org/model\"");
    assert_refused("models:\n- org/model\n",
                   "c.yaml:2: models: expected a model, such as \"- name: org/model\"");
    assert_refused("models:\n- tag: x\n", "c.yaml:2: models: name: is missing");
    assert_refused("models:\n- nmae: x\n",
                   "c.yaml:2: unknown key \"nmae\"; did you mean \"name\"?");
    assert_refused("models:\n- name: a/b\n  name: c\n",
                   "c.yaml:3: \"name\" is given twice, first in line 2");
    assert_refused(
        "models:\n- name: a/b\n\n  tag: 'a b'\n",
        "c.yaml:4: models: a/b: tag: \"a b\" is no tag; write up to 128 letters, digits, "
        "dots, dashes and underscores");
    assert_refused("models:\n- revision: a..b\n  name: a/b\n",
                   "c.yaml:2: models: a/b: revision: \"a..b\" is no revision; write a branch, a "
                   "tag, or a commit's 40 hex digits");
    assert_refused("models:\n- name: a/b\n  exclude: ['/x']\n",
                   "c.yaml:3: exclude: \"/x\" matches nothing: paths begin with the name of a file "
                   "or folder");
    assert_refused("models: [{name: a/b}]\nmodels: []\n",
                   "c.yaml:2: models: is given twice, first in line 1");
    assert_refused("a: b\n",
                   "c.yaml:1: \"a\" is no key of a catalog, which has \"models\" and no other");
}

static void catalog_read_text__refuses_what_makes_no_sense(void **state)
{
    static const char *const bad[][2] = {
        {"{name: a/b/c/d}", "is no model of a hub"},
        {"{name: ''}", "is no model of a hub"},
        {"{name: hf}", NULL},
        {"{name: spaces/a/b}", "is no model of a hub"},
        {"{name: a--b/c_}", "cannot be an image's name"},
        {"{name: a/b, revision: 'a b'}", "is no revision"},
        {"{name: a/b, revision: 0123456789ABCDEF0123456789abcdef01234567}", "capital letters"},
        {"{name: a/b, revision: x, follow: main}", "the revision x moves by itself"},
        {"{name: a/b, revision: " COMMIT ", follow: '..'}", "follow: \"..\" is no revision"},
        {"{name: a/b, revision: }", "has no value"},
        {"{name: [a/b]}", "expected one value"},
        {"{name: a/b, include: '*'}", "expected a list"},
        {"{name: a/b, include: [~]}", "expected a text"},
        {"{name: a/b, include: [[a]]}", "expected a text"},
    };
    struct buf text = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf_clear(&text);
        buf_printf(&text, "models: [%s]\n", bad[i][0]);
        if (bad[i][1] == NULL)
            assert_ok(read_as(text.data, CATALOG_ITSELF));
        else
            assert_problem_has(read_as(text.data, CATALOG_ITSELF), bad[i][1]);
    }
    buf_release(&text);
}

static void catalog_read_text__refuses_a_name_and_tag_twice(void **state)
{
    (void)state;
    assert_refused("models:\n- name: org/model\n- {name: hf/Org/Model, revision: x}\n",
                   "c.yaml:3: models: hf/Org/Model: tag: hf/org/model:latest is given twice, first "
                   "in c.yaml, line 2; give one of them another tag");
    assert_ok(read_as("models: [{name: org/model}]\n", CATALOG_CONFIG));
    assert_problem_has(catalog_read_text(catalog, &config, VIEW("models: [{name: org/model}]\n"),
                                         "other.yaml", CATALOG_ITSELF, &problem),
                       "first in c.yaml, line 1");
}

static void catalog_read_text__is_bounded(void **state)
{
    struct buf text = {0};

    (void)state;
    buf_append_text(&text, "models:\n");
    for (int i = 0; i <= CATALOG_MODELS_MAX; i++)
        buf_printf(&text, "- {name: a/m%d}\n", i);
    assert_problem_has(read_as(text.data, CATALOG_ITSELF), "there are more than 10000");
    buf_clear(&text);
    buf_append_text(&text, "models: [{name: a/b, include: [a");
    for (int i = 0; i < CATALOG_PATTERNS_MAX; i++)
        buf_append_text(&text, ", a");
    buf_append_text(&text, "]}]\n");
    assert_problem_has(read_as(text.data, CATALOG_ITSELF), "include: there are more than 100");
    buf_clear(&text);
    buf_reserve(&text, CATALOG_FILE_MAX + 1);
    memset(text.data, '\n', CATALOG_FILE_MAX + 1);
    text.data[CATALOG_FILE_MAX + 1] = '\0';
    assert_problem_has(read_as(text.data, CATALOG_ITSELF), "is larger than 4MiB");
    buf_release(&text);
}

/* ---- finding: many ---- */

static void catalog_find__finds_each_of_many(void **state)
{
    enum { COUNT = 1000 };
    struct buf text = {0};
    char name[32];

    (void)state;
    buf_append_text(&text, "models:\n");
    for (int i = 0; i < COUNT; i++)
        buf_printf(&text, "- {name: a/m%d, tag: t%d}\n", i * 7919 % COUNT, i % 3);
    assert_ok(read_as(text.data, CATALOG_ITSELF));
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "a/m%d", i * 7919 % COUNT);
        char tag[8] = {'t', (char)('0' + i % 3)}, wrong[8] = {'t', (char)('0' + (i + 1) % 3)};
        assert_ptr_equal(find(name, tag), &catalog->models[i]);
        assert_null(find(name, wrong));
    }
    buf_release(&text);
}

/* ---- printing ---- */

static void catalog_print__can_be_read_again(void **state)
{
    struct buf first = {0}, second = {0};

    (void)state;
    assert_ok(
        read_as("models:\n- {name: Org/Model, include: [\"a\\\"\\\\ ä\\N\\L\", b], exclude: [c]}\n"
                "- {name: b, revision: " COMMIT ", tag: x}\n",
                CATALOG_ITSELF));
    catalog_print(catalog, "c.yaml", &first);
    catalog_print(catalog, "other.yaml", &second);
    assert_int_equal(second.length, 0);
    assert_string_equal(first.data, "models:\n"
                                    "  - name: \"hf/org/model\"\n"
                                    "    revision: \"main\"\n"
                                    "    tag: \"latest\"\n"
                                    "    include:\n"
                                    "    - \"a\\\"\\\\ ä\\u0085\\u2028\"\n"
                                    "    - \"b\"\n"
                                    "    exclude:\n"
                                    "    - \"c\"\n"
                                    "  - name: \"hf/b\"\n"
                                    "    revision: \"" COMMIT "\"\n"
                                    "    follow: \"main\"\n"
                                    "    tag: \"x\"\n");
    assert_ok(read_as(first.data, CATALOG_ITSELF));
    catalog_print(catalog, "c.yaml", &second);
    assert_string_equal(first.data, second.data);
    buf_release(&first);
    buf_release(&second);
}

/* ---- editing ---- */

/* The text with every commit in it replaced by OTHER, as far as that is possible. */
static void assert_edited(const char *before, const char *after)
{
    struct catalog_edit edits[4];
    struct buf out = {0};
    size_t count = 0;

    assert_ok(read_as(before, CATALOG_CONFIG));
    for (size_t i = 0; i < catalog->count; i++)
        if (catalog_edit_is_possible(view_of(before), &catalog->models[i]))
            edits[count++] = (struct catalog_edit){&catalog->models[i], OTHER};
    catalog_edit(view_of(before), edits, count, &out);
    assert_string_equal(out.data, after);
    buf_release(&out);
}

static void catalog_edit__changes_commits_and_nothing_else(void **state)
{
    (void)state;
    assert_edited("models: # " COMMIT "\n- name: a/b\n  revision: " COMMIT "  # " COMMIT "\n"
                  "- {revision: \"" COMMIT "\", name: a/c}\n"
                  "- {name: a/d, revision: '" COMMIT "'}\nstale: 1d\n",
                  "models: # " COMMIT "\n- name: a/b\n  revision: " OTHER "  # " COMMIT "\n"
                  "- {revision: \"" OTHER "\", name: a/c}\n"
                  "- {name: a/d, revision: '" OTHER "'}\nstale: 1d\n");
}

static void catalog_edit__counts_characters_as_libyaml_does(void **state)
{
    (void)state;
    assert_edited("\xef\xbb\xbf# ä€𝄞\r\nmodels:\r\n- {name: a/b, revision: " COMMIT "}\r\n",
                  "\xef\xbb\xbf# ä€𝄞\r\nmodels:\r\n- {name: a/b, revision: " OTHER "}\r\n");
}

static void catalog_edit_is_possible__refuses_what_is_not_written_plainly(void **state)
{
    static const char *const texts[] = {
        "models: [{name: a/b}]\n",
        "models: [{name: a/b, revision: main}]\n",
        "models: [{name: a/b, revision: \"\\x30123456789abcdef0123456789abcdef01234567\"}]\n",
        "models:\n- name: a/b\n  revision: >-\n    " COMMIT "\n",
        "models: [{name: a/b, revision: \"0123456789abcdef\\\n  0123456789abcdef01234567\"}]\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_edited(texts[i], texts[i]);
}

/* ---- what SIGHUP compares ---- */

static void config_compare__names_what_differs(void **state)
{
    struct config other;
    struct buf out = {0};

    (void)state;
    config_init(&other);
    config_compare(&config, &other, &out);
    assert_int_equal(out.length, 0);
    assert_ok(config_read_text(&other, VIEW("pin: [alpine]\ntag_ttl: 7m\nupstreams: {hf: {}}\n"),
                               "e.yaml", &problem));
    config_compare(&config, &other, &out);
    assert_string_equal(out.data, "pin, tag_ttl, upstreams");
    buf_clear(&out);
    assert_ok(read_text("pin: [alpine]\ntag_ttl: 7m\nupstreams: {hf: {password: a}}\n"));
    config_compare(&config, &other, &out);
    assert_string_equal(out.data, "upstreams");
    config_release(&other);
    buf_release(&out);
}

#define CATALOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CATALOG_TEST(catalog_read_text__takes_models),
        CATALOG_TEST(catalog_read_text__takes_empty_lists),
        CATALOG_TEST(catalog_read_text__reads_models_among_settings),
        CATALOG_TEST(catalog_read_text__means_the_first_hub_or_the_one_that_is_named),
        CATALOG_TEST(catalog_read_text__says_what_is_wrong_and_where),
        CATALOG_TEST(catalog_read_text__refuses_what_makes_no_sense),
        CATALOG_TEST(catalog_read_text__refuses_a_name_and_tag_twice),
        CATALOG_TEST(catalog_read_text__is_bounded),
        CATALOG_TEST(catalog_find__finds_each_of_many),
        CATALOG_TEST(catalog_print__can_be_read_again),
        CATALOG_TEST(catalog_edit__changes_commits_and_nothing_else),
        CATALOG_TEST(catalog_edit__counts_characters_as_libyaml_does),
        CATALOG_TEST(catalog_edit_is_possible__refuses_what_is_not_written_plainly),
        CATALOG_TEST(config_compare__names_what_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
