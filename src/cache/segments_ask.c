#include "cache/segments_parts.h"

#include <string.h>

#include "cache/partial.h"
#include "cache/plan.h"
#include "cache/portion.h"

enum {
    NEIGHBOURS_MAX = 2048,
    LOOKS_MAX = 65536,
    STEADY_US = 100000,  /* after which a segment's own speed tells more than its upstream's */
    WINDOW_US = 5000000, /* in which segments are compared, */
    PATIENCE_MAX = 5,    /* so many times doubled at most */
    SLOW_SHARE = 10,     /* slow is who brings less than a tenth */
};

/* The bytes of a request. */
static uint64_t request_size(const struct segments *segments)
{
    uint64_t grid = intake_grid(segments->intake), coming = segments_outstanding(segments);
    uint64_t missing =
        intake_missing(segments->intake, (struct extent){0, segments_size(segments)});

    if (!segments_want_parts(segments) || segments_size(segments) <= SEGMENTS_LARGE)
        return UINT64_MAX - UINT64_MAX % grid;
    return portion_size(segments->intake->store->config, missing > coming ? missing - coming : 0,
                        upstream_rate(segments->source->upstream), grid);
}

/* A look at what is wanted, and the next request for it. */
struct look {
    struct segments *segments;
    struct plan plan;
    bool takes_ranges; /* the upstream is known to */
    bool guesses;      /* one runs that will tell the size: what the rest is shows then */
    struct extent range;
    bool found;
    size_t budget; /* ranges that may still be looked at: many clients may ask for many */
};

/* What it brings within a second, as it goes now: who waits for that need not be helped. */
static uint64_t soon_of(const struct segment *segment)
{
    uint64_t us = clock_monotonic_us() - segment->started_us;
    uint64_t soon = upstream_rate(segment->source.upstream);

    if (us > STEADY_US)
        soon = (segment->at - segment->asked.start) * 1000 / (us / 1000);
    return soon < PORTION_MIN ? PORTION_MIN : soon;
}

static bool cut_for_parked(void *argument, const struct extent *ranges, size_t count,
                           bool is_parked)
{
    const struct look *look = argument;
    struct segments *segments = look->segments;
    uint64_t offset = ranges[0].start, grid = intake_grid(segments->intake);

    (void)count;
    for (struct list *node = segments->running.next; is_parked && node != &segments->running;
         node = node->next) {
        struct segment *segment = container_of(node, struct segment, node);
        uint64_t floor = offset - offset % grid, size = segments_size(segments);
        uint64_t end = segment->announced < size ? segment->announced : size;
        if (end - segment->asked.start <= PORTION_MAX)
            continue; /* it will be there soon enough; what is in flight at a cut is lost */
        if (offset < segment->end && floor > segment->at && floor - segment->at > soon_of(segment))
            segment->end = floor;
    }
    return is_parked; /* those behind them are no more urgent */
}

/* Whether one more request may start. */
static bool may_start(const struct look *look, bool is_parked)
{
    const struct segments *segments = look->segments;
    uint64_t cell = intake_has_cells(segments->intake) ? intake_grid(segments->intake) : 0;
    uint64_t crowd = upstream_crowd(segments->source->upstream);

    if (segments->count >= portion_count(segments->intake->store->config, is_parked, crowd, cell))
        return false;
    if (segments->count == 0 || look->takes_ranges)
        return true;
    /* Before it has answered nobody knows whether there are parts to be had. */
    for (struct list *node = segments->running.next; node != &segments->running; node = node->next)
        if (!container_of(node, struct segment, node)->answered)
            return false;
    return true;
}

static bool look_at(void *argument, const struct extent *ranges, size_t count, bool is_parked)
{
    struct look *look = argument;

    if (look->found) { /* neighbours of what was found are taken along */
        for (size_t i = 0; i < count && i < NEIGHBOURS_MAX && !is_parked; i++)
            plan_extend(&look->plan, ranges[i], &look->range);
        return true;
    }
    if (!may_start(look, is_parked))
        return is_parked;
    if (is_parked && plan_covers(&look->plan, ranges[0].start))
        return true; /* it is on its way */
    for (size_t i = 0; i < count && !look->found; i++) {
        if (look->budget == 0)
            return false;
        look->budget--;
        if (look->guesses && ranges[i].end == UINT64_MAX)
            continue;
        look->found = plan_next(&look->plan, ranges[i], &look->range);
        for (size_t n = i + 1; look->found && n < count && n < i + NEIGHBOURS_MAX; n++)
            plan_extend(&look->plan, ranges[n], &look->range);
    }
    return true;
}

static void look_begin(struct look *look, struct segments *segments, uint64_t size)
{
    struct intake *intake = segments->intake;

    *look = (struct look){.segments = segments,
                          .budget = LOOKS_MAX,
                          .takes_ranges = upstream_takes_ranges(segments->source->upstream)};
    plan_init(&look->plan, intake_written(intake), size, intake_grid(intake),
              request_size(segments));
    look->plan.whole_cells = intake_has_cells(intake);
    memcpy(look->plan.cuts, intake->verifier.cells.cuts, sizeof(look->plan.cuts));
    if (may_start(look, true) && size != BLOB_SIZE_UNKNOWN)
        blob_each_want(intake->blob, cut_for_parked, look);
    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        const struct segment *segment = container_of(node, struct segment, node);
        look->guesses |= segment->is_guess && size == BLOB_SIZE_UNKNOWN;
        if (segment->at < segment->end)
            plan_cover(&look->plan, (struct extent){segment->at, segment->end});
    }
}

/* Starts what is wanted of a blob of that size. */
static enum err ask_of(struct segments *segments, uint64_t size)
{
    struct look look;
    enum err err = OK;

    look_begin(&look, segments, size);
    for (look.found = true; look.found && err == OK;) {
        look.found = false;
        blob_each_want(segments->intake->blob, look_at, &look);
        if (look.found && look.range.end != UINT64_MAX)
            err = intake_reserve(segments->intake, segments_outstanding(segments) +
                                                       intake_growth(segments->intake, look.range));
        if (look.found && err == OK)
            segment_start(segments, look.range);
    }
    plan_release(&look.plan);
    return err;
}

/* ---- slow ones ---- */

/* The next window begins. */
static void begin_window(struct segments *segments, uint64_t now_us)
{
    segments->window_us = now_us;
    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        struct segment *segment = container_of(node, struct segment, node);
        segment->window_at = segment->at;
    }
}

/* Of those that ran all through the window the one that brought the least of it, if that is much
 * less than another one did. One that runs alone is measured by what its upstream gives as a rule.
 */
static struct segment *find_slow(const struct segments *segments, uint64_t us)
{
    uint64_t least = UINT64_MAX, most = 0;
    struct segment *slowest = NULL;
    unsigned count = 0;

    for (struct list *node = segments->running.next; node != &segments->running;
         node = node->next) {
        struct segment *segment = container_of(node, struct segment, node);
        uint64_t came = segment->at - segment->window_at;
        if (!segment->answered || segment->started_us > segments->window_us)
            continue;
        if (came < least)
            slowest = segment;
        least = came < least ? came : least;
        most = came > most ? came : most;
        count++;
    }
    if (count == 1)
        most = upstream_rate(segments->source->upstream) * (us / 1000) / 1000;
    return least < most / SLOW_SHARE ? slowest : NULL;
}

/*
 * A connection that trickles while others flow is given up, and what it has not brought is asked
 * for anew: the blob would be as late as the last of them. Not while the disk holds them back; and
 * one that runs alone less and less often, since its upstream may have become slow as a whole.
 */
static void drop_slow(struct segments *segments)
{
    const struct intake *intake = segments->intake;
    uint64_t now = clock_monotonic_us(), us = now - segments->window_us;

    if (segments->window_us == 0 || partial_is_behind(intake->store, intake->blob)) {
        begin_window(segments, now);
        return;
    }
    if (us < (uint64_t)WINDOW_US << segments->patience)
        return;
    struct segment *slow = find_slow(segments, us);
    if (slow != NULL && upstream_takes_ranges(segments->source->upstream)) {
        segments->patience += segments->count == 1 && segments->patience < PATIENCE_MAX;
        segment_cancel(slow);
        segments_forget_target(segments);
    }
    begin_window(segments, now);
}

/* ---- asking ---- */

enum err segments_ask(struct segments *segments)
{
    uint64_t size = segments_size(segments);

    if (segments->whole_only) {
        if (segments->count == 0 && !intake_is_written(segments->intake))
            segment_start(segments, (struct extent){0, UINT64_MAX});
        return OK;
    }
    drop_slow(segments);
    enum err err = ask_of(segments, size);
    /* What the manifest tells of is here: it is for an answer to say that this is all. */
    if (err == OK && segments->count == 0 && segments->intake->blob->size != size)
        err = ask_of(segments, BLOB_SIZE_UNKNOWN);
    return err;
}
