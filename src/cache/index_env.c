/* Opens the index's LMDB environment, or one in its place. */
#include "cache/index_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "cache/index_probe.h"

enum { READERS_MAX = 2048 };

static const size_t map_size = (size_t)16 << 30; /* address space only; it cannot grow later */
static const char schema[] = "1";

static const char *const table_names[INDEX_TABLES] = {"blobs", "tags", "holdings", "meta", "notes"};

/* What was sound when we started is so no more, and LMDB cannot go on. */
static void on_damage(MDB_env *env, const char *what)
{
    const char *path = "the index";

    (void)mdb_env_get_path(env, &path);
    fprintf(stderr,
            "entrepot: %s is damaged (%s); remove that folder and start again: the index is "
            "then made anew from blobs/\n",
            path, what);
    abort();
}

/* Opens environment and tables. LMDB's code, or MDB_CORRUPTED. */
static int open_env(struct index_env *index, const char *path)
{
    MDB_txn *txn = NULL;

    CHECK(mdb_env_create(&index->env) == 0);
    mdb_env_set_assert(index->env, on_damage);
    mdb_env_set_mapsize(index->env, map_size);
    mdb_env_set_maxdbs(index->env, INDEX_TABLES);
    mdb_env_set_maxreaders(index->env, READERS_MAX);
    int code = mdb_env_open(index->env, path, MDB_NOTLS | MDB_NOMETASYNC, 0644);
    if (code == 0)
        code = mdb_txn_begin(index->env, NULL, 0, &txn);
    for (size_t t = 0; code == 0 && t < INDEX_TABLES; t++)
        code = mdb_dbi_open(txn, table_names[t], MDB_CREATE, &index->tables[t]);
    if (code == 0)
        return mdb_txn_commit(txn);
    if (txn != NULL)
        mdb_txn_abort(txn);
    mdb_env_close(index->env);
    index->env = NULL;
    return code;
}

static bool is_damage(int code)
{
    return code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH ||
           code == MDB_PAGE_NOTFOUND || code == MDB_PANIC || code == EINVAL;
}

/* Reads the schema version, or writes ours into a new index. */
static enum err check_schema(struct index_env *index, const char *path, bool *ret_is_new,
                             struct buf *ret_problem)
{
    MDB_val key = {sizeof("schema") - 1, (void *)"schema"}, value;
    MDB_txn *txn;
    enum err err = OK;

    CHECK(mdb_txn_begin(index->env, NULL, 0, &txn) == 0);
    *ret_is_new = mdb_get(txn, index->tables[INDEX_META], &key, &value) == MDB_NOTFOUND;
    if (*ret_is_new) {
        value = (MDB_val){sizeof(schema) - 1, (void *)schema};
        CHECK(mdb_put(txn, index->tables[INDEX_META], &key, &value, 0) == 0);
    } else if (!view_equal((struct view){value.mv_data, value.mv_size}, view_of(schema))) {
        buf_printf(ret_problem,
                   "%s has schema %.*s and this Entrepot reads schema %s; run the Entrepot that "
                   "wrote it, or remove that folder: the index is then made anew from blobs/",
                   path, (int)(value.mv_size < 20 ? value.mv_size : 20), (char *)value.mv_data,
                   schema);
        err = ERR_CONFIG;
    }
    if (mdb_txn_commit(txn) != 0 && err == OK) {
        buf_printf(ret_problem, "%s cannot be written", path);
        err = ERR_DISK_FAILED;
    }
    return err;
}

static enum err open_or_replace(struct index_env *index, const char *path, struct buf *ret_problem)
{
    char aside[4200];

    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        buf_printf(ret_problem, "%s cannot be made: %s", path, strerror(errno));
        return ERR_DISK_FAILED;
    }
    int code = index_probe(path, table_names, INDEX_TABLES) ? open_env(index, path) : MDB_CORRUPTED;
    if (is_damage(code)) {
        (void)snprintf(aside, sizeof(aside), "%s.damaged-%lld", path, (long long)time(NULL));
        log_message(CONFIG_LOG_WARN, "index", "%s is damaged (%s): set aside as %s", path,
                    mdb_strerror(code), aside);
        if (rename(path, aside) == 0 && mkdir(path, 0755) == 0)
            code = open_env(index, path);
    }
    if (code == 0)
        return OK;
    buf_printf(ret_problem, "%s cannot be opened: %s", path, mdb_strerror(code));
    return ERR_DISK_FAILED;
}

enum err index_env_open(const char *directory, struct index_env *index, bool *ret_is_new,
                        struct buf *ret_problem)
{
    char path[4096];

    *index = (struct index_env){0};
    (void)snprintf(path, sizeof(path), "%s/index", directory);
    enum err err = open_or_replace(index, path, ret_problem);
    if (err == OK)
        err = check_schema(index, path, ret_is_new, ret_problem);
    if (err != OK && index->env != NULL)
        mdb_env_close(index->env);
    return err;
}

uint64_t index_env_bytes(const struct index_env *index)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    const char *folder;
    char path[4200];
    struct stat file;
    uint64_t bytes = 0;

    CHECK(mdb_env_get_path(index->env, &folder) == 0);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        if (stat(path, &file) == 0)
            bytes += (uint64_t)file.st_blocks * 512;
    }
    return bytes;
}

void index_env_check(int code)
{
    if (code == 0)
        return;
    fprintf(stderr,
            "entrepot: the index cannot be read any more (%s): the disk failed in the middle of a "
            "change; start again\n",
            mdb_strerror(code));
    abort();
}

void index_env_close(struct index_env *index)
{
    mdb_env_sync(index->env, 1);
    mdb_env_close(index->env);
}
