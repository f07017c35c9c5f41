#include "base/grammar.h"

#include <string.h>

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_letter_or_digit(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* The length of a separator of the repository grammar at the front: '.', '_', "__", or dashes. */
static size_t separator_length(struct view rest)
{
    size_t length = 0;

    if (rest.length > 0 && rest.data[0] == '.')
        return 1;
    if (rest.length > 0 && rest.data[0] == '_')
        return rest.length > 1 && rest.data[1] == '_' ? 2 : 1;
    while (length < rest.length && rest.data[length] == '-')
        length++;
    return length;
}

/* distribution-spec, "Pulling manifests": [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool is_repository_component(struct view rest)
{
    for (;;) {
        size_t length = 0;
        while (length < rest.length && is_lower_or_digit(rest.data[length]))
            length++;
        if (length == 0)
            return false;
        rest = (struct view){rest.data + length, rest.length - length};
        if (rest.length == 0)
            return true;
        length = separator_length(rest);
        if (length == 0)
            return false;
        rest = (struct view){rest.data + length, rest.length - length};
    }
}

bool grammar_is_repository(struct view text)
{
    if (text.length == 0 || text.length >= GRAMMAR_REPOSITORY_SIZE ||
        text.data[text.length - 1] == '/')
        return false;
    while (text.length > 0)
        if (!is_repository_component(view_cut(&text, '/')))
            return false;
    return true;
}

bool grammar_is_tag(struct view text)
{
    if (text.length == 0 || text.length >= GRAMMAR_TAG_SIZE)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool is_word = is_letter_or_digit(c) || c == '_';
        if (!is_word && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return true;
}

void grammar_lower(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c | ' ');
}

bool grammar_is_host(struct view text)
{
    if (text.length == 0 || !is_letter_or_digit(text.data[0]))
        return false;
    return view_equal(text, VIEW("localhost")) || memchr(text.data, '.', text.length) != NULL ||
           memchr(text.data, ':', text.length) != NULL;
}
