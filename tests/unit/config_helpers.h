#ifndef TESTS_UNIT_CONFIG_HELPERS_H
#define TESTS_UNIT_CONFIG_HELPERS_H

/* What the tests of the configuration share: one config and one sentence, fresh for each test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/config.h"

static struct config config;
static struct buf problem;

static inline int setup(void **state)
{
    (void)state;
    config_init(&config);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    config_release(&config);
    buf_release(&problem);
    return 0;
}

static inline void assert_ok(enum err err)
{
    if (err != OK)
        fail_msg("%s", problem.data);
}

static inline void assert_problem(enum err err, const char *sentence)
{
    assert_int_equal(err, ERR_CONFIG);
    assert_string_equal(problem.data, sentence);
}

static inline void assert_problem_has(enum err err, const char *part)
{
    assert_int_equal(err, ERR_CONFIG);
    if (strstr(problem.data, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, problem.data);
}

static inline enum err set(const char *name, const char *value)
{
    return config_set(&config, name, value, &problem);
}

static inline enum err add(const char *text)
{
    return config_add_upstream(&config, text, &problem);
}

static inline enum err finish(void)
{
    return config_finish(&config, &problem);
}

static inline void assert_value(const char *name, const char *value)
{
    struct buf text = {0};

    buf_append_text(&text, "");
    config_get(&config, name, &text);
    assert_string_equal(text.data, value);
    buf_release(&text);
}

static inline void assert_upstream(size_t index, const char *name, const char *url)
{
    assert_true(index < config.upstream_count);
    assert_string_equal(config.upstreams[index].name, name);
    assert_string_equal(config.upstreams[index].url, url);
}

/* Reads `text` over fresh defaults. */
static inline enum err read_text(const char *text)
{
    config_release(&config);
    config_init(&config);
    return config_read_text(&config, view_of(text), "e.yaml", &problem);
}

/* It is refused with this sentence. */
static inline void assert_bad(const char *text, const char *sentence)
{
    assert_problem(read_text(text), sentence);
}

/* It is refused with a sentence that has this part. */
static inline void assert_bad_has(const char *text, const char *part)
{
    assert_problem_has(read_text(text), part);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
