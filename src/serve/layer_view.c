#include "serve/layer_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/stats.h"
#include "cache/source.h"
#include "io/loop.h"

enum {
    TOUCH_INTERVAL_S = 60,
    OPEN_AHEAD = 32,  /* files, */
    FETCH_AHEAD = 16, /* if they are small: */
    SMALL_FILE = 1 << 20,
    SCRATCH = 4096,
    WALK_MAX = 65536, /* of framing, before the first byte of a file: it can be sent meanwhile */
};

static struct store *store_of(const struct layer_view *view)
{
    return view->fetchers->store;
}

/* ---- who has the bytes ---- */

/* The upstream of a place, if there still is one. */
static struct upstream *upstream_of(const struct layer_view *view, const struct layer_place *place)
{
    struct store *store = store_of(view);
    int found = config_find_upstream(store->config, view_of(place->upstream));

    if (found < 0 || !store->config->upstreams[found].is_hub)
        return NULL;
    return &store->upstreams.list[found];
}

/* Calls `visit` with each source of a file, those of the request's own upstream first, until it
 * returns false. */
static void each_source(struct layer_view *view, size_t file,
                        bool (*visit)(void *argument, const struct source *source), void *argument)
{
    const struct layer_record *record = &view->layer->record;
    struct source source;
    struct digest digest;
    bool more = true;

    layer_file_digest(view->layer, file, &digest);
    for (size_t turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < record->place_count && more; i++) {
            const struct layer_place *place = &record->places[i];
            struct upstream *upstream = upstream_of(view, place);
            if (upstream == NULL || (upstream == view->upstream) != (turn == 0))
                continue;
            source_init_file(&source, upstream, place->repository, place->commit,
                             view_of(record->files[file].name), &digest, record->files[file].size);
            more = visit(argument, &source);
        }
    }
}

struct asking {
    struct layer_view *view;
    struct blob *blob;
    bool filling; /* somebody brings the bytes already: this is one more to ask if he fails */
    enum err err; /* OK: somebody is asked */
};

/* Has it asked, unless it is known that it would not help. */
static bool on_source(void *argument, const struct source *source)
{
    struct asking *asking = argument;
    struct store *store = store_of(asking->view);
    uint64_t retry_after = 0;

    enum err err = asking->filling ? OK : absence_find(&store->absences, source->key);
    if (err == OK && !asking->filling)
        err = upstream_is_resting(source->upstream, &retry_after);
    if (err == OK) {
        fetcher_want(asking->view->fetchers, asking->blob, source);
        asking->err = OK;
    } else if (asking->err != OK) {
        asking->err = err;
        asking->view->retry_after_s = retry_after;
        memcpy(asking->view->blamed, source->key, sizeof(source->key));
    }
    return true;
}

/* Has a file's blob filled with what is wanted of it. */
static enum err ask(struct layer_view *view, size_t file, struct blob *blob, bool filling)
{
    struct asking asking = {
        .view = view, .blob = blob, .filling = filling, .err = filling ? OK : ERR_INCOMPLETE};

    enum err err = disk_rest_ask(&store_of(view)->disk_rest, clock_monotonic_us() / 1000);
    if (err == OK) {
        each_source(view, file, on_source, &asking);
        err = asking.err;
    }
    return err;
}

/* ---- what is missing ---- */

/* Of what will be read, what lies in the file; the caller frees it. */
static struct extent *ranges_of_file(const struct layer_view *view, size_t *ret_count)
{
    struct extent *ranges = check_calloc(view->range_count, sizeof(*ranges));
    const struct layout *layout = view->layer->layout;
    size_t count = 0;

    for (size_t i = 0; i < view->range_count; i++) {
        struct extent range = {layout_file_before(layout, view->file, view->ranges[i].start),
                               layout_file_before(layout, view->file, view->ranges[i].end)};
        if (range.start < range.end)
            ranges[count++] = range;
    }
    *ret_count = count;
    return ranges;
}

/* Says what is wanted of the blob, once. */
static void demand(struct layer_view *view)
{
    size_t count;

    view->is_demanded = true;
    if (view->range_count == 0) {
        blob_demand_rest(view->blob, view->range.start);
        return;
    }
    view->asked = ranges_of_file(view, &count);
    view->demand = (struct demand){.ranges = view->asked, .count = count};
    blob_demand(view->blob, &view->demand);
}

static void withdraw(struct layer_view *view)
{
    if (view->blob != NULL)
        blob_withdraw(view->blob, &view->demand);
    free(view->asked);
    view->asked = NULL;
    view->is_demanded = false;
}

/* Sees that what is missing of the range that is read comes; an opening is waited for first. */
static enum err see_to(struct layer_view *view, const struct blob_view *look)
{
    bool filling = look->state == BLOB_FILLING, is_new = !view->is_demanded;

    if (look->state == BLOB_OPENING || look->state == BLOB_COMPLETE || look->state == BLOB_FAILED ||
        blob_has(view->blob, &view->range, 1))
        return OK;
    if (!is_new && filling)
        return OK;
    if (filling)
        stats_add(STAT_READERS_COALESCED, AT_ALL, 1);
    view->joins |= filling;
    view->waits |= !filling;
    if (is_new)
        demand(view);
    return ask(view, view->file, view->blob, filling);
}

static enum err await(struct composite *composite)
{
    struct layer_view *view = container_of(composite, struct layer_view, composite);
    struct blob_view look = blob_look(view->blob, view->range.start, NULL);

    return see_to(view, &look);
}

/* ---- ahead of the reader ---- */

/* The blob of a file that comes later, if that is small and within what is read. */
static struct blob *blob_ahead(struct layer_view *view, size_t file, uint64_t end)
{
    const struct layer_file *named = &view->layer->record.files[file];
    struct digest digest;

    if (named->size == 0 || named->size > SMALL_FILE ||
        layout_file_before(view->layer->layout, file, end) < named->size)
        return NULL;
    layer_file_digest(view->layer, file, &digest);
    return fetcher_blob(view->fetchers, &digest);
}

/* Has the next files opened, each once. */
static void open_ahead(struct layer_view *view, uint64_t end)
{
    size_t count = view->layer->record.count;

    if (view->opened_to <= view->file)
        view->opened_to = view->file + 1;
    for (; view->opened_to < count && view->opened_to <= view->file + OPEN_AHEAD;
         view->opened_to++) {
        struct blob *blob = blob_ahead(view, view->opened_to, end);
        if (blob != NULL)
            blob_unref(blob);
    }
}

/* Has what is missing of the next files fetched, if they have been opened by now. */
static void fetch_ahead(struct layer_view *view, uint64_t end)
{
    if (view->sent_to <= view->file)
        view->sent_to = view->file + 1;
    for (; view->sent_to < view->opened_to && view->sent_to <= view->file + FETCH_AHEAD;
         view->sent_to++) {
        struct blob *blob = blob_ahead(view, view->sent_to, end);
        if (blob == NULL)
            continue;
        enum blob_state state = blob_look(blob, 0, NULL).state;
        if (state == BLOB_PARTIAL) {
            blob_demand_rest(blob, 0);
            (void)ask(view, view->sent_to, blob, false);
        }
        blob_unref(blob);
        if (state == BLOB_OPENING)
            return;
    }
}

/* ---- reading ---- */

static void drop_blob(struct layer_view *view)
{
    withdraw(view);
    if (view->blob != NULL)
        view->blob = blob_unref(view->blob);
}

static void turn_to(struct layer_view *view, size_t file)
{
    struct digest digest;

    if (view->blob != NULL && view->file == file)
        return;
    drop_blob(view);
    layer_file_digest(view->layer, file, &digest);
    view->blob = fetcher_blob(view->fetchers, &digest);
    view->file = file;
    view->is_touched = false;
}

/* Notes that a file is used, now and then: a layer may have many, which are not open for long. */
static void touch(struct layer_view *view)
{
    if (view->is_touched)
        return;
    uint32_t now = (uint32_t)(clock_monotonic_us() / 1000000) + 1;
    _Atomic uint32_t *last = &view->layer->touched_s[view->file];
    view->is_touched = true;
    if (*last != 0 && now - *last < TOUCH_INTERVAL_S)
        return;
    *last = now;
    index_touch(store_of(view)->index, &view->blob->digest);
}

static void next(struct composite *composite, uint64_t *offset, uint64_t end, char *scratch,
                 size_t size, struct composite_part *ret_part)
{
    struct layer_view *view = container_of(composite, struct layer_view, composite);
    const struct layout *layout = view->layer->layout;
    struct layout_piece piece;

    CHECK(layout_next(layout, offset, end, (uint8_t *)scratch, size, &piece));
    *ret_part = (struct composite_part){.bytes = piece.bytes};
    if (piece.bytes.length > 0)
        return;
    turn_to(view, piece.file);
    view->range = (struct extent){piece.start, layout_file_before(layout, piece.file, end)};
    *ret_part = (struct composite_part){
        .blob = view->blob, .start = piece.start, .end = piece.end, .until = view->range.end};
    struct blob_view look = blob_look(view->blob, piece.start, NULL);
    if (look.state == BLOB_COMPLETE) {
        touch(view);
    } else {
        view->looks_ahead = true;  /* its neighbours may not be here either */
        (void)see_to(view, &look); /* if it cannot, that shows when the bytes are due */
    }
    if (view->looks_ahead) {
        open_ahead(view, end);
        fetch_ahead(view, end);
    }
}

void layer_view_init(struct layer_view *view, struct layers *layers, struct layer *layer,
                     struct fetchers *fetchers, const struct upstream *upstream)
{
    *view = (struct layer_view){
        .composite = {.next = next, .await = await},
        .layers = layers,
        .layer = layer,
        .fetchers = fetchers,
        .upstream = upstream,
    };
}

void layer_view_select(struct layer_view *view, struct extent **ranges, size_t count)
{
    CHECK(view->ranges == NULL && view->blob == NULL);
    view->ranges = *ranges;
    view->range_count = count;
    *ranges = NULL;
}

void layer_view_release(struct layer_view *view)
{
    drop_blob(view);
    free(view->ranges);
    if (view->layer != NULL)
        layers_unref(view->layers, view->layer);
    *view = (struct layer_view){0};
}

/* ---- before the answer ---- */

/* Some of what is read of the blob is here. Whether the rest is too, or a source has said that it
 * has it. */
static bool is_coming(struct layer_view *view, const struct blob_view *look)
{
    return look->state == BLOB_COMPLETE || blob_has(view->blob, &view->range, 1) ||
           (look->state == BLOB_FILLING && look->answered);
}

enum err layer_view_begin(struct layer_view *view, uint64_t start, uint64_t end,
                          struct waiter *waiter, bool *ret_ready)
{
    struct composite_part part = {0};
    char scratch[SCRATCH];

    *ret_ready = true;
    for (uint64_t at = start; at < end && at - start < WALK_MAX && part.blob == NULL;)
        next(&view->composite, &at, end, scratch, sizeof(scratch), &part);
    if (part.blob == NULL)
        return OK;
    waiter->until = part.until;
    struct blob_view look = blob_look(part.blob, part.start, waiter);
    if (look.state == BLOB_COMPLETE && look.size != view->layer->record.files[view->file].size)
        return ERR_SIZE_MISMATCH; /* a numbers file may say anything of it */
    if (look.readable > 0 && look.state != BLOB_FAILED) {
        if (is_coming(view, &look))
            return OK;
        look = blob_look(part.blob, BLOB_OFFSET_END, waiter);
        if (look.state == BLOB_COMPLETE)
            return OK;
    }
    *ret_ready = false;
    if (look.state == BLOB_FAILED) {
        view->retry_after_s = look.retry_after_s;
        memcpy(view->blamed, look.held_by, sizeof(look.held_by));
        return look.err;
    }
    enum err err = see_to(view, &look);
    if (err != OK)
        blob_unpark(part.blob, waiter);
    return err;
}

void layer_view_leave(struct layer_view *view, struct waiter *waiter)
{
    if (view->blob != NULL)
        blob_unpark(view->blob, waiter);
}

static bool on_own(void *argument, const struct source *source)
{
    const struct blob_view **look = argument;

    if (memcmp(source->key, (*look)->held_by, sizeof(source->key)) == 0)
        *look = NULL;
    return *look != NULL;
}

bool layer_view_renew(struct layer_view *view)
{
    static const unsigned char nobody[FLIGHT_KEY_SIZE];

    if (view->blob == NULL)
        return false;
    struct blob_view look = blob_look(view->blob, BLOB_OFFSET_END, NULL);
    const struct blob_view *others = &look;
    if (look.state != BLOB_FAILED)
        return false;
    each_source(view, view->file, on_own, &others);
    bool is_ours = others == NULL || memcmp(look.held_by, nobody, sizeof(nobody)) == 0;
    if (is_ours && look.err != ERR_DAMAGED)
        return false;
    drop_blob(view);
    return true;
}
