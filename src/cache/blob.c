#include "cache/blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/stats.h"

/* ---- states ---- */

static enum blob_state state_of(const struct blob *blob)
{
    return (enum blob_state)atomic_load_explicit(&blob->state, memory_order_acquire);
}

static void set_state_locked(struct blob *blob, enum blob_state state)
{
    static const bool edges[6][6] = {
        [BLOB_OPENING] = {[BLOB_PARTIAL] = true, [BLOB_COMPLETE] = true},
        [BLOB_PARTIAL] = {[BLOB_WANTED] = true, [BLOB_FILLING] = true},
        [BLOB_WANTED] = {[BLOB_FILLING] = true},
        [BLOB_FILLING] = {[BLOB_PARTIAL] = true, [BLOB_COMPLETE] = true, [BLOB_FAILED] = true},
        [BLOB_COMPLETE] = {[BLOB_FAILED] = true},
    };

    CHECK(edges[state_of(blob)][state]);
    atomic_store_explicit(&blob->state, (int)state, memory_order_release);
}

/* Posts under the lock on purpose: a waiter is always either parked, in its loop's inbox, or idle,
 * and blob_unpark() relies on there being no fourth place. */
static void wake_locked(struct waiter *waiter)
{
    list_unlink(&waiter->parked);
    loop_post(waiter->loop, &waiter->mail);
}

static void wake_all_locked(struct blob *blob)
{
    while (!list_is_empty(&blob->waiters))
        wake_locked(container_of(blob->waiters.next, struct waiter, parked));
}

/* ---- the table ---- */

static struct blobs_bucket *bucket_of(struct blobs *table, const struct digest *digest)
{
    /* The digest is as good a hash as any; its first byte already chose the owner loop. */
    size_t index = ((size_t)digest->bytes[1] << 8 | digest->bytes[2]) % BLOBS_BUCKETS;

    return &table->buckets[index];
}

static struct blob *find_locked(struct blobs_bucket *bucket, const struct digest *digest)
{
    for (struct list *node = bucket->blobs.next; node != &bucket->blobs; node = node->next) {
        struct blob *blob = container_of(node, struct blob, node);
        if (digest_equal(&blob->digest, digest))
            return blob;
    }
    return NULL;
}

static struct blob *blob_new_locked(struct blobs *table, struct blobs_bucket *bucket,
                                    const struct digest *digest)
{
    struct blob *blob = check_calloc(1, sizeof(*blob));

    blob->digest = *digest;
    blob->table = table;
    blob->fd = -1;
    blob->size = BLOB_SIZE_UNKNOWN;
    blob->rest_from = UINT64_MAX;
    blob->references = 1;
    blob->written = &blob->present;
    pthread_mutex_init(&blob->mutex, NULL);
    list_init(&blob->waiters);
    list_init(&blob->demands);
    list_append(&bucket->blobs, &blob->node);
    table->open++;
    stats_add(STAT_OPEN_BLOBS, AT_ALL, 1);
    return blob;
}

/* Nobody refers to it, and it has left its bucket. */
static void blob_free(struct blob *blob)
{
    CHECK(blob->references == 0 && list_is_empty(&blob->waiters) && blob->fetch == NULL);
    CHECK(list_is_empty(&blob->demands));
    if (blob->fd >= 0)
        close(blob->fd);
    extents_release(&blob->present);
    extents_release(&blob->durable);
    pthread_mutex_destroy(&blob->mutex);
    blob->table->open--;
    blob->table->unlinked -= blob->unlinked;
    stats_subtract(STAT_OPEN_BLOBS, AT_ALL, 1);
    free(blob);
}

void blobs_init(struct blobs *table)
{
    *table = (struct blobs){.eviction_epoch = 1};
    pthread_mutex_init(&table->mutex, NULL);
    list_init(&table->forgotten);
    for (size_t i = 0; i < BLOBS_BUCKETS; i++) {
        pthread_mutex_init(&table->buckets[i].mutex, NULL);
        list_init(&table->buckets[i].blobs);
    }
}

void blobs_release(struct blobs *table)
{
    blobs_sweep(table, UINT64_MAX, 0);
    CHECK(table->open == 0);
    pthread_mutex_destroy(&table->mutex);
    for (size_t i = 0; i < BLOBS_BUCKETS; i++)
        pthread_mutex_destroy(&table->buckets[i].mutex);
}

struct blob *blobs_get(struct blobs *table, const struct digest *digest, bool *ret_is_new)
{
    struct blobs_bucket *bucket = bucket_of(table, digest);

    pthread_mutex_lock(&bucket->mutex);
    struct blob *blob = find_locked(bucket, digest);
    *ret_is_new = blob == NULL;
    if (blob == NULL)
        blob = blob_new_locked(table, bucket, digest);
    else
        blob->references++;
    pthread_mutex_unlock(&bucket->mutex);
    return blob;
}

struct blob *blobs_find(struct blobs *table, const struct digest *digest)
{
    struct blobs_bucket *bucket = bucket_of(table, digest);

    pthread_mutex_lock(&bucket->mutex);
    struct blob *blob = find_locked(bucket, digest);
    if (blob != NULL)
        blob->references++;
    pthread_mutex_unlock(&bucket->mutex);
    return blob;
}

struct blob *blobs_claim(struct blobs *table, const struct digest *digest)
{
    struct blobs_bucket *bucket = bucket_of(table, digest);
    struct blob *fresh = NULL;

    pthread_mutex_lock(&bucket->mutex);
    struct blob *old = find_locked(bucket, digest);
    if (old == NULL || old->references == 0) {
        if (old != NULL)
            list_unlink(&old->node);
        fresh = blob_new_locked(table, bucket, digest);
    } else {
        old = NULL;
    }
    pthread_mutex_unlock(&bucket->mutex);
    if (old != NULL)
        blob_free(old);
    return fresh;
}

struct blob *blobs_seize(struct blobs *table, struct blob *blob)
{
    struct blobs_bucket *bucket = bucket_of(table, &blob->digest);
    struct blob *fresh = NULL;

    pthread_mutex_lock(&bucket->mutex);
    CHECK(blob->references > 0 && state_of(blob) == BLOB_COMPLETE);
    if (list_is_linked(&blob->node)) {
        list_unlink(&blob->node);
        fresh = blob_new_locked(table, bucket, &blob->digest);
    }
    pthread_mutex_unlock(&bucket->mutex);
    return fresh;
}

static void free_all(struct list *blobs)
{
    while (!list_is_empty(blobs)) {
        struct blob *blob = container_of(blobs->next, struct blob, node);
        list_unlink(&blob->node);
        blob_free(blob);
    }
}

static void move(struct list *node, struct list *to)
{
    list_unlink(node);
    list_append(to, node);
}

void blobs_close_forgotten(struct blobs *table)
{
    struct list closing;

    list_init(&closing);
    pthread_mutex_lock(&table->mutex);
    while (!list_is_empty(&table->forgotten))
        move(table->forgotten.next, &closing);
    pthread_mutex_unlock(&table->mutex);
    free_all(&closing);
}

void blobs_sweep(struct blobs *table, uint64_t before_ms, uint64_t keep)
{
    struct list closing;

    list_init(&closing);
    for (size_t i = 0; i < BLOBS_BUCKETS; i++) {
        struct blobs_bucket *bucket = &table->buckets[i];
        pthread_mutex_lock(&bucket->mutex);
        for (struct list *node = bucket->blobs.next, *next; node != &bucket->blobs; node = next) {
            struct blob *blob = container_of(node, struct blob, node);
            next = node->next;
            if (blob->references == 0 && (blob->idle_since_ms < before_ms || table->open > keep))
                move(node, &closing);
        }
        pthread_mutex_unlock(&bucket->mutex);
        free_all(&closing);
    }
    blobs_close_forgotten(table);
}

struct blob *blob_ref(struct blob *blob)
{
    struct blobs_bucket *bucket = bucket_of(blob->table, &blob->digest);

    pthread_mutex_lock(&bucket->mutex);
    CHECK(blob->references > 0);
    blob->references++;
    pthread_mutex_unlock(&bucket->mutex);
    return blob;
}

struct blob *blob_unref(struct blob *blob)
{
    struct blobs_bucket *bucket = bucket_of(blob->table, &blob->digest);

    pthread_mutex_lock(&bucket->mutex);
    CHECK(blob->references > 0);
    bool last = --blob->references == 0 && !list_is_linked(&blob->node);
    if (blob->references == 0)
        blob->idle_since_ms = clock_monotonic_us() / 1000;
    pthread_mutex_unlock(&bucket->mutex);
    if (!last)
        return NULL;
    /* Closing may give back the space of an unlinked file, which sleeps: that is for the sweep. */
    pthread_mutex_lock(&blob->table->mutex);
    list_append(&blob->table->forgotten, &blob->node);
    pthread_mutex_unlock(&blob->table->mutex);
    return NULL;
}

void blob_unlinked(struct blob *blob, uint64_t bytes)
{
    blob->table->unlinked += bytes;
    blob->unlinked += bytes;
}

void blob_forget(struct blob *blob)
{
    struct blobs_bucket *bucket = bucket_of(blob->table, &blob->digest);

    pthread_mutex_lock(&bucket->mutex);
    if (list_is_linked(&blob->node))
        list_unlink(&blob->node);
    pthread_mutex_unlock(&bucket->mutex);
}

/* ---- the writers' side ---- */

void blob_opened_complete(struct blob *blob, int fd, uint64_t size, const char *media_type)
{
    pthread_mutex_lock(&blob->mutex);
    blob->fd = fd;
    blob->size = size;
    CHECK(view_copy(view_of(media_type), blob->media_type, sizeof(blob->media_type)));
    set_state_locked(blob, BLOB_COMPLETE);
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_opened_partial(struct blob *blob, int fd, uint64_t size, struct extents *present)
{
    pthread_mutex_lock(&blob->mutex);
    blob->fd = fd;
    blob->size = size;
    blob->present = *present;
    *present = (struct extents){0};
    set_state_locked(blob, BLOB_PARTIAL);
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_fill(struct blob *blob)
{
    pthread_mutex_lock(&blob->mutex);
    set_state_locked(blob, BLOB_FILLING);
    memset(blob->held_by, 0, sizeof(blob->held_by));
    pthread_mutex_unlock(&blob->mutex);
}

/* Of what is wanted, whether a byte is missing. */
static bool lacks_locked(const struct blob *blob, struct extent want)
{
    struct extent gap;

    if (blob->size < want.end)
        want.end = blob->size;
    return want.start < want.end && extents_first_gap(&blob->present, want, &gap);
}

/* Moves over the ranges that are here; false when all are. */
static bool is_unmet_locked(struct blob *blob, struct demand *demand)
{
    while (demand->met < demand->count && !lacks_locked(blob, demand->ranges[demand->met]))
        demand->met++;
    return demand->met < demand->count;
}

static bool is_wanted_locked(struct blob *blob)
{
    for (struct list *node = blob->demands.next; node != &blob->demands; node = node->next)
        if (is_unmet_locked(blob, container_of(node, struct demand, node)))
            return true;
    return blob->rest_from != UINT64_MAX &&
           lacks_locked(blob, (struct extent){blob->rest_from, UINT64_MAX});
}

bool blob_unfill(struct blob *blob)
{
    pthread_mutex_lock(&blob->mutex);
    bool over = !is_wanted_locked(blob);
    if (over) {
        set_state_locked(blob, BLOB_PARTIAL);
        wake_all_locked(blob);
    }
    pthread_mutex_unlock(&blob->mutex);
    return over;
}

static bool visit_parked_locked(struct blob *blob,
                                bool (*visit)(void *argument, const struct extent *ranges,
                                              size_t count, bool is_parked),
                                void *argument)
{
    for (struct list *node = blob->waiters.next; node != &blob->waiters; node = node->next) {
        const struct waiter *waiter = container_of(node, struct waiter, parked);
        struct extent want = {waiter->offset, waiter->until};
        if (want.start < want.end && !visit(argument, &want, 1, true))
            return false;
    }
    return true;
}

void blob_each_want(struct blob *blob,
                    bool (*visit)(void *argument, const struct extent *ranges, size_t count,
                                  bool is_parked),
                    void *argument)
{
    pthread_mutex_lock(&blob->mutex);
    bool more = visit_parked_locked(blob, visit, argument);
    for (struct list *node = blob->demands.next; more && node != &blob->demands;
         node = node->next) {
        struct demand *demand = container_of(node, struct demand, node);
        if (is_unmet_locked(blob, demand))
            more =
                visit(argument, demand->ranges + demand->met, demand->count - demand->met, false);
    }
    struct extent rest = {blob->rest_from, UINT64_MAX};
    if (more && rest.start < rest.end)
        (void)visit(argument, &rest, 1, false);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_set_file(struct blob *blob, int fd)
{
    pthread_mutex_lock(&blob->mutex);
    CHECK(blob->fd == -1);
    blob->fd = fd;
    pthread_mutex_unlock(&blob->mutex);
}

void blob_set_size(struct blob *blob, uint64_t size)
{
    pthread_mutex_lock(&blob->mutex);
    CHECK(blob->size == BLOB_SIZE_UNKNOWN || blob->size == size);
    blob->size = size;
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_set_held_by(struct blob *blob, const unsigned char key[32])
{
    pthread_mutex_lock(&blob->mutex);
    if (memcmp(blob->held_by, key, sizeof(blob->held_by)) != 0) {
        memcpy(blob->held_by, key, sizeof(blob->held_by));
        wake_all_locked(blob);
    }
    pthread_mutex_unlock(&blob->mutex);
}

void blob_set_media_type(struct blob *blob, const char *media_type)
{
    pthread_mutex_lock(&blob->mutex);
    CHECK(state_of(blob) != BLOB_COMPLETE);
    (void)view_copy(view_of(media_type), blob->media_type, sizeof(blob->media_type));
    pthread_mutex_unlock(&blob->mutex);
}

void blob_publish(struct blob *blob, struct extent range)
{
    pthread_mutex_lock(&blob->mutex);
    CHECK(state_of(blob) == BLOB_FILLING);
    extents_add(&blob->present, range);
    for (struct list *node = blob->waiters.next, *next; node != &blob->waiters; node = next) {
        struct waiter *waiter = container_of(node, struct waiter, parked);
        next = node->next;
        if (waiter->offset >= range.start && waiter->offset < range.end)
            wake_locked(waiter);
    }
    pthread_mutex_unlock(&blob->mutex);
}

void blob_finish(struct blob *blob)
{
    pthread_mutex_lock(&blob->mutex);
    set_state_locked(blob, BLOB_COMPLETE);
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_fail(struct blob *blob, enum err err, const unsigned char *held_by,
               uint64_t retry_after_s)
{
    CHECK(err != OK);
    blob_forget(blob); /* first: nobody who sees it FAILED can be given it again */
    pthread_mutex_lock(&blob->mutex);
    blob->err = err;
    blob->retry_after_s = retry_after_s;
    if (state_of(blob) == BLOB_COMPLETE)
        CHECK(held_by == NULL); /* it is read without the mutex, by those who saw it COMPLETE */
    else if (held_by == NULL)
        memset(blob->held_by, 0, sizeof(blob->held_by));
    else
        memcpy(blob->held_by, held_by, sizeof(blob->held_by));
    set_state_locked(blob, BLOB_FAILED);
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_wake(struct blob *blob)
{
    pthread_mutex_lock(&blob->mutex);
    wake_all_locked(blob);
    pthread_mutex_unlock(&blob->mutex);
}

/* ---- the readers' side ---- */

static uint64_t readable_locked(struct blob *blob, uint64_t offset, enum blob_state state)
{
    if (offset == BLOB_OFFSET_END || state == BLOB_OPENING)
        return 0;
    if (state == BLOB_FAILED &&
        (blob->err == ERR_DIGEST_MISMATCH || blob->err == ERR_SIZE_MISMATCH ||
         blob->err == ERR_DISK_FAILED || blob->err == ERR_DAMAGED))
        return 0; /* what is here is not worth having */
    return extents_run_end(&blob->present, offset) - offset;
}

struct blob_view blob_look(struct blob *blob, uint64_t offset, struct waiter *waiter)
{
    static const unsigned char nobody[sizeof(blob->held_by)];

    if (state_of(blob) == BLOB_COMPLETE) /* what is read here is constant: the hit takes no lock */
        return (struct blob_view){.state = BLOB_COMPLETE,
                                  .size = blob->size,
                                  .readable = offset < blob->size ? blob->size - offset : 0,
                                  .fd = blob->fd};
    pthread_mutex_lock(&blob->mutex);
    enum blob_state state = state_of(blob);
    struct blob_view view = {.state = state,
                             .err = blob->err,
                             .retry_after_s = blob->retry_after_s,
                             .size = blob->size,
                             .fd = blob->fd};
    if (state == BLOB_COMPLETE)
        view.readable = offset < blob->size ? blob->size - offset : 0;
    else
        view.readable = readable_locked(blob, offset, state);
    memcpy(view.held_by, blob->held_by, sizeof(view.held_by));
    view.answered = memcmp(view.held_by, nobody, sizeof(nobody)) != 0;
    view.whole = blob->rest_from <= extents_run_end(&blob->present, 0) ||
                 !lacks_locked(blob, (struct extent){0, blob->size});
    bool may_come = state != BLOB_COMPLETE && state != BLOB_FAILED;
    if (view.readable == 0 && may_come && waiter != NULL) {
        CHECK(!list_is_linked(&waiter->parked));
        waiter->offset = offset;
        list_append(&blob->waiters, &waiter->parked);
    }
    pthread_mutex_unlock(&blob->mutex);
    return view;
}

void blob_demand(struct blob *blob, struct demand *demand)
{
    pthread_mutex_lock(&blob->mutex);
    CHECK(!list_is_linked(&demand->node));
    demand->met = 0;
    list_append(&blob->demands, &demand->node);
    pthread_mutex_unlock(&blob->mutex);
}

void blob_demand_rest(struct blob *blob, uint64_t offset)
{
    pthread_mutex_lock(&blob->mutex);
    if (offset < blob->rest_from)
        blob->rest_from = offset;
    pthread_mutex_unlock(&blob->mutex);
}

void blob_withdraw(struct blob *blob, struct demand *demand)
{
    pthread_mutex_lock(&blob->mutex);
    if (list_is_linked(&demand->node))
        list_unlink(&demand->node);
    pthread_mutex_unlock(&blob->mutex);
}

bool blob_want(struct blob *blob)
{
    pthread_mutex_lock(&blob->mutex);
    bool first = state_of(blob) == BLOB_PARTIAL;
    if (first)
        set_state_locked(blob, BLOB_WANTED);
    pthread_mutex_unlock(&blob->mutex);
    return first;
}

void blob_unpark(struct blob *blob, struct waiter *waiter)
{
    pthread_mutex_lock(&blob->mutex);
    if (list_is_linked(&waiter->parked))
        list_unlink(&waiter->parked);
    pthread_mutex_unlock(&blob->mutex);
    loop_recall(waiter->loop, &waiter->mail);
}

bool blob_has(struct blob *blob, const struct extent *ranges, size_t count)
{
    struct extent gap;
    bool has = true;

    pthread_mutex_lock(&blob->mutex);
    for (size_t i = 0; i < count && has; i++)
        has = !extents_first_gap(&blob->present, ranges[i], &gap);
    pthread_mutex_unlock(&blob->mutex);
    return has;
}

struct extents blob_present(struct blob *blob)
{
    struct extents copy = {0};

    pthread_mutex_lock(&blob->mutex);
    extents_copy(&blob->present, &copy);
    pthread_mutex_unlock(&blob->mutex);
    return copy;
}

/* ---- names ---- */

void blob_path_complete(const struct digest *digest, char out[BLOB_PATH_SIZE])
{
    char text[DIGEST_TEXT_SIZE];
    const char *hex = strchr(digest_print(digest, text), ':') + 1;

    (void)snprintf(out, BLOB_PATH_SIZE, "blobs/%s/%.2s/%s",
                   digest_algorithm_name(digest->algorithm), hex, hex);
}

void blob_path_partial(const struct digest *digest, char out[BLOB_PATH_SIZE])
{
    char text[DIGEST_TEXT_SIZE];
    const char *hex = strchr(digest_print(digest, text), ':') + 1;

    (void)snprintf(out, BLOB_PATH_SIZE, "partial/%s/%s", digest_algorithm_name(digest->algorithm),
                   hex);
}
