#ifndef TESTS_UNIT_NUMBERS_HELPERS_H
#define TESTS_UNIT_NUMBERS_HELPERS_H

/* What the tests of numbers files share: one of a small model, that adds up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "model/layer_hash.h"
#include "model/numbers_file.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

struct content {
    const char *path;
    size_t size;
    char fill; /* all of its bytes */
};

/* In no order; two of one content, one empty, one of three chunks. */
static const struct content contents[] = {
    {"weights/part \"1\".bin", 2 * NUMBERS_CHUNK + 5, 'w'},
    {"config.json", 8, 'c'},
    {"a copy of config.json", 8, 'c'},
    {"empty", 0, 0},
    {"\xc3\xb6.txt", NUMBERS_CHUNK, 'o'},
};

enum { COUNT = sizeof(contents) / sizeof(contents[0]) };

static inline char *bytes_of(const struct content *content)
{
    char *bytes = check_malloc(content->size + 1);

    memset(bytes, content->fill, content->size);
    return bytes;
}

static inline void set_entry(struct numbers_entry *entry, const struct content *content)
{
    char *bytes = bytes_of(content);
    struct numbers numbers;

    entry->path = check_strdup(content->path);
    entry->size = content->size;
    entry->chunks = check_calloc(numbers_count(content->size) + 1, sizeof(*entry->chunks));
    numbers_start(&numbers, content->size, entry->chunks);
    numbers_update(&numbers, bytes, content->size);
    numbers_finish(&numbers, entry->sha256);
    numbers_release(&numbers);
    free(bytes);
}

/* Hashes what an import would: all are small, so there is one layer. */
static inline void set_layer(struct numbers_file *file)
{
    struct image_layer *layer = &file->layers[0];
    struct layer_hash blob = {0}, archive = {0};
    struct tree_file tree[COUNT];
    struct buf problem = {0};
    struct layout *layout;
    size_t *order;

    for (size_t i = 0; i < COUNT; i++)
        tree[i] = (struct tree_file){view_of(contents[i].path), contents[i].size};
    assert_true(layout_new(tree, COUNT, &layout, &problem));
    assert_true(tree_order(tree, COUNT, &order, &problem));
    for (size_t i = 0; i < COUNT; i++) {
        layout_set_sha256(layout, i, file->files[i].sha256);
        if (file->files[i].size > 0)
            layout_set_chunks(layout, i, file->files[i].chunks);
    }
    layout_seal(layout);
    layer_hash_start(&blob, layout, LAYER_HASH_LAYER);
    layer_hash_start(&archive, layout, LAYER_HASH_UNCOMPRESSED);
    for (size_t i = 0; i < COUNT; i++) {
        char *bytes = bytes_of(&contents[order[i]]);
        layer_hash_update(&blob, bytes, contents[order[i]].size);
        layer_hash_update(&archive, bytes, contents[order[i]].size);
        free(bytes);
    }
    layer_hash_finish(&blob, &layer->digest);
    layer_hash_finish(&archive, &layer->diff_id);
    layer_hash_release(&blob);
    layer_hash_release(&archive);
    layout_toc_digest(layout, &layer->toc_digest);
    layer->size = layout_sizes(layout).layer;
    layer->uncompressed = layout_sizes(layout).uncompressed;
    layout_free(layout);
    free(order);
}

static inline void set_index(struct numbers_file *file)
{
    struct image image;

    image_init(&image, &(struct image_spec){.revision = file->commit,
                                            .source = "https://huggingface.co/Org/Model",
                                            .license = file->license,
                                            .layers = file->layers,
                                            .layer_count = file->layer_count});
    file->index_digest = image.parts[IMAGE_INDEX].digest;
    image_release(&image);
}

static inline struct numbers_file example(void)
{
    struct numbers_file file = {.repository = "Org/Model",
                                .commit = COMMIT,
                                .tag = "latest",
                                .license = "mit \"or\" so",
                                .count = COUNT,
                                .layer_count = 1};

    file.files = check_calloc(COUNT, sizeof(*file.files));
    file.layers = check_calloc(1, sizeof(*file.layers));
    for (size_t i = 0; i < COUNT; i++)
        set_entry(&file.files[i], &contents[i]);
    set_layer(&file);
    set_index(&file);
    return file;
}

#endif
