#include "wire/hub.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "wire/bounded_json.h"

/* These bounds keep a hostile answer at some 150 MB while it is read. */
static const struct bounded_json_limits list_limits = {.containers = 300000, .values = 1500000};

/* An info lists all files too, as a container and two values each. It passes on what its author has
 * written about the model (cardData), in which any number may stand, and any character. */
static const struct bounded_json_limits info_limits = {.containers = HUB_FILES_MAX + 10000,
                                                       .values = 1500000,
                                                       .flags = JSON_DECODE_INT_AS_REAL |
                                                                JSON_ALLOW_NUL};

/* ---- texts ---- */

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads exactly `length` bytes of lower-case hex; false when it is anything else. */
static bool read_hex(struct view text, uint8_t *out, size_t length)
{
    if (text.length != 2 * length)
        return false;
    for (size_t i = 0; i < length; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_id_part(struct view part)
{
    if (part.length == 0 || part.length > HUB_PART_MAX || part.data[0] == '.' ||
        part.data[0] == '-')
        return false;
    for (size_t i = 0; i < part.length; i++) {
        char c = part.data[i];
        if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-')
            return false;
        if (c == '.' && i + 1 < part.length && part.data[i + 1] == '.')
            return false;
    }
    return true;
}

bool hub_is_id(struct view text)
{
    bool has_namespace = text.length > 0 && memchr(text.data, '/', text.length) != NULL;

    return (!has_namespace || is_id_part(view_cut(&text, '/'))) && is_id_part(text);
}

bool hub_is_commit(struct view text)
{
    uint8_t bytes[20];

    return read_hex(text, bytes, sizeof(bytes));
}

/* ---- the JSON ---- */

/* The text of a string; empty for anything else. */
static struct view string_of(const json_t *value)
{
    return (struct view){json_string_value(value), json_string_length(value)};
}

/* A member; NULL also when it is null. */
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}

/* The hub's `what`; NULL with a sentence when it cannot be read. */
static json_t *load(struct view json, const struct bounded_json_limits *limits, const char *what,
                    struct buf *problem)
{
    const char *fault = "is larger than 32 MiB";
    json_t *root = NULL;

    if (json.length <= HUB_ANSWER_MAX)
        root = bounded_json_load(json, limits, &fault);
    if (root == NULL)
        (void)problem_set(problem, "the hub's %s %s", what, fault);
    return root;
}

static bool is_license(struct view text)
{
    static const char also[] = " .+-_():,/";

    for (size_t i = 0; i < text.length; i++)
        if (!is_letter_or_digit(text.data[i]) && memchr(also, text.data[i], strlen(also)) == NULL)
            return false;
    return text.length > 0 && text.data[0] != ' ' && text.data[text.length - 1] != ' ';
}

/* Puts one more license behind those that are there; false when it is not sane or does not fit. */
static bool add_license(char out[HUB_LICENSE_SIZE], struct view text)
{
    size_t used = strlen(out);

    if (!is_license(text) || used + 5 + text.length >= HUB_LICENSE_SIZE)
        return false;
    if (used > 0)
        used += (size_t)snprintf(out + used, HUB_LICENSE_SIZE - used, " AND ");
    return view_copy(text, out + used, HUB_LICENSE_SIZE - used);
}

/* All of a list's strings with that prefix, or, when one of them cannot stand there, none. */
static void add_licenses(char out[HUB_LICENSE_SIZE], const json_t *list, struct view prefix)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct view text = string_of(json_array_get(list, i));
        if (!view_starts_with(text, prefix))
            continue;
        text = (struct view){text.data + prefix.length, text.length - prefix.length};
        if (!add_license(out, text)) {
            out[0] = '\0';
            return;
        }
    }
}

static void read_license(const json_t *root, char out[HUB_LICENSE_SIZE])
{
    const json_t *license = json_object_get(json_object_get(root, "cardData"), "license");

    if (json_is_string(license))
        (void)add_license(out, string_of(license));
    else
        add_licenses(out, license, VIEW(""));
    if (out[0] == '\0')
        add_licenses(out, json_object_get(root, "tags"), VIEW("license:"));
}

static enum hub_gate gate_of(const json_t *gated)
{
    if (gated == NULL || json_is_false(gated))
        return HUB_GATE_NONE;
    return view_equal(string_of(gated), VIEW("auto")) ? HUB_GATE_AUTO : HUB_GATE_MANUAL;
}

bool hub_read_info(struct view json, struct hub_info *ret_info, struct buf *problem)
{
    json_t *root = load(json, &info_limits, "answer about a repository", problem);
    struct view id = string_of(json_object_get(root, "id"));
    struct view commit = string_of(json_object_get(root, "sha"));
    struct hub_info info = {0};
    bool ok = false;

    if (root == NULL)
        return false;
    if (!hub_is_id(id)) {
        (void)problem_set(problem, "the hub says of a repository that its id is ");
        problem_quote(problem, id);
        buf_append_text(problem, ", which cannot be");
    } else if (!hub_is_commit(commit)) {
        (void)problem_set(problem, "the hub says that the sha of %.*s is ", (int)id.length,
                          id.data);
        problem_quote(problem, commit);
        buf_append_text(problem, ", which is not a commit of 40 hex digits");
    } else {
        (void)view_copy(id, info.id, sizeof(info.id));
        (void)view_copy(commit, info.commit, sizeof(info.commit));
        read_license(root, info.license);
        info.gate = gate_of(member(root, "gated"));
        info.is_private = json_is_true(json_object_get(root, "private"));
        info.is_disabled = json_is_true(json_object_get(root, "disabled"));
        *ret_info = info;
        ok = true;
    }
    json_decref(root);
    return ok;
}

/* ---- files ---- */

/* Reads a size. Gives what is wrong with it, or NULL. */
static const char *read_size(const json_t *size, uint64_t *ret_size)
{
    if (!json_is_integer(size))
        return "has a size that is not a whole number";
    if (json_integer_value(size) < 0)
        return "has a size below 0";
    *ret_size = (uint64_t)json_integer_value(size);
    return NULL;
}

/* The size may stand beside `lfs`, or within it, as may the sha256, by one name in a tree and by
 * another in an info (models.md 4.1); the oid beside it is of the pointer. */
static const char *read_lfs(const json_t *entry, const json_t *lfs, struct hub_file *file)
{
    const json_t *outer = member(entry, "size"), *size = member(lfs, "size");
    const json_t *sha256 = member(lfs, "oid");
    uint64_t other = 0;

    if (!json_is_object(lfs))
        return "has an `lfs` that is not an object";
    if (size == NULL && outer == NULL)
        return "has no size";
    const char *fault = read_size(size != NULL ? size : outer, &file->size);
    if (fault == NULL && size != NULL && outer != NULL)
        fault = read_size(outer, &other);
    if (fault == NULL && size != NULL && outer != NULL && other != file->size)
        fault = "has two sizes, one in its `lfs` and another beside it";
    if (sha256 == NULL)
        sha256 = member(lfs, "sha256");
    file->is_lfs = true;
    if (fault == NULL && !read_hex(string_of(sha256), file->sha256, sizeof(file->sha256)))
        fault = "has no LFS oid of 64 hex digits";
    return fault;
}

/* Reads a file but for its path. Gives what is wrong with it, to be put behind its path, or NULL.
 */
static const char *read_content(const json_t *entry, struct hub_file *file)
{
    const json_t *lfs = member(entry, "lfs"), *size = member(entry, "size");

    if (lfs != NULL)
        return read_lfs(entry, lfs, file);
    const char *fault = size == NULL ? "has no size" : read_size(size, &file->size);
    if (fault == NULL && !read_hex(string_of(member(entry, "oid")), file->git_oid, 20))
        fault = "has no oid of 40 hex digits";
    return fault;
}

static void add_file(struct hub_files *files, const struct hub_file *file, struct view path)
{
    if (files->count == files->capacity) {
        files->capacity = files->capacity == 0 ? 64 : 2 * files->capacity;
        files->files = check_realloc(files->files, files->capacity * sizeof(*files->files));
    }
    files->files[files->count] = *file;
    files->files[files->count++].path = view_dup(path);
    files->path_bytes += path.length;
}

/* Reads one entry of a tree; false with a sentence. */
static bool read_entry(const json_t *entry, struct hub_files *files, struct buf *problem)
{
    struct view type = string_of(member(entry, "type")), path = string_of(member(entry, "path"));
    struct hub_file file = {0};
    const char *fault = NULL;

    if (type.length == 0)
        fault = "has no type";
    else if (!view_equal(type, VIEW("file")))
        return true;
    else if (path.length == 0)
        fault = "has no path";
    else if (path.length > HUB_PATH_MAX)
        fault = "is longer than 2048 bytes";
    else if (files->count == HUB_FILES_MAX || files->path_bytes + path.length > HUB_PATHS_MAX)
        fault = "is one too many: the repository has more than 300000 files, or 32 MiB of paths";
    else
        fault = read_content(entry, &file);
    if (fault != NULL) {
        (void)problem_set(problem, "the hub's list of files cannot be used: ");
        if (path.length > 0)
            problem_quote(problem, path);
        else
            buf_append_text(problem, "an entry");
        buf_printf(problem, " %s", fault);
        return false;
    }
    add_file(files, &file, path);
    return true;
}

static void truncate_files(struct hub_files *files, size_t count)
{
    while (files->count > count) {
        char *path = files->files[--files->count].path;
        files->path_bytes -= strlen(path);
        free(path);
    }
}

bool hub_read_files(struct view json, struct hub_files *files, struct buf *problem)
{
    json_t *root = load(json, &list_limits, "list of files", problem);
    size_t before = files->count;
    bool ok = json_is_array(root);

    if (root == NULL)
        return false;
    if (!ok)
        (void)problem_set(problem, "the hub's list of files is not a JSON array");
    for (size_t i = 0; ok && i < json_array_size(root); i++)
        ok = read_entry(json_array_get(root, i), files, problem);
    if (!ok)
        truncate_files(files, before);
    json_decref(root);
    return ok;
}

void hub_files_release(struct hub_files *files)
{
    truncate_files(files, 0);
    free(files->files);
    *files = (struct hub_files){0};
}

void hub_git_oid(const void *data, size_t length, uint8_t ret_oid[20])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char head[32];
    int head_length = snprintf(head, sizeof(head), "blob %zu", length) + 1; /* and its NUL */

    CHECK(context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1);
    CHECK(EVP_DigestUpdate(context, head, (size_t)head_length) == 1);
    CHECK(EVP_DigestUpdate(context, data, length) == 1);
    CHECK(EVP_DigestFinal_ex(context, ret_oid, NULL) == 1);
    EVP_MD_CTX_free(context);
}
