/* Unit tests of what config_finish finds out, and refuses. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_helpers.h"

/* A file of its own for a test; the path is static. */
static const char *make_file(const char *content, size_t length)
{
    static char path[sizeof("/tmp/test_config.XXXXXX")];

    (void)snprintf(path, sizeof(path), "/tmp/test_config.XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, content, length), length);
    close(file);
    return path;
}

static void config_finish__chooses_the_default_upstream(void **state)
{
    (void)state;
    assert_ok(add("ghcr.io"));
    assert_ok(add("docker.io"));
    assert_ok(finish());
    assert_int_equal(config.default_index, 1);
    assert_string_equal(config.default_upstream, "docker.io");
    config_drop_upstreams(&config);
    assert_ok(add("ghcr.io"));
    assert_ok(add("quay.io"));
    assert_ok(set("default_upstream", ""));
    assert_ok(finish());
    assert_int_equal(config.default_index, 0);
    assert_ok(set("default_upstream", "QUAY.io"));
    assert_ok(finish());
    assert_int_equal(config.default_index, 1);
    assert_string_equal(config.default_upstream, "quay.io");
    assert_ok(set("default_upstream", "index.docker.io"));
    assert_problem(finish(), "default_upstream: \"index.docker.io\" is not one of the upstreams, "
                             "which are ghcr.io, quay.io");
}

static void config_finish__refuses_settings_that_do_not_agree(void **state)
{
    (void)state;
    assert_ok(set("admin", ":5000"));
    assert_problem(finish(), "admin: 0.0.0.0:5000 collides with listen: 127.0.0.1:5000; give it "
                             "another port");
    assert_ok(set("admin", "127.0.0.2:5000"));
    assert_ok(finish());
    assert_ok(set("admin", "127.0.0.1:0"));
    assert_ok(set("listen", "127.0.0.1:0"));
    assert_ok(finish());
    config_drop_upstreams(&config);
    assert_problem(finish(), "upstreams: is empty; name at least one registry");
}

static void config_finish__counts_processors_and_sizes_the_cache(void **state)
{
    (void)state;
    assert_ok(set("cache", "not/there/yet"));
    assert_ok(finish());
    assert_true(config.serve_threads >= 1);
    assert_int_equal(config.pool_threads, config.serve_threads + 4);
    assert_true(config.cache_size > 0);
    assert_value("cache_size", "80%");
    uint64_t most = config.cache_size;
    assert_ok(set("cache_size", "40%"));
    assert_ok(finish());
    assert_true(config.cache_size > 0 && config.cache_size == most / 2);
    assert_ok(set("cache", "/nonexistent/a/b/"));
    assert_ok(finish());
    assert_ok(set("cache", "/dev/null/a"));
    assert_problem(finish(), "cache: /dev/null/a: cannot be looked at: Not a directory");
    assert_ok(set("cache_size", "2MiB"));
    assert_ok(finish());
    assert_int_equal(config.cache_size, 2 << 20);
}

static void config_finish__chooses_a_cache_that_can_be_written(void **state)
{
    bool exists = access("/var/lib/entrepot", F_OK) == 0;
    const char *where = exists ? "/var/lib/entrepot" : "/var/lib";

    (void)state;
    assert_ok(finish());
    assert_string_equal(config.cache, eaccess(where, W_OK | X_OK) == 0 ? "/var/lib/entrepot"
                                                                       : "./entrepot-cache");
}

static void config_finish__reads_password_files(void **state)
{
    const char *path = make_file("s3cret \n", 8);
    struct buf out = {0};

    (void)state;
    assert_ok(add("a.test"));
    config.upstreams[0].username = strdup("me");
    config.upstreams[0].password_file = strdup(path);
    assert_ok(finish());
    assert_string_equal(config.upstreams[0].password, "s3cret ");
    config_print(&config, &out);
    assert_null(strstr(out.data, "hidden"));
    assert_ok(read_text(out.data));
    unlink(path);
    assert_problem_has(finish(), "upstreams: a.test: password_file: /tmp/test_config.");
    buf_release(&out);
}

static void assert_bad_password_file(const char *content, size_t length, const char *part)
{
    const char *path = make_file(content, length);
    struct buf text = {0};

    buf_printf(&text, "upstreams:\n  a.test:\n    username: me\n    password_file: %s\n", path);
    assert_ok(read_text(text.data));
    assert_problem_has(finish(), part);
    unlink(path);
    buf_release(&text);
}

static void config_finish__refuses_credentials_that_are_not_whole(void **state)
{
    (void)state;
    assert_bad_password_file("\r\n", 2, ": is empty");
    assert_bad_password_file("", 0, ": is empty");
    assert_bad_password_file("a\0b", 3, ": is not a text file");
    assert_ok(read_text("upstreams: {a.test: {username: me}}"));
    assert_problem(finish(), "upstreams: a.test: there is a username, but neither password nor "
                             "password_file");
    assert_ok(read_text("upstreams: {a.test: {password: x}}"));
    assert_problem(finish(), "upstreams: a.test: there is a password, but no username");
    assert_ok(read_text("upstreams: {a.test: {username: me, password: x, password_file: /y}}"));
    assert_problem(finish(),
                   "upstreams: a.test: both password and password_file are given; keep one");
    assert_bad("upstreams: {a.test: {username: 'm:e'}}",
               "e.yaml:1: upstreams: a.test: username: must not contain a colon");
    assert_ok(read_text("upstreams: {a.test: {ca_file: /nonexistent.pem}}"));
    assert_problem(finish(), "upstreams: a.test: ca_file: /nonexistent.pem: cannot be read: No "
                             "such file or directory");
}

/* Finishes with a config.json of `json`, over whatever upstreams there are. */
static enum err finish_with_json(const char *json)
{
    const char *path = make_file(json, strlen(json));

    assert_ok(set("docker_config", path));
    enum err err = finish();
    unlink(path);
    return err;
}

static void assert_credentials(size_t index, const char *username, const char *password)
{
    if (username == NULL) {
        assert_null(config.upstreams[index].username);
        return;
    }
    assert_non_null(config.upstreams[index].username);
    assert_string_equal(config.upstreams[index].username, username);
    assert_string_equal(config.upstreams[index].password, password);
}

static void config_finish__uses_a_docker_config(void **state)
{
    struct buf out = {0};

    (void)state;
    assert_ok(add("docker.io"));
    assert_ok(add("ghcr.io"));
    assert_ok(add("other.test=http://Reg.test:5000/x"));
    assert_ok(add("quay.io"));
    assert_ok(add("own.test=http://mine:own@own.test"));
    assert_ok(add("helper.test"));
    assert_ok(finish_with_json(
        "{\"auths\": {\"https://index.docker.io/v1/\": {\"auth\": \"bWU6czNjOnJldA==\"},"
        "\"https://ghcr.io\": {\"username\": \"tom\", \"password\": \"dog\"},"
        "\"reg.test:5000\": {\"auth\": \"YTpiYg==\"},"
        "\"quay.io/namespace\": {\"auth\": \"YTpi\"},"
        "\"own.test\": {\"auth\": \"YTpi\"},"
        "\"helper.test\": {}}, \"credsStore\": \"x\"}"));
    assert_credentials(0, "me", "s3c:ret");
    assert_credentials(1, "tom", "dog");
    assert_credentials(2, "a", "bb");
    assert_credentials(3, NULL, NULL);
    assert_credentials(4, "mine", "own");
    assert_credentials(5, NULL, NULL);
    config_print(&config, &out);
    assert_null(strstr(out.data, "s3c"));
    assert_null(strstr(out.data, "tom"));
    assert_true(config.upstreams[0].has_docker_credentials);
    buf_release(&out);
}

static void config_finish__says_what_is_wrong_with_a_docker_config(void **state)
{
    static const char *const bad[] = {"", "[]", "{", "{\"auths\": 1}"};

    (void)state;
    assert_ok(add("ghcr.io"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_problem_has(finish_with_json(bad[i]), "docker_config: /tmp/test_config.");
    static const char *const auths[] = {"bWU=", "b!==", "bWV5b3U=", "bQA6bQ=="};
    for (size_t i = 0; i < sizeof(auths) / sizeof(auths[0]); i++) {
        char json[80];
        (void)snprintf(json, sizeof(json), "{\"auths\": {\"ghcr.io\": {\"auth\": \"%s\"}}}",
                       auths[i]);
        assert_problem_has(finish_with_json(json),
                           ": auths: \"ghcr.io\" has an `auth` that is not base64");
    }
    assert_ok(finish_with_json("{}"));
    assert_ok(set("docker_config", "/nonexistent.json"));
    assert_problem(finish(),
                   "docker_config: /nonexistent.json: cannot be read: No such file or directory");
}

/* ---- what is pinned ------------------------------------------------------------------------- */

static void assert_pin(size_t index, const char *upstream, const char *repository)
{
    assert_true(index < config.pin_count);
    assert_string_equal(config.pins[index].upstream->name, upstream);
    assert_true(view_equal(config.pins[index].repository, view_of(repository)));
}

static void config_finish__finds_whose_images_are_pinned(void **state)
{
    (void)state;
    assert_ok(add("ghcr.io"));
    assert_ok(add("docker.io"));
    assert_ok(add("local=http://127.0.0.1:5000"));
    assert_ok(set("pin", "alpine:3 index.docker.io/alpine GHCR.io/acme/* local/x/y library/z "
                         "locally/x */local"));
    assert_ok(finish());
    assert_int_equal(config.pin_count, 7);
    assert_pin(0, "docker.io", "alpine");
    assert_pin(1, "docker.io", "alpine");
    assert_pin(2, "ghcr.io", "acme/*");
    assert_pin(3, "local", "x/y");
    assert_pin(4, "docker.io", "library/z");
    assert_pin(5, "docker.io", "locally/x");
    assert_pin(6, "docker.io", "*/local");
    assert_ok(set("default_upstream", "local"));
    assert_ok(set("pin", "alpine ghcr.io/alpine"));
    assert_ok(finish());
    assert_int_equal(config.pin_count, 2);
    assert_pin(0, "local", "alpine");
    assert_pin(1, "ghcr.io", "alpine");
}

static void config_finish__refuses_pins_of_other_registries(void **state)
{
    (void)state;
    assert_ok(add("ghcr.io"));
    assert_ok(add("local=http://127.0.0.1:5000"));
    assert_ok(set("pin", "ghcr.io/a quay.io/acme/x:1"));
    assert_problem(finish(), "pin: \"quay.io/acme/x:1\" is of the registry \"quay.io\", which is "
                             "not one of the upstreams: ghcr.io, local");
    assert_ok(set("pin", "local:5000/x"));
    assert_problem_has(finish(), "pin: \"local:5000/x\" is of the registry \"local:5000\"");
    assert_ok(set("pin", "local"));
    assert_problem(finish(), "pin: \"local\" is the name of an upstream; write local/* for all of "
                             "its images");
    assert_ok(set("pin", ""));
    assert_ok(finish());
    assert_int_equal(config.pin_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_finish__chooses_the_default_upstream),
        TEST(config_finish__refuses_settings_that_do_not_agree),
        TEST(config_finish__counts_processors_and_sizes_the_cache),
        TEST(config_finish__chooses_a_cache_that_can_be_written),
        TEST(config_finish__reads_password_files),
        TEST(config_finish__refuses_credentials_that_are_not_whole),
        TEST(config_finish__uses_a_docker_config),
        TEST(config_finish__says_what_is_wrong_with_a_docker_config),
        TEST(config_finish__finds_whose_images_are_pinned),
        TEST(config_finish__refuses_pins_of_other_registries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
