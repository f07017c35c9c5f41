/* Unit tests of the index on a disk that refuses writes, and of what its file looks like. */
#include "cache/index.h"

#include <ftw.h>
#include <lmdb.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct index *catalog;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

/* Whether it was made anew. */
static bool open_index(void)
{
    struct buf problem = {0};
    bool is_new = false;

    if (index_open(folder, &catalog, &is_new, &problem) != OK)
        fail_msg("%s", problem.data);
    return is_new;
}

static void close_index(void)
{
    index_close(catalog);
    catalog = NULL;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-index-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return open_index() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (catalog != NULL)
        close_index();
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct digest digest_of_number(unsigned number)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
    return digest;
}

/* Its size; 0: there is none. */
static uint64_t blob_size(unsigned number)
{
    struct digest digest = digest_of_number(number);
    struct blob_record record;

    if (!index_get_blob(catalog, &digest, &record))
        return 0;
    blob_record_release(&record);
    return record.size;
}

/* No file may grow, or be written, while it lasts. */
static void refuse_writes(bool refuse)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = refuse ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void put_size(unsigned number, uint64_t size)
{
    struct digest digest = digest_of_number(number);

    index_put_blob(catalog, &digest, &(struct blob_record){.size = size});
}

static void index__keeps_what_the_disk_refuses_and_writes_it_later(void **state)
{
    struct digest gone = digest_of_number(1);
    struct blob_record record;

    (void)state;
    put_size(1, 10);
    put_size(2, 20);
    index_flush_wait(catalog);
    refuse_writes(true);
    index_delete_blob(catalog, &gone);
    put_size(2, 21);
    put_size(3, 30);
    index_flush_wait(catalog);
    assert_false(index_get_blob(catalog, &gone, &record));
    assert_int_equal(blob_size(2), 21);
    put_size(2, 22); /* the newest counts */
    index_flush_wait(catalog);
    assert_int_equal(blob_size(2), 22);
    refuse_writes(false);
    put_size(4, 40);
    index_flush_wait(catalog);
    assert_int_equal(blob_size(2), 22);
    close_index();
    assert_false(open_index());
    assert_false(index_get_blob(catalog, &gone, &record));
    assert_int_equal(blob_size(2), 22);
    assert_int_equal(blob_size(3), 30);
    assert_int_equal(blob_size(4), 40);
}

static void index__keeps_the_last_thousands_that_the_disk_refuses(void **state)
{
    (void)state;
    refuse_writes(true);
    for (unsigned i = 0; i < 5000; i++)
        put_size(i, 100 + i);
    index_flush_wait(catalog);
    assert_int_equal(blob_size(0), 0);
    assert_int_equal(blob_size(4999), 5099);
    refuse_writes(false);
}

static MDB_env *open_env(unsigned flags)
{
    char path[128];
    MDB_env *env;

    (void)snprintf(path, sizeof(path), "%s/index", folder);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64 << 20), 0);
    assert_int_equal(mdb_env_open(env, path, flags, 0644), 0);
    return env;
}

/* Puts values of so many bytes under the keys 0, 1, ..., and then removes what is of none. */
static void change(MDB_env *env, const size_t *sizes, unsigned count)
{
    static char bytes[1 << 20];
    MDB_txn *txn;
    MDB_dbi table;

    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "tags", 0, &table), 0);
    for (unsigned i = 0; i < count; i++) {
        MDB_val key = {sizeof(i), &i}, value = {sizes[i], bytes};
        value.mv_size = sizes[i] > 0 ? sizes[i] : sizeof(bytes);
        assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
        if (sizes[i] == 0)
            assert_int_equal(mdb_del(txn, table, &key, NULL), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
}

/* Whether LMDB counts pages that its file does not reach to. */
static bool is_short(void)
{
    MDB_env *env = open_env(MDB_RDONLY | MDB_NOLOCK);
    struct stat file;
    MDB_envinfo info;
    char path[128];

    assert_int_equal(mdb_env_info(env, &info), 0);
    mdb_env_close(env);
    (void)snprintf(path, sizeof(path), "%s/index/data.mdb", folder);
    assert_int_equal(stat(path, &file), 0);
    return (uint64_t)file.st_size < (info.me_last_pgno + 1) * 4096;
}

/* Pages that a transaction takes and gives back are never written: a file that ends before them is
 * sound. Seen with the record of a blob of thousands of ranges, written twice in one. */
static void index_open__keeps_one_whose_last_pages_were_never_written(void **state)
{
    struct digest digest = digest_of_number(1);

    (void)state;
    index_put_blob(catalog, &digest, &(struct blob_record){.size = 10});
    close_index();
    MDB_env *env = open_env(0);
    change(env, (size_t[]){200000, 10}, 2);
    change(env, (size_t[]){10, 10}, 2);
    change(env, (size_t[]){11, 10}, 2);
    change(env, (size_t[]){50000, 0}, 2);
    mdb_env_close(env);
    assert_true(is_short());
    assert_false(open_index());
    assert_int_equal(blob_size(1), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(index__keeps_what_the_disk_refuses_and_writes_it_later,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(index__keeps_the_last_thousands_that_the_disk_refuses,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(index_open__keeps_one_whose_last_pages_were_never_written,
                                        setup, teardown),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
