/*
 * Four LMDB tables and `meta`. Readers keep one transaction a thread, renewed for the length of
 * one function. Writers queue; run() takes the whole queue, applies it in one transaction, commits,
 * and tells those who asked. What the disk refuses is kept, shown to readers as if it had been
 * written, and tried again together with what comes later.
 */
#include "cache/index.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/index_env.h"
#include "cache/index_key.h"
#include "cache/index_read.h"
#include "cache/index_write.h"

enum {
    TOUCHES_MAX = 4096,
    VERIFIED_MAX = 1024,
    TOUCH_DELAY_S = 10,
    REFUSED_MAX = 4096, /* writes that are kept while the disk refuses them */
    REFUSED_DELAY_S = 1,
};

enum action { PUT, DELETE, TOUCH, VERIFY, FLUSH };

struct write {
    struct list node;
    enum action action;
    enum index_table table;
    struct index_key key;
    struct buf value;  /* PUT; owned */
    int64_t when_ms;   /* TOUCH, VERIFY */
    struct loop *loop; /* FLUSH: who is told by `mail`, or NULL and then `done` is posted */
    struct mail *mail;
    sem_t *done;
};

struct index {
    struct index_env lmdb;
    _Atomic uint64_t bytes; /* on the disk, after the last commit */
    pthread_key_t reader;   /* this thread's struct reader */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t filled;
    struct list queue;
    struct list readers;
    unsigned waiting;               /* writes in the queue, */
    unsigned touches;               /* and those of them that are in no hurry */
    struct list refused;            /* PUT and DELETE, each key once, the oldest first; changed by
                                       the writer only */
    _Atomic unsigned refused_count; /* so that nobody takes the mutex to find that there are none */
    uint64_t retry_at_us;           /* the writer's */
    bool stopping;
    bool is_held; /* by one thread, whose writes go on; */
    pthread_t holder;
    struct list held;        /* the others' wait here, */
    pthread_cond_t released; /* and who wants it next */
};

struct reader {
    struct list node;
    MDB_txn *txn;
};

static MDB_val val_of(const struct index_key *key)
{
    return (MDB_val){key->length, (void *)key->bytes};
}

/* ---- reading ---- */

static MDB_txn *begin_read(struct index *index)
{
    struct reader *reader = pthread_getspecific(index->reader);

    if (reader != NULL) {
        index_env_check(mdb_txn_renew(reader->txn));
        return reader->txn;
    }
    reader = check_calloc(1, sizeof(*reader));
    index_env_check(mdb_txn_begin(index->lmdb.env, NULL, MDB_RDONLY, &reader->txn));
    pthread_mutex_lock(&index->mutex);
    list_append(&index->readers, &reader->node);
    pthread_mutex_unlock(&index->mutex);
    pthread_setspecific(index->reader, reader);
    return reader->txn;
}

static struct write *find_refused(struct index *index, enum index_table table,
                                  const struct index_key *key)
{
    for (struct list *node = index->refused.next; node != &index->refused; node = node->next) {
        struct write *write = container_of(node, struct write, node);
        if (write->table == table && write->key.length == key->length &&
            memcmp(write->key.bytes, key->bytes, key->length) == 0)
            return write;
    }
    return NULL;
}

/* Whether the record of that key is one that could not be written yet; `ret_found`: and not a
 * deletion. */
static bool get_refused(struct index *index, enum index_table table, const struct index_key *key,
                        bool (*decode)(struct view bytes, void *ret_record), void *ret_record,
                        bool *ret_found)
{
    if (atomic_load(&index->refused_count) == 0)
        return false;
    pthread_mutex_lock(&index->mutex);
    const struct write *write = find_refused(index, table, key);
    if (write != NULL)
        *ret_found = write->action == PUT && decode(view_of_buf(&write->value), ret_record);
    pthread_mutex_unlock(&index->mutex);
    return write != NULL;
}

/* Decodes the record of that key with `decode` while the transaction lives. */
static bool get(struct index *index, enum index_table table, const struct index_key *key,
                bool (*decode)(struct view bytes, void *ret_record), void *ret_record)
{
    bool is_here;

    if (get_refused(index, table, key, decode, ret_record, &is_here))
        return is_here;
    MDB_txn *txn = begin_read(index);
    MDB_val at = val_of(key), value;

    bool found = mdb_get(txn, index->lmdb.tables[table], &at, &value) == 0 &&
                 decode((struct view){value.mv_data, value.mv_size}, ret_record);
    mdb_txn_reset(txn);
    return found;
}

static bool decode_blob(struct view bytes, void *ret_record)
{
    return blob_record_decode(bytes, ret_record);
}

static bool decode_tag(struct view bytes, void *ret_record)
{
    return tag_record_decode(bytes, ret_record);
}

static bool decode_holding(struct view bytes, void *ret_record)
{
    return holding_record_decode(bytes, ret_record);
}

bool index_get_blob(struct index *index, const struct digest *digest,
                    struct blob_record *ret_record)
{
    struct index_key key = index_digest_key(digest);

    return get(index, INDEX_BLOBS, &key, decode_blob, ret_record);
}

bool index_is_behind(struct index *index, const struct digest *digest)
{
    struct index_key key = index_digest_key(digest);

    pthread_mutex_lock(&index->mutex);
    bool is_behind = find_refused(index, INDEX_BLOBS, &key) != NULL;
    pthread_mutex_unlock(&index->mutex);
    return is_behind;
}

bool index_get_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, struct tag_record *ret_record)
{
    struct index_key key = index_name_key(upstream, repository, tag);

    return get(index, INDEX_TAGS, &key, decode_tag, ret_record);
}

bool index_get_holding(struct index *index, const char *upstream, const char *repository,
                       const struct digest *digest, struct holding_record *ret_record)
{
    struct index_key key = index_holding_key(upstream, repository, digest);

    return get(index, INDEX_HOLDINGS, &key, decode_holding, ret_record);
}

static bool copy_note(struct view bytes, void *ret_record)
{
    buf_append(ret_record, bytes.data, bytes.length);
    return true;
}

bool index_get_note(struct index *index, enum index_note note, const unsigned char key[32],
                    struct buf *out)
{
    struct index_key at = index_note_key(note, key);

    return get(index, INDEX_NOTES, &at, copy_note, out);
}

MDB_txn *index_read_begin(struct index *index)
{
    return begin_read(index);
}

MDB_dbi index_read_table(const struct index *index, enum index_table table)
{
    return index->lmdb.tables[table];
}

uint64_t index_bytes(const struct index *index)
{
    return index->bytes;
}

/* ---- the writer ---- */

/* TOUCH, VERIFY: moves a time of the record, as it is now, on. */
static int move_time(struct index *index, MDB_txn *txn, const struct write *write)
{
    MDB_val key = val_of(&write->key), value;
    struct blob_record record;
    struct buf bytes = {0};

    if (mdb_get(txn, index->lmdb.tables[INDEX_BLOBS], &key, &value) != 0 ||
        !blob_record_decode((struct view){value.mv_data, value.mv_size}, &record))
        return 0;
    int64_t *time = write->action == VERIFY ? &record.verified_ms : &record.last_used_ms;
    if (write->when_ms > *time && (write->action == TOUCH || record.complete))
        *time = write->when_ms;
    blob_record_encode(&record, &bytes);
    value = (MDB_val){bytes.length, bytes.data};
    int code = mdb_put(txn, index->lmdb.tables[INDEX_BLOBS], &key, &value, 0);
    buf_release(&bytes);
    blob_record_release(&record);
    return code;
}

static int apply(struct index *index, MDB_txn *txn, const struct write *write)
{
    MDB_val key = val_of(&write->key);
    MDB_val value = {write->value.length, write->value.data};
    int code = 0;

    switch (write->action) {
    case PUT:
        return mdb_put(txn, index->lmdb.tables[write->table], &key, &value, 0);
    case DELETE:
        code = mdb_del(txn, index->lmdb.tables[write->table], &key, NULL);
        return code == MDB_NOTFOUND ? 0 : code;
    case TOUCH:
    case VERIFY:
        return move_time(index, txn, write);
    case FLUSH:
        return 0;
    }
    return 0;
}

static int apply_all(struct index *index, MDB_txn *txn, const struct list *writes)
{
    int code = 0;

    for (struct list *node = writes->next; code == 0 && node != writes; node = node->next)
        code = apply(index, txn, container_of(node, struct write, node));
    return code;
}

/* One transaction for the whole batch, and for what was refused before it. */
static bool commit(struct index *index, const struct list *batch)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(index->lmdb.env, NULL, 0, &txn);

    if (code == 0)
        code = apply_all(index, txn, &index->refused);
    if (code == 0)
        code = apply_all(index, txn, batch);
    if (code == 0)
        code = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    if (code != 0 && index->refused_count == 0)
        log_message(CONFIG_LOG_ERROR, "index",
                    "the index cannot be written, and is kept in memory until it can: %s",
                    mdb_strerror(code));
    if (code == 0 && index->refused_count > 0)
        log_message(CONFIG_LOG_INFO, "index", "the index can be written again");
    index->bytes = index_env_bytes(&index->lmdb);
    stats_add(STAT_INDEX_COMMITS, AT_ALL, 1);
    return code == 0;
}

static void finish(struct write *write)
{
    if (write->mail != NULL)
        loop_post(write->loop, write->mail);
    if (write->done != NULL)
        sem_post(write->done);
    buf_release(&write->value);
    free(write);
}

static void finish_all(struct list *writes)
{
    while (!list_is_empty(writes)) {
        struct write *write = container_of(writes->next, struct write, node);
        list_unlink(&write->node);
        finish(write);
    }
}

static void forget_refused_locked(struct index *index, struct write *write)
{
    list_unlink(&write->node);
    index->refused_count--;
    finish(write);
}

/* Keeps what changes something, the newest for each key. */
static void refuse_locked(struct index *index, struct list *batch)
{
    for (struct list *node = batch->next, *next; node != batch; node = next) {
        struct write *write = container_of(node, struct write, node);
        next = node->next;
        if (write->action != PUT && write->action != DELETE)
            continue;
        struct write *older = find_refused(index, write->table, &write->key);
        if (older != NULL)
            forget_refused_locked(index, older);
        else if (index->refused_count == REFUSED_MAX)
            forget_refused_locked(index, container_of(index->refused.next, struct write, node));
        list_unlink(node);
        list_append(&index->refused, node);
        index->refused_count++;
    }
}

/* Writes the batch, with what waits, unless the disk has refused a moment ago. */
static void write_batch(struct index *index, struct list *batch, bool at_once)
{
    uint64_t now_us = clock_monotonic_us();
    bool due = at_once || index->refused_count == 0 || now_us >= index->retry_at_us;
    bool written = due && commit(index, batch);

    if (due)
        index->retry_at_us = now_us + REFUSED_DELAY_S * 1000000ull;
    pthread_mutex_lock(&index->mutex);
    if (written)
        while (!list_is_empty(&index->refused))
            forget_refused_locked(index, container_of(index->refused.next, struct write, node));
    else
        refuse_locked(index, batch);
    pthread_mutex_unlock(&index->mutex);
    finish_all(batch);
}

static void take_queue(struct index *index, struct list *batch)
{
    while (!list_is_empty(&index->queue)) {
        struct list *node = index->queue.next;
        list_unlink(node);
        list_append(batch, node);
    }
    index->waiting = index->touches = 0;
}

/* Waits for a write. Touches are in no hurry: they go with the next one, or after a while; so does
 * what was refused. */
static bool wait_for_work(struct index *index)
{
    struct timespec until;

    if (index->waiting > index->touches)
        return true;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += index->refused_count > 0 ? REFUSED_DELAY_S : TOUCH_DELAY_S;
    bool waited = pthread_cond_timedwait(&index->filled, &index->mutex, &until) == ETIMEDOUT;
    return index->waiting > index->touches ||
           (waited && (index->touches > 0 || index->refused_count > 0));
}

static void *run(void *argument)
{
    struct index *index = argument;
    struct list batch;

    pthread_setname_np(pthread_self(), "writer");
    list_init(&batch);
    pthread_mutex_lock(&index->mutex);
    while (!index->stopping || !list_is_empty(&index->queue)) {
        if (!index->stopping && !wait_for_work(index))
            continue;
        take_queue(index, &batch);
        pthread_mutex_unlock(&index->mutex);
        write_batch(index, &batch, false);
        pthread_mutex_lock(&index->mutex);
    }
    pthread_mutex_unlock(&index->mutex);
    if (!list_is_empty(&index->refused))
        write_batch(index, &batch, true); /* the last chance */
    finish_all(&index->refused);
    return NULL;
}

static void queue(struct index *index, struct write *write)
{
    pthread_mutex_lock(&index->mutex);
    if (index->is_held && !pthread_equal(index->holder, pthread_self())) {
        list_append(&index->held, &write->node);
    } else {
        list_append(&index->queue, &write->node);
        index->waiting++;
        pthread_cond_signal(&index->filled);
    }
    pthread_mutex_unlock(&index->mutex);
}

static struct write *write_new(enum action action, enum index_table table, struct index_key key)
{
    struct write *write = check_calloc(1, sizeof(*write));

    write->action = action;
    write->table = table;
    write->key = key;
    return write;
}

void index_write_put(struct index *index, enum index_table table, struct index_key key,
                     struct buf *value)
{
    struct write *write = write_new(PUT, table, key);

    write->value = *value;
    *value = (struct buf){0};
    queue(index, write);
}

void index_write_delete(struct index *index, enum index_table table, struct index_key key)
{
    queue(index, write_new(DELETE, table, key));
}

void index_touch(struct index *index, const struct digest *digest)
{
    struct write *write = write_new(TOUCH, INDEX_BLOBS, index_digest_key(digest));

    write->when_ms = clock_wall_ms();
    pthread_mutex_lock(&index->mutex);
    bool taken = index->touches < TOUCHES_MAX;
    if (taken) {
        index->touches++;
        index->waiting++;
        list_append(&index->queue, &write->node);
    }
    pthread_mutex_unlock(&index->mutex);
    if (!taken)
        free(write);
}

void index_verified(struct index *index, const struct digest *digest, int64_t when_ms)
{
    struct write *write = write_new(VERIFY, INDEX_BLOBS, index_digest_key(digest));

    write->when_ms = when_ms;
    pthread_mutex_lock(&index->mutex);
    list_append(&index->queue, &write->node);
    index->waiting++;
    if (index->touches < VERIFIED_MAX) /* in no hurry either, but never dropped */
        index->touches++;
    else
        pthread_cond_signal(&index->filled);
    pthread_mutex_unlock(&index->mutex);
}

void index_flush(struct index *index, struct loop *loop, struct mail *mail)
{
    struct write *write = write_new(FLUSH, INDEX_META, (struct index_key){0});

    write->loop = loop;
    write->mail = mail;
    queue(index, write);
}

void index_flush_wait(struct index *index)
{
    struct write *write = write_new(FLUSH, INDEX_META, (struct index_key){0});
    sem_t done;

    CHECK(sem_init(&done, 0, 0) == 0);
    write->done = &done;
    queue(index, write);
    while (sem_wait(&done) != 0)
        CHECK(errno == EINTR);
    sem_destroy(&done);
}

void index_hold(struct index *index)
{
    pthread_mutex_lock(&index->mutex);
    while (index->is_held)
        pthread_cond_wait(&index->released, &index->mutex);
    index->is_held = true;
    index->holder = pthread_self();
    pthread_mutex_unlock(&index->mutex);
    index_flush_wait(index); /* what the others gave before */
}

void index_release(struct index *index)
{
    pthread_mutex_lock(&index->mutex);
    CHECK(index->is_held && pthread_equal(index->holder, pthread_self()));
    index->is_held = false;
    while (!list_is_empty(&index->held)) {
        struct list *node = index->held.next;
        list_unlink(node);
        list_append(&index->queue, node);
        index->waiting++;
    }
    pthread_cond_signal(&index->filled);
    pthread_cond_signal(&index->released);
    pthread_mutex_unlock(&index->mutex);
}

/* ---- opening and closing ---- */

enum err index_open(const char *directory, struct index **ret_index, bool *ret_is_new,
                    struct buf *ret_problem)
{
    struct index *index = check_calloc(1, sizeof(*index));

    enum err err = index_env_open(directory, &index->lmdb, ret_is_new, ret_problem);
    if (err != OK) {
        free(index);
        return err;
    }
    index->bytes = index_env_bytes(&index->lmdb);
    list_init(&index->queue);
    list_init(&index->held);
    list_init(&index->refused);
    list_init(&index->readers);
    pthread_mutex_init(&index->mutex, NULL);
    pthread_cond_init(&index->filled, NULL);
    pthread_cond_init(&index->released, NULL);
    CHECK(pthread_key_create(&index->reader, NULL) == 0);
    CHECK(pthread_create(&index->thread, NULL, run, index) == 0);
    *ret_index = index;
    return OK;
}

void index_close(struct index *index)
{
    CHECK(!index->is_held);
    pthread_mutex_lock(&index->mutex);
    index->stopping = true;
    pthread_cond_signal(&index->filled);
    pthread_mutex_unlock(&index->mutex);
    pthread_join(index->thread, NULL);
    while (!list_is_empty(&index->readers)) {
        struct reader *reader = container_of(index->readers.next, struct reader, node);
        list_unlink(&reader->node);
        mdb_txn_abort(reader->txn);
        free(reader);
    }
    pthread_key_delete(index->reader);
    index_env_close(&index->lmdb);
    pthread_mutex_destroy(&index->mutex);
    pthread_cond_destroy(&index->filled);
    pthread_cond_destroy(&index->released);
    free(index);
}
