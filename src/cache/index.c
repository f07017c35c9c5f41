/*
 * Three LMDB tables and `meta`. Readers keep one transaction a thread, renewed for the length of
 * one function. Writers queue; run() takes the whole queue, applies it in one transaction, commits,
 * and tells those who asked.
 */
#include "cache/index.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/index_env.h"

enum { KEY_MAX = 1 + DIGEST_BYTES_MAX, TOUCHES_MAX = 4096, TOUCH_DELAY_S = 10 };

struct key {
    size_t length;
    unsigned char bytes[KEY_MAX];
};

enum action { PUT, DELETE, TOUCH, FLUSH };

struct write {
    struct list node;
    enum action action;
    enum index_table table;
    struct key key;
    struct buf value;  /* PUT; owned */
    int64_t when_ms;   /* TOUCH */
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
    unsigned waiting; /* writes in the queue, */
    unsigned touches; /* and those of them that are in no hurry */
    bool stopping;
};

struct reader {
    struct list node;
    MDB_txn *txn;
};

/* ---- keys ---- */

static struct key digest_key(const struct digest *digest)
{
    struct key key = {.length = 1 + digest_length(digest)};

    key.bytes[0] = (unsigned char)digest->algorithm;
    memcpy(key.bytes + 1, digest->bytes, digest_length(digest));
    return key;
}

static struct key name_key(const char *upstream, const char *repository, const char *name)
{
    const char *const parts[] = {upstream, repository, name};
    struct key key = {.length = 32};
    struct digest digest;
    struct hasher hasher;

    hasher_init(&hasher, DIGEST_SHA256);
    for (size_t i = 0; i < 3; i++)
        hasher_update(&hasher, parts[i], strlen(parts[i]) + 1);
    hasher_finish(&hasher, &digest);
    hasher_release(&hasher);
    memcpy(key.bytes, digest.bytes, key.length);
    return key;
}

static struct key holding_key(const char *upstream, const char *repository,
                              const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    return name_key(upstream, repository, digest_print(digest, text));
}

static MDB_val val_of(const struct key *key)
{
    return (MDB_val){key->length, (void *)key->bytes};
}

/* ---- reading ---- */

static MDB_txn *begin_read(struct index *index)
{
    struct reader *reader = pthread_getspecific(index->reader);

    if (reader != NULL) {
        CHECK(mdb_txn_renew(reader->txn) == 0);
        return reader->txn;
    }
    reader = check_calloc(1, sizeof(*reader));
    CHECK(mdb_txn_begin(index->lmdb.env, NULL, MDB_RDONLY, &reader->txn) == 0);
    pthread_mutex_lock(&index->mutex);
    list_append(&index->readers, &reader->node);
    pthread_mutex_unlock(&index->mutex);
    pthread_setspecific(index->reader, reader);
    return reader->txn;
}

/* Decodes the record of that key with `decode` while the transaction lives. */
static bool get(struct index *index, enum index_table table, const struct key *key,
                bool (*decode)(struct view bytes, void *ret_record), void *ret_record)
{
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
    struct key key = digest_key(digest);

    return get(index, INDEX_BLOBS, &key, decode_blob, ret_record);
}

bool index_get_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, struct tag_record *ret_record)
{
    struct key key = name_key(upstream, repository, tag);

    return get(index, INDEX_TAGS, &key, decode_tag, ret_record);
}

bool index_get_holding(struct index *index, const char *upstream, const char *repository,
                       const struct digest *digest, struct holding_record *ret_record)
{
    struct key key = holding_key(upstream, repository, digest);

    return get(index, INDEX_HOLDINGS, &key, decode_holding, ret_record);
}

static bool digest_of_key(const MDB_val *key, struct digest *ret_digest)
{
    const unsigned char *bytes = key->mv_data;
    struct digest digest = {0};

    if (key->mv_size < 1 || bytes[0] > DIGEST_SHA512)
        return false;
    digest.algorithm = (enum digest_algorithm)bytes[0];
    if (key->mv_size != 1 + digest_length(&digest))
        return false;
    memcpy(digest.bytes, bytes + 1, digest_length(&digest));
    *ret_digest = digest;
    return true;
}

void index_each_blob(struct index *index,
                     bool (*visit)(void *argument, const struct digest *digest,
                                   const struct blob_record *record),
                     void *argument)
{
    MDB_txn *txn = begin_read(index);
    MDB_cursor *cursor;
    MDB_val key, value;
    bool more = true;

    CHECK(mdb_cursor_open(txn, index->lmdb.tables[INDEX_BLOBS], &cursor) == 0);
    while (more && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        struct digest digest;
        struct blob_record record;
        if (!digest_of_key(&key, &digest) ||
            !blob_record_decode((struct view){value.mv_data, value.mv_size}, &record))
            continue;
        more = visit(argument, &digest, &record);
        blob_record_release(&record);
    }
    mdb_cursor_close(cursor);
    mdb_txn_reset(txn);
}

uint64_t index_bytes(const struct index *index)
{
    return index->bytes;
}

/* ---- the writer ---- */

static int touch(struct index *index, MDB_txn *txn, const struct write *write)
{
    MDB_val key = val_of(&write->key), value;
    struct blob_record record;
    struct buf bytes = {0};

    if (mdb_get(txn, index->lmdb.tables[INDEX_BLOBS], &key, &value) != 0 ||
        !blob_record_decode((struct view){value.mv_data, value.mv_size}, &record))
        return 0;
    if (write->when_ms > record.last_used_ms)
        record.last_used_ms = write->when_ms;
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
        return touch(index, txn, write);
    case FLUSH:
        return 0;
    }
    return 0;
}

/* One transaction for the whole batch. What cannot be written is lost, and said in the log: the
 * cache then fetches again what it does not know that it has. */
static void commit(struct index *index, struct list *batch)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(index->lmdb.env, NULL, 0, &txn);

    for (struct list *node = batch->next; code == 0 && node != batch; node = node->next)
        code = apply(index, txn, container_of(node, struct write, node));
    if (code == 0)
        code = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    if (code != 0)
        log_message(CONFIG_LOG_ERROR, "index", "a write to the index failed: %s",
                    mdb_strerror(code));
    index->bytes = index_env_bytes(&index->lmdb);
    stats_add(STAT_INDEX_COMMITS, AT_ALL, 1);
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

static void take_queue(struct index *index, struct list *batch)
{
    while (!list_is_empty(&index->queue)) {
        struct list *node = index->queue.next;
        list_unlink(node);
        list_append(batch, node);
    }
    index->waiting = index->touches = 0;
}

/* Waits for a write. Touches are in no hurry: they go with the next one, or after a while. */
static bool wait_for_work(struct index *index)
{
    struct timespec until;

    if (index->waiting > index->touches)
        return true;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TOUCH_DELAY_S;
    bool waited = pthread_cond_timedwait(&index->filled, &index->mutex, &until) == ETIMEDOUT;
    return index->waiting > index->touches || (waited && index->touches > 0);
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
        commit(index, &batch);
        while (!list_is_empty(&batch)) {
            struct write *write = container_of(batch.next, struct write, node);
            list_unlink(&write->node);
            finish(write);
        }
        pthread_mutex_lock(&index->mutex);
    }
    pthread_mutex_unlock(&index->mutex);
    return NULL;
}

static void queue(struct index *index, struct write *write)
{
    pthread_mutex_lock(&index->mutex);
    list_append(&index->queue, &write->node);
    index->waiting++;
    pthread_cond_signal(&index->filled);
    pthread_mutex_unlock(&index->mutex);
}

static struct write *write_new(enum action action, enum index_table table, struct key key)
{
    struct write *write = check_calloc(1, sizeof(*write));

    write->action = action;
    write->table = table;
    write->key = key;
    return write;
}

void index_put_blob(struct index *index, const struct digest *digest,
                    const struct blob_record *record)
{
    struct write *write = write_new(PUT, INDEX_BLOBS, digest_key(digest));

    blob_record_encode(record, &write->value);
    queue(index, write);
}

void index_delete_blob(struct index *index, const struct digest *digest)
{
    queue(index, write_new(DELETE, INDEX_BLOBS, digest_key(digest)));
}

void index_put_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, const struct tag_record *record)
{
    struct write *write = write_new(PUT, INDEX_TAGS, name_key(upstream, repository, tag));

    tag_record_encode(record, &write->value);
    queue(index, write);
}

void index_delete_tag(struct index *index, const char *upstream, const char *repository,
                      const char *tag)
{
    queue(index, write_new(DELETE, INDEX_TAGS, name_key(upstream, repository, tag)));
}

void index_put_holding(struct index *index, const char *repository, const struct digest *digest,
                       const struct holding_record *record)
{
    const char *const upstreams[] = {record->upstream, ""};

    for (size_t i = 0; i < 2; i++) {
        struct write *write =
            write_new(PUT, INDEX_HOLDINGS, holding_key(upstreams[i], repository, digest));
        holding_record_encode(record, &write->value);
        queue(index, write);
    }
}

void index_touch(struct index *index, const struct digest *digest)
{
    struct write *write = write_new(TOUCH, INDEX_BLOBS, digest_key(digest));

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

void index_flush(struct index *index, struct loop *loop, struct mail *mail)
{
    struct write *write = write_new(FLUSH, INDEX_META, (struct key){0});

    write->loop = loop;
    write->mail = mail;
    queue(index, write);
}

void index_flush_wait(struct index *index)
{
    struct write *write = write_new(FLUSH, INDEX_META, (struct key){0});
    sem_t done;

    CHECK(sem_init(&done, 0, 0) == 0);
    write->done = &done;
    queue(index, write);
    while (sem_wait(&done) != 0)
        CHECK(errno == EINTR);
    sem_destroy(&done);
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
    list_init(&index->readers);
    pthread_mutex_init(&index->mutex, NULL);
    pthread_cond_init(&index->filled, NULL);
    CHECK(pthread_key_create(&index->reader, NULL) == 0);
    CHECK(pthread_create(&index->thread, NULL, run, index) == 0);
    *ret_index = index;
    return OK;
}

void index_close(struct index *index)
{
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
    free(index);
}
