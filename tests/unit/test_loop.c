/* Unit tests of loops and mail, and a stress of posting from many threads. */
#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

static struct loop loop;
static char order[64]; /* the names of letters in the order in which they came */

struct letter {
    struct mail mail;
    char name;
    struct letter *takes_back; /* when it is delivered */
    struct letter *posts;
};

static void on_letter(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);
    size_t length = strlen(order);

    assert_true(length + 1 < sizeof(order));
    assert_false(list_is_linked(&mail->node)); /* it may be posted again */
    order[length] = letter->name;
    if (letter->takes_back != NULL)
        loop_recall(&loop, &letter->takes_back->mail);
    if (letter->posts != NULL)
        loop_post(&loop, &letter->posts->mail);
}

static struct letter letter_of(char name)
{
    return (struct letter){.mail.deliver = on_letter, .name = name};
}

static int setup(void **state)
{
    (void)state;
    memset(order, 0, sizeof(order));
    loop_init(&loop, "test", false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    return 0;
}

static void turn(void)
{
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void loop_post__delivers_in_order(void **state)
{
    struct letter a = letter_of('a'), b = letter_of('b'), c = letter_of('c');

    (void)state;
    loop_post(&loop, &b.mail);
    loop_post(&loop, &a.mail);
    loop_post(&loop, &c.mail);
    assert_string_equal(order, ""); /* never from inside */
    turn();
    assert_string_equal(order, "bac");
    turn();
    assert_string_equal(order, "bac"); /* once */
    loop_post(&loop, &a.mail);
    turn();
    assert_string_equal(order, "baca");
}

/* Whoever answers each mail by another must not keep the sockets waiting. */
static void loop_post__during_delivery_waits_for_the_next_turn(void **state)
{
    struct letter chatty = letter_of('x'), ping = letter_of('i'), pong = letter_of('o');

    (void)state;
    chatty.posts = &chatty;
    ping.posts = &pong;
    pong.posts = &ping;
    loop_post(&loop, &chatty.mail);
    loop_post(&loop, &ping.mail);
    turn();
    assert_string_equal(order, "xi");
    turn();
    assert_string_equal(order, "xixo");
    turn();
    assert_string_equal(order, "xixoxi");
    loop_recall(&loop, &chatty.mail);
    loop_recall(&loop, &pong.mail);
    turn();
    assert_string_equal(order, "xixoxi");
}

static void loop_recall__takes_back_what_was_posted(void **state)
{
    struct letter a = letter_of('a'), b = letter_of('b'), c = letter_of('c');

    (void)state;
    loop_post(&loop, &a.mail);
    loop_post(&loop, &b.mail);
    loop_post(&loop, &c.mail);
    loop_recall(&loop, &b.mail);
    loop_recall(&loop, &b.mail); /* harmless */
    turn();
    assert_string_equal(order, "ac");
    loop_recall(&loop, &a.mail); /* as is this */
    loop_post(&loop, &b.mail);
    turn();
    assert_string_equal(order, "acb");
}

static void loop_recall__of_all_leaves_the_loop_working(void **state)
{
    struct letter a = letter_of('a');

    (void)state;
    for (int i = 0; i < 3; i++) {
        loop_post(&loop, &a.mail);
        loop_recall(&loop, &a.mail);
    }
    turn();
    assert_string_equal(order, "");
    loop_post(&loop, &a.mail); /* the bell rings again */
    turn();
    assert_string_equal(order, "a");
}

static void loop_recall__reaches_the_same_burst(void **state)
{
    struct letter a = letter_of('a'), b = letter_of('b'), c = letter_of('c'), d = letter_of('d');

    (void)state;
    a.takes_back = &c;
    b.takes_back = &a; /* gone already */
    d.takes_back = &d;
    loop_post(&loop, &a.mail);
    loop_post(&loop, &b.mail);
    loop_post(&loop, &c.mail);
    loop_post(&loop, &d.mail);
    turn();
    assert_string_equal(order, "abd");
}

static void loop_recall__of_one_in_the_burst_may_be_posted_again(void **state)
{
    struct letter a = letter_of('a'), b = letter_of('b');

    (void)state;
    a.takes_back = a.posts = &b;
    loop_post(&loop, &a.mail);
    loop_post(&loop, &b.mail);
    turn();
    assert_string_equal(order, "a");
    turn();
    assert_string_equal(order, "ab");
}

static void loop_check_thread__aborts_elsewhere(void **state)
{
    int status;

    (void)state;
    loop_check_thread(&loop);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(0);
        signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers have theirs */
        loop.thread = (pthread_t)0;
        loop_check_thread(&loop);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void loop_now_ms__is_the_monotonic_clock(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_us();
    uv_update_time(&loop.uv);
    uint64_t now = loop_now_ms(&loop);
    uint64_t after = clock_monotonic_us();
    assert_true(now >= before / 1000 && now <= after / 1000);
    int64_t apart = clock_wall_ms() / 1000 - clock_wall_s(); /* whose clock ticks coarsely */
    assert_true(apart >= -1 && apart <= 1);
}

static void loop_date__is_an_imf_fixdate(void **state)
{
    struct tm date = {0};
    char again[64];

    (void)state;
    int64_t before = clock_wall_s();
    const char *text = loop_date(&loop);
    int64_t after = clock_wall_s();
    assert_int_equal(strlen(text), 29);
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
    assert_true(end != NULL && *end == '\0');
    assert_true(timegm(&date) >= before && timegm(&date) <= after);
    assert_true(strftime(again, sizeof(again), "%a, %d %b %Y %H:%M:%S GMT", &date) > 0);
    assert_string_equal(text, again);
    assert_ptr_equal(loop_date(&loop), text);
}

/* ---- the stress: threads post to a loop, which posts to itself and takes that back -------------
 * TSan catches a lock left out of loop_post or of loop_recall, the alarm a bell that is not rung;
 * each was seen to. */

enum { POSTERS = 4, LETTERS = 20000 };

struct parcel {
    struct mail mail;
    struct poster *from;
    int number;
};

struct poster {
    struct parcel *parcels; /* owned */
    int expected;           /* the loop's own: the next number */
};

static struct loop sorting;
static struct poster posters[POSTERS];
static int delivered; /* the loop's own */
static struct mail decoy;

static void on_decoy(struct mail *mail)
{
    CHECK(mail != &decoy); /* it was taken back */
}

static void on_parcel(struct mail *mail)
{
    struct parcel *parcel = container_of(mail, struct parcel, mail);

    CHECK(parcel->number == parcel->from->expected); /* in order, each once */
    parcel->from->expected++;
    loop_post(&sorting, &decoy);
    loop_recall(&sorting, &decoy);
    if (++delivered == POSTERS * LETTERS)
        loop_stop(&sorting);
}

static void *post_all(void *argument)
{
    struct poster *poster = argument;

    for (int i = 0; i < LETTERS; i++) {
        struct parcel *parcel = &poster->parcels[i];
        *parcel = (struct parcel){.mail.deliver = on_parcel, .from = poster, .number = i};
        loop_post(&sorting, &parcel->mail);
    }
    return NULL;
}

static void loop_post__survives_many_threads(void **state)
{
    pthread_t threads[POSTERS];

    (void)state;
    decoy.deliver = on_decoy;
    loop_init(&sorting, "sorting", false);
    loop_start(&sorting);
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.parcels = check_calloc(LETTERS, sizeof(struct parcel))};
        pthread_create(&threads[i], NULL, post_all, &posters[i]);
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    loop_join(&sorting);
    assert_int_equal(delivered, POSTERS * LETTERS);
    for (int i = 0; i < POSTERS; i++)
        free(posters[i].parcels);
    loop_release(&sorting);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(loop_post__delivers_in_order),
        TEST(loop_post__during_delivery_waits_for_the_next_turn),
        TEST(loop_recall__takes_back_what_was_posted),
        TEST(loop_recall__of_all_leaves_the_loop_working),
        TEST(loop_recall__reaches_the_same_burst),
        TEST(loop_recall__of_one_in_the_burst_may_be_posted_again),
        TEST(loop_check_thread__aborts_elsewhere),
        TEST(loop_now_ms__is_the_monotonic_clock),
        TEST(loop_date__is_an_imf_fixdate),
        cmocka_unit_test(loop_post__survives_many_threads),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
