/*
 * Unit tests of flights, and a stress: callers on two loops ask for a handful of things, that a
 * third loop works out, now at once, now after a while. Callers leave: right after they came, or
 * when a neighbour that was answered in the same burst sends them away; they are freed on the spot,
 * and others come in their place.
 *
 * What catches what, each seen to fail with the bug planted: a lock left out (flight_finish without
 * the mutex), TSan; an answer that outlives its caller (flight_leave without loop_recall), ASan; a
 * reference too few (flight_finish without bytes_ref), ASan; one too many (flight_leave without
 * bytes_unref), LSan; a lost answer (flight_finish that posts none), the alarm; two computations of
 * one key, the CHECK in errand_new().
 */
#include "cache/flight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/stats.h"

/* ---- one loop ----------------------------------------------------------------------------------
 */

static struct flights flights;
static struct loop loop;
static struct flight made[4]; /* what make() gives, in turn */
static int makes, starts;

struct asker {
    struct flight_caller caller;
    int answers;
};

static void on_answer(struct mail *mail)
{
    container_of(mail, struct asker, caller.mail)->answers++;
}

static struct asker asker_of(void)
{
    return (struct asker){.caller = {.mail.deliver = on_answer, .loop = &loop}};
}

static void on_start(struct mail *mail)
{
    (void)mail;
    starts++;
}

static struct flight *make(void *argument)
{
    struct flight *flight = &made[makes++];

    assert_ptr_equal(argument, &makes);
    *flight = (struct flight){.loop = &loop, .start.deliver = on_start};
    return flight;
}

static void join(struct asker *asker, unsigned char key)
{
    unsigned char bytes[FLIGHT_KEY_SIZE] = {1, key}; /* all in one bucket */

    flight_join(&flights, bytes, asker == NULL ? NULL : &asker->caller, make, &makes);
}

static void deliver(void)
{
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static struct bytes *bytes_of(const char *text)
{
    struct bytes *bytes = bytes_new();

    buf_append_text(&bytes->data, text);
    return bytes;
}

static int setup(void **state)
{
    (void)state;
    makes = starts = 0;
    flights_init(&flights);
    loop_init(&loop, "test", false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flights_release(&flights);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    return 0;
}

static void flight_key__differs_with_the_texts(void **state)
{
    unsigned char a[FLIGHT_KEY_SIZE], b[FLIGHT_KEY_SIZE], c[FLIGHT_KEY_SIZE], d[FLIGHT_KEY_SIZE];

    (void)state;
    flight_key(a, "tag", "ab", "c", NULL);
    flight_key(b, "tag", "a", "bc", NULL);
    flight_key(c, "tag", "ab", "c", "", NULL);
    flight_key(d, "tag", "ab", "c", NULL);
    assert_memory_equal(a, d, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
}

static void flight_join__makes_one_flight_for_all(void **state)
{
    struct asker askers[3] = {asker_of(), asker_of(), asker_of()};
    uint64_t before = stats_get(STAT_CHECKS_COALESCED, AT_ALL);
    struct flight_answer answer = {.err = OK, .size = 7, .media_type = "a/b", .stale = true};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        join(&askers[i], 1);
    deliver();
    deliver();
    assert_true(makes == 1 && starts == 1);
    assert_true(stats_get(STAT_CHECKS_COALESCED, AT_ALL) == before + 2);
    flight_finish(&flights, &made[0], &answer);
    assert_int_equal(askers[0].answers, 0); /* never from inside */
    deliver();
    deliver();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(askers[i].answers, 1);
        assert_int_equal(askers[i].caller.joined, i > 0);
        assert_true(askers[i].caller.answer.size == 7 && askers[i].caller.answer.stale);
        assert_string_equal(askers[i].caller.answer.media_type, "a/b");
    }
}

static void flight_join__starts_anew_after_the_answer(void **state)
{
    struct asker asker = asker_of();
    struct flight_answer answer = {.err = ERR_UPSTREAM_TIMEOUT, .size = 7};

    (void)state;
    join(&asker, 1);
    flight_finish(&flights, &made[0], &answer);
    deliver();
    assert_int_equal(asker.caller.answer.err, ERR_UPSTREAM_TIMEOUT);
    join(&asker, 1);
    assert_int_equal(makes, 2);
    assert_false(asker.caller.joined);
    assert_true(asker.caller.answer.err == OK && asker.caller.answer.size == 0);
    flight_finish(&flights, &made[1], &answer);
    deliver();
    assert_int_equal(asker.answers, 2);
}

static void flight_join__keeps_keys_apart(void **state)
{
    struct asker first = asker_of(), second = asker_of();

    (void)state;
    join(&first, 1);
    join(&second, 2);
    assert_int_equal(makes, 2);
    flight_finish(&flights, &made[1], &(struct flight_answer){.size = 2});
    deliver();
    assert_true(first.answers == 0 && second.answers == 1);
    flight_finish(&flights, &made[0], &(struct flight_answer){.size = 1});
    deliver();
    assert_true(first.answers == 1 && first.caller.answer.size == 1);
    assert_true(second.answers == 1 && second.caller.answer.size == 2);
}

static void flight_join__needs_no_caller(void **state)
{
    struct asker asker = asker_of();

    (void)state;
    join(NULL, 1);
    join(NULL, 1);
    deliver();
    assert_true(makes == 1 && starts == 1);
    join(&asker, 1);
    assert_true(asker.caller.joined);
    flight_finish(&flights, &made[0], &(struct flight_answer){.size = 1});
    deliver();
    assert_int_equal(asker.answers, 1);
    join(NULL, 1);
    flight_finish(&flights, &made[1], &(struct flight_answer){.size = 1}); /* to nobody */
    deliver();
    assert_int_equal(starts, 2);
}

static void flight_finish__gives_a_reference_to_each(void **state)
{
    struct asker askers[2] = {asker_of(), asker_of()};
    struct flight_answer answer = {.bytes = bytes_of("text")};

    (void)state;
    join(&askers[0], 1);
    join(&askers[1], 1);
    flight_finish(&flights, &made[0], &answer);
    assert_int_equal(answer.bytes->references, 3);
    answer.bytes = bytes_unref(answer.bytes);
    assert_null(answer.bytes);
    deliver();
    bytes_unref(askers[0].caller.answer.bytes);
    assert_string_equal(askers[1].caller.answer.bytes->data.data, "text");
    assert_int_equal(askers[1].caller.answer.bytes->references, 1);
    bytes_unref(bytes_ref(askers[1].caller.answer.bytes));
    bytes_unref(askers[1].caller.answer.bytes);
    assert_null(bytes_unref(NULL));
}

static void flight_leave__before_the_answer(void **state)
{
    struct asker leaver = asker_of(), other = asker_of();

    (void)state;
    join(&leaver, 1);
    join(&other, 1);
    flight_leave(&flights, &leaver.caller);
    flight_leave(&flights, &leaver.caller);
    flight_finish(&flights, &made[0], &(struct flight_answer){.size = 1});
    deliver();
    assert_true(leaver.answers == 0 && other.answers == 1);
}

static void flight_leave__does_not_stop_the_flight(void **state)
{
    struct asker leaver = asker_of(), other = asker_of();

    (void)state;
    join(&leaver, 1);
    flight_leave(&flights, &leaver.caller);
    deliver();
    assert_int_equal(starts, 1);
    join(&other, 1);
    assert_true(makes == 1 && other.caller.joined);
    flight_finish(&flights, &made[0], &(struct flight_answer){.size = 1});
    deliver();
    assert_true(leaver.answers == 0 && other.answers == 1);
}

static void flight_leave__while_the_answer_is_in_the_inbox(void **state)
{
    struct asker leaver = asker_of();
    struct flight_answer answer = {.bytes = bytes_of("text")};

    (void)state;
    join(&leaver, 1);
    flight_finish(&flights, &made[0], &answer);
    assert_int_equal(answer.bytes->references, 2);
    flight_leave(&flights, &leaver.caller);
    assert_int_equal(answer.bytes->references, 1);
    assert_null(leaver.caller.answer.bytes);
    deliver();
    assert_int_equal(leaver.answers, 0);
    bytes_unref(answer.bytes);
}

static void flight_leave__after_the_answer(void **state)
{
    struct asker leaver = asker_of();
    struct flight_answer answer = {.bytes = bytes_of("text")};

    (void)state;
    flight_leave(&flights, &leaver.caller); /* never came: harmless */
    join(&leaver, 1);
    flight_finish(&flights, &made[0], &answer);
    deliver();
    flight_leave(&flights, &leaver.caller);
    assert_int_equal(answer.bytes->references, 1);
    bytes_unref(answer.bytes);
    assert_int_equal(leaver.answers, 1);
}

/* ---- the stress --------------------------------------------------------------------------------
 */

enum { LOOPS = 2, KEYS = 5, SEATS = 40, ASKERS = 4000 };

/* A computation, on the owner's loop. */
struct errand {
    struct flight flight;
    uv_timer_t timer;
    int key;
};

struct guest {
    struct flight_caller caller;
    int key;
    int seat;
};

/* A caller's loop: guests in seats; each that goes makes room for the next. */
struct inn {
    struct loop loop;
    struct guest *seats[SEATS];
    int came, seated;
    int answered, left;
    unsigned random;
};

static struct flights stress_flights;
static struct loop owner;
static struct mail closing;
static struct inn inns[LOOPS];
static _Atomic int running[KEYS], errands;
static bool stopping; /* the owner loop's own, as the next two */
static int unfinished;
static unsigned owner_random = 7;

static void on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct errand, timer));
    if (--unfinished == 0 && stopping)
        loop_stop(&owner);
}

static void finish_errand(struct errand *errand)
{
    struct flight_answer answer = {.size = (uint64_t)errand->key};

    if (errand->key == 0)
        answer.err = ERR_UPSTREAM_FAILED;
    else
        answer.bytes = bytes_new();
    if (answer.bytes != NULL)
        buf_printf(&answer.bytes->data, "%d", errand->key);
    running[errand->key]--;
    flight_finish(&stress_flights, &errand->flight, &answer);
    bytes_unref(answer.bytes);
    uv_close((uv_handle_t *)&errand->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    finish_errand(container_of(timer, struct errand, timer));
}

static void on_errand(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, flight.start);

    unfinished++;
    uv_timer_init(&owner.uv, &errand->timer);
    if (rand_r(&owner_random) % 2 == 0)
        finish_errand(errand);
    else
        uv_timer_start(&errand->timer, on_timer, (uint64_t)(rand_r(&owner_random) % 3), 0);
}

static struct flight *errand_new(void *argument)
{
    struct errand *errand = check_calloc(1, sizeof(*errand));

    errand->key = *(const int *)argument;
    CHECK(++running[errand->key] == 1);
    errands++;
    errand->flight.loop = &owner;
    errand->flight.start.deliver = on_errand;
    return &errand->flight;
}

/* All callers have gone, and no errand is on its way but in this inbox. */
static void on_closing(struct mail *mail)
{
    (void)mail;
    stopping = true;
    if (unfinished == 0)
        loop_stop(&owner);
}

static void take_seat(struct inn *inn, int seat);

static void give_seat(struct inn *inn, struct guest *guest)
{
    int seat = guest->seat;

    inn->seats[seat] = NULL;
    free(guest);
    inn->seated--;
    take_seat(inn, seat);
}

static void send_away(struct inn *inn, struct guest *guest)
{
    flight_leave(&stress_flights, &guest->caller);
    inn->left++;
    give_seat(inn, guest);
}

static void on_served(struct mail *mail)
{
    struct guest *guest = container_of(mail, struct guest, caller.mail);
    struct inn *inn = container_of(guest->caller.loop, struct inn, loop);
    struct flight_answer *answer = &guest->caller.answer;
    char expected[16];

    (void)snprintf(expected, sizeof(expected), "%d", guest->key);
    CHECK(answer->size == (uint64_t)guest->key);
    CHECK((answer->err == OK) == (guest->key != 0) && (answer->err == OK) == !!answer->bytes);
    CHECK(answer->bytes == NULL || strcmp(answer->bytes->data.data, expected) == 0);
    bytes_unref(answer->bytes);
    inn->answered++;
    struct guest *neighbour = inn->seats[rand_r(&inn->random) % SEATS];
    if (neighbour != NULL && neighbour != guest && rand_r(&inn->random) % 3 == 0)
        send_away(inn, neighbour);
    give_seat(inn, guest);
}

static void take_seat(struct inn *inn, int seat)
{
    unsigned char key[FLIGHT_KEY_SIZE] = {0};

    if (inn->came == ASKERS) {
        if (inn->seated == 0)
            loop_stop(&inn->loop);
        return;
    }
    struct guest *guest = check_calloc(1, sizeof(*guest));
    inn->came++;
    inn->seated++;
    inn->seats[seat] = guest;
    guest->seat = seat;
    guest->key = rand_r(&inn->random) % KEYS;
    guest->caller.loop = &inn->loop;
    guest->caller.mail.deliver = on_served;
    key[1] = (unsigned char)guest->key;
    flight_join(&stress_flights, key, &guest->caller, errand_new, &guest->key);
    if (rand_r(&inn->random) % 10 == 0)
        send_away(inn, guest);
}

static void *host(void *argument)
{
    struct inn *inn = argument;

    inn->loop.thread = pthread_self();
    for (int seat = 0; seat < SEATS; seat++)
        take_seat(inn, seat);
    loop_run(&inn->loop);
    return NULL;
}

static void flight__survives_callers_that_come_and_go(void **state)
{
    pthread_t hosts[LOOPS];

    (void)state;
    flights_init(&stress_flights);
    loop_init(&owner, "owner", false);
    loop_start(&owner);
    for (int i = 0; i < LOOPS; i++) {
        loop_init(&inns[i].loop, "inn", false);
        inns[i].random = (unsigned)i + 1;
        pthread_create(&hosts[i], NULL, host, &inns[i]);
    }
    for (int i = 0; i < LOOPS; i++) {
        pthread_join(hosts[i], NULL);
        loop_release(&inns[i].loop);
        assert_int_equal(inns[i].answered + inns[i].left, ASKERS);
        assert_true(inns[i].answered > 0 && inns[i].left > 0);
    }
    closing.deliver = on_closing;
    loop_post(&owner, &closing);
    loop_join(&owner);
    loop_release(&owner);
    flights_release(&stress_flights);
    assert_in_range(errands, 1, LOOPS * ASKERS / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flight_key__differs_with_the_texts),
        TEST(flight_join__makes_one_flight_for_all),
        TEST(flight_join__starts_anew_after_the_answer),
        TEST(flight_join__keeps_keys_apart),
        TEST(flight_join__needs_no_caller),
        TEST(flight_finish__gives_a_reference_to_each),
        TEST(flight_leave__before_the_answer),
        TEST(flight_leave__does_not_stop_the_flight),
        TEST(flight_leave__while_the_answer_is_in_the_inbox),
        TEST(flight_leave__after_the_answer),
        cmocka_unit_test(flight__survives_callers_that_come_and_go),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
