/* Fuzzes all that a hub says: what is read of it is bounded and clean, and names make the round
 * trip. */
#include "wire/hub.h"

#include <string.h>

#include "base/check.h"
#include "wire/bounded_json.h"
#include "wire/hub_name.h"
#include "wire/hub_path.h"
#include "wire/hub_refusal.h"
#include "wire/tag_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static bool is_printable(const struct buf *text)
{
    for (size_t i = 0; i < text->length; i++)
        if (text->data[i] < ' ' || text->data[i] > '~')
            return false;
    return true;
}

static void fuzz_info(struct view text)
{
    struct hub_info info;
    struct buf problem = {0};

    if (hub_read_info(text, &info, &problem)) {
        CHECK(problem.length == 0 && hub_is_id(view_of(info.id)));
        CHECK(hub_is_commit(view_of(info.commit)));
        CHECK(strnlen(info.license, HUB_LICENSE_SIZE) < HUB_LICENSE_SIZE);
        for (const char *at = info.license; *at != '\0'; at++)
            CHECK(*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\');
    } else {
        CHECK(problem.length > 0);
    }
    buf_release(&problem);
}

static bool has_any(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

static void fuzz_files(struct view text)
{
    struct hub_files files = {0};
    struct buf problem = {0};
    uint64_t path_bytes = 0;
    bool ok = hub_read_files(text, &files, &problem);
    size_t count = files.count;

    CHECK(ok ? problem.length == 0 : problem.length > 0 && count == 0);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(files.files[i].path);
        CHECK(length > 0 && length <= HUB_PATH_MAX && files.files[i].size <= INT64_MAX);
        CHECK(files.files[i].is_lfs || !has_any(files.files[i].sha256, 32));
        CHECK(!files.files[i].is_lfs || !has_any(files.files[i].git_oid, 20));
        path_bytes += length;
    }
    CHECK(files.path_bytes == path_bytes);
    /* Once more behind itself: the same again, or nothing. */
    CHECK(hub_read_files(text, &files, &problem) == ok && files.count == (ok ? 2 * count : 0));
    hub_files_release(&files);
    CHECK(files.files == NULL && files.count == 0);
    buf_release(&problem);
}

/* Any page of any list is JSON. */
static void fuzz_page(struct view list, struct view query)
{
    static const struct bounded_json_limits limits = {
        .containers = 2, .values = 1 << 20, .flags = JSON_ALLOW_NUL};
    struct buf body = {0}, next = {0};

    if (tag_list_print(list, VIEW("org/model"), query, &body, &next)) {
        json_t *root = bounded_json_load(view_of_buf(&body), &limits, NULL);
        CHECK(json_array_size(json_object_get(root, "tags")) <= list.length);
        CHECK(root != NULL && is_printable(&next));
        json_decref(root);
    } else {
        CHECK(body.length == 0 && next.length == 0);
    }
    buf_release(&body);
    buf_release(&next);
}

/* What a hub tells is in order, each once, and of tags that stand for something. */
static void fuzz_tags(struct view text)
{
    struct buf list = {0}, again = {0}, problem = {0};
    struct hub_revision revision;
    struct view last = VIEW("");

    CHECK(tag_list_read(text, &list, &problem) == (problem.length == 0));
    for (struct view rest = view_of_buf(&list); rest.length > 0;) {
        struct view tag = view_cut(&rest, '\n');
        size_t common = last.length < tag.length ? last.length : tag.length;
        int order = common == 0 ? 0 : memcmp(last.data, tag.data, common);
        CHECK(order < 0 || (order == 0 && last.length < tag.length));
        CHECK(hub_name_revision(tag, &revision));
        last = tag;
    }
    buf_append_view(&again, view_of_buf(&list));
    tag_list_sort(&again);
    CHECK(view_equal(view_of_buf(&again), view_of_buf(&list)));
    fuzz_page(view_of_buf(&list), text);
    fuzz_page(text, VIEW("n=2&last=%41"));
    buf_release(&list);
    buf_release(&again);
    buf_release(&problem);
}

static void fuzz_names(struct view text)
{
    struct hub_revision revision, again;
    char tag[GRAMMAR_TAG_SIZE], out[HUB_REPOSITORY_SIZE];
    struct hub_name name, same;

    if (hub_name_revision(text, &revision)) {
        CHECK(hub_name_tag(view_of(revision.text), tag));
        CHECK(view_equal(view_of(tag), view_equal(text, VIEW("main")) ? VIEW("latest") : text));
    }
    if (hub_name_tag(text, tag)) {
        CHECK(grammar_is_tag(view_of(tag)) && hub_name_revision(view_of(tag), &again));
        CHECK(view_equal(view_of(again.text), text));
    }
    if (hub_name_parse(text, &name)) {
        CHECK(hub_is_id(view_of(name.id)));
        CHECK(view_equal_nocase(view_of(hub_name_print(&name, out)), text));
        CHECK(hub_name_parse(view_of(out), &same) && same.kind == name.kind);
    }
}

static void fuzz_paths(struct view text)
{
    struct buf path = {0};

    if (hub_path_next(text, VIEW("/hub"), VIEW("/api/models/gpt2/tree/main?a=b"), &path)) {
        struct view next = view_of_buf(&path);
        CHECK(view_starts_with(next, VIEW("/api/")) && next.length <= HUB_PATH_NEXT_MAX);
        CHECK(is_printable(&path) && strpbrk(path.data, " \"\\<>#") == NULL);
        CHECK(view_ends_with(text, next) || view_starts_with(text, VIEW("?")));
        CHECK(hub_path_is_own(next, VIEW("")));
        buf_clear(&path);
    } else {
        CHECK(path.length == 0);
    }
    if (hub_path_is_own(text, VIEW("/hub")))
        CHECK(view_starts_with(text, VIEW("/hub/")));
    hub_path_file(&path, VIEW("datasets/a/b"), text, text);
    hub_path_tree(&path, VIEW("gpt2"), text);
    hub_path_info(&path, VIEW("datasets/a/b"), text);
    CHECK(is_printable(&path) && strpbrk(path.data, " \"\\<>#") == NULL);
    buf_release(&path);
}

/* The first bytes are a status; then lines: X-Error-Code, X-Error-Message, RateLimit and
 * Retry-After. */
static void fuzz_refusal(struct view text)
{
    struct buf sentence = {0}, words = {0};
    uint16_t status = 0;
    struct view rest = text;

    if (text.length < sizeof(status))
        return;
    memcpy(&status, text.data, sizeof(status));
    rest = (struct view){text.data + sizeof(status), text.length - sizeof(status)};
    struct view code = view_cut(&rest, '\n'), message = view_cut(&rest, '\n');
    struct view rate_limit = view_cut(&rest, '\n');
    enum err err = hub_refusal_read(status % 1000, code, message, text, &sentence);
    CHECK(err != OK && sentence.length > 0 && sentence.length < 1000 && is_printable(&sentence));
    CHECK(strpbrk(sentence.data, "\"\\") == NULL);
    CHECK(hub_refusal_words(text, &words) == (words.length > 0) && words.length <= text.length);
    err = hub_refusal_read(403, code, view_of_buf(&words), code, &sentence);
    CHECK(err != OK && sentence.length < 1000 && is_printable(&sentence));
    hub_refusal_of_storage(status, view_of_buf(&words), &sentence);
    CHECK(sentence.length > 0 && sentence.length < 1000 && is_printable(&sentence));
    buf_release(&words);
    CHECK(hub_refusal_wait(rate_limit, rest, 1600000000, 7) <= HUB_REFUSAL_WAIT_MAX);
    CHECK(hub_refusal_wait(text, VIEW(""), 1600000000, 7) <= HUB_REFUSAL_WAIT_MAX);
    buf_release(&sentence);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view text = {(const char *)input, size};
    uint8_t oid[20];

    fuzz_info(text);
    fuzz_files(text);
    fuzz_tags(text);
    fuzz_names(text);
    fuzz_paths(text);
    fuzz_refusal(text);
    hub_git_oid(input, size, oid);
    return 0;
}
