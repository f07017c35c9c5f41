/*
 * Unit tests of taking a numbers file over while others write, on one store. Both seen to fail when
 * the index is not held, and the first when it is checked before that.
 */
#include "model/numbers_index.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/chunk_record.h"
#include "numbers_helpers.h"

enum { CHANCE_US = 100000 };

static char folder[64];
static struct config config;
static struct store store;
static struct numbers_file file;
static struct buf json;

static int setup(void **state)
{
    struct buf problem = {0};

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-numbers-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    assert_int_equal(config_set(&config, "cache", folder, &problem), OK);
    assert_int_equal(config_set(&config, "cache_size", "1MiB", &problem), OK);
    assert_int_equal(store_open(&store, &config, &problem), OK);
    file = example();
    numbers_file_print(&file, &json);
    return 0;
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(name);
}

static int teardown(void **state)
{
    (void)state;
    store_close(&store);
    config_release(&config);
    numbers_file_release(&file);
    buf_release(&json);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct import {
    enum err err;
    struct buf problem;
};

static void *import_file(void *argument)
{
    struct import *import = argument;
    struct numbers_taken taken;

    import->err = numbers_index_import(&store, view_of_buf(&json), NULL, &taken, &import->problem);
    return NULL;
}

/* What an import has counted itself of the first file, while the numbers file is taken over. */
static struct import import_beside(struct chunk_numbers *chunks)
{
    const struct numbers_entry *entry = &file.files[0];
    struct chunk_record record = {.size = entry->size, .chunks = chunks};
    struct import import = {0};
    struct buf value = {0};
    pthread_t thread;

    chunk_record_encode(&record, &value);
    index_hold(store.index);
    assert_int_equal(pthread_create(&thread, NULL, import_file, &import), 0);
    usleep(CHANCE_US); /* it gets as far as it can: were that too far, it would be seen below */
    index_put_note(store.index, INDEX_NOTE_NUMBERS, entry->sha256, view_of_buf(&value));
    index_release(store.index);
    assert_int_equal(pthread_join(thread, NULL), 0);
    index_flush_wait(store.index);
    buf_release(&value);
    return import;
}

/* Whether it stands in the index, as counted here. */
static void assert_counted(const struct chunk_numbers *chunks)
{
    const struct numbers_entry *entry = &file.files[0];
    struct chunk_record record;
    struct buf value = {0};

    assert_true(index_get_note(store.index, INDEX_NOTE_NUMBERS, entry->sha256, &value));
    assert_true(chunk_record_decode(view_of_buf(&value), &record));
    assert_false(record.is_claimed);
    assert_memory_equal(record.chunks, chunks, numbers_count(entry->size) * sizeof(*chunks));
    chunk_record_release(&record);
    buf_release(&value);
}

static void numbers_index_import__refuses_what_was_just_found_otherwise(void **state)
{
    struct chunk_numbers others[3];

    (void)state;
    assert_int_equal(numbers_count(file.files[0].size), 3);
    memcpy(others, file.files[0].chunks, sizeof(others));
    others[2].crc32[0] ^= 1;
    struct import import = import_beside(others);
    assert_int_equal(import.err, ERR_NUMBERS_REFUSED);
    assert_non_null(strstr(import.problem.data, "with other numbers"));
    assert_counted(others);
    buf_release(&import.problem);
}

static void numbers_index_import__keeps_what_was_just_counted(void **state)
{
    (void)state;
    index_delete_note(store.index, INDEX_NOTE_NUMBERS, file.files[0].sha256);
    struct import import = import_beside(file.files[0].chunks);

    assert_int_equal(import.err, OK);
    assert_counted(file.files[0].chunks);
    buf_release(&import.problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_index_import__refuses_what_was_just_found_otherwise),
        cmocka_unit_test(numbers_index_import__keeps_what_was_just_counted),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, setup, teardown);
}
