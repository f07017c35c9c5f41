/*
 * The life of a fetch: fetch_start makes it, one step function a state moves it on, and fail() or
 * on_settled() ends it. All on the owner's loop, but for the pool jobs that open, hash and settle;
 * who ends a fetch while it is being hashed sets ENDING, and the job's end disposes of it.
 */
#include "cache/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/evict.h"
#include "cache/hashing.h"
#include "cache/learn.h"
#include "cache/partial.h"
#include "cache/retry.h"
#include "cache/settle.h"
#include "wire/http.h"

enum {
    SOURCES_MAX = 8,
    HASH_BATCH = 1 << 20,
};

#define FETCH_STATES(X) X(CALL) X(PAUSE) X(HASH) X(LEARN) X(SETTLE) X(ENDING)

#define X(name) FETCH_##name,
enum fetch_state { FETCH_STATES(X) FETCH_STATE_COUNT };
#undef X

struct fetch {
    struct list node; /* in fetcher->fetches */
    struct fetcher *fetcher;
    struct blob *blob; /* counted */
    enum fetch_state state;
    struct source sources[SOURCES_MAX]; /* the first of them is asked */
    size_t source_count;
    struct call *call; /* CALL */
    uint64_t asked;    /* CALL: the first byte asked for */
    bool whole_only;  /* a part was answered with nonsense: ask for the whole, pass over the rest */
    bool answered;    /* CALL: the head of a good answer has come */
    uint64_t at;      /* CALL: where the next byte of the body belongs */
    struct buf given; /* the bytes, when they were at hand */
    uv_timer_t timer; /* PAUSE */
    struct hashing hashing; /* runs beside CALL and PAUSE */
    struct retry retry;
    uint64_t received; /* new bytes written */
    uint64_t received_before_try;
    uint64_t checkpoint; /* `received` when the extents were last recorded */
    uint64_t reserved;   /* of the budget */
    uint64_t resumed;
    uint64_t started_us;
};

static void step_call(struct fetch *fetch);
static void step_hash(struct fetch *fetch);

static void set_state(struct fetch *fetch, enum fetch_state state)
{
#define X(name) #name,
    static const char *const names[] = {FETCH_STATES(X)};
#undef X
    static const bool edges[FETCH_STATE_COUNT][FETCH_STATE_COUNT] = {
        [FETCH_CALL] =
            {[FETCH_CALL] = true, [FETCH_PAUSE] = true, [FETCH_HASH] = true, [FETCH_ENDING] = true},
        [FETCH_PAUSE] = {[FETCH_CALL] = true, [FETCH_HASH] = true, [FETCH_ENDING] = true},
        [FETCH_HASH] = {[FETCH_LEARN] = true, [FETCH_SETTLE] = true, [FETCH_ENDING] = true},
        [FETCH_LEARN] = {[FETCH_SETTLE] = true},
        [FETCH_SETTLE] = {[FETCH_ENDING] = true},
    };
    struct log_line line;
    char text[DIGEST_TEXT_SIZE];

    CHECK(edges[fetch->state][state]);
    if (log_begin(&line, CONFIG_LOG_DEBUG, "fetch")) {
        log_text(&line, "digest", view_of(digest_print(&fetch->blob->digest, text)));
        log_text(&line, "from", view_of(names[fetch->state]));
        log_text(&line, "to", view_of(names[state]));
        log_end(&line);
    }
    fetch->state = state;
}

/* ---- the end ---- */

/* What readers see of it is over; it may have to settle yet. */
static void note_end(const struct fetch *fetch, enum err verdict)
{
    const struct source *source = &fetch->sources[0];
    char text[DIGEST_TEXT_SIZE];
    struct log_line line;

    stats_subtract(STAT_FILLS_RUNNING, AT_ALL, 1);
    if (verdict == OK)
        stats_add(STAT_FILLS_FINISHED, AT_ALL, 1);
    else
        stats_add(STAT_FILLS_FAILED, AT(verdict), 1);
    if (!log_begin(&line, verdict == OK ? CONFIG_LOG_INFO : CONFIG_LOG_WARN, "fill"))
        return;
    log_text(&line, "digest", view_of(digest_print(&fetch->blob->digest, text)));
    log_text(&line, "upstream", view_of(source->upstream->config->name));
    log_text(&line, "repository", view_of(source->repository));
    log_number(&line, "bytes", fetch->received);
    if (fetch->blob->size != BLOB_SIZE_UNKNOWN)
        log_number(&line, "size", fetch->blob->size);
    log_number(&line, "resumed", fetch->resumed);
    log_seconds(&line, "seconds", clock_monotonic_us() - fetch->started_us);
    log_text(&line, "verdict", view_of(err_label(verdict)));
    if (verdict != OK)
        log_text(&line, "message", view_of(err_sentence(verdict)));
    log_end(&line);
}

/* The only one who changes `present` is this loop, so it may look without the mutex. */
static const struct extents *present_of(const struct fetch *fetch)
{
    return &fetch->blob->present;
}

/* What a crash from here on will not lose. */
static void record_extents(struct fetch *fetch)
{
    partial_record(fetch->fetcher->store, fetch->blob);
    fetch->checkpoint = fetch->received;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fetch *fetch = container_of((uv_timer_t *)handle, struct fetch, timer);

    list_unlink(&fetch->node);
    hashing_release(&fetch->hashing);
    buf_release(&fetch->given);
    blob_unref(fetch->blob);
    free(fetch);
}

/* ENDING, and no job is running: gone. */
static void dispose(struct fetch *fetch)
{
    if (fetch->hashing.running)
        return; /* its end comes back here */
    fetch->blob->fetch = NULL;
    evict_unreserve(fetch->fetcher->store, fetch->reserved);
    fetch->fetcher->running--;
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

/* No source is to blame, and none would do better. */
static bool is_ours(enum err err)
{
    return err == ERR_STOPPING || err == ERR_DISK_FULL || err == ERR_DISK_FAILED ||
           err == ERR_OVER_BUDGET;
}

static void fail(struct fetch *fetch, enum err err)
{
    struct store *store = fetch->fetcher->store;
    uint64_t present = extents_total(present_of(fetch));

    set_state(fetch, FETCH_ENDING);
    bool unreadable =
        !fetch->hashing.running && fetch->hashing.err != OK; /* the record would lie */
    bool wrong = err == ERR_DIGEST_MISMATCH || err == ERR_SIZE_MISMATCH || unreadable;
    if (fetch->blob->fd >= 0 && (wrong || present == 0)) {
        partial_discard(store, fetch->blob);
        store->used -= present;
    } else {
        record_extents(fetch);
    }
    if (err == ERR_DISK_FULL)
        evict_press(store);
    note_end(fetch, err);
    blob_fail(fetch->blob, err, is_ours(err) ? NULL : fetch->sources[0].key);
    dispose(fetch);
}

/* ---- SETTLE: make it last ---- */

static void on_settled(void *owner, enum err err)
{
    struct fetch *fetch = owner;

    (void)err; /* it is in the log; the blob is served while it is open */
    set_state(fetch, FETCH_ENDING);
    dispose(fetch);
}

static void step_settle(struct fetch *fetch)
{
    set_state(fetch, FETCH_SETTLE);
    note_end(fetch, OK);
    blob_finish(fetch->blob);
    settle_start(fetch->fetcher->store, &fetch->fetcher->loop, fetch->blob, on_settled, fetch);
}

/* ---- HASH and LEARN: is it true, and what does it say? ---- */

static void on_learned(void *owner, const struct learned *learned)
{
    struct fetch *fetch = owner;

    if (fetch->blob->media_type[0] == '\0')
        blob_set_media_type(fetch->blob, learned->media_type);
    step_settle(fetch);
}

/* All bytes are here and hashed. */
static void verify(struct fetch *fetch)
{
    struct digest digest;
    char expected[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];

    hashing_finish(&fetch->hashing, &digest);
    if (!digest_equal(&digest, &fetch->blob->digest)) {
        stats_add(STAT_DIGEST_MISMATCHES, AT_ALL, 1);
        stats_add(STAT_UPSTREAM_ERRORS, AT(fetch->sources[0].upstream->index, ERR_DIGEST_MISMATCH),
                  1);
        log_message(CONFIG_LOG_ERROR, "mismatch", "%s of %s sent bytes with the digest %s for %s",
                    fetch->sources[0].repository, fetch->sources[0].upstream->config->name,
                    digest_print(&digest, found), digest_print(&fetch->blob->digest, expected));
        fail(fetch, ERR_DIGEST_MISMATCH);
        return;
    }
    if (!fetch->sources[0].is_manifest) {
        step_settle(fetch);
        return;
    }
    set_state(fetch, FETCH_LEARN);
    learn_start(fetch->fetcher->store, &fetch->fetcher->loop, fetch->blob, &fetch->sources[0],
                on_learned, fetch);
}

static void hash_on(struct fetch *fetch)
{
    uint64_t end = extents_run_end(present_of(fetch), 0);

    if (fetch->hashing.running) /* its `done` is the job's now */
        return;
    if (fetch->state == FETCH_HASH || end - fetch->hashing.done >= HASH_BATCH)
        hashing_go(&fetch->hashing, &fetch->fetcher->loop, fetch->blob->fd, end);
}

static void on_hash_progress(struct hashing *hashing)
{
    struct fetch *fetch = container_of(hashing, struct fetch, hashing);

    if (fetch->state == FETCH_ENDING)
        dispose(fetch);
    else if (fetch->state == FETCH_HASH)
        step_hash(fetch);
    else
        hash_on(fetch);
}

/* HASH: all bytes are here. */
static void step_hash(struct fetch *fetch)
{
    if (fetch->hashing.running)
        return;
    if (fetch->hashing.err != OK)
        fail(fetch, fetch->hashing.err);
    else if (fetch->hashing.done == fetch->blob->size)
        verify(fetch);
    else
        hash_on(fetch);
}

static void begin_hash(struct fetch *fetch)
{
    set_state(fetch, FETCH_HASH);
    if (fetch->received > 0)
        record_extents(fetch); /* a crash now would cost a second look, not a second fetch */
    step_hash(fetch);
}

/* ---- CALL: bytes come ---- */

static bool is_whole(const struct fetch *fetch)
{
    struct extent gap;

    return fetch->blob->size != BLOB_SIZE_UNKNOWN &&
           !extents_first_gap(present_of(fetch), (struct extent){0, fetch->blob->size}, &gap);
}

/* Counts what will be written to a blob of that size. */
static enum err reserve(struct fetch *fetch, uint64_t size)
{
    uint64_t present = extents_total(present_of(fetch));

    if (fetch->reserved > 0 || present >= size)
        return OK;
    enum err err = evict_reserve(fetch->fetcher->store, size, size - present);
    if (err == OK)
        fetch->reserved = size - present;
    return err;
}

/* The size, from the head of an answer. */
static enum err take_size(struct fetch *fetch, uint64_t size)
{
    struct blob *blob = fetch->blob;
    const struct config *config = fetch->fetcher->store->config;
    uint64_t expected = fetch->sources[0].size;

    if (size > INT64_MAX)
        return ERR_UPSTREAM_NONSENSE;
    if (blob->size != BLOB_SIZE_UNKNOWN ? blob->size != size
                                        : expected != BLOB_SIZE_UNKNOWN && expected != size)
        return ERR_SIZE_MISMATCH;
    if (fetch->sources[0].is_manifest && size > config->max_manifest)
        return ERR_UPSTREAM_TOO_LARGE;
    enum err err = reserve(fetch, size);
    if (err == OK && blob->size == BLOB_SIZE_UNKNOWN)
        blob_set_size(blob, size);
    return err;
}

/* The source has shown that it holds the blob. */
static void note_held(struct fetch *fetch)
{
    const struct source *source = &fetch->sources[0];

    source_note_held(source, fetch->fetcher->store->index, &fetch->blob->digest, fetch->blob->size,
                     false);
    blob_set_held_by(fetch->blob, source->key);
}

static enum err on_head(struct call *call, int status)
{
    struct fetch *fetch = call_owner(call);
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    uint64_t size;

    enum err err = source_read_head(call, status, fetch->asked, &fetch->at, &size);
    if (err == OK && size == BLOB_SIZE_UNKNOWN)
        size = fetch->sources[0].size; /* chunked; but the manifest said it */
    if (err == OK && size != BLOB_SIZE_UNKNOWN)
        err = take_size(fetch, size);
    if (err == OK && fetch->blob->fd < 0)
        err = partial_create(fetch->fetcher->store, fetch->blob);
    if (err != OK)
        return err;
    fetch->answered = true;
    if (fetch->sources[0].is_manifest && fetch->received == 0 &&
        http_media_type(call_field(call, "Content-Type"), media_type, sizeof(media_type)))
        blob_set_media_type(fetch->blob, media_type);
    note_held(fetch);
    return OK;
}

/* What was reserved of the budget is used now. */
static void take_reserved(struct fetch *fetch, uint64_t bytes)
{
    uint64_t reserved = bytes < fetch->reserved ? bytes : fetch->reserved;

    fetch->fetcher->store->used += bytes;
    evict_unreserve(fetch->fetcher->store, reserved);
    fetch->reserved -= reserved;
}

/* Writes and publishes what is not there yet of [at, at + length): never a byte twice. */
static enum err store_bytes(struct fetch *fetch, const char *data, size_t length)
{
    struct extent body = {fetch->at, fetch->at + length}, rest = body, gap;

    while (extents_first_gap(present_of(fetch), rest, &gap)) {
        uint64_t part = gap.end - gap.start;
        enum err err =
            disk_write(fetch->blob->fd, data + (gap.start - body.start), part, gap.start);
        if (err != OK)
            return err;
        blob_publish(fetch->blob, gap);
        fetch->received += part;
        take_reserved(fetch, part);
        rest.start = gap.end;
    }
    fetch->at = body.end;
    return OK;
}

static enum err on_body(struct call *call, const void *data, size_t length)
{
    struct fetch *fetch = call_owner(call);
    const struct config *config = fetch->fetcher->store->config;
    uint64_t limit = fetch->blob->size;

    if (limit == BLOB_SIZE_UNKNOWN)
        limit = fetch->sources[0].is_manifest ? config->max_manifest : config->cache_size;
    if (fetch->at > limit || length > limit - fetch->at)
        return fetch->blob->size == BLOB_SIZE_UNKNOWN ? ERR_UPSTREAM_TOO_LARGE
                                                      : ERR_UPSTREAM_NONSENSE;
    enum err err = store_bytes(fetch, data, length);
    if (err != OK)
        return err;
    hash_on(fetch);
    if (fetch->received - fetch->checkpoint >= config->checkpoint)
        record_extents(fetch);
    return OK;
}

/* ---- PAUSE: after a try that failed ---- */

static void on_pause_over(uv_timer_t *timer)
{
    struct fetch *fetch = container_of(timer, struct fetch, timer);
    LOOP_CALLBACK(&fetch->fetcher->loop);

    stats_add(STAT_FILLS_RESUMED, AT_ALL, 1);
    fetch->resumed++;
    step_call(fetch);
}

/* Turns to the next source, if there is one: this one's failure is not the others'. */
static bool next_source(struct fetch *fetch)
{
    if (fetch->source_count == 1)
        return false;
    fetch->source_count--;
    memmove(&fetch->sources[0], &fetch->sources[1],
            fetch->source_count * sizeof(fetch->sources[0]));
    fetch->retry = (struct retry){0};
    blob_wake(fetch->blob); /* whoever came by the refused one learns it now */
    return true;
}

/* A try has failed. */
static void recover(struct fetch *fetch, enum err err, uint64_t retry_after_s)
{
    struct store *store = fetch->fetcher->store;
    const struct config *config = store->config;
    struct source *source = &fetch->sources[0];

    retry_note(&fetch->retry, fetch->received > fetch->received_before_try);
    if (err == ERR_UPSTREAM_TIMEOUT && !fetch->answered)
        upstream_rest(source->upstream, err, config->upstream_rest);
    if (err == ERR_UPSTREAM_NONSENSE && fetch->asked > 0 && !fetch->whole_only) {
        fetch->whole_only = true;
        step_call(fetch);
    } else if (retry_is_due(&fetch->retry, config, err, fetch->received == 0, retry_after_s)) {
        set_state(fetch, FETCH_PAUSE);
        uv_timer_start(&fetch->timer, on_pause_over,
                       retry_pause_ms(&fetch->retry, config, retry_after_s), 0);
    } else {
        if (err == ERR_UPSTREAM_LIMITED)
            upstream_rest(source->upstream, err, retry_after_s * 1000);
        if (source_is_refusal(err)) /* remembered, so that its clients are told */
            absence_note(&store->absences, source->key, err, config->negative_ttl);
        if (!is_ours(err) && next_source(fetch))
            step_call(fetch);
        else
            fail(fetch, err);
    }
}

static void on_end(struct call *call, enum err err)
{
    struct fetch *fetch = call_owner(call);
    uint64_t retry_after = call_retry_after(call);

    fetch->call = NULL;
    if (err == OK && fetch->blob->size == BLOB_SIZE_UNKNOWN)
        err = take_size(fetch, fetch->at);
    if (err == OK && !is_whole(fetch))
        err = fetch->received > fetch->received_before_try ? OK : ERR_UPSTREAM_BROKEN;
    else if (err == OK) {
        begin_hash(fetch);
        return;
    }
    if (err == OK)
        step_call(fetch); /* the gap it was asked for is filled; there are more */
    else
        recover(fetch, source_err(&fetch->sources[0], err), retry_after);
}

/* ---- asking ---- */

/* The first run of bytes that is missing; to the end of the blob, and of time, as far as we know.
 */
static struct extent first_gap(const struct fetch *fetch)
{
    struct extent all = {0, UINT64_MAX}, gap = all;

    CHECK(extents_first_gap(present_of(fetch), all, &gap));
    return gap;
}

static void step_call(struct fetch *fetch)
{
    static const struct call_events events = {on_head, on_body, on_end};
    struct extent gap;

    if (is_whole(fetch)) {
        begin_hash(fetch);
        return;
    }
    gap = first_gap(fetch);
    set_state(fetch, FETCH_CALL);
    if (fetch->whole_only)
        gap = (struct extent){0, UINT64_MAX};
    fetch->asked = fetch->at = gap.start;
    fetch->received_before_try = fetch->received;
    fetch->answered = false;
    fetch->call = source_call(&fetch->sources[0], &fetch->fetcher->calls, &fetch->blob->digest, gap,
                              &events, fetch);
}

/* ---- starting, and stopping ---- */

/* The bytes were at hand. */
static void take_given(struct fetch *fetch)
{
    enum err err = take_size(fetch, fetch->given.length);

    if (err == OK && fetch->blob->fd < 0)
        err = partial_create(fetch->fetcher->store, fetch->blob);
    if (err == OK)
        err = store_bytes(fetch, fetch->given.data, fetch->given.length);
    if (err != OK) {
        fail(fetch, err);
        return;
    }
    note_held(fetch);
    begin_hash(fetch);
}

void fetch_start(struct fetcher *fetcher, struct blob *blob, const struct source *source,
                 struct buf *given, const char *media_type)
{
    struct fetch *fetch = check_calloc(1, sizeof(*fetch));

    loop_check_thread(&fetcher->loop);
    fetch->fetcher = fetcher;
    fetch->blob = blob_ref(blob);
    fetch->blob->fetch = fetch;
    fetch->sources[0] = *source;
    fetch->source_count = 1;
    fetch->given = *given;
    *given = (struct buf){0};
    fetch->started_us = clock_monotonic_us();
    CHECK(uv_timer_init(&fetcher->loop.uv, &fetch->timer) == 0);
    hashing_init(&fetch->hashing, blob->digest.algorithm, on_hash_progress);
    list_append(&fetcher->fetches, &fetch->node);
    stats_add(STAT_FILLS_RUNNING, AT_ALL, 1);
    blob_fill(blob);
    if (media_type[0] != '\0')
        blob_set_media_type(blob, media_type);
    fetcher->running++;
    if (fetch->given.length > 0)
        take_given(fetch);
    else
        step_call(fetch);
}

void fetch_add_source(struct fetch *fetch, const struct source *source)
{
    for (size_t i = 0; i < fetch->source_count; i++)
        if (memcmp(fetch->sources[i].key, source->key, sizeof(source->key)) == 0)
            return;
    if (fetch->source_count < SOURCES_MAX)
        fetch->sources[fetch->source_count++] = *source;
}

void fetch_stop(struct fetch *fetch)
{
    /* CALL: the fetcher ends its call. LEARN, SETTLE and ENDING end by themselves, soon. */
    if (fetch->state != FETCH_PAUSE && fetch->state != FETCH_HASH)
        return;
    uv_timer_stop(&fetch->timer);
    fail(fetch, ERR_STOPPING);
}

struct fetch *fetch_of_node(struct list *node)
{
    return container_of(node, struct fetch, node);
}
