#ifndef SERVE_SCRUB_REPORT_H
#define SERVE_SCRUB_REPORT_H

/*
 * What a scrub has found, as JSON between the admin address and `entrepot scrub`, and for people.
 *
 *   {"state": "running", "directory": "fe00:1835010", "started": 1714813800528, "seconds": 1.250,
 *    "rate": 67108864, "blobs": 12, "blobs_total": 40, "bytes": 83886080, "bytes_total": 268435456,
 *    "unchecked": 0, "damaged": 1, "given_up": false, "digests": ["sha256:3f2a..."]}
 *
 * `state` is "never", "running" or "over"; `started` is in milliseconds since the epoch; `rate` is
 * the limit, in bytes a second, 0 when there is none; `digests` are of the damaged blobs the first
 * hundred. Thread: any.
 */

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "cache/scrub.h"

enum { SCRUB_DIRECTORY_SIZE = 40 };

/* What tells one cache directory from another, whatever its path is for whom: "fe00:1835010". "" on
 * failure. */
void scrub_directory(int directory, char out[SCRUB_DIRECTORY_SIZE]);

/* Appends the JSON, and a newline. */
void scrub_report_print(const struct scrub_report *report, const char *directory, struct buf *out);

/* False when it is not such a thing. `us` is as exact as `seconds`. */
bool scrub_report_parse(struct view json, struct scrub_report *ret_report,
                        char ret_directory[SCRUB_DIRECTORY_SIZE]);

/* Tells a person how it ended: a line for each damaged blob, and one for all. */
void scrub_report_tell(const struct scrub_report *report, FILE *out);

#endif
