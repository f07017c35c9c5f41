/* Unit tests of what people call a hub's image. */
#include "wire/hub_image.h"

#include <stdio.h>

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
        {"huggingface.co/gpt2", "hf/gpt2:latest"},
        {"HuggingFace.co/gpt2:main", "hf/gpt2:main"},
        {"localhost/gpt2", "hf/gpt2:latest"},
        {"127.0.0.1:5000/gpt2", "hf/gpt2:latest"},
        {"mirror.example/hf/gpt2", "hf/gpt2:latest"},
        {"Some.Org/Model", "hf/some.org/model:latest"},
        {"some.org/model:v1@" DIGEST, "hf/some.org/model:v1"},
        {"hf/Some.Org/model", "hf/some.org/model:latest"},
        {"depot.ai/some.org/model", "depot.ai/some.org/model:latest"},
        {"mirror.example/some.org/model", "hf/some.org/model:latest"},
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

/* What is found in a query or a body: the name, "" for none, or what is wrong. */
static const char *found(bool (*find)(struct view text, char *name, struct buf *problem),
                         const char *text)
{
    static char name[HUB_IMAGE_SIZE];

    buf_clear(&problem);
    if (find(view_of(text), name, &problem)) {
        assert_int_equal(problem.length, 0);
        return name;
    }
    return problem.length > 0 ? problem.data : "";
}

static void hub_image_in_query__takes_the_first(void **state)
{
    (void)state;
    assert_string_equal(found(hub_image_in_query, "a=b&image=hf%2Fa/b%3Av1&image=c"), "hf/a/b:v1");
    assert_string_equal(found(hub_image_in_query, "image="), "");
    assert_string_equal(found(hub_image_in_query, "images=a"), "");
    assert_string_equal(found(hub_image_in_query, ""), "");
    assert_non_null(strstr(found(hub_image_in_query, "image=%zz"), "wrongly encoded"));
}

static void hub_image_in_body__knows_forms_and_json(void **state)
{
    static const struct {
        const char *body, *name;
    } rows[] = {
        {"image=hf/org/model", "hf/org/model"},
        {"\r\n image=hf%2Forg%2Fmodel:v1\r\n", "hf/org/model:v1"},
        {"{\"image\": \"hf/org/model\"}", "hf/org/model"},
        {" \n{\"image\":\"Org\\/Model:v1\"}\n", "Org/Model:v1"},
        {"{\"image\": \"\"}", ""},
        {"hf/org/model", ""},
        {"", ""},
        {" ", ""},
        {"{\"image\": 7}", "the body is to be {\"image\": \"hf/org/model:tag\"}"},
        {"{}", "the body is to be {\"image\": \"hf/org/model:tag\"}"},
        {"{\"image\": \"a\", \"tag\": \"b\"}",
         "the body is to be {\"image\": \"hf/org/model:tag\"}"},
        {"{\"image\": \"a", "the body ends in the middle"},
        {"{\"image\": \"a\\u0000b\"}", "the body holds a NUL"},
        {"image=a%00b", "the image's name is too long, or wrongly encoded"},
    };
    char longest[HUB_IMAGE_SIZE + 20];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(found(hub_image_in_body, rows[i].body), rows[i].name);
    (void)snprintf(longest, sizeof(longest), "{\"image\":\"%0*d\"}", HUB_IMAGE_SIZE, 1);
    assert_string_equal(found(hub_image_in_body, longest), "the image's name is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hub_image_parse__knows_all_ways_to_write_it, setup_hubs,
                                        teardown),
        cmocka_unit_test_setup_teardown(hub_image_parse__says_what_is_wrong, setup_hubs, teardown),
        cmocka_unit_test_setup_teardown(hub_image_parse__needs_a_hub, setup, teardown),
        cmocka_unit_test_setup_teardown(hub_image_in_query__takes_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(hub_image_in_body__knows_forms_and_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
