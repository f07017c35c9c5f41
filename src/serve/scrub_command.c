#include "serve/scrub_command.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stats.h"
#include "cache/scrub.h"
#include "cache/store.h"
#include "io/loop.h"
#include "serve/admin_client.h"
#include "serve/command.h"
#include "serve/scrub_report.h"

enum {
    POLL_MS = 200,
    PROGRESS_MS = 200,
    ANSWER_MAX = 1 << 20,
};

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

/* GETs or POSTs /scrub; false, with a problem, when that gave no report. */
static bool ask(struct admin_client *client, const char *method, struct scrub_report *ret_report,
                struct buf *problem)
{
    char directory[SCRUB_DIRECTORY_SIZE];
    struct buf reason = {0};

    if (!admin_client_ask(client, method, "/scrub", VIEW(""), &reason))
        buf_printf(problem, "the mirror does not answer at %s any more (%s)", client->config->admin,
                   reason.data);
    else if (client->status != 200 ||
             !scrub_report_parse(view_of_buf(&client->answer), ret_report, directory))
        buf_printf(problem, "what answers at %s cannot scrub (status %ld)", client->config->admin,
                   client->status);
    buf_release(&reason);
    return problem->length == 0;
}

/* Until it is over. */
static bool follow(struct admin_client *client, struct scrub_report *report, struct buf *problem)
{
    if (!admin_client_shares_cache(client, problem) || !ask(client, "POST", report, problem))
        return false;
    int64_t started_ms = report->started_ms;
    while (report->running) {
        show(report);
        nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
        if (!ask(client, "GET", report, problem))
            return false;
        if (report->started_ms != started_ms) {
            buf_append_text(problem, "the mirror was started again, or scrubs once more: its log "
                                     "says what was found");
            return false;
        }
    }
    return true;
}

static bool scrub_there(const struct config *config, struct scrub_report *ret_report,
                        struct buf *ret_problem)
{
    struct admin_client client;

    bool good = admin_client_open(&client, config, ANSWER_MAX, ret_problem) &&
                follow(&client, ret_report, ret_problem);
    admin_client_close(&client);
    return good;
}

/* ---- the command ---- */

static bool scrub(const struct config *config, struct scrub_report *ret_report,
                  struct buf *ret_problem)
{
    struct store store;

    if (!command_finds_cache(config, ret_problem))
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
    FILE *out = command_start(config);
    struct scrub_report report = {0};
    struct buf problem = {0};
    int code = SCRUB_EXIT_SOUND;

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
