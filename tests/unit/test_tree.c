/* Unit tests of the names, the order and the split of a repository's files. */
#include "model/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

#define FILE_OF(name, size)                                                                        \
    {                                                                                              \
        {name, sizeof(name) - 1}, size                                                             \
    }

enum { NAME = 32 };

/* A view, in a table. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static struct view repeated(const char *text, size_t times, struct buf *buf)
{
    buf_clear(buf);
    for (size_t i = 0; i < times; i++)
        buf_append_text(buf, text);
    return view_of_buf(buf);
}

static void assert_good(struct view name)
{
    const char *fault = tree_name_fault(name);

    if (fault != NULL)
        fail_msg("\"%.*s\" %s", (int)name.length, name.data, fault);
}

static void tree_name_fault__takes_what_git_and_tar_hold(void **state)
{
    (void)state;
    static const struct view good[] = {
        TEXT("config.json"),
        TEXT("a/b/c"),
        TEXT(".hidden"),
        TEXT("..."),
        TEXT("a..b"),
        TEXT("..a/b.."),
        TEXT("a b"),
        TEXT("a\nb\t\x01\x7f"),
        TEXT("\"\\"),
        TEXT("\xc3\xa9"),
        TEXT("\xf0\x9f\x98\x80"),
        TEXT(".wh"),
        TEXT("a.wh.b"),
        TEXT("x/stargz.index.json"),
        TEXT(".gitattributes"),
        TEXT("x/.prefetch.landmark"),
        TEXT("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"),
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_good(good[i]);
}

static void tree_name_fault__refuses_what_no_image_holds(void **state)
{
    (void)state;
    static const struct view bad[] = {
        TEXT(""),
        TEXT("/a"),
        TEXT("a/"),
        TEXT("a//b"),
        TEXT("/"),
        TEXT("."),
        TEXT(".."),
        TEXT("../a"),
        TEXT("a/../b"),
        TEXT("a/.."),
        TEXT("a/./b"),
        TEXT("./a"),
        TEXT("a\0b"),
        TEXT(".wh.a"),
        TEXT("a/.wh.b/c"),
        TEXT(".wh..wh..opq"),
        TEXT("stargz.index.json"),
        TEXT(".prefetch.landmark"),
        TEXT(".no.prefetch.landmark"),
        /* not UTF-8: a third or fourth byte that is none, a lone byte, cut, overlong, a surrogate,
           beyond U+10FFFF */
        TEXT("\xe6\xa8x"),
        TEXT("\xf0\x9f\x98x"),
        TEXT("\x80"),
        TEXT("a\xff"),
        TEXT("\xc3"),
        TEXT("\xe6\xa8"),
        TEXT("\xc0\xaf"),
        TEXT("\xe0\x80\xaf"),
        TEXT("\xed\xa0\x80"),
        TEXT("\xf4\x90\x80\x80"),
        TEXT("\xf0\x9f\x98"),
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (tree_name_fault(bad[i]) == NULL)
            fail_msg("\"%s\" is taken", bad[i].data);
}

static void tree_name_fault__has_limits(void **state)
{
    (void)state;
    struct buf buf = {0};

    repeated("0123456789012345678901234567890/", 64, &buf); /* 2048 bytes */
    buf.data[2047] = 'x';
    assert_good(view_of_buf(&buf));
    buf_append_text(&buf, "x");
    assert_non_null(tree_name_fault(view_of_buf(&buf)));
    assert_good(repeated("n", 255, &buf));
    assert_non_null(tree_name_fault(repeated("n", 256, &buf)));
    repeated("a/", 100, &buf);
    buf_append_text(&buf, "x");
    assert_good(view_of_buf(&buf));
    repeated("a/", 101, &buf);
    buf_append_text(&buf, "x");
    assert_non_null(tree_name_fault(view_of_buf(&buf)));
    buf_release(&buf);
}

static void tree_order__is_by_bytes(void **state)
{
    (void)state;
    static const struct tree_file files[] = {
        FILE_OF("a0", 1), FILE_OF("\xc3\xa9", 1), FILE_OF("a/b", 1),  FILE_OF("a-b", 1),
        FILE_OF("B", 1),  FILE_OF("a/", 0),       FILE_OF("a/b0", 1),
    };
    static const size_t wanted[] = {4, 3, 2, 5, 0, 1};
    struct tree_file sound[6];
    struct buf problem = {0};
    size_t *order;

    assert_false(tree_order(files, 7, &order, &problem));
    assert_string_equal(problem.data,
                        "\"a/\" has an empty part: it begins or ends with a slash, or "
                        "has two in a row");
    memcpy(sound, files, 5 * sizeof(sound[0]));
    sound[5] = files[6];
    assert_true(tree_order(sound, 6, &order, &problem));
    assert_memory_equal(order, wanted, sizeof(wanted));
    free(order);
    assert_true(tree_order(NULL, 0, &order, &problem));
    assert_null(order);
    buf_release(&problem);
}

static void assert_refused(const struct tree_file *files, size_t count, const char *sentence)
{
    struct buf problem = {0};
    size_t *order;

    assert_false(tree_order(files, count, &order, &problem));
    assert_string_equal(problem.data, sentence);
    buf_release(&problem);
}

static void tree_order__refuses_trees_that_contradict_themselves(void **state)
{
    (void)state;
    static const struct tree_file twice[] = {FILE_OF("b", 1), FILE_OF("a", 1), FILE_OF("b", 2)};
    /* "a-b" sorts between a file and the folder of its name. */
    static const struct tree_file both[] = {FILE_OF("a/b/c", 1), FILE_OF("a-b", 1),
                                            FILE_OF("a", 1)};
    static const struct tree_file deep[] = {FILE_OF("a/b", 1), FILE_OF("a/a", 1),
                                            FILE_OF("a/b!", 1), FILE_OF("a/b/c/d", 1)};
    static const struct tree_file large[] = {FILE_OF("a", UINT64_C(1) << 63)};

    assert_refused(twice, 3, "\"b\" is there twice");
    assert_refused(both, 3, "\"a\" is a file and a folder, too");
    assert_refused(deep, 4, "\"a/b\" is a file and a folder, too");
    assert_refused(large, 1, "\"a\" is said to have more than 2^63 bytes");
}

/* A hundred folders a file: 9901 files are 1,000,001 entries. */
static void tree_order__counts_folders(void **state)
{
    (void)state;
    enum { FILES = 9901, ROOM = 512 };
    char *names = check_malloc((size_t)FILES * ROOM);
    struct tree_file *files = check_calloc(FILES, sizeof(*files));
    struct buf problem = {0};
    size_t *order;

    for (size_t i = 0; i < FILES; i++) {
        char *name = names + i * ROOM;
        int length = snprintf(name, ROOM, "%04zu", i);
        for (size_t k = 0; k < 100; k++, length += 2)
            memcpy(name + length, "/a", 3);
        files[i] = (struct tree_file){view_of(name), 1};
    }
    assert_true(tree_order(files, FILES - 1, &order, &problem)); /* 9900 * 101 */
    free(order);
    assert_false(tree_order(files, FILES, &order, &problem));
    assert_string_equal(problem.data,
                        "there are 1000001 files and folders; an image takes 1000000");
    buf_release(&problem);
    free(names);
    free(files);
}

static void tree_shared__ends_at_a_slash(void **state)
{
    (void)state;
    assert_int_equal(tree_shared(VIEW("a/b/x"), VIEW("a/b/c/y")), 4);
    assert_int_equal(tree_shared(VIEW("a/bc/x"), VIEW("a/b/x")), 2);
    assert_int_equal(tree_shared(VIEW("a-b/x"), VIEW("a/b")), 0);
    assert_int_equal(tree_shared(VIEW("ab"), VIEW("ab/c")), 0);
    assert_int_equal(tree_shared(VIEW(""), VIEW("a/b")), 0);
}

/* ---- split ---- */

/* "000", "001", ...: large files; and small ones named in between. */
static struct tree_split split_of(size_t large, size_t small, char names[][NAME],
                                  struct tree_file *files)
{
    struct tree_split split;
    struct buf problem = {0};

    for (size_t i = 0; i < large + small; i++) {
        bool is_large = i < large;
        snprintf(names[i], NAME, is_large ? "%03zu" : "%03zus", is_large ? i : i - large);
        files[i] = (struct tree_file){view_of(names[i]), is_large ? TREE_LARGE : TREE_LARGE - 1};
    }
    assert_true(tree_split(files, large + small, &split, &problem));
    for (size_t i = 0; i < large + small; i++) /* here the order of all is that of their indexes */
        assert_int_equal(split.order[i], i);
    return split;
}

static void tree_split__gives_large_files_a_layer_each(void **state)
{
    (void)state;
    /* large, small; layers, files in the first, files in the last large one */
    static const size_t cases[][5] = {
        {0, 0, 0, 0, 0},    {0, 3, 1, 3, 0},      {1, 0, 1, 1, 1},    {2, 3, 3, 1, 1},
        {60, 1, 61, 1, 1},  {61, 1, 32, 2, 1},    {120, 0, 60, 2, 2}, {121, 0, 41, 3, 1},
        {163, 9, 56, 3, 1}, {600, 1, 61, 10, 10},
    };
    static char names[700][NAME];
    static struct tree_file files[700];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t large = cases[i][0], small = cases[i][1], layers = cases[i][2];
        struct tree_split split = split_of(large, small, names, files);
        size_t large_layers = layers - (small > 0 ? 1 : 0);
        assert_int_equal(split.layer_count, layers);
        if (layers > 0)
            assert_int_equal(split.ends[0], cases[i][3]);
        if (large > 0)
            assert_int_equal(large - (large_layers > 1 ? split.ends[large_layers - 2] : 0),
                             cases[i][4]);
        if (layers > 0)
            assert_int_equal(split.ends[layers - 1], large + small);
        for (size_t k = 1; k < large_layers; k++)
            assert_true(split.ends[k] - split.ends[k - 1] <= cases[i][3]);
        tree_split_release(&split);
    }
}

static void tree_split__leaves_gitattributes_of_the_root_out(void **state)
{
    (void)state;
    static const struct tree_file files[] = {FILE_OF("z", 1), FILE_OF(".gitattributes", 5),
                                             FILE_OF("a/.gitattributes", 5)};
    struct tree_split split;
    struct buf problem = {0};

    assert_true(tree_split(files, 3, &split, &problem));
    assert_int_equal(split.layer_count, 1);
    assert_int_equal(split.ends[0], 2);
    assert_int_equal(split.order[0], 2);
    assert_int_equal(split.order[1], 0);
    tree_split_release(&split);
    assert_true(tree_split(files + 1, 1, &split, &problem));
    assert_int_equal(split.layer_count, 0);
    tree_split_release(&split);
}

/* A file and a folder of one name are refused across layers, too. */
static void tree_split__checks_the_whole_tree(void **state)
{
    (void)state;
    static const struct tree_file files[] = {FILE_OF("a", 1), FILE_OF("a/b", TREE_LARGE)};
    struct tree_split split;
    struct buf problem = {0};

    assert_false(tree_split(files, 2, &split, &problem));
    assert_string_equal(problem.data, "\"a\" is a file and a folder, too");
    buf_release(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_name_fault__takes_what_git_and_tar_hold),
        cmocka_unit_test(tree_name_fault__refuses_what_no_image_holds),
        cmocka_unit_test(tree_name_fault__has_limits),
        cmocka_unit_test(tree_order__is_by_bytes),
        cmocka_unit_test(tree_order__refuses_trees_that_contradict_themselves),
        cmocka_unit_test(tree_order__counts_folders),
        cmocka_unit_test(tree_shared__ends_at_a_slash),
        cmocka_unit_test(tree_split__gives_large_files_a_layer_each),
        cmocka_unit_test(tree_split__leaves_gitattributes_of_the_root_out),
        cmocka_unit_test(tree_split__checks_the_whole_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
