/* Unit tests of the disk's rest. */
#include "cache/disk_rest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void disk_rest_ask__lets_one_a_rest_try(void **state)
{
    struct disk_rest rest = {0};

    (void)state;
    assert_int_equal(disk_rest_ask(&rest, 5), OK);
    disk_rest_note(&rest, ERR_DISK_FULL, 1000);
    assert_int_equal(disk_rest_ask(&rest, 1000), ERR_DISK_FULL);
    assert_int_equal(disk_rest_ask(&rest, 1000 + DISK_REST_MS - 1), ERR_DISK_FULL);
    assert_int_equal(disk_rest_ask(&rest, 1000 + DISK_REST_MS), OK);
    assert_int_equal(disk_rest_ask(&rest, 1000 + DISK_REST_MS), ERR_DISK_FULL);
    assert_int_equal(disk_rest_ask(&rest, 1000 + 2 * DISK_REST_MS), OK); /* the first never ended */
}

static void disk_rest_note__says_why_until_a_write_succeeds(void **state)
{
    struct disk_rest rest = {0};

    (void)state;
    disk_rest_note(&rest, ERR_DISK_FULL, 1000);
    disk_rest_note(&rest, ERR_DISK_FAILED, 2000);
    assert_int_equal(disk_rest_ask(&rest, 1999 + DISK_REST_MS), ERR_DISK_FAILED);
    disk_rest_note(&rest, OK, 2001);
    assert_int_equal(disk_rest_ask(&rest, 2001), OK);
    assert_int_equal(disk_rest_ask(&rest, 2001), OK);
}

static void disk_rest_may_press__again_only_when_it_helped(void **state)
{
    struct disk_rest rest = {0};

    (void)state;
    disk_rest_note(&rest, ERR_DISK_FULL, 1000);
    assert_true(disk_rest_may_press(&rest, 1000));
    assert_false(disk_rest_may_press(&rest, 1001));
    disk_rest_note(&rest, ERR_DISK_FULL, 1002);
    assert_false(disk_rest_may_press(&rest, 999 + DISK_PRESS_PAUSE_MS));
    assert_true(disk_rest_may_press(&rest, 1000 + DISK_PRESS_PAUSE_MS));
    disk_rest_note(&rest, OK, 500000);
    assert_true(disk_rest_may_press(&rest, 500001));
    assert_false(disk_rest_may_press(&rest, 500002));
    disk_rest_allow_press(&rest);
    assert_true(disk_rest_may_press(&rest, 500003));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_rest_ask__lets_one_a_rest_try),
        cmocka_unit_test(disk_rest_note__says_why_until_a_write_succeeds),
        cmocka_unit_test(disk_rest_may_press__again_only_when_it_helped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
