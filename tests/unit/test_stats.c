/* Unit tests of counters and of their Prometheus text (exposition format 0.0.4). */
#include "base/stats.h"

#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static struct buf text;

static int teardown(void **state)
{
    (void)state;
    buf_release(&text);
    return 0;
}

static void render(void)
{
    buf_clear(&text);
    stats_render(&text);
}

static bool has_line(const char *line)
{
    struct view rest = view_of_buf(&text);

    while (rest.length > 0)
        if (view_equal(view_cut(&rest, '\n'), view_of(line)))
            return true;
    return false;
}

static void assert_line(const char *line)
{
    render();
    if (!has_line(line))
        fail_msg("\"%s\" is not a line of:\n%s", line, text.data);
}

static void assert_no_line_starts(const char *start)
{
    render();
    for (struct view rest = view_of_buf(&text); rest.length > 0;)
        assert_false(view_starts_with(view_cut(&rest, '\n'), view_of(start)));
}

static void stats_render__shows_what_was_counted(void **state)
{
    struct stats_at at = AT(STATS_HEAD, STATS_BLOB, stats_status(206), STATS_HIT);

    (void)state;
    assert_no_line_starts("entrepot_requests_total{");
    stats_add(STAT_REQUESTS, at, 2);
    stats_add(STAT_REQUESTS, at, 40);
    assert_true(stats_get(STAT_REQUESTS, at) == 42);
    assert_line("entrepot_requests_total{method=\"HEAD\",kind=\"blob\",status=\"206\","
                "outcome=\"hit\"} 42");
    assert_line("# TYPE entrepot_requests_total counter");
    stats_add(STAT_BYTES_SERVED, AT(STATS_MANIFEST), (uint64_t)5 << 40);
    assert_line("entrepot_served_bytes_total{kind=\"manifest\"} 5497558138880");
}

static void stats_render__shows_zeros_of_what_has_no_labels(void **state)
{
    (void)state;
    assert_line("entrepot_connections_open 0");
    assert_line("# TYPE entrepot_connections_open gauge");
    stats_add(STAT_CONNECTIONS, AT_ALL, 3);
    assert_line("entrepot_connections_open 3");
    stats_subtract(STAT_CONNECTIONS, AT_ALL, 3);
    assert_line("entrepot_connections_open 0");
    stats_set(STAT_CACHED_BYTES, AT_ALL, 7);
    stats_set(STAT_CACHED_BYTES, AT_ALL, 6);
    assert_line("entrepot_cached_bytes 6");
    assert_no_line_starts("entrepot_served_bytes_total{kind=\"ping\"}");
}

static void stats_name__names_upstreams_and_loops(void **state)
{
    (void)state;
    assert_int_equal(stats_name(STATS_LABEL_UPSTREAM, "docker.io"), 0);
    assert_int_equal(stats_name(STATS_LABEL_UPSTREAM, "reg.example:5000"), 1);
    assert_int_equal(stats_name(STATS_LABEL_LOOP, "serve-0"), 0);
    stats_add(STAT_UPSTREAM_REQUESTS, AT(1), 5);
    assert_line("entrepot_upstream_requests_total{upstream=\"reg.example:5000\"} 5");
    assert_no_line_starts("entrepot_upstream_requests_total{upstream=\"docker.io\"}");
    stats_add(STAT_UPSTREAM_ERRORS, AT(0, ERR_UPSTREAM_TIMEOUT), 1);
    assert_line("entrepot_upstream_errors_total{upstream=\"docker.io\","
                "reason=\"UPSTREAM_TIMEOUT\"} 1");
    stats_set(STAT_LOOP_LAG, AT(0), 1500042);
    assert_line("entrepot_loop_lag_seconds{loop=\"serve-0\"} 1.500042");
    assert_string_equal(stats_word(STATS_LABEL_UPSTREAM, 1), "reg.example:5000");
}

static void stats_status__knows_ours(void **state)
{
    static const int known[] = {200, 206, 400, 404, 405, 416, 500, 502, 503, 504};

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char word[12];
        (void)snprintf(word, sizeof(word), "%d", known[i]);
        assert_string_equal(stats_word(STATS_LABEL_STATUS, stats_status(known[i])), word);
    }
    assert_string_equal(stats_word(STATS_LABEL_STATUS, stats_status(418)), "other");
    assert_string_equal(stats_word(STATS_LABEL_STATUS, stats_status(0)), "other");
}

static void stats_word__follows_the_enums(void **state)
{
    (void)state;
    assert_string_equal(stats_word(STATS_LABEL_METHOD, STATS_GET), "GET");
    assert_string_equal(stats_word(STATS_LABEL_METHOD, STATS_METHOD_OTHER), "other");
    assert_string_equal(stats_word(STATS_LABEL_KIND, STATS_PING), "ping");
    assert_string_equal(stats_word(STATS_LABEL_KIND, STATS_KIND_OTHER), "other");
    assert_string_equal(stats_word(STATS_LABEL_OUTCOME, STATS_NONE), "none");
    assert_string_equal(stats_word(STATS_LABEL_OUTCOME, STATS_STALE), "stale");
}

/* The first and the last slot of every metric, and all errors: none shares its place. */
static void stats_add__has_a_place_for_each(void **state)
{
    (void)state;
    for (unsigned err = 0; err < ERR_COUNT; err++)
        stats_set(STAT_REQUESTS_CUT, AT(err), 1000 + err);
    for (unsigned err = 0; err < ERR_COUNT; err++)
        assert_int_equal(stats_get(STAT_REQUESTS_CUT, AT(err)), 1000 + err);
    for (int stat = 0; stat < STAT_COUNT; stat++)
        stats_set((enum stats_metric)stat, AT_ALL, (uint64_t)stat + 1);
    for (int stat = 0; stat < STAT_COUNT; stat++)
        assert_int_equal(stats_get((enum stats_metric)stat, AT_ALL), stat + 1);
    struct stats_at last = AT(STATS_METHOD_OTHER, STATS_KIND_OTHER, stats_status(0), STATS_STALE);
    stats_set(STAT_REQUESTS, last, 4711);
    assert_line("entrepot_requests_total{method=\"other\",kind=\"other\",status=\"other\","
                "outcome=\"stale\"} 4711");
    assert_int_equal(stats_get(STAT_BYTES_SERVED, AT_ALL), STAT_BYTES_SERVED + 1);
}

static bool matches(const char *pattern, struct view line)
{
    char *copy = view_dup(line);
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, copy, 0, NULL, 0) == 0;
    regfree(&regex);
    free(copy);
    return found;
}

/* Each metric: HELP, TYPE, and then its samples, which begin with its name. */
static void stats_render__is_valid(void **state)
{
    struct view rest, name = {0};
    int families = 0;

    (void)state;
    render();
    assert_true(view_ends_with(view_of_buf(&text), VIEW("\n")));
    for (rest = view_of_buf(&text); rest.length > 0;) {
        struct view line = view_cut(&rest, '\n');
        if (view_starts_with(line, VIEW("# HELP "))) {
            assert_true(matches("^# HELP [a-z_]+ [A-Z][^\\]*[.]$", line));
            struct view words = {line.data + 7, line.length - 7};
            name = view_cut(&words, ' ');
            families++;
            line = view_cut(&rest, '\n');
            assert_true(matches("^# TYPE [a-z_]+ (counter|gauge)$", line));
            assert_true(view_starts_with((struct view){line.data + 7, line.length - 7}, name));
            bool total = view_ends_with(name, VIEW("_total"));
            assert_int_equal(view_ends_with(line, VIEW(" counter")), total);
            continue;
        }
        assert_true(view_starts_with(line, name));
        assert_true(line.data[name.length] == ' ' || line.data[name.length] == '{');
        assert_true(matches("^[a-z_]+([{][a-z]+=\"[^\"\\]*\"(,[a-z]+=\"[^\"\\]*\")*[}])? "
                            "-?[0-9]+([.][0-9]{6})?$",
                            line));
    }
    assert_int_equal(families, STAT_COUNT);
}

static void stats_reference__lists_every_metric(void **state)
{
    (void)state;
#define LABEL(id, name, values)
#define STAT(type, id, name, labels, help)                                                         \
    buf_clear(&text);                                                                              \
    stats_reference(&text);                                                                        \
    assert_non_null(strstr(text.data, "| `" name "` | "));                                         \
    assert_non_null(strstr(text.data, " | " help " |\n"));
#include "base/stats.def"
#undef LABEL
#undef STAT
    assert_non_null(
        strstr(text.data, "| `entrepot_requests_total` | method, kind, status, outcome | "));
    assert_non_null(strstr(text.data, "| `entrepot_connections_open` |  | "));
}

static void *add_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10000; i++)
        stats_add(STAT_CLIENTS_GONE, AT_ALL, 2);
    return NULL;
}

static void stats_add__loses_nothing_between_threads(void **state)
{
    pthread_t threads[4];

    (void)state;
    stats_set(STAT_CLIENTS_GONE, AT_ALL, 0);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stats_get(STAT_CLIENTS_GONE, AT_ALL), 80000);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stats_render__shows_what_was_counted),
        TEST(stats_render__shows_zeros_of_what_has_no_labels),
        TEST(stats_name__names_upstreams_and_loops),
        TEST(stats_status__knows_ours),
        TEST(stats_word__follows_the_enums),
        TEST(stats_add__has_a_place_for_each),
        TEST(stats_render__is_valid),
        TEST(stats_reference__lists_every_metric),
        TEST(stats_add__loses_nothing_between_threads),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
