#include "cache/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/disk.h"

enum err partial_create(struct store *store, struct blob *blob)
{
    char path[BLOB_PATH_SIZE];

    blob_path_partial(&blob->digest, path);
    enum err err = disk_make_parents(store->directory, path);
    if (err != OK)
        return err;
    int fd =
        openat(store->directory, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be made: %s", path, strerror(errno));
        return err_of_errno(errno);
    }
    blob_set_file(blob, fd);
    return OK;
}

void partial_record(struct store *store, struct blob *blob)
{
    struct blob_record record = {.size = blob->size, .last_used_ms = clock_wall_ms()};

    record.present = blob_present(blob);
    if (record.present.count > 0) {
        (void)view_copy(view_of(blob->media_type), record.media_type, sizeof(record.media_type));
        (void)view_copy(view_of(store->boot_id), record.boot_id, sizeof(record.boot_id));
        index_put_blob(store->index, &blob->digest, &record);
    }
    blob_record_release(&record);
}

void partial_discard(struct store *store, struct blob *blob)
{
    char path[BLOB_PATH_SIZE];

    blob_path_partial(&blob->digest, path);
    index_delete_blob(store->index, &blob->digest);
    if (unlinkat(store->directory, path, 0) != 0)
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be removed: %s", path, strerror(errno));
}
