#include "cache/scrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/footprint.h"
#include "cache/removal.h"

enum { TRIES_MAX = 200, TRY_PAUSE_MS = 5 }; /* an opening takes no longer, or will find it too */

static const char unreadable[] = "the disk cannot read it";

/* ---- which ---- */

static bool collect(void *argument, const struct digest *digest, const struct blob_record *record)
{
    struct scrub_list *list = argument;

    if (!record->complete ||
        (record->verified_ms >= list->before_ms && record->verified_ms <= clock_wall_ms()))
        return true;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 1024 : 2 * list->capacity;
        list->items = check_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = (struct scrub_item){*digest, record->verified_ms, record->size};
    list->bytes += record->size;
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct scrub_item *left = a, *right = b;

    return (left->verified_ms > right->verified_ms) - (left->verified_ms < right->verified_ms);
}

void scrub_list_make(struct scrub_list *list, struct store *store, int64_t before_ms)
{
    *list = (struct scrub_list){.before_ms = before_ms};
    index_each_blob(store->index, collect, list);
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), by_time);
}

void scrub_list_release(struct scrub_list *list)
{
    free(list->items);
    *list = (struct scrub_list){0};
}

/* ---- one blob ---- */

/* What openat() could not open. */
static void note_closed(struct scrub_check *check, const char *path)
{
    if (errno == ENOENT)
        check->why = "it is missing";
    else if (errno == ELOOP)
        check->why = "it is a link";
    else if (err_is_loss(errno))
        check->why = unreadable;
    else
        log_message(CONFIG_LOG_ERROR, "scrub", "%s cannot be opened: %s", path, strerror(errno));
    check->over = true;
}

bool scrub_begin(struct scrub_check *check, struct store *store, const struct digest *digest)
{
    char path[BLOB_PATH_SIZE];
    struct stat file;

    *check = (struct scrub_check){
        .store = store, .digest = *digest, .fd = -1, .began_ms = clock_wall_ms()};
    check->gone = !index_get_blob(store->index, digest, &check->record);
    if (!check->gone) {
        blob_record_release(&check->record);
        check->gone = !check->record.complete;
    }
    if (check->gone) {
        check->over = true;
        return false;
    }
    blob_path_complete(digest, path);
    check->fd = rehash_open(store->directory, path);
    if (check->fd < 0) {
        note_closed(check, path);
        return false;
    }
    if (fstat(check->fd, &file) != 0 || !S_ISREG(file.st_mode))
        check->why = "it is not a file";
    else if ((uint64_t)file.st_size != check->record.size)
        check->why = "it has another size than its record";
    check->over = check->why != NULL;
    if (!check->over)
        rehash_init(&check->rehash, check->fd, check->digest.algorithm);
    return !check->over;
}

void scrub_hash(struct scrub_check *check, bool (*on_piece)(void *argument, uint64_t length),
                void *argument)
{
    check->result = rehash_run(&check->rehash, on_piece, argument);
}

/* ---- taking out ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the record is complete still, and under its name lies what was looked at. */
static bool is_as_it_was(struct scrub_check *check)
{
    struct store *store = check->store;
    struct blob_record record;
    struct stat ours, now;
    char path[BLOB_PATH_SIZE];

    index_flush_wait(store->index);
    if (!index_get_blob(store->index, &check->digest, &record))
        return false;
    blob_record_release(&record);
    if (!record.complete)
        return false;
    check->record = record;
    blob_path_complete(&check->digest, path);
    bool is_there = fstatat(store->directory, path, &now, AT_SYMLINK_NOFOLLOW) == 0;
    if (check->fd < 0)
        return !is_there || !S_ISREG(now.st_mode) || check->why == unreadable;
    return is_there && fstat(check->fd, &ours) == 0 && is_same_file(&ours, &now);
}

/* Takes the digest from those who read it, and cuts them short. Returns the blob in its place,
 * OPENING, which is the caller's; NULL: not now. `*ret_other`: nor later, somebody else is at it.
 */
static struct blob *seize(struct scrub_check *check, bool *ret_other)
{
    struct blobs *table = &check->store->blobs;
    struct blob *old = blobs_find(table, &check->digest), *fresh = NULL;

    *ret_other = false;
    if (old == NULL) /* NULL again when it has been opened this moment */
        return blobs_claim(table, &check->digest);
    enum blob_state state = blob_look(old, 0, NULL).state;
    if (state == BLOB_COMPLETE) {
        /* While we refer to it nobody can put another file in its file's place. */
        *ret_other = !is_as_it_was(check);
        if (!*ret_other)
            fresh = blobs_seize(table, old);
        if (fresh != NULL) {
            blob_fail(old, ERR_DAMAGED, NULL, 0);
            blob_unlinked(old, footprint_of_size(check->record.size));
        }
    } else {
        *ret_other = state != BLOB_OPENING && state != BLOB_FAILED;
    }
    blob_unref(old);
    return fresh;
}

static enum scrub_verdict take_out(struct scrub_check *check)
{
    struct extents nothing = {0};
    struct blob *claim = NULL;
    bool other = false;

    for (int tries = 0; claim == NULL && !other && tries < TRIES_MAX; tries++) {
        if (tries > 0)
            nanosleep(&(struct timespec){0, TRY_PAUSE_MS * 1000000L}, NULL);
        claim = seize(check, &other);
    }
    if (claim == NULL)
        return other ? SCRUB_GONE : SCRUB_UNCHECKED;
    bool ours = is_as_it_was(check);
    if (ours)
        removal_damaged(check->store, &check->digest, &check->record, check->why);
    blob_opened_partial(claim, -1, BLOB_SIZE_UNKNOWN, &nothing);
    if (!ours) { /* who waited for it begins again, and opens what is there now */
        blob_fill(claim);
        blob_fail(claim, ERR_DAMAGED, NULL, 0);
    }
    blob_unref(claim);
    return ours ? SCRUB_DAMAGED : SCRUB_GONE;
}

/* ---- the verdict ---- */

/* What the reading says is wrong; NULL: nothing. */
static const char *why_of(struct scrub_check *check)
{
    struct digest found;

    if (check->result == REHASH_UNREADABLE)
        return unreadable;
    if (check->result != REHASH_DONE)
        return NULL;
    if (check->rehash.size != check->record.size)
        return "it has another size than its record";
    rehash_finish(&check->rehash, &found);
    return digest_equal(&found, &check->digest) ? NULL : "its bytes do not match its digest";
}

static enum scrub_verdict judge(struct scrub_check *check)
{
    char path[BLOB_PATH_SIZE];

    if (check->gone)
        return SCRUB_GONE;
    if (!check->over)
        check->why = why_of(check);
    if (check->why != NULL)
        return take_out(check);
    if (check->over)
        return SCRUB_UNCHECKED;
    if (check->result == REHASH_STOPPED)
        return SCRUB_STOPPED;
    if (check->result == REHASH_FAILED) {
        blob_path_complete(&check->digest, path);
        log_message(CONFIG_LOG_ERROR, "scrub", "%s cannot be read now: %s", path,
                    strerror(check->rehash.number));
        return SCRUB_UNCHECKED;
    }
    index_verified(check->store->index, &check->digest, check->began_ms);
    return SCRUB_SOUND;
}

enum scrub_verdict scrub_end(struct scrub_check *check)
{
    enum scrub_verdict verdict = judge(check);

    if (verdict == SCRUB_SOUND || verdict == SCRUB_DAMAGED)
        stats_add(STAT_SCRUBBED_BLOBS, AT_ALL, 1);
    if (!check->over)
        rehash_release(&check->rehash);
    if (check->fd >= 0)
        close(check->fd);
    check->fd = -1;
    return verdict;
}

bool scrub_count(struct scrub_report *report, const struct scrub_item *item,
                 const struct scrub_check *check, enum scrub_verdict verdict)
{
    switch (verdict) {
    case SCRUB_SOUND:
        report->blobs++;
        report->unreadable = 0;
        break;
    case SCRUB_DAMAGED:
        report->blobs++;
        if (report->damaged < SCRUB_LISTED_MAX)
            report->list[report->damaged] = item->digest;
        report->damaged++;
        report->unreadable = check->why == unreadable ? report->unreadable + 1 : 0;
        break;
    case SCRUB_GONE:
        report->blobs_total--;
        report->bytes_total -= item->size;
        break;
    case SCRUB_UNCHECKED:
        report->unchecked++;
        break;
    case SCRUB_STOPPED:
        break;
    }
    report->failed |= report->unreadable >= SCRUB_UNREADABLE_MAX;
    return !report->failed;
}

void scrub_log(const struct scrub_report *report)
{
    struct log_line line;

    if (report->failed)
        log_message(CONFIG_LOG_ERROR, "scrub",
                    "given up: %u blobs in a row could not be read; look after the disk",
                    report->unreadable);
    if (!log_begin(&line, CONFIG_LOG_INFO, "scrub"))
        return;
    log_number(&line, "blobs", report->blobs);
    log_number(&line, "bytes", report->bytes);
    log_number(&line, "damaged", report->damaged);
    log_number(&line, "unchecked", report->unchecked);
    log_seconds(&line, "seconds", report->us);
    log_end(&line);
}
