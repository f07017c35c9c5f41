#include "serve/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/stats.h"
#include "io/disk.h"

enum {
    /* Bytes a turn, and the unit of asking whether the file is in memory. 1 MiB costs a tenth more
     * processor time a byte, on one connection and on sixteen, with cubic and with bbr. */
    WINDOW = 4 << 20,
    HOLD_BACK = 16384,  /* of a body that is not verified yet */
    GATHER_MAX = 32768, /* a blob's bytes that go out in one call with the head before them */
    /* Of a composite so much goes out in one call, from a mapping of the file and from a scratch:
     * sendfile() for each block of 64 KiB costs half as much again, since what it moves ends in the
     * middle of a page, and copying two blocks at a time about as much. */
    BATCH = 1 << 20,
    BATCH_PARTS = 128,
    BRIEF = 131072,         /* the rest of a file that is copied: to map it would cost more */
    SCRATCH = BRIEF + 8192, /* for what is computed, and what is copied */
    SCRATCH_LEAST = 4096,   /* no less is given to what computes */
    MAPPED_MAX = 8 << 20,
    /* What the kernel moves of a file at a time is 16 pages. A window that ends elsewhere than on
     * such a boundary makes 17 of them out of 16, for all that follows. */
    STRIDE = 65536,
    PAUSED = -3, /* parked, warming or ended: beside what conn_send() returns */
};

static void pump(struct reply *reply);

static void unmap(struct mapped *mapped)
{
    if (mapped->blob == NULL)
        return;
    (void)munmap(mapped->at, mapped->end - mapped->start);
    blob_unref(mapped->blob);
    *mapped = (struct mapped){0};
}

static void end(struct reply *reply, enum reply_result result, enum err err)
{
    reply->err = err;
    reply->pieces = NULL;
    unmap(&reply->mapped);
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

/* Whether that range of a blob was looked at, and in memory. A blob that is another one at the same
 * place costs no more than a read that sleeps. */
static bool is_known_warm(const struct reply *reply, const struct blob *blob, uint64_t offset,
                          uint64_t length)
{
    return blob == reply->warm_blob && offset >= reply->warm_from &&
           offset + length <= reply->warm_until;
}

/* Whether `length` bytes of a blob at `offset` are in memory. If not, or if nobody has asked yet,
 * a window of at least that is looked at, and read by the pool if need be. */
static bool is_warm(struct reply *reply, struct blob *blob, int fd, uint64_t offset,
                    uint64_t length, uint64_t window)
{
    if (is_known_warm(reply, blob, offset, length))
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
    if (view.state == BLOB_COMPLETE && view.readable == 0) { /* it was said to be longer */
        end(reply, REPLY_CUT, ERR_SIZE_MISMATCH);
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

/* Notes whose bytes could not be had, if that is what was returned: when it is asked, at the end,
 * what is being read may be another file already. */
static ssize_t note_unreadable(struct reply *reply, const struct blob *blob, ssize_t taken)
{
    if (taken == CONN_UNREADABLE && blob != NULL) {
        reply->has_unreadable = true;
        reply->unreadable = blob->digest;
    }
    return taken;
}

/*
 * Sends a window of a file that is in memory, as conn_send_file() does. Takes what it sent off the
 * turn's budget, or all of it when the socket took less than it was given: to ask it again at once
 * would only be told EAGAIN.
 */
static ssize_t send_window(struct reply *reply, const struct blob *blob, int fd, uint64_t offset,
                           uint64_t length, uint64_t *budget)
{
    ssize_t taken = conn_send_file(reply->conn, fd, offset, length);

    *budget = taken == (ssize_t)length && length < *budget ? *budget - length : 0;
    return note_unreadable(reply, blob, taken);
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
    return send_window(reply, piece->blob, view.fd, offset, length, budget);
}

/* ---- composites ---- */

/* What goes out in one call. */
struct batch {
    struct iovec parts[BATCH_PARTS];
    size_t count;
    uint64_t length;
    bool has_mapped; /* some of it lies in the mapping */
};

static void batch_add(struct batch *batch, void *bytes, size_t length)
{
    batch->parts[batch->count++] = (struct iovec){bytes, length};
    batch->length += length;
}

/* Maps a window of the file from the part on. */
static bool map(struct reply *reply, const struct composite_part *part, int fd)
{
    uint64_t start = part->start / STRIDE * STRIDE;
    uint64_t end = part->until < start + MAPPED_MAX ? part->until : start + MAPPED_MAX;

    unmap(&reply->mapped);
    void *at = mmap(NULL, end - start, PROT_READ, MAP_SHARED, fd, (off_t)start);
    if (at == MAP_FAILED)
        return false;
    reply->mapped =
        (struct mapped){.blob = blob_ref(part->blob), .at = at, .start = start, .end = end};
    return true;
}

enum taken { TAKEN, LATER, ABSENT };

/* Takes a part of a blob into the batch: TAKEN, or LATER, in one of its own, or ABSENT: it is not
 * here, or not known to be in memory. */
static enum taken take_part(struct reply *reply, const struct composite_part *part,
                            struct batch *batch, char *scratch, size_t room, size_t *ret_used)
{
    struct blob_view view = blob_look(part->blob, part->start, NULL);
    const struct mapped *mapped = &reply->mapped;
    uint64_t length = part->end - part->start;

    if (view.state == BLOB_FAILED || view.readable < length)
        return ABSENT;
    bool is_small = length <= GATHER_MAX || part->until - part->start <= BRIEF;
    if (is_small && length <= room && read_warm(view.fd, part->start, length, scratch)) {
        batch_add(batch, scratch, length);
        *ret_used = length;
        return TAKEN;
    }
    if (!is_known_warm(reply, part->blob, part->start, length))
        return ABSENT;
    if (mapped->blob != part->blob || part->start < mapped->start || part->end > mapped->end) {
        if (batch->has_mapped)
            return LATER;
        if (!map(reply, part, view.fd) || part->end > mapped->end)
            return ABSENT;
    }
    batch_add(batch, (char *)mapped->at + (part->start - mapped->start), length);
    batch->has_mapped = true;
    return TAKEN;
}

/* Takes what stands in the composite from `*offset` on, up to `end`, as far as it is in memory and
 * fits. If it ends at a part that is not in memory, that is in `ret_part`. */
static void gather(struct reply *reply, struct composite *composite, uint64_t *offset, uint64_t end,
                   struct batch *batch, struct composite_part *ret_part)
{
    static _Thread_local char scratch[SCRATCH];
    size_t used = 0;

    *ret_part = (struct composite_part){.blob = NULL};
    while (*offset < end && batch->length < BATCH && batch->count < BATCH_PARTS &&
           SCRATCH - used >= SCRATCH_LEAST) {
        uint64_t next = *offset;
        size_t more = 0;
        enum taken taken = TAKEN;
        composite->next(composite, &next, end, scratch + used, SCRATCH - used, ret_part);
        if (ret_part->blob == NULL) {
            more = ret_part->bytes.length;
            batch_add(batch, scratch + used, more);
        } else {
            taken = take_part(reply, ret_part, batch, scratch + used, SCRATCH - used, &more);
        }
        if (taken == ABSENT)
            return;
        ret_part->blob = NULL;
        if (taken == LATER)
            return;
        used += more;
        *offset = next;
    }
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
    return send_window(reply, part->blob, view.fd, part->start, length, budget);
}

/* Sends what is next of a composite: what is in memory, and else the part that is not. */
static ssize_t send_composite(struct reply *reply, uint64_t *budget)
{
    const struct piece *piece = &reply->pieces[reply->index];
    uint64_t offset = piece->start + reply->sent;
    struct batch batch;
    struct composite_part part;

    batch.count = 0;
    batch.length = 0;
    batch.has_mapped = false;
    gather(reply, piece->composite, &offset, piece->end, &batch, &part);
    if (batch.length > 0) {
        bool more = offset < piece->end || reply->index + 1 < reply->count;
        ssize_t taken = conn_send(reply->conn, batch.parts, batch.count, more);
        bool all = taken == (ssize_t)batch.length;
        *budget = all && batch.length < *budget ? *budget - batch.length : 0;
        if (!all || part.blob == NULL)
            return note_unreadable(reply, reply->mapped.blob, taken);
        advance(reply, batch.length);
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
    unmap(&reply->mapped);
    reply->pieces = NULL;
}
