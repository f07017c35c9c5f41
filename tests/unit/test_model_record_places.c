/* Unit and property tests of the places that a layer may be fetched from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/record.h"

enum { SEEDS = 200, STEPS = 40 };

/* xorshift64: the same on every machine. */
static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static bool add(struct layer_record *record, const char *repository, char commit)
{
    struct layer_place place = {.upstream = "hf"};

    assert_true(view_copy(view_of(repository), place.repository, sizeof(place.repository)));
    memset(place.commit, commit, MODEL_COMMIT_SIZE - 1);
    return layer_record_add_place(record, &place);
}

/* "a0 b1": of each place the repository and the first digit of the commit. */
static void assert_places(const struct layer_record *record, const char *expected)
{
    struct buf text = {0};

    for (size_t i = 0; i < record->place_count; i++)
        buf_printf(&text, "%s%s%c", i == 0 ? "" : " ", record->places[i].repository,
                   record->places[i].commit[0]);
    assert_string_equal(text.length == 0 ? "" : text.data, expected);
    buf_release(&text);
}

static void layer_record_add_place__keeps_the_newest_first_and_each_once(void **state)
{
    struct layer_record record = {0};

    (void)state;
    assert_true(add(&record, "a", '0'));
    assert_places(&record, "a0");
    assert_false(add(&record, "a", '0'));
    assert_true(add(&record, "b", '0'));
    assert_true(add(&record, "a", '1'));
    assert_places(&record, "a1 b0 a0");
    assert_true(add(&record, "a", '0'));
    assert_places(&record, "a0 a1 b0");
    assert_true(layer_record_add_place(&record, &record.places[2]));
    assert_places(&record, "b0 a0 a1");
    strncpy(record.places[0].upstream, "other", RECORD_UPSTREAM_SIZE - 1);
    assert_true(add(&record, "b", '0'));
    assert_places(&record, "b0 b0 a0 a1");
}

static void layer_record_add_place__lets_no_repository_push_out_the_others(void **state)
{
    struct layer_record record = {0};

    (void)state;
    for (char name[] = "a"; name[0] < 'i'; name[0]++)
        assert_true(add(&record, name, '0'));
    assert_places(&record, "h0 g0 f0 e0 d0 c0 b0 a0");
    assert_true(add(&record, "i", '0'));
    assert_places(&record, "i0 h0 g0 f0 e0 d0 c0 b0"); /* the oldest went */
    assert_true(add(&record, "d", '1'));
    assert_places(&record, "d1 i0 h0 g0 f0 e0 c0 b0"); /* its own older one went */
    assert_true(add(&record, "b", '1'));
    assert_places(&record, "b1 d1 i0 h0 g0 f0 e0 c0");
    for (int commit = 2; commit <= 9; commit++)
        assert_true(add(&record, "b", (char)('0' + commit)));
    assert_places(&record, "b9 d1 i0 h0 g0 f0 e0 c0");
    assert_true(record.place_count == LAYER_PLACES_MAX);
    record.place_count = 0;
    for (const char *name = "abbcdefg"; *name != '\0'; name++)
        assert_true(add(&record, (char[]){*name, '\0'}, (char)('0' + record.place_count)));
    assert_places(&record, "g7 f6 e5 d4 c3 b2 b1 a0");
    assert_true(add(&record, "h", '8'));
    assert_places(&record, "h8 g7 f6 e5 d4 c3 b2 a0"); /* an older one of another */
}

/* Against what it says: the place is first, all others come from before and keep their order. */
static void layer_record_add_place__loses_one_at_most(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct layer_record record = {0};
        for (int step = 0; step < STEPS; step++) {
            struct layer_record before = record;
            char name[] = {(char)('a' + next_random(&random) % 12), '\0'};
            char commit = (char)('0' + next_random(&random) % 3);
            bool changed = add(&record, name, commit);
            size_t i = 0, kept = 1;

            assert_true(record.places[0].repository[0] == name[0]);
            assert_true(record.places[0].commit[0] == commit);
            for (; i < before.place_count && kept < record.place_count; i++)
                kept += memcmp(&before.places[i], &record.places[kept],
                               sizeof(struct layer_place)) == 0;
            assert_true(kept == record.place_count);
            assert_true(kept >= before.place_count);
            assert_true(changed == (before.place_count != record.place_count ||
                                    memcmp(before.places, record.places,
                                           record.place_count * sizeof(record.places[0])) != 0));
        }
    }
}

static void layer_record_is_of__asks_for_repository_and_upstream(void **state)
{
    struct layer_record record = {0};
    struct layer_place place = {.upstream = "hf", .repository = "a"};

    (void)state;
    assert_false(layer_record_is_of(&record, &place));
    assert_true(add(&record, "a", '0'));
    assert_true(add(&record, "b", '1'));
    assert_true(layer_record_is_of(&record, &place));
    place.repository[0] = 'c';
    assert_false(layer_record_is_of(&record, &place));
    place = record.places[1];
    place.upstream[0] = 'x';
    assert_false(layer_record_is_of(&record, &place));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_record_add_place__keeps_the_newest_first_and_each_once),
        cmocka_unit_test(layer_record_add_place__lets_no_repository_push_out_the_others),
        cmocka_unit_test(layer_record_add_place__loses_one_at_most),
        cmocka_unit_test(layer_record_is_of__asks_for_repository_and_upstream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
