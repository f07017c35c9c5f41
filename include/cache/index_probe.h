#ifndef CACHE_INDEX_PROBE_H
#define CACHE_INDEX_PROBE_H

/*
 * Whether LMDB can read an index from one end to the other. LMDB believes what its pages say: a
 * damaged one makes it read behind the map, and the process dies. So a child reads first.
 */

#include <stdbool.h>

/* Reads every record of the tables `names[0..count)` in the folder `path`; a table, or an index,
 * that is not there is sound. Waits, two minutes at most. Thread: main, before others use LMDB. */
bool index_probe(const char *path, const char *const *names, unsigned count);

#endif
