#include "cache/intake.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "cache/evict.h"
#include "cache/footprint.h"
#include "cache/partial.h"
#include "io/disk.h"

/* How often in a `checkpoint`: a sync is not over as soon as it begins. How far a fill may be ahead
 * of it is partial_is_behind(). */
enum { RECORDS = 8 };

void intake_init(struct intake *intake, struct store *store, struct blob *blob)
{
    *intake = (struct intake){.store = store, .blob = blob, .pressed = UINT64_MAX};
}

bool intake_wants_room(struct intake *intake, enum err err)
{
    if (err == ERR_NO_ROOM)
        return true;
    if (err != ERR_DISK_FULL || intake->pressed == intake->received)
        return false;
    intake->pressed = intake->received;
    evict_press(intake->store);
    return true;
}

static void on_verdict(struct verifier *verifier, const struct verdict *verdict)
{
    struct intake *intake = container_of(verifier, struct intake, verifier);

    if (verdict != NULL && verdict->err == OK)
        intake->published += verdict->fresh;
    intake->on_verdict(intake, verdict);
}

/* Whether the numbers are of another size than what is here of the blob. */
static bool is_contradicted(const struct intake *intake)
{
    const struct blob *blob = intake->blob;
    uint64_t size = intake->verifier.numbers.size;

    return (blob->size != BLOB_SIZE_UNKNOWN && blob->size != size) ||
           extents_end(&blob->present) > size;
}

/* Whether numbers that are a claim count: a wrong one is not to keep anybody from bytes that have
 * the right sha256. */
static bool claim_counts(const struct intake *intake, const struct source *source)
{
    return source_wants_parts(source) && !is_contradicted(intake) &&
           (source->size == BLOB_SIZE_UNKNOWN || source->size == intake->verifier.numbers.size);
}

enum err intake_verify_chunks(struct intake *intake, struct loop *loop, const struct source *source,
                              void (*on_verdict_)(struct intake *intake,
                                                  const struct verdict *verdict))
{
    const struct blob *blob = intake->blob;
    const struct verifier *verifier = &intake->verifier;
    char text[DIGEST_TEXT_SIZE];

    if (source->is_manifest)
        return OK;
    intake->on_verdict = on_verdict_;
    verifier_begin(&intake->verifier, intake->store, loop, intake->blob, on_verdict);
    if (verifier->numbers.is_claimed && !claim_counts(intake, source))
        verifier_release(&intake->verifier);
    if (!verifier_is_on(verifier) || !is_contradicted(intake))
        return OK;
    log_message(CONFIG_LOG_ERROR, "mismatch",
                "what is here of %s is of one with another size than its known numbers, which are "
                "of %" PRIu64 " bytes; it is fetched anew",
                digest_print(&blob->digest, text), verifier->numbers.size);
    return ERR_SIZE_MISMATCH;
}

void intake_end(struct intake *intake)
{
    verifier_end(&intake->verifier);
    intake_unreserve(intake);
}

void intake_release(struct intake *intake)
{
    verifier_release(&intake->verifier);
}

const struct extents *intake_written(const struct intake *intake)
{
    return intake->blob->written;
}

uint64_t intake_grid(const struct intake *intake)
{
    return intake_has_cells(intake) ? NUMBERS_CHUNK : intake->store->config->range_grid;
}

bool intake_has_cells(const struct intake *intake)
{
    return verifier_is_on(&intake->verifier);
}

uint64_t intake_missing(const struct intake *intake, struct extent range)
{
    if (intake->blob->size < range.end)
        range.end = intake->blob->size;
    return range.start < range.end ? extents_missing(intake_written(intake), range) : 0;
}

bool intake_is_written(const struct intake *intake)
{
    return intake->blob->size != BLOB_SIZE_UNKNOWN &&
           intake_missing(intake, (struct extent){0, UINT64_MAX}) == 0;
}

bool intake_is_whole(const struct intake *intake)
{
    const struct blob *blob = intake->blob;

    return blob->size != BLOB_SIZE_UNKNOWN &&
           extents_missing(&blob->present, (struct extent){0, blob->size}) == 0;
}

uint64_t intake_growth(const struct intake *intake, struct extent range)
{
    if (intake->blob->size < range.end)
        range.end = intake->blob->size;
    return footprint_missing(intake_written(intake), range);
}

/* Whether a file of that size may be the one that there are numbers of. */
static bool fits_numbers(const struct intake *intake, const struct source *source, uint64_t size)
{
    const struct verifier *verifier = &intake->verifier;
    char text[DIGEST_TEXT_SIZE];

    if (!verifier_is_on(verifier) || size == verifier->numbers.size)
        return true;
    log_message(CONFIG_LOG_ERROR, "mismatch",
                "%s of %s sent %s with %" PRIu64 " bytes, and its known numbers are of %" PRIu64
                "; if other sources say the same, the numbers are wrong",
                source->repository, source->upstream->config->name,
                digest_print(&intake->blob->digest, text), size, verifier->numbers.size);
    return false;
}

enum err intake_take_size(struct intake *intake, const struct source *source, uint64_t size)
{
    struct blob *blob = intake->blob;

    if (size > INT64_MAX)
        return ERR_UPSTREAM_NONSENSE;
    if (!fits_numbers(intake, source, size))
        return ERR_CHUNK_MISMATCH;
    if (blob->size != BLOB_SIZE_UNKNOWN
            ? blob->size != size
            : source->size != BLOB_SIZE_UNKNOWN && source->size != size) {
        /* One of them lies: the next try goes by what was said last. */
        source_note_held(source, intake->store->index, &blob->digest, size, false);
        return ERR_SIZE_MISMATCH;
    }
    if (source->is_manifest && size > intake->store->config->max_manifest)
        return ERR_UPSTREAM_TOO_LARGE;
    if (blob->size == BLOB_SIZE_UNKNOWN)
        blob_set_size(blob, size);
    return OK;
}

enum err intake_reserve(struct intake *intake, uint64_t bytes)
{
    if (bytes <= intake->reserved)
        return OK;
    uint64_t more = bytes - intake->reserved;
    enum err err =
        evict_reserve(intake->store, extents_total(intake_written(intake)) + bytes, more);
    if (err == OK)
        intake->reserved = bytes;
    intake->lacking = err == OK ? 0 : more;
    return err;
}

enum err intake_reserve_whole(struct intake *intake, uint64_t size)
{
    struct blob_view view = blob_look(intake->blob, 0, NULL);

    if (view.size != BLOB_SIZE_UNKNOWN)
        size = view.size;
    if (size == BLOB_SIZE_UNKNOWN || !view.whole)
        return OK;
    return intake_reserve(intake, intake_growth(intake, (struct extent){0, size}));
}

void intake_unreserve(struct intake *intake)
{
    evict_unreserve(intake->store, intake->reserved);
    intake->reserved = 0;
}

/* What was reserved of the budget is used now. */
static void use(struct intake *intake, uint64_t bytes)
{
    intake->store->used += bytes;
    evict_unreserve(intake->store, bytes);
    intake->reserved -= bytes;
}

void intake_note_sent(struct intake *intake, const struct source *source)
{
    if (memcmp(intake->blob->held_by, source->key, sizeof(source->key)) != 0)
        intake_note_held(intake, source);
}

/* They are in the file. */
static void take_in(struct intake *intake, const struct source *source, struct extent range)
{
    intake->received += range.end - range.start;
    if (verifier_is_on(&intake->verifier)) {
        verifier_wrote(&intake->verifier, source, range);
        return;
    }
    blob_publish(intake->blob, range);
    intake->published += range.end - range.start;
}

enum err intake_store(struct intake *intake, const struct source *source, uint64_t at,
                      const char *data, size_t length)
{
    struct extent rest = {at, at + length}, gap;

    if (rest.end > intake->verifier.numbers.size && !fits_numbers(intake, source, rest.end))
        return ERR_CHUNK_MISMATCH;
    while (extents_first_gap(intake_written(intake), rest, &gap)) {
        uint64_t part = gap.end - gap.start;
        uint64_t growth = footprint_growth(intake_written(intake), gap);
        enum err err = intake_reserve(intake, growth);
        if (err != OK)
            return err;
        err = disk_write(intake->blob->fd, data + (gap.start - at), part, gap.start);
        disk_rest_note(&intake->store->disk_rest, err, clock_monotonic_us() / 1000);
        if (err != OK)
            return err;
        intake_note_sent(intake, source); /* not sooner: an answer that began with what was here
                                           * would be cut where the disk takes no more */
        take_in(intake, source, gap);
        use(intake, growth);
        rest.start = gap.end;
    }
    return OK;
}

void intake_note_held(struct intake *intake, const struct source *source)
{
    source_note_held(source, intake->store->index, &intake->blob->digest, intake->blob->size,
                     false);
    blob_set_held_by(intake->blob, source->key);
}

void intake_record(struct intake *intake)
{
    partial_record(intake->store, intake->blob);
    intake->recorded = intake->published;
}

bool intake_record_if_due(struct intake *intake)
{
    if (intake->published - intake->recorded < intake->store->config->checkpoint / RECORDS)
        return false;
    intake_record(intake);
    return true;
}
