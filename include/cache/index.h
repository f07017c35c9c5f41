#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H

/*
 * What the cache knows, in LMDB under <cache>/index: blobs, tags, which repository of which
 * upstream is known to hold which digest, and notes about models.
 *
 * Reads: on any thread, one kept read transaction a thread; values are copied out. Writes: queued
 * and committed by the one writer thread, in the order in which they were given, many to a
 * transaction; whoever must know that a write has lasted gets a mail. The index never says more
 * than the disk holds: a blob's record comes after its file, and goes before it.
 *
 * While the disk refuses writes, they are kept in memory, where reads find them, and are tried
 * again once a second; nobody waits for that. Of more than some thousands the oldest are lost, and
 * with the process all of them: the start then goes by the files.
 *
 * Keys are hashes where a name could exceed LMDB's 511 bytes. Thread: any, where nothing is said.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "cache/record.h"
#include "io/loop.h"

struct index;

/* What is noted about models, each under 32 bytes that say whose it is; the values are bytes to the
 * index. The numbers are on the disk: they stay. */
enum index_note {
    INDEX_NOTE_NUMBERS = 1,  /* by a file's sha256: of its chunks */
    INDEX_NOTE_GIT = 2,      /* by a git object: the file's sha256 */
    INDEX_NOTE_LAYER = 3,    /* by a layer's sha256: its files */
    INDEX_NOTE_IMAGE = 4,    /* by commit: that it was imported */
    INDEX_NOTE_DOCUMENT = 5, /* by sha256: a manifest or config that was made here */
    INDEX_NOTE_IMPORT = 6,   /* by name: an import that is to be done */
    INDEX_NOTE_LAYER_OF = 7, /* by its files' names and sha256: a layer's sha256 */
    INDEX_NOTE_TAGS = 8,     /* by repository: its tags, as the hub told them */
};

/*
 * Opens <directory>/index and starts the writer. One that is missing is made, and one that LMDB
 * cannot read is set aside; both with `*ret_is_new`, so that the caller lists blobs/ again. One of
 * another schema is refused, and `ret_problem` says what to do. Thread: main.
 */
enum err index_open(const char *directory, struct index **ret_index, bool *ret_is_new,
                    struct buf *ret_problem) MUST_CHECK;

/* Writes what was given, ends the writer, closes. Thread: main, when no other uses the index. */
void index_close(struct index *index);

/* Reads; false: there is no such record. A blob's record is to be released. */
bool index_get_blob(struct index *index, const struct digest *digest,
                    struct blob_record *ret_record);
bool index_get_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, struct tag_record *ret_record);

/* `upstream` may be "": whichever was last learned to hold the digest in a repository of that name
 * (clients.md R6). */
bool index_get_holding(struct index *index, const char *upstream, const char *repository,
                       const struct digest *digest, struct holding_record *ret_record);

/* Appends the note to `out`. */
bool index_get_note(struct index *index, enum index_note note, const unsigned char key[32],
                    struct buf *out);

/* Whether the blob's record is one that the disk has refused, so that after a crash the one before
 * it would be found again. */
bool index_is_behind(struct index *index, const struct digest *digest);

/* Calls `visit` for each blob record, in no order, until it returns false; `visit` may not read the
 * index. */
void index_each_blob(struct index *index,
                     bool (*visit)(void *argument, const struct digest *digest,
                                   const struct blob_record *record),
                     void *argument);

/* Same, for each tag, and for each manifest once for each repository that is known to hold it; the
 * records have their names. */
void index_each_tag(struct index *index,
                    bool (*visit)(void *argument, const struct tag_record *record), void *argument);
void index_each_manifest(struct index *index,
                         bool (*visit)(void *argument, const struct holding_record *record),
                         void *argument);

/* Calls `visit` for each note of a kind, until it returns false; `visit` may not read the index. */
void index_each_note(struct index *index, enum index_note note,
                     bool (*visit)(void *argument, const unsigned char key[32], struct view value),
                     void *argument);

/* What its files take on the disk. */
uint64_t index_bytes(const struct index *index);

/* Writes: copied and queued. The names of a tag and a repository are as long as the distribution-
 * spec allows at most. */
void index_put_blob(struct index *index, const struct digest *digest,
                    const struct blob_record *record);
void index_delete_blob(struct index *index, const struct digest *digest);
void index_put_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, const struct tag_record *record);
void index_delete_tag(struct index *index, const char *upstream, const char *repository,
                      const char *tag);

/* Under record->upstream, and as the last one learned for that repository name. */
void index_put_holding(struct index *index, const char *repository, const struct digest *digest,
                       const struct holding_record *record);

void index_put_note(struct index *index, enum index_note note, const unsigned char key[32],
                    struct view value);
void index_delete_note(struct index *index, enum index_note note, const unsigned char key[32]);

/* Notes that a blob was used now. Lossy: dropped when many writes are waiting. */
void index_touch(struct index *index, const struct digest *digest);

/* Notes that a complete blob's bytes matched its digest at `when_ms`: with the next write, or in a
 * while. */
void index_verified(struct index *index, const struct digest *digest, int64_t when_ms);

/*
 * For whoever writes only if what he reads is as he thinks. From index_hold() to index_release()
 * nothing changes but by this thread: its reads find all that was given before, and writes of other
 * threads, and their flushes, wait until it releases. A second one who comes to hold it waits. For
 * a moment only: what waits is kept in memory. Times of use (touch, verified) go on. Sleeps: never
 * on a serve loop.
 */
void index_hold(struct index *index);
void index_release(struct index *index);

/* Posts `mail` to `loop` when every write given before is committed, or refused by the disk: when
 * reads find it. */
void index_flush(struct index *index, struct loop *loop, struct mail *mail);

/* Waits for the same. Sleeps: never on a serve loop. */
void index_flush_wait(struct index *index);

#endif
