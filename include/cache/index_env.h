#ifndef CACHE_INDEX_ENV_H
#define CACHE_INDEX_ENV_H

/*
 * The LMDB environment of the index, opened: sound, of our schema, with its tables. For `index`
 * only.
 */

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum index_table { INDEX_BLOBS, INDEX_TAGS, INDEX_HOLDINGS, INDEX_META, INDEX_NOTES, INDEX_TABLES };

struct index_env {
    MDB_env *env; /* owned */
    MDB_dbi tables[INDEX_TABLES];
};

/* As index_open() has it. Sleeps. Thread: main. */
enum err index_env_open(const char *directory, struct index_env *env, bool *ret_is_new,
                        struct buf *ret_problem) MUST_CHECK;

/* What its files take on the disk. Thread: any. */
uint64_t index_env_bytes(const struct index_env *env);

/* Ends the process, and says why, when a read could not begin: LMDB refuses all work after its last
 * write to a page of its own failed. The next start opens what was there before that. */
void index_env_check(int code);

/* Syncs and closes. Thread: main, when no other uses it. */
void index_env_close(struct index_env *env);

#endif
