/* Unit tests of the settings as YAML, read and printed. */
#include <stdlib.h>

#include "config_helpers.h"

/* ---- the file ------------------------------------------------------------------------------- */

static void config_read_text__takes_settings_and_upstreams(void **state)
{
    (void)state;
    assert_ok(read_text("# a comment\n"
                        "cache_size: 200GiB\n"
                        "listen: ':5000'\n"
                        "cache: \"\"\n"
                        "serve_threads: 3\n"
                        "upstreams:\n"
                        "  docker.io: {}\n"
                        "  ghcr.io:\n"
                        "  quay.io: ~\n"
                        "  Reg.Example.com:5000:\n"
                        "    password: p\n"
                        "    url: http://10.0.0.7:5000/prefix/\n"
                        "    username: robot\n"
                        "    ca_file: /etc/ca.pem\n"));
    assert_value("cache_size", "200GiB");
    assert_value("listen", "0.0.0.0:5000");
    assert_value("serve_threads", "3");
    assert_int_equal(config.upstream_count, 4);
    assert_upstream(0, "docker.io", "https://registry-1.docker.io");
    assert_upstream(1, "ghcr.io", "https://ghcr.io");
    assert_upstream(3, "reg.example.com:5000", "http://10.0.0.7:5000/prefix");
    assert_string_equal(config.upstreams[3].username, "robot");
    assert_string_equal(config.upstreams[3].password, "p");
    assert_string_equal(config.upstreams[3].ca_file, "/etc/ca.pem");
    assert_null(config.upstreams[3].password_file);
}

static void config_read_text__takes_a_file_without_settings(void **state)
{
    static const char *const texts[] = {"", "\n", "# nothing\n", "---\n", "--- {}\n...\n", "~\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_ok(read_text(texts[i]));
        assert_int_equal(config.upstream_count, 10);
    }
}

static void config_read_text__keeps_what_the_file_does_not_name(void **state)
{
    (void)state;
    assert_ok(read_text("tag_ttl: 5m\n"));
    assert_value("tag_ttl", "5m");
    assert_value("stale", "7d");
    assert_int_equal(config.upstream_count, 10);
}

static void config_read_text__knows_hubs(void **state)
{
    (void)state;
    assert_ok(read_text("upstreams:\n  depot.ai: {type: huggingface}\n  hf: {}\n"
                        "  ai.test: {url: 'http://127.0.0.1:81/x', type: huggingface}\n"));
    for (size_t i = 0; i < 3; i++)
        assert_true(config.upstreams[i].is_hub);
    assert_string_equal(config.upstreams[0].url, "https://huggingface.co");
    assert_string_equal(config.upstreams[1].url, "https://huggingface.co");
    assert_string_equal(config.upstreams[2].url, "http://127.0.0.1:81/x");
    assert_ok(read_text("upstreams:\n  hf: {type: registry}\n"));
    assert_false(config.upstreams[0].is_hub);
    assert_string_equal(config.upstreams[0].url, "https://hf");
    assert_problem_has(read_text("upstreams:\n  hf: {type: hub}\n"),
                       "type: \"hub\" is neither registry nor huggingface");
}

static void config_read_text__is_overridden_by_flags(void **state)
{
    (void)state;
    assert_ok(read_text("tag_ttl: 5m\nupstreams: {quay.io: {}}\n"));
    assert_ok(set("tag-ttl", "6m"));
    assert_ok(add("ghcr.io"));
    assert_value("tag_ttl", "6m");
    assert_int_equal(config.upstream_count, 1);
    assert_upstream(0, "ghcr.io", "https://ghcr.io");
}

static void config_read_text__names_the_line_of_a_bad_value(void **state)
{
    (void)state;
    assert_bad("tag_ttl: 1m\n\n# size\nmax_manifest: 200Gib\n",
               "e.yaml:4: max_manifest: \"200Gib\" is not a size; write a number with B, KiB, MiB, "
               "GiB or TiB, such as 200GiB");
    assert_bad("fill_tries: many\n", "e.yaml:1: fill_tries: \"many\" is not a whole number");
    assert_bad_has("upstreams:\n  a.test:\n    url: ftp://x\n",
                   "e.yaml:3: upstreams: a.test: url: \"ftp://x\" is not a URL; write http(s)://");
    assert_bad_has("upstreams:\n  a.test: {}\n  b/c: {}\n",
                   "e.yaml:3: upstreams: \"b/c\" is not a registry's name;");
}

static void config_read_text__reports_the_first_of_many_problems(void **state)
{
    (void)state;
    assert_bad_has("tag_ttl: nix\nadmin: nix\nlisten: nix\n", "e.yaml:1: tag_ttl: ");
    assert_bad_has("upstreams: {'!': {}}\ntag_ttl: nix\n", "e.yaml:1: upstreams: \"!\" is not");
}

static void config_read_text__suggests_the_nearest_key(void **state)
{
    (void)state;
    assert_bad("\n\ncache_sise: 1G\n",
               "e.yaml:3: unknown key \"cache_sise\"; did you mean \"cache_size\"?");
    assert_bad("cache-size: 1G\n",
               "e.yaml:1: unknown key \"cache-size\"; did you mean \"cache_size\"?");
    assert_bad("upstream: {}\n", "e.yaml:1: unknown key \"upstream\"; did you mean \"upstreams\"?");
    assert_bad("TagTTL: 1m\n", "e.yaml:1: unknown key \"TagTTL\"; did you mean \"tag_ttl\"?");
    assert_bad("<<: {}\n", "e.yaml:1: unknown key \"<<\"");
    assert_bad("colour: red\n", "e.yaml:1: unknown key \"colour\"");
    assert_bad("upstreams:\n  a.test:\n    user: me\n    pasword: x\n",
               "e.yaml:3: unknown key \"user\"");
    assert_bad("upstreams:\n  a.test:\n    pasword: x\n",
               "e.yaml:3: unknown key \"pasword\"; did you mean \"password\"?");
}

static void config_read_text__refuses_what_is_given_twice(void **state)
{
    (void)state;
    assert_bad("stale: 1d\ntag_ttl: 1m\nstale: 2d\n",
               "e.yaml:3: \"stale\" is given twice, first in line 1");
    assert_bad("upstreams: {}\nupstreams: {}\n",
               "e.yaml:2: \"upstreams\" is given twice, first in line 1");
    assert_bad("upstreams:\n  a.test: {}\n  a.test: {}\n",
               "e.yaml:3: \"a.test\" is given twice, first in line 2");
    assert_bad("upstreams:\n  a.test: {}\n  A.Test: {}\n",
               "e.yaml:3: upstreams: a.test is there twice");
    assert_bad("upstreams: {docker.io: {}, index.docker.io: {}}\n",
               "e.yaml:1: upstreams: docker.io is there twice");
    assert_bad("upstreams:\n  a.test:\n    url: http://a\n    url: http://a\n",
               "e.yaml:4: \"url\" is given twice, first in line 3");
    assert_bad("upstreams:\n  a.test:\n    url: http://me:secret@a\n    username: you\n",
               "e.yaml:4: upstreams: a.test: username: is given twice, in the url and beside it");
}

static void config_read_text__refuses_values_of_another_shape(void **state)
{
    (void)state;
    assert_bad("stale: [1d]\n", "e.yaml:1: stale: expected one value, not a list or a mapping");
    assert_bad("stale:\n  a: b\n", "e.yaml:2: stale: expected one value, not a list or a mapping");
    assert_bad("tag_ttl: 1m\nstale:\n",
               "e.yaml:2: stale: has no value; leave the line out, or write \"\" for nothing");
    assert_bad("cache: ~\n",
               "e.yaml:1: cache: has no value; leave the line out, or write \"\" for nothing");
    assert_bad("- stale\n", "e.yaml:1: expected settings, such as \"cache_size: 200GiB\"");
    assert_bad("stale\n", "e.yaml:1: expected settings, such as \"cache_size: 200GiB\"");
    assert_bad("? [a]\n: b\n", "e.yaml:1: expected a key, one word");
    assert_bad_has("tag_ttl: 1m\nupstreams:\n", "e.yaml:2: upstreams: expected a mapping from");
    assert_bad_has("upstreams: [a.test]\n", "e.yaml:1: upstreams: expected a mapping from");
    assert_bad("upstreams: {? [a] : b}\n", "e.yaml:1: upstreams: expected a registry's name");
    assert_bad_has("upstreams:\n  a.test: http://a\n",
                   "e.yaml:2: \"a.test\" is a name; expected {} behind it");
    assert_bad_has("upstreams:\n  a.test: [http://a]\n",
                   "e.yaml:2: \"a.test\" is a name; expected {} behind it");
    assert_bad("upstreams:\n  a.test:\n    url: {}\n",
               "e.yaml:3: url: expected one value, not a list or a mapping");
    assert_bad("upstreams:\n  a.test:\n    url:\n",
               "e.yaml:3: url: has no value; leave the line out, or write \"\" for nothing");
    assert_bad("upstreams:\n  a.test:\n    username: ''\n",
               "e.yaml:3: upstreams: a.test: username: is empty; leave it out instead");
}

static void config_read_text__takes_a_list(void **state)
{
    (void)state;
    assert_ok(read_text("pin: [docker.io/library/alpine:3.20, \"ghcr.io/acme/*\"]\n"));
    assert_value("pin", "docker.io/library/alpine:3.20 ghcr.io/acme/*");
    assert_ok(read_text("pin:\n  - 'a'\n  - b/c\n# and\n  - d:1\ntag_ttl: 5m\n"));
    assert_value("pin", "a b/c d:1");
    assert_value("tag_ttl", "5m");
    assert_ok(read_text("pin:\n- a\n"));
    assert_value("pin", "a");
    assert_ok(read_text("pin: []\n"));
    assert_value("pin", "");
    assert_ok(read_text("pin: [a]\n"));
    assert_ok(config_read_text(&config, VIEW("pin: [b]\n"), "e.yaml", &problem));
    assert_value("pin", "b"); /* the former list goes */
}

static void config_read_text__names_the_line_of_a_bad_item(void **state)
{
    (void)state;
    assert_bad_has("pin:\n  - a\n  - B\n",
                   "e.yaml:3: pin: \"B\" is not a pattern of images; write registry/repository");
    assert_bad_has("pin: [a,\n  'b c']\n", "e.yaml:2: pin: \"b c\" is not a pattern of images");
    assert_bad_has("pin: [a, '']\n", "e.yaml:1: pin: \"\" is not a pattern of images");
    assert_bad_has("pin: [a@sha256:1]\n", "e.yaml:1: pin: \"a@sha256:1\" has no digest");
    assert_bad("pin: a\n", "e.yaml:1: pin: expected a list, such as [a, b]");
    assert_bad("pin:\n", "e.yaml:1: pin: expected a list, such as [a, b]");
    assert_bad("pin: {a: b}\n", "e.yaml:1: pin: expected a list, such as [a, b]");
    assert_bad("pin:\n  - [a]\n", "e.yaml:2: pin: expected a text in the list");
    assert_bad("pin:\n  - a: b\n", "e.yaml:2: pin: expected a text in the list");
    assert_bad("pin:\n  - a\n  -\n", "e.yaml:3: pin: expected a text in the list");
    assert_bad("pin: [a, ~]\n", "e.yaml:1: pin: expected a text in the list");
    assert_bad("pin: [a]\npin: [b]\n", "e.yaml:2: \"pin\" is given twice, first in line 1");
}

static void config_read_text__refuses_what_yaml_can_do_besides(void **state)
{
    static const char frills[] = "anchors, aliases and tags are not supported";

    (void)state;
    assert_bad_has("stale: &a 1d\n", frills);
    assert_bad_has("stale: *a\n", frills);
    assert_bad_has("pin: &a [a]\n", frills);
    assert_bad_has("pin: !!seq [a]\n", frills);
    assert_bad_has("pin: [&a a, *a]\n", frills);
    assert_bad_has("stale: !!str 1d\n", frills);
    assert_bad_has("&a stale: 1d\n", frills);
    assert_bad_has("upstreams: &a {}\n", frills);
    assert_bad_has("upstreams:\n  a.test: &a {}\n  b.test: *a\n", frills);
    assert_bad_has("--- !x {}\n", frills);
    assert_bad("stale: 1d\n---\nstale: 2d\n",
               "e.yaml:2: expected the end of the file, not a second document");
    assert_bad("stale: \"1d\\0\"\n", "e.yaml:1: a text with a NUL byte in it cannot be used");
}

static void config_read_text__names_the_line_of_bad_yaml(void **state)
{
    (void)state;
    assert_bad_has("stale: 1d\n  tag_ttl: 1m\n", "e.yaml:2: is not valid YAML: ");
    assert_bad_has("stale: 1d\ncache: \"x\n", "e.yaml:");
    assert_bad_has("stale: 1d\n\tcache: x\n", "e.yaml:2: is not valid YAML: ");
    assert_bad_has("stale: 1d\ncache: \x01\n", "e.yaml:2: is not valid YAML: control characters");
    assert_bad_has("stale: 1d\n\ncache: \xff\n", "e.yaml:3: is not valid YAML: ");
}

static void config_read_text__bounds_what_a_file_can_cost(void **state)
{
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_append_text(&text, "[");
    assert_bad_has(text.data, "e.yaml:1: expected settings");
    buf_clear(&text);
    buf_append_text(&text, "stale: ");
    for (int i = 0; i < 100000; i++)
        buf_append_text(&text, "{");
    assert_bad_has(text.data, "e.yaml:1: stale: expected one value");
    buf_clear(&text);
    buf_append_text(&text, "upstreams:\n");
    for (int i = 0; i <= CONFIG_UPSTREAMS_MAX; i++)
        buf_printf(&text, "  r%d.test: {url: 'http://r', ca_file: x}\n", i);
    assert_bad(text.data, "e.yaml:66: upstreams: there are more than 64");
    buf_clear(&text);
    buf_append_text(&text, "pin:\n");
    for (int i = 0; i < CONFIG_PATTERNS_MAX; i++)
        buf_append_text(&text, "- a\n");
    assert_ok(read_text(text.data));
    buf_append_text(&text, "- a\n");
    assert_bad(text.data, "e.yaml:1002: pin: there are more than 1000");
    buf_clear(&text);
    for (int i = 0; i < (1 << 20) / 8; i++)
        buf_append_text(&text, "#234567\n");
    assert_ok(read_text(text.data));
    buf_append_text(&text, "\n");
    assert_bad(text.data, "e.yaml: is larger than 1MiB, the most that is read");
    buf_clear(&text);
    for (int i = 0; i < 1000; i++)
        buf_append_text(&text, "key");
    buf_append_text(&text, ": 1\n");
    assert_int_equal(read_text(text.data), ERR_CONFIG);
    assert_true(problem.length < 200);
    buf_release(&text);
}

static void config_read_text__refuses_a_hidden_password(void **state)
{
    (void)state;
    assert_bad("upstreams:\n  a.test:\n    username: me\n    password: \"(hidden)\"\n",
               "e.yaml:4: upstreams: a.test: password: \"(hidden)\" is what `entrepot check` shows "
               "in place of a password; write the password itself, or use password_file");
}

static void config_read_file__says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    assert_problem(config_read_file(&config, "/nonexistent/e.yaml", &problem),
                   "/nonexistent/e.yaml: cannot be read: No such file or directory");
    assert_problem(config_read_file(&config, "/", &problem), "/: cannot be read: Is a directory");
    assert_problem(config_read_file(&config, "/dev/zero", &problem),
                   "/dev/zero: is larger than 1MiB, the most that is read");
    assert_ok(config_read_file(&config, "/dev/null", &problem));
}

static void config_read_file__loads_the_example(void **state)
{
    (void)state;
    assert_ok(config_read_file(&config, "deploy/entrepot.yaml", &problem));
#define SETTING(kind, name, default_, min, max, prose)                                             \
    if (strcmp(#name, "listen") != 0 && strcmp(#name, "cache") != 0)                               \
        assert_value(#name, default_);
#include "base/settings.def"
#undef SETTING
    assert_ok(finish());
}

/* ---- printing ------------------------------------------------------------------------------- */

static void config_print__gives_yaml_that_reads_back(void **state)
{
    struct buf first = {0}, second = {0};

    (void)state;
    assert_ok(set("cache", "/tmp/a: #\"b\" 'c' \xc3\xa9 \xe2\x80\xa8 \xef\xbb\xbf {}"));
    assert_ok(set("cache_size", "2000001"));
    assert_ok(set("docker_config", "null"));
    assert_ok(set("listen", "[::1]:0"));
    assert_ok(set("pin", "* null a/b:1 ghcr.io/acme/*"));
    assert_ok(add("docker.io"));
    assert_ok(add("a.test:5000=http://b.test/c"));
    config.upstreams[1].username = strdup("~");
    config.upstreams[1].password_file = strdup("- x");
    config_print(&config, &first);
    assert_ok(read_text(first.data));
    config_print(&config, &second);
    assert_string_equal(first.data, second.data);
    assert_value("cache", "/tmp/a: #\"b\" 'c' \xc3\xa9 \xe2\x80\xa8 \xef\xbb\xbf {}");
    assert_value("docker_config", "null");
    assert_value("pin", "* null a/b:1 ghcr.io/acme/*");
    assert_non_null(strstr(first.data, "pin:\n- \"*\"\n- \"null\"\n- \"a/b:1\"\n"));
    assert_string_equal(config.upstreams[1].username, "~");
    buf_release(&first);
    buf_release(&second);
}

static void config_print__hides_passwords(void **state)
{
    struct buf out = {0};

    (void)state;
    assert_ok(add("a.test=http://me:secret@b.test"));
    assert_ok(finish());
    config_print(&config, &out);
    assert_null(strstr(out.data, "secret"));
    assert_non_null(strstr(out.data, "password: \"(hidden)\"\n"));
    assert_problem_has(read_text(out.data), "password_file");
    buf_release(&out);
}

static void config_print__shows_empty_lists(void **state)
{
    struct buf out = {0};

    (void)state;
    assert_ok(read_text("upstreams: {}\n"));
    assert_int_equal(config.upstream_count, 0);
    config_print(&config, &out);
    assert_non_null(strstr(out.data, "\npin: []\n"));
    assert_ok(read_text(out.data));
    assert_int_equal(config.upstream_count, 0);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_read_text__takes_settings_and_upstreams),
        TEST(config_read_text__takes_a_file_without_settings),
        TEST(config_read_text__keeps_what_the_file_does_not_name),
        TEST(config_read_text__knows_hubs),
        TEST(config_read_text__is_overridden_by_flags),
        TEST(config_read_text__names_the_line_of_a_bad_value),
        TEST(config_read_text__reports_the_first_of_many_problems),
        TEST(config_read_text__suggests_the_nearest_key),
        TEST(config_read_text__refuses_what_is_given_twice),
        TEST(config_read_text__refuses_values_of_another_shape),
        TEST(config_read_text__takes_a_list),
        TEST(config_read_text__names_the_line_of_a_bad_item),
        TEST(config_read_text__refuses_what_yaml_can_do_besides),
        TEST(config_read_text__names_the_line_of_bad_yaml),
        TEST(config_read_text__bounds_what_a_file_can_cost),
        TEST(config_read_text__refuses_a_hidden_password),
        TEST(config_read_file__says_why_a_file_cannot_be_read),
        TEST(config_read_file__loads_the_example),
        TEST(config_print__gives_yaml_that_reads_back),
        TEST(config_print__hides_passwords),
        TEST(config_print__shows_empty_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
