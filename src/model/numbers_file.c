#include "model/numbers_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "model/layout.h"
#include "model/record.h"
#include "wire/bounded_json.h"
#include "wire/hub_name.h"

enum {
    VERSION = 1,
    CHUNK_HEX = 2 * sizeof(struct chunk_numbers),
    SHA256_HEX = 2 * NUMBERS_SHA256,
    EDGES_HEX = 2 * sizeof(struct edge_numbers),
    FILE_VALUES = 2 * 8, /* of a file's object: twice what it has now */
    LAYER_VALUES = 2 * 10,
    HEAD_VALUES = 2 * 20,
};

void numbers_file_release(struct numbers_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        free(file->files[i].path);
        free(file->files[i].chunks);
    }
    free(file->files);
    free(file->layers);
    *file = (struct numbers_file){0};
}

/* ---- hex ---- */

static void print_hex(struct buf *out, const void *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;

    buf_reserve(out, 2 * length);
    for (size_t i = 0; i < length; i++)
        buf_append(out, (char[]){digits[bytes[i] >> 4], digits[bytes[i] & 15]}, 2);
}

static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* All of `text`, which has as many digits as `length` bytes need. */
static bool parse_hex(const char *text, void *into, size_t length)
{
    uint8_t *bytes = into;

    for (size_t i = 0; i < length; i++) {
        int high = value_of(text[2 * i]), low = value_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- printing ---- */

static void print_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\": \"", name);
    buf_append_json(out, view_of(value));
    buf_append_text(out, "\", ");
}

static void print_digest(struct buf *out, const char *name, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    print_text(out, name, digest_print(digest, text));
}

static void print_file(const struct numbers_entry *file, struct buf *out)
{
    buf_append_text(out, "{");
    print_text(out, "path", file->path);
    buf_printf(out, "\"size\": %llu, \"sha256\": \"", (unsigned long long)file->size);
    print_hex(out, file->sha256, sizeof(file->sha256));
    if (file->has_edges) {
        buf_append_text(out, "\", \"edges\": \"");
        print_hex(out, &file->edges, sizeof(file->edges));
    }
    buf_append_text(out, "\", \"chunks\": \"");
    print_hex(out, file->chunks, numbers_count(file->size) * sizeof(*file->chunks));
    buf_append_text(out, "\"}");
}

static void print_layer(const struct image_layer *layer, struct buf *out)
{
    buf_append_text(out, "{");
    print_digest(out, "digest", &layer->digest);
    print_digest(out, "diff_id", &layer->diff_id);
    print_digest(out, "toc_digest", &layer->toc_digest);
    buf_printf(out, "\"size\": %llu, \"uncompressed\": %llu}", (unsigned long long)layer->size,
               (unsigned long long)layer->uncompressed);
}

void numbers_file_print(const struct numbers_file *file, struct buf *out)
{
    buf_printf(out, "{\"entrepot-numbers\": %d, \"layout\": %d, ", VERSION, MODEL_LAYOUT_VERSION);
    print_text(out, "repository", file->repository);
    print_text(out, "commit", file->commit);
    print_text(out, "tag", file->tag);
    print_text(out, "license", file->license);
    print_digest(out, "index", &file->index_digest);
    buf_append_text(out, "\"files\": [");
    for (size_t i = 0; i < file->count; i++) {
        buf_append_text(out, i == 0 ? "\n" : ",\n");
        print_file(&file->files[i], out);
    }
    buf_append_text(out, "],\n\"layers\": [");
    for (size_t i = 0; i < file->layer_count; i++) {
        buf_append_text(out, i == 0 ? "\n" : ",\n");
        print_layer(&file->layers[i], out);
    }
    buf_append_text(out, "]}\n");
}

/* ---- parsing ---- */

static bool read_text(const json_t *object, const char *name, char *out, size_t out_size)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL && view_copy(view_of(text), out, out_size);
}

static bool read_size(const json_t *object, const char *name, uint64_t *ret_size)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_size = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_digest(const json_t *object, const char *name, struct digest *ret_digest)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL && digest_parse(view_of(text), ret_digest) &&
           ret_digest->algorithm == DIGEST_SHA256;
}

/* What a file may be without. */
static bool parse_edges(const json_t *edges, struct numbers_entry *file)
{
    file->has_edges = edges != NULL;
    return !file->has_edges ||
           (numbers_has_edges(file->size) && json_string_length(edges) == EDGES_HEX &&
            parse_hex(json_string_value(edges), &file->edges, sizeof(file->edges)));
}

/* What it has so far is released by the caller. */
static bool parse_file(const json_t *object, struct numbers_entry *file)
{
    const char *path = json_string_value(json_object_get(object, "path"));
    const json_t *sha256 = json_object_get(object, "sha256");
    const json_t *chunks = json_object_get(object, "chunks");

    if (path == NULL || json_string_length(sha256) != SHA256_HEX ||
        !parse_hex(json_string_value(sha256), file->sha256, sizeof(file->sha256)) ||
        !read_size(object, "size", &file->size) || !json_is_string(chunks))
        return false;
    uint64_t count = numbers_count(file->size);
    if (json_string_length(chunks) != count * CHUNK_HEX ||
        !parse_edges(json_object_get(object, "edges"), file))
        return false;
    file->path = check_strdup(path);
    file->chunks = check_calloc(count + 1, sizeof(*file->chunks));
    return parse_hex(json_string_value(chunks), file->chunks, count * sizeof(*file->chunks));
}

static bool parse_files(const json_t *list, struct numbers_file *file, struct buf *problem)
{
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > NUMBERS_FILE_FILES_MAX) {
        buf_printf(problem, "it has no list of up to %d files", NUMBERS_FILE_FILES_MAX);
        return false;
    }
    file->files = check_calloc(count + 1, sizeof(*file->files));
    for (file->count = 0; file->count < count;) {
        size_t i = file->count++;
        if (!parse_file(json_array_get(list, i), &file->files[i])) {
            buf_printf(problem,
                       "its file %zu has no path, size, sha256, and numbers of as many chunks as "
                       "that size has",
                       i + 1);
            return false;
        }
    }
    return true;
}

static bool parse_layers(const json_t *list, struct numbers_file *file, struct buf *problem)
{
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > IMAGE_LAYERS_MAX) {
        buf_printf(problem, "it has no list of up to %d layers", IMAGE_LAYERS_MAX);
        return false;
    }
    file->layers = check_calloc(count + 1, sizeof(*file->layers));
    for (; file->layer_count < count; file->layer_count++) {
        const json_t *object = json_array_get(list, file->layer_count);
        struct image_layer *layer = &file->layers[file->layer_count];
        if (!read_digest(object, "digest", &layer->digest) ||
            !read_digest(object, "diff_id", &layer->diff_id) ||
            !read_digest(object, "toc_digest", &layer->toc_digest) ||
            !read_size(object, "size", &layer->size) ||
            !read_size(object, "uncompressed", &layer->uncompressed)) {
            buf_printf(problem,
                       "its layer %zu has no digest, diff_id and toc_digest, all of sha256, size "
                       "and uncompressed",
                       file->layer_count + 1);
            return false;
        }
    }
    return true;
}

static bool parse_head(const json_t *root, struct numbers_file *file, struct buf *problem)
{
    uint64_t version = 0, layout = 0;
    struct hub_revision revision;
    struct hub_name name;

    if (!read_size(root, "entrepot-numbers", &version))
        buf_append_text(problem, "it is no file of `entrepot numbers export`");
    else if (version != VERSION)
        buf_append_text(problem, "it is of another version than this Entrepot reads, which is 1");
    else if (!read_size(root, "layout", &layout) || layout != MODEL_LAYOUT_VERSION)
        buf_append_text(problem, "its layout is another than this Entrepot makes, which is 1");
    else if (!read_text(root, "repository", file->repository, sizeof(file->repository)) ||
             !hub_name_parse(view_of(file->repository), &name))
        buf_append_text(problem, "its repository is none of a hub");
    else if (!read_text(root, "commit", file->commit, sizeof(file->commit)) ||
             !hub_is_commit(view_of(file->commit)))
        buf_append_text(problem, "its commit is not 40 hex digits");
    else if (!read_text(root, "tag", file->tag, sizeof(file->tag)) ||
             !grammar_is_tag(view_of(file->tag)) ||
             !hub_name_revision(view_of(file->tag), &revision) ||
             (revision.is_commit && strcmp(file->tag, file->commit) != 0))
        buf_append_text(problem, "its tag does not stand for a revision, or for another commit");
    else if (!read_text(root, "license", file->license, sizeof(file->license)))
        buf_append_text(problem, "it has no license, or too long a one");
    else if (!read_digest(root, "index", &file->index_digest))
        buf_append_text(problem, "its index is no sha256 digest");
    return problem->length == 0;
}

bool numbers_file_parse(struct view json, struct numbers_file *ret_file, struct buf *problem)
{
    static const struct bounded_json_limits limits = {
        .containers = NUMBERS_FILE_FILES_MAX + IMAGE_LAYERS_MAX + 3,
        .values =
            NUMBERS_FILE_FILES_MAX * FILE_VALUES + IMAGE_LAYERS_MAX * LAYER_VALUES + HEAD_VALUES};
    struct numbers_file file = {0};
    struct buf sentence = {0};
    const char *fault = NULL;
    json_t *root = NULL;

    if (json.length > NUMBERS_FILE_MAX)
        fault = "has more than 64 MiB";
    else
        root = bounded_json_load(json, &limits, &fault);
    if (fault != NULL)
        buf_printf(&sentence, "it %s", fault);
    bool good = fault == NULL && parse_head(root, &file, &sentence) &&
                parse_files(json_object_get(root, "files"), &file, &sentence) &&
                parse_layers(json_object_get(root, "layers"), &file, &sentence);
    json_decref(root);
    if (good) {
        *ret_file = file;
    } else {
        buf_append_view(problem, view_of_buf(&sentence));
        numbers_file_release(&file);
    }
    buf_release(&sentence);
    return good;
}

/* ---- checking ---- */

static bool check_entry(const struct numbers_entry *entry, struct buf *problem)
{
    struct digest digest;

    if (entry->size > NUMBERS_CHUNK)
        return true;
    digest_of(DIGEST_SHA256, "", 0, &digest);
    const uint8_t *sha256 = entry->size == 0 ? digest.bytes : entry->chunks[0].sha256;
    if (memcmp(sha256, entry->sha256, NUMBERS_SHA256) == 0)
        return true;
    problem_name(problem, "the sha256 of ", entry->path, " is not that of its bytes");
    return false;
}

static int compare_entries(const void *a, const void *b)
{
    const struct numbers_entry *const *left = a, *const *right = b;

    return memcmp((*left)->sha256, (*right)->sha256, NUMBERS_SHA256);
}

/* The index keeps numbers by the file's sha256 alone. */
static bool check_same(const struct numbers_file *file, struct buf *problem)
{
    const struct numbers_entry **sorted =
        check_calloc(file->count + 1, sizeof(struct numbers_entry *));
    bool good = true;

    for (size_t i = 0; i < file->count; i++)
        sorted[i] = &file->files[i];
    qsort(sorted, file->count, sizeof(struct numbers_entry *), compare_entries);
    for (size_t i = 1; good && i < file->count; i++) {
        const struct numbers_entry *a = sorted[i - 1], *b = sorted[i];
        good = compare_entries(&a, &b) != 0 ||
               (a->size == b->size &&
                memcmp(a->chunks, b->chunks, numbers_count(a->size) * sizeof(*a->chunks)) == 0);
        if (good)
            continue;
        problem_name(problem, "", a->path, " and ");
        problem_name(problem, "", b->path, " have one sha256, and other numbers");
    }
    free(sorted);
    return good;
}

static bool compare_layer(const struct numbers_file *file, size_t at, const struct layout *layout,
                          struct buf *problem)
{
    const struct image_layer *layer = &file->layers[at];
    struct layout_sizes sizes = layout_sizes(layout);
    const char *what = NULL;
    struct digest toc_digest;

    layout_toc_digest(layout, &toc_digest);
    if (sizes.layer != layer->size || sizes.uncompressed != layer->uncompressed)
        what = "size";
    else if (!digest_equal(&toc_digest, &layer->toc_digest))
        what = "TOC digest";
    if (what != NULL)
        buf_printf(problem, "layer %zu of these files has another %s than is said", at + 1, what);
    return what == NULL;
}

/* Lays a layer out again. */
static bool check_layer(const struct numbers_file *file, const struct tree_split *split, size_t at,
                        struct buf *problem)
{
    size_t start = at == 0 ? 0 : split->ends[at - 1], count = split->ends[at] - start;
    struct tree_file *tree = check_calloc(count + 1, sizeof(*tree));
    struct layout *layout = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct numbers_entry *entry = &file->files[split->order[start + i]];
        tree[i] = (struct tree_file){view_of(entry->path), entry->size};
    }
    bool good = layout_new(tree, count, &layout, problem);
    free(tree);
    if (!good)
        return false;
    if (layout_sizes(layout).toc_length > LAYOUT_TOC_MAX) {
        buf_append_text(problem, "the table of contents of a layer would be longer than 150 MiB");
        good = false;
    }
    for (size_t i = 0; good && i < count; i++) {
        const struct numbers_entry *entry = &file->files[split->order[start + i]];
        layout_set_sha256(layout, i, entry->sha256);
        if (entry->size > 0)
            layout_set_chunks(layout, i, entry->chunks);
    }
    if (good) {
        layout_seal(layout);
        good = compare_layer(file, at, layout, problem);
    }
    layout_free(layout);
    return good;
}

static bool check_files(const struct numbers_file *file, struct tree_split *split,
                        struct buf *problem)
{
    struct tree_file *tree = check_calloc(file->count + 1, sizeof(*tree));
    uint64_t bytes = 0;
    bool good = true;

    for (size_t i = 0; good && i < file->count; i++) {
        tree[i] = (struct tree_file){view_of(file->files[i].path), file->files[i].size};
        good = check_entry(&file->files[i], problem);
        if (good && file->files[i].size > INT64_MAX - bytes) {
            buf_append_text(problem, "all files together have more than 2^63 bytes");
            good = false;
        }
        bytes += file->files[i].size;
    }
    good = good && check_same(file, problem) && tree_split(tree, file->count, split, problem);
    free(tree);
    if (!good)
        return false;
    size_t split_count = split->layer_count == 0 ? 0 : split->ends[split->layer_count - 1];
    if (split_count != file->count)
        buf_append_text(problem, "it has a file \".gitattributes\", which no image has");
    else if (split->layer_count != file->layer_count)
        buf_printf(problem, "its files make %zu layers, and %zu are said", split->layer_count,
                   file->layer_count);
    return problem->length == 0;
}

static bool check_documents(const struct numbers_file *file, struct image *image,
                            struct buf *problem)
{
    struct buf source = {0};

    buf_printf(&source, IMAGE_HUB_URL "%s", file->repository);
    image_init(image, &(struct image_spec){.revision = file->commit,
                                           .source = source.data,
                                           .license = file->license,
                                           .layers = file->layers,
                                           .layer_count = file->layer_count});
    buf_release(&source);
    if (digest_equal(&image->parts[IMAGE_INDEX].digest, &file->index_digest))
        return true;
    buf_append_text(problem, "the index of this commit and these layers has another digest than is "
                             "said");
    return false;
}

bool numbers_file_check(const struct numbers_file *file, struct image *ret_image,
                        struct tree_split *ret_split, struct buf *problem)
{
    struct tree_split split = {0};
    struct buf sentence = {0};
    struct image image = {0};

    bool good = check_files(file, &split, &sentence);
    for (size_t i = 0; good && i < split.layer_count; i++)
        good = check_layer(file, &split, i, &sentence);
    good = good && check_documents(file, &image, &sentence);
    if (good) {
        *ret_image = image;
        *ret_split = split;
    } else {
        buf_append_view(problem, view_of_buf(&sentence));
        image_release(&image);
        tree_split_release(&split);
    }
    buf_release(&sentence);
    return good;
}
