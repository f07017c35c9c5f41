/* Unit tests of the index's walks over tags and manifests. */
#include "cache/index.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64];
static struct index *catalog;
static struct buf problem;

static int setup(void **state)
{
    bool is_new;

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-index-XXXXXX");
    return mkdtemp(folder) != NULL && index_open(folder, &catalog, &is_new, &problem) == OK ? 0
                                                                                            : -1;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    index_close(catalog);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct digest digest_of_number(unsigned number)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
    return digest;
}

struct sum {
    unsigned visited, stop_at;
    uint64_t sizes;
};

static bool on_tag(void *argument, const struct tag_record *record)
{
    struct sum *sum = argument;

    sum->visited++;
    sum->sizes += record->size;
    assert_string_equal(record->upstream, "docker.io");
    assert_string_equal(record->repository, "library/nginx");
    assert_int_equal(strtoul(record->tag, NULL, 10), record->size);
    return sum->visited != sum->stop_at;
}

static void index_each_tag__visits_all_with_their_names(void **state)
{
    struct sum none = {0}, all = {0}, some = {.stop_at = 7};

    (void)state;
    index_each_tag(catalog, on_tag, &none);
    assert_int_equal(none.visited, 0);
    for (unsigned i = 0; i < 100; i++) {
        struct tag_record record = {.digest = digest_of_number(1), .size = i};
        char tag[16];
        (void)snprintf(tag, sizeof(tag), "%u", i);
        index_put_tag(catalog, "docker.io", "library/nginx", tag, &record);
    }
    index_delete_tag(catalog, "docker.io", "library/nginx", "99");
    index_flush_wait(catalog);
    index_each_tag(catalog, on_tag, &all);
    assert_true(all.visited == 99 && all.sizes == 4851);
    index_each_tag(catalog, on_tag, &some);
    assert_int_equal(some.visited, 7);
}

static bool on_manifest(void *argument, const struct holding_record *record)
{
    struct digest digest = digest_of_number((unsigned)record->size);
    struct sum *sum = argument;

    sum->visited++;
    sum->sizes += record->size;
    assert_true(record->is_manifest && digest_equal(&record->digest, &digest));
    assert_string_equal(record->repository, record->size < 50 ? "team/app" : "team/other");
    assert_string_equal(record->upstream, "a.example");
    return sum->visited != sum->stop_at;
}

/* Not of layers, and not what is found without an upstream: that would be each of them twice. */
static void index_each_manifest__visits_each_once_with_its_names(void **state)
{
    struct sum all = {0}, some = {.stop_at = 7};

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct holding_record record = {.size = i, .is_manifest = i < 100, .upstream = "a.example"};
        struct digest digest = digest_of_number(i);
        index_put_holding(catalog, i < 50 ? "team/app" : "team/other", &digest, &record);
    }
    index_flush_wait(catalog);
    index_each_manifest(catalog, on_manifest, &all);
    assert_true(all.visited == 100 && all.sizes == 4950);
    index_each_manifest(catalog, on_manifest, &some);
    assert_int_equal(some.visited, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(index_each_tag__visits_all_with_their_names),
        TEST(index_each_manifest__visits_each_once_with_its_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
