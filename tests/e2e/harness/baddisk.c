/*
 * Preloaded into the product: a disk that fails while a test says so.
 *
 *   BADDISK_CONTROL  a file with "<errno> <part>": what makes, writes, resizes or syncs a file
 *                    whose path contains <part> fails with that errno. Without the file all goes
 *                    through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Whether that path fails now; sets errno. Past the wrappers below, which would ask again. */
static int fails(const char *path)
{
    const char *control = getenv("BADDISK_CONTROL");
    char text[200], part[100];
    int code = 0;

    int fd = control == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%d %99s", &code, part) != 2 || strstr(path, part) == NULL)
        return 0;
    errno = code;
    return 1;
}

static int fd_fails(int fd)
{
    char link[64], path[4096];
    int before = errno;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    path[length > 0 ? length : 0] = '\0';
    return path[0] == '/' && fails(path);
}

#define REALLY(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    ssize_t (*really)(int, const void *, size_t, off_t) = REALLY("pwrite", typeof(really));

    return fd_fails(fd) ? -1 : really(fd, data, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t (*really)(int, const struct iovec *, int, off_t) = REALLY("pwritev", typeof(really));

    return fd_fails(fd) ? -1 : really(fd, parts, count, offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
    ssize_t (*really)(int, const void *, size_t) = REALLY("write", typeof(really));

    return fd_fails(fd) ? -1 : really(fd, data, length);
}

int fdatasync(int fd)
{
    int (*really)(int) = REALLY("fdatasync", typeof(really));

    return fd_fails(fd) ? -1 : really(fd);
}

int fsync(int fd)
{
    int (*really)(int) = REALLY("fsync", typeof(really));

    return fd_fails(fd) ? -1 : really(fd);
}

int ftruncate(int fd, off_t length)
{
    int (*really)(int, off_t) = REALLY("ftruncate", typeof(really));

    return fd_fails(fd) ? -1 : really(fd, length);
}

int openat(int directory, const char *path, int flags, ...)
{
    int (*really)(int, const char *, int, ...) = REALLY("openat", typeof(really));
    unsigned mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, unsigned);
        va_end(arguments);
        if (fails(path))
            return -1;
    }
    return really(directory, path, flags, mode);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    int (*really)(int, const char *, mode_t) = REALLY("mkdirat", typeof(really));

    return fails(path) ? -1 : really(directory, path, mode);
}

int renameat(int from, const char *old, int to, const char *new)
{
    int (*really)(int, const char *, int, const char *) = REALLY("renameat", typeof(really));

    return fails(old) || fails(new) ? -1 : really(from, old, to, new);
}

ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
