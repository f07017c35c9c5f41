/*
 * Preloaded into the product: from byte BADSECTOR_AT on, files cannot be read any more (EIO) whose
 * inodes stand in the file that BADSECTOR_INODES names, each between blanks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* How many of `length` bytes at `offset` there are to be had; -1: none. */
static ssize_t readable(int fd, off_t offset, size_t length)
{
    char inodes[4096] = "", inode[32];
    off_t bad = strtoll(getenv("BADSECTOR_AT"), NULL, 10);
    struct stat file;
    int list = open(getenv("BADSECTOR_INODES"), O_RDONLY);

    if (list >= 0) {
        if (read(list, inodes, sizeof inodes - 1) < 0)
            inodes[0] = '\0';
        close(list);
    }
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        return (ssize_t)length;
    snprintf(inode, sizeof inode, " %lu ", (unsigned long)file.st_ino);
    if (strstr(inodes, inode) == NULL || offset + (off_t)length <= bad)
        return (ssize_t)length;
    errno = EIO;
    return offset < bad ? bad - offset : -1;
}

ssize_t pread(int fd, void *data, size_t length, off_t offset)
{
    ssize_t (*really)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
    ssize_t part = readable(fd, offset, length);

    return part < 0 ? -1 : really(fd, data, (size_t)part, offset);
}

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    ssize_t (*really)(int, const struct iovec *, int, off_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "preadv2");
    ssize_t part = readable(fd, offset, parts[0].iov_len);

    return part < 0 ? -1 : really(fd, parts, count, offset, flags);
}

ssize_t sendfile(int to, int fd, off_t *offset, size_t length)
{
    ssize_t (*really)(int, int, off_t *, size_t) =
        (ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile");
    ssize_t part = readable(fd, *offset, length);

    return part < 0 ? -1 : really(to, fd, offset, (size_t)part);
}

/* What cannot be read of a mapped file is not there: the kernel, reading it for a socket, says
 * EFAULT as it does when the disk fails. */
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *(*really)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    void *mapped = really(at, length, protection, flags, fd, offset);
    ssize_t part = fd < 0 || mapped == MAP_FAILED ? (ssize_t)length : readable(fd, offset, length);
    size_t good = part < 0 ? 0 : ((size_t)part + 4095) / 4096 * 4096;

    if (good < length)
        mprotect((char *)mapped + good, length - good, PROT_NONE);
    return mapped;
}

void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
