/* Unit tests of opening an index: sound, damaged, lost, and of another schema. */
#include <fcntl.h>
#include <glob.h>
#include <lmdb.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "index_helpers.h"

static void index_open__finds_what_was_written(void **state)
{
    (void)state;
    put_blob(1, 100);
    close_index(); /* which writes what was given */
    assert_false(open_index());
    assert_int_equal(blob_size(1), 100);
    close_index();
    assert_false(open_index());
    assert_int_equal(blob_size(1), 100);
}

static void index_open__says_why_it_cannot(void **state)
{
    struct index *other;
    bool is_new;

    (void)state;
    assert_int_equal(index_open("/nowhere/at/all", &other, &is_new, &problem), ERR_DISK_FAILED);
    assert_non_null(strstr(problem.data, "/nowhere/at/all/index cannot be made"));
}

/* The path of LMDB's data. */
static void data_path(char *out, size_t size)
{
    (void)snprintf(out, size, "%s/index/data.mdb", folder);
}

static void assert_set_aside(size_t count)
{
    char pattern[128];
    glob_t found;

    (void)snprintf(pattern, sizeof(pattern), "%s/index.damaged-*/data.mdb", folder);
    int code = glob(pattern, 0, NULL, &found);
    assert_int_equal(code, count == 0 ? GLOB_NOMATCH : 0);
    assert_int_equal(found.gl_pathc, count);
    globfree(&found);
}

/* A new one is opened, which works and lasts. */
static void assert_made_anew(void)
{
    assert_true(open_index());
    assert_set_aside(1);
    assert_int_equal(blob_size(1), 0);
    put_blob(1, 300);
    close_index();
    assert_false(open_index());
    assert_int_equal(blob_size(1), 300);
    assert_set_aside(1);
}

static void index_open__sets_garbage_aside(void **state)
{
    char path[128], garbage[65536];
    unsigned random = 3;

    (void)state;
    put_blob(1, 100);
    close_index();
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)rand_r(&random);
    data_path(path, sizeof(path));
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(write(fd, garbage, sizeof(garbage)) == sizeof(garbage));
    close(fd);
    assert_made_anew();
}

static void index_open__sets_a_truncated_one_aside(void **state)
{
    char path[128];
    struct stat file;

    (void)state;
    for (unsigned i = 1; i < 2000; i++)
        put_blob(i, 100);
    close_index();
    data_path(path, sizeof(path));
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(truncate(path, file.st_size / 2), 0);
    assert_made_anew();
}

static void index_open__makes_a_lost_one_anew(void **state)
{
    char path[128];

    (void)state;
    put_blob(1, 100);
    close_index();
    data_path(path, sizeof(path));
    assert_int_equal(truncate(path, 0), 0);
    assert_true(open_index());
    assert_int_equal(blob_size(1), 0);
    assert_set_aside(0);
}

/* What a later Entrepot may write. */
static void write_schema(const char *text)
{
    MDB_val key = {6, (void *)"schema"}, value = {strlen(text), (void *)text};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/index", folder);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 4);
    assert_int_equal(mdb_env_open(env, path, 0, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void index_open__refuses_another_schema(void **state)
{
    bool is_new;

    (void)state;
    put_blob(1, 100);
    close_index();
    write_schema("27");
    assert_int_equal(index_open(folder, &catalog, &is_new, &problem), ERR_CONFIG);
    assert_null(catalog);
    assert_non_null(strstr(problem.data, folder));
    assert_non_null(strstr(problem.data, "schema 27"));
    assert_non_null(strstr(problem.data, "remove that folder"));
    write_schema("1"); /* nothing was lost by trying */
    assert_false(open_index());
    assert_int_equal(blob_size(1), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(index_open__finds_what_was_written), TEST(index_open__says_why_it_cannot),
        TEST(index_open__sets_garbage_aside),     TEST(index_open__sets_a_truncated_one_aside),
        TEST(index_open__makes_a_lost_one_anew),  TEST(index_open__refuses_another_schema),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
