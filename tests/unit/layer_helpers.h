#ifndef TESTS_UNIT_LAYER_HELPERS_H
#define TESTS_UNIT_LAYER_HELPERS_H

/* What the tests of layers share: a layer of two small files and an empty one, as an import notes
 * it in the index of index_helpers.h. Other names make another layer of the same bytes. */

#include <string.h>

#include "base/check.h"
#include "index_helpers.h"
#include "model/layer.h"
#include "model/layer_hash.h"

static const char *const layer_contents[] = {"{\"a\":1}\n", "", "WEIGHTS"};

enum { LAYER_FILES = 3 };

static inline void put_numbers(const char *content, const uint8_t sha256[NUMBERS_SHA256])
{
    struct chunk_numbers chunk = {0};
    struct chunk_record numbers = {.size = strlen(content), .chunks = &chunk};
    uint8_t found[NUMBERS_SHA256];
    struct numbers computed;
    struct buf bytes = {0};

    numbers_start(&computed, numbers.size, &chunk);
    numbers_update(&computed, content, numbers.size);
    numbers_finish(&computed, found);
    numbers_release(&computed);
    chunk_record_encode(&numbers, &bytes);
    index_put_note(catalog, INDEX_NOTE_NUMBERS, sha256, view_of_buf(&bytes));
    buf_release(&bytes);
}

/* What is the same, whatever is to be found wrong with it: names, sizes, sha256. */
static inline struct layer_record make_record(const char *prefix)
{
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION, .count = LAYER_FILES};
    struct digest digest;

    record.files = check_calloc(LAYER_FILES, sizeof(*record.files));
    for (size_t i = 0; i < LAYER_FILES; i++) {
        struct buf name = {0};
        buf_printf(&name, "%s%c", prefix, (char)('a' + i));
        record.files[i].name = name.data;
        record.files[i].size = strlen(layer_contents[i]);
        digest_of(DIGEST_SHA256, layer_contents[i], record.files[i].size, &digest);
        memcpy(record.files[i].sha256, digest.bytes, NUMBERS_SHA256);
    }
    return record;
}

/* Computes what follows from the bytes; gives the layer's digest. */
static inline struct digest complete_record(struct layer_record *record)
{
    struct tree_file tree[LAYER_FILES];
    struct chunk_numbers chunks[LAYER_FILES] = {{{0}, {0}}};
    struct layer_hash hashes[2] = {{0}};
    struct digest digests[2];
    struct layout *layout;

    for (size_t i = 0; i < LAYER_FILES; i++)
        tree[i] = (struct tree_file){view_of(record->files[i].name), record->files[i].size};
    assert_true(layout_new(tree, LAYER_FILES, &layout, &problem));
    for (size_t i = 0; i < 2; i++)
        layer_hash_start(&hashes[i], layout, i == 0 ? LAYER_HASH_LAYER : LAYER_HASH_UNCOMPRESSED);
    for (size_t i = 0; i < LAYER_FILES; i++) {
        struct numbers numbers;
        uint8_t sha256[NUMBERS_SHA256];
        layout_set_chunks(layout, i, &chunks[i]);
        numbers_start(&numbers, tree[i].size, &chunks[i]);
        numbers_update(&numbers, layer_contents[i], tree[i].size);
        layer_hash_update(&hashes[0], layer_contents[i], tree[i].size);
        layer_hash_update(&hashes[1], layer_contents[i], tree[i].size);
        numbers_finish(&numbers, sha256);
        numbers_release(&numbers);
        layout_set_sha256(layout, i, sha256);
    }
    layout_seal(layout);
    for (size_t i = 0; i < 2; i++) {
        layer_hash_finish(&hashes[i], &digests[i]);
        layer_hash_release(&hashes[i]);
    }
    record->size = layout_sizes(layout).layer;
    record->uncompressed = layout_sizes(layout).uncompressed;
    record->diff_id = digests[1];
    layout_toc_digest(layout, &record->toc_digest);
    layout_free(layout);
    return digests[0];
}

static inline void put_record(const struct layer_record *record, const struct digest *digest)
{
    struct buf bytes = {0};

    layer_record_encode(record, &bytes);
    index_put_note(catalog, INDEX_NOTE_LAYER, digest->bytes, view_of_buf(&bytes));
    buf_release(&bytes);
}

/* All that an import would note. */
static inline struct digest put_layer(const char *prefix)
{
    struct layer_record record = make_record(prefix);
    struct digest digest = complete_record(&record);

    for (size_t i = 0; i < LAYER_FILES; i++)
        if (record.files[i].size > 0)
            put_numbers(layer_contents[i], record.files[i].sha256);
    put_record(&record, &digest);
    layer_record_release(&record);
    return digest;
}

#endif
