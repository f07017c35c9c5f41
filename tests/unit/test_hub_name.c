/* Unit tests of names of images and names on a hub. */
#include "wire/hub_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* ---- repositories ---- */

static void hub_name_parse__knows_models_and_datasets(void **state)
{
    static const struct {
        const char *repository;
        enum hub_kind kind;
        const char *id;
    } rows[] = {
        {"org/model", HUB_MODEL, "org/model"},
        {"gpt2", HUB_MODEL, "gpt2"},
        {"Org/Model-1.0", HUB_MODEL, "Org/Model-1.0"},
        {"datasets/org/name", HUB_DATASET, "org/name"},
        {"datasets/squad", HUB_DATASET, "squad"},
        {"datasets/spaces", HUB_DATASET, "spaces"},
        {"org/datasets", HUB_MODEL, "org/datasets"},
        {"datasets.org/spaces", HUB_MODEL, "datasets.org/spaces"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[HUB_REPOSITORY_SIZE];
        struct hub_name name;
        assert_true(hub_name_parse(view_of(rows[i].repository), &name));
        assert_int_equal(name.kind, rows[i].kind);
        assert_string_equal(name.id, rows[i].id);
        assert_string_equal(hub_name_print(&name, out), rows[i].repository);
    }
}

static void hub_name_parse__refuses_anything_else(void **state)
{
    static const char *const repositories[] = {
        "",        "spaces/org/name", "spaces/name",       "spaces",    "datasets",
        "a/b/c",   "datasets/a/b/c",  "models/org/name/x", "datasets/", "datasets/a/",
        "/a",      "Spaces/x",        "datasets/../name",  ".a",        "a/..",
        "DATASETS"};
    char longest[HUB_REPOSITORY_SIZE + 1];
    struct hub_name name = {.id = "untouched"};

    (void)state;
    for (size_t i = 0; i < sizeof(repositories) / sizeof(repositories[0]); i++)
        assert_false(hub_name_parse(view_of(repositories[i]), &name));
    assert_string_equal(name.id, "untouched");
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "datasets/", 9);
    longest[9 + HUB_PART_MAX] = '/';
    assert_false(hub_name_parse((struct view){longest, HUB_REPOSITORY_SIZE}, &name));
    assert_true(hub_name_parse((struct view){longest, HUB_REPOSITORY_SIZE - 1}, &name));
    longest[HUB_REPOSITORY_SIZE - 1] = '\0';
    char out[HUB_REPOSITORY_SIZE];
    assert_string_equal(hub_name_print(&name, out), longest);
}

/* ---- revisions ---- */

static void hub_name_revision__reads_tags(void **state)
{
    static const struct {
        const char *tag, *revision;
        bool is_commit;
    } rows[] = {
        {"latest", "main", false},
        {"main", "main", false},
        {"v1.0", "v1.0", false},
        {"refs--pr--1", "refs/pr/1", false},
        {"a-b_c.d", "a-b_c.d", false},
        {"_x--y-", "_x/y-", false},
        {"Latest", "Latest", false},
        {"latest--x", "latest/x", false},
        {COMMIT, COMMIT, true},
        {"0123456789ABCDEF0123456789abcdef01234567", "0123456789ABCDEF0123456789abcdef01234567",
         false},
        {"x123456789abcdef0123456789abcdef01234567", "x123456789abcdef0123456789abcdef01234567",
         false},
        {COMMIT "8", COMMIT "8", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hub_revision revision;
        assert_true(hub_name_revision(view_of(rows[i].tag), &revision));
        assert_string_equal(revision.text, rows[i].revision);
        assert_int_equal(revision.is_commit, rows[i].is_commit);
    }
}

static void hub_name_revision__refuses_what_could_mean_two_things_or_none(void **state)
{
    static const char *const tags[] = {"",       "a---b",    "a----b",    "a--",     "--a",
                                       "-a",     ".a",       "a..b",      "a.",      "a--.b",
                                       "a.--b.", "x.lock",   "x.lock--y", "a/b",     "a b",
                                       "a:b",    "\xc3\xa4", "x--..",     "x--..--y"};
    struct hub_revision revision = {.text = "untouched"};
    char longest[GRAMMAR_TAG_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        assert_false(hub_name_revision(view_of(tags[i]), &revision));
    assert_string_equal(revision.text, "untouched");
    memset(longest, 'a', sizeof(longest));
    assert_false(hub_name_revision((struct view){longest, GRAMMAR_TAG_SIZE}, &revision));
    assert_true(hub_name_revision((struct view){longest, GRAMMAR_TAG_SIZE - 1}, &revision));
    assert_int_equal(strlen(revision.text), GRAMMAR_TAG_SIZE - 1);
}

static void hub_name_tag__writes_revisions(void **state)
{
    static const struct {
        const char *revision, *tag; /* "" for none */
    } rows[] = {
        {"main", "latest"},
        {"latest", ""},
        {"refs/pr/1", "refs--pr--1"},
        {"refs/convert/parquet", "refs--convert--parquet"},
        {"v1.0", "v1.0"},
        {"main/latest", "main--latest"},
        {COMMIT, COMMIT},
        {"a--b", ""},
        {"a-/b", ""},
        {"a/-b", ""},
        {"a/", ""},
        {"/a", ""},
        {"a//b", ""},
        {"a.lock", ""},
        {"a/.b", ""},
        {"", ""},
        {"-a", ""},
        {".a", ""},
        {"a b", ""},
        {"feature#1", ""},
        {"a@b", ""},
        {"\xc3\xa4", ""},
    };
    char out[GRAMMAR_TAG_SIZE], longest[200];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool has_tag = hub_name_tag(view_of(rows[i].revision), out);
        assert_string_equal(out, rows[i].tag);
        assert_int_equal(has_tag, rows[i].tag[0] != '\0');
    }
    assert_false(hub_name_tag((struct view){"a\0b", 3}, out));
    memset(longest, 'a', sizeof(longest));
    longest[1] = '/';
    assert_true(hub_name_tag((struct view){longest, GRAMMAR_TAG_SIZE - 2}, out));
    assert_int_equal(strlen(out), GRAMMAR_TAG_SIZE - 1);
    assert_false(hub_name_tag((struct view){longest, GRAMMAR_TAG_SIZE - 1}, out));
    assert_false(hub_name_tag((struct view){longest, sizeof(longest)}, out));
}

/* The two rules of the header, for one text taken for a tag and for a revision. */
static void check_round_trips(struct view text, size_t *tags, size_t *revisions)
{
    struct hub_revision revision, again;
    char tag[GRAMMAR_TAG_SIZE];

    if (hub_name_revision(text, &revision)) {
        assert_true(hub_name_tag(view_of(revision.text), tag));
        assert_true(
            view_equal(view_of(tag), view_equal(text, VIEW("main")) ? VIEW("latest") : text));
        (*tags)++;
    }
    if (hub_name_tag(text, tag)) {
        assert_true(hub_name_revision(view_of(tag), &again));
        assert_true(view_equal(view_of(again.text), text));
        (*revisions)++;
    }
}

/* All texts of up to seven of the characters that matter. */
static void hub_name__small_texts_make_the_round_trip(void **state)
{
    static const char alphabet[] = "a-/._";
    char text[8];
    size_t tags = 0, revisions = 0, all = 1;

    (void)state;
    for (size_t length = 0; length < sizeof(text); length++, all *= sizeof(alphabet) - 1) {
        for (size_t number = 0; number < all; number++) {
            for (size_t i = 0, rest = number; i < length; i++, rest /= sizeof(alphabet) - 1)
                text[i] = alphabet[rest % (sizeof(alphabet) - 1)];
            check_round_trips((struct view){text, length}, &tags, &revisions);
        }
    }
    assert_true(tags > 1000 && revisions > 1000);
}

/* Longer ones, put together of words that matter. */
static void hub_name__random_texts_make_the_round_trip(void **state)
{
    static const char *const words[] = {"main", "latest", ".lock", "refs", "-",    "--",  "/",
                                        "..",   ".",      "_",     "V1",   "@{0}", COMMIT};
    size_t tags = 0, revisions = 0;

    (void)state;
    srandom(4);
    for (size_t i = 0; i < 200000; i++) {
        char text[512];
        size_t length = 0;
        for (long parts = random() % 8; parts > 0; parts--)
            length +=
                (size_t)snprintf(text + length, sizeof(text) - length, "%s",
                                 words[(size_t)random() % (sizeof(words) / sizeof(words[0]))]);
        check_round_trips((struct view){text, length}, &tags, &revisions);
    }
    assert_true(tags > 1000 && revisions > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hub_name_parse__knows_models_and_datasets),
        cmocka_unit_test(hub_name_parse__refuses_anything_else),
        cmocka_unit_test(hub_name_revision__reads_tags),
        cmocka_unit_test(hub_name_revision__refuses_what_could_mean_two_things_or_none),
        cmocka_unit_test(hub_name_tag__writes_revisions),
        cmocka_unit_test(hub_name__small_texts_make_the_round_trip),
        cmocka_unit_test(hub_name__random_texts_make_the_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
