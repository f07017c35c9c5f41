#include "cache/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/footprint.h"
#include "io/disk.h"

static const char format[] = "entrepot 1\n";

/* ---- the folder ---- */

static enum err fail(struct buf *ret_problem, const char *what, const char *path)
{
    buf_printf(ret_problem, "cannot %s %s: %s", what, path, strerror(errno));
    return ERR_DISK_FAILED;
}

/* mkdir -p. */
static enum err make_folder(const char *path, struct buf *ret_problem)
{
    struct buf whole = {0};

    buf_printf(&whole, "%s/", path);
    enum err err = disk_make_parents(AT_FDCWD, whole.data);
    buf_release(&whole);
    return err == OK ? OK : fail(ret_problem, "make the cache directory", path);
}

/* Names that may stand in a cache directory whose `format` is gone. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {".",     "..",      "format", "lock",
                                       "index", "partial", "blobs",  "lost+found"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return strncmp(name, "index.damaged-", 14) == 0;
}

static bool has_foreign_files(int directory)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    bool foreign = listing == NULL;

    for (struct dirent *entry; !foreign && (entry = readdir(listing)) != NULL;)
        foreign = !is_ours(entry->d_name);
    if (listing != NULL)
        closedir(listing);
    return foreign;
}

static enum err check_format(struct store *store, const char *path, struct buf *ret_problem)
{
    char found[64] = "";
    int fd = openat(store->directory, "format", O_RDONLY | O_CLOEXEC);
    struct stat file;

    if (fd >= 0 && fstat(fd, &file) == 0 && file.st_size == 0) {
        close(fd); /* we were killed before it was written */
        fd = -1;
    }
    if (fd < 0 && has_foreign_files(store->directory)) {
        buf_printf(ret_problem,
                   "%s holds files that are not Entrepot's; give it an empty or a new folder "
                   "(--cache)",
                   path);
        return ERR_CONFIG;
    }
    if (fd < 0) {
        fd = openat(store->directory, "format", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        enum err err = fd < 0 ? ERR_DISK_FAILED : disk_write(fd, format, sizeof(format) - 1, 0);
        if (fd >= 0)
            close(fd);
        return err == OK ? OK : fail(ret_problem, "write to", path);
    }
    ssize_t length = read(fd, found, sizeof(found) - 1);
    close(fd);
    if (length == sizeof(format) - 1 && strcmp(found, format) == 0)
        return OK;
    found[strcspn(found, "\r\n")] = '\0';
    buf_printf(ret_problem,
               "%s has the layout \"%s\" and this Entrepot reads \"entrepot 1\"; run the Entrepot "
               "that made it, or give this one another folder (--cache)",
               path, found);
    return ERR_CONFIG;
}

static enum err open_folder(struct store *store, const char *path, struct buf *ret_problem)
{
    enum err err = make_folder(path, ret_problem);
    if (err != OK)
        return err;
    store->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory < 0)
        return fail(ret_problem, "open", path);
    if (faccessat(store->directory, ".", W_OK, 0) != 0)
        return fail(ret_problem, "write to", path);
    err = check_format(store, path, ret_problem);
    if (err != OK)
        return err;
    store->lock = openat(store->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (store->lock < 0)
        return fail(ret_problem, "open the lock in", path);
    if (flock(store->lock, LOCK_EX | LOCK_NB) == 0)
        return OK;
    buf_printf(ret_problem, "%s is in use by another Entrepot; each needs a folder of its own",
               path);
    return ERR_CACHE_IN_USE;
}

/* ---- walking the files ---- */

/* Calls `visit` for each file at `depth` folders below `path`. */
static void walk(struct store *store, const char *path, int depth,
                 void (*visit)(struct store *store, const char *path, const char *name))
{
    int fd = openat(store->directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    char below[512];

    if (listing == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.' ||
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
            continue;
        if (depth > 0)
            walk(store, below, depth - 1, visit);
        else
            visit(store, below, entry->d_name);
    }
    closedir(listing);
}

/* The digest that "<...>/<alg>/<...>/<hex>" names; false when the path is not one that we make. */
static bool digest_of_path(const char *path, const char *name,
                           void (*print)(const struct digest *, char *), struct digest *ret_digest)
{
    const char *algorithm = strchr(path, '/') + 1;
    char text[DIGEST_TEXT_SIZE], again[BLOB_PATH_SIZE];

    if (snprintf(text, sizeof(text), "%.*s:%s", (int)strcspn(algorithm, "/"), algorithm, name) >=
            (int)sizeof(text) ||
        !digest_parse(view_of(text), ret_digest))
        return false;
    print(ret_digest, again);
    return strcmp(again, path) == 0;
}

/* A name under blobs/ is whole and true: what the index does not know of it is recorded again. */
static void record_again(struct store *store, const char *path, const char *name)
{
    struct blob_record record;
    struct digest digest;
    struct stat file;

    if (!digest_of_path(path, name, blob_path_complete, &digest))
        return;
    if (index_get_blob(store->index, &digest, &record)) {
        blob_record_release(&record);
        if (record.complete)
            return;
    }
    record = (struct blob_record){.complete = true};
    if (fstatat(store->directory, path, &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode))
        return;
    record.size = (uint64_t)file.st_size;
    record.last_used_ms = (int64_t)file.st_mtime * 1000;
    index_put_blob(store->index, &digest, &record);
}

/* Gives the blocks back that hold none of these bytes: a crash, or a power cut, has left them.
 * (What a slow client of the crashed process has yet to receive stays, until it is written again,
 * or goes with the file.) Asks where there is data, not how much: st_blocks is short of some while
 * ext4 writes. */
static void trim(struct store *store, const char *path, const struct extents *trusted)
{
    int fd = openat(store->directory, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct extent gap, rest = {0, 0};
    struct stat file;

    if (fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode))
        rest.end = (uint64_t)file.st_size + FOOTPRINT_BLOCK; /* the last block too */
    for (; rest.start < rest.end && extents_first_gap(trusted, rest, &gap); rest.start = gap.end) {
        struct extent blocks = {gap.start + FOOTPRINT_BLOCK - 1, gap.end};
        blocks.start -= blocks.start % FOOTPRINT_BLOCK;
        blocks.end -= blocks.end % FOOTPRINT_BLOCK;
        off_t data = lseek(fd, (off_t)blocks.start, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* there is no more */
        if (blocks.start < blocks.end && (data < 0 || (uint64_t)data < blocks.end))
            store->aside += disk_punch_unsent(fd, blocks.start, blocks.end - blocks.start);
        if (data >= 0 && (uint64_t)data > gap.end)
            gap.end = (uint64_t)data;
    }
    if (fd >= 0)
        close(fd);
}

/* What was not synced is trusted only in the boot in which it was written. */
static void trim_partial(struct store *store, const char *path, const struct digest *digest,
                         struct blob_record *record)
{
    if (store->boot_id[0] == '\0' || strcmp(record->boot_id, store->boot_id) != 0) {
        extents_release(&record->present);
        extents_copy(&record->durable, &record->present);
        (void)view_copy(view_of(store->boot_id), record->boot_id, sizeof(record->boot_id));
        if (record->present.count > 0)
            index_put_blob(store->index, digest, record);
    }
    if (record->present.count == 0) {
        index_delete_blob(store->index, digest);
        (void)unlinkat(store->directory, path, 0);
        return;
    }
    trim(store, path, &record->present);
}

/* A partial file is worth its record only. */
static void tidy_partial(struct store *store, const char *path, const char *name)
{
    struct blob_record record;
    struct digest digest;

    bool known = digest_of_path(path, name, blob_path_partial, &digest) &&
                 index_get_blob(store->index, &digest, &record);
    if (known && !record.complete) {
        trim_partial(store, path, &digest, &record);
        blob_record_release(&record);
        return;
    }
    (void)unlinkat(store->directory, path, 0);
}

static bool count_blob(void *argument, const struct digest *digest,
                       const struct blob_record *record)
{
    struct store *store = argument;

    (void)digest;
    store->used += footprint_of_record(record);
    if (record->complete) {
        stats_add(STAT_CACHED_BLOBS, AT_ALL, 1);
        stats_add(STAT_CACHED_BYTES, AT_ALL, record->size);
    }
    return true;
}

static void count_aside(struct store *store, const char *path, const char *name)
{
    struct stat file;

    (void)name;
    if (fstatat(store->directory, path, &file, AT_SYMLINK_NOFOLLOW) == 0)
        store->aside += (uint64_t)file.st_blocks * 512;
}

/* Of the folder itself what is not counted elsewhere. */
static void count_rest(struct store *store)
{
    int fd = openat(store->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);

    if (listing == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        count_aside(store, entry->d_name, entry->d_name);
        if (strncmp(entry->d_name, "index.damaged-", 14) == 0)
            walk(store, entry->d_name, 0, count_aside);
    }
    closedir(listing);
}

/* ---- opening and closing ---- */

static void read_boot_id(struct store *store)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, store->boot_id, sizeof(store->boot_id) - 1);

    if (length > 0)
        store->boot_id[strcspn(store->boot_id, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

enum err store_open(struct store *store, const struct config *config, struct buf *ret_problem)
{
    bool index_is_new;

    *store = (struct store){.config = config, .directory = -1, .lock = -1, .pressed = UINT64_MAX};
    enum err err = open_folder(store, config->cache, ret_problem);
    if (err == OK)
        err = index_open(config->cache, &store->index, &index_is_new, ret_problem);
    if (err != OK) {
        if (store->directory >= 0)
            close(store->directory);
        if (store->lock >= 0)
            close(store->lock);
        return err;
    }
    read_boot_id(store);
    blobs_init(&store->blobs);
    flights_init(&store->flights);
    absences_init(&store->absences);
    upstreams_init(&store->upstreams, config);
    walk(store, "blobs", 2, record_again);
    index_flush_wait(store->index);
    walk(store, "partial", 1, tidy_partial);
    index_flush_wait(store->index);
    count_rest(store);
    index_each_blob(store->index, count_blob, store);
    stats_set(STAT_CACHE_BUDGET, AT_ALL, config->cache_size);
    return OK;
}

enum err store_read_manifest(const struct store *store, int fd, uint64_t size,
                             struct manifest *ret_manifest)
{
    struct buf bytes = {0};

    if (size > store->config->max_manifest)
        return ERR_UPSTREAM_TOO_LARGE;
    buf_reserve(&bytes, size);
    enum err err = disk_read(fd, bytes.data, size, 0);
    if (err == OK)
        manifest_parse((struct view){bytes.data, size}, ret_manifest);
    buf_release(&bytes);
    return err;
}

void store_close(struct store *store)
{
    blobs_release(&store->blobs);
    flights_release(&store->flights);
    absences_release(&store->absences);
    upstreams_release(&store->upstreams);
    index_close(store->index);
    close(store->lock);
    close(store->directory);
}
