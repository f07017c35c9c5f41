/*
 * The life of a fetch: fetch_start makes it, ask_on starts segments, each a request for a range of
 * the blob, until nothing that is wanted is missing, and fail(), on_settled() or the end of IDLE
 * ends it. All on the owner's loop, but for the pool jobs that open, hash, verify and settle; who
 * ends a fetch while some of it is being hashed sets ENDING, and the last job's end disposes of it.
 */
#include "cache/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/evict.h"
#include "cache/fetch_state.h"
#include "cache/fill_line.h"
#include "cache/hashing.h"
#include "cache/intake.h"
#include "cache/learn.h"
#include "cache/partial.h"
#include "cache/retry.h"
#include "cache/segments.h"
#include "cache/settle.h"
#include "cache/sources.h"

enum {
    HASH_BATCH = 1 << 20,
    LOOK_MS = 100,    /* how often readers that have parked elsewhere meanwhile are looked for */
    WRONGS_EXTRA = 2, /* how often more than there are sources a chunk may come wrong */
    LINGER_MS = 2000, /* the next range of a lazy reader finds the redirect's target still known */
};

struct fetch {
    struct list node; /* in fetcher->fetches */
    struct fetcher *fetcher;
    struct blob *blob; /* counted */
    enum fetch_state state;
    struct sources sources;
    struct intake intake;
    struct segments segments; /* they run in CALL and PAUSE */
    struct buf given;         /* the bytes, when they were at hand */
    uv_timer_t timer;         /* PAUSE, IDLE */
    struct hashing hashing;   /* runs beside CALL and PAUSE */
    struct retry retry;
    struct evict_waiter room; /* ROOM */
    uint64_t resumed;
    uint64_t noted; /* bytes received that the log knows of */
    uint64_t started_us;
};

static void ask_on(struct fetch *fetch);
static void take_given(struct fetch *fetch);
static void step_hash(struct fetch *fetch);

static void set_state(struct fetch *fetch, enum fetch_state state)
{
    fetch_state_set(&fetch->state, state, &fetch->blob->digest);
}

/* ---- beginning and end, as the log and the counters know them ---- */

static void note_begin(struct fetch *fetch)
{
    fetch->started_us = clock_monotonic_us();
    fetch->fetcher->running++;
    stats_add(STAT_FILLS_RUNNING, AT_ALL, 1);
}

/* What readers see of it is over; it may have to settle yet, or more may be wanted. */
static void note_end(struct fetch *fetch, enum err verdict)
{
    fill_line_end(&(struct fill_line){.digest = &fetch->blob->digest,
                                      .source = &fetch->sources.list[0],
                                      .bytes = fetch->intake.received - fetch->noted,
                                      .size = fetch->blob->size,
                                      .resumed = fetch->resumed,
                                      .us = clock_monotonic_us() - fetch->started_us,
                                      .verdict = verdict});
    fetch->noted = fetch->intake.received;
}

static void on_synced(struct blob *blob)
{
    if (blob->fetch != NULL)
        segments_resume(&blob->fetch->segments);
}

/* What a power cut from then on will not lose; behind the fill's back. */
static void sync_partial(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;

    partial_sync(fetcher->store, &fetcher->loop, fetch->blob, &fetcher->busy, on_synced);
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct fetch *fetch = container_of((uv_timer_t *)handle, struct fetch, timer);

    list_unlink(&fetch->node);
    hashing_release(&fetch->hashing);
    intake_release(&fetch->intake);
    buf_release(&fetch->given);
    segments_release(&fetch->segments);
    blob_unref(fetch->blob);
    free(fetch);
}

/* ENDING, and no job is running: gone. */
static void dispose(struct fetch *fetch)
{
    if (fetch->hashing.running || verifier_runs(&fetch->intake.verifier))
        return; /* its end comes back here */
    fetch->blob->fetch = NULL;
    intake_end(&fetch->intake);
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

static void fail(struct fetch *fetch, enum err err, uint64_t retry_after_s)
{
    uv_timer_stop(&fetch->timer);
    set_state(fetch, FETCH_ENDING);
    segments_cancel(&fetch->segments);
    intake_end(&fetch->intake);
    bool unreadable =
        !fetch->hashing.running && fetch->hashing.err != OK; /* the record would lie */
    bool wrong = err == ERR_DIGEST_MISMATCH || err == ERR_SIZE_MISMATCH || unreadable ||
                 fetch->blob->sync_failed;
    if (fetch->blob->fd >= 0 && (wrong || fetch->blob->present.count == 0))
        partial_discard(fetch->fetcher->store, fetch->blob);
    else
        intake_record(&fetch->intake);
    if (err == ERR_DISK_FULL && fetch->intake.received > 0)
        disk_rest_allow_press(&fetch->fetcher->store->disk_rest);
    note_end(fetch, err);
    fetch->fetcher->running--;
    blob_fail(fetch->blob, err, source_is_blameless(err) ? NULL : fetch->sources.list[0].key,
              retry_after_s);
    dispose(fetch);
}

/* ---- SETTLE: make it last ---- */

static void on_settled(void *owner, enum err err)
{
    struct fetch *fetch = owner;

    (void)err; /* it is in the log; the blob is served while it is open */
    set_state(fetch, FETCH_ENDING);
    fetch->fetcher->running--;
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

/* The source that has shown that it holds the blob. */
static const struct source *holder_of(const struct fetch *fetch)
{
    return sources_of_key(&fetch->sources, fetch->blob->held_by);
}

/* All bytes are here and hashed. */
static void verify(struct fetch *fetch)
{
    struct digest digest;

    hashing_finish(&fetch->hashing, &digest);
    if (!digest_equal(&digest, &fetch->blob->digest)) {
        fill_line_mismatch(holder_of(fetch), &fetch->blob->digest, &digest);
        fail(fetch, ERR_DIGEST_MISMATCH, 0);
        return;
    }
    if (!fetch->sources.list[0].is_manifest) {
        step_settle(fetch);
        return;
    }
    set_state(fetch, FETCH_LEARN);
    learn_start(fetch->fetcher->store, &fetch->fetcher->loop, fetch->blob, holder_of(fetch),
                on_learned, fetch);
}

static void hash_on(struct fetch *fetch)
{
    uint64_t end = extents_run_end(&fetch->blob->present, 0);

    if (fetch->hashing.running) /* its `done` is the job's now */
        return;
    if (fetch->state != FETCH_HASH && !blob_look(fetch->blob, 0, NULL).whole)
        return; /* it may never be whole: nobody reads it again for each small range of it */
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
        fail(fetch, fetch->hashing.err, 0);
    else if (fetch->hashing.done == fetch->blob->size)
        verify(fetch);
    else
        hash_on(fetch);
}

static void begin_hash(struct fetch *fetch)
{
    uv_timer_stop(&fetch->timer);
    segments_cancel(&fetch->segments); /* of what they could still bring nothing is missing */
    set_state(fetch, FETCH_HASH);
    if (fetch->intake.received > 0) /* a crash now would cost a second look, not a second fetch */
        intake_record(&fetch->intake);
    step_hash(fetch);
}

/* ---- PAUSE: after a try that failed ---- */

static void on_pause_over(uv_timer_t *timer)
{
    struct fetch *fetch = container_of(timer, struct fetch, timer);
    LOOP_CALLBACK(&fetch->fetcher->loop);

    stats_add(STAT_FILLS_RESUMED, AT_ALL, 1);
    fetch->resumed++;
    set_state(fetch, FETCH_CALL);
    ask_on(fetch);
}

/* ---- ROOM: the cache is full ---- */

static void on_room(struct mail *mail)
{
    struct fetch *fetch = container_of(mail, struct fetch, room.mail);
    LOOP_CALLBACK(&fetch->fetcher->loop);

    if (fetch->room.err != OK) {
        fail(fetch, fetch->room.err, 0);
        return;
    }
    set_state(fetch, FETCH_CALL);
    if (fetch->given.length > 0)
        take_given(fetch);
    else
        ask_on(fetch);
}

/* What runs is given up: its bytes could not be kept. */
static void wait_for_room(struct fetch *fetch)
{
    uv_timer_stop(&fetch->timer);
    segments_cancel(&fetch->segments);
    set_state(fetch, FETCH_ROOM);
    fetch->room.bytes = fetch->intake.lacking;
    evict_wait(fetch->fetcher->store, &fetch->room);
}

/* Turns to the next source, if there is one: this one's failure is not the others'. */
static bool next_source(struct fetch *fetch)
{
    if (!sources_drop(&fetch->sources))
        return false;
    fetch->retry = (struct retry){0};
    segments_turn(&fetch->segments);
    blob_wake(fetch->blob); /* whoever came by the refused one learns it now */
    return true;
}

/* A segment has failed. */
static void recover(struct fetch *fetch, const struct segment_end *end)
{
    struct store *store = fetch->fetcher->store;
    const struct config *config = store->config;
    struct source *source = &fetch->sources.list[0];
    bool fresh = fetch->intake.received == 0;

    retry_note(&fetch->retry, end->progressed);
    if (intake_wants_room(&fetch->intake, end->err)) {
        wait_for_room(fetch);
    } else if (end->err == ERR_UPSTREAM_NONSENSE && end->parted && !fetch->segments.whole_only) {
        segments_ask_whole(&fetch->segments);
        ask_on(fetch);
    } else if ((end->answered || !fresh || end->err != ERR_UPSTREAM_TIMEOUT) && /* else it rests */
               retry_is_due(&fetch->retry, config, end->err, fresh, end->retry_after_s)) {
        if (fetch->state == FETCH_PAUSE) /* for another segment: that will do for both */
            return;
        if (sources_rotate(&fetch->sources)) /* it may do better later; another is asked first */
            segments_turn(&fetch->segments);
        set_state(fetch, FETCH_PAUSE);
        uv_timer_start(&fetch->timer, on_pause_over,
                       retry_pause_ms(&fetch->retry, config, end->retry_after_s), 0);
    } else {
        source_note_err(source, store, end->err, end->words);
        if (!source_is_blameless(end->err) && next_source(fetch))
            ask_on(fetch);
        else
            fail(fetch, end->err, end->retry_after_s);
    }
}

/* ---- CALL: segments run ---- */

static struct fetch *fetch_of(struct segments *segments)
{
    return container_of(segments, struct fetch, segments);
}

static void on_look(uv_timer_t *timer)
{
    struct fetch *fetch = container_of(timer, struct fetch, timer);
    LOOP_CALLBACK(&fetch->fetcher->loop);

    ask_on(fetch);
}

/* Has what is wanted looked over soon, once for all who say so meanwhile, and then every so often:
 * readers park without telling us. */
static void look_soon(struct fetch *fetch)
{
    if (fetch->state == FETCH_CALL)
        uv_timer_start(&fetch->timer, on_look, 0, LOOK_MS);
}

static void on_answer(struct segments *segments)
{
    look_soon(fetch_of(segments)); /* it takes ranges, perhaps: others may start beside it */
}

/* More can be read, perhaps. */
static void note_published(struct fetch *fetch)
{
    hash_on(fetch);
    if (intake_record_if_due(&fetch->intake))
        sync_partial(fetch);
}

static void on_bytes(struct segments *segments)
{
    note_published(fetch_of(segments));
}

/* A chunk is wrong. Another source is asked for it, if there is one, or the same one again; but not
 * for ever. What else has been verified stays, unless it is what some of the chunk came with. */
static void chunk_is_wrong(struct fetch *fetch, const struct verdict *verdict)
{
    struct sources *sources = &fetch->sources;
    const unsigned char *first = sources->list[0].key;

    fill_line_chunk(&fetch->blob->digest, verdict);
    if (verdict->wrongs >= sources->count + WRONGS_EXTRA) {
        evict_leave(fetch->fetcher->store, &fetch->room);
        fail(fetch, verdict->has_older ? ERR_DIGEST_MISMATCH : ERR_CHUNK_MISMATCH, 0);
        return;
    }
    segments_forget_target(&fetch->segments);
    if (memcmp(verdict->sender->key, first, FLIGHT_KEY_SIZE) == 0 && sources_rotate(sources))
        segments_turn(&fetch->segments);
    ask_on(fetch);
}

static void on_verdict(struct intake *intake, const struct verdict *verdict)
{
    struct fetch *fetch = container_of(intake, struct fetch, intake);

    if (verdict == NULL) {
        dispose(fetch);
    } else if (verdict->err == ERR_CHUNK_MISMATCH) {
        chunk_is_wrong(fetch, verdict);
    } else if (verdict->err != OK) {
        evict_leave(fetch->fetcher->store, &fetch->room);
        fail(fetch, verdict->err, 0);
    } else {
        note_published(fetch);
        ask_on(fetch);
    }
}

static void on_segment_end(struct segments *segments, const struct segment_end *end)
{
    struct fetch *fetch = fetch_of(segments);

    if (end->err != OK && !end->is_stale && !end->is_crowded) {
        recover(fetch, end);
        return;
    }
    if (end->err == OK)
        fetch->retry = (struct retry){0};
    ask_on(fetch); /* what it was asked for is here; there may be more */
}

/* Somebody wants something: looks whether there is more to ask for. */
static void go_on(struct fetch *fetch)
{
    if (fetch->state == FETCH_IDLE) {
        uv_timer_stop(&fetch->timer);
        set_state(fetch, FETCH_CALL);
        note_begin(fetch);
    }
    look_soon(fetch);
}

/* IDLE is over: nobody wanted more; or somebody does, and his message is on its way. */
static void end_idle(struct fetch *fetch, bool stopping)
{
    if (fetch->blob->sync_failed) {
        note_begin(fetch);
        fail(fetch, ERR_DISK_FAILED, 0);
        return;
    }
    bool over = blob_unfill(fetch->blob);

    if (!over && stopping) {
        note_begin(fetch);
        fail(fetch, ERR_STOPPING, 0);
        return;
    }
    if (!over) {
        go_on(fetch);
        return;
    }
    if (fetch->intake.published > fetch->intake.recorded)
        intake_record(&fetch->intake);
    if (fetch->intake.received > 0)
        sync_partial(fetch);
    set_state(fetch, FETCH_ENDING);
    dispose(fetch);
}

static void on_linger_over(uv_timer_t *timer)
{
    struct fetch *fetch = container_of(timer, struct fetch, timer);
    LOOP_CALLBACK(&fetch->fetcher->loop);

    if (fetch->hashing.running)
        uv_timer_start(&fetch->timer, on_linger_over, LINGER_MS, 0);
    else
        end_idle(fetch, false);
}

static void begin_idle(struct fetch *fetch)
{
    set_state(fetch, FETCH_IDLE);
    intake_unreserve(&fetch->intake);
    note_end(fetch, OK);
    fetch->fetcher->running--;
    uv_timer_start(&fetch->timer, on_linger_over, LINGER_MS, 0);
    blob_wake(fetch->blob); /* who waits for something else learns that it will not come */
}

/* CALL: goes on with whatever there is to do. */
static void ask_on(struct fetch *fetch)
{
    if (fetch->state != FETCH_CALL && fetch->state != FETCH_PAUSE)
        return;
    if (intake_is_whole(&fetch->intake)) {
        begin_hash(fetch);
        return;
    }
    if (fetch->state == FETCH_PAUSE)
        return;
    if (!uv_is_active((uv_handle_t *)&fetch->timer))
        uv_timer_start(&fetch->timer, on_look, LOOK_MS, LOOK_MS);
    enum err err = intake_reserve_whole(&fetch->intake, fetch->sources.list[0].size);
    if (err == OK)
        err = segments_ask(&fetch->segments);
    if (fetch->segments.count > 0 || verifier_is_busy(&fetch->intake.verifier))
        return; /* what had no room is asked for when they have ended */
    if (err == ERR_NO_ROOM)
        wait_for_room(fetch);
    else if (err != OK)
        fail(fetch, err, 0);
    else
        begin_idle(fetch);
}

/* ---- starting, and stopping ---- */

/* The bytes were at hand. */
static void take_given(struct fetch *fetch)
{
    struct intake *intake = &fetch->intake;
    uint64_t length = fetch->given.length;

    enum err err = intake_take_size(intake, &fetch->sources.list[0], length);
    if (err == OK && fetch->blob->fd < 0)
        err = partial_create(fetch->fetcher->store, fetch->blob);
    if (err == OK)
        err = intake_store(intake, &fetch->sources.list[0], 0, fetch->given.data, length);
    if (intake_wants_room(intake, err)) {
        wait_for_room(fetch);
        return;
    }
    if (err != OK) {
        fail(fetch, err, 0);
        return;
    }
    intake_note_held(intake, &fetch->sources.list[0]);
    begin_hash(fetch);
}

void fetch_start(struct fetcher *fetcher, struct blob *blob, const struct source *source,
                 struct buf *given, const char *media_type)
{
    static const struct segments_events events = {on_answer, on_bytes, on_segment_end};
    struct fetch *fetch = check_calloc(1, sizeof(*fetch));

    loop_check_thread(&fetcher->loop);
    fetch->fetcher = fetcher;
    fetch->blob = blob_ref(blob);
    fetch->blob->fetch = fetch;
    intake_init(&fetch->intake, fetcher->store, blob);
    sources_init(&fetch->sources, source);
    fetch->given = *given;
    *given = (struct buf){0};
    segments_init(&fetch->segments, &fetch->intake, &fetcher->calls, &fetch->sources.list[0],
                  &events);
    CHECK(uv_timer_init(&fetcher->loop.uv, &fetch->timer) == 0);
    hashing_init(&fetch->hashing, blob->digest.algorithm, on_hash_progress);
    fetch->room.loop = &fetcher->loop;
    fetch->room.mail.deliver = on_room;
    list_append(&fetcher->fetches, &fetch->node);
    note_begin(fetch);
    blob_fill(blob);
    if (media_type[0] != '\0')
        blob_set_media_type(blob, media_type);
    if (fetch->given.length > 0) {
        take_given(fetch);
        return;
    }
    enum err err = intake_verify_chunks(&fetch->intake, &fetcher->loop, source, on_verdict);
    if (err == OK)
        ask_on(fetch);
    else
        fail(fetch, err, 0);
}

void fetch_join(struct fetch *fetch, const struct source *source)
{
    if (source != NULL)
        sources_add(&fetch->sources, source);
    go_on(fetch);
}

void fetch_stop(struct fetch *fetch)
{
    /* CALL: the fetcher ends its calls. LEARN, SETTLE and ENDING end by themselves, soon. */
    if (fetch->state == FETCH_IDLE) {
        uv_timer_stop(&fetch->timer);
        end_idle(fetch, true);
        return;
    }
    if (fetch->state != FETCH_PAUSE && fetch->state != FETCH_ROOM && fetch->state != FETCH_HASH)
        return;
    evict_leave(fetch->fetcher->store, &fetch->room);
    fail(fetch, ERR_STOPPING, 0);
}

struct fetch *fetch_of_node(struct list *node)
{
    return container_of(node, struct fetch, node);
}
