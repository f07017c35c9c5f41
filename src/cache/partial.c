#include "cache/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "cache/footprint.h"
#include "cache/scrubber.h"
#include "io/disk.h"

enum err partial_create(struct store *store, struct blob *blob)
{
    char path[BLOB_PATH_SIZE];

    blob_path_partial(&blob->digest, path);
    if (index_is_behind(store->index, &blob->digest)) {
        /* After a crash the record that should have gone would be taken for this file's. */
        log_message(CONFIG_LOG_ERROR, "disk", "%s is not made before the index can be written",
                    path);
        return ERR_DISK_FAILED;
    }
    enum err err = disk_make_parents(store->directory, path);
    int fd = -1;
    if (err == OK) {
        fd = openat(store->directory, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    0644);
        err = fd < 0 ? err_of_errno(errno) : OK;
    }
    if (err != OK) {
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be made: %s", path, err_sentence(err));
        disk_rest_note(&store->disk_rest, err, clock_monotonic_us() / 1000);
        return err;
    }
    blob_set_file(blob, fd);
    return OK;
}

void partial_record(struct store *store, struct blob *blob)
{
    struct blob_record record = {.size = blob->size, .last_used_ms = clock_wall_ms()};

    record.present = blob_present(blob);
    extents_copy(&blob->durable, &record.durable);
    if (record.present.count > 0) {
        (void)view_copy(view_of(blob->media_type), record.media_type, sizeof(record.media_type));
        (void)view_copy(view_of(store->boot_id), record.boot_id, sizeof(record.boot_id));
        index_put_blob(store->index, &blob->digest, &record);
    }
    blob_record_release(&record);
}

struct syncing {
    struct disk_job job;
    struct store *store;
    struct blob *blob; /* counted */
    unsigned *busy;
    void (*done)(struct blob *blob);
    struct extents present; /* when it began */
    enum err err;
};

static void on_sync_work(struct disk_job *job)
{
    struct syncing *syncing = container_of(job, struct syncing, job);

    syncing->err = fdatasync(syncing->blob->fd) == 0 ? OK : err_of_errno(errno);
}

/* The disk has lost what was written, and tells so once: the next sync succeeds. Whoever fills the
 * blob discards it in the end. */
static void note_loss(struct syncing *syncing, enum blob_state state)
{
    struct blob *blob = syncing->blob;

    log_message(CONFIG_LOG_ERROR, "disk", "a partial blob could not be synced: %s",
                err_sentence(syncing->err));
    blob->sync_failed = true;
    if (state == BLOB_COMPLETE) {
        scrubber_suspect(syncing->store, &blob->digest);
    } else if (state == BLOB_PARTIAL || state == BLOB_WANTED) {
        partial_discard(syncing->store, blob);
        blob_fill(blob);
        blob_fail(blob, ERR_DISK_FAILED, NULL, 0);
    }
}

static void on_sync_done(struct disk_job *job)
{
    struct syncing *syncing = container_of(job, struct syncing, job);
    struct blob *blob = syncing->blob;
    enum blob_state state = blob_look(blob, 0, NULL).state;

    blob->syncing = false;
    if (syncing->err != OK)
        note_loss(syncing, state);
    /* A whole one has a record of its own by now; of a failed one the record is another's matter.
     */
    if (syncing->err == OK && state != BLOB_COMPLETE && state != BLOB_FAILED) {
        extents_release(&blob->durable);
        blob->durable = syncing->present;
        syncing->present = (struct extents){0};
        partial_record(syncing->store, blob);
    }
    if (blob->sync_again && !blob->sync_failed && state != BLOB_COMPLETE && state != BLOB_FAILED)
        partial_sync(syncing->store, job->loop, blob, syncing->busy, syncing->done);
    --*syncing->busy;
    syncing->done(blob);
    extents_release(&syncing->present);
    blob_unref(blob);
    free(syncing);
}

void partial_sync(struct store *store, struct loop *loop, struct blob *blob, unsigned *busy,
                  void (*done)(struct blob *blob))
{
    blob->sync_again = blob->syncing;
    if (blob->syncing || blob->sync_failed)
        return;
    struct syncing *syncing = check_calloc(1, sizeof(*syncing));

    syncing->job.work = on_sync_work;
    syncing->job.done = on_sync_done;
    syncing->store = store;
    syncing->blob = blob_ref(blob);
    syncing->present = blob_present(blob);
    syncing->busy = busy;
    syncing->done = done;
    ++*busy;
    blob->syncing = true;
    disk_run(&syncing->job, loop);
}

bool partial_is_behind(const struct store *store, const struct blob *blob)
{
    uint64_t durable = extents_total(&blob->durable), checkpoint = store->config->checkpoint;

    return blob->syncing && !blob->sync_failed &&
           (extents_total(&blob->present) - durable >= checkpoint / 4 ||
            extents_total(blob->written) - durable >= checkpoint / 2);
}

void partial_discard(struct store *store, struct blob *blob)
{
    char path[BLOB_PATH_SIZE];

    blob_path_partial(&blob->digest, path);
    uint64_t bytes = footprint_of_extents(blob->written);
    index_delete_blob(store->index, &blob->digest);
    blob_unlinked(blob, bytes); /* first: it lies there until it is closed */
    store->used -= bytes;
    if (unlinkat(store->directory, path, 0) != 0)
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be removed: %s", path, strerror(errno));
}
