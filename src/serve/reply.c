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

/* ---- sending ---- */

static uint64_t length_of(const struct piece *piece)
{
    return piece->blob == NULL ? piece->bytes.length : piece->end - piece->start;
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
            reply->warm_until = 0;
        }
    }
}

/* Reads a small range that is whole and in memory; false when it is not. */
static bool read_small(const struct piece *piece, char *into)
{
    struct blob_view view = blob_look(piece->blob, piece->start, NULL);
    uint64_t length = piece->end - piece->start;
    struct iovec part = {into, length};

    return length <= GATHER_MAX && view.state == BLOB_COMPLETE && view.readable >= length &&
           preadv2(view.fd, &part, 1, (off_t)piece->start, RWF_NOWAIT) == (ssize_t)length;
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
        parts[count++] = (struct iovec){small, piece[1].end - piece[1].start};
        more = reply->index + 2 < reply->count;
    }
    return conn_send(reply->conn, parts, count, more);
}

/* How far the piece's blob may be sent from `offset`; 0: parked, or ended. */
static uint64_t sendable(struct reply *reply, const struct piece *piece, uint64_t offset,
                         int *ret_fd)
{
    reply->waiter.until = piece->end;
    struct blob_view view = blob_look(piece->blob, offset, &reply->waiter);
    uint64_t end_offset = offset + view.readable < piece->end ? offset + view.readable : piece->end;

    *ret_fd = view.fd;
    if (view.state == BLOB_FAILED && (view.readable == 0 || piece->verified_end)) {
        end(reply, REPLY_CUT, view.err);
        return 0;
    }
    if (view.readable > 0 && piece->verified_end && view.whole && view.state != BLOB_COMPLETE) {
        uint64_t hold = view.size > HOLD_BACK ? view.size - HOLD_BACK : 0;
        end_offset = end_offset < hold ? end_offset : hold;
        if (end_offset <= offset) {
            view = blob_look(piece->blob, BLOB_OFFSET_END, &reply->waiter);
            if (view.state == BLOB_COMPLETE || view.state == BLOB_FAILED)
                return sendable(reply, piece, offset, ret_fd);
            end_offset = offset;
        }
    }
    if (end_offset <= offset)
        conn_want_writable(reply->conn, false); /* parked: the blob wakes us */
    return end_offset > offset ? end_offset - offset : 0;
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
 * Sends a window of a blob. Returns as conn_send_file() does, or PAUSED.
 * Takes what it sent off the turn's budget, or all of it when the socket took less than it was
 * given: to ask it again at once would only be told EAGAIN.
 */
static ssize_t send_blob(struct reply *reply, uint64_t *budget)
{
    const struct piece *piece = &reply->pieces[reply->index];
    uint64_t offset = piece->start + reply->sent;
    int fd;

    uint64_t length = sendable(reply, piece, offset, &fd);
    if (length == 0)
        return PAUSED;
    length = window_of(offset, length, *budget);
    if (length == 0)
        return 0;
    if (reply->warm_until < offset + length) {
        if (!disk_is_warm(fd, offset, length)) {
            warm(reply, piece->blob, fd, offset, length);
            return PAUSED;
        }
        reply->warm_until = offset + length;
    }
    ssize_t taken = conn_send_file(reply->conn, fd, offset, length);
    *budget = taken == (ssize_t)length ? *budget - length : 0;
    return taken;
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
        ssize_t taken = piece->blob == NULL ? send_bytes(reply) : send_blob(reply, &budget);
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
    for (size_t i = 0; i < reply->count; i++)
        if (reply->pieces[i].blob != NULL)
            blob_unpark(reply->pieces[i].blob, &reply->waiter);
    reply->pieces = NULL;
}
