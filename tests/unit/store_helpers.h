#ifndef TESTS_UNIT_STORE_HELPERS_H
#define TESTS_UNIT_STORE_HELPERS_H

/* What the tests of a cache directory share: a small one of its own, fresh for each test, and the
 * digest of "content". */

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cache/store.h"

static char folder[64];
static struct config config;
static struct store store;
static struct buf problem;
static struct digest digest; /* of "content" */

static inline int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-store-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    config_drop_upstreams(&config);
    digest_of(DIGEST_SHA256, "content", 7, &digest);
    return config_set(&config, "cache", folder, &problem) == OK &&
                   config_set(&config, "cache_size", "1MiB", &problem) == OK &&
                   store_open(&store, &config, &problem) == OK
               ? 0
               : -1;
}

static inline int remove_one(const char *name, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(name);
}

static inline int teardown(void **state)
{
    (void)state;
    store_close(&store);
    config_release(&config);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
