#include "serve/import_command.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "io/loop.h"
#include "model/import_report.h"
#include "serve/admin_client.h"
#include "serve/command.h"
#include "wire/http.h"
#include "wire/hub_image.h"

enum {
    POLL_MS = 200,
    LINE_MS = 10000, /* between two lines where there is no terminal */
    ANSWER_MAX = 1 << 20,
    BAR = 30, /* characters */
};

static int failed(enum import_report_state state, const char *image, const char *why, int code)
{
    if (state == IMPORT_REPORT_FAILED)
        (void)fprintf(stderr, "entrepot: %s cannot be imported: %s\n", image, why);
    else
        (void)fprintf(stderr, "entrepot: %s\n", why);
    return code;
}

/* ---- asking ---- */

/* GETs or POSTs /imports; false, with a problem, when that gave no report of the image. `*ret_code`
 * is the exit code then. */
static bool ask(struct admin_client *client, const char *method, const char *image,
                struct import_report *ret_report, struct buf *problem, int *ret_code)
{
    struct buf target = {0}, reason = {0};
    bool is_found = false;

    *ret_code = IMPORT_EXIT_UNASKED;
    buf_append_text(&target, "/imports?image=");
    http_percent_encode(&target, view_of(image));
    if (!admin_client_ask(client, method, target.data, VIEW(""), &reason)) {
        buf_printf(problem,
                   "no mirror answers at %s (%s); start one with `entrepot serve`, or give the "
                   "admin address of the one that runs (--admin or --config)",
                   client->config->admin, reason.data);
    } else if (client->status == 400 && admin_client_read_error(client, problem)) {
        *ret_code = IMPORT_EXIT_USAGE;
    } else if (client->status != 200 ||
               !import_report_parse(view_of_buf(&client->answer), ret_report, &is_found)) {
        buf_printf(problem,
                   "what answers at %s is no Entrepot that can import (status %ld); give the admin "
                   "address of the mirror (--admin or --config)",
                   client->config->admin, client->status);
    } else if (!is_found) {
        buf_printf(problem,
                   "the mirror at %s does not know of it any more: it was started again; "
                   "ask once more",
                   client->config->admin);
    }
    buf_release(&target);
    buf_release(&reason);
    return problem->length == 0;
}

/* ---- progress ---- */

static void print_line(const struct import_report *report, struct buf *out)
{
    buf_printf(out, "%s: %s", report->image, import_report_state_word(report->state));
    if (report->bytes_total > 0 && report->state != IMPORT_REPORT_DONE)
        buf_printf(out, ", %llu of %llu MiB, %llu of %llu layers",
                   (unsigned long long)(report->bytes >> 20),
                   (unsigned long long)(report->bytes_total >> 20),
                   (unsigned long long)report->layers, (unsigned long long)report->layers_total);
    if (report->state == IMPORT_REPORT_FILES)
        buf_printf(out, ", %llu of %llu files", (unsigned long long)report->files,
                   (unsigned long long)report->files_total);
    if (report->error[0] != '\0')
        buf_printf(out, " (%s)", report->error);
}

static void show_bar(const struct import_report *report)
{
    uint64_t total = report->bytes_total > 0 ? report->bytes_total : 1;
    uint64_t bytes = report->bytes < total ? report->bytes : total;
    size_t full = (size_t)((double)bytes / (double)total * BAR);
    struct buf line = {0};

    buf_append_text(&line, "\r\033[K[");
    for (size_t i = 0; i < BAR; i++)
        buf_append_text(&line, i < full ? "=" : " ");
    buf_append_text(&line, "] ");
    print_line(report, &line);
    (void)fputs(line.data, stderr);
    buf_release(&line);
}

/* When it is worth a line: it goes on to something else, or a while has passed. */
static void show_line(const struct import_report *report)
{
    static enum import_report_state shown = IMPORT_REPORT_DONE;
    static uint64_t shown_ms;
    uint64_t now = clock_monotonic_us() / 1000;
    struct buf line = {0};

    if (report->state == shown && now < shown_ms + LINE_MS)
        return;
    shown = report->state;
    shown_ms = now;
    print_line(report, &line);
    (void)fprintf(stderr, "%s\n", line.data);
    buf_release(&line);
}

/* ---- the command ---- */

static bool is_over(const struct import_report *report)
{
    return report->state == IMPORT_REPORT_DONE || report->state == IMPORT_REPORT_FAILED;
}

static bool follow(struct admin_client *client, struct import_report *report, struct buf *problem,
                   int *ret_code)
{
    bool is_terminal = isatty(STDERR_FILENO) != 0;
    char image[IMPORT_REPORT_IMAGE_SIZE];
    bool good = true;

    memcpy(image, report->image, sizeof(image)); /* its full name, from here on */
    while (good && !is_over(report)) {
        if (is_terminal)
            show_bar(report);
        else
            show_line(report);
        nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
        good = ask(client, "GET", image, report, problem, ret_code);
    }
    if (is_terminal)
        (void)fputs("\r\033[K", stderr);
    return good;
}

/* Where clients of this machine find the mirror. */
static void print_address(const char *listen, FILE *out)
{
    struct view address = view_of(listen);

    if (view_starts_with(address, VIEW("0.0.0.0:")) || view_starts_with(address, VIEW("[::]:")))
        (void)fprintf(out, "127.0.0.1%s", strrchr(listen, ':'));
    else
        (void)fputs(listen, out);
}

static void tell_done(const struct config *config, const struct import_report *report, FILE *out)
{
    char digest[DIGEST_TEXT_SIZE];
    struct view name = view_of(report->image);

    while (name.length > 0 && name.data[name.length] != ':')
        name.length--; /* the tag's colon is the last */
    (void)fprintf(out, "%s\nCOPY --link --from=", digest_print(&report->digest, digest));
    print_address(config->listen, out);
    (void)fprintf(out, "/%.*s@%s / .\n", (int)name.length, name.data, digest);
}

static int run(const struct config *config, const char *image, bool waits, FILE *out)
{
    struct admin_client client;
    struct import_report report = {0};
    struct buf problem = {0}, line = {0};
    int code = IMPORT_EXIT_UNASKED;

    bool good = admin_client_open(&client, config, ANSWER_MAX, &problem) &&
                ask(&client, "POST", image, &report, &problem, &code) &&
                (!waits || follow(&client, &report, &problem, &code));
    if (!good) {
        (void)failed(IMPORT_REPORT_DONE, image, problem.data, code);
    } else if (report.state == IMPORT_REPORT_FAILED) {
        code = failed(report.state, report.image, report.error, IMPORT_EXIT_FAILED);
    } else if (report.state == IMPORT_REPORT_DONE) {
        code = IMPORT_EXIT_DONE;
        tell_done(config, &report, out);
    } else {
        code = IMPORT_EXIT_DONE;
        print_line(&report, &line);
        (void)fprintf(out, "%s; it goes on by itself, --wait waits for its end\n", line.data);
    }
    admin_client_close(&client);
    buf_release(&problem);
    buf_release(&line);
    return code;
}

int import_command(const struct config *config, const char *image, bool waits)
{
    FILE *out = command_start(config);
    int code = out == NULL ? IMPORT_EXIT_UNASKED : run(config, image, waits, out);

    log_stop();
    if (out != NULL && fclose(out) != 0 && code == IMPORT_EXIT_DONE)
        code = IMPORT_EXIT_UNASKED;
    return code;
}
