/* Unit tests of settings, upstreams by flag, --help and the reference. */
#include <stdio.h>

#include "config_helpers.h"

/* ---- values --------------------------------------------------------------------------------- */

static void config_init__gives_the_defaults_of_the_table(void **state)
{
    (void)state;
#define SETTING(kind, name, default_, min, max, prose) assert_value(#name, default_);
#include "base/settings.def"
#undef SETTING
    assert_int_equal(config.upstream_count, 10);
    assert_upstream(9, "hf", "https://huggingface.co");
    assert_true(config.upstreams[9].is_hub);
    assert_false(config.upstreams[8].is_hub);
    assert_upstream(0, "docker.io", "https://registry-1.docker.io");
    assert_upstream(1, "ghcr.io", "https://ghcr.io");
    assert_upstream(8, "depot.ai", "https://depot.ai");
    assert_true(config.upstreams[0].is_docker_hub);
    assert_false(config.upstreams[1].is_docker_hub);
    assert_int_equal(config.cache_size_percent, 80);
    assert_int_equal(config.tag_ttl, 60000);
    assert_int_equal(config.log_level, CONFIG_LOG_INFO);
    assert_int_equal(config.log_format, CONFIG_LOG_JSON);
}

static void config_set__takes_names_with_dashes_as_flags_have_them(void **state)
{
    (void)state;
    assert_ok(set("max-manifest", "16MiB"));
    assert_ok(set("log_level", "debug"));
    assert_int_equal(config.max_manifest, 16 << 20);
    assert_int_equal(config.log_level, CONFIG_LOG_DEBUG);
    assert_problem_has(set("max-manifest", "lots"), "max-manifest: \"lots\" is not a size;");
}

static void config_set__rejects_a_size_without_a_unit_it_knows(void **state)
{
    (void)state;
    assert_problem(set("max_head", "200Gib"),
                   "max_head: \"200Gib\" is not a size; write a number with B, KiB, MiB, GiB or "
                   "TiB, such as 200GiB");
    assert_problem_has(set("cache_size", "200Gib"), "\"200Gib\" is not a size; write a number");
    assert_problem_has(set("cache_size", ""), "cache_size: \"\" is not a size;");
}

static void config_set__names_the_bounds_of_a_number_outside_them(void **state)
{
    (void)state;
    assert_problem(set("max_head", "1KiB"), "max_head: \"1KiB\" is too small; write 64KiB to 1MiB");
    assert_problem(set("max_head", "2MiB"), "max_head: \"2MiB\" is too large; write 64KiB to 1MiB");
    assert_problem(set("cache_size", "1KiB"),
                   "cache_size: \"1KiB\" is too small; write 1MiB or more");
    assert_problem(set("header_timeout", "25s"),
                   "header_timeout: \"25s\" is too large; write 100ms to 24s");
    assert_problem(set("fetch_threads", "0"), "fetch_threads: \"0\" is too small; write 1 to 16");
    assert_problem(set("cache_size", "99999999999TiB"),
                   "cache_size: \"99999999999TiB\" is too large");
    assert_problem(set("max_head", "99999999999TiB"),
                   "max_head: \"99999999999TiB\" is too large; write 64KiB to 1MiB");
    assert_value("max_head", "128KiB");
}

static void config_set__rejects_counts_durations_and_words_it_does_not_know(void **state)
{
    (void)state;
    assert_problem(set("fill_tries", "5.5"), "fill_tries: \"5.5\" is not a whole number");
    assert_problem_has(set("tag_ttl", "60"), "tag_ttl: \"60\" is not a duration; write");
    assert_problem(set("log_level", "loud"),
                   "log_level: \"loud\" is none of error, warn, info, debug");
    assert_problem(set("cache", "a\nb"),
                   "cache: \"a\\u000ab\" is not UTF-8 without control characters");
    assert_int_equal(set("cache", "\xff"), ERR_CONFIG);
}

static void config_set__suggests_the_nearest_setting(void **state)
{
    (void)state;
    assert_problem(set("cache_sise", "1G"),
                   "unknown setting \"cache_sise\"; did you mean \"cache_size\"?");
    assert_problem(set("q", "1G"), "unknown setting \"q\"");
}

static void config_set__takes_a_budget_in_bytes_or_percent(void **state)
{
    (void)state;
    assert_ok(set("cache_size", "50%"));
    assert_int_equal(config.cache_size_percent, 50);
    assert_ok(set("cache_size", "200GiB"));
    assert_int_equal(config.cache_size_percent, 0);
    assert_true(config.cache_size == UINT64_C(200) << 30);
    assert_problem_has(set("cache_size", "0%"), "1% to 100%");
    assert_problem_has(set("cache_size", "101%"), "1% to 100%");
    assert_problem_has(set("cache_size", "%"), "1% to 100%");
    assert_problem_has(set("cache_size", "5.5%"), "1% to 100%");
}

static void config_set__keeps_addresses_in_numbers(void **state)
{
    static const char *const good[][2] = {
        {"127.0.0.1:5000", "127.0.0.1:5000"},
        {":5000", "0.0.0.0:5000"},
        {"localhost:0", "127.0.0.1:0"},
        {"[::1]:65535", "[::1]:65535"},
        {"[::0:0]:80", "[::]:80"},
        {"0.0.0.0:080", "0.0.0.0:80"},
    };
    static const char *const bad[] = {
        "",           "5000",        "127.0.0.1",  "127.0.0.1:", "1.2.3:5000",    "[::1:5000",
        "::1:5000",   "[]:5000",     "[:5000",     "[::1]5000",  "example.com:1", "1.2.3.4:65536",
        "1.2.3.4:-1", "[1.2.3.4]:1", "1.2.3.4 :1", "1.2.3.4:1 "};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_ok(set("listen", good[i][0]));
        assert_string_equal(config.listen, good[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_problem_has(set("listen", bad[i]), "is not an address; write an IP address");
}

static void config_set__takes_a_list_with_spaces_or_commas(void **state)
{
    (void)state;
    assert_ok(set("pin", "  alpine:3.20, ghcr.io/acme/* ,,quay.io/a/b  "));
    assert_value("pin", "alpine:3.20 ghcr.io/acme/* quay.io/a/b");
    assert_ok(set("pin", "a,b")); /* the former list goes */
    assert_value("pin", "a b");
    assert_ok(set("pin", " "));
    assert_value("pin", "");
    assert_problem_has(set("pin", "a B"), "pin: \"B\" is not a pattern of images; write registry/");
}

static void config_add__adds_to_a_list_up_to_its_end(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_PATTERNS_MAX; i++)
        assert_ok(config_add(&config, "pin", "a/*", &problem));
    assert_problem(config_add(&config, "pin", "a", &problem),
                   "pin: there are more than 1000 patterns");
    assert_ok(set("pin", "a"));
    assert_problem_has(config_add(&config, "pin", "a b", &problem), "\"a b\" is not a pattern");
    assert_value("pin", "a");
}

/* ---- upstreams by flag ---------------------------------------------------------------------- */

static void config_add_upstream__replaces_the_list_by_the_first(void **state)
{
    (void)state;
    assert_ok(add("ghcr.io"));
    assert_ok(add("docker.io"));
    assert_int_equal(config.upstream_count, 2);
    assert_upstream(0, "ghcr.io", "https://ghcr.io");
    assert_upstream(1, "docker.io", "https://registry-1.docker.io");
}

static void config_add_upstream__takes_a_url_with_port_and_prefix(void **state)
{
    (void)state;
    assert_ok(add("Up.Test:5000=HTTP://127.0.0.1:5000/a/B//"));
    assert_upstream(0, "up.test:5000", "http://127.0.0.1:5000/a/B");
    assert_ok(add("six=https://[::1]:5000/"));
    assert_upstream(1, "six", "https://[::1]:5000");
    assert_ok(add("docker.io=http://hub_mirror:80"));
    assert_upstream(2, "docker.io", "http://hub_mirror:80");
    assert_true(config.upstreams[2].is_docker_hub);
    assert_true(view_equal(config_upstream_prefix(&config.upstreams[0]), VIEW("/a/B")));
    assert_true(view_equal(config_upstream_prefix(&config.upstreams[1]), VIEW("")));
}

static void config_add_upstream__moves_credentials_out_of_the_url(void **state)
{
    (void)state;
    assert_ok(add("up.test=http://robot:p%40ss:w0rd%25@reg.test:5000/x/"));
    assert_upstream(0, "up.test", "http://reg.test:5000/x");
    assert_string_equal(config.upstreams[0].username, "robot");
    assert_string_equal(config.upstreams[0].password, "p@ss:w0rd%");
    assert_ok(add("raw.test=http://robot:p@ss@reg.test"));
    assert_string_equal(config.upstreams[1].password, "p@ss");
    assert_upstream(1, "raw.test", "http://reg.test");
}

static void config_add_upstream__never_repeats_a_password(void **state)
{
    static const char *const texts[] = {
        "a.test=ftp://me:secret@host",       "a.test=http://me:secret@host:99999",
        "a.test=http://me:secret%zz@host",   "a.test=http://me:secret@",
        "a.test=http://:secret@host",        "a.test=http://me:secret@host/?q",
        "a.test=http://me:secret%0a@h.test",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        config.upstreams_by_flag = false;
        assert_int_equal(add(texts[i]), ERR_CONFIG);
        assert_null(strstr(problem.data, "secret"));
    }
}

static void config_add_upstream__knows_docker_hub_by_its_other_names(void **state)
{
    (void)state;
    assert_ok(add("Index.Docker.IO"));
    assert_upstream(0, "docker.io", "https://registry-1.docker.io");
    assert_true(config.upstreams[0].is_docker_hub);
    assert_problem(add("registry-1.docker.io"), "upstream: docker.io is there twice");
}

static void config_add_upstream__rejects_names_and_urls_that_are_none(void **state)
{
    static const char *const names[] = {
        "",     "a b", "a/b", "..", ".a",      "a.",    "a..b", "-a",    "a-",
        "a.-b", "a:",  "a:0", ":1", "a:65536", "a:1:2", "a_b",  "[::1]", "\xc3\xa9.test"};
    static const char *const urls[] = {
        "a=",           "a=b",           "a=http://",
        "a=http:///x",  "a=https://h:0", "a=ftp://h",
        "a=http://h?q", "a=http://h/#f", "a=http://h/a b",
        "a=http://h:x", "a=http://[::1", "a=http://[]",
        "a=http://.h",  "a=http://u@h",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_problem_has(add(names[i]), "is not a registry's name; write host or host:port");
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        config.upstreams_by_flag = false;
        assert_problem_has(add(urls[i]), "upstream: a: url: ");
    }
}

static void config_add_upstream__stops_at_the_most_upstreams(void **state)
{
    char name[32];

    (void)state;
    for (int i = 0; i < CONFIG_UPSTREAMS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "r%d.test", i);
        assert_ok(add(name));
    }
    assert_problem(add("more.test"),
                   "upstream: there are too many upstreams; at most 64 are possible");
}

static void config_find_upstream__ignores_case_and_knows_docker_hub(void **state)
{
    (void)state;
    assert_int_equal(config_find_upstream(&config, VIEW("docker.io")), 0);
    assert_int_equal(config_find_upstream(&config, VIEW("INDEX.docker.io")), 0);
    assert_int_equal(config_find_upstream(&config, VIEW("registry-1.docker.io")), 0);
    assert_int_equal(config_find_upstream(&config, VIEW("GHCR.io")), 1);
    assert_int_equal(config_find_upstream(&config, VIEW("ghcr.io:443")), -1);
    assert_int_equal(config_find_upstream(&config, VIEW("")), -1);
    assert_ok(add("ghcr.io"));
    assert_int_equal(config_find_upstream(&config, VIEW("index.docker.io")), -1);
}

/* ---- help ----------------------------------------------------------------------------------- */

static void config_help__and_reference_have_every_setting(void **state)
{
    struct buf help = {0}, reference = {0}, row = {0};

    (void)state;
    config_help(&help);
    config_reference(&reference);
#define SETTING(kind, name, default_, min, max, prose)                                             \
    buf_clear(&row);                                                                               \
    buf_append_text(&row, "| `" #name "` | ");                                                     \
    assert_non_null(strstr(reference.data, row.data));                                             \
    assert_non_null(strstr(reference.data, prose));                                                \
    assert_null(strchr(prose, '|'));
#include "base/settings.def"
#undef SETTING
    assert_non_null(strstr(help.data, "  --cache-size SIZE|PERCENT\n        How much disk"));
    assert_non_null(strstr(help.data, "  --pin PATTERNS\n"));
    assert_non_null(strstr(help.data, "  --log-level error|warn|info|debug\n"));
    assert_non_null(strstr(help.data, "  --upstream NAME[=URL]\n"));
    assert_non_null(strstr(reference.data, "| `password_file` | "));
    struct view rest = view_of_buf(&help);
    while (rest.length > 0)
        assert_true(view_cut(&rest, '\n').length <= 92);
    buf_release(&help);
    buf_release(&reference);
    buf_release(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_init__gives_the_defaults_of_the_table),
        TEST(config_set__takes_names_with_dashes_as_flags_have_them),
        TEST(config_set__rejects_a_size_without_a_unit_it_knows),
        TEST(config_set__names_the_bounds_of_a_number_outside_them),
        TEST(config_set__rejects_counts_durations_and_words_it_does_not_know),
        TEST(config_set__suggests_the_nearest_setting),
        TEST(config_set__takes_a_budget_in_bytes_or_percent),
        TEST(config_set__keeps_addresses_in_numbers),
        TEST(config_set__takes_a_list_with_spaces_or_commas),
        TEST(config_add__adds_to_a_list_up_to_its_end),
        TEST(config_add_upstream__replaces_the_list_by_the_first),
        TEST(config_add_upstream__takes_a_url_with_port_and_prefix),
        TEST(config_add_upstream__moves_credentials_out_of_the_url),
        TEST(config_add_upstream__never_repeats_a_password),
        TEST(config_add_upstream__knows_docker_hub_by_its_other_names),
        TEST(config_add_upstream__rejects_names_and_urls_that_are_none),
        TEST(config_add_upstream__stops_at_the_most_upstreams),
        TEST(config_find_upstream__ignores_case_and_knows_docker_hub),
        TEST(config_help__and_reference_have_every_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
