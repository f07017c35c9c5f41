/*
 * Preloaded into the product: keeps a copy of each file as it was when it was last synced, and
 * tells another boot id. A test that pulls the plug puts the copies back: what was not synced is
 * lost.
 *
 *   POWERLOSS_COPIES   the folder of the copies, named <device>-<inode>
 *   POWERLOSS_BOOT_ID  the file that is read in place of /proc/sys/kernel/random/boot_id
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char boot_id[] = "/proc/sys/kernel/random/boot_id";

static int open_really(const char *path, int flags, unsigned mode)
{
    int (*really)(int, const char *, int, ...) =
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");

    return really(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    const char *fake = getenv("POWERLOSS_BOOT_ID");
    unsigned mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, unsigned);
        va_end(arguments);
    }
    return open_really(fake != NULL && strcmp(path, boot_id) == 0 ? fake : path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

/* What was written since it was last synced; the newest range grows while writes follow it. */
static struct written {
    dev_t device;
    ino_t inode;
    off_t start, end;
} list[1 << 16];
static size_t count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void note(const struct stat *file, off_t start, off_t end)
{
    pthread_mutex_lock(&mutex);
    size_t i = count;
    while (i > 0 &&
           !(list[i - 1].device == file->st_dev && list[i - 1].inode == file->st_ino &&
             list[i - 1].end == start) &&
           count - i < 64)
        i--;
    if (i > 0 && count - i < 64)
        list[i - 1].end = end;
    else if (count == sizeof list / sizeof *list)
        abort();
    else
        list[count++] = (struct written){file->st_dev, file->st_ino, start, end};
    pthread_mutex_unlock(&mutex);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    ssize_t (*really)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    ssize_t written = really(fd, data, length, offset);
    struct stat file;

    if (written > 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode))
        note(&file, offset, offset + written);
    return written;
}

ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

static void copy_range(int from, int to, off_t at, off_t end)
{
    ssize_t (*really)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    static __thread char buffer[1 << 18];

    while (at < end) {
        size_t part = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
        ssize_t got = pread(from, buffer, part, at);
        if (got <= 0 || really(to, buffer, (size_t)got, at) != got)
            abort();
        at += got;
    }
}

int fdatasync(int fd)
{
    int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    const char *folder = getenv("POWERLOSS_COPIES");
    struct written *mine;
    size_t found = 0, kept = 0;
    struct stat file;
    char path[512];

    if (folder == NULL || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        return really(fd);
    pthread_mutex_lock(&mutex); /* before it: what is written meanwhile is not synced */
    mine = malloc((count + 1) * sizeof *mine);
    for (size_t i = 0; i < count; i++)
        if (list[i].device == file.st_dev && list[i].inode == file.st_ino)
            mine[found++] = list[i];
        else
            list[kept++] = list[i];
    count = kept;
    pthread_mutex_unlock(&mutex);
    int code = really(fd);
    snprintf(path, sizeof path, "%s/%lu-%lu", folder, (unsigned long)file.st_dev,
             (unsigned long)file.st_ino);
    int to = open_really(path, O_WRONLY | O_CREAT, 0644);
    for (size_t i = 0; code == 0 && i < found; i++)
        copy_range(fd, to, mine[i].start, mine[i].end);
    close(to);
    free(mine);
    return code;
}
