/* Any text as a configuration file: it is refused with one line, or printing it and reading that
 * gives the same again (unless a password was hidden). */
#include "base/config.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err read_and_print(struct view text, struct buf *out, struct buf *problem)
{
    struct config config;

    config_init(&config);
    enum err err = config_read_text(&config, text, "fuzz.yaml", problem);
    if (err == OK)
        config_print(&config, out);
    config_release(&config);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = {0}, second = {0}, problem = {0};

    if (read_and_print((struct view){(const char *)data, size}, &first, &problem) != OK) {
        CHECK(problem.length > 0 && memchr(problem.data, '\n', problem.length) == NULL);
    } else if (read_and_print(view_of_buf(&first), &second, &problem) == OK) {
        CHECK(view_equal(view_of_buf(&first), view_of_buf(&second)));
    } else {
        CHECK(strstr(problem.data, CONFIG_HIDDEN) != NULL);
    }
    buf_release(&first);
    buf_release(&second);
    buf_release(&problem);
    return 0;
}
