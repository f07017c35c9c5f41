#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * Growable bytes (`buf`) and borrowed ones (`view`).
 *
 * A view never owns: it is valid as long as what it was made from. It need not end in a NUL.
 * An all-zero buf is a valid empty one; a non-empty buf always has a NUL after its last byte, so
 * that `data` can be handed to C functions.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
    const char *data; /* borrowed; may be NULL only when length is 0 */
    size_t length;
};

struct buf {
    char *data; /* owned */
    size_t length;
    size_t capacity;
};

#define VIEW(literal) ((struct view){"" literal, sizeof(literal) - 1})

struct view view_of(const char *text); /* of a C string; NULL gives the empty view */
struct view view_of_buf(const struct buf *buf);
bool view_equal(struct view a, struct view b);
bool view_equal_nocase(struct view a, struct view b); /* ASCII only */
bool view_starts_with(struct view view, struct view prefix);
bool view_ends_with(struct view view, struct view suffix);

/* Its beginning, of at most `most` bytes, that does not end within a character of UTF-8. */
struct view view_head(struct view view, size_t most);

/* The view without blanks and tabs at both ends. */
struct view view_trim(struct view view);

/*
 * Cuts `*rest` at the first `separator`: returns what is before it and leaves what is after it in
 * `*rest`. Without a separator the whole is returned and `*rest` becomes empty.
 */
struct view view_cut(struct view *rest, char separator);

/* Parses a whole view of decimal digits; false when it is empty, too large or holds anything else.
 */
bool view_to_uint64(struct view view, uint64_t *ret_value);

/* Copies `view` to a fresh C string, which the caller frees. Stops at an embedded NUL's byte count.
 */
char *view_dup(struct view view);

/* Copies into `out` with a NUL; false, leaving `out` empty, when it does not fit. */
bool view_copy(struct view view, char *out, size_t out_size);

void buf_release(struct buf *buf);

/* Empties, keeping the memory. */
void buf_clear(struct buf *buf);
void buf_append(struct buf *buf, const void *data, size_t length);
void buf_append_view(struct buf *buf, struct view view);
void buf_append_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Makes room for `more` bytes behind the end; `data + length` may then be written by the caller,
 * who adds what was written to `length`. */
void buf_reserve(struct buf *buf, size_t more);

/* Drops the first `count` bytes. */
void buf_consume(struct buf *buf, size_t count);

/* Appends `view` as the inside of a JSON string (no quotes): escapes what JSON demands, and
 * replaces bytes that are not UTF-8 by U+FFFD, so that the line stays valid whatever a peer sent.
 * Digests depend on it (model/image): it can never change.
 */
void buf_append_json(struct buf *buf, struct view view);

#endif
