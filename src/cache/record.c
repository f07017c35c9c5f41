#include "cache/record.h"

#include <string.h>

enum { RECORD_VERSION = 2, BLOB_RECORD_VERSION = 3, EXTENTS_MAX = 1 << 22 };

/* ---- writing: whole numbers as LEB128, texts and lists with their length before them ---- */

static void put_number(struct buf *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t length = 0;

    do {
        bytes[length++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    buf_append(out, bytes, length);
}

static void put_text(struct buf *out, const char *text)
{
    put_number(out, strlen(text));
    buf_append_text(out, text);
}

static void put_digest(struct buf *out, const struct digest *digest)
{
    put_number(out, digest->algorithm);
    buf_append(out, digest->bytes, digest_length(digest));
}

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

    put_number(out, set->count);
    if (set->count > 0)
        put_number(out, shift);
    for (size_t i = 0; i < set->count; i++) {
        uint64_t start = set->ranges[i].start >> shift, last = (set->ranges[i].end - 1) >> shift;
        put_number(out, start - at);
        put_number(out, last + 1 - start);
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
    put_number(out, BLOB_RECORD_VERSION);
    put_number(out, record->complete);
    put_number(out, record->size);
    put_number(out, (uint64_t)record->last_used_ms);
    put_number(out, (uint64_t)record->verified_ms);
    put_text(out, record->media_type);
    put_text(out, record->boot_id);
    put_extents(out, &record->present, record->size);
    put_number(out, is_same(&record->present, &record->durable));
    if (!is_same(&record->present, &record->durable))
        put_extents(out, &record->durable, record->size);
}

void tag_record_encode(const struct tag_record *record, struct buf *out)
{
    put_number(out, RECORD_VERSION);
    put_digest(out, &record->digest);
    put_number(out, record->size);
    put_text(out, record->media_type);
    put_number(out, (uint64_t)record->checked);
    put_number(out, (uint64_t)record->confirmed);
    put_text(out, record->upstream);
    put_text(out, record->repository);
    put_text(out, record->tag);
}

void holding_record_encode(const struct holding_record *record, struct buf *out)
{
    put_number(out, RECORD_VERSION);
    put_number(out, record->size);
    put_number(out, record->is_manifest);
    put_number(out, record->learned);
    put_text(out, record->upstream);
    if (record->is_manifest)
        put_text(out, record->repository);
    if (record->is_manifest && record->repository[0] != '\0')
        put_digest(out, &record->digest);
}

/* ---- reading: a cursor that remembers that something was wrong ---- */

struct cursor {
    struct view rest;
    bool bad;
};

static uint64_t get_number(struct cursor *cursor)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && cursor->rest.length > 0; shift += 7) {
        unsigned char byte = (unsigned char)cursor->rest.data[0];
        cursor->rest.data++;
        cursor->rest.length--;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    cursor->bad = true;
    return 0;
}

static bool get_bool(struct cursor *cursor)
{
    uint64_t value = get_number(cursor);

    cursor->bad |= value > 1;
    return value == 1;
}

static void get_bytes(struct cursor *cursor, void *into, size_t length)
{
    if (cursor->bad || length > cursor->rest.length) {
        cursor->bad = true;
        return;
    }
    memcpy(into, cursor->rest.data, length);
    cursor->rest.data += length;
    cursor->rest.length -= length;
}

static void get_text(struct cursor *cursor, char *into, size_t size)
{
    uint64_t length = get_number(cursor);

    if (length >= size) {
        cursor->bad = true;
        return;
    }
    get_bytes(cursor, into, length);
    into[length] = '\0';
    cursor->bad |= !cursor->bad && strlen(into) != length;
}

static void get_digest(struct cursor *cursor, struct digest *digest)
{
    uint64_t algorithm = get_number(cursor);

    if (cursor->bad || algorithm > DIGEST_SHA512) {
        cursor->bad = true;
        return;
    }
    digest->algorithm = (enum digest_algorithm)algorithm;
    get_bytes(cursor, digest->bytes, digest_length(digest));
}

static void get_extents(struct cursor *cursor, struct extents *set, uint64_t size)
{
    uint64_t count = get_number(cursor), shift = count > 0 ? get_number(cursor) : 0, at = 0;

    if (shift > 63 || count > EXTENTS_MAX || count > cursor->rest.length) {
        cursor->bad = true;
        return;
    }
    uint64_t units = size == 0 ? 0 : ((size - 1) >> shift) + 1;
    for (uint64_t i = 0; i < count && !cursor->bad; i++) {
        uint64_t gap = get_number(cursor), length = get_number(cursor);
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

static struct cursor begin(struct view bytes, uint64_t version)
{
    struct cursor cursor = {.rest = bytes};

    cursor.bad = get_number(&cursor) != version;
    return cursor;
}

static bool is_done(const struct cursor *cursor)
{
    return !cursor->bad && cursor->rest.length == 0;
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
    struct cursor cursor = begin(bytes, BLOB_RECORD_VERSION);
    struct blob_record record = {0};

    record.complete = get_bool(&cursor);
    record.size = get_number(&cursor);
    record.last_used_ms = (int64_t)get_number(&cursor);
    record.verified_ms = (int64_t)get_number(&cursor);
    get_text(&cursor, record.media_type, sizeof(record.media_type));
    get_text(&cursor, record.boot_id, sizeof(record.boot_id));
    get_extents(&cursor, &record.present, record.size);
    if (!get_bool(&cursor))
        get_extents(&cursor, &record.durable, record.size);
    else
        extents_copy(&record.present, &record.durable);
    if (!is_done(&cursor) || !could_be(&record)) {
        blob_record_release(&record);
        return false;
    }
    *ret_record = record;
    return true;
}

bool tag_record_decode(struct view bytes, struct tag_record *ret_record)
{
    struct cursor cursor = begin(bytes, RECORD_VERSION);
    struct tag_record record = {0};

    get_digest(&cursor, &record.digest);
    record.size = get_number(&cursor);
    get_text(&cursor, record.media_type, sizeof(record.media_type));
    record.checked = (int64_t)get_number(&cursor);
    record.confirmed = (int64_t)get_number(&cursor);
    get_text(&cursor, record.upstream, sizeof(record.upstream));
    get_text(&cursor, record.repository, sizeof(record.repository));
    get_text(&cursor, record.tag, sizeof(record.tag));
    if (!is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}

bool holding_record_decode(struct view bytes, struct holding_record *ret_record)
{
    struct cursor cursor = begin(bytes, RECORD_VERSION);
    struct holding_record record = {0};

    record.size = get_number(&cursor);
    record.is_manifest = get_bool(&cursor);
    record.learned = get_bool(&cursor);
    get_text(&cursor, record.upstream, sizeof(record.upstream));
    if (record.is_manifest)
        get_text(&cursor, record.repository, sizeof(record.repository));
    if (record.repository[0] != '\0')
        get_digest(&cursor, &record.digest);
    if (!is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}
