/* Fuzzes patterns of images: what is taken is made of parts that could name one, and matches the
 * name it becomes when its stars are filled in; what is refused is refused in one line. */
#include "base/pattern.h"

#include <string.h>

#include "base/check.h"
#include "base/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void fill_in(struct view glob, char *out)
{
    CHECK(view_copy(glob, out, PATTERN_LENGTH_MAX + 1));
    for (char *at = out; *at != '\0'; at++)
        if (*at == '*')
            *at = 'a';
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct config_upstream upstream = {.name = (char[]){"r.example"}};
    char repository[PATTERN_LENGTH_MAX + 1], tag[PATTERN_LENGTH_MAX + 1];
    struct pattern pattern;
    struct buf problem = {0};

    if (pattern_parse((struct view){(const char *)input, size}, &pattern, &problem) != OK) {
        CHECK(problem.length > 0 && memchr(problem.data, '\n', problem.length) == NULL);
        buf_release(&problem);
        return 0;
    }
    for (size_t i = 0; i < size;
         i++) /* the list has spaces or commas between them, and is printed */
        CHECK(input[i] > ' ' && input[i] <= '~' && input[i] != ',');
    CHECK(pattern.registry.length == 0 || grammar_is_host(pattern.registry));
    fill_in(pattern.repository, repository);
    fill_in(pattern.tag, tag);
    CHECK(grammar_is_repository(view_of(repository)));
    CHECK(tag[0] == '\0' || grammar_is_tag(view_of(tag)));
    pattern.upstream = &upstream;
    CHECK(pattern_means(&pattern, "r.example", repository, tag) != pattern.by_digest);
    CHECK(!pattern_means(&pattern, "q.example", repository, tag));
    return 0;
}
