#ifndef IO_DISK_H
#define IO_DISK_H

/*
 * Work that may sleep, run in libuv's pool and answered on the loop that asked.
 *
 * A disk_job is embedded in the object it works for. `work` runs in the pool; `done` runs on the
 * loop, exactly once. There is no cancelling: whoever must leave early keeps the object alive until
 * `done`, and lets that free it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "io/loop.h"

struct disk_job {
    uv_work_t request;
    void (*work)(struct disk_job *job); /* in the pool: touches only what the job owns */
    void (*done)(struct disk_job *job); /* on the loop */
    struct loop *loop;
};

/* Queues the job. Thread: the loop's own. */
void disk_run(struct disk_job *job, struct loop *loop);

/*
 * Whether the first and the last page of `length` bytes at `offset`, and one a MiB between them,
 * are in the page cache. On a file system that cannot tell, yes. Never sleeps. Thread: any.
 */
bool disk_is_warm(int fd, uint64_t offset, uint64_t length);

/* Reads the range into the page cache (the bytes go nowhere). Sleeps: pool only. */
void disk_warm(int fd, uint64_t offset, uint64_t length);

/* Writes all of it, whatever write() makes of it. May sleep: pool and fetch loops only. */
enum err disk_write(int fd, const void *data, uint64_t length, uint64_t offset) MUST_CHECK;

/* Gives the blocks back that lie in this range; they read as zeros then. Where the file system
 * cannot, nothing happens. May sleep. */
void disk_punch(int fd, uint64_t offset, uint64_t length);

/*
 * The same for bytes that may be on their way to a client: sendfile() gives sockets the page
 * cache's own pages, a process that is killed leaves them there, and a client of this machine is
 * given them as they are. A folio that lies in a range as a whole leaves the file; of one that
 * reaches over an end the kernel clears that part in place. So the page cache is made to forget the
 * file first, written to the disk. Where it does not, at an end of the range, which must be that of
 * a block, up to 2 MiB stay there. Returns how many bytes stay at most. May sleep, for long.
 */
uint64_t disk_punch_unsent(int fd, uint64_t offset, uint64_t length);

/* Reads exactly `length` bytes; ERR_DISK_FAILED when the file is shorter. May sleep. */
enum err disk_read(int fd, void *data, uint64_t length, uint64_t offset) MUST_CHECK;

/* Makes the folders above `path`, relative to `directory`. May sleep. */
enum err disk_make_parents(int directory, const char *path) MUST_CHECK;

/* fsyncs the folder that holds `path`, relative to `directory`, so that a rename lasts. May sleep.
 */
enum err disk_sync_parent(int directory, const char *path) MUST_CHECK;

#endif
