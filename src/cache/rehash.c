#include "cache/rehash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "io/disk.h"

enum { PIECE = 1 << 20, ALIGNMENT = 4096 };

int rehash_open(int directory, const char *path)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK; /* it may be no file */
    int fd = openat(directory, path, flags | O_DIRECT);

    return fd < 0 && errno == EINVAL ? openat(directory, path, flags) : fd;
}

static void go_plain(struct rehash *rehash)
{
    int flags = fcntl(rehash->fd, F_GETFL);

    rehash->direct = false;
    (void)fcntl(rehash->fd, F_SETFL, flags & ~O_DIRECT);
    /* What was read ahead could not be told from what was there before. */
    (void)posix_fadvise(rehash->fd, 0, 0, POSIX_FADV_RANDOM);
}

/* As pread() does; a second time when the disk cannot. */
static ssize_t read_piece(struct rehash *rehash, uint64_t at)
{
    bool again = true;

    for (;;) {
        ssize_t got = pread(rehash->fd, rehash->piece, rehash->room, (off_t)at);
        if (got >= 0)
            return got;
        if (errno == EINVAL && rehash->direct)
            go_plain(rehash); /* it may be opened so, but not read */
        else if (err_is_loss(errno) && again)
            again = false;
        else if (errno != EINTR)
            return -1;
    }
}

/* The same, leaving the page cache as it was. */
static ssize_t read_aside(struct rehash *rehash, uint64_t at)
{
    bool was_cold = !rehash->direct && !disk_is_warm(rehash->fd, at, rehash->room);
    ssize_t got = read_piece(rehash, at);

    if (got > 0 && was_cold)
        (void)posix_fadvise(rehash->fd, (off_t)at, got, POSIX_FADV_DONTNEED);
    return got;
}

/* A piece is as large as the file, if that is small. */
static size_t room_for(int fd)
{
    struct stat file;

    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size >= PIECE)
        return PIECE;
    return ((size_t)file.st_size / ALIGNMENT + 1) * ALIGNMENT;
}

void rehash_init(struct rehash *rehash, int fd, enum digest_algorithm algorithm)
{
    *rehash = (struct rehash){
        .fd = fd, .direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0, .room = room_for(fd)};
    rehash->piece = aligned_alloc(ALIGNMENT, rehash->room);
    CHECK(rehash->piece != NULL);
    memset(rehash->piece, 0, rehash->room);
    hasher_init(&rehash->hasher, algorithm);
    if (!rehash->direct)
        go_plain(rehash);
}

void rehash_release(struct rehash *rehash)
{
    hasher_release(&rehash->hasher);
    free(rehash->piece);
    *rehash = (struct rehash){.fd = -1};
}

enum rehash_result rehash_run(struct rehash *rehash,
                              bool (*on_piece)(void *argument, uint64_t length), void *argument)
{
    ssize_t got;

    while ((got = read_aside(rehash, rehash->size)) > 0) {
        if ((size_t)got < rehash->room && rehash->direct)
            go_plain(rehash); /* what is behind a piece that is no whole one is not aligned */
        hasher_update(&rehash->hasher, rehash->piece, (size_t)got);
        rehash->size += (uint64_t)got;
        if (!on_piece(argument, (uint64_t)got))
            return REHASH_STOPPED;
    }
    rehash->number = errno;
    if (got == 0)
        return REHASH_DONE;
    return err_is_loss(rehash->number) ? REHASH_UNREADABLE : REHASH_FAILED;
}

void rehash_finish(struct rehash *rehash, struct digest *ret_digest)
{
    hasher_finish(&rehash->hasher, ret_digest);
}
