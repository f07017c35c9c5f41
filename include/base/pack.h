#ifndef BASE_PACK_H
#define BASE_PACK_H

/*
 * Short bytes for values that are kept on disk: whole numbers as LEB128, texts and lists with their
 * length before them, a digest as its algorithm and its bytes. What is read may be anything: a
 * cursor never reads behind its end, and remembers that something was wrong. Pure. Thread: any.
 *
 *   pack_put_number(&out, VERSION);                   cursor = pack_begin(bytes, VERSION);
 *   pack_put_text(&out, name);                        pack_get_text(&cursor, name, sizeof(name));
 *                                                     if (!pack_is_done(&cursor)) ... not such
 * bytes
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"

void pack_put_number(struct buf *out, uint64_t value);
void pack_put_text(struct buf *out, const char *text);
void pack_put_view(struct buf *out, struct view view); /* its length before it */
void pack_put_digest(struct buf *out, const struct digest *digest);

/* Where reading is. Once bad it stays bad, and gives zeros and empty texts. */
struct pack_cursor {
    struct view rest; /* borrowed */
    bool bad;
};

/* Bad when the bytes do not begin with this number. */
struct pack_cursor pack_begin(struct view bytes, uint64_t version);

uint64_t pack_get_number(struct pack_cursor *cursor);
bool pack_get_bool(struct pack_cursor *cursor); /* bad when neither 0 nor 1 */
void pack_get_bytes(struct pack_cursor *cursor, void *into, size_t length);
struct view pack_get_view(struct pack_cursor *cursor); /* borrowed from the bytes */

/* Bad when the text does not fit with its NUL, or holds one. */
void pack_get_text(struct pack_cursor *cursor, char *into, size_t size);
void pack_get_digest(struct pack_cursor *cursor, struct digest *digest);

/* Whether all was read and nothing was wrong. */
bool pack_is_done(const struct pack_cursor *cursor);

#endif
