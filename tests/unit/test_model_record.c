/* Unit and property tests of what is noted about models: what was encoded decodes to the same, and
 * nothing else does. */
#include "model/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/pack.h"

enum { SEEDS = 1000, FLIPPED = 3 };

/* ---- random records, the same on every machine ---- */

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* A size of any magnitude up to INT64_MAX. */
static uint64_t random_size(uint64_t *random)
{
    return next_random(random) >> (1 + next_random(random) % 63);
}

static void random_bytes(uint64_t *random, void *into, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)into)[i] = (uint8_t)next_random(random);
}

/* Up to as long as fits, of any bytes but NUL. */
static void random_text(uint64_t *random, char *text, size_t size)
{
    size_t length = next_random(random) % 5 == 0 ? size - 1 : next_random(random) % size;

    for (size_t i = 0; i < length; i++)
        text[i] = (char)(1 + next_random(random) % 255);
    text[length] = '\0';
}

static void random_commit(uint64_t *random, char commit[MODEL_COMMIT_SIZE])
{
    for (size_t i = 0; i < MODEL_COMMIT_SIZE - 1; i++)
        commit[i] = "0123456789abcdef"[next_random(random) % 16];
    commit[MODEL_COMMIT_SIZE - 1] = '\0';
}

static struct digest random_digest(uint64_t *random)
{
    struct digest digest = {.algorithm =
                                next_random(random) % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512};

    random_bytes(random, digest.bytes, digest_length(&digest));
    return digest;
}

static struct layer_place random_place(uint64_t *random)
{
    struct layer_place place;

    random_text(random, place.upstream, sizeof(place.upstream));
    random_text(random, place.repository, sizeof(place.repository));
    random_commit(random, place.commit);
    return place;
}

static struct layer_record random_layer(uint64_t *random)
{
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION};

    record.diff_id = random_digest(random);
    record.toc_digest = random_digest(random);
    record.count = next_random(random) % 4 == 0 ? 0 : next_random(random) % 20;
    record.files = record.count == 0 ? NULL : check_calloc(record.count, sizeof(*record.files));
    for (size_t i = 0; i < record.count; i++) {
        char name[300] = "n";
        random_text(random, name + 1, sizeof(name) - 1);
        record.files[i].name = check_strdup(name);
        record.files[i].size = random_size(random) / 64;
        random_bytes(random, record.files[i].sha256, 32);
        record.uncompressed += record.files[i].size;
    }
    record.size = record.uncompressed + 1 + random_size(random) / 64;
    record.place_count = next_random(random) % (LAYER_PLACES_MAX + 1);
    for (size_t i = 0; i < record.place_count; i++)
        record.places[i] = random_place(random);
    return record;
}

static struct image_record random_image(uint64_t *random)
{
    struct image_record record = {.index_digest = random_digest(random)};

    random_text(random, record.id, sizeof(record.id));
    random_commit(random, record.commit);
    record.is_claimed = next_random(random) % 2 == 0;
    record.index_size = random_size(random);
    record.bytes = random_size(random);
    record.imported_ms = (int64_t)next_random(random); /* negative ones too */
    record.layer_count = next_random(random) % 3 == 0 ? TREE_LAYERS_MAX : next_random(random) % 4;
    if (record.layer_count > 0)
        record.layers = check_calloc(record.layer_count, sizeof(*record.layers));
    for (size_t i = 0; i < record.layer_count; i++)
        record.layers[i] = random_digest(random);
    return record;
}

/* ---- decoding, which leaves its output alone when it fails ---- */

/* Decodes, and encodes again into `again`. */
#define DEFINE_RECODE(kind, release)                                                               \
    static bool recode_##kind(struct view bytes, struct buf *again)                                \
    {                                                                                              \
        struct kind##_record record, before;                                                       \
                                                                                                   \
        memset(&record, 0x5a, sizeof(record));                                                     \
        memset(&before, 0x5a, sizeof(before));                                                     \
        if (!kind##_record_decode(bytes, &record)) {                                               \
            assert_memory_equal(&record, &before, sizeof(record));                                 \
            return false;                                                                          \
        }                                                                                          \
        kind##_record_encode(&record, again);                                                      \
        release(&record);                                                                          \
        return true;                                                                               \
    }

#define NOTHING(record) (void)(record)

DEFINE_RECODE(git, NOTHING)
DEFINE_RECODE(layer, layer_record_release)
DEFINE_RECODE(image, image_record_release)
DEFINE_RECODE(document, NOTHING)
DEFINE_RECODE(import, NOTHING)
DEFINE_RECODE(tags, NOTHING)

typedef bool recoder(struct view bytes, struct buf *again);

/* In memory of its exact size, so that AddressSanitizer sees a read behind the end. */
static bool is_record(recoder *recode, const char *data, size_t length, struct buf *again)
{
    char *exact = length == 0 ? NULL : check_malloc(length);
    bool decoded;

    if (length > 0)
        memcpy(exact, data, length);
    buf_clear(again);
    decoded = recode((struct view){exact, length}, again);
    free(exact);
    return decoded;
}

/* Cut anywhere, longer by a byte, or of another version it is not a record. */
static void assert_whole_only(recoder *recode, const struct buf *bytes)
{
    static const char versions[] = {0, 2, 127};
    struct buf changed = {0}, again = {0};

    assert_true(is_record(recode, bytes->data, bytes->length, &again));
    assert_true(view_equal(view_of_buf(&again), view_of_buf(bytes)));
    for (size_t length = 0; length < bytes->length; length++)
        assert_false(is_record(recode, bytes->data, length, &again));
    assert_false(is_record(recode, bytes->data, bytes->length + 1, &again));
    buf_append(&changed, bytes->data, bytes->length);
    for (size_t i = 0; i < sizeof(versions); i++) {
        /* The same, but claimed; or wanted. */
        bool is_another = (recode == recode_image || recode == recode_import) && versions[i] == 2;
        changed.data[0] = versions[i];
        assert_true(is_record(recode, changed.data, changed.length, &again) == is_another);
    }
    buf_release(&changed);
    buf_release(&again);
}

/* With any bit flipped it is not a record, or one that lasts. */
static void assert_flips_are_harmless(recoder *recode, struct buf *bytes)
{
    struct buf again = {0}, third = {0};

    for (size_t bit = 0; bit < 8 * bytes->length; bit++) {
        bytes->data[bit / 8] = (char)(bytes->data[bit / 8] ^ 1 << bit % 8);
        if (is_record(recode, bytes->data, bytes->length, &again)) {
            assert_true(is_record(recode, again.data, again.length, &third));
            assert_true(view_equal(view_of_buf(&again), view_of_buf(&third)));
        }
        bytes->data[bit / 8] = (char)(bytes->data[bit / 8] ^ 1 << bit % 8);
    }
    buf_release(&again);
    buf_release(&third);
}

static void assert_sound(recoder *recode, uint64_t seed, struct buf *bytes)
{
    if (seed % 100 == 0)
        assert_whole_only(recode, bytes);
    if (seed <= FLIPPED)
        assert_flips_are_harmless(recode, bytes);
    buf_release(bytes);
}

/* ---- round trips ---- */

static void git_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct git_record record = {.size = random_size(&random)}, again;
        struct buf bytes = {0};

        random_bytes(&random, record.sha256, sizeof(record.sha256));
        git_record_encode(&record, &bytes);
        assert_true(git_record_decode(view_of_buf(&bytes), &again));
        assert_memory_equal(record.sha256, again.sha256, sizeof(record.sha256));
        assert_true(record.size == again.size);
        assert_sound(recode_git, seed, &bytes);
    }
}

static void assert_same_layer(const struct layer_record *a, const struct layer_record *b)
{
    assert_true(a->layout_version == b->layout_version && a->is_claimed == b->is_claimed);
    assert_true(a->size == b->size && a->uncompressed == b->uncompressed);
    assert_true(digest_equal(&a->diff_id, &b->diff_id));
    assert_true(digest_equal(&a->toc_digest, &b->toc_digest));
    assert_true(a->count == b->count && a->place_count == b->place_count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->files[i].name, b->files[i].name);
        assert_true(a->files[i].size == b->files[i].size);
        assert_memory_equal(a->files[i].sha256, b->files[i].sha256, 32);
    }
    for (size_t i = 0; i < a->place_count; i++) {
        assert_string_equal(a->places[i].upstream, b->places[i].upstream);
        assert_string_equal(a->places[i].repository, b->places[i].repository);
        assert_string_equal(a->places[i].commit, b->places[i].commit);
    }
}

static void layer_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct layer_record record = random_layer(&random), again;
        struct buf bytes = {0};

        layer_record_encode(&record, &bytes);
        assert_true(layer_record_decode(view_of_buf(&bytes), &again));
        assert_same_layer(&record, &again);
        layer_record_release(&record);
        layer_record_release(&again);
        assert_true(again.files == NULL && again.count == 0);
        assert_sound(recode_layer, seed, &bytes);
    }
}

static void image_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct image_record record = random_image(&random), again;
        struct buf bytes = {0};

        image_record_encode(&record, &bytes);
        assert_true(image_record_decode(view_of_buf(&bytes), &again));
        assert_string_equal(record.id, again.id);
        assert_string_equal(record.commit, again.commit);
        assert_true(record.is_claimed == again.is_claimed);
        assert_true(digest_equal(&record.index_digest, &again.index_digest));
        assert_true(record.index_size == again.index_size && record.bytes == again.bytes);
        assert_true(record.imported_ms == again.imported_ms);
        assert_true(record.layer_count == again.layer_count);
        for (size_t i = 0; i < record.layer_count; i++)
            assert_true(digest_equal(&record.layers[i], &again.layers[i]));
        image_record_release(&record);
        image_record_release(&again);
        assert_true(again.layers == NULL && again.layer_count == 0);
        assert_sound(recode_image, seed, &bytes);
    }
}

static void document_record_decode__gives_what_was_encoded(void **state)
{
    static char document[700];

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct document_record record, again;
        struct buf bytes = {0};

        random_text(&random, record.media_type, sizeof(record.media_type));
        record.bytes = (struct view){document, next_random(&random) % sizeof(document)};
        random_bytes(&random, document, record.bytes.length);
        document_record_encode(&record, &bytes);
        assert_true(document_record_decode(view_of_buf(&bytes), &again));
        assert_string_equal(record.media_type, again.media_type);
        assert_true(view_equal(record.bytes, again.bytes));
        assert_sound(recode_document, seed, &bytes);
    }
}

static void import_record_decode__gives_what_was_encoded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct import_record record = {.since_ms = (int64_t)next_random(&random),
                                       .is_wanted = seed % 2 == 0},
                             again;
        struct buf bytes = {0};

        random_text(&random, record.upstream, sizeof(record.upstream));
        random_text(&random, record.repository, sizeof(record.repository));
        random_text(&random, record.tag, sizeof(record.tag));
        import_record_encode(&record, &bytes);
        assert_true(import_record_decode(view_of_buf(&bytes), &again));
        assert_string_equal(record.upstream, again.upstream);
        assert_string_equal(record.repository, again.repository);
        assert_string_equal(record.tag, again.tag);
        assert_true(record.since_ms == again.since_ms && record.is_wanted == again.is_wanted);
        assert_sound(recode_import, seed, &bytes);
    }
}

static void tags_record_decode__gives_what_was_encoded(void **state)
{
    static char list[700];

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15;
        struct tags_record record = {.checked = (int64_t)next_random(&random),
                                     .confirmed = (int64_t)next_random(&random),
                                     .list = {list, next_random(&random) % sizeof(list)}};
        struct tags_record again;
        struct buf bytes = {0};

        random_bytes(&random, list, record.list.length);
        tags_record_encode(&record, &bytes);
        assert_true(tags_record_decode(view_of_buf(&bytes), &again));
        assert_true(record.checked == again.checked && record.confirmed == again.confirmed);
        assert_true(view_equal(record.list, again.list));
        assert_sound(recode_tags, seed, &bytes);
    }
}

/* ---- what cannot be ---- */

static bool is_git(uint64_t size)
{
    struct buf bytes = {0}, again = {0};
    bool decoded;

    git_record_encode(&(struct git_record){.size = size}, &bytes);
    decoded = recode_git(view_of_buf(&bytes), &again);
    buf_release(&bytes);
    buf_release(&again);
    return decoded;
}

static void git_record_decode__rejects_what_no_file_has(void **state)
{
    (void)state;
    assert_true(is_git(0));
    assert_true(is_git(INT64_MAX));
    assert_false(is_git((uint64_t)INT64_MAX + 1));
    assert_false(is_git(UINT64_MAX));
}

/* A layer with a file of each of two sizes. */
static bool is_layer(uint64_t size, uint64_t uncompressed, uint64_t first, uint64_t second)
{
    struct layer_file files[] = {{.name = "a", .size = first}, {.name = "b", .size = second}};
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION,
                                  .size = size,
                                  .uncompressed = uncompressed,
                                  .files = files,
                                  .count = 2};
    struct buf bytes = {0}, again = {0};
    bool decoded;

    layer_record_encode(&record, &bytes);
    decoded = recode_layer(view_of_buf(&bytes), &again);
    buf_release(&bytes);
    buf_release(&again);
    return decoded;
}

static void layer_record_decode__rejects_sizes_that_do_not_add_up(void **state)
{
    (void)state;
    assert_true(is_layer(8, 7, 3, 4));
    assert_false(is_layer(7, 7, 3, 4));
    assert_false(is_layer(8, 6, 3, 4));
    assert_false(is_layer(8, 7, 0, 8));
    assert_true(is_layer(INT64_MAX, INT64_MAX - 1ull, 0, INT64_MAX - 1ull));
    assert_false(is_layer(INT64_MAX + 1ull, 7, 3, 4));
    assert_false(is_layer(UINT64_MAX, INT64_MAX + 1ull, 3, 4));
    assert_false(is_layer(8, 7, INT64_MAX, INT64_MAX)); /* their sum is -2 */
    assert_false(is_layer(8, 7, 1ull << 63, 1ull << 63));
}

#define SIXTEEN "0123456789abcdef"
#define DIGEST  "\x00" SIXTEEN SIXTEEN
#define COMMIT  SIXTEEN SIXTEEN "01234567"
#define LAYER   "\x01\x01\x00\x08\x07" DIGEST DIGEST /* version, layout, counted here, sizes */

static bool is_bytes(recoder *recode, struct view bytes)
{
    struct buf again = {0};
    bool decoded = is_record(recode, bytes.data, bytes.length, &again);

    buf_release(&again);
    return decoded;
}

/* behind LAYER: places, each upstream, repository, commit; files, each name, size, sha256 */
static void layer_record_decode__rejects_what_cannot_be(void **state)
{
    (void)state;
    assert_true(is_bytes(recode_layer, VIEW(LAYER "\x00\x00")));
    assert_true(is_bytes(recode_layer, VIEW(LAYER "\x00\x01\x01n\x05" SIXTEEN SIXTEEN)));
    assert_true(is_bytes(recode_layer, VIEW(LAYER "\x01\x01u\x01r" COMMIT "\x00")));
    assert_true(
        is_bytes(recode_layer, VIEW(LAYER "\x02\x01u\x01r" COMMIT "\x01u\x01s" COMMIT "\x00")));
    /* another layout */
    assert_false(is_bytes(recode_layer, VIEW("\x01\x02\x00\x08\x07" DIGEST DIGEST "\x00\x00")));
    assert_false(is_bytes(recode_layer, VIEW("\x01\x00\x00\x08\x07" DIGEST DIGEST "\x00\x00")));
    /* a claim; neither that nor none */
    assert_true(is_bytes(recode_layer, VIEW("\x01\x01\x01\x08\x07" DIGEST DIGEST "\x00\x00")));
    assert_false(is_bytes(recode_layer, VIEW("\x01\x01\x02\x08\x07" DIGEST DIGEST "\x00\x00")));
    /* files without a name, with a NUL in it, or fewer than are said to be */
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x00\x01\x00\x05" SIXTEEN SIXTEEN "n")));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x00\x01\x02n\0\x05" SIXTEEN SIXTEEN)));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x00\x02\x01n\x05" SIXTEEN SIXTEEN)));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x00\xff\xff\xff\xff\x7f\x01n\x05" SIXTEEN)));
    /* a place twice; a commit that is none */
    assert_false(
        is_bytes(recode_layer, VIEW(LAYER "\x02\x01u\x01r" COMMIT "\x01u\x01r" COMMIT "\x00")));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x01\x01u\x01r" SIXTEEN SIXTEEN "0123456F"
                                                   "\x00")));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x01\x01u\x01r" SIXTEEN SIXTEEN "012345/6"
                                                   "\x00")));
    assert_false(is_bytes(recode_layer, VIEW(LAYER "\x09\x00")));
}

/* A name of TREE_NAME_MAX bytes is a file's, a longer one is not; a record of one more place or
 * layer than there can be is none. */
static void decoders__keep_to_the_limits(void **state)
{
    struct buf bytes = {0};

    (void)state;
    for (size_t length = TREE_NAME_MAX; length <= TREE_NAME_MAX + 1; length++) {
        buf_clear(&bytes);
        buf_append_view(&bytes, VIEW(LAYER "\x00\x01"));
        pack_put_number(&bytes, length);
        for (size_t i = 0; i < length; i++)
            buf_append_text(&bytes, "n");
        buf_append_view(&bytes, VIEW("\x05" SIXTEEN SIXTEEN));
        assert_true(is_bytes(recode_layer, view_of_buf(&bytes)) == (length == TREE_NAME_MAX));
    }
    for (size_t count = LAYER_PLACES_MAX; count <= LAYER_PLACES_MAX + 1; count++) {
        buf_clear(&bytes);
        buf_append_view(&bytes, VIEW(LAYER));
        pack_put_number(&bytes, count);
        for (size_t i = 0; i < count; i++)
            buf_printf(&bytes, "\x01u\x01%c" COMMIT, (int)('a' + i));
        pack_put_number(&bytes, 0);
        assert_true(is_bytes(recode_layer, view_of_buf(&bytes)) == (count == LAYER_PLACES_MAX));
    }
    for (size_t count = TREE_LAYERS_MAX; count <= TREE_LAYERS_MAX + 1; count++) {
        buf_clear(&bytes);
        buf_append_view(&bytes, VIEW("\x01\x01m" COMMIT DIGEST "\x01\x02\x03"));
        pack_put_number(&bytes, count);
        for (size_t i = 0; i < count; i++)
            buf_append_view(&bytes, VIEW(DIGEST));
        assert_true(is_bytes(recode_image, view_of_buf(&bytes)) == (count == TREE_LAYERS_MAX));
    }
    buf_release(&bytes);
}

/* ---- keys ---- */

static void assert_key(const unsigned char key[MODEL_KEY_SIZE], const char *hashed, size_t length)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, hashed, length, &digest);
    assert_memory_equal(key, digest.bytes, MODEL_KEY_SIZE);
}

#define ASSERT_KEY(key, literal) assert_key(key, literal, sizeof(literal) - 1)

/* They are on disk: another hash would lose what is there. */
static void keys__are_hashes_of_texts_with_their_lengths(void **state)
{
    unsigned char key[MODEL_KEY_SIZE], other[MODEL_KEY_SIZE];

    (void)state;
    git_record_key((const uint8_t *)SIXTEEN "0123", key);
    ASSERT_KEY(key, "\x03git\x14" SIXTEEN "0123");
    image_record_key("hf", "Org/Model", "c", "", key);
    ASSERT_KEY(key, "\x05image\x02hf\x09Org/Model\x01"
                    "c\x00");
    import_record_key("hf", "org/model", "latest", key);
    ASSERT_KEY(key, "\x06import\x02hf\x09org/model\x06latest");
    tags_record_key("hf", "org/model", key);
    ASSERT_KEY(key, "\x04tags\x02hf\x09org/model");
    image_record_key("hf", "a", "bc", "", key);
    image_record_key("hf", "ab", "c", "", other);
    assert_memory_not_equal(key, other, MODEL_KEY_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(git_record_decode__gives_what_was_encoded),
        cmocka_unit_test(layer_record_decode__gives_what_was_encoded),
        cmocka_unit_test(image_record_decode__gives_what_was_encoded),
        cmocka_unit_test(document_record_decode__gives_what_was_encoded),
        cmocka_unit_test(import_record_decode__gives_what_was_encoded),
        cmocka_unit_test(tags_record_decode__gives_what_was_encoded),
        cmocka_unit_test(git_record_decode__rejects_what_no_file_has),
        cmocka_unit_test(layer_record_decode__rejects_sizes_that_do_not_add_up),
        cmocka_unit_test(layer_record_decode__rejects_what_cannot_be),
        cmocka_unit_test(decoders__keep_to_the_limits),
        cmocka_unit_test(keys__are_hashes_of_texts_with_their_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
