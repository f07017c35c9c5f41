#ifndef CACHE_REHASH_H
#define CACHE_REHASH_H

/*
 * The digest of a file as the disk has it now: read from its start to its end past the page cache,
 * so that what is hot there stays, and what is hashed is not a copy of what was written.
 *
 * O_DIRECT where the file system has it (open(2)). Elsewhere plain reads, behind which whatever was
 * not in the page cache before is dropped from it again.
 *
 * Sleeps. Thread: any but serve loops.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"

enum rehash_result {
    REHASH_DONE,
    REHASH_STOPPED,    /* on_piece() said so */
    REHASH_UNREADABLE, /* the disk cannot give the bytes, asked twice */
    REHASH_FAILED,     /* they could not be read now, which says nothing of the file; errno */
};

/* Opens a file below `directory`, for reading, no link; -1 and errno when it cannot be. */
int rehash_open(int directory, const char *path);

/* One file's reading. */
struct rehash {
    int fd; /* borrowed; its flags are changed */
    bool direct;
    char *piece; /* owned */
    size_t room; /* of it */
    struct hasher hasher;
    uint64_t size; /* read so far */
    int number;    /* errno, when it FAILED */
};

/* Makes ready what rehash_run() needs. */
void rehash_init(struct rehash *rehash, int fd, enum digest_algorithm algorithm);
void rehash_release(struct rehash *rehash);

/*
 * Hashes the whole file, in pieces of at most 1 MiB, and calls `on_piece` behind each; when that
 * returns false, stops. It allocates nothing and touches no memory for the first time, so that a
 * thread that is seldom scheduled holds none of the process's locks, not the kernel's either
 * (mmap_lock): only that of the file, against its unlinking.
 */
enum rehash_result rehash_run(struct rehash *rehash,
                              bool (*on_piece)(void *argument, uint64_t length), void *argument);

/* The digest of what was read, when it is DONE; once. */
void rehash_finish(struct rehash *rehash, struct digest *ret_digest);

#endif
