#ifndef CACHE_REFUSAL_H
#define CACHE_REFUSAL_H

/*
 * What a hub, or the storage that it sends us to, says of its refusal while the answer comes in:
 * its head, then its body, where some say why. A part of a call. Thread: the call's loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/transfer.h"
#include "wire/hub_refusal.h"

/* All-zero: it has refused nothing. */
struct refusal {
    enum err err; /* OK: none; a storage's is ERR_UPSTREAM_FAILED */
    unsigned status;
    uint64_t retry_after;   /* seconds to stay away, or 0 */
    struct buf sentence;    /* owned; for a person */
    const char *repository; /* borrowed; NULL: it is a storage's */
    struct buf body;        /* owned; its beginning */
    char code[HUB_REFUSAL_CODE_SIZE];
    bool is_worded; /* its head says why */
};

/* Takes the head of an answer of that status, of 400 or more; a storage's without a repository. On
 * its on_head. */
void refusal_read(struct refusal *refusal, struct transfer *transfer, unsigned status,
                  const char *repository);

/* Takes some of its body; harmless when it is none. */
void refusal_add(struct refusal *refusal, const void *data, size_t length);

/* All of it has come: `err` and `sentence` are what they will be. Harmless when it is none. */
void refusal_end(struct refusal *refusal);

/* Frees what it has; it is all-zero then. */
void refusal_release(struct refusal *refusal);

#endif
