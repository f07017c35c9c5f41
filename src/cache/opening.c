#include "cache/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/footprint.h"
#include "cache/rehash.h"
#include "cache/removal.h"
#include "io/disk.h"
#include "wire/manifest.h"

struct opening {
    struct disk_job job;
    struct store *store;
    struct blob *blob; /* counted */
    void (*on_opened)(void *owner);
    void *owner;
    struct blob_record record; /* owned */
    int fd;                    /* -1: there is nothing */
    bool complete;
    enum err err; /* what there is cannot be told */
};

/* A manifest that was listed again after the index was lost: what kind it is stands in it. */
static void guess_media_type(struct opening *opening)
{
    struct manifest manifest;
    struct buf bytes = {0};
    char first;

    if (opening->record.size > opening->store->config->max_manifest ||
        disk_read(opening->fd, &first, 1, 0) != OK || first != '{')
        return;
    buf_reserve(&bytes, opening->record.size);
    if (disk_read(opening->fd, bytes.data, opening->record.size, 0) == OK) {
        manifest_parse((struct view){bytes.data, opening->record.size}, &manifest);
        (void)view_copy(view_of(manifest.media_type), opening->record.media_type,
                        sizeof(opening->record.media_type));
        manifest_release(&manifest);
    }
    buf_release(&bytes);
}

static void open_complete(struct opening *opening)
{
    char path[BLOB_PATH_SIZE];
    struct stat file;

    blob_path_complete(&opening->blob->digest, path);
    int fd = openat(opening->store->directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT && errno != ELOOP) { /* a link is none of ours */
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be opened: %s", path, strerror(errno));
        opening->err = ERR_DISK_FAILED;
        return;
    }
    if (fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) &&
        (uint64_t)file.st_size == opening->record.size) {
        opening->fd = fd;
        opening->complete = true;
        if (opening->record.media_type[0] == '\0')
            guess_media_type(opening);
        return;
    }
    removal_damaged(opening->store, &opening->blob->digest, &opening->record,
                    fd < 0 ? "it is missing" : "it has another size than its record");
    if (fd >= 0)
        close(fd);
}

/* False: the disk cannot say whether it is there. */
static bool open_file(struct opening *opening, const char *path)
{
    const int flags = O_CLOEXEC | O_NOFOLLOW;

    opening->fd = openat(opening->store->directory, path, O_RDWR | flags);
    if (opening->fd < 0 && errno == EROFS) /* what is there can be read */
        opening->fd = openat(opening->store->directory, path, O_RDONLY | flags);
    if (opening->fd >= 0 || errno == ENOENT || errno == ELOOP)
        return true;
    log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be opened: %s", path, strerror(errno));
    opening->err = ERR_DISK_FAILED;
    return false;
}

static void open_partial(struct opening *opening)
{
    struct blob_record *record = &opening->record;
    char path[BLOB_PATH_SIZE];
    struct stat file;

    blob_path_partial(&opening->blob->digest, path);
    bool same_boot =
        opening->store->boot_id[0] != '\0' && strcmp(record->boot_id, opening->store->boot_id) == 0;
    if (!same_boot) { /* what was not synced may be lost, or worse: be there in part */
        opening->store->used -= footprint_of_extents(&record->present);
        opening->store->used += footprint_of_extents(&record->durable);
        extents_release(&record->present);
        extents_copy(&record->durable, &record->present);
        (void)view_copy(view_of(opening->store->boot_id), record->boot_id, sizeof(record->boot_id));
        if (record->present.count > 0) /* or the next opening would count it off again */
            index_put_blob(opening->store->index, &opening->blob->digest, record);
    }
    if (record->present.count > 0 && !open_file(opening, path))
        return;
    if (opening->fd >= 0 && fstat(opening->fd, &file) == 0 && S_ISREG(file.st_mode) &&
        (uint64_t)file.st_size >= extents_end(&record->present))
        return;
    if (opening->fd >= 0)
        close(opening->fd);
    opening->fd = -1;
    (void)removal_run(opening->store, &opening->blob->digest, record);
}

static bool on_piece(void *argument, uint64_t length)
{
    (void)argument;
    (void)length;
    return true;
}

/* Whether the bytes are what the name says. */
static bool is_true(const struct opening *opening, const char *path)
{
    struct rehash rehash;
    struct digest found;
    int fd = rehash_open(opening->store->directory, path); /* its own: how it reads stays with it */

    if (fd < 0)
        return false;
    rehash_init(&rehash, fd, opening->blob->digest.algorithm);
    bool good = rehash_run(&rehash, on_piece, NULL) == REHASH_DONE;
    if (good)
        rehash_finish(&rehash, &found);
    rehash_release(&rehash);
    close(fd);
    return good && digest_equal(&found, &opening->blob->digest);
}

/* A name under blobs/ that the index does not know: the record was lost, or it is a damaged one
 * that the disk did not let us remove. */
static bool adopt(struct opening *opening)
{
    struct store *store = opening->store;
    struct blob_record *record = &opening->record;
    char path[BLOB_PATH_SIZE];
    struct stat file;

    blob_path_complete(&opening->blob->digest, path);
    int fd = openat(store->directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || !is_true(opening, path)) {
        close(fd);
        return false;
    }
    store->used -= footprint_of_extents(&record->present);
    blob_record_release(record);
    record->complete = opening->complete = true;
    record->size = (uint64_t)file.st_size;
    record->last_used_ms = record->verified_ms = clock_wall_ms();
    opening->fd = fd;
    if (record->media_type[0] == '\0')
        guess_media_type(opening);
    index_put_blob(store->index, &opening->blob->digest, record);
    store->used += footprint_of_size(record->size);
    stats_add(STAT_CACHED_BLOBS, AT_ALL, 1);
    stats_add(STAT_CACHED_BYTES, AT_ALL, record->size);
    return true;
}

static void on_work(struct disk_job *job)
{
    struct opening *opening = container_of(job, struct opening, job);

    /* What was known when the last fill of it ended may still be on its way to the index. */
    index_flush_wait(opening->store->index);
    bool known = index_get_blob(opening->store->index, &opening->blob->digest, &opening->record);
    if (known && opening->record.complete)
        open_complete(opening);
    else if (!adopt(opening) && known)
        open_partial(opening);
}

static void on_done(struct disk_job *job)
{
    struct opening *opening = container_of(job, struct opening, job);
    struct extents nothing = {0};

    if (opening->complete)
        blob_opened_complete(opening->blob, opening->fd, opening->record.size,
                             opening->record.media_type);
    else if (opening->fd >= 0) {
        opening->blob->durable = opening->record.durable;
        opening->record.durable = (struct extents){0};
        blob_opened_partial(opening->blob, opening->fd, opening->record.size,
                            &opening->record.present);
    } else
        blob_opened_partial(opening->blob, -1, BLOB_SIZE_UNKNOWN, &nothing);
    if (opening->err != OK) {
        blob_fill(opening->blob);
        blob_fail(opening->blob, opening->err, NULL, 0);
    }
    blob_record_release(&opening->record);
    blob_unref(opening->blob);
    opening->on_opened(opening->owner);
    free(opening);
}

void opening_start(struct store *store, struct loop *loop, struct blob *blob,
                   void (*on_opened)(void *owner), void *owner)
{
    struct opening *opening = check_calloc(1, sizeof(*opening));

    opening->store = store;
    opening->blob = blob_ref(blob);
    opening->on_opened = on_opened;
    opening->owner = owner;
    opening->fd = -1;
    opening->job.work = on_work;
    opening->job.done = on_done;
    disk_run(&opening->job, loop);
}
