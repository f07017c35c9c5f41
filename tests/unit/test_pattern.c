/* Unit tests of patterns of images; matching also against the stupidest matcher. */
#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static struct buf problem;

static struct config_upstream hub = {.name = (char[]){"docker.io"}, .is_docker_hub = true};
static struct config_upstream other = {.name = (char[]){"ghcr.io"}};

static struct pattern parse(const char *text)
{
    struct pattern pattern = {0};

    if (pattern_parse(view_of(text), &pattern, &problem) != OK)
        fail_msg("%s", problem.data);
    return pattern;
}

static void assert_view(struct view view, const char *text)
{
    assert_int_equal(view.length, strlen(text));
    if (view.length > 0)
        assert_memory_equal(view.data, text, view.length);
}

static void assert_parts(const char *text, const char *registry, const char *repository,
                         const char *tag)
{
    struct pattern pattern = parse(text);

    assert_view(pattern.registry, registry);
    assert_view(pattern.repository, repository);
    assert_view(pattern.tag, tag);
    assert_int_equal(pattern.by_digest, strchr(text, '@') != NULL);
}

static void pattern_parse__cuts_a_reference_into_its_parts(void **state)
{
    (void)state;
    assert_parts("alpine", "", "alpine", "");
    assert_parts("alpine:3.20", "", "alpine", "3.20");
    assert_parts("alpine:3.*", "", "alpine", "3.*");
    assert_parts("library/alpine", "", "library/alpine", "");
    assert_parts("docker.io/library/alpine:3.20", "docker.io", "library/alpine", "3.20");
    assert_parts("localhost/a", "localhost", "a", "");
    assert_parts("Reg.Example:5000/a/b:V1", "Reg.Example:5000", "a/b", "V1");
    assert_parts("ghcr.io/acme/*", "ghcr.io", "acme/*", "");
    assert_parts("ghcr.io/*", "ghcr.io", "*", "");
    assert_parts("*", "", "*", "");
    assert_parts("*:latest", "", "*", "latest");
    assert_parts("*/team-*:*-debug", "", "*/team-*", "*-debug");
    assert_parts("a@" DIGEST, "", "a", "");
    assert_parts("quay.io/a/b:1@" DIGEST, "quay.io", "a/b", "1");
    assert_parts("quay.io/a/b@sha512:" HEX64 HEX64, "quay.io", "a/b", "");
}

static void pattern_parse__reads_the_digest(void **state)
{
    struct digest digest;

    (void)state;
    assert_true(digest_parse(VIEW(DIGEST), &digest));
    struct pattern pattern = parse("a@" DIGEST);
    assert_true(digest_equal(&pattern.digest, &digest));
}

static void assert_refused(const char *text, const char *part)
{
    struct pattern pattern, before;

    memset(&pattern, 0x5a, sizeof(pattern));
    memset(&before, 0x5a, sizeof(before));
    assert_int_equal(pattern_parse(view_of(text), &pattern, &problem), ERR_CONFIG);
    assert_memory_equal(&pattern, &before, sizeof(pattern));
    if (strstr(problem.data, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, problem.data);
}

static void pattern_parse__refuses_what_no_image_could_match(void **state)
{
    static const char *const bad[] = {
        "",        "/",       "a/",      "/a",      "a//b",       "Alpine",   "a b",
        "a:b:c",   "a:",      ":a",      "a/.b*",   "_*",         "a-/*",     "a..b*",
        "a:.b*",   "a:b/",    "a?",      "[a]*",    "a:1+2",      "ghcr.io/", "a\x80",
        "a%b",     "*-",      "a_-*",    "a:-*",    "a\nb",       "https:",   "a:1 ",
        "a b.c/d", "a\r.c/d", "a_b.c/d", "a.c,d/e", "ghcr.io/A/b"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i], "is not a pattern of images; write registry/repository");
    assert_refused("https://ghcr.io/a", "is not a pattern of images");
    assert_refused("a@", "has no digest behind its @; write sha256:");
    assert_refused("a@sha256:12", "has no digest behind its @");
    assert_refused("a@sha256:*", "has no digest behind its @");
    assert_refused("a@" DIGEST "@" DIGEST, "has no digest behind its @");
    assert_refused("@" DIGEST, "is not a pattern of images");
    assert_refused("*.io/acme/x", "has a * in its registry; name one registry");
    assert_refused("reg:*/x", "has a * in its registry");
}

static void pattern_parse__limits_the_length(void **state)
{
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 255; i++)
        buf_append_text(&text, "a");
    (void)parse(text.data);
    buf_append_text(&text, "a");
    assert_refused(text.data, "is not a pattern of images"); /* no repository is as long */
    for (int i = 0; i < 257; i++)
        buf_append_text(&text, "a");
    assert_refused(text.data, "is longer than a pattern may be, 512 bytes");
    buf_release(&text);
}

static bool means(const char *text, const struct config_upstream *upstream, const char *name,
                  const char *repository, const char *tag)
{
    struct pattern pattern = parse(text);

    pattern.upstream = upstream;
    return pattern_means(&pattern, name, repository, tag);
}

static void pattern_means__wants_upstream_repository_and_tag(void **state)
{
    (void)state;
    assert_true(means("acme/x:1", &other, "ghcr.io", "acme/x", "1"));
    assert_false(means("acme/x:1", &other, "ghcr.io", "acme/x", "2"));
    assert_false(means("acme/x:1", &other, "ghcr.io", "acme/x", ""));
    assert_false(means("acme/x:1", &other, "ghcr.io", "acme/xx", "1"));
    assert_false(means("acme/x:1", &other, "quay.io", "acme/x", "1"));
    assert_true(means("acme/x:*", &other, "ghcr.io", "acme/x", "1"));
    assert_false(means("acme/x:*", &other, "ghcr.io", "acme/x", "")); /* of tags, not of digests */
    assert_true(means("acme/x", &other, "ghcr.io", "acme/x", ""));
    assert_true(means("acme/x", &other, "ghcr.io", "acme/x", "1"));
    assert_true(means("acme/*", &other, "ghcr.io", "acme/deep/er", "1"));
    assert_false(means("acme/*", &other, "ghcr.io", "acme", "1"));
    assert_false(means("acme/x@" DIGEST, &other, "ghcr.io", "acme/x", ""));
    assert_false(means("acme/x:1@" DIGEST, &other, "ghcr.io", "acme/x", "1"));
}

static void pattern_means__knows_official_images_by_both_names(void **state)
{
    (void)state;
    assert_true(means("alpine:3", &hub, "docker.io", "library/alpine", "3"));
    assert_true(means("library/alpine:3", &hub, "docker.io", "library/alpine", "3"));
    assert_true(means("alp*", &hub, "docker.io", "library/alpine", ""));
    assert_true(means("*", &hub, "docker.io", "acme/x", ""));
    assert_false(means("alpine", &hub, "docker.io", "acme/alpine", ""));
    assert_false(means("alpine", &other, "ghcr.io", "library/alpine", ""));
}

/* The stupidest matcher there is. */
static bool model(const char *glob, const char *text)
{
    if (glob[0] == '\0')
        return text[0] == '\0';
    if (glob[0] == '*')
        return model(glob + 1, text) || (text[0] != '\0' && model(glob, text + 1));
    return glob[0] == text[0] && model(glob + 1, text + 1);
}

static void pattern_match__agrees_with_recursion(void **state)
{
    unsigned random = 7;
    size_t matches = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char glob[8] = "", text[8] = "";
        size_t glob_length = (size_t)rand_r(&random) % 7, length = (size_t)rand_r(&random) % 7;
        for (size_t i = 0; i < glob_length; i++)
            glob[i] = "ab*"[rand_r(&random) % 3];
        for (size_t i = 0; i < length; i++)
            text[i] = "ab"[rand_r(&random) % 2];
        bool expected = model(glob, text);
        matches += expected;
        if (pattern_match(view_of(glob), view_of(text)) != expected)
            fail_msg("%s and %s", glob, text);
    }
    assert_true(matches > 10000);
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&problem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_parse__cuts_a_reference_into_its_parts),
        cmocka_unit_test(pattern_parse__reads_the_digest),
        cmocka_unit_test(pattern_parse__refuses_what_no_image_could_match),
        cmocka_unit_test(pattern_parse__limits_the_length),
        cmocka_unit_test(pattern_means__wants_upstream_repository_and_tag),
        cmocka_unit_test(pattern_means__knows_official_images_by_both_names),
        cmocka_unit_test(pattern_match__agrees_with_recursion),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
