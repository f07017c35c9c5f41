#ifndef CACHE_INDEX_WRITE_H
#define CACHE_INDEX_WRITE_H

/*
 * How the index's own files write it. For `index` and `index_records` only. Thread: any.
 */

#include "base/buf.h"
#include "cache/index_env.h"
#include "cache/index_key.h"

struct index;

/* Queue a write. The value's bytes are taken over, and `value` is empty then. */
void index_write_put(struct index *index, enum index_table table, struct index_key key,
                     struct buf *value);
void index_write_delete(struct index *index, enum index_table table, struct index_key key);

#endif
