#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

/*
 * Numbers with units, as people write them: sizes (200GiB) and durations (1h30m). Pure.
 *
 * A size is a number and a unit: B; K, M, G, T or KiB, MiB, GiB, TiB are powers of 1024; KB (kB),
 * MB, GB, TB are powers of 1000. The first letter may be small. The B may not: Gb are bits. A bare
 * number is bytes.
 * A duration is one or more numbers, each with ms, s, m, h or d; they are added up. 0 needs no
 * unit. Either number may have a fraction of up to six digits (1.5GiB); what is left of a byte or a
 * millisecond is dropped.
 */

#include <stdint.h>

#include "base/buf.h"

enum quantity { QUANTITY_OK, QUANTITY_INVALID, QUANTITY_TOO_LARGE };

/* The output is untouched unless QUANTITY_OK is returned. */
enum quantity quantity_parse_size(struct view text, uint64_t *ret_bytes);
enum quantity quantity_parse_duration(struct view text, uint64_t *ret_ms);

/* Append the value in the largest unit that divides it, so that parsing gives the value again. */
void quantity_print_size(uint64_t bytes, struct buf *out);
void quantity_print_duration(uint64_t ms, struct buf *out);

#endif
