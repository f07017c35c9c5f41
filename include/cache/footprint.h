#ifndef CACHE_FOOTPRINT_H
#define CACHE_FOOTPRINT_H

/*
 * What a blob takes on the disk, which is what the budget counts: whole blocks, and one more for
 * its name in a folder and for the file system's own notes on where the file lies. Nothing at all
 * for a blob of which there are no bytes.
 *
 * A whole blob takes as much as a partial one of which everything is there. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/extents.h"
#include "cache/record.h"

/* Of ext4, XFS and tmpfs as they are made today. */
enum { FOOTPRINT_BLOCK = 4096 };

/* Of a whole blob of that size, which is at most INT64_MAX. */
uint64_t footprint_of_size(uint64_t size);

/* Of a file in which these bytes were written. */
uint64_t footprint_of_extents(const struct extents *present);

/* Of what a record says is there. */
uint64_t footprint_of_record(const struct blob_record *record);

/* By how much the footprint of `present` grows with `gap`, of which nothing is present. */
uint64_t footprint_growth(const struct extents *present, struct extent gap);

/* By how much it grows when all that is missing of `range`, which ends, is written. */
uint64_t footprint_missing(const struct extents *present, struct extent range);

#endif
