/* Unit tests of what is imported ahead, and when. */
#include "model/ahead.h"

#include <string.h>

#include "config_helpers.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

enum { MODELS_MAX = 16, TICKS_MAX = 100000, TICKS_SOME = 50 };

static struct loop loop;
static struct catalogs catalogs;
static struct ahead ahead;
static unsigned asked[MODELS_MAX]; /* how often each model a/m<i> was asked for */
static unsigned running, running_most;
static bool answers_at_once;

static struct catalog *read_catalog(const char *text)
{
    struct catalog *catalog = catalog_new();

    assert_ok(
        catalog_read_text(catalog, &config, view_of(text), "c.yaml", CATALOG_ITSELF, &problem));
    return catalog;
}

static void note(const struct catalog_model *model, bool is_imported)
{
    running--;
    ahead_note(&ahead, "hf", model->repository, model->tag, model->revision, model->filter,
               is_imported);
}

static void on_ask(struct ahead *of, const struct catalog_model *model)
{
    assert_ptr_equal(of, &ahead);
    asked[model->repository[3] - 'a']++;
    if (++running > running_most)
        running_most = running;
    if (answers_at_once)
        note(model, true);
}

static int set_up(void **state)
{
    (void)setup(state);
    config.tag_ttl = UINT32_MAX;
    memset(asked, 0, sizeof(asked));
    running = running_most = 0;
    answers_at_once = false;
    loop_init(&loop, "import", false);
    return 0;
}

static void begin(const char *text)
{
    catalogs_init(&catalogs, read_catalog(text));
    ahead_init(&ahead, &loop, &catalogs, &config, on_ask);
    uv_timer_set_repeat(&ahead.timer, 1); /* a clock that runs faster */
}

static int tear_down(void **state)
{
    ahead_close(&ahead);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    catalogs_release(&catalogs);
    return teardown(state);
}

/* Runs the loop until so many have been asked for, together; false: that never came. */
static bool run_until(unsigned count)
{
    for (unsigned i = 0; i < TICKS_MAX; i++) {
        unsigned sum = 0;
        for (size_t j = 0; j < MODELS_MAX; j++)
            sum += asked[j];
        if (sum >= count)
            return sum == count;
        (void)uv_run(&loop.uv, UV_RUN_ONCE);
    }
    return false;
}

/* Runs it for a while. */
static void run_on(void)
{
    for (unsigned i = 0; i < TICKS_SOME; i++)
        (void)uv_run(&loop.uv, UV_RUN_ONCE);
}

static void ahead__asks_for_each_model_a_few_at_a_time(void **state)
{
    (void)state;
    begin("models: [{name: a/ma}, {name: a/mb}, {name: a/mc}, {name: a/md}, {name: a/me},"
          " {name: a/mf}]\n");
    assert_true(run_until(AHEAD_AT_ONCE));
    run_on();
    assert_true(run_until(AHEAD_AT_ONCE));
    note(&ahead.catalog->models[0], false);
    assert_true(run_until(AHEAD_AT_ONCE + 1));
    assert_int_equal(asked[4], 1);
    note(&ahead.catalog->models[1], true);
    assert_true(run_until(AHEAD_AT_ONCE + 2));
    assert_int_equal(running_most, AHEAD_AT_ONCE);
}

static void ahead__asks_again_for_what_moves_only(void **state)
{
    (void)state;
    begin("models: [{name: a/ma, revision: " COMMIT "}, {name: a/mb}]\n");
    config.tag_ttl = 0;
    answers_at_once = true;
    assert_true(run_until(2));
    assert_true(run_until(4));
    assert_int_equal(asked[0], 1);
    assert_int_equal(asked[1], 3);
}

static void ahead__asks_for_all_when_the_catalog_is_another(void **state)
{
    (void)state;
    begin("models: [{name: a/ma, revision: " COMMIT "}, {name: a/mb}]\n");
    answers_at_once = true;
    assert_true(run_until(2));
    catalogs_set(&catalogs,
                 read_catalog("models: [{name: a/mc}, {name: a/ma, revision: " COMMIT "}]\n"));
    assert_true(run_until(4));
    run_on();
    assert_int_equal(asked[0], 2);
    assert_int_equal(asked[1], 1);
    assert_int_equal(asked[2], 1);
}

/* What was asked for under way is not what the catalog says now. */
static void ahead_note__minds_the_revision(void **state)
{
    (void)state;
    begin("models: [{name: a/ma, revision: one}]\n");
    assert_true(run_until(1));
    catalogs_set(&catalogs, read_catalog("models: [{name: a/ma, revision: two}]\n"));
    run_on();
    assert_int_equal(asked[0], 1);
    running--;
    ahead_note(&ahead, "hf", "a/ma", "latest", "one", "", true);
    assert_true(run_until(2));
    running--;
    ahead_note(&ahead, "hf", "a/ma", "latest", "two", "", true);
    run_on();
    assert_int_equal(asked[0], 2);
}

static void ahead_note__passes_over_what_is_not_in_the_catalog(void **state)
{
    (void)state;
    begin("models: []\n");
    ahead_note(&ahead, "hf", "a/ma", "latest", "main", "", true);
    run_on();
    ahead_note(&ahead, "hf", "a/ma", "latest", "", NULL, false);
    assert_true(run_until(0));
}

#define AHEAD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AHEAD_TEST(ahead__asks_for_each_model_a_few_at_a_time),
        AHEAD_TEST(ahead__asks_again_for_what_moves_only),
        AHEAD_TEST(ahead__asks_for_all_when_the_catalog_is_another),
        AHEAD_TEST(ahead_note__minds_the_revision),
        AHEAD_TEST(ahead_note__passes_over_what_is_not_in_the_catalog),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
