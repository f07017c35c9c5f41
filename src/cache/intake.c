#include "cache/intake.h"

#include <string.h>

#include "cache/evict.h"
#include "cache/footprint.h"
#include "cache/partial.h"
#include "io/disk.h"

/* How often in a `checkpoint`: a sync is not over as soon as it begins. How far a fill may be ahead
 * of it is partial_is_behind(). */
enum { RECORDS = 8 };

const struct extents *intake_present(const struct intake *intake)
{
    return &intake->blob->present;
}

uint64_t intake_missing(const struct intake *intake, struct extent range)
{
    if (intake->blob->size < range.end)
        range.end = intake->blob->size;
    return range.start < range.end ? extents_missing(intake_present(intake), range) : 0;
}

bool intake_is_whole(const struct intake *intake)
{
    return intake->blob->size != BLOB_SIZE_UNKNOWN &&
           intake_missing(intake, (struct extent){0, UINT64_MAX}) == 0;
}

uint64_t intake_growth(const struct intake *intake, struct extent range)
{
    if (intake->blob->size < range.end)
        range.end = intake->blob->size;
    return footprint_missing(intake_present(intake), range);
}

enum err intake_take_size(struct intake *intake, const struct source *source, uint64_t size)
{
    struct blob *blob = intake->blob;

    if (size > INT64_MAX)
        return ERR_UPSTREAM_NONSENSE;
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
        evict_reserve(intake->store, extents_total(intake_present(intake)) + bytes, more);
    if (err == OK)
        intake->reserved = bytes;
    intake->lacking = err == OK ? 0 : more;
    return err;
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

enum err intake_store(struct intake *intake, const struct source *source, uint64_t at,
                      const char *data, size_t length)
{
    struct extent rest = {at, at + length}, gap;

    while (extents_first_gap(intake_present(intake), rest, &gap)) {
        uint64_t part = gap.end - gap.start;
        uint64_t growth = footprint_growth(intake_present(intake), gap);
        enum err err = intake_reserve(intake, growth);
        if (err != OK)
            return err;
        err = disk_write(intake->blob->fd, data + (gap.start - at), part, gap.start);
        disk_rest_note(&intake->store->disk_rest, err, clock_monotonic_us() / 1000);
        if (err != OK)
            return err;
        intake_note_sent(intake, source); /* not sooner: an answer that began with what was here
                                           * would be cut where the disk takes no more */
        blob_publish(intake->blob, gap);
        intake->received += part;
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
    intake->recorded = intake->received;
}

bool intake_record_if_due(struct intake *intake)
{
    if (intake->received - intake->recorded < intake->store->config->checkpoint / RECORDS)
        return false;
    intake_record(intake);
    return true;
}
