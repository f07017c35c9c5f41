#include "cache/segments_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/partial.h"
#include "cache/portion.h"
#include "wire/http.h"

enum { STRAYS_MAX = 3 };

static struct blob *blob_of(const struct segments *segments)
{
    return segments->intake->blob;
}

static const struct config *config_of(const struct segments *segments)
{
    return segments->intake->store->config;
}

uint64_t segments_size(const struct segments *segments)
{
    uint64_t size = blob_of(segments)->size;

    if (size == BLOB_SIZE_UNKNOWN && segments->source->size > 0)
        size = segments->source->size;
    return size;
}

/* ---- life ---- */

void segments_init(struct segments *segments, struct intake *intake, struct calls *calls,
                   const struct source *source, const struct segments_events *events)
{
    *segments =
        (struct segments){.intake = intake, .calls = calls, .source = source, .events = events};
    list_init(&segments->running);
}

static void segment_free(struct segment *segment)
{
    list_unlink(&segment->node);
    segment->segments->count--;
    free(segment);
}

void segment_cancel(struct segment *segment)
{
    call_cancel(segment->call);
    segment_free(segment);
}

void segments_cancel(struct segments *segments)
{
    while (!list_is_empty(&segments->running))
        segment_cancel(container_of(segments->running.next, struct segment, node));
}

/* What is asked of the source from now on is asked there. */
static void take_target(struct segments *segments, const char *target)
{
    if (target != NULL && segments->target != NULL && strcmp(target, segments->target) == 0)
        return;
    free(segments->target);
    segments->target = target == NULL ? NULL : check_strdup(target);
}

void segments_release(struct segments *segments)
{
    segments_cancel(segments);
    take_target(segments, NULL);
}

void segments_ask_whole(struct segments *segments)
{
    segments->whole_only = true;
}

void segments_forget_target(struct segments *segments)
{
    take_target(segments, NULL);
}

void segments_turn(struct segments *segments)
{
    segments->turns++;
    segments->whole_only = segments->gives_parts = false;
    segments->strays = 0;
    take_target(segments, NULL);
}

/* ---- an answer comes ---- */

uint64_t segments_outstanding(const struct segments *segments)
{
    uint64_t bytes = 0, size = segments_size(segments);

    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        const struct segment *segment = container_of(node, struct segment, node);
        struct extent rest = {segment->at, segment->end < size ? segment->end : size};
        if (rest.start < rest.end && rest.end != UINT64_MAX && !segment->is_guess)
            bytes += intake_growth(segments->intake, rest);
    }
    return bytes;
}

/* Room for what runs; and for the rest as soon as a head has told how much that is, if it is
 * wanted: what is larger than the cache is to be refused before the first byte. */
static enum err reserve(const struct segments *segments)
{
    struct blob_view view = blob_look(blob_of(segments), 0, NULL);
    uint64_t bytes = segments_outstanding(segments);

    if (view.whole && view.size != BLOB_SIZE_UNKNOWN) {
        uint64_t rest = intake_growth(segments->intake, (struct extent){0, view.size});
        bytes = bytes > rest ? bytes : rest;
    }
    return intake_reserve(segments->intake, bytes);
}

/* There are no parts to be had: a segment that was to end where another begins goes on to its end.
 * Whether there is one that brings the whole. */
static bool uncut(struct segments *segments)
{
    bool any = false;

    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        struct segment *segment = container_of(node, struct segment, node);
        if (!segment->answered || segment->asked.start > 0 || segment->asked.end < UINT64_MAX)
            continue;
        segment->end = segment->announced;
        any = true;
    }
    return any;
}

/* One that was to end where this one begins has gone on over it, since nobody knew yet that there
 * are parts to be had: it brings all that this one would, if what it brought was right. */
static bool is_overrun(const struct segment *segment)
{
    const struct segments *segments = segment->segments;
    uint64_t start = segment->asked.start;

    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        const struct segment *other = container_of(node, struct segment, node);
        if (other != segment && other->answered && other->at >= start &&
            other->asked.start < start && other->end >= segment->end &&
            intake_missing(segments->intake, (struct extent){start, other->at}) == 0)
            return true;
    }
    return false;
}

/* Which ones are beside others that run, or that have been answered. */
static void note_extra(const struct segments *segments)
{
    const struct list *running = &segments->running;
    bool any = false;

    for (struct list *node = running->next; node != running; node = node->next) {
        const struct segment *segment = container_of(node, struct segment, node);
        any |= segment->answered && segment->turn == segments->turns;
    }
    for (struct list *node = running->next; node != running; node = node->next) {
        struct segment *segment = container_of(node, struct segment, node);
        if (segment->answered || segment->turn != segments->turns)
            continue;
        segment->is_extra |= any;
        call_set_extra(segment->call, segment->is_extra || segments->count > 1);
    }
}

/* A good head: what it says of the blob, and of the body that follows. */
static enum err take_head(struct segment *segment, int status, struct extent body, uint64_t size)
{
    struct segments *segments = segment->segments;
    struct intake *intake = segments->intake;
    enum err err = OK;

    if (size == BLOB_SIZE_UNKNOWN)
        size = segment->source.size; /* chunked; but the manifest said it */
    if (size != BLOB_SIZE_UNKNOWN)
        err = intake_take_size(intake, &segment->source, size);
    if (err != OK)
        return err;
    if (status == 200 && (segment->asked.start > 0 || segment->asked.end < size)) {
        segments->whole_only = true;
        segment->is_surplus = uncut(segments);
        if (segment->is_surplus)
            return ERR_STOPPING; /* the whole is on its way already */
        segment->asked = (struct extent){0, UINT64_MAX};
        segment->end = UINT64_MAX;
    }
    segment->is_guess = false;
    segment->at = body.start;
    segment->announced = size < body.end ? size : body.end;
    if (segment->announced < segment->end)
        segment->end = segment->announced;
    segment->is_surplus = is_overrun(segment);
    if (segment->is_surplus) {
        if (status == 206)
            upstream_note_ranges(segment->source.upstream);
        return ERR_STOPPING;
    }
    err = reserve(segments);
    if (err == OK && intake->blob->fd < 0)
        err = partial_create(intake->store, intake->blob);
    return err;
}

static enum err on_head(struct call *call, int status)
{
    struct segment *segment = call_owner(call);
    struct segments *segments = segment->segments;
    const struct source *source = &segment->source;
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    struct extent body;
    uint64_t size;

    enum err err = source_read_head(call, status, segment->asked, &body, &size);
    if (err == OK)
        err = take_head(segment, status, body, size);
    if (err != OK)
        return err;
    segment->answered = true;
    segment->started_us = clock_monotonic_us(); /* not the time that it waited for its turn */
    segment->window_at = segment->at;
    note_extra(segments);
    if (status == 206 || view_equal_nocase(call_field(call, "Accept-Ranges"), VIEW("bytes")))
        upstream_note_ranges(source->upstream);
    if (segment->turn == segments->turns) {
        segments->gives_parts |= status == 206;
        take_target(segments, call_target(call));
    }
    if (source->is_manifest && segments->intake->received == 0 &&
        http_media_type(call_field(call, "Content-Type"), media_type, sizeof(media_type)))
        blob_set_media_type(blob_of(segments), media_type);
    segments->events->on_answer(segments);
    return OK;
}

/* How far it may go. */
static uint64_t limit_of(const struct segment *segment)
{
    const struct segments *segments = segment->segments;
    const struct config *config = config_of(segments);

    if (segment->end != UINT64_MAX)
        return segment->end;
    return segment->source.is_manifest ? config->max_manifest : config->cache_size;
}

static enum err on_body(struct call *call, const void *data, size_t length)
{
    struct segment *segment = call_owner(call);
    struct segments *segments = segment->segments;
    struct intake *intake = segments->intake;
    uint64_t room = limit_of(segment), received = intake->received;
    bool is_cut = segment->end < segment->announced; /* another segment brings the rest */

    if (is_cut && segment->at + length >= segment->end &&
        !upstream_takes_ranges(segment->source.upstream)) {
        segment->end = segment->announced; /* or so we thought: it has not answered yet */
        room = limit_of(segment);
        is_cut = false;
    }
    room = segment->at < room ? room - segment->at : 0;
    if (length > room && !is_cut)
        return segment->end == UINT64_MAX ? ERR_UPSTREAM_TOO_LARGE : ERR_UPSTREAM_NONSENSE;
    if (length > room)
        length = (size_t)room;
    enum err err = intake_store(intake, &segment->source, segment->at, data, length);
    if (err != OK)
        return err;
    segment->at += length;
    segment->received += intake->received - received;
    segments->events->on_bytes(segments);
    return is_cut && segment->at >= segment->end ? ERR_STOPPING : OK;
}

/* The disk is to keep up: a power cut loses no more than `checkpoint`. */
static bool is_held(struct call *call)
{
    const struct intake *intake = ((struct segment *)call_owner(call))->segments->intake;

    return partial_is_behind(intake->store, intake->blob);
}

void segments_resume(struct segments *segments)
{
    for (struct list *node = segments->running.next; node != &segments->running; node = node->next)
        call_resume(container_of(node, struct segment, node)->call);
}

/* How the end of a call looks to the segment. */
static enum err end_of(struct segment *segment, struct call *call, enum err err)
{
    struct segments *segments = segment->segments;
    struct intake *intake = segments->intake;
    bool is_sized = intake->blob->size != BLOB_SIZE_UNKNOWN;
    uint64_t told = call_unsatisfied_size(call);

    bool is_cut = segment->end < segment->announced;
    bool in_vain = segment->received == 0 && !is_cut &&
                   intake_missing(intake, segment->asked) > 0; /* or it would be asked for ever */
    if (segment->is_surplus || (segment->answered && segment->at >= segment->end && !in_vain))
        return OK; /* all came that was to come, perhaps because it was cut there */
    if (err == OK && !is_sized && segment->asked.end == UINT64_MAX)
        return intake_take_size(intake, &segment->source, segment->at); /* that was all */
    if (call_status(call) == 416 && is_sized && segment->asked.start >= intake->blob->size)
        return OK; /* it was asked for before another answer told the size */
    if (call_status(call) == 416 && !is_sized && told <= segment->asked.start) {
        /* There are no such bytes. It has answered: who hears the size is to know that first. */
        blob_set_held_by(intake->blob, segment->source.key);
        err = intake_take_size(intake, &segment->source, told);
        if (err == OK)
            intake_note_held(intake, &segment->source);
        if (err == OK && told == 0 && intake->blob->fd < 0)
            err = partial_create(intake->store, intake->blob);
        return err;
    }
    if (err == OK && segment->received == 0)
        return ERR_UPSTREAM_BROKEN;
    return source_err(&segment->source, err);
}

/* Whether a wrong answer to a question for a part is a slip of a source that has answered others,
 * so that it is worth another try. */
static bool is_stray(struct segments *segments)
{
    return segments->gives_parts && ++segments->strays <= STRAYS_MAX;
}

static void on_end(struct call *call, enum err err)
{
    struct segment *segment = call_owner(call);
    struct segments *segments = segment->segments;
    struct segment_end end = {.err = end_of(segment, call, err),
                              .retry_after_s = call_retry_after(call),
                              .words = call_sentence(call),
                              .answered = segment->answered,
                              .progressed = segment->received > 0,
                              .parted = segment->parted,
                              .is_stale = segment->turn != segments->turns};

    if (end.err == OK && segment->answered)
        intake_note_sent(segments->intake, &segment->source);
    if (segment->received >= PORTION_MIN / 4)
        upstream_note_rate(segment->source.upstream, segment->received,
                           clock_monotonic_us() - segment->started_us);
    if (end.err != OK && !end.is_stale)
        take_target(segments, NULL);
    if (end.err == ERR_UPSTREAM_NONSENSE && end.parted && is_stray(segments))
        end.err = ERR_UPSTREAM_FAILED;
    struct upstream *upstream = segment->source.upstream;
    bool is_extra = segment->is_extra; /* the others may have ended before it gave up waiting */
    segment_free(segment);
    note_extra(segments);
    end.is_crowded =
        !end.answered && (is_extra || segments->count > 0) && upstream_is_of_crowd(end.err);
    if (end.is_crowded)
        upstream_note_crowd(upstream, segments->count);
    segments->events->on_end(segments, &end);
}

/* ---- asking ---- */

bool segments_want_parts(const struct segments *segments)
{
    return (config_of(segments)->blob_connections > 1 || source_wants_parts(segments->source)) &&
           !segments->source->is_manifest;
}

void segment_start(struct segments *segments, struct extent range)
{
    static const struct call_events events = {on_head, on_body, is_held, on_end};
    struct segment *segment = check_calloc(1, sizeof(*segment));
    uint64_t size = segments_size(segments);

    if (range.end == UINT64_MAX && size == BLOB_SIZE_UNKNOWN && segments_want_parts(segments) &&
        !segments->whole_only && range.start < UINT64_MAX - SEGMENTS_LARGE) {
        range.end = range.start + SEGMENTS_LARGE; /* the answer tells whether that is all */
        segment->is_guess = true;
    }
    if (range.end == size)
        range.end = UINT64_MAX; /* to its end */
    segment->segments = segments;
    segment->source = *segments->source;
    segment->parted = range.start > 0 || range.end != UINT64_MAX ||
                      (source_wants_parts(segments->source) && !segments->whole_only);
    segment->asked = range;
    segment->at = range.start;
    segment->end = segment->announced = range.end;
    segment->started_us = clock_monotonic_us();
    segment->turn = segments->turns;
    list_append(&segments->running, &segment->node);
    segments->count++;
    segment->call = source_call(&segment->source, segments->calls, &blob_of(segments)->digest,
                                range, segment->parted, segments->target, &events, segment);
    note_extra(segments);
}
