#include "cache/record.h"

#include <string.h>

#include "base/pack.h"

enum { RECORD_VERSION = 2, BLOB_RECORD_VERSION = 3, EXTENTS_MAX = 1 << 22 };

/* ---- writing ---- */

/* The most low bits that are zero in all places where a range begins or ends, but for the end of
 * the file: most ranges lie on a grid. */
static unsigned shift_of(const struct extents *set, uint64_t size)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < set->count; i++)
        bits |= set->ranges[i].start | (set->ranges[i].end == size ? 0 : set->ranges[i].end);
    return bits == 0 ? 63 : (unsigned)__builtin_ctzll(bits);
}

/* Each range as its distance from the one before it and its length, in the largest unit that fits
 * all: two bytes a range where that is a page. */
static void put_extents(struct buf *out, const struct extents *set, uint64_t size)
{
    unsigned shift = shift_of(set, size);
    uint64_t at = 0;

    pack_put_number(out, set->count);
    if (set->count > 0)
        pack_put_number(out, shift);
    for (size_t i = 0; i < set->count; i++) {
        uint64_t start = set->ranges[i].start >> shift, last = (set->ranges[i].end - 1) >> shift;
        pack_put_number(out, start - at);
        pack_put_number(out, last + 1 - start);
        at = last + 1;
    }
}

static bool is_same(const struct extents *a, const struct extents *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->ranges, b->ranges, a->count * sizeof(*a->ranges)) == 0);
}

void blob_record_encode(const struct blob_record *record, struct buf *out)
{
    pack_put_number(out, BLOB_RECORD_VERSION);
    pack_put_number(out, record->complete);
    pack_put_number(out, record->size);
    pack_put_number(out, (uint64_t)record->last_used_ms);
    pack_put_number(out, (uint64_t)record->verified_ms);
    pack_put_text(out, record->media_type);
    pack_put_text(out, record->boot_id);
    put_extents(out, &record->present, record->size);
    pack_put_number(out, is_same(&record->present, &record->durable));
    if (!is_same(&record->present, &record->durable))
        put_extents(out, &record->durable, record->size);
}

void tag_record_encode(const struct tag_record *record, struct buf *out)
{
    pack_put_number(out, RECORD_VERSION);
    pack_put_digest(out, &record->digest);
    pack_put_number(out, record->size);
    pack_put_text(out, record->media_type);
    pack_put_number(out, (uint64_t)record->checked);
    pack_put_number(out, (uint64_t)record->confirmed);
    pack_put_text(out, record->upstream);
    pack_put_text(out, record->repository);
    pack_put_text(out, record->tag);
}

void holding_record_encode(const struct holding_record *record, struct buf *out)
{
    pack_put_number(out, RECORD_VERSION);
    pack_put_number(out, record->size);
    pack_put_number(out, record->is_manifest);
    pack_put_number(out, record->learned);
    pack_put_text(out, record->upstream);
    if (record->is_manifest)
        pack_put_text(out, record->repository);
    if (record->is_manifest && record->repository[0] != '\0')
        pack_put_digest(out, &record->digest);
}

/* ---- reading ---- */

static void get_extents(struct pack_cursor *cursor, struct extents *set, uint64_t size)
{
    uint64_t count = pack_get_number(cursor), shift = count > 0 ? pack_get_number(cursor) : 0,
             at = 0;

    if (shift > 63 || count > EXTENTS_MAX || count > cursor->rest.length) {
        cursor->bad = true;
        return;
    }
    uint64_t units = size == 0 ? 0 : ((size - 1) >> shift) + 1;
    for (uint64_t i = 0; i < count && !cursor->bad; i++) {
        uint64_t gap = pack_get_number(cursor), length = pack_get_number(cursor);
        if (cursor->bad || length == 0 || (i > 0 && gap == 0) || gap > units - at ||
            length > units - at - gap) {
            cursor->bad = true;
            return;
        }
        uint64_t start = at + gap;
        at = start + length;
        extents_add(set, (struct extent){start << shift, at == units ? size : at << shift});
    }
}

void blob_record_release(struct blob_record *record)
{
    extents_release(&record->present);
    extents_release(&record->durable);
}

/* No file is larger than INT64_MAX: what is said to be so would be counted, and nothing be left. */
static bool could_be(const struct blob_record *record)
{
    bool parted = record->present.count > 0 || record->durable.count > 0;
    bool sized = record->size != RECORD_SIZE_UNKNOWN;

    return (!sized || record->size <= INT64_MAX) && extents_end(&record->present) <= INT64_MAX &&
           extents_end(&record->durable) <= INT64_MAX && (!record->complete || (sized && !parted));
}

bool blob_record_decode(struct view bytes, struct blob_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, BLOB_RECORD_VERSION);
    struct blob_record record = {0};

    record.complete = pack_get_bool(&cursor);
    record.size = pack_get_number(&cursor);
    record.last_used_ms = (int64_t)pack_get_number(&cursor);
    record.verified_ms = (int64_t)pack_get_number(&cursor);
    pack_get_text(&cursor, record.media_type, sizeof(record.media_type));
    pack_get_text(&cursor, record.boot_id, sizeof(record.boot_id));
    get_extents(&cursor, &record.present, record.size);
    if (!pack_get_bool(&cursor))
        get_extents(&cursor, &record.durable, record.size);
    else
        extents_copy(&record.present, &record.durable);
    if (!pack_is_done(&cursor) || !could_be(&record)) {
        blob_record_release(&record);
        return false;
    }
    *ret_record = record;
    return true;
}

bool tag_record_decode(struct view bytes, struct tag_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, RECORD_VERSION);
    struct tag_record record = {0};

    pack_get_digest(&cursor, &record.digest);
    record.size = pack_get_number(&cursor);
    pack_get_text(&cursor, record.media_type, sizeof(record.media_type));
    record.checked = (int64_t)pack_get_number(&cursor);
    record.confirmed = (int64_t)pack_get_number(&cursor);
    pack_get_text(&cursor, record.upstream, sizeof(record.upstream));
    pack_get_text(&cursor, record.repository, sizeof(record.repository));
    pack_get_text(&cursor, record.tag, sizeof(record.tag));
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}

bool holding_record_decode(struct view bytes, struct holding_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, RECORD_VERSION);
    struct holding_record record = {0};

    record.size = pack_get_number(&cursor);
    record.is_manifest = pack_get_bool(&cursor);
    record.learned = pack_get_bool(&cursor);
    pack_get_text(&cursor, record.upstream, sizeof(record.upstream));
    if (record.is_manifest)
        pack_get_text(&cursor, record.repository, sizeof(record.repository));
    if (record.repository[0] != '\0')
        pack_get_digest(&cursor, &record.digest);
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}
