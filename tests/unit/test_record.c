/* Unit and property tests of records: what was encoded decodes to the same, and nothing else does.
 */
#include "cache/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 3000 };

/* xorshift64: the same records on every machine. */
static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Of any magnitude: as many bits as chance says. */
static uint64_t random_number(uint64_t *random)
{
    return next_random(random) >> next_random(random) % 64;
}

/* Up to as long as fits, of any bytes but NUL. */
static void random_text(uint64_t *random, char *text, size_t size)
{
    size_t length = next_random(random) % 3 == 0 ? size - 1 : next_random(random) % size;

    for (size_t i = 0; i < length; i++)
        text[i] = (char)(1 + next_random(random) % 127);
    text[length] = '\0';
}

static struct blob_record random_blob(uint64_t *random)
{
    struct blob_record record = {0};
    uint64_t at = 0;

    record.last_used_ms = (int64_t)random_number(random);
    record.verified_ms = (int64_t)random_number(random);
    random_text(random, record.media_type, sizeof(record.media_type));
    random_text(random, record.boot_id, sizeof(record.boot_id));
    record.complete = next_random(random) % 2 == 0;
    for (uint64_t i = record.complete ? 0 : next_random(random) % 30; i > 0; i--) {
        uint64_t start = at + 1 + next_random(random) % 1000000000,
                 end = start + 1 + (random_number(random) >> 16);
        extents_add(&record.present, (struct extent){i % 7 == 0 ? at : start, end});
        if (next_random(random) % 2 == 0)
            extents_add(&record.durable, (struct extent){start, end});
        at = end;
    }
    record.size = at + next_random(random) % 2 * random_number(random) / 2;
    if (!record.complete && next_random(random) % 4 == 0)
        record.size = RECORD_SIZE_UNKNOWN;
    return record;
}

static void assert_same_extents(const struct extents *a, const struct extents *b)
{
    assert_true(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_memory_equal(&a->ranges[i], &b->ranges[i], sizeof(struct extent));
}

static void assert_same_blob(const struct blob_record *a, const struct blob_record *b)
{
    assert_true(a->size == b->size && a->complete == b->complete);
    assert_true(a->last_used_ms == b->last_used_ms && a->verified_ms == b->verified_ms);
    assert_string_equal(a->media_type, b->media_type);
    assert_string_equal(a->boot_id, b->boot_id);
    assert_same_extents(&a->present, &b->present);
    assert_same_extents(&a->durable, &b->durable);
}

static struct digest random_digest(uint64_t *random)
{
    struct digest digest = {.algorithm =
                                next_random(random) % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512};

    for (size_t i = 0; i < digest_length(&digest); i++)
        digest.bytes[i] = (uint8_t)next_random(random);
    return digest;
}

static struct tag_record random_tag(uint64_t *random)
{
    struct tag_record record = {.digest = random_digest(random)};

    record.size = random_number(random);
    random_text(random, record.media_type, sizeof(record.media_type));
    record.checked = (int64_t)next_random(random); /* negative ones too */
    record.confirmed = (int64_t)random_number(random);
    random_text(random, record.upstream, sizeof(record.upstream));
    random_text(random, record.repository, sizeof(record.repository));
    random_text(random, record.tag, sizeof(record.tag));
    return record;
}

static void assert_same_tag(const struct tag_record *a, const struct tag_record *b)
{
    assert_true(digest_equal(&a->digest, &b->digest));
    assert_true(a->size == b->size && a->checked == b->checked && a->confirmed == b->confirmed);
    assert_string_equal(a->media_type, b->media_type);
    assert_string_equal(a->upstream, b->upstream);
    assert_string_equal(a->repository, b->repository);
    assert_string_equal(a->tag, b->tag);
}

static struct holding_record random_holding(uint64_t *random)
{
    struct holding_record record = {.size = random_number(random),
                                    .is_manifest = next_random(random) % 2 == 0,
                                    .learned = next_random(random) % 2 == 0};

    random_text(random, record.upstream, sizeof(record.upstream));
    if (record.is_manifest)
        random_text(random, record.repository, sizeof(record.repository));
    if (record.repository[0] != '\0')
        record.digest = random_digest(random);
    return record;
}

static void assert_same_holding(const struct holding_record *a, const struct holding_record *b)
{
    assert_true(a->size == b->size && a->is_manifest == b->is_manifest);
    assert_true(a->learned == b->learned);
    assert_string_equal(a->upstream, b->upstream);
    assert_string_equal(a->repository, b->repository);
    assert_true(digest_equal(&a->digest, &b->digest));
}

/* Whether any decoder takes the bytes; if not, that it left its output alone. */
static bool is_blob(struct view bytes)
{
    struct blob_record record, before;

    memset(&record, 0x5a, sizeof(record));
    memset(&before, 0x5a, sizeof(before));
    if (blob_record_decode(bytes, &record)) {
        blob_record_release(&record);
        return true;
    }
    assert_memory_equal(&record, &before, sizeof(record));
    return false;
}

static bool is_tag(struct view bytes)
{
    struct tag_record record, before;

    memset(&record, 0x5a, sizeof(record));
    memset(&before, 0x5a, sizeof(before));
    if (tag_record_decode(bytes, &record))
        return true;
    assert_memory_equal(&record, &before, sizeof(record));
    return false;
}

static bool is_holding(struct view bytes)
{
    struct holding_record record, before;

    memset(&record, 0x5a, sizeof(record));
    memset(&before, 0x5a, sizeof(before));
    if (holding_record_decode(bytes, &record))
        return true;
    assert_memory_equal(&record, &before, sizeof(record));
    return false;
}

/* Cut anywhere, longer by a byte, or of another version it is not a record. In memory of its exact
 * size, so that AddressSanitizer sees a read behind the end. */
static void assert_whole_only(const struct buf *bytes, bool (*is_record)(struct view bytes))
{
    assert_true(is_record(view_of_buf(bytes)));
    for (size_t length = 0; length < bytes->length; length++) {
        char *part = malloc(length + 1);
        memcpy(part, bytes->data, length);
        char *exact = realloc(part, length > 0 ? length : 1);
        assert_false(is_record((struct view){exact, length}));
        free(exact);
    }
    assert_false(is_record((struct view){NULL, 0}));
    struct buf changed = {0};
    buf_append(&changed, bytes->data, bytes->length);
    buf_append(&changed, "\0", 1);
    assert_false(is_record(view_of_buf(&changed)));
    changed.length--;
    static const char versions[] = {0, 4, 127};
    for (size_t i = 0; i < sizeof(versions); i++) {
        changed.data[0] = versions[i];
        assert_false(is_record(view_of_buf(&changed)));
    }
    buf_release(&changed);
}

static void blob_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct blob_record record = random_blob(&random), again = {0};
        struct buf bytes = {0};

        blob_record_encode(&record, &bytes);
        assert_true(blob_record_decode(view_of_buf(&bytes), &again));
        assert_same_blob(&record, &again);
        if (seed % 50 == 0)
            assert_whole_only(&bytes, is_blob);
        blob_record_release(&again);
        blob_record_release(&record);
        buf_release(&bytes);
    }
}

static void tag_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct tag_record record = random_tag(&random), again = {0};
        struct buf bytes = {0};

        tag_record_encode(&record, &bytes);
        assert_true(tag_record_decode(view_of_buf(&bytes), &again));
        assert_same_tag(&record, &again);
        if (seed % 50 == 0)
            assert_whole_only(&bytes, is_tag);
        buf_release(&bytes);
    }
}

static void holding_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct holding_record record = random_holding(&random), again = {0};
        struct buf bytes = {0};

        holding_record_encode(&record, &bytes);
        assert_true(holding_record_decode(view_of_buf(&bytes), &again));
        assert_same_holding(&record, &again);
        if (seed % 50 == 0)
            assert_whole_only(&bytes, is_holding);
        buf_release(&bytes);
    }
}

static void blob_record_decode__reaches_to_the_largest_file(void **state)
{
    (void)state;
    struct blob_record record = {.size = UINT64_MAX, .last_used_ms = INT64_MAX}, again;
    struct buf bytes = {0};

    extents_add(&record.present, (struct extent){0, 1});
    extents_add(&record.present, (struct extent){INT64_MAX - 1, INT64_MAX});
    blob_record_encode(&record, &bytes);
    assert_true(blob_record_decode(view_of_buf(&bytes), &again));
    assert_same_blob(&record, &again);
    blob_record_release(&again);
    extents_add(&record.present, (struct extent){INT64_MAX, (uint64_t)INT64_MAX + 1});
    buf_clear(&bytes);
    blob_record_encode(&record, &bytes);
    assert_false(is_blob(view_of_buf(&bytes)));
    buf_clear(&bytes);
    blob_record_encode(&(struct blob_record){.complete = true, .size = INT64_MAX}, &bytes);
    assert_true(is_blob(view_of_buf(&bytes)));
    buf_clear(&bytes);
    blob_record_encode(&(struct blob_record){.complete = true, .size = INT64_MAX + 1ull}, &bytes);
    assert_false(is_blob(view_of_buf(&bytes)));
    blob_record_release(&record);
    buf_release(&bytes);
}

/* version, complete, size, last use, verified, type, boot, the extents present, whether all are
 * durable, and if not those that are: count, then the unit's bits, and gap and length of each. */
static void blob_record_decode__rejects_what_cannot_be(void **state)
{
    (void)state;
    assert_true(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x00\x64\x00\x00")));
    assert_true(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x00\x64\x01")));
    assert_true(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x00\x64\x00\x01\x00\x05\x05")));
    assert_true(
        is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x04\x02\x05\x01"))); /* 32 to the end */
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x04\x02\x06\x01")));
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x40\x00\x01\x01")));
    assert_false(
        is_blob(VIEW("\x02\x00\x64\x05\x06\x00\x00\x01\x00\x64\x00"))); /* another version */
    assert_true(is_blob(VIEW("\x03\x01\x64\x05\x06\x00\x00\x00\x01")));
    assert_false(
        is_blob(VIEW("\x03\x01\x64\x05\x06\x00\x00\x01\x00\x00\x64\x00\x00"))); /* in parts */
    assert_false(is_blob(VIEW("\x03\x01\x64\x05\x06\x00\x00\x00\x00\x01\x00\x00\x64")));
    assert_false(is_blob(VIEW("\x03\x02\x64\x05\x06\x00\x00\x00\x01"))); /* not a truth */
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x00\x02")));
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x00\x65\x01"))); /* too far */
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x00\x00\x01\x00\x00\x65")));
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x65\x01\x01")));
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x01\x00\x00\x00\x01"))); /* empty */
    assert_false(
        is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x02\x00\x00\x05\x01"))); /* one missing */
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x02\x00\x00\x05\x00\x05\x01")));
    assert_true(is_blob(VIEW("\x03\x00\x64\x05\x06\x00\x00\x02\x00\x00\x05\x01\x05\x01")));
    assert_false(is_blob(VIEW("\x03\x00\x64\x05\x06\x02"
                              "a\0\x00\x00\x01"))); /* a NUL inside */
}

/* 100,000 ranges of a blob of 8 GiB, on a grid of pages: two bytes a range. */
static void blob_record_encode__is_short_for_many_ranges(void **state)
{
    struct blob_record record = {.size = 100000ull * 81920 - 7}, again;
    struct buf bytes = {0};

    (void)state;
    for (uint64_t i = 0; i < 100000; i++)
        extents_add(&record.present, (struct extent){i * 81920 + 28672, i * 81920 + 81920});
    record.present.ranges[99999].end -= 7;
    record.present.total -= 7;
    extents_copy(&record.present, &record.durable);
    blob_record_encode(&record, &bytes);
    assert_true(bytes.length < 201000);
    assert_true(blob_record_decode(view_of_buf(&bytes), &again));
    assert_same_blob(&record, &again);
    blob_record_release(&again);
    blob_record_release(&record);
    buf_release(&bytes);
}

static void blob_record_decode__rejects_whole_ones_without_a_size(void **state)
{
    (void)state;
    struct blob_record record = {.size = RECORD_SIZE_UNKNOWN, .complete = true};
    struct buf bytes = {0};

    blob_record_encode(&record, &bytes);
    assert_false(is_blob(view_of_buf(&bytes)));
    buf_release(&bytes);
}

#define HALF "0123456789abcdef" /* of a SHA-256 */

static void holding_record_decode__rejects_what_cannot_be(void **state)
{
    (void)state;
    struct buf bytes = {0};

    assert_true(is_holding(VIEW("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00")));
    assert_false(is_holding(VIEW("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00")));
    assert_false(is_holding(VIEW("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80\x00\x00\x00")));
    assert_false(is_holding(VIEW("\x02\x05\x00\x02\x00")));
    /* a manifest has a repository, which may be empty, and then a digest */
    assert_true(is_holding(VIEW("\x02\x05\x01\x00\x00\x00")));
    assert_false(is_holding(VIEW("\x02\x05\x01\x00\x00")));
    assert_false(is_holding(VIEW("\x02\x05\x00\x00\x00\x00")));
    assert_false(is_holding(VIEW("\x02\x05\x01\x00\x00\x01r")));
    assert_false(is_holding(VIEW("\x02\x05\x01\x00\x00\x01r\x00" HALF)));
    assert_true(is_holding(VIEW("\x02\x05\x01\x00\x00\x01r\x00" HALF HALF)));
    assert_true(is_holding(VIEW("\x02\x05\x01\x00\x00\x01r\x01" HALF HALF HALF HALF)));
    assert_false(is_holding(VIEW("\x02\x05\x01\x00\x00\x01r\x02" HALF HALF)));
    buf_append(&bytes, "\x02\x05\x00\x00\x80\x02", 6); /* a text of 256 */
    for (int i = 0; i < RECORD_UPSTREAM_SIZE; i++)
        buf_append_text(&bytes, "x");
    assert_false(is_holding(view_of_buf(&bytes)));
    buf_release(&bytes);
}

static void tag_record_decode__rejects_other_algorithms(void **state)
{
    (void)state;
    struct tag_record record = {0};
    struct buf bytes = {0};

    tag_record_encode(&record, &bytes);
    assert_true(is_tag(view_of_buf(&bytes)));
    for (int algorithm = DIGEST_SHA512; algorithm < 128; algorithm++) {
        bytes.data[1] = (char)algorithm;
        assert_false(is_tag(view_of_buf(&bytes)));
    }
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob_record_decode__gives_what_was_encoded),
        cmocka_unit_test(tag_record_decode__gives_what_was_encoded),
        cmocka_unit_test(holding_record_decode__gives_what_was_encoded),
        cmocka_unit_test(blob_record_decode__reaches_to_the_largest_file),
        cmocka_unit_test(blob_record_decode__rejects_what_cannot_be),
        cmocka_unit_test(blob_record_decode__rejects_whole_ones_without_a_size),
        cmocka_unit_test(blob_record_encode__is_short_for_many_ranges),
        cmocka_unit_test(holding_record_decode__rejects_what_cannot_be),
        cmocka_unit_test(tag_record_decode__rejects_other_algorithms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
