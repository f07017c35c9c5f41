/* Fuzzes what people call a hub's image: it is refused with a line, or what it prints as means the
 * same. */
#include "wire/hub_image.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct config *the_config(void)
{
    static struct config config;
    struct buf problem = {0};

    if (config.upstream_count > 0)
        return &config;
    config_init(&config);
    CHECK(config_read_text(&config, VIEW("upstreams: {docker.io: {}, hf: {}}\n"), "fuzz.yaml",
                           &problem) == OK);
    return &config;
}

/* A name that is found fits; one that is not there is no problem. */
static void fuzz_http(struct view text)
{
    char name[HUB_IMAGE_SIZE];
    struct buf problem = {0};

    if (hub_image_in_query(text, name, &problem) || hub_image_in_body(text, name, &problem))
        CHECK(strnlen(name, sizeof(name)) < sizeof(name));
    CHECK(problem.length == 0 || memchr(problem.data, '\n', problem.length) == NULL);
    buf_release(&problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const struct config *config = the_config();
    char out[HUB_IMAGE_SIZE], again[HUB_IMAGE_SIZE];
    struct hub_image image, same;
    struct buf problem = {0};

    if (hub_image_parse(config, (struct view){(const char *)input, size}, &image, &problem)) {
        CHECK(problem.length == 0 && config->upstreams[image.upstream].is_hub);
        (void)hub_image_print(config, &image, out);
        CHECK(hub_image_parse(config, view_of(out), &same, &problem));
        CHECK(strcmp(hub_image_print(config, &same, again), out) == 0);
        CHECK(strcmp(same.repository, image.repository) == 0);
    } else {
        CHECK(problem.length > 0 && memchr(problem.data, '\n', problem.length) == NULL);
    }
    buf_release(&problem);
    fuzz_http((struct view){(const char *)input, size});
    return 0;
}
