#include "cache/settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/partial.h"
#include "cache/scrubber.h"
#include "io/disk.h"

struct settling {
    struct disk_job job;
    struct store *store;
    struct blob *blob; /* counted */
    enum err err;
    bool lost; /* the disk has not kept what was written */
    void (*on_settled)(void *owner, enum err err);
    void *owner;
};

static void on_work(struct disk_job *job)
{
    struct settling *settling = container_of(job, struct settling, job);
    struct blob *blob = settling->blob; /* COMPLETE: constant */
    int directory = settling->store->directory;
    char partial[BLOB_PATH_SIZE], complete[BLOB_PATH_SIZE];

    blob_path_partial(&blob->digest, partial);
    blob_path_complete(&blob->digest, complete);
    enum err err = settling->lost ? ERR_DISK_FAILED : OK;
    if (err == OK && fdatasync(blob->fd) != 0) {
        err = err_of_errno(errno);
        settling->lost = true;
    }
    if (err == OK)
        err = disk_make_parents(directory, complete);
    if (err == OK && renameat(directory, partial, directory, complete) != 0)
        err = err_of_errno(errno);
    if (err == OK)
        err = disk_sync_parent(directory, complete);
    settling->err = err;
}

static void on_done(struct disk_job *job)
{
    struct settling *settling = container_of(job, struct settling, job);
    struct store *store = settling->store;
    struct blob *blob = settling->blob;
    struct blob_record record = {.complete = true,
                                 .size = blob->size,
                                 .last_used_ms = clock_wall_ms(),
                                 .verified_ms = clock_wall_ms()};

    if (settling->err == OK) {
        (void)view_copy(view_of(blob->media_type), record.media_type, sizeof(record.media_type));
        index_put_blob(store->index, &blob->digest, &record);
        stats_add(STAT_CACHED_BLOBS, AT_ALL, 1);
        stats_add(STAT_CACHED_BYTES, AT_ALL, blob->size);
        if (blob->sync_failed) /* by another sync, meanwhile */
            scrubber_suspect(store, &blob->digest);
    } else {
        log_message(CONFIG_LOG_ERROR, "disk", "a blob could not be made to last: %s",
                    err_sentence(settling->err));
        if (settling->lost) { /* who reads it has it from memory; who comes now does not */
            blob_forget(blob);
            partial_discard(store, blob);
        }
    }
    settling->on_settled(settling->owner, settling->err);
    blob_unref(blob);
    free(settling);
}

void settle_start(struct store *store, struct loop *loop, struct blob *blob,
                  void (*on_settled)(void *owner, enum err err), void *owner)
{
    struct settling *settling = check_calloc(1, sizeof(*settling));

    settling->store = store;
    settling->blob = blob_ref(blob);
    settling->lost = blob->sync_failed;
    settling->on_settled = on_settled;
    settling->owner = owner;
    settling->job.work = on_work;
    settling->job.done = on_done;
    disk_run(&settling->job, loop);
}
