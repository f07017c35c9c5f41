#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"

enum {
    PROBE_STRIDE = 1 << 20,
    FOLIO_MAX = 2 << 20, /* of the page cache; each lies at a multiple of its own size */
};

static void on_work(uv_work_t *request)
{
    struct disk_job *job = container_of(request, struct disk_job, request);

    job->work(job);
}

static void on_done(uv_work_t *request, int status)
{
    struct disk_job *job = container_of(request, struct disk_job, request);
    LOOP_CALLBACK(job->loop);

    CHECK(status == 0);
    job->done(job);
}

void disk_run(struct disk_job *job, struct loop *loop)
{
    loop_check_thread(loop);
    job->loop = loop;
    CHECK(uv_queue_work(&loop->uv, &job->request, on_work, on_done) == 0);
}

static bool is_page_warm(int fd, uint64_t offset)
{
    char byte;
    struct iovec into = {&byte, 1};

    if (preadv2(fd, &into, 1, (off_t)offset, RWF_NOWAIT) >= 0)
        return true;
    return errno != EAGAIN;
}

bool disk_is_warm(int fd, uint64_t offset, uint64_t length)
{
    for (uint64_t at = offset; at < offset + length; at += PROBE_STRIDE)
        if (!is_page_warm(fd, at))
            return false;
    return length <= 4096 || is_page_warm(fd, offset + length - 1);
}

void disk_warm(int fd, uint64_t offset, uint64_t length)
{
    char scratch[65536];

    (void)posix_fadvise(fd, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
    while (length > 0) {
        size_t part = length < sizeof(scratch) ? (size_t)length : sizeof(scratch);
        ssize_t got = pread(fd, scratch, part, (off_t)offset);
        if (got <= 0)
            return; /* the reader will meet the same error and end its answer */
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
}

enum err disk_write(int fd, const void *data, uint64_t length, uint64_t offset)
{
    const char *at = data;

    while (length > 0) {
        ssize_t written = pwrite(fd, at, length, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return err_of_errno(written < 0 ? errno : ENOSPC);
        at += written;
        offset += (uint64_t)written;
        length -= (uint64_t)written;
    }
    return OK;
}

void disk_punch(int fd, uint64_t offset, uint64_t length)
{
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}

/* Unlike is_page_warm() it has nothing read ahead. */
static bool is_page_cached(int fd, uint64_t offset)
{
    long size = sysconf(_SC_PAGESIZE);
    unsigned char cached = 1;

    void *page = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, (off_t)offset / size * size);
    if (page == MAP_FAILED)
        return true;
    (void)mincore(page, (size_t)size, &cached);
    (void)munmap(page, (size_t)size);
    return (cached & 1) != 0;
}

/* Whether the page cache holds nothing at the ends of this range, or only pages: on tmpfs, which
 * cannot forget, a folio is one (unless it is mounted with huge=). */
static bool has_clear_ends(int fd, uint64_t start, uint64_t end)
{
    struct statfs system;

    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (!is_page_cached(fd, start) && !is_page_cached(fd, end - 1))
        return true;
    return fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

uint64_t disk_punch_unsent(int fd, uint64_t offset, uint64_t length)
{
    struct stat file;

    if (fstat(fd, &file) != 0 || (uint64_t)file.st_size <= offset)
        return 0;
    uint64_t start = offset, end = offset + length;
    uint64_t data_end = end < (uint64_t)file.st_size ? end : (uint64_t)file.st_size;
    if (fdatasync(fd) != 0)
        return data_end - offset;
    if (!has_clear_ends(fd, offset, data_end)) {
        start = (offset + FOLIO_MAX - 1) / FOLIO_MAX * FOLIO_MAX;
        end = data_end / FOLIO_MAX * FOLIO_MAX;
    }
    if (start >= end)
        return data_end - offset;
    disk_punch(fd, start, end - start);
    return start - offset + (data_end > end ? data_end - end : 0);
}

enum err disk_read(int fd, void *data, uint64_t length, uint64_t offset)
{
    char *at = data;

    while (length > 0) {
        ssize_t got = pread(fd, at, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_DISK_FAILED;
        at += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return OK;
}

enum err disk_make_parents(int directory, const char *path)
{
    char folder[512];

    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);
        CHECK(length < sizeof(folder));
        memcpy(folder, path, length);
        folder[length] = '\0';
        if (length > 0 && mkdirat(directory, folder, 0755) != 0 && errno != EEXIST)
            return err_of_errno(errno);
    }
    return OK;
}

enum err disk_sync_parent(int directory, const char *path)
{
    char folder[512] = ".";
    const char *slash = strrchr(path, '/');

    if (slash != NULL) {
        size_t length = (size_t)(slash - path);
        CHECK(length < sizeof(folder));
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    int fd = openat(directory, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_of_errno(errno);
    enum err err = fsync(fd) == 0 ? OK : err_of_errno(errno);
    close(fd);
    return err;
}
