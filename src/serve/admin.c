#include "serve/admin.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/disk.h"
#include "model/numbers_file.h"
#include "model/numbers_index.h"
#include "serve/exchange.h"
#include "serve/scrub_report.h"
#include "wire/hub_image.h"

enum { IMAGE_BODY_MAX = 4096 };

struct visit {
    struct conn conn;
    struct admin *admin;
    struct exchange exchange;
    struct flight_caller caller; /* of a report */
    struct hub_image image;
    bool has_image;
    bool has_body; /* the admin's has_body is ours */
    struct buf body;
    struct disk_job job; /* reads or writes numbers */
    struct buf detail;   /* what it says: of an error a sentence, */
    enum err err;
    struct buf result; /* or else the answer */
    bool is_working;   /* the job: it needs us */
    bool is_gone;      /* nobody wants the answer any more, */
    bool is_closed;    /* and the conn is no more */
};

static void on_done(struct exchange *exchange)
{
    exchange_release(exchange);
}

static void answer(struct visit *visit, int status, const char *media_type)
{
    exchange_head(&visit->exchange, status, visit->exchange.body.length, media_type);
    exchange_field(&visit->exchange, "Cache-Control", "no-store");
    exchange_send(&visit->exchange);
}

static void answer_scrub(struct visit *visit)
{
    struct scrubber *scrubber = visit->admin->scrubber;
    char directory[SCRUB_DIRECTORY_SIZE];
    struct scrub_report report;

    if (visit->exchange.method == HTTP_METHOD_POST)
        scrubber_ask(scrubber);
    scrubber_report(scrubber, &report);
    scrub_directory(scrubber->store->directory, directory);
    scrub_report_print(&report, directory, &visit->exchange.body);
    answer(visit, 200, "application/json");
}

/* ---- models ---- */

/* Notes the image of that name; NULL: none was given. False: the answer has begun. */
static bool set_image(struct visit *visit, const char *name, bool is_needed, struct buf *problem)
{
    const struct config *config = visit->admin->scrubber->store->config;

    if (name != NULL)
        visit->has_image = hub_image_parse(config, view_of(name), &visit->image, problem);
    else if (is_needed && problem->length == 0)
        buf_append_text(problem, "say which: ?image=hf/org/model:tag");
    bool good = problem->length == 0;
    if (!good)
        exchange_fail(&visit->exchange, ERR_NAME_INVALID, problem->data, 0);
    buf_release(problem);
    return good;
}

/* Reads ?image=; false: the answer has begun. */
static bool take_image(struct visit *visit, struct view query, bool is_needed)
{
    char name[HUB_IMAGE_SIZE];
    struct buf problem = {0};

    bool is_given = hub_image_in_query(query, name, &problem);
    return set_image(visit, is_given ? name : NULL, is_needed, &problem);
}

static void on_report(struct mail *mail)
{
    struct visit *visit = container_of(mail, struct visit, caller.mail);
    struct flight_answer *report = &visit->caller.answer;

    buf_append_view(&visit->exchange.body, view_of_buf(&report->bytes->data));
    report->bytes = bytes_unref(report->bytes);
    answer(visit, 200, "application/json");
}

static void report_imports(struct visit *visit)
{
    struct importer *importer = visit->admin->importer;
    struct store *store = visit->admin->scrubber->store;
    const struct hub_image *image = &visit->image;
    char name[HUB_IMAGE_SIZE];

    if (visit->has_image && image->by_digest) {
        exchange_fail(&visit->exchange, ERR_NAME_INVALID,
                      "imports are by tag, branch or commit: a hub knows no digests", 0);
        return;
    }
    if (visit->exchange.method == HTTP_METHOD_POST)
        importer_want(importer, &store->upstreams.list[image->upstream], image->repository,
                      image->tag);
    visit->caller.loop = visit->admin->listener.group.loop;
    visit->caller.mail.deliver = on_report;
    importer_report(importer, visit->has_image ? hub_image_print(store->config, image, name) : NULL,
                    &visit->caller);
}

static void on_image_body(struct conn *conn, struct buf *body)
{
    struct visit *visit = container_of(conn, struct visit, conn);
    char name[HUB_IMAGE_SIZE];
    struct buf problem = {0};

    bool is_given = hub_image_in_body(view_of_buf(body), name, &problem);
    if (set_image(visit, is_given ? name : NULL, true, &problem))
        report_imports(visit);
}

/* The length of the body that has been announced; 0: none that is taken. */
static size_t body_length(const struct http_request *request, size_t limit)
{
    uint64_t length;

    if (!request->has_body ||
        !view_to_uint64(http_field(request, VIEW("Content-Length")), &length) || length > limit)
        return 0;
    return (size_t)length;
}

static void answer_imports(struct visit *visit, const struct http_request *request,
                           struct view query)
{
    bool is_post = visit->exchange.method == HTTP_METHOD_POST;
    size_t length = body_length(request, IMAGE_BODY_MAX);
    struct view value;

    if (!is_post || !request->has_body || http_query_value(query, VIEW("image"), &value)) {
        if (take_image(visit, query, is_post))
            report_imports(visit);
    } else if (length == 0) {
        exchange_fail(&visit->exchange, ERR_BODY_UNFIT,
                      "here of up to 4 KiB: image=hf/org/model:tag, or JSON", 0);
    } else {
        conn_read_body(&visit->conn, length, on_image_body);
    }
}

static void visit_free(struct visit *visit)
{
    if (visit->has_body)
        visit->admin->has_body = false;
    buf_release(&visit->body);
    buf_release(&visit->detail);
    buf_release(&visit->result);
    free(visit);
}

/* The pool is done with the numbers. */
static void on_numbers(struct disk_job *job)
{
    struct visit *visit = container_of(job, struct visit, job);

    visit->is_working = false;
    if (visit->is_closed) {
        visit_free(visit);
    } else if (!visit->is_gone && visit->err != OK) {
        exchange_fail(&visit->exchange, visit->err,
                      visit->detail.length > 0 ? visit->detail.data : "", 0);
    } else if (!visit->is_gone) {
        visit->exchange.body = visit->result;
        visit->result = (struct buf){0};
        answer(visit, 200, "application/json");
    }
}

static void work(struct visit *visit, void (*on_work)(struct disk_job *job))
{
    visit->is_working = true;
    visit->job.work = on_work;
    visit->job.done = on_numbers;
    disk_run(&visit->job, visit->admin->listener.group.loop);
}

static void on_export_work(struct disk_job *job)
{
    struct visit *visit = container_of(job, struct visit, job);

    visit->err = numbers_index_export(visit->admin->scrubber->store, &visit->image, &visit->result,
                                      &visit->detail);
}

static void on_import_work(struct disk_job *job)
{
    struct visit *visit = container_of(job, struct visit, job);
    struct store *store = visit->admin->scrubber->store;
    struct numbers_taken taken;

    visit->err =
        numbers_index_import(store, view_of_buf(&visit->body),
                             visit->has_image ? &visit->image : NULL, &taken, &visit->detail);
    if (visit->err == OK)
        numbers_taken_print(store->config, &taken, &visit->result);
}

static void on_body(struct conn *conn, struct buf *body)
{
    struct visit *visit = container_of(conn, struct visit, conn);

    visit->body = *body;
    *body = (struct buf){0};
    work(visit, on_import_work);
}

static void answer_numbers(struct visit *visit, const struct http_request *request,
                           struct view query)
{
    bool is_post = request->method == HTTP_METHOD_POST;
    size_t length = body_length(request, NUMBERS_FILE_MAX);

    if (!take_image(visit, query, !is_post))
        return;
    if (!is_post) {
        work(visit, on_export_work);
    } else if (length == 0) {
        exchange_fail(&visit->exchange, ERR_BODY_UNFIT, "", 0);
    } else if (visit->admin->has_body) {
        exchange_fail(&visit->exchange, ERR_BUSY, "another file is being taken over", 1);
    } else {
        visit->admin->has_body = visit->has_body = true;
        conn_read_body(&visit->conn, length, on_body);
    }
}

/* ---- requests ---- */

static bool takes_post(struct view path)
{
    return view_equal(path, VIEW("/scrub")) || view_equal(path, VIEW("/imports")) ||
           view_equal(path, VIEW("/numbers"));
}

static void on_request(struct conn *conn, const struct http_request *request)
{
    struct visit *visit = container_of(conn, struct visit, conn);
    struct exchange *exchange = &visit->exchange;
    struct view query = request->target;
    struct view path = view_cut(&query, '?');

    exchange_begin(exchange, conn, request, on_done);
    exchange->kind = STATS_ADMIN;
    exchange->quiet = true;
    exchange->takes_post = takes_post(path);
    visit->has_image = visit->is_gone = false;
    buf_clear(&visit->detail);
    buf_clear(&visit->result);
    if (request->method == HTTP_METHOD_OTHER ||
        (request->method == HTTP_METHOD_POST && !exchange->takes_post)) {
        exchange_fail(exchange, ERR_METHOD_UNSUPPORTED, "", 0);
    } else if (request->method == HTTP_METHOD_POST &&
               http_field_count(request, VIEW("Origin")) > 0) {
        exchange_fail(exchange, ERR_PAGE_REFUSED, "", 0);
    } else if (view_equal(path, VIEW("/healthz"))) {
        buf_append_text(&exchange->body, "ok\n");
        answer(visit, 200, "text/plain");
    } else if (view_equal(path, VIEW("/readyz"))) {
        buf_append_text(&exchange->body, visit->admin->stopping ? "stopping\n" : "ready\n");
        answer(visit, visit->admin->stopping ? 503 : 200, "text/plain");
    } else if (view_equal(path, VIEW("/metrics"))) {
        stats_set(STAT_LOG_DROPPED, AT_ALL, log_dropped());
        stats_render(&exchange->body);
        answer(visit, 200, "text/plain; version=0.0.4; charset=utf-8");
    } else if (view_equal(path, VIEW("/scrub"))) {
        answer_scrub(visit);
    } else if (view_equal(path, VIEW("/imports"))) {
        answer_imports(visit, request, query);
    } else if (view_equal(path, VIEW("/numbers"))) {
        answer_numbers(visit, request, query);
    } else {
        exchange_fail(exchange, ERR_ADMIN_ROUTE_UNKNOWN, "", 0);
    }
}

static void on_refused(struct conn *conn, enum err err, const char *detail)
{
    struct visit *visit = container_of(conn, struct visit, conn);

    exchange_begin(&visit->exchange, conn, NULL, on_done);
    visit->exchange.kind = STATS_ADMIN;
    exchange_fail(&visit->exchange, err, detail, 0);
}

static void on_writable(struct conn *conn)
{
    reply_on_writable(&container_of(conn, struct visit, conn)->exchange.reply);
}

static void on_gone(struct conn *conn)
{
    struct visit *visit = container_of(conn, struct visit, conn);

    visit->is_gone = true;
    if (visit->caller.loop != NULL)
        flight_leave(&visit->admin->scrubber->store->flights, &visit->caller);
    exchange_gone(&visit->exchange);
}

static void on_closed(struct conn *conn)
{
    struct visit *visit = container_of(conn, struct visit, conn);

    visit->is_closed = true;
    if (!visit->is_working)
        visit_free(visit);
}

static struct conn *on_accept(struct conn_group *group)
{
    struct visit *visit = check_calloc(1, sizeof(*visit));
    struct listener *listener = container_of(group, struct listener, group);

    visit->admin = container_of(listener, struct admin, listener);
    return &visit->conn;
}

void admin_init(struct admin *admin, struct loop *loop, int fd, struct scrubber *scrubber,
                struct importer *importer)
{
    /* Nothing that is awaited takes long, so nothing is overdue. */
    static const struct conn_events events = {on_accept, on_request, on_refused, on_writable,
                                              on_gone,   on_gone,    on_closed};

    admin->stopping = false;
    admin->scrubber = scrubber;
    admin->importer = importer;
    admin->has_body = false;
    listener_init(&admin->listener, loop, fd, scrubber->store->config, &events, false);
}

static void on_drained(struct listener *listener)
{
    (void)listener; /* the loop ends when nothing else is left on it */
}

void admin_stop(struct admin *admin)
{
    listener_drain(&admin->listener, on_drained);
    listener_cut(&admin->listener);
}
