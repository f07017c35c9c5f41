/* Unit tests of what a hub says of a repository: its commit and its files. */
#include "wire/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define INFO(members)                                                                              \
    "{\"_id\":\"621ffd\",\"id\":\"Org/Model-1.0\",\"sha\":\"" COMMIT "\"" members "}"
#define PLAIN(path, size)                                                                          \
    "{\"type\":\"file\",\"oid\":\"" COMMIT "\",\"size\":" size ",\"path\":\"" path "\"}"

static struct hub_info info;
static struct hub_files files;
static struct buf problem;

static int release(void **state)
{
    (void)state;
    hub_files_release(&files);
    buf_release(&problem);
    return 0;
}

static void read_info(const char *json)
{
    memset(&info, 'x', sizeof(info));
    assert_true(hub_read_info(view_of(json), &info, &problem));
    assert_int_equal(problem.length, 0);
}

static void assert_no_info(const char *json, const char *sentence)
{
    struct hub_info before;

    memset(&info, 'x', sizeof(info));
    before = info;
    assert_false(hub_read_info(view_of(json), &info, &problem));
    assert_string_equal(problem.data, sentence);
    assert_memory_equal(&info, &before, sizeof(info));
    buf_clear(&problem);
}

/* ---- names ---- */

static void hub_is_id__knows_what_a_hub_can_call_a_repository(void **state)
{
    static const char *const good[] = {"gpt2", "org/model", "Org_1/Model-1.0.x--y", "_a/b_", "a-"};
    static const char *const bad[] = {"",     "/",     "a/",   "/a",  "a/b/c",  "a//b", ".",
                                      "..",   ".a",    "-a",   "a/.", "a/..",   "a/-b", "a..b/c",
                                      "a/b ", "a%2Fb", "a\tb", "ä",   "a/b?c=d"};
    char longest[HUB_ID_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(hub_is_id(view_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hub_is_id(view_of(bad[i])));
    assert_false(hub_is_id((struct view){"a\0b", 3}));
    memset(longest, 'a', sizeof(longest));
    longest[HUB_PART_MAX] = '/';
    assert_true(hub_is_id((struct view){longest, HUB_ID_SIZE - 1}));
    assert_false(hub_is_id((struct view){longest, HUB_ID_SIZE}));
    assert_false(hub_is_id((struct view){longest + HUB_PART_MAX + 1, HUB_PART_MAX + 1}));
}

static void hub_is_commit__wants_forty_lower_case_hex(void **state)
{
    (void)state;
    assert_true(hub_is_commit(VIEW(COMMIT)));
    assert_false(hub_is_commit(VIEW("0123456789abcdef0123456789abcdef0123456")));
    assert_false(hub_is_commit(VIEW(COMMIT "8")));
    assert_false(hub_is_commit(VIEW("0123456789ABCDEF0123456789abcdef01234567")));
    assert_false(hub_is_commit(VIEW("g123456789abcdef0123456789abcdef01234567")));
    assert_false(hub_is_commit(VIEW("")));
}

/* ---- info ---- */

/* As huggingface.co answers, shortened. */
static void hub_read_info__reads_a_model(void **state)
{
    (void)state;
    read_info(
        INFO(",\"modelId\":\"org/other\",\"author\":\"Org\",\"private\":false,\"disabled\":false,"
             "\"gated\":\"manual\",\"downloads\":1e3,\"tags\":[\"gguf\",\"license:mit\"],"
             "\"cardData\":{\"license\":\"apache-2.0\",\"language\":[\"en\"]},"
             "\"siblings\":[{\"rfilename\":\"config.json\"}],\"usedStorage\":5368709120"));
    assert_string_equal(info.id, "Org/Model-1.0");
    assert_string_equal(info.commit, COMMIT);
    assert_string_equal(info.license, "apache-2.0");
    assert_int_equal(info.gate, HUB_GATE_MANUAL);
    assert_false(info.is_private);
    assert_false(info.is_disabled);
}

static void hub_read_info__needs_no_more_than_id_and_sha(void **state)
{
    (void)state;
    read_info(INFO());
    assert_string_equal(info.license, "");
    assert_int_equal(info.gate, HUB_GATE_NONE);
    assert_false(info.is_private);
    read_info(INFO(",\"private\":true,\"disabled\":true,\"gated\":null,\"cardData\":null,"
                   "\"tags\":{\"a\":1}"));
    assert_true(info.is_private);
    assert_true(info.is_disabled);
    assert_int_equal(info.gate, HUB_GATE_NONE);
}

static void hub_read_info__takes_an_unknown_gate_for_a_closed_one(void **state)
{
    (void)state;
    read_info(INFO(",\"gated\":false"));
    assert_int_equal(info.gate, HUB_GATE_NONE);
    read_info(INFO(",\"gated\":\"auto\""));
    assert_int_equal(info.gate, HUB_GATE_AUTO);
    read_info(INFO(",\"gated\":\"sometimes\""));
    assert_int_equal(info.gate, HUB_GATE_MANUAL);
    read_info(INFO(",\"gated\":true"));
    assert_int_equal(info.gate, HUB_GATE_MANUAL);
}

static void hub_read_info__finds_the_license(void **state)
{
    static const struct {
        const char *json, *license;
    } rows[] = {
        {INFO(",\"cardData\":{\"license\":[\"mit\",\"cc-by-4.0\"]}"), "mit AND cc-by-4.0"},
        {INFO(",\"cardData\":{\"license\":[]},\"tags\":[\"x\",7,\"license:mit\"]"), "mit"},
        {INFO(",\"cardData\":{},\"tags\":[\"license:a\",\"license:b+\"]"), "a AND b+"},
        {INFO(",\"tags\":[\"license:Apache License 2.0\"]"), "Apache License 2.0"},
        {INFO(",\"tags\":[\"License:mit\",\"licenses:mit\"]"), ""},
        {INFO(",\"tags\":[\"license:\"]"), ""},
        {INFO(",\"tags\":[\"license: mit\"]"), ""},
        {INFO(",\"cardData\":{\"license\":7},\"tags\":\"license:mit\""), ""},
        /* What is not sane is as if it were not there; half a list would be another license. */
        {INFO(",\"cardData\":{\"license\":\"m\\nt\"},\"tags\":[\"license:mit\"]"), "mit"},
        {INFO(",\"cardData\":{\"license\":\"m\\\"t\"}"), ""},
        {INFO(",\"cardData\":{\"license\":\"m\xc3\xa4\"}"), ""},
        {INFO(",\"cardData\":{\"license\":[\"mit\",\"\\u001b\"]}"), ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_info(rows[i].json);
        assert_string_equal(info.license, rows[i].license);
    }
}

/* cardData is what the author wrote; nothing in it may take the model away. */
static void hub_read_info__bears_what_an_author_writes(void **state)
{
    (void)state;
    read_info(INFO(",\"cardData\":{\"license\":\"mit\",\"seed\":18446744073709551615,"
                   "\"note\":\"a\\u0000b\",\"n\":-99999999999999999999999999}"));
    assert_string_equal(info.license, "mit");
    /* What we use of it is looked at. */
    read_info(INFO(",\"cardData\":{\"license\":\"m\\u0000t\"},\"tags\":[\"license:a\\u0000\"]"));
    assert_string_equal(info.license, "");
    read_info(INFO(",\"gated\":\"auto\\u0000\""));
    assert_int_equal(info.gate, HUB_GATE_MANUAL);
    assert_no_info("{\"id\":\"a/b\\u0000c\",\"sha\":\"" COMMIT "\"}",
                   "the hub says of a repository that its id is \"a/b\\u0000c\", which cannot be");
    assert_no_info("{\"id\":\"a/b\",\"sha\":\"" COMMIT "\\u0000\"}",
                   "the hub says that the sha of a/b is \"" COMMIT
                   "\\u0000\", which is not a commit of 40 hex digits");
}

static void hub_read_info__keeps_a_license_that_fits(void **state)
{
    struct buf json = {0};

    (void)state;
    for (size_t length = HUB_LICENSE_SIZE - 10; length < HUB_LICENSE_SIZE + 10; length++) {
        buf_clear(&json);
        buf_printf(&json,
                   "{\"id\":\"a\",\"sha\":\"" COMMIT "\",\"cardData\":{\"license\":\"%0*d\"}}",
                   (int)length, 1);
        read_info(json.data);
        assert_true(info.license[0] == '\0' || strlen(info.license) == length);
        assert_true(length >= HUB_LICENSE_SIZE - 5 || info.license[0] != '\0');
    }
    buf_release(&json);
}

/* What is promised of a repository's files holds for its info, which names them all. */
static void hub_read_info__bears_as_many_files_as_a_list(void **state)
{
    struct buf json = {0};

    (void)state;
    buf_append_text(&json, "{\"id\":\"a/b\",\"sha\":\"" COMMIT "\",\"siblings\":[");
    for (unsigned i = 0; i < HUB_FILES_MAX; i++)
        buf_printf(&json, "%s{\"rfilename\":\"folder/%080u.json\"}", i == 0 ? "" : ",", i);
    buf_append_text(&json, "],\"cardData\":{\"tags\":[[],[],{}]}}");
    assert_true(json.length < HUB_ANSWER_MAX);
    read_info(json.data);
    buf_clear(&json);
    buf_append_text(&json, "{\"id\":\"a/b\",\"sha\":\"" COMMIT "\",\"siblings\":[[]");
    for (unsigned i = 0; i < HUB_FILES_MAX + 10000; i++)
        buf_append_text(&json, ",[]");
    buf_append_text(&json, "]}");
    assert_no_info(json.data,
                   "the hub's answer about a repository holds too many values, or nests too deep");
    buf_release(&json);
}

static void hub_read_info__says_what_is_wrong(void **state)
{
    static const struct {
        const char *json, *sentence;
    } rows[] = {
        {"", "the hub's answer about a repository is empty"},
        {"<html>", "the hub's answer about a repository is not JSON"},
        {"[]", "the hub says of a repository that its id is \"\", which cannot be"},
        {"{\"id\":\"../etc\",\"sha\":\"" COMMIT "\"}",
         "the hub says of a repository that its id is \"../etc\", which cannot be"},
        {"{\"id\":7,\"sha\":\"" COMMIT "\"}",
         "the hub says of a repository that its id is \"\", which cannot be"},
        {"{\"id\":\"a\\n\\\"b\",\"sha\":\"" COMMIT "\"}",
         "the hub says of a repository that its id is \"a\\u000a\\\"b\", which cannot be"},
        {"{\"id\":\"a/b\"}",
         "the hub says that the sha of a/b is \"\", which is not a commit of 40 hex digits"},
        {"{\"id\":\"a/b\",\"sha\":\"main\"}",
         "the hub says that the sha of a/b is \"main\", which is not a commit of 40 hex digits"},
        {"{\"id\":\"a/b\",\"sha\":null}",
         "the hub says that the sha of a/b is \"\", which is not a commit of 40 hex digits"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_no_info(rows[i].json, rows[i].sentence);
}

/* ---- files ---- */

static bool add_page(const char *json)
{
    buf_clear(&problem);
    return hub_read_files(view_of(json), &files, &problem);
}

/* As huggingface.co answers, with all that it may say besides. */
static void hub_read_files__reads_a_page(void **state)
{
    static const uint8_t oid[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

    (void)state;
    assert_true(add_page(
        "[{\"type\":\"directory\",\"oid\":\"" COMMIT "\",\"size\":0,\"path\":\"onnx\"},"
        "{\"type\":\"file\",\"oid\":\"" COMMIT "\",\"size\":665,\"path\":\"onnx/config.json\","
        "\"lfs\":null,\"securityFileStatus\":{\"status\":\"safe\"}},"
        "{\"type\":\"file\",\"oid\":\"" COMMIT
        "\",\"size\":53687091200,\"path\":\"model.safetensors\","
        "\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":53687091200,\"pointerSize\":134},"
        "\"xetHash\":\"****************\",\"lastCommit\":{\"id\":\"x\"}},"
        "{\"type\":\"submodule\",\"path\":\"elsewhere\"}]"));
    assert_int_equal(files.count, 2);
    assert_string_equal(files.files[0].path, "onnx/config.json");
    assert_true(files.files[0].size == 665);
    assert_false(files.files[0].is_lfs);
    assert_memory_equal(files.files[0].git_oid, oid, sizeof(oid));
    assert_string_equal(files.files[1].path, "model.safetensors");
    assert_true(files.files[1].size == 53687091200);
    assert_true(files.files[1].is_lfs);
    assert_int_equal(files.files[1].sha256[0], 0x9f);
    assert_int_equal(files.files[1].sha256[31], 0x08);
    assert_true(files.path_bytes == strlen("onnx/config.json") + strlen("model.safetensors"));
}

/* The hub's other spelling, of an info's siblings, and what a fork may leave out. */
static void hub_read_files__needs_little_of_an_lfs_file(void **state)
{
    static const char *const entries[] = {
        "\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":7}",
        "\"lfs\":{\"sha256\":\"" SHA256 "\",\"size\":7,\"pointerSize\":126}",
        "\"lfs\":{\"oid\":null,\"sha256\":\"" SHA256 "\",\"size\":7},\"oid\":null",
        "\"lfs\":{\"oid\":\"" SHA256 "\"},\"size\":7,\"oid\":\"" SHA256 "\"",
        "\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":7},\"size\":7,\"oid\":5",
    };
    static const uint8_t nothing[20];
    struct buf page = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        buf_clear(&page);
        buf_printf(&page, "[{\"type\":\"file\",\"path\":\"a\",%s}]", entries[i]);
        assert_true(add_page(page.data));
        assert_true(files.files[i].is_lfs && files.files[i].size == 7);
        assert_int_equal(files.files[i].sha256[31], 0x08);
        assert_memory_equal(files.files[i].git_oid, nothing, sizeof(nothing));
    }
    buf_release(&page);
}

static void hub_read_files__puts_pages_together(void **state)
{
    (void)state;
    assert_true(add_page("[" PLAIN("a", "0") "]"));
    assert_true(add_page("[]"));
    assert_true(add_page("[" PLAIN("b", "9223372036854775807") "]"));
    assert_int_equal(files.count, 2);
    assert_true(files.files[1].size == INT64_MAX);
}

static void hub_read_files__says_what_is_wrong(void **state)
{
    static const char cannot[] = "the hub's list of files cannot be used: ";
    static const struct {
        const char *entry, *fault;
    } rows[] = {
        {"7", "an entry has no type"},
        {"{\"path\":\"a\"}", "\"a\" has no type"},
        {"{\"type\":1,\"path\":\"a\"}", "\"a\" has no type"},
        {"{\"type\":\"file\",\"size\":1,\"oid\":\"" COMMIT "\"}", "an entry has no path"},
        {PLAIN("", "1"), "an entry has no path"},
        {PLAIN("a", "-1"), "\"a\" has a size below 0"},
        {PLAIN("a", "1.0"), "\"a\" has a size that is not a whole number"},
        {PLAIN("a", "\"1\""), "\"a\" has a size that is not a whole number"},
        {PLAIN("a", "null"), "\"a\" has no size"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":1}", "\"a\" has no oid of 40 hex digits"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" SHA256 "\"}",
         "\"a\" has no oid of 40 hex digits"},
        {"{\"type\":\"file\",\"path\":\"a\\n\",\"size\":1,\"oid\":\"" COMMIT "\",\"lfs\":7}",
         "\"a\\u000a\" has an `lfs` that is not an object"},
        {"{\"type\":\"file\",\"path\":\"a\",\"lfs\":{\"oid\":\"" SHA256 "\"}}",
         "\"a\" has no size"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" COMMIT "\",\"lfs\":{}}",
         "\"a\" has no LFS oid of 64 hex digits"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":135,\"lfs\":{\"size\":7,\"oid\":\"" SHA256
         "\"}}",
         "\"a\" has two sizes, one in its `lfs` and another beside it"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":-1,\"lfs\":{\"size\":7,\"oid\":\"" SHA256
         "\"}}",
         "\"a\" has a size below 0"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":7,\"lfs\":{\"size\":\"7\",\"oid\":\"" SHA256
         "\"}}",
         "\"a\" has a size that is not a whole number"},
        {"{\"type\":\"file\",\"path\":\"a\",\"lfs\":{\"size\":7,\"oid\":\"x\",\"sha256\":\"" SHA256
         "\"}}",
         "\"a\" has no LFS oid of 64 hex digits"},
        {"{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" COMMIT
         "\",\"lfs\":{\"size\":1,\"oid\":\"" COMMIT "\"}}",
         "\"a\" has no LFS oid of 64 hex digits"},
    };
    struct buf page = {0};

    (void)state;
    assert_true(add_page("[" PLAIN("before", "1") "]"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&page);
        buf_printf(&page, "[" PLAIN("first", "1") ",%s," PLAIN("last", "1") "]", rows[i].entry);
        assert_false(add_page(page.data));
        assert_memory_equal(problem.data, cannot, strlen(cannot));
        assert_string_equal(problem.data + strlen(cannot), rows[i].fault);
        assert_int_equal(files.count, 1); /* nothing of a bad page stays */
        assert_true(files.path_bytes == strlen("before"));
    }
    buf_release(&page);
    assert_false(add_page("{\"error\":\"no\"}"));
    assert_string_equal(problem.data, "the hub's list of files is not a JSON array");
    assert_false(add_page("[" PLAIN("a", "9223372036854775808") "]"));
    assert_string_equal(problem.data, "the hub's list of files holds a number that is too large");
    assert_false(add_page("[" PLAIN("a\\u0000b", "1") "]"));
    assert_string_equal(problem.data, "the hub's list of files holds a NUL");
}

static void hub_read_files__bounds_a_path(void **state)
{
    char path[HUB_PATH_MAX + 2];
    struct buf page = {0};

    (void)state;
    memset(path, 'p', sizeof(path));
    for (size_t length = HUB_PATH_MAX; length <= HUB_PATH_MAX + 1; length++) {
        path[length] = '\0';
        buf_clear(&page);
        buf_printf(&page, "[" PLAIN("%s", "1") "]", path);
        assert_int_equal(add_page(page.data), length <= HUB_PATH_MAX);
        path[length] = 'p';
    }
    assert_int_equal(files.count, 1);
    assert_non_null(strstr(problem.data, "is longer than 2048 bytes"));
    buf_release(&page);
}

static void hub_read_files__bounds_an_answer(void **state)
{
    char *blanks = malloc(HUB_ANSWER_MAX + 1);

    (void)state;
    assert_non_null(blanks);
    memset(blanks, ' ', HUB_ANSWER_MAX + 1);
    memcpy(blanks, "[]", 2);
    assert_true(hub_read_files((struct view){blanks, HUB_ANSWER_MAX}, &files, &problem));
    assert_false(hub_read_files((struct view){blanks, HUB_ANSWER_MAX + 1}, &files, &problem));
    assert_string_equal(problem.data, "the hub's list of files is larger than 32 MiB");
    free(blanks);
}

/* Begins with a table that lacks one file to be full; its others have no path. */
static void hub_read_files__bounds_all_of_them(void **state)
{
    (void)state;
    files.files = calloc(HUB_FILES_MAX, sizeof(*files.files));
    assert_non_null(files.files);
    files.capacity = HUB_FILES_MAX;
    files.count = HUB_FILES_MAX - 1;
    assert_false(add_page("[" PLAIN("a", "1") "," PLAIN("b", "1") "]"));
    assert_non_null(strstr(problem.data, "\"b\" is one too many: the repository has more than "
                                         "300000 files"));
    assert_int_equal(files.count, HUB_FILES_MAX - 1);
    assert_true(files.path_bytes == 0);
    assert_true(add_page("[" PLAIN("a", "1") "]"));
    assert_false(add_page("[" PLAIN("b", "1") "]"));
    assert_int_equal(files.count, HUB_FILES_MAX);
    free(files.files[HUB_FILES_MAX - 1].path);
    files.count = 0;
}

static void hub_read_files__bounds_all_paths(void **state)
{
    (void)state;
    files.path_bytes = HUB_PATHS_MAX - 3;
    assert_false(add_page("[" PLAIN("ab", "1") "," PLAIN("cd", "1") "]"));
    assert_non_null(strstr(problem.data, "\"cd\" is one too many"));
    assert_non_null(strstr(problem.data, "32 MiB of paths"));
    assert_true(files.path_bytes == HUB_PATHS_MAX - 3);
    assert_true(add_page("[" PLAIN("ab", "1") "," PLAIN("c", "1") "]"));
    assert_true(files.path_bytes == HUB_PATHS_MAX);
}

/* A table grows; a page of many files comes out as it went in. */
static void hub_read_files__keeps_the_order(void **state)
{
    struct buf page = {0};
    char path[16];

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        buf_printf(&page, "%c" PLAIN("f%u", "%u"), i == 0 ? '[' : ',', i, i);
    buf_append_text(&page, "]");
    assert_true(add_page(page.data));
    assert_int_equal(files.count, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(path, sizeof(path), "f%u", i);
        assert_string_equal(files.files[i].path, path);
        assert_true(files.files[i].size == i);
    }
    buf_release(&page);
}

static void hub_git_oid__is_what_git_says(void **state)
{
    static const struct {
        const char *content, *oid; /* by git hash-object */
    } rows[] = {
        {"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
        {"test content\n", "d670460b4b4aece5915caf5c68d12f560a9fe3e4"},
    };
    uint8_t oid[20];
    char hex[41];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hub_git_oid(rows[i].content, strlen(rows[i].content), oid);
        for (size_t k = 0; k < sizeof(oid); k++)
            (void)snprintf(hex + 2 * k, 3, "%02x", oid[k]);
        assert_string_equal(hex, rows[i].oid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hub_is_id__knows_what_a_hub_can_call_a_repository),
        cmocka_unit_test(hub_is_commit__wants_forty_lower_case_hex),
        cmocka_unit_test_teardown(hub_read_info__reads_a_model, release),
        cmocka_unit_test_teardown(hub_read_info__needs_no_more_than_id_and_sha, release),
        cmocka_unit_test_teardown(hub_read_info__takes_an_unknown_gate_for_a_closed_one, release),
        cmocka_unit_test_teardown(hub_read_info__finds_the_license, release),
        cmocka_unit_test_teardown(hub_read_info__bears_what_an_author_writes, release),
        cmocka_unit_test_teardown(hub_read_info__keeps_a_license_that_fits, release),
        cmocka_unit_test_teardown(hub_read_info__bears_as_many_files_as_a_list, release),
        cmocka_unit_test_teardown(hub_read_info__says_what_is_wrong, release),
        cmocka_unit_test_teardown(hub_read_files__reads_a_page, release),
        cmocka_unit_test_teardown(hub_read_files__needs_little_of_an_lfs_file, release),
        cmocka_unit_test_teardown(hub_read_files__puts_pages_together, release),
        cmocka_unit_test_teardown(hub_read_files__says_what_is_wrong, release),
        cmocka_unit_test_teardown(hub_read_files__bounds_a_path, release),
        cmocka_unit_test_teardown(hub_read_files__bounds_an_answer, release),
        cmocka_unit_test_teardown(hub_read_files__bounds_all_of_them, release),
        cmocka_unit_test_teardown(hub_read_files__bounds_all_paths, release),
        cmocka_unit_test_teardown(hub_read_files__keeps_the_order, release),
        cmocka_unit_test(hub_git_oid__is_what_git_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
