#include "base/problem.h"

#include <ctype.h>
#include <stdarg.h>

enum {
    QUOTED_MAX = 80,  /* bytes of a peer's or person's text that a sentence repeats */
    NEAREST_MAX = 40, /* longer words are not compared: no key is as long */
};

enum err problem_set(struct buf *problem, const char *format, ...)
{
    va_list arguments;

    buf_clear(problem);
    va_start(arguments, format);
    buf_vprintf(problem, format, arguments);
    va_end(arguments);
    return ERR_CONFIG;
}

/* Appends it escaped. A terminal takes U+0080 to U+009F for commands, as it does those below
 * U+0020; JSON does not mind them. */
static void append_escaped(struct buf *problem, struct view text)
{
    size_t done = 0;

    for (size_t i = 0; i + 1 < text.length; i++) {
        unsigned char first = (unsigned char)text.data[i], next = (unsigned char)text.data[i + 1];
        if (first != 0xc2 || next < 0x80 || next > 0x9f)
            continue;
        buf_append_json(problem, (struct view){text.data + done, i - done});
        buf_printf(problem, "\\u%04x", next);
        done = i + 2;
    }
    buf_append_json(problem, (struct view){text.data + done, text.length - done});
}

void problem_quote(struct buf *problem, struct view text)
{
    struct view head = view_head(text, QUOTED_MAX);

    buf_append_text(problem, "\"");
    append_escaped(problem, head);
    buf_append_text(problem, head.length < text.length ? "...\"" : "\"");
}

void problem_name(struct buf *problem, const char *before, const char *name, const char *after)
{
    buf_append_text(problem, before);
    problem_quote(problem, view_of(name));
    buf_append_text(problem, after);
}

enum err problem_value(struct buf *problem, struct view value, const char *format, ...)
{
    va_list arguments;

    buf_clear(problem);
    problem_quote(problem, value);
    buf_append_text(problem, " ");
    va_start(arguments, format);
    buf_vprintf(problem, format, arguments);
    va_end(arguments);
    return ERR_CONFIG;
}

enum err problem_within(struct buf *problem, const char *format, ...)
{
    struct buf whole = {0};
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(&whole, format, arguments);
    va_end(arguments);
    buf_append_view(&whole, view_of_buf(problem));
    buf_release(problem);
    *problem = whole;
    return ERR_CONFIG;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool is_same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Levenshtein's distance, letters compared in any case; one row of its matrix is enough. */
static size_t distance(struct view a, struct view b)
{
    size_t row[NEAREST_MAX + 1];

    for (size_t j = 0; j <= b.length; j++)
        row[j] = j;
    for (size_t i = 0; i < a.length; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.length; j++) {
            size_t replaced = diagonal + (is_same_letter(a.data[i], b.data[j]) ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = smaller(replaced, 1 + smaller(diagonal, row[j]));
        }
    }
    return row[b.length];
}

const char *problem_nearest(struct view word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t least = word.length / 3 < 2 ? 2 : word.length / 3;

    if (word.length < 2 || word.length > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct view candidate = view_of(words[i]);
        if (candidate.length > NEAREST_MAX)
            continue;
        size_t away = distance(word, candidate);
        if (away < least || (away == least && nearest == NULL)) {
            nearest = words[i];
            least = away;
        }
    }
    return nearest;
}

enum err problem_unknown(struct buf *problem, const char *what, struct view word,
                         const char *const *words, size_t count)
{
    const char *nearest = problem_nearest(word, words, count);

    buf_clear(problem);
    buf_printf(problem, "unknown %s ", what);
    problem_quote(problem, word);
    if (nearest != NULL)
        buf_printf(problem, "; did you mean \"%s\"?", nearest);
    return ERR_CONFIG;
}
