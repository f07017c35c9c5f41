/* Unit tests of remembered absences. TSan catches a lock left out of absence_note or absence_find
 * (seen with each planted). */
#include "cache/absence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/loop.h"

enum { LONG_MS = 3600000 };

static struct absences absences;

static int setup(void **state)
{
    (void)state;
    absences_init(&absences);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    absences_release(&absences);
    return 0;
}

static void absence_find__knows_what_was_noted(void **state)
{
    unsigned char key[FLIGHT_KEY_SIZE], other[FLIGHT_KEY_SIZE], none[FLIGHT_KEY_SIZE] = {0};

    (void)state;
    flight_key(key, "manifest", "docker.io", "library/nginx", "1.0", NULL);
    flight_key(other, "manifest", "docker.io", "library/nginx", "1.1", NULL);
    assert_int_equal(absence_find(&absences, key), OK);
    assert_int_equal(absence_find(&absences, none), OK); /* an empty slot is nobody's */
    absence_note(&absences, key, ERR_MANIFEST_UNKNOWN, LONG_MS);
    assert_int_equal(absence_find(&absences, key), ERR_MANIFEST_UNKNOWN);
    assert_int_equal(absence_find(&absences, key), ERR_MANIFEST_UNKNOWN);
    assert_int_equal(absence_find(&absences, other), OK);
    absence_note(&absences, key, ERR_UPSTREAM_REFUSED, LONG_MS);
    assert_int_equal(absence_find(&absences, key), ERR_UPSTREAM_REFUSED);
}

static void absence_note__overwrites_who_sits_in_the_slot(void **state)
{
    unsigned char key[FLIGHT_KEY_SIZE] = {1, 2, 3, 4}, same_slot[FLIGHT_KEY_SIZE] = {9, 2, 3, 4};

    (void)state;
    absence_note(&absences, key, ERR_BLOB_UNKNOWN, LONG_MS);
    assert_int_equal(absence_find(&absences, same_slot), OK);
    absence_note(&absences, same_slot, ERR_NAME_UNKNOWN, LONG_MS);
    assert_int_equal(absence_find(&absences, key), OK);
    assert_int_equal(absence_find(&absences, same_slot), ERR_NAME_UNKNOWN);
}

static void absence_find__forgets_in_time(void **state)
{
    unsigned char key[FLIGHT_KEY_SIZE] = {5}, other[FLIGHT_KEY_SIZE] = {5, 6};

    (void)state;
    absence_note(&absences, key, ERR_BLOB_UNKNOWN, 0);
    assert_int_equal(absence_find(&absences, key), OK);
    absence_note(&absences, other, ERR_BLOB_UNKNOWN, LONG_MS);
    uint64_t start = clock_monotonic_us();
    absence_note(&absences, key, ERR_BLOB_UNKNOWN, 30);
    while (absence_find(&absences, key) != OK)
        sched_yield();
    assert_true(clock_monotonic_us() - start >= 29000); /* it counts whole milliseconds */
    assert_int_equal(absence_find(&absences, other), ERR_BLOB_UNKNOWN);
    absence_note(&absences, key, ERR_BLOB_UNKNOWN, LONG_MS); /* and may be noted again */
    assert_int_equal(absence_find(&absences, key), ERR_BLOB_UNKNOWN);
}

static void absence_words__are_of_the_last_error(void **state)
{
    unsigned char key[FLIGHT_KEY_SIZE] = {5}, other[FLIGHT_KEY_SIZE] = {5, 6};
    struct buf words = {0};

    (void)state;
    absence_words(&absences, key, ERR_BLOB_UNKNOWN, &words);
    absence_note_words(&absences, key, ERR_BLOB_UNKNOWN, 0, VIEW("gone"));
    absence_words(&absences, key, ERR_UPSTREAM_REFUSED, &words);
    absence_words(&absences, other, ERR_BLOB_UNKNOWN, &words);
    assert_int_equal(words.length, 0);
    absence_words(&absences, key, ERR_BLOB_UNKNOWN, &words); /* though it is not remembered */
    assert_string_equal(words.data, "gone");
    absence_note_words(&absences, key, ERR_BLOB_UNKNOWN, LONG_MS, VIEW("for good"));
    buf_clear(&words);
    absence_words(&absences, key, ERR_BLOB_UNKNOWN, &words);
    assert_string_equal(words.data, "for good");
    absence_note(&absences, key, ERR_BLOB_UNKNOWN, LONG_MS);
    buf_clear(&words);
    absence_words(&absences, key, ERR_BLOB_UNKNOWN, &words);
    assert_int_equal(words.length, 0);
    buf_release(&words);
}

/* What one thread notes under a key is what another finds there, or nothing: all keys share a few
 * slots, and each key has an error of its own. */
static void *note_and_find(void *argument)
{
    unsigned random = *(const unsigned *)argument;

    for (int i = 0; i < 20000; i++) {
        unsigned char number = (unsigned char)(rand_r(&random) % 8);
        unsigned char key[FLIGHT_KEY_SIZE] = {number, 0, number % 2};
        enum err mine = (enum err)(1 + number);
        memset(key + 3, number, sizeof(key) - 3);
        if (i % 2 == 0)
            absence_note(&absences, key, mine, LONG_MS);
        enum err found = absence_find(&absences, key);
        CHECK(found == OK || found == mine);
    }
    return NULL;
}

static void absences__are_for_any_thread(void **state)
{
    static const unsigned seeds[] = {1, 2, 3};
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, note_and_find, (void *)&seeds[i]);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(absence_find__knows_what_was_noted),
        TEST(absence_note__overwrites_who_sits_in_the_slot),
        TEST(absence_find__forgets_in_time),
        TEST(absence_words__are_of_the_last_error),
        TEST(absences__are_for_any_thread),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
