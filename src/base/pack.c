#include "base/pack.h"

#include <string.h>

void pack_put_number(struct buf *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t length = 0;

    do {
        bytes[length++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    buf_append(out, bytes, length);
}

void pack_put_text(struct buf *out, const char *text)
{
    pack_put_view(out, view_of(text));
}

void pack_put_view(struct buf *out, struct view view)
{
    pack_put_number(out, view.length);
    buf_append_view(out, view);
}

void pack_put_digest(struct buf *out, const struct digest *digest)
{
    pack_put_number(out, digest->algorithm);
    buf_append(out, digest->bytes, digest_length(digest));
}

struct pack_cursor pack_begin(struct view bytes, uint64_t version)
{
    struct pack_cursor cursor = {.rest = bytes};

    cursor.bad |= pack_get_number(&cursor) != version;
    return cursor;
}

uint64_t pack_get_number(struct pack_cursor *cursor)
{
    uint64_t value = 0;

    for (unsigned shift = 0; !cursor->bad && shift < 64 && cursor->rest.length > 0; shift += 7) {
        unsigned char byte = (unsigned char)cursor->rest.data[0];
        cursor->rest.data++;
        cursor->rest.length--;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    cursor->bad = true;
    return 0;
}

bool pack_get_bool(struct pack_cursor *cursor)
{
    uint64_t value = pack_get_number(cursor);

    cursor->bad |= value > 1;
    return value == 1;
}

/* Takes `length` bytes; none when there are not as many. */
static struct view take(struct pack_cursor *cursor, uint64_t length)
{
    struct view taken = {NULL, 0};

    cursor->bad |= length > cursor->rest.length;
    if (cursor->bad || length == 0)
        return taken;
    taken = (struct view){cursor->rest.data, (size_t)length};
    cursor->rest.data += length;
    cursor->rest.length -= (size_t)length;
    return taken;
}

void pack_get_bytes(struct pack_cursor *cursor, void *into, size_t length)
{
    struct view taken = take(cursor, length);

    if (taken.length > 0)
        memcpy(into, taken.data, taken.length);
    else
        memset(into, 0, length);
}

struct view pack_get_view(struct pack_cursor *cursor)
{
    return take(cursor, pack_get_number(cursor));
}

void pack_get_text(struct pack_cursor *cursor, char *into, size_t size)
{
    struct view text = pack_get_view(cursor);

    cursor->bad |= !view_copy(text, into, size) || strlen(into) != text.length;
}

void pack_get_digest(struct pack_cursor *cursor, struct digest *digest)
{
    uint64_t algorithm = pack_get_number(cursor);

    cursor->bad |= algorithm > DIGEST_SHA512;
    *digest = (struct digest){.algorithm =
                                  cursor->bad ? DIGEST_SHA256 : (enum digest_algorithm)algorithm};
    pack_get_bytes(cursor, digest->bytes, digest_length(digest));
}

bool pack_is_done(const struct pack_cursor *cursor)
{
    return !cursor->bad && cursor->rest.length == 0;
}
