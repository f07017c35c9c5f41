#ifndef CACHE_INTAKE_H
#define CACHE_INTAKE_H

/*
 * Bytes on their way into a blob: how long it is, room for them in the budget, writing them, each
 * once, having them verified where chunks have numbers, and recording what is there. Embedded in
 * the fetch. Thread: the blob's owner loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/extents.h"
#include "cache/blob.h"
#include "cache/source.h"
#include "cache/store.h"
#include "cache/verifier.h"

struct intake {
    struct store *store;      /* borrowed */
    struct blob *blob;        /* borrowed */
    struct verifier verifier; /* off, but for a blob whose chunks have numbers */
    uint64_t received;        /* new bytes written */
    uint64_t published;       /* new bytes that can be read: the same when the verifier is off */
    uint64_t recorded;        /* `published` when the extents were last recorded */
    uint64_t reserved;        /* of the budget, and not yet used: blocks of the disk */
    uint64_t lacking;         /* what a reservation that found no room asked for */
    uint64_t pressed;         /* `received` when the disk was full the last time */
    void (*on_verdict)(struct intake *intake, const struct verdict *verdict);
};

void intake_init(struct intake *intake, struct store *store, struct blob *blob);

/*
 * If there are numbers of the blob's chunks, and it is no manifest, only what was verified is
 * published from now on, and `on_verdict` is called for each chunk. Numbers that are a claim count
 * where `source` is a hub's file, and no size that is known of it contradicts them: whoever else
 * has the digest goes by that. ERR_SIZE_MISMATCH: numbers that were counted here are of another
 * size than what is here of the blob. Before the first byte is written.
 */
enum err intake_verify_chunks(struct intake *intake, struct loop *loop, const struct source *source,
                              void (*on_verdict)(struct intake *intake,
                                                 const struct verdict *verdict)) MUST_CHECK;

/* Whether room is to be waited for, after that error: there is none in the budget, or the disk was
 * full sooner; then others are to go, once for each new byte that comes of it. */
bool intake_wants_room(struct intake *intake, enum err err) MUST_CHECK;

/* Nothing more is written: gives back what was reserved or not verified. `on_verdict` may still
 * come, with NULL, when a job ends that runs. */
void intake_end(struct intake *intake);

/* After that, when no job of the verifier runs. */
void intake_release(struct intake *intake);

/* What of the blob is in the file. */
const struct extents *intake_written(const struct intake *intake);

/* In multiples of what it is to be asked for, and whether only all of a cell can be read. */
uint64_t intake_grid(const struct intake *intake);
bool intake_has_cells(const struct intake *intake);

/* How many bytes of `range` are missing; to the end of the blob when that is known. */
uint64_t intake_missing(const struct intake *intake, struct extent range);

/* Whether the size is known and all is in the file. */
bool intake_is_written(const struct intake *intake);

/* The same, and all can be read. */
bool intake_is_whole(const struct intake *intake);

/* What these will take on the disk when they are here. */
uint64_t intake_growth(const struct intake *intake, struct extent range);

/* Takes the blob's size, as `source` tells it in an answer. ERR_SIZE_MISMATCH: it was told
 * otherwise before, by an answer or by a manifest; that is forgotten then, for the next try.
 * ERR_CHUNK_MISMATCH: the numbers are of a file of another size. */
enum err intake_take_size(struct intake *intake, const struct source *source,
                          uint64_t size) MUST_CHECK;

/* Sees to it that `bytes` of the disk are reserved in the budget for what is still to be written.
 * ERR_NO_ROOM, ERR_OVER_BUDGET. */
enum err intake_reserve(struct intake *intake, uint64_t bytes) MUST_CHECK;

/* The same for all of a blob that is wanted whole, before the first byte of it comes: two that fit
 * one after the other must not each wait for the other's half. `size`: as its manifest says. */
enum err intake_reserve_whole(struct intake *intake, uint64_t size) MUST_CHECK;

/* Gives back what was reserved and not used. */
void intake_unreserve(struct intake *intake);

/* Writes and publishes, as soon as it may be, what is not there yet of [at, at + length), which
 * `source` has sent and so is noted to hold. What was not reserved is now, or it is ERR_NO_ROOM. */
enum err intake_store(struct intake *intake, const struct source *source, uint64_t at,
                      const char *data, size_t length) MUST_CHECK;

/* `source` has shown that it holds the blob. */
void intake_note_held(struct intake *intake, const struct source *source);

/* The same, of an answer whose bytes have come; nothing new if it was the last to show it. */
void intake_note_sent(struct intake *intake, const struct source *source);

/* What a crash from here on will not lose. */
void intake_record(struct intake *intake);

/* The same if it is time, so that a crash never loses `checkpoint` bytes. Whether it was. */
bool intake_record_if_due(struct intake *intake);

#endif
