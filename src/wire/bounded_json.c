#include "wire/bounded_json.h"

#include <stdbool.h>

/* The index of the byte behind the string that starts at `i`. */
static size_t skip_string(struct view text, size_t i)
{
    for (i++; i < text.length && text.data[i] != '"'; i++)
        if (text.data[i] == '\\')
            i++;
    return i + 1;
}

/* Whether parsing it takes a bounded amount of memory and stack. Says nothing about its syntax. */
static bool is_bounded(struct view text, const struct bounded_json_limits *limits)
{
    size_t depth = 0, containers = 0, values = 0;

    for (size_t i = 0; i < text.length;) {
        char c = text.data[i];
        if (c == '"') {
            i = skip_string(text, i);
            continue;
        }
        i++;
        if (c == '{' || c == '[') {
            containers++;
            depth++;
        } else if (c == ',' || c == ':') {
            values++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
        if (depth > BOUNDED_JSON_DEPTH_MAX || containers > limits->containers ||
            values > limits->values)
            return false;
    }
    return true;
}

static const char *fault_of(const json_error_t *error)
{
    static const struct {
        enum json_error_code code;
        const char *fault;
    } rows[] = {
        {json_error_numeric_overflow, "holds a number that is too large"},
        {json_error_null_character, "holds a NUL"},
        {json_error_null_byte_in_key, "holds a NUL"},
        {json_error_invalid_utf8, "is not UTF-8"},
        {json_error_premature_end_of_input, "ends in the middle"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == json_error_code(error))
            return rows[i].fault;
    return "is not JSON";
}

json_t *bounded_json_load(struct view text, const struct bounded_json_limits *limits,
                          const char **ret_fault)
{
    const char *fault = NULL;
    json_t *root = NULL;
    json_error_t error;

    if (text.length == 0) {
        fault = "is empty";
    } else if (!is_bounded(text, limits)) {
        fault = "holds too many values, or nests too deep";
    } else {
        root = json_loadb(text.data, text.length, limits->flags, &error);
        if (root == NULL)
            fault = fault_of(&error);
    }
    if (fault != NULL && ret_fault != NULL)
        *ret_fault = fault;
    return root;
}
