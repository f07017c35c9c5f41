#ifndef TESTS_UNIT_INDEX_HELPERS_H
#define TESTS_UNIT_INDEX_HELPERS_H

/* What the tests of the index share: one index in a folder of its own, fresh for each test. */

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cache/index.h"

static char folder[64];
static struct index *catalog;
static struct buf problem;

static inline int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline bool open_index(void)
{
    bool is_new = false;

    if (index_open(folder, &catalog, &is_new, &problem) != OK)
        fail_msg("%s", problem.data);
    return is_new;
}

static inline void close_index(void)
{
    index_close(catalog);
    catalog = NULL;
}

static inline int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-index-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return open_index() ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    if (catalog != NULL)
        close_index();
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct digest digest_of_number(unsigned number)
{
    struct digest digest;

    digest_of(number % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512, &number, sizeof(number), &digest);
    return digest;
}

static inline void put_blob(unsigned number, uint64_t size)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record = {.complete = true, .size = size, .last_used_ms = 1};

    index_put_blob(catalog, &digest, &record);
}

/* Its size; 0: there is none. */
static inline uint64_t blob_size(unsigned number)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record = {0};

    if (!index_get_blob(catalog, &digest, &record))
        return 0;
    uint64_t size = record.size;
    blob_record_release(&record);
    return size;
}

#endif
