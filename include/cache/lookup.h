#ifndef CACHE_LOOKUP_H
#define CACHE_LOOKUP_H

/*
 * Small questions, each asked once however many want to know (flights): does this repository hold
 * that digest, what tags or referrers has it, is all of that manifest cached? Answers come to
 * caller->mail. Thread: caller->loop, all functions.
 */

#include "cache/fetcher.h"
#include "cache/flight.h"
#include "cache/source.h"

/*
 * Asks the source's upstream whether it holds the digest: HEAD for a manifest; for a blob its first
 * byte, since several registries do not answer HEADs of blobs. A yes is learned. Answer: err, size,
 * media_type.
 */
void lookup_holding(struct fetchers *fetchers, const struct source *source,
                    const struct digest *digest, struct flight_caller *caller);

/*
 * Fetches a list, `path` being "tags/list" or "referrers/<digest>" with `query`. Not cached.
 * Answer: err, bytes (with media type, Link and OCI-Filters-Applied).
 */
void lookup_list(struct fetchers *fetchers, struct upstream *upstream, const char *repository,
                 const char *path, const char *query, struct flight_caller *caller);

/*
 * Reads a COMPLETE manifest for what it says about the source's repository, as a fetch from there
 * would have done. Answer: err; OK when it is all in the index.
 */
void lookup_contents(struct fetchers *fetchers, const struct source *source, struct blob *blob,
                     struct flight_caller *caller);

/* Whether all that a manifest points at is cached (clients.md M7). Answer: OK or ERR_INCOMPLETE. */
void lookup_whole(struct fetchers *fetchers, struct blob *blob, struct flight_caller *caller);

#endif
