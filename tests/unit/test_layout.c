/* Unit tests of layout v1. The constants come from tests/oracle/layout_v1.py; they can never
 * change. */
#include "model/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "model/layer_hash.h"

enum { PATTERN = 251, MIB = 1 << 20, FILES_MAX = 16 };

#define GIB (UINT64_C(1) << 30)

/* A layer, laid out, with its files' bytes. */
struct layer {
    const struct tree_file *files;
    size_t count;
    uint8_t *contents[FILES_MAX];            /* owned */
    struct chunk_numbers *chunks[FILES_MAX]; /* owned */
    struct layout *layout;                   /* owned */
    char digest[DIGEST_TEXT_SIZE], diff_id[DIGEST_TEXT_SIZE], toc_digest[DIGEST_TEXT_SIZE];
};

static const struct tree_file example_files[] = {{{"config.json", 11}, 8}, {{"model.bin", 9}, 7}};
static const char *const example_contents[] = {"{\"a\":1}\n", "WEIGHTS"};

#define REPEAT_16(text)                                                                            \
    text text text text text text text text text text text text text text text text
#define LONG_96(letter) REPEAT_16(letter letter letter letter letter letter)
#define FILE_OF(name, size)                                                                        \
    {                                                                                              \
        {name, sizeof(name) - 1}, size                                                             \
    }

static const struct tree_file names_files[] = {
    FILE_OF("a-b/c.txt", 5),
    FILE_OF("a/b/c/d.bin", 513),
    FILE_OF("a/b/e", 0),
    FILE_OF("a/f/g", 1),
    FILE_OF("a0", 512),
    FILE_OF(LONG_96("n") "nnnn", 3),
    FILE_OF(LONG_96("n") "nnnnn", 4),
    FILE_OF(LONG_96("d") "/e/x", 2),
    FILE_OF("donn\xc3\xa9"
            "es/\xe6\xa8\xa1\xe5\x9e\x8b.safetensors",
            70000),
    FILE_OF("quote\"back\\slash", 9),
    FILE_OF("line\nbreak\t\x01\x7f~", 8),
    FILE_OF("z/empty", 0),
};

static const struct tree_file sizes_files[] = {
    FILE_OF("a", 4 * MIB - 1), FILE_OF("b", 4 * MIB),      FILE_OF("c", 4 * MIB + 1),
    FILE_OF("d", 3 * 65535),   FILE_OF("e", 64 * 65535),   FILE_OF("f", 65535),
    FILE_OF("g", 65536),       FILE_OF("h", 9 * MIB + 77),
};

static const struct tree_file empty_files[] = {FILE_OF("a/b/c", 0), FILE_OF("d", 0)};

static struct golden {
    const struct tree_file *files;
    size_t count;
    const char *digest, *diff_id, *toc_digest;
    struct layout_sizes sizes;
} goldens[] = {
    {names_files,
     12,
     "sha256:3165581c3aef1c4d95854606ec994f93c3d8f0bdcad9c0d103395d496a556346",
     "sha256:1ec850b72b7b1b4de268ecd2d578f1a02fb6e69fe6c88b2faa9758a24fee4daa",
     "sha256:73c6fb049517f5ae1d2093e54ea7d9d1143423d49a41c1ecb5120b2591a1f7a9",
     {97842, 97280, 91624, 4226}},
    {sizes_files,
     8,
     "sha256:69301aa822e45f9008c6bd1cb10b89deb406cb68e0605a2703b856c8df618fea",
     "sha256:67f94d880229bf2ec116ee97b64cf70340dec9d841d7b06a7e5fcf24a9f2d9e9",
     "sha256:3a167ebdd6ac8bdbcf3af09093700758b1fc1c3e2fce16039056d42adce48817",
     {26555376, 26552832, 26550694, 2733}},
    {empty_files,
     2,
     "sha256:5f50586c6ce237ffb11d79dc24c6da964ac235e926d9ffa1057dbf4514007d44",
     "sha256:e05ff40113539b3730889a6103ed64f6f4739998dc356037a0c477ff7aee3a0f",
     "sha256:0f515af818196f08c4f044290a12a1f2933a4a02d8a54de412b1bb00e0d5a619",
     {5217, 5120, 3095, 479}},
    {NULL,
     0,
     "sha256:f76ff886c861d2aead92c104f3ba103c80893e28b30160b98badc7374f121ce6",
     "sha256:3fae12bd71af173a09308c25885522ec6a045a1b4a1839e1749e2da83df53c3d",
     "sha256:8bcae181d21321b79e1cee4976a6c9759a0f03769dde64b6f821ab5d22a33921",
     {3169, 3072, 1047, 26}},
};

enum { GOLDENS = sizeof(goldens) / sizeof(goldens[0]) };

/* ---- helpers ---- */

static struct layout *lay_out(const struct tree_file *files, size_t count)
{
    struct buf problem = {0};
    struct layout *layout;

    if (!layout_new(files, count, &layout, &problem))
        fail_msg("%s", problem.data);
    return layout;
}

/* The content of a golden tree's `index`th file: the sha256 of the index in decimal, over and over,
 * begun again every 251 bytes. */
static uint8_t *make_content(size_t index, uint64_t size)
{
    uint8_t *content = check_malloc(size + 1);
    struct digest digest;
    char text[24];

    digest_of(DIGEST_SHA256, text, (size_t)snprintf(text, sizeof(text), "%zu", index), &digest);
    for (uint64_t i = 0; i < size; i++)
        content[i] = digest.bytes[i % PATTERN % 32];
    return content;
}

static void finish_hash(struct layer_hash *hash, char text[DIGEST_TEXT_SIZE])
{
    struct digest digest;

    layer_hash_finish(hash, &digest);
    digest_print(&digest, text);
    layer_hash_release(hash);
}

/* Lays out files whose contents are set, and hashes them in one pass, `step` bytes at a time. */
static void lay_out_layer(struct layer *layer, size_t step)
{
    struct layer_hash whole, diff_id;
    struct digest digest;
    struct buf problem = {0};
    size_t *order;

    layer->layout = lay_out(layer->files, layer->count);
    assert_true(tree_order(layer->files, layer->count, &order, &problem));
    layer_hash_start(&whole, layer->layout, LAYER_HASH_LAYER);
    layer_hash_start(&diff_id, layer->layout, LAYER_HASH_UNCOMPRESSED);
    for (size_t i = 0; i < layer->count; i++) {
        size_t file = order[i];
        uint64_t size = layer->files[file].size;
        struct numbers numbers;
        uint8_t sha256[NUMBERS_SHA256];
        layer->chunks[file] = check_calloc(numbers_count(size) + 1, sizeof(struct chunk_numbers));
        layout_set_chunks(layer->layout, file, layer->chunks[file]);
        numbers_start(&numbers, size, layer->chunks[file]);
        for (uint64_t at = 0, n; at < size; at += n) {
            n = size - at < step ? size - at : step;
            numbers_update(&numbers, layer->contents[file] + at, n);
            layer_hash_update(&whole, layer->contents[file] + at, n);
            layer_hash_update(&diff_id, layer->contents[file] + at, n);
        }
        numbers_finish(&numbers, sha256);
        numbers_release(&numbers);
        layout_set_sha256(layer->layout, file, sha256);
    }
    free(order);
    layout_seal(layer->layout);
    finish_hash(&whole, layer->digest);
    finish_hash(&diff_id, layer->diff_id);
    layout_toc_digest(layer->layout, &digest);
    digest_print(&digest, layer->toc_digest);
}

static struct layer make_golden(const struct golden *golden, size_t step)
{
    struct layer layer = {.files = golden->files, .count = golden->count};

    for (size_t i = 0; i < layer.count; i++)
        layer.contents[i] = make_content(i, layer.files[i].size);
    lay_out_layer(&layer, step);
    return layer;
}

static struct layer make_example(void)
{
    struct layer layer = {.files = example_files, .count = 2};

    for (size_t i = 0; i < 2; i++)
        layer.contents[i] = (uint8_t *)check_strdup(example_contents[i]);
    lay_out_layer(&layer, 3);
    return layer;
}

static void release(struct layer *layer)
{
    for (size_t i = 0; i < layer->count; i++) {
        free(layer->contents[i]);
        free(layer->chunks[i]);
    }
    layout_free(layer->layout);
}

/* Writes [start, end) of the layer or of its archive to `out`, from pieces. */
static void read_pieces(const struct layer *layer, bool uncompressed, uint64_t start, uint64_t end,
                        size_t scratch_size, uint8_t *out)
{
    static uint8_t scratch[8192];
    struct layout_piece piece, last = {.end = 0};
    uint64_t at = start;

    assert_true(scratch_size <= sizeof(scratch));
    for (uint64_t next = start;; at = next) {
        if (uncompressed ? !layout_next_uncompressed(layer->layout, &next, end, scratch,
                                                     scratch_size, &piece)
                         : !layout_next(layer->layout, &next, end, scratch, scratch_size, &piece))
            break;
        assert_true(next > at && next <= end);
        if (piece.bytes.length > 0) {
            assert_true(piece.bytes.length == next - at && piece.bytes.length <= scratch_size);
            memcpy(out + (at - start), piece.bytes.data, piece.bytes.length);
        } else {
            assert_true(piece.end - piece.start == next - at);
            assert_true(piece.file < layer->count && piece.end <= layer->files[piece.file].size);
            memcpy(out + (at - start), layer->contents[piece.file] + piece.start, next - at);
            last = piece;
            if (!uncompressed)
                assert_int_equal(layout_file_before(layer->layout, last.file, at), last.start);
        }
        if (!uncompressed && last.end > 0)
            assert_int_equal(layout_file_before(layer->layout, last.file, next), last.end);
    }
    assert_true(at == end);
}

static void assert_sizes(struct layout_sizes got, struct layout_sizes wanted)
{
    assert_int_equal(got.layer, wanted.layer);
    assert_int_equal(got.uncompressed, wanted.uncompressed);
    assert_int_equal(got.toc_offset, wanted.toc_offset);
    assert_int_equal(got.toc_length, wanted.toc_length);
}

static void assert_sha256(const uint8_t *data, uint64_t length, const char *wanted)
{
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];

    digest_of(DIGEST_SHA256, data, length, &digest);
    assert_string_equal(digest_print(&digest, text), wanted);
}

/* ---- the example of models.md, section 6 ---- */

static const char example_toc[] =
    "{\"version\":1,\"entries\":[{\"name\":\"config.json\",\"type\":\"reg\",\"size\":8,"
    "\"modtime\":\"1980-01-01T00:00:00Z\",\"mode\":420,\"offset\":535,\"digest\":\"sha256:"
    "e346432021b04179518d9614f3560ccd71354a4ee101ddcb893d6959a9d6301c\",\"chunkDigest\":\"sha256:"
    "e346432021b04179518d9614f3560ccd71354a4ee101ddcb893d6959a9d6301c\"},{\"name\":\"model.bin\","
    "\"type\":\"reg\",\"size\":7,\"modtime\":\"1980-01-01T00:00:00Z\",\"mode\":420,\"offset\":1605,"
    "\"digest\":\"sha256:14422b042349bd2e1e537c361c780005f69282015a7d8c36312293ab017b0b36\","
    "\"chunkDigest\":\"sha256:14422b042349bd2e1e537c361c780005f69282015a7d8c36312293ab017b0b36\"}]"
    "}";

/* What the table says of each offset; what lies between is headers, and zeros. */
static const struct {
    size_t offset;
    struct view bytes;
} example_bytes[] = {
    {0, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x00\x02\xff\xfd", 15}},
    {15, {"config.json\0", 12}},
    {15 + 100,
     {"0000644\0"
      "0000000\0"
      "0000000\0"
      "00000000010\0"
      "02263523000\0",
      48}},
    {15 + 156, {"0", 1}},
    {15 + 257,
     {"ustar\0"
      "00",
      8}},
    {527, {"\x57\x12\x5e\xe5\x00\x02\x00\x00", 8}},
    {535, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x08\x00\xf7\xff{\"a\":1}\n", 23}},
    {558, {"\x46\xa3\xe8\x74\x08\0\0\0", 8}},
    {566, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\xf8\x03\x07\xfc\0\0", 17}},
    {566 + 15 + 503, {"\0model.bin\0", 11}},
    {1597, {"\x2c\x53\x1f\x38\xf8\x03\0\0", 8}},
    {1605, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x07\x00\xf8\xffWEIGHTS", 22}},
    {1627, {"\x42\x8d\x97\x25\x07\0\0\0", 8}},
    {1635, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\xf9\x05\x06\xfa\0\0", 17}},
    {3179, {"\x42\xa1\x51\xa1\xf9\x05\0\0", 8}},
    {3187, {"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x00\x0a\xff\xf5stargz.index.json\0", 33}},
    {3187 + 15 + 512, {example_toc, sizeof(example_toc) - 1}},
    {5762, {"\x23\xf9\xdf\x90\x00\x0a\0\0", 8}},
    {5770,
     {"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0"
      "0000000000000c73STARGZ\x01\0\0\xff\xff"
      "\0\0\0\0\0\0\0\0",
      51}},
};

static void layout__is_the_worked_example_byte_by_byte(void **state)
{
    (void)state;
    struct layer layer = make_example();
    uint8_t blob[5821], toc[sizeof(example_toc) - 1];

    assert_sizes(layout_sizes(layer.layout),
                 (struct layout_sizes){5821, 5632, 3187, sizeof(example_toc) - 1});
    read_pieces(&layer, false, 0, sizeof(blob), 4096, blob);
    for (size_t i = 0; i < sizeof(example_bytes) / sizeof(example_bytes[0]); i++)
        assert_memory_equal(blob + example_bytes[i].offset, example_bytes[i].bytes.data,
                            example_bytes[i].bytes.length);
    assert_sha256(blob, sizeof(blob),
                  "sha256:fa64a37de8f096ee72e708be6fda25994bc4ac6fff01a8e885e8884010cb309b");
    assert_string_equal(layer.digest,
                        "sha256:fa64a37de8f096ee72e708be6fda25994bc4ac6fff01a8e885e8884010cb309b");
    assert_string_equal(layer.diff_id,
                        "sha256:8607637a333b51c30ea752cdc5c465342d939865630ae77831fa5643e8773b40");
    assert_string_equal(layer.toc_digest,
                        "sha256:4847f0096c0009198ea51d4d186a6f1fd5c859433b35a4066b69d87c1bbbb5b2");
    layout_read_toc(layer.layout, 0, sizeof(toc), toc);
    assert_memory_equal(toc, example_toc, sizeof(toc));
    release(&layer);
}

/* ---- harder trees ---- */

static void layout__has_the_digests_of_the_independent_builder(void **state)
{
    (void)state;
    static const size_t steps[] = {4 * MIB, 65537, 1000003, 7};

    for (size_t i = 0; i < GOLDENS; i++) {
        /* The tree of large files is not fed byte by byte. */
        for (size_t k = 0; k < (goldens[i].files == sizes_files ? 3 : 4); k++) {
            struct layer layer = make_golden(&goldens[i], steps[k]);
            assert_sizes(layout_sizes(layer.layout), goldens[i].sizes);
            assert_string_equal(layer.digest, goldens[i].digest);
            assert_string_equal(layer.diff_id, goldens[i].diff_id);
            assert_string_equal(layer.toc_digest, goldens[i].toc_digest);
            release(&layer);
        }
    }
}

static void layout__does_not_depend_on_the_order_of_the_files(void **state)
{
    (void)state;
    struct tree_file reversed[12];
    struct layer layer = {.files = reversed, .count = 12};

    for (size_t i = 0; i < 12; i++) {
        reversed[11 - i] = names_files[i];
        layer.contents[11 - i] = make_content(i, names_files[i].size);
    }
    lay_out_layer(&layer, 4096);
    assert_string_equal(layer.digest, goldens[0].digest);
    release(&layer);
}

/* A range of `whole`, short ones more often than long ones. */
static void pick_range(uint64_t whole, uint64_t *ret_start, uint64_t *ret_end)
{
    uint64_t most = rand() % 20 == 0 ? whole : 3000;
    uint64_t start = (uint64_t)rand() % (whole + 1);
    uint64_t length = (uint64_t)rand() % (most + 1);

    *ret_start = start;
    *ret_end = length < whole - start ? start + length : whole;
}

static void compare_ranges(const struct layer *layer, bool uncompressed, unsigned rounds)
{
    struct layout_sizes sizes = layout_sizes(layer->layout);
    uint64_t size = uncompressed ? sizes.uncompressed : sizes.layer, start, end;
    uint8_t *whole = check_malloc(size), *part = check_malloc(size);

    read_pieces(layer, uncompressed, 0, size, 4096, whole);
    assert_sha256(whole, size, uncompressed ? layer->diff_id : layer->digest);
    for (unsigned i = 0; i < rounds; i++) {
        pick_range(size, &start, &end);
        /* Some near the end, where the TOC is. */
        if (i % 4 == 0 && start > size - sizes.toc_length - 3000)
            start = size - (uint64_t)rand() % 4000 % size, end = size;
        read_pieces(layer, uncompressed, start, end, 1 + (size_t)rand() % 5000, part);
        assert_memory_equal(part, whole + start, end - start);
    }
    free(whole);
    free(part);
}

static void layout_next__any_range_is_a_slice_of_the_whole(void **state)
{
    (void)state;
    srand(1);
    for (size_t i = 0; i < GOLDENS; i++) {
        struct layer layer = make_golden(&goldens[i], 65536);
        compare_ranges(&layer, false, 300);
        compare_ranges(&layer, true, 300);
        release(&layer);
    }
}

/* Every range of a small one. */
static void layout_next__each_pair_of_offsets_is_a_range(void **state)
{
    (void)state;
    struct layer layer = make_example();
    uint8_t whole[5821], part[5821];

    read_pieces(&layer, false, 0, sizeof(whole), 1, whole);
    for (uint64_t start = 0; start <= sizeof(whole); start++) {
        uint64_t end = start + (uint64_t)rand() % (sizeof(whole) - start + 1);
        read_pieces(&layer, false, start, end, 4096, part);
        assert_memory_equal(part, whole + start, end - start);
        end = start + 9 < sizeof(whole) ? start + 9 : sizeof(whole);
        read_pieces(&layer, false, start, end, 1 + start % 9, part);
        assert_memory_equal(part, whole + start, end - start);
    }
    release(&layer);
}

static void layout_read_toc__any_range_is_a_slice_of_the_whole(void **state)
{
    (void)state;
    uint64_t start, end;

    for (size_t i = 0; i < GOLDENS; i++) {
        struct layer layer = make_golden(&goldens[i], 65536);
        uint64_t size = layout_sizes(layer.layout).toc_length;
        uint8_t *whole = check_malloc(size), *part = check_malloc(size);
        layout_read_toc(layer.layout, 0, size, whole);
        assert_sha256(whole, size, layer.toc_digest);
        for (unsigned round = 0; round < 2000; round++) {
            pick_range(size, &start, &end);
            layout_read_toc(layer.layout, start, end, part);
            assert_memory_equal(part, whole + start, end - start);
        }
        free(whole);
        free(part);
        release(&layer);
    }
}

/* Adjacent framing comes as one piece: a chunk's end and the next one's begin, 23 bytes. */
static void layout_next__joins_framing(void **state)
{
    (void)state;
    static const struct tree_file files[] = {FILE_OF("x", 8 * MIB)};
    struct layout *layout = lay_out(files, 1);
    struct layout_piece piece;
    uint8_t scratch[4096];
    uint64_t offset = 0, end = layout_sizes(layout).layer, count[2] = {0}, longest = 0;

    while (layout_next(layout, &offset, end, scratch, sizeof(scratch), &piece)) {
        count[piece.bytes.length > 0]++;
        longest = piece.end - piece.start > longest ? piece.end - piece.start : longest;
    }
    assert_int_equal(count[0], 2 * 65);
    assert_int_equal(count[1], 2 * 65 + 1);
    assert_int_equal(longest, 65535);
    layout_free(layout);
}

/* ---- a draft ---- */

static void layout_seal__changes_no_offset(void **state)
{
    (void)state;
    struct layer layer = make_golden(&goldens[0], 65536);
    struct layout *draft = lay_out(names_files, 12);
    struct layout_piece pieces[2];
    uint8_t scratch[2][4096];
    uint64_t offsets[2] = {0}, end = layout_sizes(draft).layer;

    assert_false(layout_is_sealed(draft));
    assert_true(layout_is_sealed(layer.layout));
    assert_sizes(layout_sizes(draft), layout_sizes(layer.layout));
    while (layout_next(draft, &offsets[0], end, scratch[0], 4096, &pieces[0])) {
        assert_true(layout_next(layer.layout, &offsets[1], end, scratch[1], 4096, &pieces[1]));
        assert_int_equal(offsets[0], offsets[1]);
        assert_int_equal(pieces[0].bytes.length, pieces[1].bytes.length);
        assert_int_equal(pieces[0].file, pieces[1].file);
        assert_int_equal(pieces[0].start, pieces[1].start);
    }
    layout_free(draft);
    release(&layer);
}

/* ---- large files, by arithmetic ---- */

static void layout__places_files_of_terabytes(void **state)
{
    (void)state;
    static const struct tree_file files[] = {
        FILE_OF("a/8g", 8 * GIB),
        FILE_OF("a/8g-1", 8 * GIB - 1),
        FILE_OF("b/\xe6\xa8\xa1\xe5\x9e\x8b", UINT64_C(70000000000)),
        FILE_OF("c", UINT64_C(3000000000001)),
    };
    static const char last[] = ",{\"name\":\"c\",\"type\":\"chunk\",\"offset\":3087429244778,"
                               "\"chunkOffset\":2999996907520,\"chunkDigest\":\"sha256:";
    struct layout *layout = lay_out(files, 4);
    uint64_t length = layout_sizes(layout).toc_length;
    uint8_t tail[sizeof(last) - 1], longer[1300], shorter[300];

    assert_sizes(layout_sizes(layout),
                 (struct layout_sizes){UINT64_C(3087569546158), UINT64_C(3087317073408),
                                       UINT64_C(3087432339075), 137194986});
    layout_read_toc(layout, length - 68 - sizeof(tail), length - 68, tail);
    assert_memory_equal(tail, last, sizeof(tail));
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t start = (uint64_t)rand() % (length - sizeof(longer));
        layout_read_toc(layout, start, start + sizeof(longer), longer);
        layout_read_toc(layout, start + 1000, start + sizeof(longer), shorter);
        assert_memory_equal(longer + 1000, shorter, sizeof(shorter));
    }
    layout_free(layout);
}

/* The header of one file, as the archive has it. */
static void assert_header(struct tree_file file, size_t length, const char *sha256)
{
    struct layout *layout = lay_out(&file, 1);
    struct layout_piece piece;
    uint8_t scratch[4096];
    uint64_t offset = 0;

    assert_true(layout_next_uncompressed(layout, &offset, layout_sizes(layout).uncompressed,
                                         scratch, sizeof(scratch), &piece));
    assert_int_equal(piece.bytes.length, length);
    assert_sha256(scratch, length, sha256);
    layout_free(layout);
}

static void layout__has_pax_sizes_from_8_gib_on(void **state)
{
    (void)state;
    assert_header((struct tree_file)FILE_OF("big", 8 * GIB - 1), 512,
                  "sha256:078256159e857de4afa60883c3235d0c73ebb0407af1b2f41d542d9eb392cad5");
    assert_header((struct tree_file)FILE_OF("\xc3\xa9", 8 * GIB), 1536,
                  "sha256:268a023739193ac80463028f3fd0e3c12031916545823ae5cfbbb5eee43b4de3");
    assert_header((struct tree_file)FILE_OF("big", UINT64_C(9218868437227405312)), 1536,
                  "sha256:225fca0399579eb771ed97f3d3d7927a33c30b939096f40a83b9222281eb520d");
}

static void assert_refused(const struct tree_file *files, size_t count)
{
    struct layout *layout;
    struct buf problem = {0};

    assert_false(layout_new(files, count, &layout, &problem));
    assert_true(problem.length > 0);
    buf_release(&problem);
}

static void layout_new__refuses_what_exceeds_63_bits(void **state)
{
    (void)state;
    static const struct tree_file sum[] = {FILE_OF("a", UINT64_C(1) << 62),
                                           FILE_OF("b", UINT64_C(1) << 62)};
    static const struct tree_file framing[] = {FILE_OF("a", INT64_MAX)};
    static const struct tree_file name[] = {FILE_OF("../a", 1)};

    assert_refused(sum, 2);
    assert_refused(framing, 1);
    assert_refused(name, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout__is_the_worked_example_byte_by_byte),
        cmocka_unit_test(layout__has_the_digests_of_the_independent_builder),
        cmocka_unit_test(layout__does_not_depend_on_the_order_of_the_files),
        cmocka_unit_test(layout_next__any_range_is_a_slice_of_the_whole),
        cmocka_unit_test(layout_next__each_pair_of_offsets_is_a_range),
        cmocka_unit_test(layout_read_toc__any_range_is_a_slice_of_the_whole),
        cmocka_unit_test(layout_next__joins_framing),
        cmocka_unit_test(layout_seal__changes_no_offset),
        cmocka_unit_test(layout__places_files_of_terabytes),
        cmocka_unit_test(layout__has_pax_sizes_from_8_gib_on),
        cmocka_unit_test(layout_new__refuses_what_exceeds_63_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
