/* Unit tests of hashing a file behind its filling: the digest is that of the whole, however it
 * grew. */
#include "cache/hashing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 9 << 20 }; /* more than one job hashes */

static char *content;
static int fd;
static struct loop loop;
static struct hashing hashing;
static int reports;

static int setup(void **state)
{
    unsigned random = 1;

    (void)state;
    reports = 0;
    content = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)rand_r(&random);
    fd = memfd_create("hashing", MFD_CLOEXEC);
    loop_init(&loop, "test", false);
    return fd >= 0 && disk_write(fd, content, SIZE, 0) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hashing_release(&hashing);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    close(fd);
    free(content);
    return 0;
}

static void on_progress(struct hashing *which)
{
    assert_ptr_equal(which, &hashing);
    assert_false(which->running);
    reports++;
}

/* Until no job is running. */
static void wait_for_job(void)
{
    while (hashing.running)
        uv_run(&loop.uv, UV_RUN_ONCE);
}

static void hash_up_to(uint64_t end)
{
    while (hashing.done < end && hashing.err == OK) {
        hashing_go(&hashing, &loop, fd, end);
        wait_for_job();
    }
}

static void assert_digest(enum digest_algorithm algorithm, size_t length)
{
    struct digest expected, found;

    digest_of(algorithm, content, length, &expected);
    hashing_finish(&hashing, &found);
    assert_true(digest_equal(&expected, &found));
}

static void hashing_go__hashes_what_is_there(void **state)
{
    (void)state;
    hashing_init(&hashing, DIGEST_SHA256, on_progress);
    hash_up_to(SIZE);
    assert_int_equal(hashing.done, SIZE);
    assert_true(reports > 1); /* a job is short, so that the pool is for others too */
    assert_digest(DIGEST_SHA256, SIZE);
}

static void hashing_go__follows_a_file_that_grows(void **state)
{
    static const uint64_t ends[] = {1, 2, 4096, 4097, 200000, 200000, 131072, 8 << 20, SIZE};

    (void)state;
    hashing_init(&hashing, DIGEST_SHA512, on_progress);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        hash_up_to(ends[i]);
        assert_true(hashing.done >= ends[i]);
    }
    assert_digest(DIGEST_SHA512, SIZE);
}

static void hashing_go__lets_a_running_job_end(void **state)
{
    (void)state;
    hashing_init(&hashing, DIGEST_SHA256, on_progress);
    hashing_go(&hashing, &loop, fd, 1000);
    assert_true(hashing.running && reports == 0);
    hashing_go(&hashing, &loop, fd, 5000); /* to be said again */
    wait_for_job();
    assert_true(hashing.done == 1000 && reports == 1);
    hashing_go(&hashing, &loop, fd, 1000); /* nothing new */
    hashing_go(&hashing, &loop, fd, 500);
    assert_false(hashing.running);
    hashing_go(&hashing, &loop, fd, 5000);
    wait_for_job();
    assert_digest(DIGEST_SHA256, 5000);
}

static void hashing_finish__of_nothing(void **state)
{
    (void)state;
    hashing_init(&hashing, DIGEST_SHA256, on_progress);
    hashing_go(&hashing, &loop, fd, 0);
    assert_false(hashing.running);
    assert_digest(DIGEST_SHA256, 0);
}

static void hashing_go__stops_at_what_cannot_be_read(void **state)
{
    (void)state;
    hashing_init(&hashing, DIGEST_SHA256, on_progress);
    assert_int_equal(ftruncate(fd, 1000), 0);
    hashing_go(&hashing, &loop, fd, 2000);
    wait_for_job();
    assert_int_equal(hashing.err, ERR_DISK_FAILED);
    assert_int_equal(reports, 1);
    hashing_go(&hashing, &loop, fd, 2000); /* it stays so */
    assert_false(hashing.running);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hashing_go__hashes_what_is_there),         TEST(hashing_go__follows_a_file_that_grows),
        TEST(hashing_go__lets_a_running_job_end),       TEST(hashing_finish__of_nothing),
        TEST(hashing_go__stops_at_what_cannot_be_read),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
