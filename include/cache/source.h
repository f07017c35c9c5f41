#ifndef CACHE_SOURCE_H
#define CACHE_SOURCE_H

/*
 * Where a blob's missing bytes come from: the requests that would bring a range, and what to do
 * when one is refused. A source is a repository of an upstream registry, or a file of a repository
 * of a model hub at one commit; `fetch` does not look inside.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/extents.h"
#include "cache/call.h"
#include "cache/store.h"
#include "wire/reference.h"

enum { SOURCE_FILE_SIZE = 2049, SOURCE_COMMIT_SIZE = 41 };

struct source {
    struct upstream *upstream; /* borrowed from the store */
    char repository[REFERENCE_REPOSITORY_SIZE];
    bool is_manifest;                   /* ask under /manifests/ */
    char commit[SOURCE_COMMIT_SIZE];    /* a hub's: at which, */
    char file[SOURCE_FILE_SIZE];        /* and the file's name there; "": a registry's */
    uint64_t size;                      /* as its manifest says, or BLOB_SIZE_UNKNOWN */
    unsigned char key[FLIGHT_KEY_SIZE]; /* says who and what: for absences and held_by */
};

/* Where `digest` is to be had from. The size is not known yet. Pure. */
void source_init(struct source *source, struct upstream *upstream, const char *repository,
                 bool is_manifest, const struct digest *digest);

/* Same, for the bytes of a file of a hub's repository, `repository` being the hub's own name of it
 * ("Org/Model", "datasets/Org/Name"). `file` is below SOURCE_FILE_SIZE. Pure. */
void source_init_file(struct source *source, struct upstream *upstream, const char *repository,
                      const char *commit, struct view file, const struct digest *digest,
                      uint64_t size);

/* Whether it must be asked for parts, were it one that is the whole: a hub's CDN may refuse a GET
 * without a Range (models.md 4.2). */
bool source_wants_parts(const struct source *source);

/*
 * Starts the request for bytes from `range.start` to `range.end` (UINT64_MAX: the end). From byte 0
 * to the end it is a plain GET, unless `as_part`: then a Range says so too. `target`: as
 * call_request has it. Thread: calls->loop.
 */
struct call *source_call(const struct source *source, struct calls *calls,
                         const struct digest *digest, struct extent range, bool as_part,
                         const char *target, const struct call_events *events, void *owner);

/*
 * Reads the head of the answer to source_call(asked): which bytes the body is (to UINT64_MAX when
 * it does not say), and how long the whole is (BLOB_SIZE_UNKNOWN when it does not say). An answer
 * of the whole to a question for a part is taken, and one that ends before what was asked; one of
 * another part, or of more, is ERR_UPSTREAM_NONSENSE. During on_head only.
 */
enum err source_read_head(struct call *call, int status, struct extent asked,
                          struct extent *ret_body, uint64_t *ret_size) MUST_CHECK;

/* Records that the source holds the digest, unless that is known already. `learned`: and that what
 * the manifest points at is in the index too. Thread: any. */
void source_note_held(const struct source *source, struct index *index, const struct digest *digest,
                      uint64_t size, bool learned);

/* The call's error, in terms of what was asked for: 404, whatever a hub says is not there, becomes
 * BLOB_UNKNOWN or MANIFEST_UNKNOWN. */
enum err source_err(const struct source *source, enum err err);

/* Remembers its refusal for negative_ttl, so that its clients are told; and what a hub has said of
 * any error of a file, if anything: see absence_words(). Thread: any. */
void source_note_err(const struct source *source, struct store *store, enum err err,
                     struct view words);

/* Whether `err` is our own: no source is to blame for it, and none would do better. */
bool source_is_blameless(enum err err);

/* Whether `err` is this source's own refusal, so that another source may still have the bytes. */
bool source_is_refusal(enum err err);

#endif
