#ifndef SERVE_SELECTION_H
#define SERVE_SELECTION_H

/*
 * Which bytes of a blob a request is for: all of it, or the ranges of its Range field (RFC
 * 9110 14.2), resolved when the size is known. Pure. All-zero: all of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/extents.h"
#include "wire/range.h"

/* clients.md P7 asks for 1,024 at least: podman's partial pulls. */
enum { SELECTION_RANGES_MAX = 2048 };

struct selection {
    struct range_spec *specs; /* owned; NULL: all of it */
    size_t count;
};

/* Reads a Range field; one that is empty or to be ignored selects all. ERR_TOO_MANY_RANGES: to be
 * refused (clients.md B7). */
enum err selection_read(struct selection *selection, struct view range) MUST_CHECK;
void selection_release(struct selection *selection);

/* Whether none of it lies inside of `size` bytes. */
bool selection_is_outside(const struct selection *selection, uint64_t size);

/* Whether it asks for so much of `size` bytes, by overlapping ranges, that it is to be refused. */
bool selection_is_excessive(const struct selection *selection, uint64_t size);

/* Whether nothing can be said of it without the size. */
bool selection_needs_size(const struct selection *selection);

/* The first of its ranges that is not outside; `size` may be UINT64_MAX when it needs no size. */
struct extent selection_first(const struct selection *selection, uint64_t size);

/* Whether it goes on to the end, from `*ret_offset`: no range, an open-ended one, or one of all.
 * Then the rest of the blob is wanted; else closed ranges. */
bool selection_is_rest(const struct selection *selection, uint64_t size, uint64_t *ret_offset);

/* Its ranges in their order, each cut to the size, without those outside of it; a size of
 * UINT64_MAX cuts nothing. All of it is one range. The caller frees them. */
struct extent *selection_extents(const struct selection *selection, uint64_t size,
                                 size_t *ret_count);

#endif
