/* Unit tests of what people call a hub's image. */
#include "wire/hub_image.h"

#include "config_helpers.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define DIGEST "sha256:" COMMIT "0123456789abcdef01234567"

static int setup_hubs(void **state)
{
    struct buf text = {0};

    (void)setup(state);
    buf_append_text(&text, "upstreams:\n"
                           "  docker.io: {}\n"
                           "  hf: {}\n"
                           "  depot.ai: {type: huggingface}\n"
                           "  reg.example:5000: {}\n");
    assert_ok(config_read_text(&config, view_of_buf(&text), "test.yaml", &problem));
    buf_release(&text);
    return 0;
}

static void hub_image_parse__knows_all_ways_to_write_it(void **state)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"hf/org/model", "hf/org/model:latest"},
        {"org/model", "hf/org/model:latest"},
        {"gpt2", "hf/gpt2:latest"},
        {"hf/gpt2:main", "hf/gpt2:main"},
        {"Org/Model:V1", "hf/org/model:V1"},
        {"HF/org/model", "hf/org/model:latest"},
        {"depot.ai/org/model", "depot.ai/org/model:latest"},
        {"datasets/org/name:v1.0", "hf/datasets/org/name:v1.0"},
        {"hf/datasets/squad", "hf/datasets/squad:latest"},
        {"127.0.0.1:5000/hf/org/model:tag", "hf/org/model:tag"},
        {"mirror.example/depot.ai/org/model", "depot.ai/org/model:latest"},
        {"huggingface.co/Org/Model", "hf/org/model:latest"},
        {"localhost/org/model:refs--pr--1", "hf/org/model:refs--pr--1"},
        {"org/model:" COMMIT, "hf/org/model:" COMMIT},
        {"org/model@" DIGEST, "hf/org/model:latest"},
        {"org/model:v1@" DIGEST, "hf/org/model:v1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[HUB_IMAGE_SIZE];
        struct hub_image image;
        if (!hub_image_parse(&config, view_of(rows[i].text), &image, &problem))
            fail_msg("%s: %s", rows[i].text, problem.data);
        assert_string_equal(hub_image_print(&config, &image, out), rows[i].printed);
        assert_int_equal(image.by_digest, strchr(rows[i].text, '@') != NULL);
    }
}

static void hub_image_parse__says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "empty"},
        {"/", "hf/org/model"},
        {"hf/", "hf/org/model"},
        {"a/b/c", "hf/org/model"},
        {"hf/a/b/c", "hf/org/model"},
        {"spaces/org/x", "hf/org/model"},
        {"a b", "hf/org/model"},
        {"a\"b", "\\\""},
        {"../x", "hf/org/model"},
        {"docker.io/library/x", "docker.io is a registry"},
        {"127.0.0.1:5000/docker.io/library/x", "docker.io is a registry"},
        {"reg.example:5000/org/model", "is a registry"},
        {"org/model:", "no revision"},
        {"org/model:a/b", "hf/org/model"},
        {"org/model:a:b", "no revision"},
        {"org/model:---", "no revision"},
        {"org/model@", "no digest"},
        {"org/model@sha256:12", "no digest"},
        {"org/model@" DIGEST "@" DIGEST, "no digest"},
        {"@" DIGEST, "hf/org/model"},
        {":", "no revision"},
    };
    struct hub_image image = {.tag = "untouched"};
    char longest[2000];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&problem);
        if (hub_image_parse(&config, view_of(rows[i].text), &image, &problem))
            fail_msg("%s is taken", rows[i].text);
        if (strstr(problem.data, rows[i].part) == NULL)
            fail_msg("%s: \"%s\" is not in: %s", rows[i].text, rows[i].part, problem.data);
    }
    memset(longest, 'a', sizeof(longest));
    assert_false(
        hub_image_parse(&config, (struct view){longest, sizeof(longest)}, &image, &problem));
    assert_string_equal(image.tag, "untouched");
}

static void hub_image_parse__needs_a_hub(void **state)
{
    struct hub_image image;

    (void)state;
    assert_ok(add("docker.io"));
    assert_false(hub_image_parse(&config, VIEW("org/model"), &image, &problem));
    assert_non_null(strstr(problem.data, "{type: huggingface}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hub_image_parse__knows_all_ways_to_write_it, setup_hubs,
                                        teardown),
        cmocka_unit_test_setup_teardown(hub_image_parse__says_what_is_wrong, setup_hubs, teardown),
        cmocka_unit_test_setup_teardown(hub_image_parse__needs_a_hub, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
