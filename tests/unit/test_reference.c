/* Unit tests of routing: rows R1-R10 and the golden requests of the client contract. */
#include "wire/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

enum { DOCKER_HUB, QUAY, PORTED, PLAIN, MODELS, DEPOT };

static struct config_upstream upstreams[] = {
    [DOCKER_HUB] = {.name = (char[]){"docker.io"}, .is_docker_hub = true},
    [QUAY] = {.name = (char[]){"quay.io"}},
    [PORTED] = {.name = (char[]){"reg.example:5000"}},
    [PLAIN] = {.name = (char[]){"models"}},
    [MODELS] = {.name = (char[]){"hf"}, .is_hub = true},
    [DEPOT] = {.name = (char[]){"depot.ai"}, .is_hub = true},
};

static struct config config;
static struct route route;

static int set_up(void **state)
{
    (void)state;
    config = (struct config){.upstreams = upstreams,
                             .upstream_count = sizeof(upstreams) / sizeof(upstreams[0]),
                             .default_index = DOCKER_HUB};
    return 0;
}

static enum err parse_with(const char *target, const char *ns_field)
{
    memset(&route, 'x', sizeof(route));
    return reference_parse(&config, view_of(target), view_of(ns_field), &route);
}

static enum err parse(const char *target)
{
    return parse_with(target, NULL);
}

/* `upstream` below 0 means the default one, not named. */
static void assert_tag(const char *target, int upstream, const char *repository, const char *tag)
{
    assert_int_equal(parse(target), OK);
    assert_int_equal(route.kind, ROUTE_MANIFEST);
    assert_int_equal(route.upstream_named, upstream >= 0);
    assert_int_equal(route.upstream, upstream >= 0 ? upstream : (int)config.default_index);
    assert_string_equal(route.repository, repository);
    assert_false(route.by_digest);
    assert_string_equal(route.tag, tag);
    assert_string_equal(route.query, "");
}

static void reference_parse__R1_takes_the_upstream_from_ns(void **state)
{
    (void)state;
    assert_tag("/v2/library/alpine/manifests/latest?ns=docker.io", DOCKER_HUB, "library/alpine",
               "latest");
    assert_string_equal(route.ns, "docker.io");
    assert_tag("/v2/team/app/manifests/v1?a=b&ns=reg.example%3A5000&c", PORTED, "team/app", "v1");
    assert_string_equal(route.ns, "reg.example:5000");
    assert_tag("/v2/app/manifests/v1?ns=Quay.IO", QUAY, "app", "v1");
    assert_tag("/v2/team/app/manifests/v1?ns=", -1, "team/app", "v1");
    assert_string_equal(route.ns, "");
}

static void reference_parse__R2_takes_the_upstream_from_the_path(void **state)
{
    (void)state;
    assert_tag("/v2/docker.io/library/alpine/manifests/latest", DOCKER_HUB, "library/alpine",
               "latest");
    assert_string_equal(route.ns, "");
    assert_tag("/v2/QUAY.io/team/app/manifests/v1", QUAY, "team/app", "v1");
    assert_tag("/v2/models/team/app/manifests/v1", PLAIN, "team/app", "v1");
    assert_tag("/v2/reg.example%3a5000/app/manifests/v1", PORTED, "app", "v1");
    assert_int_equal(parse("/v2/reg.example:5000/team/app/blobs/" DIGEST), OK);
    assert_int_equal(route.kind, ROUTE_BLOB);
    assert_int_equal(route.upstream, PORTED);
    assert_string_equal(route.repository, "team/app");
}

static void reference_parse__R3_takes_the_upstream_from_before_v2(void **state)
{
    (void)state;
    assert_tag("/docker.io/v2/library/alpine/manifests/latest?ns=docker.io", DOCKER_HUB,
               "library/alpine", "latest");
    assert_tag("/quay.io/v2/team/app/manifests/v1", QUAY, "team/app", "v1");
    assert_tag("/reg.example%3A5000/v2/app/manifests/v1", PORTED, "app", "v1");
    /* What comes after is a repository, even if it reads like a registry. */
    assert_tag("/quay.io/v2/docker.io/app/manifests/v1", QUAY, "docker.io/app", "v1");
}

static void reference_parse__R4_strips_a_prefix_that_agrees_with_ns(void **state)
{
    (void)state;
    assert_tag("/v2/quay.io/team/app/manifests/v1?ns=quay.io", QUAY, "team/app", "v1");
    assert_tag("/v2/docker.io/library/a/manifests/v1?ns=registry-1.docker.io", DOCKER_HUB,
               "library/a", "v1");
    assert_int_equal(parse("/v2/quay.io/team/app/manifests/v1?ns=docker.io"),
                     ERR_NAMESPACE_CONFLICT);
    assert_int_equal(route.kind, ROUTE_MANIFEST);
    assert_int_equal(parse("/quay.io/v2/team/app/manifests/v1?ns=docker.io"),
                     ERR_NAMESPACE_CONFLICT);
    /* A first component that only looks like a registry belongs to the repository. */
    assert_tag("/v2/gcr.io/app/manifests/v1?ns=quay.io", QUAY, "gcr.io/app", "v1");
}

static void reference_parse__R5_falls_back_to_the_default_upstream(void **state)
{
    (void)state;
    assert_tag("/v2/library/alpine/manifests/latest", -1, "library/alpine", "latest");
    config.default_index = QUAY;
    assert_tag("/v2/app/manifests/latest", -1, "app", "latest");
}

static void reference_parse__R6_takes_a_blob_without_upstream(void **state)
{
    (void)state;
    struct digest digest;

    assert_true(digest_parse(VIEW(DIGEST), &digest));
    assert_int_equal(parse("/v2/library/alpine/blobs/" DIGEST), OK);
    assert_int_equal(route.kind, ROUTE_BLOB);
    assert_false(route.upstream_named);
    assert_true(route.by_digest);
    assert_true(digest_equal(&route.digest, &digest));
}

static void reference_parse__R7_takes_the_upstream_from_a_field(void **state)
{
    (void)state;
    assert_int_equal(parse_with("/v2/a/b/blobs/" DIGEST, "quay.io"), OK);
    assert_int_equal(route.upstream, QUAY);
    assert_true(route.upstream_named);
    assert_string_equal(route.ns, "quay.io");
    assert_int_equal(parse_with("/v2/a/b/blobs/" DIGEST "?ns=docker.io", "quay.io"), OK);
    assert_int_equal(route.upstream, DOCKER_HUB);
    assert_int_equal(parse_with("/v2/a/b/blobs/" DIGEST, "evil.example"), ERR_NAMESPACE_UNKNOWN);
}

static void reference_parse__R8_knows_docker_hub_by_all_its_names(void **state)
{
    (void)state;
    assert_tag("/v2/docker.io/alpine/manifests/3", DOCKER_HUB, "library/alpine", "3");
    assert_tag("/v2/index.docker.io/alpine/manifests/3", DOCKER_HUB, "library/alpine", "3");
    assert_tag("/registry-1.docker.io/v2/alpine/manifests/3", DOCKER_HUB, "library/alpine", "3");
    assert_tag("/v2/alpine/manifests/3?ns=index.docker.io", DOCKER_HUB, "library/alpine", "3");
    assert_tag("/v2/alpine/manifests/3", -1, "library/alpine", "3");
    assert_tag("/v2/quay.io/alpine/manifests/3", QUAY, "alpine", "3");
    assert_tag("/v2/docker.io/a/b/manifests/3", DOCKER_HUB, "a/b", "3");
}

static void reference_parse__R10_refuses_registries_that_are_not_configured(void **state)
{
    (void)state;
    static const char *foreign[] = {
        "/v2/a/b/manifests/v1?ns=evil.example",
        "/v2/a/b/manifests/v1?ns=169.254.169.254",
        "/v2/a/b/manifests/v1?ns=docker.io%00",
        "/v2/a/b/manifests/v1?ns=docker.io%0d%0aX:y",
        "/v2/a/b/manifests/v1?ns=docker.io:443",
        "/v2/a/b/manifests/v1?ns=%zz",
        "/v2/evil.example/b/manifests/v1",
        "/v2/evil:5000/b/manifests/v1",
        "/v2/localhost/b/manifests/v1",
        "/evil.example/v2/a/b/manifests/v1",
        "/evil/v2/a/b/manifests/v1",
        "/../v2/a/b/manifests/v1",
        "/evil.example/v2/",
    };

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_int_equal(parse(foreign[i]), ERR_NAMESPACE_UNKNOWN);
        assert_string_equal(route.ns, "");
    }
}

static void reference_parse__P1_knows_a_ping_in_every_form(void **state)
{
    (void)state;
    static const char *pings[] = {"/v2/",
                                  "/v2",
                                  "/v2/?ns=docker.io",
                                  "/v2?ns=evil.example",
                                  "/docker.io/v2/",
                                  "/docker.io/v2",
                                  "/v2/docker.io/",
                                  "/v2/docker.io",
                                  "/v2/models/",
                                  "/models/v2/",
                                  "/v2/?ns=%zz",
                                  "/v2/reg.example%3A5000/?ns=quay.io"};

    for (size_t i = 0; i < sizeof(pings) / sizeof(pings[0]); i++) {
        assert_int_equal(parse(pings[i]), OK);
        assert_int_equal(route.kind, ROUTE_PING);
        assert_int_equal(route.upstream, -1);
        assert_false(route.upstream_named);
    }
    assert_string_equal(route.ns, "quay.io");
    assert_int_equal(parse("/v2/?ns=evil.example%0d%0a"), OK);
    assert_string_equal(route.ns, "");
}

static void reference_parse__reads_digests(void **state)
{
    (void)state;
    assert_int_equal(parse("/v2/a/b/manifests/" DIGEST), OK);
    assert_int_equal(route.kind, ROUTE_MANIFEST);
    assert_true(route.by_digest);
    assert_int_equal(route.digest.algorithm, DIGEST_SHA256);
    assert_int_equal(parse("/v2/a/b/blobs/sha512:" HEX64 HEX64), OK);
    assert_int_equal(route.digest.algorithm, DIGEST_SHA512);
    assert_int_equal(parse("/v2/a/b/blobs/sha256%3A" HEX64), OK);
    assert_int_equal(parse("/v2/a/b/blobs/sha256:abc"), ERR_DIGEST_INVALID);
    assert_int_equal(route.kind, ROUTE_BLOB);
    assert_int_equal(parse("/v2/a/b/blobs/latest"), ERR_DIGEST_INVALID);
    assert_int_equal(parse("/v2/a/b/manifests/md5:" HEX64), ERR_DIGEST_INVALID);
    assert_int_equal(parse("/v2/a/b/referrers/latest"), ERR_DIGEST_INVALID);
    assert_int_equal(parse("/v2/a/b/manifests/SHA256:" HEX64), ERR_DIGEST_INVALID);
}

/* M9: cosign's and the referrers' fallback tags are tags like others. */
static void reference_parse__reads_tags(void **state)
{
    (void)state;
    assert_tag("/v2/a/b/manifests/sha256-" HEX64 ".sig", -1, "a/b", "sha256-" HEX64 ".sig");
    assert_tag("/v2/a/b/manifests/_V1.0-x", -1, "a/b", "_V1.0-x");
    assert_int_equal(parse("/v2/a/b/manifests/-x"), ERR_TAG_INVALID);
    assert_int_equal(parse("/v2/a/b/manifests/.."), ERR_TAG_INVALID);
    assert_int_equal(parse("/v2/a/b/manifests/a%20b"), ERR_TAG_INVALID);
    assert_int_equal(parse("/v2/a/b/manifests/"), ERR_TAG_INVALID);
}

static void reference_parse__parses_from_the_right_end(void **state)
{
    (void)state;
    assert_tag("/v2/a/manifests/b/manifests/v1", -1, "a/manifests/b", "v1");
    assert_tag("/v2/blobs/tags/manifests/list", -1, "blobs/tags", "list");
    assert_tag("/v2/v2/a/manifests/v2", -1, "v2/a", "v2");
    assert_int_equal(parse("/v2/a/manifests/tags/list"), OK);
    assert_int_equal(route.kind, ROUTE_TAGS);
    assert_string_equal(route.repository, "a/manifests");
}

static void reference_parse__E7_E8_keeps_what_the_upstream_needs_of_the_query(void **state)
{
    (void)state;
    assert_int_equal(parse("/v2/a/b/tags/list?last=x%26y&ns=quay.io&foo=1&n=50"), OK);
    assert_int_equal(route.kind, ROUTE_TAGS);
    assert_int_equal(route.upstream, QUAY);
    assert_string_equal(route.query, "n=50&last=x%26y");
    assert_int_equal(parse("/v2/a/b/tags/list"), OK);
    assert_string_equal(route.query, "");
    assert_int_equal(parse("/v2/a/b/referrers/" DIGEST "?artifactType=application/x%2bjson&n=1"),
                     OK);
    assert_int_equal(route.kind, ROUTE_REFERRERS);
    assert_true(route.by_digest);
    assert_string_equal(route.query, "artifactType=application%2Fx%2Bjson");
    assert_int_equal(parse("/v2/a/b/tags/list?last=%zz"), ERR_BAD_REQUEST);
}

/* models.md 2: a hub's names in any case; its tags, which are branches, in their own. */
static void reference_parse__lowers_the_names_of_a_hub(void **state)
{
    (void)state;
    assert_tag("/v2/hf/Qwen/Qwen2.5-0.5B/manifests/latest", MODELS, "qwen/qwen2.5-0.5b", "latest");
    assert_tag("/hf/v2/GPT2/manifests/V1", MODELS, "gpt2", "V1");
    assert_tag("/v2/Datasets/Org/Name/manifests/main?ns=depot.ai", DEPOT, "datasets/org/name",
               "main");
    assert_tag("/v2/depot.ai/Some.Org/%4Dodel/manifests/main", DEPOT, "some.org/model", "main");
    assert_int_equal(parse("/v2/hf/Org/Model/blobs/" DIGEST), OK);
    assert_string_equal(route.repository, "org/model");
    assert_int_equal(parse("/v2/hf/Org/M\xc3\x84/manifests/v1"), ERR_NAME_INVALID);
    assert_int_equal(parse("/v2/quay.io/Org/model/manifests/v1"), ERR_NAME_INVALID);
    assert_int_equal(parse("/v2/Org/model/manifests/v1"), ERR_NAME_INVALID);
    config.default_index = MODELS;
    assert_tag("/v2/Org/Model/manifests/v1", -1, "org/model", "v1");
}

static void reference_parse__refuses_paths_that_escape(void **state)
{
    (void)state;
    static const char *names[] = {
        "/v2/../etc/manifests/v1",
        "/v2/a/../b/manifests/v1",
        "/v2/a/%2e%2e/b/manifests/v1",
        "/v2/a%2Fb/c/manifests/v1",
        "/v2/a//b/manifests/v1",
        "/v2//a/b/manifests/v1",
        "/v2/a/b//manifests/v1",
        "/v2/A/b/manifests/v1",
        "/v2/a/b%/manifests/v1",
        "/v2/a/b%00/manifests/v1",
        "/v2/a/b%0a/manifests/v1",
        "/v2/a/.b/manifests/v1",
        "/v2/docker.io/manifests/v1",
        "/v2/docker.io/manifests/v1?ns=docker.io",
        "*",
        "",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(parse(names[i]), ERR_NAME_INVALID);
}

static void reference_parse__refuses_other_paths(void **state)
{
    (void)state;
    static const char *paths[] = {"/",
                                  "/v1/",
                                  "/v2x/",
                                  "/v3/a/b/manifests/v1",
                                  "//v2/",
                                  "//v2/a/b/tags/list",
                                  "/v2//",
                                  "/v2/_catalog",
                                  "/v2/a",
                                  "/v2/a/b",
                                  "/v2/a/b/c/d",
                                  "/v2/a/blobs/uploads/",
                                  "/V2/",
                                  "/a/b/v2/",
                                  "/v2/manifests/x",
                                  "/v2/a/b/manifests/v1/",
                                  "/metrics",
                                  "/v2/a/tags/list/",
                                  "/v2/a/b/tags/lists"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(parse(paths[i]), ERR_ROUTE_UNKNOWN);
        assert_int_equal(route.kind, ROUTE_OTHER);
    }
}

/* 255 bytes are a name, 256 are not; and a path of any length costs nothing. */
static void reference_parse__limits_the_length(void **state)
{
    (void)state;
    struct buf target = {0};

    buf_append_text(&target, "/v2/quay.io/a");
    for (size_t i = 0; i < 127; i++)
        buf_append_text(&target, "/a");
    buf_append_text(&target, "/manifests/v1");
    assert_int_equal(parse(target.data), OK);
    assert_int_equal(strlen(route.repository), 255);
    for (int length = 255; length <= 257; length++) {
        buf_clear(&target);
        buf_printf(&target, "/v2/quay.io/%0*d/manifests/v1", length, 0);
        assert_int_equal(parse(target.data), length == 255 ? OK : ERR_NAME_INVALID);
        buf_clear(&target);
        buf_printf(&target, "/v2/quay.io/%0*d/a/manifests/v1", length - 2, 0);
        assert_int_equal(parse(target.data), length == 255 ? OK : ERR_NAME_INVALID);
    }
    buf_clear(&target);
    buf_append_text(&target, "/v2");
    for (size_t i = 0; i < 100000; i++)
        buf_append_text(&target, "/a");
    buf_append_text(&target, "/manifests/v1");
    assert_int_equal(parse(target.data), ERR_NAME_INVALID);
    buf_clear(&target);
    buf_printf(&target, "/v2/%0248d/manifests/v1", 0);
    assert_int_equal(parse(target.data), ERR_NAME_INVALID); /* with library/ in front */
    buf_release(&target);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reference_parse__R1_takes_the_upstream_from_ns),
        TEST(reference_parse__R2_takes_the_upstream_from_the_path),
        TEST(reference_parse__R3_takes_the_upstream_from_before_v2),
        TEST(reference_parse__R4_strips_a_prefix_that_agrees_with_ns),
        TEST(reference_parse__R5_falls_back_to_the_default_upstream),
        TEST(reference_parse__R6_takes_a_blob_without_upstream),
        TEST(reference_parse__R7_takes_the_upstream_from_a_field),
        TEST(reference_parse__R8_knows_docker_hub_by_all_its_names),
        TEST(reference_parse__R10_refuses_registries_that_are_not_configured),
        TEST(reference_parse__P1_knows_a_ping_in_every_form),
        TEST(reference_parse__reads_digests),
        TEST(reference_parse__reads_tags),
        TEST(reference_parse__parses_from_the_right_end),
        TEST(reference_parse__E7_E8_keeps_what_the_upstream_needs_of_the_query),
        TEST(reference_parse__lowers_the_names_of_a_hub),
        TEST(reference_parse__refuses_paths_that_escape),
        TEST(reference_parse__refuses_other_paths),
        TEST(reference_parse__limits_the_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
