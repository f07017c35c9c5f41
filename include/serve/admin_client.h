#ifndef SERVE_ADMIN_CLIENT_H
#define SERVE_ADMIN_CLIENT_H

/*
 * What commands ask of the mirror that runs, at the admin address of the configuration. Thread:
 * main.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/config.h"

struct admin_client {
    const struct config *config; /* borrowed */
    void *curl;                  /* owned; a CURL */
    struct buf answer;           /* owned; the last one's body */
    size_t limit;                /* of that, bytes */
    long status;                 /* of the last one */
};

/* Gets ready; answers may have `limit` bytes. False, with a problem, when that cannot be. To be
 * closed in any case. */
bool admin_client_open(struct admin_client *client, const struct config *config, size_t limit,
                       struct buf *problem);
void admin_client_close(struct admin_client *client);

/*
 * Asks, and waits for the answer; `body` is a POST's. False, with the reason in a few words
 * ("Couldn't connect to server"), when none came. Any status is an answer.
 */
bool admin_client_ask(struct admin_client *client, const char *method, const char *target,
                      struct view body, struct buf *reason);

/* Appends what an answer that is an error says to people; false when it is not one of ours. */
bool admin_client_read_error(const struct admin_client *client, struct buf *out);

/* Whether the mirror there uses the cache directory of the configuration, as one that is in use is
 * used by some Entrepot. False, with a sentence that says what to do, when not. */
bool admin_client_shares_cache(struct admin_client *client, struct buf *problem);

#endif
