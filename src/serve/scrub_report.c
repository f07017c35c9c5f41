#include "serve/scrub_report.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"

void scrub_directory(int directory, char out[SCRUB_DIRECTORY_SIZE])
{
    struct stat status;

    out[0] = '\0';
    if (fstat(directory, &status) == 0)
        (void)snprintf(out, SCRUB_DIRECTORY_SIZE, "%llx:%llu", (unsigned long long)status.st_dev,
                       (unsigned long long)status.st_ino);
}

/* ---- JSON ---- */

static const char *state_of(const struct scrub_report *report)
{
    if (report->running)
        return "running";
    return report->started_ms == 0 ? "never" : "over";
}

static void print_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, ", \"%s\": %llu", name, (unsigned long long)value);
}

static size_t listed(const struct scrub_report *report)
{
    return report->damaged < SCRUB_LISTED_MAX ? (size_t)report->damaged : SCRUB_LISTED_MAX;
}

void scrub_report_print(const struct scrub_report *report, const char *directory, struct buf *out)
{
    char text[DIGEST_TEXT_SIZE];

    buf_printf(out, "{\"state\": \"%s\", \"directory\": \"%s\"", state_of(report), directory);
    print_number(out, "started", (uint64_t)report->started_ms);
    buf_printf(out, ", \"seconds\": %llu.%06llu", (unsigned long long)(report->us / 1000000),
               (unsigned long long)(report->us % 1000000));
    print_number(out, "rate", report->rate);
    print_number(out, "blobs", report->blobs);
    print_number(out, "blobs_total", report->blobs_total);
    print_number(out, "bytes", report->bytes);
    print_number(out, "bytes_total", report->bytes_total);
    print_number(out, "unchecked", report->unchecked);
    print_number(out, "damaged", report->damaged);
    buf_printf(out, ", \"given_up\": %s, \"digests\": [", report->failed ? "true" : "false");
    for (size_t i = 0; i < listed(report); i++)
        buf_printf(out, "%s\"%s\"", i == 0 ? "" : ", ", digest_print(&report->list[i], text));
    buf_append_text(out, "]}\n");
}

static bool parse_digests(const json_t *array, struct scrub_report *report)
{
    size_t count = json_array_size(array);

    if (!json_is_array(array) || count != listed(report))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL || !digest_parse(view_of(text), &report->list[i]))
            return false;
    }
    return true;
}

static bool parse_members(json_t *root, struct scrub_report *report,
                          char ret_directory[SCRUB_DIRECTORY_SIZE])
{
    json_int_t started, rate, blobs, blobs_total, bytes, bytes_total, unchecked, damaged;
    const char *state, *directory;
    json_t *digests;
    double seconds;
    int failed;

    if (json_unpack(root, "{s:s, s:s, s:I, s:F, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}",
                    "state", &state, "directory", &directory, "started", &started, "seconds",
                    &seconds, "rate", &rate, "blobs", &blobs, "blobs_total", &blobs_total, "bytes",
                    &bytes, "bytes_total", &bytes_total, "unchecked", &unchecked, "damaged",
                    &damaged, "given_up", &failed, "digests", &digests) != 0 ||
        seconds < 0 || seconds > 1e12)
        return false;
    *report = (struct scrub_report){.running = strcmp(state, "running") == 0,
                                    .failed = failed != 0,
                                    .started_ms = started,
                                    .us = (uint64_t)(seconds * 1e6),
                                    .rate = (uint64_t)rate,
                                    .blobs = (uint64_t)blobs,
                                    .blobs_total = (uint64_t)blobs_total,
                                    .bytes = (uint64_t)bytes,
                                    .bytes_total = (uint64_t)bytes_total,
                                    .unchecked = (uint64_t)unchecked,
                                    .damaged = (uint64_t)damaged};
    return view_copy(view_of(directory), ret_directory, SCRUB_DIRECTORY_SIZE) &&
           parse_digests(digests, report);
}

bool scrub_report_parse(struct view json, struct scrub_report *ret_report,
                        char ret_directory[SCRUB_DIRECTORY_SIZE])
{
    json_t *root = json_loadb(json.data, json.length, 0, NULL);
    struct scrub_report report;

    bool good = root != NULL && parse_members(root, &report, ret_directory);
    json_decref(root);
    if (good)
        *ret_report = report;
    return good;
}

/* ---- for people ---- */

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void scrub_report_tell(const struct scrub_report *report, FILE *out)
{
    char text[DIGEST_TEXT_SIZE];

    for (size_t i = 0; i < listed(report); i++)
        (void)fprintf(out, "%s is damaged: taken out; it will be fetched again on demand\n",
                      digest_print(&report->list[i], text));
    if (report->damaged > listed(report))
        (void)fprintf(out, "and %llu more, which the log names\n",
                      (unsigned long long)(report->damaged - listed(report)));
    (void)fprintf(out, "%llu of %llu blob%s, %llu bytes, in %llu.%03llu s: ",
                  (unsigned long long)report->blobs, (unsigned long long)report->blobs_total,
                  plural(report->blobs_total), (unsigned long long)report->bytes,
                  (unsigned long long)(report->us / 1000000),
                  (unsigned long long)(report->us / 1000 % 1000));
    if (report->damaged == 0)
        (void)fprintf(out, "%s",
                      report->unchecked == 0 && !report->failed ? "all sound" : "no damage");
    else
        (void)fprintf(out, "%llu damaged", (unsigned long long)report->damaged);
    if (report->unchecked > 0)
        (void)fprintf(out, ", %llu could not be read now; the log says why",
                      (unsigned long long)report->unchecked);
    (void)fprintf(out, "\n");
    if (report->failed)
        (void)fprintf(out, "given up: %d blobs in a row could not be read; look after the disk\n",
                      SCRUB_UNREADABLE_MAX);
}
