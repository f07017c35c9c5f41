/* Unit tests of reading a file again, past the page cache and not. */
#include "cache/rehash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/disk.h"

enum { PIECE = 1 << 20 };

static char folder[64], path[96];
static int directory;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-rehash-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    close(directory);
    (void)unlink(path);
    return rmdir(folder);
}

struct count {
    uint64_t bytes;
    unsigned pieces, stop_at;
};

static bool on_piece(void *argument, uint64_t length)
{
    struct count *count = argument;

    count->bytes += length;
    assert_true(length > 0 && length <= PIECE);
    return ++count->pieces != count->stop_at;
}

/* The outputs are set when it is DONE. */
static enum rehash_result rehash(int fd, struct count *count, struct digest *ret_digest,
                                 uint64_t *ret_size)
{
    struct rehash reading;

    rehash_init(&reading, fd, DIGEST_SHA256);
    enum rehash_result result = rehash_run(&reading, on_piece, count);
    if (result == REHASH_DONE) {
        *ret_size = reading.size;
        rehash_finish(&reading, ret_digest);
    }
    errno = reading.number;
    rehash_release(&reading);
    return result;
}

/* A file of so many bytes; its digest. */
static struct digest make_file(uint64_t size)
{
    char *data = malloc(size + 1);
    struct digest digest;

    for (uint64_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + (i >> 13));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(fd, data, size, 0), OK);
    assert_int_equal(fsync(fd), 0);
    close(fd);
    digest_of(DIGEST_SHA256, data, size, &digest);
    free(data);
    return digest;
}

static void assert_rehashed(int fd, const struct digest *digest, uint64_t size)
{
    struct count count = {0};
    struct digest found;
    uint64_t found_size = 0;

    assert_true(fd >= 0);
    assert_int_equal(rehash(fd, &count, &found, &found_size), REHASH_DONE);
    assert_true(found_size == size && count.bytes == size);
    assert_true(digest_equal(&found, digest));
    close(fd);
}

static void rehash_run__agrees_with_what_was_written(void **state)
{
    static const uint64_t sizes[] = {0,    1,         511,   512,       4095,      4096,
                                     4097, PIECE - 1, PIECE, PIECE + 1, PIECE * 3, 5000000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct digest digest = make_file(sizes[i]);
        assert_rehashed(rehash_open(directory, "file"), &digest, sizes[i]);
        assert_rehashed(open(path, O_RDONLY | O_CLOEXEC), &digest, sizes[i]);
    }
}

/* How many of the file's pages are in the page cache. */
static size_t pages_in_memory(uint64_t size)
{
    size_t pages = (size + 4095) / 4096, count = 0;
    unsigned char *in = calloc(pages, 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, size, in), 0);
    for (size_t i = 0; i < pages; i++)
        count += in[i] & 1;
    munmap(map, size);
    close(fd);
    free(in);
    return count;
}

/* Cold stays cold, and hot stays hot, whichever way it is read; the kernel may take a page or two
 * at any time. */
static void rehash_run__leaves_the_page_cache_alone(void **state)
{
    enum { SIZE = 6 * PIECE, PAGES = SIZE / 4096, MOST = PAGES - 64 };
    struct digest digest = make_file(SIZE);

    (void)state;
    for (int direct = 0; direct < 2; direct++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        if (pages_in_memory(SIZE) > 0) { /* a file system in memory */
            close(fd);
            return;
        }
        assert_rehashed(direct ? rehash_open(directory, "file") : dup(fd), &digest, SIZE);
        assert_in_range(pages_in_memory(SIZE), 0, 64); /* what was read ahead */
        disk_warm(fd, 0, SIZE);
        assert_in_range(pages_in_memory(SIZE), MOST, PAGES);
        assert_rehashed(direct ? rehash_open(directory, "file") : dup(fd), &digest, SIZE);
        assert_in_range(pages_in_memory(SIZE), MOST, PAGES);
        close(fd);
    }
}

static void rehash_run__stops_when_told_to(void **state)
{
    struct count count = {.stop_at = 2};
    struct digest found = {0};
    uint64_t size = 77;

    (void)state;
    make_file(5 * PIECE);
    int fd = rehash_open(directory, "file");
    assert_int_equal(rehash(fd, &count, &found, &size), REHASH_STOPPED);
    assert_true(count.pieces == 2 && size == 77);
    close(fd);
}

static void rehash_run__tells_a_loss_from_what_may_pass(void **state)
{
    struct count count = {0};
    struct digest found;
    uint64_t size;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC); /* at 0 there is none: EIO */

    (void)state;
    assert_int_equal(rehash(memory, &count, &found, &size), REHASH_UNREADABLE);
    close(memory);
    assert_int_equal(rehash(directory, &count, &found, &size), REHASH_FAILED);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(count.pieces, 0);
}

static void rehash_open__opens_no_link(void **state)
{
    (void)state;
    assert_int_equal(rehash_open(directory, "file"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(rehash_open(directory, "file"), -1);
    assert_int_equal(errno, ELOOP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rehash_run__agrees_with_what_was_written),
        TEST(rehash_run__leaves_the_page_cache_alone),
        TEST(rehash_run__stops_when_told_to),
        TEST(rehash_run__tells_a_loss_from_what_may_pass),
        TEST(rehash_open__opens_no_link),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
