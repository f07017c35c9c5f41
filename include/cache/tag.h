#ifndef CACHE_TAG_H
#define CACHE_TAG_H

/*
 * Where a tag points: fresh, aging, due, or stale while the upstream is down.
 *
 *   UNKNOWN  never seen: ask, and wait
 *   FRESH    asked less than three quarters of tag_ttl ago: answer
 *   AGING    in the last quarter: answer, and let one ask behind the scenes
 *   DUE      older: ask, and wait
 *
 * Asking is one HEAD, whoever waits (a HEAD is not counted as a pull by Docker Hub); a GET only
 * when the upstream does not tell the digest. When the upstream does not answer, refuses or limits
 * us, the old digest is good for `stale` longer, and the clock moves all the same, so that a dead
 * upstream costs one try a window. A 404 ends the tag.
 */

#include "cache/fetcher.h"
#include "cache/flight.h"

enum tag_age { TAG_UNKNOWN, TAG_FRESH, TAG_AGING, TAG_DUE };

/* Reads the record. On UNKNOWN it is left alone. Thread: any. */
enum tag_age tag_find(struct store *store, const struct upstream *upstream, const char *repository,
                      const char *tag, struct tag_record *ret_record);

/*
 * Asks the upstream. Answer: err, digest, size (maybe unknown), media_type, stale. A NULL caller
 * only sees to it that it is asked. Thread: caller->loop.
 */
void tag_check(struct fetchers *fetchers, struct upstream *upstream, const char *repository,
               const char *tag, struct flight_caller *caller);

#endif
