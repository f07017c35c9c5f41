/* Unit tests of numbers files: what is printed is read again, and what does not add up is found. */
#include "model/numbers_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "numbers_helpers.h"

/* ---- both ways ---- */

static void numbers_file_parse__gives_what_was_printed(void **state)
{
    struct numbers_file file = example(), again;
    struct buf first = {0}, second = {0}, problem = {0};
    struct tree_split split;
    struct image image;

    (void)state;
    numbers_file_print(&file, &first);
    assert_true(numbers_file_parse(view_of_buf(&first), &again, &problem));
    numbers_file_print(&again, &second);
    assert_string_equal(first.data, second.data);
    assert_true(again.count == COUNT && again.layer_count == 1);
    assert_string_equal(again.license, "mit \"or\" so");
    assert_true(numbers_file_check(&again, &image, &split, &problem));
    assert_int_equal(problem.length, 0);
    assert_int_equal(split.layer_count, 1);
    assert_true(digest_equal(&image.parts[IMAGE_INDEX].digest, &file.index_digest));
    image_release(&image);
    tree_split_release(&split);
    numbers_file_release(&file);
    numbers_file_release(&again);
    buf_release(&first);
    buf_release(&second);
    buf_release(&problem);
}

/* Any byte of it is needed: cut off anywhere it is none, and with another byte it is refused, or
 * says what cannot be checked. */
static void numbers_file_parse__survives_what_a_peer_sends(void **state)
{
    struct numbers_file file = example(), again;
    struct buf json = {0}, problem = {0};

    (void)state;
    numbers_file_print(&file, &json);
    for (size_t length = 0; length + 2 < json.length; length++) {
        buf_clear(&problem);
        assert_false(numbers_file_parse((struct view){json.data, length}, &again, &problem));
        assert_true(problem.length > 0);
    }
    for (size_t i = 0; i < json.length; i++) {
        char kept = json.data[i];
        json.data[i] = kept == '0' ? '1' : '0';
        buf_clear(&problem);
        if (numbers_file_parse(view_of_buf(&json), &again, &problem))
            numbers_file_release(&again);
        else
            assert_true(problem.length > 0);
        json.data[i] = kept;
    }
    numbers_file_release(&file);
    buf_release(&json);
    buf_release(&problem);
}

static void assert_no_file(const char *text, const char *part)
{
    struct numbers_file file;
    struct buf problem = {0};

    assert_false(numbers_file_parse(view_of(text), &file, &problem));
    if (strstr(problem.data, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, problem.data);
    buf_release(&problem);
}

#define HEAD                                                                                       \
    "{\"entrepot-numbers\":1,\"layout\":1,\"repository\":\"a/b\",\"commit\":\"" COMMIT             \
    "\",\"tag\":\"main\",\"license\":\"\",\"index\":\"sha256:" COMMIT                              \
    "0123456789abcdef01234567\","

static void numbers_file_parse__says_what_is_wrong(void **state)
{
    (void)state;
    assert_no_file("", "is empty");
    assert_no_file("[", "in the middle");
    assert_no_file("[]", "no file of `entrepot numbers export`");
    assert_no_file("{\"entrepot-numbers\":\"1\"}", "no file of `entrepot numbers export`");
    assert_no_file("{\"entrepot-numbers\":-1}", "no file of `entrepot numbers export`");
    assert_no_file("{\"entrepot-numbers\":2}", "another version");
    assert_no_file("{\"entrepot-numbers\":1}", "layout");
    assert_no_file("{\"entrepot-numbers\":1,\"layout\":1}", "repository");
    assert_no_file(HEAD "\"x\":1}", "list of up to 100000 files");
    assert_no_file(HEAD "\"files\":[]}", "list of up to 61 layers");
    assert_no_file(HEAD "\"files\":[1]}", "file 1");
    assert_no_file(HEAD "\"files\":[],\"layers\":[{}]}", "layer 1");
    /* As many chunks as the size has, and that is reckoned before anything is allocated. */
    assert_no_file(HEAD
                   "\"files\":[{\"path\":\"x\",\"size\":9223372036854775807,\"sha256\":\"" COMMIT
                   "0123456789abcdef01234567\",\"chunks\":\"\"}]}",
                   "file 1");
}

static void numbers_file_parse__is_bounded(void **state)
{
    struct numbers_file file;
    struct buf json = {0}, problem = {0};

    (void)state;
    buf_append_text(&json, HEAD "\"files\":[");
    for (size_t i = 0; i < NUMBERS_FILE_FILES_MAX; i++)
        buf_append_text(&json, "{},");
    buf_append_text(&json, "{}],\"layers\":[]}");
    assert_false(numbers_file_parse(view_of_buf(&json), &file, &problem));
    assert_non_null(strstr(problem.data, "files"));
    buf_clear(&json);
    buf_clear(&problem);
    buf_append_text(&json, HEAD "\"files\":[");
    for (size_t i = 0; i < 200000; i++)
        buf_append_text(&json, "[],");
    buf_append_text(&json, "[]],\"layers\":[]}");
    assert_false(numbers_file_parse(view_of_buf(&json), &file, &problem));
    assert_non_null(strstr(problem.data, "too many values"));
    buf_clear(&problem);
    buf_reserve(&json, NUMBERS_FILE_MAX);
    memset(json.data, ' ', NUMBERS_FILE_MAX + 1);
    json.length = NUMBERS_FILE_MAX + 1;
    assert_false(numbers_file_parse(view_of_buf(&json), &file, &problem));
    assert_non_null(strstr(problem.data, "64 MiB"));
    buf_release(&json);
    buf_release(&problem);
}

/* ---- what does not add up ---- */

static void spoil_path(struct numbers_file *file)
{
    file->files[1].path[0] = 'd';
}

static void spoil_size(struct numbers_file *file)
{
    file->files[0].size -= 1;
}

static void spoil_small_sha256(struct numbers_file *file)
{
    file->files[1].sha256[31] ^= 1;
}

static void spoil_empty_sha256(struct numbers_file *file)
{
    file->files[3].sha256[0] ^= 1;
}

static void spoil_large_sha256(struct numbers_file *file)
{
    file->files[0].sha256[0] ^= 1;
}

static void spoil_chunk(struct numbers_file *file)
{
    file->files[0].chunks[2].sha256[0] ^= 1;
}

static void spoil_chunk_of_a_copy(struct numbers_file *file)
{
    file->files[2].chunks[0].crc32[0] ^= 1;
}

static void spoil_diff_id(struct numbers_file *file)
{
    file->layers[0].diff_id.bytes[0] ^= 1;
}

static void spoil_toc_digest(struct numbers_file *file)
{
    file->layers[0].toc_digest.bytes[31] ^= 1;
}

static void spoil_layer_size(struct numbers_file *file)
{
    file->layers[0].size += 512;
}

static void spoil_layer_count(struct numbers_file *file)
{
    file->layer_count = 0;
}

static void spoil_license(struct numbers_file *file)
{
    file->license[0] = '\0';
}

static void spoil_name(struct numbers_file *file)
{
    memcpy(file->files[1].path, ".wh.x", 6);
}

static void numbers_file_check__finds_what_does_not_add_up(void **state)
{
    static const struct {
        void (*spoil)(struct numbers_file *file);
        const char *part;
    } rows[] = {
        {spoil_path, "TOC digest"},
        {spoil_size, "TOC digest"},
        {spoil_small_sha256, "is not that of its bytes"},
        {spoil_empty_sha256, "is not that of its bytes"},
        {spoil_large_sha256, "TOC digest"},
        {spoil_chunk, "TOC digest"},
        {spoil_chunk_of_a_copy, "have one sha256, and other numbers"},
        {spoil_diff_id, "index"},
        {spoil_toc_digest, "TOC digest"},
        {spoil_layer_size, "size"},
        {spoil_layer_count, "make 1 layers"},
        {spoil_license, "index"},
        {spoil_name, ".wh."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct numbers_file file = example();
        struct tree_split split;
        struct buf problem = {0};
        struct image image;
        rows[i].spoil(&file);
        assert_false(numbers_file_check(&file, &image, &split, &problem));
        if (strstr(problem.data, rows[i].part) == NULL)
            fail_msg("row %zu: \"%s\" is not in: %s", i, rows[i].part, problem.data);
        numbers_file_release(&file);
        buf_release(&problem);
    }
}

/* Without bytes nobody can know it; see the header. */
static void numbers_file_check__takes_the_rest_on_trust(void **state)
{
    struct numbers_file file = example();
    struct tree_split split;
    struct buf problem = {0};
    struct image image;

    (void)state;
    file.files[0].chunks[1].crc32[3] ^= 1;
    file.layers[0].digest.bytes[0] ^= 1;
    set_index(&file);
    assert_true(numbers_file_check(&file, &image, &split, &problem));
    image_release(&image);
    tree_split_release(&split);
    numbers_file_release(&file);
}

static void numbers_file_check__takes_a_model_without_files(void **state)
{
    struct numbers_file file = {.repository = "Org/Model", .commit = COMMIT, .tag = "main"};
    struct tree_split split;
    struct buf problem = {0};
    struct image image;

    (void)state;
    set_index(&file);
    assert_true(numbers_file_check(&file, &image, &split, &problem));
    image_release(&image);
    tree_split_release(&split);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_file_parse__gives_what_was_printed),
        cmocka_unit_test(numbers_file_parse__survives_what_a_peer_sends),
        cmocka_unit_test(numbers_file_parse__says_what_is_wrong),
        cmocka_unit_test(numbers_file_parse__is_bounded),
        cmocka_unit_test(numbers_file_check__finds_what_does_not_add_up),
        cmocka_unit_test(numbers_file_check__takes_the_rest_on_trust),
        cmocka_unit_test(numbers_file_check__takes_a_model_without_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
