#ifndef WIRE_RANGE_H
#define WIRE_RANGE_H

/*
 * Range and Content-Range (RFC 9110 14). Pure; fuzzed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/extents.h"

enum range_shape {
    RANGE_CLOSED, /* bytes=first-last */
    RANGE_OPEN,   /* bytes=first-      */
    RANGE_SUFFIX, /* bytes=-last: the last `last` bytes */
};

struct range_spec {
    enum range_shape shape;
    uint64_t first;
    uint64_t last; /* inclusive for CLOSED; the length for SUFFIX */
};

enum range_answer {
    RANGE_NONE, /* no Range, or one that is to be ignored (RFC 9110 14.2: invalid, other unit) */
    RANGE_SOME, /* `*ret_count` specs, in the order of the request */
    RANGE_TOO_MANY, /* more than `capacity`: refuse with 400 (clients.md B7, P7) */
};

/* Parses a Range field's value into `specs`. `*ret_count` is set on RANGE_SOME only. */
enum range_answer range_parse(struct view value, struct range_spec *specs, size_t capacity,
                              size_t *ret_count);

/* The bytes that `spec` means in a representation of `size` bytes; false when none of it is there
 * (RFC 9110 14.1.2: first-pos beyond the end, or a suffix of length 0). */
bool range_resolve(const struct range_spec *spec, uint64_t size, struct extent *ret_extent);

/*
 * Parses "bytes 0-9/100". The size is UINT64_MAX for "bytes 0-9/" followed by an asterisk; the
 * extent is empty (0, 0) for the unsatisfied form, an asterisk in place of the range. False when it
 * is malformed, or when the range does not lie inside the size.
 */
bool range_parse_content_range(struct view value, struct extent *ret_extent, uint64_t *ret_size);

#endif
