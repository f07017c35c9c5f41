#ifndef CACHE_FETCHER_H
#define CACHE_FETCHER_H

/*
 * The fetch loops: their threads, and the way in from other loops. A digest always lives on one of
 * them (digest[0] % F): a second request for the same bytes is just a second message.
 */

#include "cache/fetch.h"

/* All fetch loops. */
struct fetchers {
    struct fetcher *list; /* owned */
    size_t count;
    struct store *store; /* borrowed */
};

/* Makes and starts the loops. Thread: main. */
void fetchers_start(struct fetchers *fetchers, struct store *store);

/*
 * Ends them: running fills stop, what they have written is recorded, and whatever else was asked of
 * upstreams ends with ERR_STOPPING. Waits. No other loop may be asking. Thread: main.
 */
void fetchers_stop(struct fetchers *fetchers);

/* Whose loop a digest, or a flight of that key, lives on. Thread: any, as all below. */
struct fetcher *fetcher_of_digest(struct fetchers *fetchers, const struct digest *digest);
struct fetcher *fetcher_of_key(struct fetchers *fetchers, const unsigned char key[FLIGHT_KEY_SIZE]);

/* The blob of that digest, one reference more, its opening under way if it was not open. Never
 * sleeps. */
struct blob *fetcher_blob(struct fetchers *fetchers, const struct digest *digest);

/*
 * Wants the blob filled from `source` (copied). On a fill that is running already it is one more
 * source, asked when the others have refused. On a blob that is whole or has failed nothing
 * happens.
 */
void fetcher_want(struct fetchers *fetchers, struct blob *blob, const struct source *source);

/* The same with the bytes at hand: a manifest that had to be fetched by its tag, or what was made
 * here. A fill that is running already goes on without them, and does not ask the source either. */
void fetcher_give(struct fetchers *fetchers, struct blob *blob, const struct source *source,
                  const void *data, size_t length, const char *media_type);

#endif
