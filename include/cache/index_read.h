#ifndef CACHE_INDEX_READ_H
#define CACHE_INDEX_READ_H

/*
 * How the index's own files read it. For `index` and `index_walks` only.
 */

#include <lmdb.h>

#include "cache/index_env.h"

struct index;

/* This thread's read transaction, renewed; whoever asks resets it before it returns. */
MDB_txn *index_read_begin(struct index *index);
MDB_dbi index_read_table(const struct index *index, enum index_table table);

#endif
