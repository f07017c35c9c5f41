#ifndef BASE_EXTENTS_H
#define BASE_EXTENTS_H

/*
 * A set of bytes of one file, kept as sorted, disjoint, non-touching half-open ranges
 * [start, end). It answers the two questions the cache asks all day: "how far can I read from
 * here?" and "what is still missing?".
 *
 * Pure data structure: no locks, no I/O, no libuv. The owner (a blob) provides the locking.
 * An all-zero struct is a valid, empty set.
 * Cost: O(log n) to look up, O(n) to insert, n = number of ranges; a blob that is filled front to
 * back has n = 1.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes [start, end) of a file. Empty when start == end; start > end is a bug. */
struct extent {
    uint64_t start;
    uint64_t end;
};

struct extents {
    struct extent *ranges; /* owned; sorted by start; never touching each other */
    size_t count;
    size_t capacity;
    uint64_t total; /* bytes in all of them */
};

/* Frees the ranges and leaves an empty set that may be used again. */
void extents_release(struct extents *set);

/* Adds `range` to the set, merging it with any range it overlaps or touches. */
void extents_add(struct extents *set, struct extent range);

/* Takes `range` out of the set. */
void extents_remove(struct extents *set, struct extent range);

/* How many bytes are present, and the end of the last of them; 0 for an empty set. O(1). */
uint64_t extents_total(const struct extents *set);
uint64_t extents_end(const struct extents *set);

/*
 * Returns the end of the unbroken run of present bytes that contains `offset`,
 * or `offset` itself when that byte is absent.
 */
uint64_t extents_run_end(const struct extents *set, uint64_t offset);

/*
 * Finds the first absent run inside `within`. Returns false, leaving `*ret_gap` alone, when every
 * byte of `within` is present.
 */
bool extents_first_gap(const struct extents *set, struct extent within, struct extent *ret_gap);

/* How many bytes of `within` are absent. O(log n + ranges in it); O(1) when it holds the set. */
uint64_t extents_missing(const struct extents *set, struct extent within);

/* The whole absent run around `offset`, which is absent: from the end of the range before it (or 0)
 * to the start of the one behind it (or UINT64_MAX). */
struct extent extents_hole(const struct extents *set, uint64_t offset);

/* Fills `copy`, which is empty, with the same bytes. */
void extents_copy(const struct extents *set, struct extents *copy);

#endif
