#include "model/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The part of [at, at + length) that is wanted, from the first byte put; 0 when none is. */
static uint64_t wanted(const struct window *window, uint64_t length, uint64_t *ret_skip)
{
    uint64_t start = window->at > window->start ? window->at : window->start;
    uint64_t end = window->at + length < window->end ? window->at + length : window->end;

    *ret_skip = start - window->at;
    return start < end ? end - start : 0;
}

void window_put(struct window *window, const void *data, size_t length)
{
    uint64_t skip, count = wanted(window, length, &skip);

    if (count > 0)
        memcpy(window->out + (window->at + skip - window->start), (const uint8_t *)data + skip,
               count);
    window->at += length;
}

void window_put_view(struct window *window, struct view view)
{
    window_put(window, view.data, view.length);
}

void window_put_zeros(struct window *window, uint64_t count)
{
    uint64_t skip, length = wanted(window, count, &skip);

    if (length > 0)
        memset(window->out + (window->at + skip - window->start), 0, length);
    window->at += count;
}

void window_put_number(struct window *window, uint64_t number)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%" PRIu64, number);

    window_put(window, text, (size_t)length);
}
