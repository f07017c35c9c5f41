#include "wire/hub_refusal.h"

#include "wire/bounded_json.h"
#include "wire/http.h"

/* ---- what it means ---- */

/* The first row that fits counts; what is said has the repository's name in the middle. */
static const struct refusal {
    unsigned status; /* 0: any */
    enum err err;
    const char *code, *message; /* NULL: any */
    const char *before, *after;
} refusals[] = {
    {0, ERR_UPSTREAM_REFUSED, "GatedRepo", NULL, "the hub says that access to ",
     " is restricted: ask for access on its page, and give Entrepot a token that has it "
     "(password_file)"},
    {0, ERR_UPSTREAM_REFUSED, NULL, "Access to this resource is disabled.", "the hub has disabled ",
     ": nobody can fetch it"},
    {0, ERR_NAME_UNKNOWN, "RepoNotFound", NULL, "the hub knows no repository ",
     ", or hides it: check its name; if it is private, give Entrepot a token that may read it "
     "(password_file)"},
    {0, ERR_MANIFEST_UNKNOWN, "RevisionNotFound", NULL, "the hub knows no such revision of ",
     ": as a tag, write one of its branches or tags, with -- for a slash, or a whole commit"},
    {0, ERR_BLOB_UNKNOWN, "EntryNotFound", NULL, "the hub has no such file in ",
     " at this revision"},
    {401, ERR_UPSTREAM_REFUSED, NULL, NULL, "the hub does not let Entrepot read ",
     ": check its name, and the token that Entrepot has (password_file)"},
    {403, ERR_UPSTREAM_REFUSED, NULL, NULL, "the hub forbids to read ",
     ": give Entrepot a token that may (password_file)"},
    {404, ERR_NAME_UNKNOWN, NULL, NULL, "the hub does not find what was asked of ",
     ": check its name"},
    {410, ERR_NAME_UNKNOWN, NULL, NULL, "the hub no longer has ", ""},
};

static bool fits(const char *wanted, struct view text)
{
    return wanted == NULL || view_equal(view_of(wanted), text);
}

/* The row for it, or NULL. What a server error or a limit says besides is not to be believed. */
static const struct refusal *find_refusal(unsigned status, struct view code, struct view message)
{
    if (status < 400 || status >= 500)
        return NULL;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *row = &refusals[i];
        if ((row->status == 0 || row->status == status) && fits(row->code, code) &&
            fits(row->message, message))
            return row;
    }
    return NULL;
}

/* Appends at most HUB_REFUSAL_WORDS_MAX bytes of what a peer sent, such as can stand in any text.
 */
static void put_words(struct buf *sentence, struct view words)
{
    for (size_t i = 0; i < words.length && i < HUB_REFUSAL_WORDS_MAX; i++) {
        char c = words.data[i];
        if (c == '"')
            c = '\'';
        buf_append(sentence, c < ' ' || c > '~' || c == '\\' ? "?" : &c, 1);
    }
    if (words.length > HUB_REFUSAL_WORDS_MAX)
        buf_append_text(sentence, "...");
}

enum err hub_refusal_read(unsigned status, struct view code, struct view message,
                          struct view repository, struct buf *sentence)
{
    message = view_trim(message);
    const struct refusal *row = find_refusal(status, view_trim(code), message);
    enum err err = ERR_UPSTREAM_NONSENSE;

    buf_clear(sentence);
    if (status == 429) {
        buf_append_text(sentence, "the hub limits the rate of requests: try again later; with a "
                                  "token (password_file) it allows more");
        err = ERR_UPSTREAM_LIMITED;
    } else if (status == 408 || status >= 500) {
        buf_printf(sentence, "the hub answered with status %u: try again later", status);
        err = ERR_UPSTREAM_FAILED;
    } else if (row != NULL) {
        buf_append_text(sentence, row->before);
        put_words(sentence, repository);
        buf_append_text(sentence, row->after);
        err = row->err;
    } else {
        buf_printf(sentence, "the hub answered with status %u, which makes no sense here", status);
    }
    if (message.length > 0) {
        buf_append_text(sentence, "; the hub's own words: ");
        put_words(sentence, message);
    }
    return err;
}

void hub_refusal_of_storage(unsigned status, struct view message, struct buf *sentence)
{
    message = view_trim(message);
    buf_clear(sentence);
    buf_printf(sentence, "the storage that the hub has sent us to answered with status %u", status);
    if (message.length > 0) {
        buf_append_text(sentence, "; its own words: ");
        put_words(sentence, message);
    }
}

bool hub_refusal_words(struct view body, struct buf *words)
{
    static const struct bounded_json_limits limits = {.containers = 100, .values = 1000};
    json_t *root = NULL;

    if (body.length <= HUB_REFUSAL_BODY_MAX)
        root = bounded_json_load(body, &limits, NULL);
    const json_t *error = json_object_get(root, "error");
    bool is_found = json_string_length(error) > 0;
    if (is_found)
        buf_append(words, json_string_value(error), json_string_length(error));
    json_decref(root);
    return is_found;
}

/* ---- how long to wait ---- */

/* Takes `prefix` off the front; false, leaving all as it is, when it is not there. */
static bool take(struct view *rest, struct view prefix)
{
    if (!view_starts_with(*rest, prefix))
        return false;
    *rest = (struct view){rest->data + prefix.length, rest->length - prefix.length};
    return true;
}

static void skip_blanks(struct view *rest)
{
    while (take(rest, VIEW(" ")) || take(rest, VIEW("\t")))
        ;
}

struct limit {
    bool has_remaining, has_reset;
    uint64_t remaining, reset; /* requests, seconds */
};

/*
 * Takes one item of a list off the front: a name and `;key=value` behind it, in any order. False
 * when it is malformed. draft-ietf-httpapi-ratelimit-headers 9, 4.
 */
static bool take_limit(struct view *rest, struct limit *ret_limit)
{
    struct limit limit = {0};
    struct view key, value;

    skip_blanks(rest);
    if (!http_take_value(rest, &value))
        return false;
    for (skip_blanks(rest); take(rest, VIEW(";")); skip_blanks(rest)) {
        skip_blanks(rest);
        key = http_take_token(rest);
        skip_blanks(rest);
        if (!take(rest, VIEW("=")))
            continue;
        skip_blanks(rest);
        if (!http_take_value(rest, &value))
            return false;
        if (view_equal(key, VIEW("r")))
            limit.has_remaining = view_to_uint64(value, &limit.remaining);
        else if (view_equal(key, VIEW("t")))
            limit.has_reset = view_to_uint64(value, &limit.reset);
    }
    *ret_limit = limit;
    return rest->length == 0 || take(rest, VIEW(","));
}

uint64_t hub_refusal_wait(struct view rate_limit, struct view retry_after, int64_t now,
                          uint64_t otherwise)
{
    struct limit limit;
    uint64_t longest = 0;
    bool is_known = false;

    while (rate_limit.length > 0 && take_limit(&rate_limit, &limit)) {
        if (!limit.has_remaining || !limit.has_reset || limit.remaining > 0)
            continue;
        is_known = true;
        if (limit.reset > longest)
            longest = limit.reset;
    }
    if (!is_known)
        return http_retry_after(retry_after, now, otherwise);
    return longest < HUB_REFUSAL_WAIT_MAX ? longest : HUB_REFUSAL_WAIT_MAX;
}
