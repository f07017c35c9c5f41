#ifndef MODEL_CATALOGS_H
#define MODEL_CATALOGS_H

/*
 * The catalog of a mirror: read from the configuration and the file that its setting `catalog`
 * names, and replaced while threads use the one before. All of it is guarded by one mutex, held for
 * a few instructions; serve loops never ask.
 */

#include <pthread.h>

#include "base/config.h"
#include "wire/catalog.h"

struct catalogs {
    pthread_mutex_t mutex;   /* guards what follows */
    struct catalog *current; /* counted */
};

/* Reads both files, whose texts may be new; the catalog is the caller's. An error has its sentence.
 * Sleeps. Thread: main. */
enum err catalogs_read(const struct config *config, struct catalog **ret_catalog,
                       struct buf *ret_problem) MUST_CHECK;

/* Takes the catalog over. */
void catalogs_init(struct catalogs *catalogs, struct catalog *catalog);
void catalogs_release(struct catalogs *catalogs);

/* Replaces the current one; takes the new one over. Thread: any. */
void catalogs_set(struct catalogs *catalogs, struct catalog *catalog);

/* The current one, to be given back by catalog_unref(). Thread: any. */
struct catalog *catalogs_get(struct catalogs *catalogs);

#endif
