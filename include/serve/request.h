#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

/*
 * One request of the pull API, and the ways in which it is answered. It waits for one thing at a
 * time: a blob (waiter) or a computation (caller). Thread: services->loop, all functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "cache/fetcher.h"
#include "cache/flight.h"
#include "cache/source.h"
#include "model/importer.h"
#include "serve/exchange.h"
#include "serve/layer_view.h"
#include "serve/selection.h"
#include "wire/reference.h"

/* What the requests of one serve loop need. All borrowed. */
struct services {
    struct loop *loop;
    const struct config *config;
    struct store *store;
    struct fetchers *fetchers;
    struct importer *importer;
    struct layers *layers; /* of models */
};

struct request {
    struct exchange exchange;
    const struct services *services; /* borrowed */
    struct request **place;          /* borrowed; where its owner points at it; NULL at the end */
    struct route route;
    struct source source;        /* of what is asked for, once its digest is known */
    struct blob *blob;           /* counted */
    struct waiter waiter;        /* for the blob */
    struct flight_caller caller; /* for a computation */
    struct selection selection;  /* of a GET */
    struct extent *wanted;   /* owned; what it wants of the blob, when those are closed ranges, */
    struct demand demand;    /* as the blob knows it */
    struct layer_view layer; /* when that is asked for, which is no blob */
    bool known;              /* this repository holds the digest: learned, or just confirmed */
    bool learned;            /* a manifest: what it points at is known to be held here */
    bool wanted_fill;        /* the blob's filling was asked for, or joined */
    bool checked;            /* the upstream was asked about this manifest a moment ago */
    bool is_patient;         /* its client waits for a head as long as it takes, */
    bool is_mirror;          /* or is an Entrepot, which waits for header_timeout */
    enum err overdue;        /* what it is told when the answer has not begun in time */
    bool stale;              /* the tag's upstream did not answer */
    unsigned renewals;       /* see find_failed */
    uint64_t size;           /* as the upstream or a manifest said, or BLOB_SIZE_UNKNOWN */
    char reference[DIGEST_TEXT_SIZE];        /* the digest, or the tag */
    char media_type[RECORD_MEDIA_TYPE_SIZE]; /* a tag's */
};

/* Makes one; `*place` points at it until it has ended and is freed. `http` may be NULL: a head that
 * could not be parsed. */
struct request *request_new(const struct services *services, struct request **place,
                            struct conn *conn, const struct http_request *http);

/* Fields that every good answer has. */
void request_common_fields(struct request *request);

/* Refuses ranges that cannot be answered of `size` bytes; false: they can. */
bool request_refuse_range(struct request *request, uint64_t size);

/* Begins the answer: an error, */
void request_fail(struct request *request, enum err err);

/* the head alone, for HEAD; request->size is known, */
void request_answer_head(struct request *request);

/* or the blob, or the parts that were asked for; `size` is the blob's. The same for a layer. */
void request_answer_blob(struct request *request, uint64_t size);

/* Lets go of the blob, if it has one. */
void request_drop_blob(struct request *request);

#endif
