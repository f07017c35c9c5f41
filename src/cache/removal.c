#include "cache/removal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stats.h"
#include "cache/blob.h"
#include "cache/footprint.h"

uint64_t removal_run(struct store *store, const struct digest *digest,
                     const struct blob_record *record)
{
    uint64_t bytes = footprint_of_record(record);
    char path[BLOB_PATH_SIZE];

    index_delete_blob(store->index, digest);
    index_flush_wait(store->index);
    if (record->complete)
        blob_path_complete(digest, path);
    else
        blob_path_partial(digest, path);
    if (unlinkat(store->directory, path, 0) != 0 && errno != ENOENT)
        log_message(CONFIG_LOG_ERROR, "disk", "%s cannot be removed: %s", path, strerror(errno));
    blobs_close_forgotten(&store->blobs); /* one that failed may have the file open */
    store->used -= bytes;
    if (record->complete) {
        store->blobs.eviction_epoch++; /* a manifest that names it is not whole any more */
        stats_subtract(STAT_CACHED_BLOBS, AT_ALL, 1);
        stats_subtract(STAT_CACHED_BYTES, AT_ALL, record->size);
    }
    return bytes;
}

void removal_damaged(struct store *store, const struct digest *digest,
                     const struct blob_record *record, const char *why)
{
    struct log_line line;
    char path[BLOB_PATH_SIZE], text[DIGEST_TEXT_SIZE];

    blob_path_complete(digest, path);
    stats_add(STAT_DAMAGED_BLOBS, AT_ALL, 1);
    if (log_begin(&line, CONFIG_LOG_ERROR, "damage")) {
        log_text(&line, "digest", view_of(digest_print(digest, text)));
        log_text(&line, "path", view_of(path));
        log_text(&line, "why", view_of(why));
        log_number(&line, "size", record->size);
        log_end(&line);
    }
    removal_run(store, digest, record);
}
