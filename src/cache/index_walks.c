/*
 * The walks over whole tables of the index.
 */
#include <lmdb.h>
#include <string.h>

#include "base/check.h"
#include "cache/index.h"
#include "cache/index_read.h"

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

/* A walk over the records of a table, in one read transaction. */
struct walk {
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
};

static struct walk begin_walk(struct index *index, enum index_table table)
{
    struct walk walk = {.txn = index_read_begin(index)};

    CHECK(mdb_cursor_open(walk.txn, index_read_table(index, table), &walk.cursor) == 0);
    return walk;
}

/* The next record; false: there is none. */
static bool step(struct walk *walk, struct view *ret_bytes)
{
    if (mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_NEXT) != 0)
        return false;
    *ret_bytes = (struct view){walk->value.mv_data, walk->value.mv_size};
    return true;
}

static void end_walk(struct walk *walk)
{
    mdb_cursor_close(walk->cursor);
    mdb_txn_reset(walk->txn);
}

void index_each_blob(struct index *index,
                     bool (*visit)(void *argument, const struct digest *digest,
                                   const struct blob_record *record),
                     void *argument)
{
    struct walk walk = begin_walk(index, INDEX_BLOBS);
    struct view bytes;

    for (bool more = true; more && step(&walk, &bytes);) {
        struct digest digest;
        struct blob_record record;
        if (!digest_of_key(&walk.key, &digest) || !blob_record_decode(bytes, &record))
            continue;
        more = visit(argument, &digest, &record);
        blob_record_release(&record);
    }
    end_walk(&walk);
}

void index_each_tag(struct index *index,
                    bool (*visit)(void *argument, const struct tag_record *record), void *argument)
{
    struct walk walk = begin_walk(index, INDEX_TAGS);
    struct tag_record record;
    struct view bytes;

    for (bool more = true; more && step(&walk, &bytes);)
        if (tag_record_decode(bytes, &record))
            more = visit(argument, &record);
    end_walk(&walk);
}

void index_each_manifest(struct index *index,
                         bool (*visit)(void *argument, const struct holding_record *record),
                         void *argument)
{
    struct walk walk = begin_walk(index, INDEX_HOLDINGS);
    struct holding_record record;
    struct view bytes;

    for (bool more = true; more && step(&walk, &bytes);)
        if (holding_record_decode(bytes, &record) && record.repository[0] != '\0')
            more = visit(argument, &record);
    end_walk(&walk);
}

void index_each_note(struct index *index, enum index_note note,
                     bool (*visit)(void *argument, const unsigned char key[32], struct view value),
                     void *argument)
{
    struct walk walk = begin_walk(index, INDEX_NOTES);
    struct view bytes;
    bool more = true;

    while (more && step(&walk, &bytes)) {
        const unsigned char *key = walk.key.mv_data;
        if (walk.key.mv_size == 33 && key[0] == note)
            more = visit(argument, key + 1, bytes);
    }
    end_walk(&walk);
}
