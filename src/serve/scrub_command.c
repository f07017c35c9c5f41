#include "serve/scrub_command.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stats.h"
#include "cache/scrub.h"
#include "cache/store.h"
#include "io/loop.h"
#include "serve/scrub_report.h"

enum {
    POLL_MS = 200,
    PROGRESS_MS = 200,
    CONNECT_TIMEOUT_MS = 5000,
    ANSWER_TIMEOUT_MS = 30000,
    ANSWER_MAX = 1 << 20,
};

/* Log lines go where standard output leads: to standard error from now on. */
static FILE *take_output(void)
{
    int out = dup(STDOUT_FILENO);

    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    return out < 0 ? NULL : fdopen(out, "w");
}

static int failed(const struct buf *problem)
{
    (void)fprintf(stderr, "entrepot: %s\n", problem->data);
    return SCRUB_EXIT_FAILED;
}

/* ---- progress ---- */

static void show(const struct scrub_report *report)
{
    static uint64_t shown_ms;
    uint64_t now = clock_monotonic_us() / 1000;

    if (isatty(STDERR_FILENO) == 0 || now < shown_ms + PROGRESS_MS)
        return;
    shown_ms = now;
    (void)fprintf(stderr, "\r%llu of %llu blobs, %llu of %llu MiB, %llu damaged ",
                  (unsigned long long)report->blobs, (unsigned long long)report->blobs_total,
                  (unsigned long long)(report->bytes >> 20),
                  (unsigned long long)(report->bytes_total >> 20),
                  (unsigned long long)report->damaged);
}

static void clear(void)
{
    if (isatty(STDERR_FILENO) != 0)
        (void)fputs("\r\033[K", stderr);
}

/* ---- no mirror uses it ---- */

static bool on_piece(void *argument, uint64_t length)
{
    struct scrub_report *report = argument;

    report->bytes += length;
    show(report);
    return true;
}

static void scrub_here(struct store *store, struct scrub_report *report)
{
    uint64_t began_us = clock_monotonic_us();
    struct scrub_check check;
    struct scrub_list list;
    bool go_on = true;

    scrub_list_make(&list, store, INT64_MAX);
    *report = (struct scrub_report){
        .started_ms = clock_wall_ms(), .blobs_total = list.count, .bytes_total = list.bytes};
    for (size_t i = 0; i < list.count && go_on; i++) {
        if (scrub_begin(&check, store, &list.items[i].digest))
            scrub_hash(&check, on_piece, report);
        go_on = scrub_count(report, &list.items[i], &check, scrub_end(&check));
        show(report);
    }
    report->us = clock_monotonic_us() - began_us;
    scrub_list_release(&list);
}

/* ---- a mirror uses it ---- */

struct mirror {
    const char *cache; /* borrowed */
    CURL *curl;        /* owned */
    struct buf url;    /* owned */
    struct buf answer; /* owned */
    struct buf *problem;
    char directory[SCRUB_DIRECTORY_SIZE]; /* ours */
};

static size_t on_answer(char *data, size_t one, size_t length, void *argument)
{
    struct mirror *mirror = argument;

    (void)one;
    if (mirror->answer.length + length > ANSWER_MAX)
        return 0;
    buf_append(&mirror->answer, data, length);
    return length;
}

/* GETs or POSTs /scrub; false, with a problem, when that gave no report of this cache. */
static bool ask(struct mirror *mirror, bool post, struct scrub_report *ret_report)
{
    char directory[SCRUB_DIRECTORY_SIZE] = "";
    long status = 0;

    buf_clear(&mirror->answer);
    (void)curl_easy_setopt(mirror->curl, post ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
    if (post)
        (void)curl_easy_setopt(mirror->curl, CURLOPT_POSTFIELDS, "");
    CURLcode code = curl_easy_perform(mirror->curl);
    (void)curl_easy_getinfo(mirror->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        buf_printf(mirror->problem,
                   "%s is in use by another Entrepot, which does not answer at %s (%s); give its "
                   "admin address (--admin or --config)",
                   mirror->cache, mirror->url.data, curl_easy_strerror(code));
    else if (status != 200 ||
             !scrub_report_parse(view_of_buf(&mirror->answer), ret_report, directory))
        buf_printf(mirror->problem,
                   "what answers at %s is no Entrepot that can scrub (status %ld); give the admin "
                   "address of the one that uses %s (--admin or --config)",
                   mirror->url.data, status, mirror->cache);
    else if (strcmp(directory, mirror->directory) != 0)
        buf_printf(mirror->problem,
                   "the Entrepot that answers at %s uses another cache than %s; give the admin "
                   "address of the one that does (--admin or --config)",
                   mirror->url.data, mirror->cache);
    return mirror->problem->length == 0;
}

/* Until it is over. */
static bool follow(struct mirror *mirror, struct scrub_report *report)
{
    if (!ask(mirror, false, report) || !ask(mirror, true, report))
        return false;
    int64_t started_ms = report->started_ms;
    while (report->running) {
        show(report);
        nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
        if (!ask(mirror, false, report))
            return false;
        if (report->started_ms != started_ms) {
            buf_append_text(mirror->problem, "the mirror was started again, or scrubs once more: "
                                             "its log says what was found");
            return false;
        }
    }
    return true;
}

static bool scrub_there(const struct config *config, struct scrub_report *ret_report,
                        struct buf *ret_problem)
{
    struct mirror mirror = {.cache = config->cache, .problem = ret_problem};
    int directory = open(config->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = false;

    scrub_directory(directory, mirror.directory);
    if (directory >= 0)
        close(directory);
    buf_printf(&mirror.url, "http://%s/scrub", config->admin);
    mirror.curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (mirror.curl == NULL) {
        buf_append_text(ret_problem, "libcurl cannot be used");
    } else {
        (void)curl_easy_setopt(mirror.curl, CURLOPT_URL, mirror.url.data);
        (void)curl_easy_setopt(mirror.curl, CURLOPT_NOPROXY, "*");
        (void)curl_easy_setopt(mirror.curl, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(mirror.curl, CURLOPT_PROTOCOLS_STR, "http");
        (void)curl_easy_setopt(mirror.curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
        (void)curl_easy_setopt(mirror.curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS);
        (void)curl_easy_setopt(mirror.curl, CURLOPT_WRITEFUNCTION, on_answer);
        (void)curl_easy_setopt(mirror.curl, CURLOPT_WRITEDATA, &mirror);
        good = follow(&mirror, ret_report);
    }
    curl_easy_cleanup(mirror.curl);
    curl_global_cleanup();
    buf_release(&mirror.url);
    buf_release(&mirror.answer);
    return good;
}

/* ---- the command ---- */

/* Makes no cache where there is none. */
static bool is_cache(const char *path, struct buf *ret_problem)
{
    struct buf format = {0};

    buf_printf(&format, "%s/format", path);
    bool is = access(format.data, F_OK) == 0;
    buf_release(&format);
    if (!is)
        buf_printf(ret_problem,
                   "there is no cache in %s; give the folder that the mirror uses (--cache or "
                   "--config)",
                   path);
    return is;
}

static bool scrub(const struct config *config, struct scrub_report *ret_report,
                  struct buf *ret_problem)
{
    struct store store;

    if (!is_cache(config->cache, ret_problem))
        return false;
    enum err err = store_open(&store, config, ret_problem);
    if (err == ERR_CACHE_IN_USE) {
        buf_clear(ret_problem);
        return scrub_there(config, ret_report, ret_problem);
    }
    if (err != OK)
        return false;
    scrub_here(&store, ret_report);
    store_close(&store);
    return true;
}

int scrub_command(const struct config *config)
{
    enum config_log_level level = (enum config_log_level)config->log_level;
    FILE *out = take_output();
    struct scrub_report report = {0};
    struct buf problem = {0};
    int code = SCRUB_EXIT_SOUND;

    log_start(level < CONFIG_LOG_WARN ? level : CONFIG_LOG_WARN, /* the report says the rest */
              (enum config_log_format)config->log_format);
    bool done = scrub(config, &report, &problem);
    log_stop();
    clear();
    if (!done)
        code = failed(&problem);
    else if (report.damaged > 0)
        code = SCRUB_EXIT_DAMAGED;
    else if (report.unchecked > 0 || report.failed)
        code = SCRUB_EXIT_FAILED;
    if (done && out != NULL)
        scrub_report_tell(&report, out);
    if (out == NULL || fclose(out) != 0)
        code = code == SCRUB_EXIT_SOUND ? SCRUB_EXIT_FAILED : code;
    buf_release(&problem);
    return code;
}
