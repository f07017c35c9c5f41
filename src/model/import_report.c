#include "model/import_report.h"

#include <jansson.h>
#include <string.h>

enum { VERSION = 1 };

static const char *const words[] = {
    [IMPORT_REPORT_RESOLVING] = "resolving", [IMPORT_REPORT_QUEUED] = "queued",
    [IMPORT_REPORT_LISTING] = "listing",     [IMPORT_REPORT_FILES] = "files",
    [IMPORT_REPORT_LAYERS] = "layers",       [IMPORT_REPORT_WRITING] = "writing",
    [IMPORT_REPORT_PAUSED] = "paused",       [IMPORT_REPORT_DONE] = "done",
    [IMPORT_REPORT_FAILED] = "failed",
};

const char *import_report_state_word(enum import_report_state state)
{
    return words[state];
}

void import_report_set_error(struct import_report *report, enum err err, struct view sentence)
{
    struct view general = view_of(err_sentence(err));
    char *at = report->error;
    size_t room = sizeof(report->error);

    (void)view_copy(general, at, room);
    if (sentence.length == 0 || general.length + 2 >= room)
        return;
    at += general.length;
    room -= general.length + 2;
    memcpy(at, ": ", 2);
    (void)view_copy(view_head(sentence, room - 1), at + 2, room);
}

/* ---- JSON ---- */

static void print_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\": \"", name);
    buf_append_json(out, view_of(value));
    buf_append_text(out, "\", ");
}

static void print_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "\"%s\": %llu, ", name, (unsigned long long)value);
}

void import_report_print(const struct import_report *report, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE] = "";

    if (report->state == IMPORT_REPORT_DONE)
        (void)digest_print(&report->digest, digest);
    buf_append_text(out, "{");
    print_text(out, "image", report->image);
    print_text(out, "state", words[report->state]);
    print_text(out, "id", report->id);
    print_text(out, "commit", report->commit);
    print_number(out, "started", (uint64_t)report->started_ms);
    buf_printf(out, "\"seconds\": %llu.%06llu, ", (unsigned long long)(report->us / 1000000),
               (unsigned long long)(report->us % 1000000));
    print_number(out, "bytes", report->bytes);
    print_number(out, "bytes_total", report->bytes_total);
    print_number(out, "files", report->files);
    print_number(out, "files_total", report->files_total);
    print_number(out, "layers", report->layers);
    print_number(out, "layers_total", report->layers_total);
    print_text(out, "digest", digest);
    buf_append_text(out, "\"error\": \"");
    buf_append_json(out, view_of(report->error));
    buf_append_text(out, "\"}");
}

void import_report_begin(struct buf *out)
{
    buf_printf(out, "{\"version\": %d, \"imports\": [", VERSION);
}

void import_report_end(struct buf *out)
{
    buf_append_text(out, "]}\n");
}

static bool parse_state(const char *word, enum import_report_state *ret_state)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        *ret_state = (enum import_report_state)i;
        return true;
    }
    return false;
}

static bool parse_one(json_t *object, struct import_report *ret_report)
{
    const char *image, *state, *id, *commit, *digest, *error;
    json_int_t started, bytes, bytes_total, files, files_total, layers, layers_total;
    double seconds;

    if (json_unpack(object,
                    "{s:s, s:s, s:s, s:s, s:I, s:F, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}",
                    "image", &image, "state", &state, "id", &id, "commit", &commit, "started",
                    &started, "seconds", &seconds, "bytes", &bytes, "bytes_total", &bytes_total,
                    "files", &files, "files_total", &files_total, "layers", &layers, "layers_total",
                    &layers_total, "digest", &digest, "error", &error) != 0 ||
        seconds < 0 || seconds > 1e12)
        return false;
    *ret_report = (struct import_report){.started_ms = started,
                                         .us = (uint64_t)(seconds * 1e6),
                                         .bytes = (uint64_t)bytes,
                                         .bytes_total = (uint64_t)bytes_total,
                                         .files = (uint64_t)files,
                                         .files_total = (uint64_t)files_total,
                                         .layers = (uint64_t)layers,
                                         .layers_total = (uint64_t)layers_total};
    return parse_state(state, &ret_report->state) &&
           view_copy(view_of(image), ret_report->image, sizeof(ret_report->image)) &&
           view_copy(view_of(id), ret_report->id, sizeof(ret_report->id)) &&
           view_copy(view_of(commit), ret_report->commit, sizeof(ret_report->commit)) &&
           view_copy(view_of(error), ret_report->error, sizeof(ret_report->error)) &&
           (ret_report->state != IMPORT_REPORT_DONE ||
            digest_parse(view_of(digest), &ret_report->digest));
}

bool import_report_parse(struct view json, struct import_report *ret_first, bool *ret_found)
{
    json_t *root = json_loadb(json.data, json.length, 0, NULL);
    struct import_report report = {0};
    json_int_t version = 0;
    json_t *list = NULL;

    bool good = root != NULL &&
                json_unpack(root, "{s:I, s:o}", "version", &version, "imports", &list) == 0 &&
                version == VERSION && json_is_array(list) &&
                (json_array_size(list) == 0 || parse_one(json_array_get(list, 0), &report));
    if (good) {
        *ret_found = json_array_size(list) > 0;
        *ret_first = report;
    }
    json_decref(root);
    return good;
}

/* ---- those that ended ---- */

static void drop(struct import_history *history, size_t at)
{
    history->count--;
    memmove(&history->list[at], &history->list[at + 1],
            (history->count - at) * sizeof(history->list[0]));
}

static size_t find(const struct import_history *history, const char *image)
{
    size_t at = 0;

    while (at < history->count && strcmp(history->list[at].image, image) != 0)
        at++;
    return at;
}

void import_history_add(struct import_history *history, const struct import_report *report,
                        bool was_import)
{
    size_t at = find(history, report->image);

    if (at < history->count) {
        const struct import_report *before = &history->list[at];
        if (!was_import && before->state == report->state && report->state == IMPORT_REPORT_DONE &&
            digest_equal(&before->digest, &report->digest))
            return;
        drop(history, at);
    }
    if (history->count == IMPORT_HISTORY_MAX)
        drop(history, 0);
    history->list[history->count++] = *report;
}

struct view import_history_reason(const struct import_history *history, const char *image,
                                  enum err err)
{
    size_t at = find(history, image);

    if (at == history->count || history->list[at].state != IMPORT_REPORT_FAILED)
        return VIEW("");
    struct view error = view_of(history->list[at].error), general = view_of(err_sentence(err));
    if (!view_starts_with(error, general) || error.length < general.length + 2)
        return VIEW("");
    return (struct view){error.data + general.length + 2, error.length - general.length - 2};
}
