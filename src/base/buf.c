#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

struct view view_of(const char *text)
{
    return (struct view){text, text == NULL ? 0 : strlen(text)};
}

struct view view_of_buf(const struct buf *buf)
{
    return (struct view){buf->data, buf->length};
}

bool view_equal(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool view_equal_nocase(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || strncasecmp(a.data, b.data, a.length) == 0);
}

bool view_starts_with(struct view view, struct view prefix)
{
    return view.length >= prefix.length &&
           view_equal((struct view){view.data, prefix.length}, prefix);
}

bool view_ends_with(struct view view, struct view suffix)
{
    if (view.length < suffix.length)
        return false;
    return view_equal((struct view){view.data + (view.length - suffix.length), suffix.length},
                      suffix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct view view_head(struct view view, size_t most)
{
    size_t length = most;

    if (view.length <= most)
        return view;
    while (length > 0 && most - length < 3 && ((unsigned char)view.data[length] & 0xc0) == 0x80)
        length--;
    return (struct view){view.data, length};
}

struct view view_trim(struct view view)
{
    while (view.length > 0 && is_blank(view.data[0])) {
        view.data++;
        view.length--;
    }
    while (view.length > 0 && is_blank(view.data[view.length - 1]))
        view.length--;
    return view;
}

struct view view_cut(struct view *rest, char separator)
{
    struct view whole = *rest;
    const char *at = whole.length == 0 ? NULL : memchr(whole.data, separator, whole.length);

    if (at == NULL) {
        *rest = (struct view){NULL, 0};
        return whole;
    }
    size_t before = (size_t)(at - whole.data);
    *rest = (struct view){at + 1, whole.length - before - 1};
    return (struct view){whole.data, before};
}

bool view_to_uint64(struct view view, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (view.length == 0)
        return false;
    for (size_t i = 0; i < view.length; i++) {
        unsigned digit = (unsigned char)view.data[i] - (unsigned)'0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

char *view_dup(struct view view)
{
    char *copy = check_malloc(view.length + 1);

    if (view.length > 0)
        memcpy(copy, view.data, view.length);
    copy[view.length] = '\0';
    return copy;
}

bool view_copy(struct view view, char *out, size_t out_size)
{
    CHECK(out_size > 0);
    out[0] = '\0';
    if (view.length >= out_size)
        return false;
    if (view.length > 0)
        memcpy(out, view.data, view.length);
    out[view.length] = '\0';
    return true;
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->length = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t more)
{
    size_t needed = buf->length + more + 1; /* the NUL */

    CHECK(needed > more);
    if (needed <= buf->capacity)
        return;
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < needed)
        capacity *= 2;
    buf->data = check_realloc(buf->data, capacity);
    buf->capacity = capacity;
    buf->data[buf->length] = '\0';
}

void buf_append(struct buf *buf, const void *data, size_t length)
{
    buf_reserve(buf, length);
    if (length > 0)
        memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void buf_append_view(struct buf *buf, struct view view)
{
    buf_append(buf, view.data, view.length);
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_vprintf(struct buf *buf, const char *format, va_list arguments)
{
    va_list again;

    buf_reserve(buf, 128);
    va_copy(again, arguments);
    size_t room = buf->capacity - buf->length;
    int length = vsnprintf(buf->data + buf->length, room, format, again);
    va_end(again);
    CHECK(length >= 0);
    if ((size_t)length >= room) {
        buf_reserve(buf, (size_t)length);
        (void)vsnprintf(buf->data + buf->length, (size_t)length + 1, format, arguments);
    }
    buf->length += (size_t)length;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    buf_vprintf(buf, format, arguments);
    va_end(arguments);
}

void buf_consume(struct buf *buf, size_t count)
{
    CHECK(count <= buf->length);
    if (count == 0)
        return;
    memmove(buf->data, buf->data + count, buf->length - count);
    buf->length -= count;
    buf->data[buf->length] = '\0';
}

/* Length of the well-formed UTF-8 sequence at the start of `view`, or 0 (Unicode 15, table 3-7). */
static size_t utf8_length(struct view view)
{
    const unsigned char *s = (const unsigned char *)view.data;
    unsigned char low = 0x80, high = 0xbf;
    size_t length;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        length = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        length = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (length > view.length)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return length;
}

static bool is_plain_json(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void buf_append_json(struct buf *buf, struct view view)
{
    while (view.length > 0) {
        size_t plain = 0;
        while (plain < view.length && is_plain_json((unsigned char)view.data[plain]))
            plain++;
        buf_append(buf, view.data, plain);
        view.data += plain;
        view.length -= plain;
        if (view.length == 0)
            return;
        unsigned char c = (unsigned char)view.data[0];
        size_t taken = utf8_length(view);
        if (c == '"' || c == '\\')
            buf_printf(buf, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(buf, "\\u%04x", c);
        else if (taken == 0)
            buf_append_text(buf, "\\ufffd");
        else
            buf_append(buf, view.data, taken);
        view.data += taken == 0 ? 1 : taken;
        view.length -= taken == 0 ? 1 : taken;
    }
}
