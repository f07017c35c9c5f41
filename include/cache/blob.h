#ifndef CACHE_BLOB_H
#define CACHE_BLOB_H

/*
 * A blob: a file, the set of its bytes that are present, and the readers who wait for more. And the
 * table of open blobs, in which a digest has at most one.
 *
 *                .--> COMPLETE --blob_fail--> FAILED    whole and true, until it is found damaged
 *   OPENING -----|                                        .--blob_finish--> COMPLETE
 *    (the index  `--> PARTIAL --> WANTED -----> FILLING ----+--blob_fail----> FAILED
 *     and the disk     what is     the first    somebody    |
 *     are asked)       there can   reader has   brings what |
 *                      be read     asked for    is wanted   |
 *                         ^        the rest                 |
 *                         '---------------------------------'
 *                           blob_unfill: nobody wants more of it
 *
 * One path for all: ask the blob how far you can read; send that; if nothing, wait. Whoever must
 * wait for anything (the opening, the size, the first byte, the end) parks a waiter, is woken, asks
 * again.
 *
 * What readers want of it is part of the blob: each has a demand in its list, of closed ranges, for
 * as long as it is there; who wants everything from some offset on moves `rest_from`, and that
 * stays when he leaves. Whoever fills the blob looks there for what to bring next.
 *
 * Published bytes never change and never disappear while the blob is open. That one rule is what
 * makes sendfile() and eviction by unlink() safe under concurrent readers. A disk may break it: a
 * COMPLETE blob whose bytes are found damaged is FAILED too, so that its readers are cut short.
 *
 * References are counted; a blob nobody refers to stays in the table for the next reader until
 * blobs_sweep() closes it. A FAILED blob leaves the table at once: the next request tries anew.
 *
 * Lock order: table bucket -> blob -> inbox.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/extents.h"
#include "base/list.h"
#include "cache/record.h"
#include "io/loop.h"

enum blob_state {
    BLOB_OPENING,
    BLOB_PARTIAL,
    BLOB_WANTED,
    BLOB_FILLING,
    BLOB_COMPLETE,
    BLOB_FAILED,
};

#define BLOB_SIZE_UNKNOWN RECORD_SIZE_UNKNOWN

/* A waiter's `offset` when it waits for the end of the filling, or of the opening. */
#define BLOB_OFFSET_END UINT64_MAX

struct fetch;

struct blob {
    struct digest digest;   /* constant */
    struct blobs *table;    /* constant; borrowed */
    pthread_mutex_t mutex;  /* guards what follows, and `parked` of each waiter */
    _Atomic int state;      /* enum blob_state; read without the mutex only to see COMPLETE, after
                             * which nothing else below changes, but for `err` when it is FAILED */
    enum err err;           /* FAILED: why, */
    uint64_t retry_after_s; /* and when its upstream told us to come again; 0: it did not */
    int fd;                 /* owned; -1: no file yet */
    uint64_t size;          /* BLOB_SIZE_UNKNOWN: not known yet; set once */
    struct extents present; /* PARTIAL, FILLING */
    struct list waiters;
    struct list demands;
    uint64_t rest_from;        /* all from here to the end is wanted; UINT64_MAX: not so */
    unsigned char held_by[32]; /* the key of the source that answered in this filling, or in the
                                * last one when none is under way; zero: none yet */
    char media_type[RECORD_MEDIA_TYPE_SIZE]; /* a manifest's; "" otherwise */

    /* guarded by the bucket's mutex */
    struct list node; /* in the bucket; idle when the blob has left the table */
    unsigned references;
    uint64_t idle_since_ms; /* when references became 0; monotonic */

    _Atomic uint64_t touched_ms;  /* when its use was last noted in the index; monotonic */
    _Atomic uint64_t whole_epoch; /* manifests: the eviction epoch in which all that it points at
                                   * was seen to be cached; 0: never */

    _Atomic uint64_t unlinked; /* see blob_unlinked() */

    /* the owner loop's own */
    struct fetch *fetch;           /* borrowed; NULL: nobody fills it */
    const struct extents *written; /* what of the budget's disk it takes: `present`, and while it is
                                    * verified chunk by chunk what waits for that: verifier.h */
    struct extents durable; /* of `present`: what outlives a power cut, as far as it was recorded */
    bool syncing;           /* a job makes more of it so, */
    bool sync_again;        /* and another shall when that has ended */
    bool sync_failed;       /* what was written may be lost, whatever a later sync says */
};

/* One reader's place in the queue. Embedded in the reader; belongs to the reader's loop. */
struct waiter {
    struct mail mail; /* delivered when what was waited for may have come, or never will */
    struct loop *loop;
    struct list parked; /* linked while waiting in blob->waiters */
    uint64_t offset;
    uint64_t until; /* the end of what it will read on from there; set by its owner */
};

/* What one reader wants of a blob: closed ranges, in the order in which it will read them. Embedded
 * in the reader; all-zero is one that is not in use. */
struct demand {
    struct list node;            /* in blob->demands; guarded by the blob's mutex, as `met` */
    const struct extent *ranges; /* borrowed from the reader */
    size_t count;
    size_t met; /* so many of them, from the first on, are here */
};

/* What a reader sees in one look. */
struct blob_view {
    enum blob_state state;
    enum err err;              /* FAILED: why */
    uint64_t retry_after_s;    /* FAILED */
    uint64_t size;             /* or BLOB_SIZE_UNKNOWN */
    uint64_t readable;         /* bytes that can be read from the offset asked for */
    unsigned char held_by[32]; /* FAILED: whose failure it was; not set for COMPLETE */
    bool answered; /* FILLING: a source has answered: it will go on, as far as we know */
    bool whole;    /* every byte of it is here, or wanted: it will be verified */
    int fd;        /* to read them from; stays open as long as the reference is held */
};

enum { BLOBS_BUCKETS = 1024 };

/* The table of open blobs. */
struct blobs {
    struct blobs_bucket {
        pthread_mutex_t mutex;
        struct list blobs;
    } buckets[BLOBS_BUCKETS];
    pthread_mutex_t mutex;           /* guards `forgotten`; taken last */
    struct list forgotten;           /* in no bucket, referred to by nobody: to be closed */
    _Atomic uint64_t open;           /* blobs in memory */
    _Atomic uint64_t unlinked;       /* bytes that still lie on the disk, see blob_unlinked() */
    _Atomic uint64_t eviction_epoch; /* moves whenever a blob is evicted; starts at 1 */
};

void blobs_init(struct blobs *table);

/* Closes what is idle. CHECKs that nothing else is left. Thread: main, at the end. */
void blobs_release(struct blobs *table);

/*
 * The blob of that digest, one reference more. If it was not in the table it is there now, OPENING,
 * and `*ret_is_new` says that the caller must see to its opening. Never sleeps. Thread: any.
 */
struct blob *blobs_get(struct blobs *table, const struct digest *digest, bool *ret_is_new);

/* The same if it is open already, or NULL. Thread: any. */
struct blob *blobs_find(struct blobs *table, const struct digest *digest);

/*
 * Takes a digest out of use, to delete its file: if it is idle or not in the table, it is replaced
 * by a fresh blob, OPENING, that the caller holds; requests that come now wait until the caller
 * ends the opening. NULL when somebody uses it. Thread: any.
 */
struct blob *blobs_claim(struct blobs *table, const struct digest *digest);

/*
 * The same when it is `blob` that has the digest, which is COMPLETE and which the caller refers to,
 * whoever else does: those keep it, and the caller is to fail it. NULL when another, or none, has
 * the digest by now. Thread: any.
 */
struct blob *blobs_seize(struct blobs *table, struct blob *blob);

/* Closes those that have left the table and that nobody refers to. May sleep (close). Thread: any
 * but serve loops. */
void blobs_close_forgotten(struct blobs *table);

/* Closes blobs that have been idle since before `before_ms`, or all idle ones beyond `keep`. May
 * sleep (close). Thread: any but serve loops. */
void blobs_sweep(struct blobs *table, uint64_t before_ms, uint64_t keep);

struct blob *blob_ref(struct blob *blob);

/* Returns NULL. Never sleeps: files are closed by blobs_sweep(). Thread: any. */
struct blob *blob_unref(struct blob *blob);

/* ---- the writers' side. Thread: the blob's owner loop, or whoever claimed it -------------------
 */

/* Ends the opening: with a whole file, */
void blob_opened_complete(struct blob *blob, int fd, uint64_t size, const char *media_type);

/* or with what there is of it; fd -1 when there is nothing. Takes the extents over. */
void blob_opened_partial(struct blob *blob, int fd, uint64_t size, struct extents *present);

/* PARTIAL or WANTED -> FILLING. */
void blob_fill(struct blob *blob);

/* FILLING -> PARTIAL, unless something that is wanted is missing: then false. Wakes everybody. */
bool blob_unfill(struct blob *blob);

/*
 * Calls `visit` with what is wanted, the most urgent first, until it returns false: for each parked
 * reader what it waits for (`is_parked`), for each demand the ranges that are not met, then the
 * rest. With the mutex held: it may look at `present`, and at nothing else of the blob.
 */
void blob_each_want(struct blob *blob,
                    bool (*visit)(void *argument, const struct extent *ranges, size_t count,
                                  bool is_parked),
                    void *argument);

/* The file that is being written, when PARTIAL had none. Before the first publish. */
void blob_set_file(struct blob *blob, int fd);

/* The size is known now. Wakes everybody. */
void blob_set_size(struct blob *blob, uint64_t size);
/* The source of that key answered for the blob. Wakes everybody, the first time. */
void blob_set_held_by(struct blob *blob, const unsigned char key[32]);
void blob_set_media_type(struct blob *blob, const char *media_type);

/* Makes `range` readable and wakes whoever waited for a byte of it. */
void blob_publish(struct blob *blob, struct extent range);

/* Ends the filling well. Wakes everybody. */
void blob_finish(struct blob *blob);

/* Ends it for good: takes the blob out of the table, so that who comes now tries anew, and then
 * wakes everybody. `held_by` tells them whose failure it was: the source's key, or NULL when it was
 * ours. Of a COMPLETE one, which was seized, it stays what it is. */
void blob_fail(struct blob *blob, enum err err, const unsigned char *held_by,
               uint64_t retry_after_s);

/* Its file was unlinked, and takes so much of the disk until the last reader has left. */
void blob_unlinked(struct blob *blob, uint64_t bytes);

/* Takes it out of the table; those who have it keep it. */
void blob_forget(struct blob *blob);

/* Wakes everybody, to look again. */
void blob_wake(struct blob *blob);

/* ---- the readers' side. Thread: waiter->loop ---------------------------------------------------
 */

/*
 * Looks at the blob from `offset`. Without a waiter it only looks. With one, when nothing is
 * readable there and something may still come (OPENING, FILLING), it parks the waiter in the same
 * breath, so that no wake-up can be lost; its mail then comes exactly once. BLOB_OFFSET_END:
 * nothing is readable before the blob is COMPLETE.
 */
struct blob_view blob_look(struct blob *blob, uint64_t offset, struct waiter *waiter);

/* Wants `demand->ranges`, until blob_withdraw(). Whoever fills the blob is to be told. */
void blob_demand(struct blob *blob, struct demand *demand);

/* Wants everything from `offset` on, for good. */
void blob_demand_rest(struct blob *blob, uint64_t offset);

/* Wants it no more. Harmless when it does not. */
void blob_withdraw(struct blob *blob, struct demand *demand);

/* PARTIAL -> WANTED: true for the one reader who is to have it filled. In any other state, false.
 */
bool blob_want(struct blob *blob);

/*
 * Stops waiting: when this returns, the mail will not come and the waiter may be freed. Harmless
 * if it is not waiting.
 */
void blob_unpark(struct blob *blob, struct waiter *waiter);

/* Whether all these bytes are here. */
bool blob_has(struct blob *blob, const struct extent *ranges, size_t count);

/* Copies the present extents; the caller releases them. Thread: any. */
struct extents blob_present(struct blob *blob);

/* Paths below the cache directory: "blobs/sha256/3f/3f2a...", "partial/sha256/3f2a...". */
enum { BLOB_PATH_SIZE = 16 + DIGEST_TEXT_SIZE };
void blob_path_complete(const struct digest *digest, char out[BLOB_PATH_SIZE]);
void blob_path_partial(const struct digest *digest, char out[BLOB_PATH_SIZE]);

#endif
