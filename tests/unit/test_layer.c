/* Unit tests of opening a layer from what the index notes. */
#include "model/layer.h"

#include "layer_helpers.h"

static struct layer *open_good(const struct digest *digest)
{
    struct layer *layer = NULL;

    assert_int_equal(layer_open(catalog, digest, &layer), OK);
    return layer;
}

static void assert_refused(const struct digest *digest, enum err err)
{
    struct layer *layer = NULL;

    assert_int_equal(layer_open(catalog, digest, &layer), err);
    assert_null(layer);
}

static void layer_open__makes_the_bytes_that_the_digest_is_of(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), found, blob;
    struct layer *layer = open_good(&digest);
    struct hasher hasher;
    struct layout_piece piece;
    uint8_t scratch[4096];

    hasher_init(&hasher, DIGEST_SHA256);
    for (uint64_t at = 0;
         layout_next(layer->layout, &at, layer->record.size, scratch, sizeof(scratch), &piece);) {
        if (piece.bytes.length > 0)
            hasher_update(&hasher, piece.bytes.data, piece.bytes.length);
        else
            hasher_update(&hasher, layer_contents[piece.file] + piece.start,
                          piece.end - piece.start);
    }
    hasher_finish(&hasher, &found);
    hasher_release(&hasher);
    assert_true(digest_equal(&found, &digest));
    digest_of(DIGEST_SHA256, "WEIGHTS", 7, &found);
    layer_file_digest(layer, 2, &blob);
    assert_true(digest_equal(&found, &blob));
    layer_free(layer);
}

static void layer_open__knows_no_other_layers(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), sha512;

    digest.bytes[31] ^= 1;
    assert_refused(&digest, ERR_BLOB_UNKNOWN);
    digest_of(DIGEST_SHA512, "x", 1, &sha512);
    assert_refused(&sha512, ERR_BLOB_UNKNOWN);
}

static void layer_open__wants_the_numbers_of_each_file(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), file;

    digest_of(DIGEST_SHA256, "WEIGHTS", 7, &file);
    index_delete_note(catalog, INDEX_NOTE_NUMBERS, file.bytes);
    assert_refused(&digest, ERR_LAYER_INCOMPLETE);
    put_numbers("WEIGHTS", file.bytes);
    layer_free(open_good(&digest));
}

static void layer_open__refuses_numbers_of_another_size(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), file;

    digest_of(DIGEST_SHA256, "WEIGHTS", 7, &file);
    put_numbers("WEIGHTS!", file.bytes);
    assert_refused(&digest, ERR_LAYER_INCOMPLETE);
}

/* Numbers do not say whose they are: what is forged shows in the TOC. */
static void layer_open__refuses_numbers_of_other_bytes(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), file;

    digest_of(DIGEST_SHA256, "WEIGHTS", 7, &file);
    put_numbers("WEIGHTZ", file.bytes);
    assert_refused(&digest, ERR_DAMAGED);
}

static void layer_open__refuses_what_is_unreadable(void **state)
{
    (void)state;
    struct digest digest = put_layer(""), file;

    digest_of(DIGEST_SHA256, "WEIGHTS", 7, &file);
    index_put_note(catalog, INDEX_NOTE_NUMBERS, file.bytes, VIEW("\x01"));
    assert_refused(&digest, ERR_LAYER_INCOMPLETE);
    put_numbers("WEIGHTS", file.bytes);
    index_put_note(catalog, INDEX_NOTE_LAYER, digest.bytes, VIEW("nonsense"));
    assert_refused(&digest, ERR_DAMAGED);
}

static void layer_open__refuses_a_record_of_other_files(void **state)
{
    (void)state;
    struct layer_record record = make_record("");
    struct digest digest = put_layer("");

    (void)complete_record(&record);
    record.size++;
    put_record(&record, &digest);
    assert_refused(&digest, ERR_DAMAGED);
    record.size--;
    record.uncompressed--;
    put_record(&record, &digest);
    assert_refused(&digest, ERR_DAMAGED);
    record.uncompressed++;
    record.files[0].name[0] = 'A'; /* only the TOC tells */
    put_record(&record, &digest);
    assert_refused(&digest, ERR_DAMAGED);
    record.files[0].name[0] = '/';
    put_record(&record, &digest);
    assert_refused(&digest, ERR_DAMAGED);
    record.files[0].name[0] = 'a';
    put_record(&record, &digest);
    layer_free(open_good(&digest));
    layer_record_release(&record);
}

static void layer_free__takes_null(void **state)
{
    (void)state;
    layer_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layer_open__makes_the_bytes_that_the_digest_is_of),
        TEST(layer_open__knows_no_other_layers),
        TEST(layer_open__wants_the_numbers_of_each_file),
        TEST(layer_open__refuses_numbers_of_another_size),
        TEST(layer_open__refuses_numbers_of_other_bytes),
        TEST(layer_open__refuses_what_is_unreadable),
        TEST(layer_open__refuses_a_record_of_other_files),
        TEST(layer_free__takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
