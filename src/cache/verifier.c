#include "cache/verifier.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/footprint.h"
#include "io/disk.h"

enum {
    JOBS_MAX = 4, /* of one blob: the pool is for others too */
    SENDERS_MAX = 16,
    READ_SIZE = 128 << 10,
};

struct verifier_chunk {
    uint8_t wrongs;
    uint8_t sender; /* its place among the senders, from 1; 0: nobody has sent of it */
    bool is_mixed;
    bool is_complete; /* it waits, or is checked */
};

struct check {
    struct disk_job job;
    struct list node; /* in verifier->waiting */
    struct verifier *verifier;
    uint64_t number; /* of the chunk */
    struct extent range;
    int fd; /* borrowed */
    struct digest found;
    enum err err;
};

bool verifier_is_on(const struct verifier *verifier)
{
    return verifier->store != NULL;
}

bool verifier_is_busy(const struct verifier *verifier)
{
    return verifier->running > 0 ||
           (verifier_is_on(verifier) && !list_is_empty(&verifier->waiting));
}

bool verifier_runs(const struct verifier *verifier)
{
    return verifier->running > 0;
}

/* ---- beginning ---- */

void verifier_begin(struct verifier *verifier, struct store *store, struct loop *loop,
                    struct blob *blob,
                    void (*on_verdict)(struct verifier *verifier, const struct verdict *verdict))
{
    struct buf note = {0};

    if (blob->digest.algorithm == DIGEST_SHA256 &&
        index_get_note(store->index, INDEX_NOTE_NUMBERS, blob->digest.bytes, &note) &&
        chunk_record_decode((struct view){note.data, note.length}, &verifier->numbers)) {
        verifier->store = store;
        verifier->loop = loop;
        verifier->blob = blob;
        verifier->on_verdict = on_verdict;
        verifier->cells = cells_of(verifier->numbers.size, verifier->numbers.has_edges);
        verifier->chunks =
            check_calloc(cells_count(&verifier->cells) + 1, sizeof(*verifier->chunks));
        extents_copy(&blob->present, &verifier->written);
        list_init(&verifier->waiting);
        blob->written = &verifier->written;
    }
    buf_release(&note);
}

/* ---- checking ---- */

static void start_next(struct verifier *verifier);

/* The blocks of the first bytes of `range` that are written, and not published, as far as nothing
 * is published of them. False: there are none. */
static bool first_unverified(const struct verifier *verifier, struct extent range,
                             struct extent *ret_blocks)
{
    const struct extents *written = &verifier->written;
    struct extent gap;

    for (; extents_first_gap(&verifier->blob->present, range, &gap); range.start = gap.end) {
        bool at_once = extents_run_end(written, gap.start) > gap.start;
        uint64_t start = at_once ? gap.start : extents_hole(written, gap.start).end;
        if (start >= gap.end)
            continue;
        uint64_t end = extents_run_end(written, start);
        start -= start % FOOTPRINT_BLOCK;
        end += (FOOTPRINT_BLOCK - end % FOOTPRINT_BLOCK) % FOOTPRINT_BLOCK;
        *ret_blocks =
            (struct extent){start > gap.start ? start : gap.start, end < gap.end ? end : gap.end};
        return true;
    }
    return false;
}

/* Takes back what was written of `range` and not published. */
static void give_back(struct verifier *verifier, struct extent range)
{
    uint64_t published = extents_total(&verifier->blob->present);
    uint64_t before = footprint_of_extents(&verifier->written);
    struct extent blocks;

    while (extents_total(&verifier->written) > published &&
           first_unverified(verifier, range, &blocks)) {
        disk_punch(verifier->blob->fd, blocks.start, blocks.end - blocks.start);
        extents_remove(&verifier->written, blocks);
        range.start = blocks.end;
    }
    verifier->store->used -= before - footprint_of_extents(&verifier->written);
}

/* The chunk's own sha256. */
static void on_work(struct disk_job *job)
{
    struct check *check = container_of(job, struct check, job);
    static _Thread_local char buffer[READ_SIZE];
    struct hasher hasher;

    hasher_init(&hasher, DIGEST_SHA256);
    for (uint64_t at = check->range.start; at < check->range.end && check->err == OK;) {
        uint64_t left = check->range.end - at, length = left < READ_SIZE ? left : READ_SIZE;
        check->err = disk_read(check->fd, buffer, length, at);
        if (check->err == OK)
            hasher_update(&hasher, buffer, length);
        at += length;
    }
    hasher_finish(&hasher, &check->found);
    hasher_release(&hasher);
}

/* What its sha256 is to be. */
static const uint8_t *sha256_of(const struct verifier *verifier, const struct check *check)
{
    int edge = cells_edge(&verifier->cells, check->number);

    return edge >= 0 ? verifier->numbers.edges.sha256[edge]
                     : verifier->numbers.chunks[check->range.start / NUMBERS_CHUNK].sha256;
}

static void publish(struct verifier *verifier, struct verdict *verdict)
{
    verdict->fresh = extents_missing(&verifier->blob->present, verdict->range);
    blob_publish(verifier->blob, verdict->range);
}

static void take_back(struct verifier *verifier, struct verifier_chunk *chunk,
                      struct verdict *verdict)
{
    uint64_t length = verdict->range.end - verdict->range.start;

    verdict->has_older = !verifier->numbers.is_claimed &&
                         extents_missing(&verifier->blob->present, verdict->range) < length;
    verdict->is_mixed = chunk->is_mixed;
    verdict->sender = &verifier->senders[chunk->sender - 1];
    if (verdict->err == ERR_CHUNK_MISMATCH && chunk->wrongs < UINT8_MAX)
        chunk->wrongs++;
    verdict->wrongs = chunk->wrongs;
    *chunk = (struct verifier_chunk){.wrongs = chunk->wrongs};
    give_back(verifier, verdict->range);
}

static void on_done(struct disk_job *job)
{
    struct check *check = container_of(job, struct check, job);
    struct verifier *verifier = check->verifier;
    struct verdict verdict = {.err = check->err,
                              .range = check->range,
                              .found = check->found,
                              .wanted = {.algorithm = DIGEST_SHA256}};
    uint64_t number = check->number;

    memcpy(verdict.wanted.bytes, sha256_of(verifier, check), NUMBERS_SHA256);
    free(check);
    verifier->running--;
    if (verifier->has_ended) {
        verifier->on_verdict(verifier, NULL);
        return;
    }
    if (verdict.err == OK && !digest_equal(&verdict.found, &verdict.wanted))
        verdict.err = ERR_CHUNK_MISMATCH;
    if (verdict.err == OK)
        publish(verifier, &verdict);
    else
        take_back(verifier, &verifier->chunks[number], &verdict);
    start_next(verifier);
    verifier->on_verdict(verifier, &verdict);
}

static void start_next(struct verifier *verifier)
{
    while (verifier->running < JOBS_MAX && !list_is_empty(&verifier->waiting)) {
        struct check *check = container_of(verifier->waiting.next, struct check, node);
        list_unlink(&check->node);
        verifier->running++;
        disk_run(&check->job, verifier->loop);
    }
}

/* ---- what is written ---- */

/* The place of that source among the senders, from 1. When there have been more than can be told
 * apart the last ones share a place. */
static uint8_t sender_of(struct verifier *verifier, const struct source *sender)
{
    size_t i = 0;

    while (i < verifier->sender_count &&
           memcmp(verifier->senders[i].key, sender->key, sizeof(sender->key)) != 0)
        i++;
    if (i == SENDERS_MAX)
        i--;
    if (i == verifier->sender_count)
        verifier->senders =
            check_realloc(verifier->senders, ++verifier->sender_count * sizeof(*verifier->senders));
    verifier->senders[i] = *sender;
    return (uint8_t)(i + 1);
}

static void note_chunk(struct verifier *verifier, uint64_t number, uint8_t sender)
{
    struct verifier_chunk *chunk = &verifier->chunks[number];
    struct extent range = cells_range(&verifier->cells, number);

    chunk->is_mixed |= chunk->sender != 0 && chunk->sender != sender;
    chunk->sender = sender;
    if (extents_missing(&verifier->written, range) > 0)
        return;
    CHECK(!chunk->is_complete);
    chunk->is_complete = true;

    struct check *check = check_calloc(1, sizeof(*check));
    check->verifier = verifier;
    check->number = number;
    check->range = range;
    check->fd = verifier->blob->fd;
    check->job.work = on_work;
    check->job.done = on_done;
    list_append(&verifier->waiting, &check->node);
}

void verifier_wrote(struct verifier *verifier, const struct source *sender, struct extent range)
{
    CHECK(!verifier->has_ended && range.end <= verifier->numbers.size);
    uint8_t place = sender_of(verifier, sender);

    extents_add(&verifier->written, range);
    for (uint64_t at = range.start; at < range.end;) {
        uint64_t number = cells_at(&verifier->cells, at);
        note_chunk(verifier, number, place);
        at = cells_range(&verifier->cells, number).end;
    }
    start_next(verifier);
}

/* ---- the end ---- */

void verifier_end(struct verifier *verifier)
{
    if (!verifier_is_on(verifier) || verifier->has_ended)
        return;
    verifier->has_ended = true;
    while (!list_is_empty(&verifier->waiting)) {
        struct check *check = container_of(verifier->waiting.next, struct check, node);
        list_unlink(&check->node);
        free(check);
    }
    give_back(verifier, (struct extent){0, extents_end(&verifier->written)});
    verifier->blob->written = &verifier->blob->present;
}

void verifier_release(struct verifier *verifier)
{
    CHECK(verifier->running == 0);
    verifier_end(verifier);
    extents_release(&verifier->written);
    chunk_record_release(&verifier->numbers);
    free(verifier->chunks);
    free(verifier->senders);
    *verifier = (struct verifier){0};
}
