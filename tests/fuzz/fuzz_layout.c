/* Fuzzes layout v1: whatever names and sizes there are, what is laid out is consistent. */
#include "model/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

enum { FILES_MAX = 32, PART = 700 };

/* Reads files: 8 bytes of a size, and a name up to a newline or the end. */
static size_t read_files(const uint8_t *input, size_t length, struct tree_file files[FILES_MAX])
{
    size_t count = 0;

    while (length > 8 && count < FILES_MAX) {
        struct tree_file *file = &files[count++];
        memcpy(&file->size, input, 8);
        file->name.data = (const char *)input + 8;
        const uint8_t *end = memchr(input + 8, '\n', length - 8);
        file->name.length = end == NULL ? length - 8 : (size_t)(end - input) - 8;
        size_t used = 8 + file->name.length + (end != NULL);
        input += used;
        length -= used;
    }
    return count;
}

/* Reads [start, end); a file's bytes are those of their offsets. */
static void read_part(const struct layout *layout, const struct tree_file *files, size_t count,
                      uint64_t start, uint64_t end, size_t scratch_size, uint8_t *out)
{
    uint8_t scratch[PART];
    struct layout_piece piece;
    uint64_t at = start, before = start;

    for (; layout_next(layout, &at, end, scratch, scratch_size, &piece); before = at) {
        CHECK(at > before && at <= end);
        if (piece.bytes.length > 0) {
            CHECK(piece.bytes.length == at - before && piece.bytes.length <= scratch_size);
            memcpy(out + (before - start), piece.bytes.data, piece.bytes.length);
            continue;
        }
        CHECK(piece.file < count && piece.start < piece.end);
        CHECK(piece.end <= files[piece.file].size && piece.end - piece.start == at - before);
        for (uint64_t i = 0; i < piece.end - piece.start; i++)
            out[before - start + i] = (uint8_t)((piece.start + i) * 7 + piece.file);
    }
    CHECK(at == end);
}

/* A range read in two steps, and in small ones, is the same. */
static void check_range(const struct layout *layout, const struct tree_file *files, size_t count,
                        uint64_t start)
{
    uint64_t size = layout_sizes(layout).layer;
    uint64_t end = size - start < PART ? size : start + PART, middle = start + (end - start) / 3;
    uint8_t whole[PART], parts[PART];

    read_part(layout, files, count, start, end, PART, whole);
    read_part(layout, files, count, start, middle, 5, parts);
    read_part(layout, files, count, middle, end, 64, parts + (middle - start));
    CHECK(memcmp(whole, parts, end - start) == 0);
}

static void check_sizes(const struct layout *layout)
{
    struct layout_sizes sizes = layout_sizes(layout);
    uint8_t end[2], footer[51];
    struct tree_file none = {0};

    CHECK(sizes.uncompressed % 512 == 0 && sizes.uncompressed < sizes.layer);
    CHECK(sizes.toc_offset + sizes.toc_length < sizes.layer && sizes.layer <= INT64_MAX);
    layout_read_toc(layout, sizes.toc_length - 2, sizes.toc_length, end);
    CHECK(memcmp(end, "]}", 2) == 0);
    read_part(layout, &none, 0, sizes.layer - 51, sizes.layer, 51, footer);
    CHECK(memcmp(footer + 32, "STARGZ", 6) == 0);
}

static void check_split(const struct tree_file *files, size_t count)
{
    struct tree_split split;
    struct buf problem = {0};

    if (tree_split(files, count, &split, &problem)) {
        CHECK(split.layer_count <= TREE_LAYERS_MAX);
        for (size_t i = 1; i < split.layer_count; i++)
            CHECK(split.ends[i - 1] < split.ends[i] && split.ends[i] <= count);
        tree_split_release(&split);
    }
    buf_release(&problem);
}

/* The first eight bytes say where to look; the files follow. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct tree_file files[FILES_MAX];
    struct buf problem = {0};
    struct layout *layout;
    uint64_t where;
    size_t count;

    if (length < sizeof(where))
        return 0;
    memcpy(&where, input, sizeof(where));
    count = read_files(input + sizeof(where), length - sizeof(where), files);
    check_split(files, count);
    if (layout_new(files, count, &layout, &problem)) {
        struct layout_sizes sizes = layout_sizes(layout);
        check_sizes(layout);
        check_range(layout, files, count, where % sizes.layer);
        check_range(layout, files, count, where % 4000 % sizes.layer);
        check_range(layout, files, count, sizes.toc_offset + where % sizes.toc_length);
        layout_free(layout);
    } else {
        CHECK(problem.length > 0);
    }
    buf_release(&problem);
    return 0;
}
