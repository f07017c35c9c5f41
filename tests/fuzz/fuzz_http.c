/* Fuzzes request heads: fed whole, in pieces, and from a buffer that moves, they mean the same. */
#include "wire/http.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct http_request whole, pieces;

static void check_views(const struct http_request *request, const char *data, size_t length)
{
    CHECK(request->head_length <= length && request->field_count <= HTTP_FIELDS_MAX);
    CHECK(view_ends_with((struct view){data, request->head_length}, VIEW("\r\n\r\n")));
    CHECK(request->method == HTTP_METHOD_OTHER || request->target.data[0] == '/');
    for (size_t i = 0; i < request->field_count; i++) {
        struct view name = request->fields[i].name, value = request->fields[i].value;
        CHECK(name.length > 0 && name.data > data);
        CHECK(value.length == 0 || value.data > name.data + name.length);
        CHECK(value.length == 0 || value.data + value.length < data + request->head_length);
        for (size_t k = 0; k < value.length; k++) {
            unsigned char c = (unsigned char)value.data[k];
            CHECK((c >= ' ' || c == '\t') && c != 0x7f);
        }
    }
}

static void check_same(const struct http_request *a, const struct http_request *b)
{
    CHECK(a->method == b->method && a->head_length == b->head_length);
    CHECK(a->keep_alive == b->keep_alive && a->has_body == b->has_body);
    CHECK(view_equal(a->target, b->target) && a->field_count == b->field_count);
    for (size_t i = 0; i < a->field_count; i++) {
        CHECK(view_equal(a->fields[i].name, b->fields[i].name));
        CHECK(view_equal(a->fields[i].value, b->fields[i].value));
    }
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct http_parser parser;
    enum http_progress progress = HTTP_MORE;

    if (size == 0)
        return 0;
    size_t step = 1 + input[0] % 32, length = size - 1;
    const char *data = (const char *)input + 1;
    http_parser_init(&parser);
    enum http_progress expected = http_parser_feed(&parser, data, length, &whole);
    CHECK((expected == HTTP_BAD) == (http_parser_problem(&parser) != NULL));
    if (expected == HTTP_DONE)
        check_views(&whole, data, length);
    http_parser_init(&parser);
    for (size_t fed = 0; progress == HTTP_MORE && fed < length;) {
        fed = length - fed < step ? length : fed + step;
        char *copy = check_malloc(fed);
        memcpy(copy, data, fed);
        progress = http_parser_feed(&parser, copy, fed, &pieces);
        if (progress == HTTP_DONE)
            check_same(&whole, &pieces);
        free(copy);
    }
    CHECK(progress == expected);
    return 0;
}
