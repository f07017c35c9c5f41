#include "cache/hashing.h"

#include "base/check.h"
#include "base/list.h"

enum { JOB_MAX = 8 << 20, READ_SIZE = 128 << 10 };

static void on_work(struct disk_job *job)
{
    struct hashing *hashing = container_of(job, struct hashing, job);
    static _Thread_local char buffer[READ_SIZE];

    while (hashing->done < hashing->limit && hashing->err == OK) {
        uint64_t length = hashing->limit - hashing->done;
        if (length > sizeof(buffer))
            length = sizeof(buffer);
        hashing->err = disk_read(hashing->fd, buffer, length, hashing->done);
        if (hashing->err != OK)
            return;
        hasher_update(&hashing->hasher, buffer, length);
        hashing->done += length;
    }
}

static void on_done(struct disk_job *job)
{
    struct hashing *hashing = container_of(job, struct hashing, job);

    hashing->running = false;
    hashing->on_progress(hashing);
}

void hashing_init(struct hashing *hashing, enum digest_algorithm algorithm,
                  void (*on_progress)(struct hashing *hashing))
{
    *hashing = (struct hashing){.on_progress = on_progress, .fd = -1};
    hashing->job.work = on_work;
    hashing->job.done = on_done;
    hasher_init(&hashing->hasher, algorithm);
}

void hashing_release(struct hashing *hashing)
{
    CHECK(!hashing->running);
    hasher_release(&hashing->hasher);
}

void hashing_go(struct hashing *hashing, struct loop *loop, int fd, uint64_t end)
{
    if (hashing->running || hashing->err != OK || hashing->done >= end)
        return;
    hashing->fd = fd;
    hashing->limit = end - hashing->done > JOB_MAX ? hashing->done + JOB_MAX : end;
    hashing->running = true;
    disk_run(&hashing->job, loop);
}

void hashing_finish(struct hashing *hashing, struct digest *ret_digest)
{
    CHECK(!hashing->running);
    hasher_finish(&hashing->hasher, ret_digest);
}
