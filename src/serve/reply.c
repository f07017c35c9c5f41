#include "serve/reply.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/stats.h"
#include "io/disk.h"

enum {
    /* Bytes a turn, and the unit of asking whether the file is in memory. 1 MiB costs a tenth more
     * processor time a byte, on one connection and on sixteen, with cubic and with bbr. */
    WINDOW = 4 << 20,
    HOLD_BACK = 16384,  /* of a body that is not verified yet */
    GATHER_MAX = 32768, /* a blob's bytes that go out in one call with the head before them */
    /* Parts of a composite that are copied, to go out in one call: two ranges of 64 KiB, and what
     * is between them. With sendfile() for each of the ranges, and with a pipe in between, it costs
     * more processor time; with four of them, too, which leave the processor's cache. */
    GATHER = 2 * 65536 + 8192,
    GATHER_LEAST = 4096, /* no less is asked for of what is computed */
    /* What the kernel moves of a file at a time is 16 pages. A window that ends elsewhere than on
     * such a boundary makes 17 of them out of 16, for all that follows. */
    STRIDE = 65536,
    PAUSED = -3, /* parked, warming or ended: beside what conn_send() returns */
};

static void pump(struct reply *reply);

static void end(struct reply *reply, enum reply_result result, enum err err)
{
    reply->err = err;
    reply->pieces = NULL;
    reply->on_end(reply, result);
}

/* ---- warming: the pool reads what is not in memory ---- */

struct warming {
    struct disk_job job;
    struct blob *blob;   /* counted */
    struct reply *reply; /* NULL: abandoned */
    int fd;
    uint64_t offset, length;
};

static void on_warm_work(struct disk_job *job)
{
    struct warming *warming = container_of(job, struct warming, job);

    disk_warm(warming->fd, warming->offset, warming->length);
}

static void on_warm_done(struct disk_job *job)
{
    struct warming *warming = container_of(job, struct warming, job);
    struct reply *reply = warming->reply;

    if (reply != NULL) {
        reply->warming = NULL;
        reply->warm_blob = warming->blob;
        reply->warm_from = warming->offset;
        reply->warm_until = warming->offset + warming->length;
    }
    blob_unref(warming->blob);
    free(warming);
    if (reply != NULL)
        pump(reply);
}

static void warm(struct reply *reply, struct blob *blob, int fd, uint64_t offset, uint64_t length)
{
    struct warming *warming = check_calloc(1, sizeof(*warming));

    stats_add(STAT_COLD_READS, AT_ALL, 1);
    warming->job.work = on_warm_work;
    warming->job.done = on_warm_done;
    warming->blob = blob_ref(blob);
    warming->reply = reply;
    warming->fd = fd;
    warming->offset = offset;
    warming->length = length;
    reply->warming = warming;
    conn_want_writable(reply->conn, false);
    disk_run(&warming->job, reply->waiter.loop);
}

/* Whether `length` bytes of a blob at `offset` are in memory. If not, or if nobody has asked yet,
 * a window of at least that is looked at, and read by the pool if need be. */
static bool is_warm(struct reply *reply, struct blob *blob, int fd, uint64_t offset,
                    uint64_t length, uint64_t window)
{
    /* A blob that is another one at the same place costs no more than a read that sleeps. */
    if (blob == reply->warm_blob && offset >= reply->warm_from &&
        offset + length <= reply->warm_until)
        return true;
    if (!disk_is_warm(fd, offset, window)) {
        warm(reply, blob, fd, offset, window);
        return false;
    }
    reply->warm_blob = blob;
    reply->warm_from = offset;
    reply->warm_until = offset + window;
    return true;
}

/* ---- sending ---- */

static uint64_t length_of(const struct piece *piece)
{
    bool is_bytes = piece->blob == NULL && piece->composite == NULL;

    return is_bytes ? piece->bytes.length : piece->end - piece->start;
}

/* `taken` bytes went out: moves on, over the ends of pieces. */
static void advance(struct reply *reply, uint64_t taken)
{
    if (reply->total == 0 && taken > 0)
        reply->first_byte_us = clock_monotonic_us();
    reply->total += taken;
    while (taken > 0) {
        uint64_t left = length_of(&reply->pieces[reply->index]) - reply->sent;
        uint64_t part = taken < left ? taken : left;
        reply->sent += part;
        taken -= part;
        if (part == left) {
            reply->index++;
            reply->sent = 0;
        }
    }
}

/* Reads a range of a file if it is in memory. */
static bool read_warm(int fd, uint64_t start, uint64_t length, char *into)
{
    struct iovec part = {into, length};

    return preadv2(fd, &part, 1, (off_t)start, RWF_NOWAIT) == (ssize_t)length;
}

/* Reads a small piece that is whole and in memory; false when it is not. */
static bool read_small(const struct piece *piece, char *into)
{
    struct blob_view view = blob_look(piece->blob, piece->start, NULL);
    uint64_t length = length_of(piece);

    return length <= GATHER_MAX && view.state == BLOB_COMPLETE && view.readable >= length &&
           read_warm(view.fd, piece->start, length, into);
}

/* Sends bytes, and in the same call a small piece of a blob behind them. */
static ssize_t send_bytes(struct reply *reply)
{
    static _Thread_local char small[GATHER_MAX];
    const struct piece *piece = &reply->pieces[reply->index];
    struct iovec parts[2] = {
        {(char *)piece->bytes.data + reply->sent, piece->bytes.length - reply->sent}};
    size_t count = 1;
    bool more = reply->index + 1 < reply->count;

    if (more && piece[1].blob != NULL && read_small(&piece[1], small)) {
        parts[count++] = (struct iovec){small, length_of(&piece[1])};
        more = reply->index + 2 < reply->count;
    }
    return conn_send(reply->conn, parts, count, more);
}

/* Parked: the blob wakes us. What makes a composite sees that it does. False: ended. */
static bool wait_for(struct reply *reply, struct blob *blob, struct composite *composite)
{
    reply->parked = blob;
    conn_want_writable(reply->conn, false);
    enum err err = composite == NULL ? OK : composite->await(composite);
    if (err != OK) {
        blob_unpark(blob, &reply->waiter);
        end(reply, REPLY_CUT, err);
    }
    return err == OK;
}

/* How far a range of a blob may be sent; 0: parked, or ended. `composite` made it, or is NULL. */
static uint64_t sendable(struct reply *reply, const struct composite_part *part, bool verified_end,
                         struct composite *composite, struct blob_view *ret_view)
{
    uint64_t offset = part->start;

    reply->waiter.until = part->until;
    struct blob_view view = blob_look(part->blob, offset, &reply->waiter);
    uint64_t end_offset = offset + view.readable < part->end ? offset + view.readable : part->end;

    *ret_view = view;
    if (view.state == BLOB_FAILED && (view.readable == 0 || verified_end)) {
        end(reply, REPLY_CUT, view.err);
        return 0;
    }
    if (view.readable > 0 && verified_end && view.whole && view.state != BLOB_COMPLETE) {
        uint64_t hold = view.size > HOLD_BACK ? view.size - HOLD_BACK : 0;
        end_offset = end_offset < hold ? end_offset : hold;
        if (end_offset <= offset) {
            view = blob_look(part->blob, BLOB_OFFSET_END, &reply->waiter);
            if (view.state == BLOB_COMPLETE || view.state == BLOB_FAILED)
                return sendable(reply, part, verified_end, composite, ret_view);
            end_offset = offset;
        }
    }
    if (end_offset <= offset) {
        (void)wait_for(reply, part->blob, composite);
        return 0;
    }
    return end_offset - offset;
}

/* How much of `length` bytes at `offset` to send in what is left of the turn; 0: nothing more. */
static uint64_t window_of(uint64_t offset, uint64_t length, uint64_t budget)
{
    uint64_t end = (offset + budget) / STRIDE * STRIDE;

    if (length <= budget)
        return length;
    return end > offset ? end - offset : 0;
}

/*
 * Sends a window of a file that is in memory, as conn_send_file() does. Takes what it sent off the
 * turn's budget, or all of it when the socket took less than it was given: to ask it again at once
 * would only be told EAGAIN.
 */
static ssize_t send_window(struct reply *reply, int fd, uint64_t offset, uint64_t length,
                           uint64_t *budget)
{
    ssize_t taken = conn_send_file(reply->conn, fd, offset, length);

    *budget = taken == (ssize_t)length && length < *budget ? *budget - length : 0;
    return taken;
}

/* Sends a window of a blob. Returns as conn_send_file() does, or PAUSED. */
static ssize_t send_blob(struct reply *reply, uint64_t *budget)
{
    const struct piece *piece = &reply->pieces[reply->index];
    uint64_t offset = piece->start + reply->sent;
    struct composite_part part = {
        .blob = piece->blob, .start = offset, .end = piece->end, .until = piece->end};
    struct blob_view view;

    uint64_t length = sendable(reply, &part, piece->verified_end, NULL, &view);
    if (length == 0)
        return PAUSED;
    length = window_of(offset, length, *budget);
    if (length == 0)
        return 0;
    if (!is_warm(reply, piece->blob, view.fd, offset, length, length))
        return PAUSED;
    return send_window(reply, view.fd, offset, length, budget);
}

/* ---- composites ---- */

/* Reads a part's bytes, if they are here and in memory. */
static bool read_part(const struct composite_part *part, char *into)
{
    struct blob_view view = blob_look(part->blob, part->start, NULL);
    uint64_t length = part->end - part->start;

    return view.state != BLOB_FAILED && view.readable >= length &&
           read_warm(view.fd, part->start, length, into);
}

/* Puts what stands in the composite from `*offset` on, up to `end`, into `into`, as far as it is in
 * memory and fits. If it ends at a part that is not in memory, that is in `ret_part`. */
static size_t gather(struct composite *composite, uint64_t *offset, uint64_t end, char *into,
                     struct composite_part *ret_part)
{
    size_t length = 0;

    *ret_part = (struct composite_part){.blob = NULL};
    while (*offset < end && GATHER - length >= GATHER_LEAST) {
        uint64_t next = *offset;
        composite->next(composite, &next, end, into + length, GATHER - length, ret_part);
        uint64_t count = next - *offset;
        bool fits = count <= GATHER - length, is_bytes = ret_part->blob == NULL;
        if (!is_bytes && (!fits || !read_part(ret_part, into + length))) {
            if (!fits && length > 0)
                ret_part->blob = NULL; /* in the next turn */
            break;
        }
        ret_part->blob = NULL;
        *offset = next;
        length += count;
    }
    return length;
}

/* Sends a range of a blob that is a part of a composite. */
static ssize_t send_part(struct reply *reply, struct composite *composite,
                         const struct composite_part *part, uint64_t *budget)
{
    struct blob_view view;

    uint64_t length = sendable(reply, part, false, composite, &view);
    if (length == 0)
        return PAUSED;
    uint64_t window = view.readable < WINDOW ? view.readable : WINDOW;
    if (window > part->until - part->start)
        window = part->until - part->start;
    if (!is_warm(reply, part->blob, view.fd, part->start, length, window))
        return PAUSED;
    return send_window(reply, view.fd, part->start, length, budget);
}

/* Sends what is next of a composite: what is in memory, and else the part that is not. */
static ssize_t send_composite(struct reply *reply, uint64_t *budget)
{
    static _Thread_local char gathered[GATHER];
    const struct piece *piece = &reply->pieces[reply->index];
    uint64_t offset = piece->start + reply->sent;
    struct composite_part part;

    size_t length = gather(piece->composite, &offset, piece->end, gathered, &part);
    if (length > 0) {
        struct iovec bytes = {gathered, length};
        bool more = offset < piece->end || reply->index + 1 < reply->count;
        ssize_t taken = conn_send(reply->conn, &bytes, 1, more);
        *budget = taken == (ssize_t)length && length < *budget ? *budget - length : 0;
        if (taken != (ssize_t)length || part.blob == NULL)
            return taken;
        advance(reply, length);
    }
    CHECK(part.blob != NULL);
    return send_part(reply, piece->composite, &part, budget);
}

static ssize_t send_some(struct reply *reply, uint64_t *budget)
{
    const struct piece *piece = &reply->pieces[reply->index];

    if (piece->composite != NULL)
        return send_composite(reply, budget);
    return piece->blob != NULL ? send_blob(reply, budget) : send_bytes(reply);
}

/* Sends until the socket is full, the turn is over, or there is nothing to send. */
static void pump(struct reply *reply)
{
    uint64_t budget = WINDOW;

    while (reply->index < reply->count) {
        const struct piece *piece = &reply->pieces[reply->index];
        if (length_of(piece) == reply->sent) { /* an empty piece */
            reply->index++;
            continue;
        }
        ssize_t taken = send_some(reply, &budget);
        if (taken == PAUSED)
            return;
        if (taken < 0) {
            bool gone = taken == CONN_GONE;
            end(reply, gone ? REPLY_LOST : REPLY_CUT, gone ? OK : ERR_DISK_FAILED);
            return;
        }
        advance(reply, (uint64_t)taken);
        if (taken == 0 || (budget == 0 && reply->index < reply->count)) {
            conn_want_writable(reply->conn, true);
            return;
        }
    }
    end(reply, REPLY_SENT, OK);
}

static void on_wake(struct mail *mail)
{
    struct reply *reply = container_of(mail, struct reply, waiter.mail);

    reply->parked = NULL;
    pump(reply);
}

void reply_start(struct reply *reply, struct conn *conn, const struct piece *pieces, size_t count,
                 void (*on_end)(struct reply *reply, enum reply_result result))
{
    *reply = (struct reply){.conn = conn,
                            .pieces = pieces,
                            .count = count,
                            .waiter = {.loop = conn->group->loop, .mail.deliver = on_wake},
                            .on_end = on_end};
    conn_want_writable(conn, false);
    pump(reply);
}

void reply_on_writable(struct reply *reply)
{
    pump(reply);
}

void reply_abandon(struct reply *reply)
{
    if (reply->pieces == NULL)
        return;
    if (reply->warming != NULL)
        reply->warming->reply = NULL;
    if (reply->parked != NULL)
        blob_unpark(reply->parked, &reply->waiter);
    reply->pieces = NULL;
}
