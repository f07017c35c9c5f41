/* Unit tests of file calls that may sleep, and of the jobs that make them. */
#include "io/disk.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/list.h"

/* ---- jobs ---- */

static struct loop loop;
static _Atomic int worked;
static int ended;

struct sum {
    struct disk_job job;
    int terms, result;
};

static void on_work(struct disk_job *job)
{
    struct sum *sum = container_of(job, struct sum, job);

    CHECK(!pthread_equal(pthread_self(), loop.thread));
    for (int i = 1; i <= sum->terms; i++)
        sum->result += i;
    worked++;
}

static void on_done(struct disk_job *job)
{
    struct sum *sum = container_of(job, struct sum, job);

    loop_check_thread(&loop);
    assert_int_equal(sum->result, sum->terms * (sum->terms + 1) / 2);
    ended++;
    if (sum->terms % 2 == 1) { /* a job may be run again when it has ended */
        sum->terms++;
        sum->result = 0;
        disk_run(job, &loop);
    } else {
        free(sum);
    }
}

static void disk_run__works_elsewhere_and_ends_here(void **state)
{
    enum { JOBS = 200 };

    (void)state;
    loop_init(&loop, "test", false);
    for (int i = 0; i < JOBS; i++) {
        struct sum *sum = check_calloc(1, sizeof(*sum));
        sum->terms = i;
        sum->job.work = on_work;
        sum->job.done = on_done;
        disk_run(&sum->job, &loop);
    }
    assert_int_equal(ended, 0); /* never from inside */
    while (ended < JOBS + JOBS / 2)
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_int_equal(worked, ended);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
}

/* ---- bytes ---- */

static void disk_read__gives_what_was_written(void **state)
{
    char text[] = "0123456789", found[11] = "";
    int fd = memfd_create("disk", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(disk_write(fd, text, 10, 100), OK);
    assert_int_equal(disk_write(fd, "ab", 2, 103), OK);
    assert_int_equal(disk_write(fd, NULL, 0, 0), OK);
    assert_int_equal(disk_read(fd, found, 10, 100), OK);
    assert_string_equal(found, "012ab56789");
    assert_int_equal(disk_read(fd, found, 2, 98), OK);
    assert_memory_equal(found, "\0\0", 2);
    assert_int_equal(disk_read(fd, NULL, 0, 5000), OK);
    close(fd);
}

static void disk_read__fails_behind_the_end(void **state)
{
    char found[20];
    int fd = memfd_create("disk", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(disk_write(fd, "0123456789", 10, 0), OK);
    assert_int_equal(disk_read(fd, found, 11, 0), ERR_DISK_FAILED);
    assert_int_equal(disk_read(fd, found, 1, 10), ERR_DISK_FAILED);
    close(fd);
    assert_int_equal(disk_read(-1, found, 1, 0), ERR_DISK_FAILED);
}

static void disk_write__tells_a_full_disk_from_a_broken_one(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(fd, "x", 1, 0), ERR_DISK_FULL);
    close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(disk_write(fd, "x", 1, 0), ERR_DISK_FAILED);
    close(fd);
}

static void disk_is_warm__of_what_was_just_written(void **state)
{
    enum { SIZE = 1 << 20 };
    char *zeros = check_calloc(1, SIZE);
    int fd = memfd_create("disk", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(disk_write(fd, zeros, SIZE, 0), OK);
    assert_true(disk_is_warm(fd, 0, SIZE));
    assert_true(disk_is_warm(fd, 5, 1));
    assert_true(disk_is_warm(fd, SIZE, 1)); /* behind the end there is nothing to wait for */
    disk_warm(fd, 0, SIZE);
    disk_warm(fd, SIZE - 10, 1000); /* ends at the end */
    disk_warm(-1, 0, 10);
    assert_true(disk_is_warm(-1, 0, 10)); /* the reader will meet the error */
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    close(fd);
    free(zeros);
}

/* ---- holes ---- */

enum { FILE_SIZE = 256 * 1024, HOLE = 100001, HOLE_LENGTH = 70001 };

static int file_of_ones(char *ones)
{
    char name[] = "disk-XXXXXX"; /* beside the build: /tmp may be in memory */
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    memset(ones, 1, FILE_SIZE);
    assert_int_equal(disk_write(fd, ones, FILE_SIZE, 0), OK);
    return fd;
}

static void disk_punch_unsent__leaves_what_is_beside(void **state)
{
    static char ones[FILE_SIZE], found[FILE_SIZE];
    int fd = file_of_ones(ones);

    (void)state;
    assert_int_equal(disk_punch_unsent(fd, HOLE, HOLE_LENGTH), 0);
    assert_int_equal(disk_read(fd, found, FILE_SIZE, 0), OK);
    for (size_t i = 0; i < FILE_SIZE; i++)
        assert_int_equal(found[i], i < HOLE || i >= HOLE + HOLE_LENGTH);
    assert_int_equal(disk_punch_unsent(fd, 200000, 1 << 20), 0); /* over the end */
    assert_int_equal(disk_read(fd, found, FILE_SIZE, 0), OK);
    assert_int_equal(found[199999], 1);
    assert_int_equal(found[200000], 0);
    assert_int_equal(found[FILE_SIZE - 1], 0);
    assert_int_equal(disk_punch_unsent(fd, 0, 0), 0);
    assert_int_equal(disk_punch_unsent(fd, FILE_SIZE, 4096), 0);
    assert_int_equal(disk_punch_unsent(-1, 0, 4096), 0);
    close(fd);
}

static void disk_punch_unsent__leaves_what_a_socket_holds(void **state)
{
    static char ones[FILE_SIZE], found[FILE_SIZE];
    int fd = file_of_ones(ones), ends[2];
    off_t from = 50000;
    size_t sent = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t got; (got = sendfile(ends[0], fd, &from, FILE_SIZE)) > 0;)
        sent += (size_t)got;
    assert_true(sent > HOLE + 1000 - 50000);
    assert_int_equal(disk_punch_unsent(fd, HOLE, HOLE_LENGTH), HOLE_LENGTH);
    close(ends[0]);
    for (size_t at = 0; at < sent;) {
        ssize_t got = read(ends[1], found + at, sizeof(found) - at);
        assert_true(got > 0);
        at += (size_t)got;
    }
    assert_memory_equal(found, ones, sent);
    close(ends[1]);
    assert_int_equal(disk_punch_unsent(fd, HOLE, HOLE_LENGTH), 0); /* now it may */
    assert_int_equal(disk_read(fd, found, FILE_SIZE, 0), OK);
    assert_int_equal(found[HOLE], 0);
    close(fd);
}

/* A file in memory has nothing to forget. */
static void disk_punch_unsent__works_on_tmpfs(void **state)
{
    static char ones[FILE_SIZE], found[FILE_SIZE];
    int fd = memfd_create("disk", MFD_CLOEXEC);
    struct stat file;

    (void)state;
    memset(ones, 1, FILE_SIZE);
    assert_int_equal(disk_write(fd, ones, FILE_SIZE, 0), OK);
    assert_int_equal(disk_punch_unsent(fd, 4096, FILE_SIZE), 0);
    assert_int_equal(disk_read(fd, found, FILE_SIZE, 0), OK);
    assert_int_equal(found[4095], 1);
    assert_int_equal(found[4096], 0);
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(file.st_blocks * 512, 4096);
    close(fd);
}

/* ---- folders ---- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static void disk_make_parents__makes_what_is_missing(void **state)
{
    char folder[] = "/tmp/entrepot-disk-XXXXXX", path[128];
    struct stat status;

    (void)state;
    assert_non_null(mkdtemp(folder));
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(disk_make_parents(directory, "a/b/c/file"), OK);
    assert_int_equal(fstatat(directory, "a/b/c", &status, 0), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_true(fstatat(directory, "a/b/c/file", &status, 0) != 0);
    assert_int_equal(disk_make_parents(directory, "file"), OK);
    (void)snprintf(path, sizeof(path), "%s/x/y/", folder); /* from the root; all are folders */
    assert_int_equal(disk_make_parents(AT_FDCWD, path), OK);
    assert_int_equal(fstatat(directory, "x/y", &status, 0), 0);

    assert_int_equal(disk_sync_parent(directory, "a/b/c/file"), OK);
    assert_int_equal(disk_sync_parent(directory, "file"), OK);
    assert_int_equal(disk_sync_parent(directory, "z/file"), ERR_DISK_FAILED);
    int file = openat(directory, "plain", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    close(file);
    assert_int_equal(disk_make_parents(directory, "plain/b/file"), ERR_DISK_FAILED);
    close(directory);
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_run__works_elsewhere_and_ends_here),
        cmocka_unit_test(disk_read__gives_what_was_written),
        cmocka_unit_test(disk_read__fails_behind_the_end),
        cmocka_unit_test(disk_write__tells_a_full_disk_from_a_broken_one),
        cmocka_unit_test(disk_is_warm__of_what_was_just_written),
        cmocka_unit_test(disk_punch_unsent__leaves_what_is_beside),
        cmocka_unit_test(disk_punch_unsent__leaves_what_a_socket_holds),
        cmocka_unit_test(disk_punch_unsent__works_on_tmpfs),
        cmocka_unit_test(disk_make_parents__makes_what_is_missing),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
