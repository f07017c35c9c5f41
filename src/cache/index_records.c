/*
 * The writes of records: each encoded, under its key.
 */
#include "base/check.h"
#include "cache/index.h"
#include "cache/index_key.h"
#include "cache/index_write.h"

void index_put_blob(struct index *index, const struct digest *digest,
                    const struct blob_record *record)
{
    struct buf value = {0};

    blob_record_encode(record, &value);
    index_write_put(index, INDEX_BLOBS, index_digest_key(digest), &value);
}

void index_delete_blob(struct index *index, const struct digest *digest)
{
    index_write_delete(index, INDEX_BLOBS, index_digest_key(digest));
}

void index_put_tag(struct index *index, const char *upstream, const char *repository,
                   const char *tag, const struct tag_record *record)
{
    struct tag_record named = *record;
    struct buf value = {0};

    CHECK(view_copy(view_of(upstream), named.upstream, sizeof(named.upstream)) &&
          view_copy(view_of(repository), named.repository, sizeof(named.repository)) &&
          view_copy(view_of(tag), named.tag, sizeof(named.tag)));
    tag_record_encode(&named, &value);
    index_write_put(index, INDEX_TAGS, index_name_key(upstream, repository, tag), &value);
}

void index_delete_tag(struct index *index, const char *upstream, const char *repository,
                      const char *tag)
{
    index_write_delete(index, INDEX_TAGS, index_name_key(upstream, repository, tag));
}

void index_put_holding(struct index *index, const char *repository, const struct digest *digest,
                       const struct holding_record *record)
{
    const char *const upstreams[] = {record->upstream, ""};
    struct holding_record named = *record;

    named.repository[0] = '\0';
    named.digest = *digest;
    if (record->is_manifest)
        CHECK(view_copy(view_of(repository), named.repository, sizeof(named.repository)));
    for (size_t i = 0; i < 2; i++, named.repository[0] = '\0') {
        struct buf value = {0};
        holding_record_encode(&named, &value);
        index_write_put(index, INDEX_HOLDINGS, index_holding_key(upstreams[i], repository, digest),
                        &value);
    }
}

void index_put_note(struct index *index, enum index_note note, const unsigned char key[32],
                    struct view value)
{
    struct buf copy = {0};

    buf_append(&copy, value.data, value.length);
    index_write_put(index, INDEX_NOTES, index_note_key(note, key), &copy);
}

void index_delete_note(struct index *index, enum index_note note, const unsigned char key[32])
{
    index_write_delete(index, INDEX_NOTES, index_note_key(note, key));
}
