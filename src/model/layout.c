#include "model/layout.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/problem.h"
#include "model/gzip.h"
#include "model/tar.h"
#include "model/toc.h"
#include "model/window.h"

/* A file, in the layer's order. */
struct entry {
    struct view name; /* in layout->names */
    uint64_t size;
    size_t file;                        /* index in what the caller gave */
    size_t shared;                      /* bytes of the name that are folders of the one before */
    uint64_t tar_start, tar_data;       /* in the archive: its headers, its bytes */
    uint64_t toc_start;                 /* of its section in the JSON */
    uint64_t blob_data;                 /* in the layer: its first chunk; only when not empty */
    const struct chunk_numbers *chunks; /* borrowed; NULL: not set */
    bool has_sha256;
    uint8_t sha256[NUMBERS_SHA256];
};

/* A member that holds framing only: one before each file that is not empty, one after the last,
 * and the TOC's. */
struct gap {
    uint64_t start;               /* in the layer */
    uint64_t tar_start, tar_end;  /* what of the archive it holds */
    uint32_t crc32;               /* of that */
    const struct entry *followed; /* by the chunks of this file; NULL for the last two */
};

struct layout {
    char *names;           /* owned */
    struct entry *entries; /* owned */
    size_t entry_count;
    size_t *position; /* owned; of each file in `entries` */
    struct gap *gaps; /* owned; in order; the last one is the TOC's */
    size_t gap_count;
    uint64_t tar_toc; /* where the TOC's header stands in the archive, behind the archive's end */
    uint64_t json_start;
    struct layout_sizes sizes;
    struct digest toc_digest;
    bool sealed;
};

/* ---- what is where ---- */

static struct toc_file toc_file_of(const struct layout *layout, const struct entry *entry)
{
    return (struct toc_file){
        .name = entry->name,
        .shared = entry->shared,
        .first = entry == layout->entries,
        .size = entry->size,
        .offset = entry->blob_data,
        .sha256 = entry->has_sha256 ? entry->sha256 : NULL,
        .chunks = entry->chunks,
    };
}

/* The last entry that begins at `offset` of the archive or before it; NULL without any. */
static const struct entry *entry_in_tar(const struct layout *layout, uint64_t offset)
{
    size_t low = 0, high = layout->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (layout->entries[middle].tar_start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &layout->entries[low - 1];
}

static const struct entry *entry_in_toc(const struct layout *layout, uint64_t offset)
{
    size_t low = 0, high = layout->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (layout->entries[middle].toc_start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &layout->entries[low - 1];
}

/* The gap that begins at `offset` or before it: of the layer, or of the archive. */
static const struct gap *gap_at(const struct layout *layout, uint64_t offset, bool in_tar)
{
    size_t low = 0, high = layout->gap_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        const struct gap *gap = &layout->gaps[middle];
        if ((in_tar ? gap->tar_start : gap->start) <= offset)
            low = middle;
        else
            high = middle;
    }
    return &layout->gaps[low];
}

/* ---- the archive, but for the files' bytes ---- */

static uint64_t headers_length(const struct entry *entry)
{
    uint64_t length = tar_header_length(entry->name, entry->size);

    for (size_t i = entry->shared; i < entry->name.length; i++)
        if (entry->name.data[i] == '/')
            length += tar_header_length((struct view){entry->name.data, i + 1}, 0);
    return length;
}

/* The folders that nobody before was in, then the file. */
static void put_headers(struct window *window, const struct entry *entry)
{
    for (size_t i = entry->shared; i < entry->name.length; i++)
        if (entry->name.data[i] == '/')
            tar_put_header(window, (struct view){entry->name.data, i + 1}, 0, TAR_FOLDER, 0755);
    tar_put_header(window, entry->name, entry->size, TAR_FILE, 0644);
}

static void put_json(const struct layout *layout, struct window *window)
{
    uint64_t base = window->at;
    const struct entry *end = layout->entries + layout->entry_count;
    const struct entry *entry =
        window->start > base ? entry_in_toc(layout, window->start - base) : NULL;

    if (entry == NULL) {
        window_put_view(window, VIEW(TOC_HEAD));
        entry = layout->entries;
    }
    for (; entry < end && window->at < window->end; entry++) {
        struct toc_file file = toc_file_of(layout, entry);
        window->at = base + entry->toc_start;
        toc_put(window, &file);
    }
    window->at = base + layout->sizes.toc_length - strlen(TOC_TAIL);
    window_put_view(window, VIEW(TOC_TAIL));
}

static void put_toc(const struct layout *layout, struct window *window)
{
    uint64_t length = layout->sizes.toc_length;

    tar_put_header(window, VIEW(TOC_NAME), length, TAR_FILE, 0444);
    put_json(layout, window);
    window_put_zeros(window, tar_padding(length) + TAR_END);
}

/* Writes bytes [start, end) of the archive to `out`; none of them a file's. */
static void render(const struct layout *layout, uint64_t start, uint64_t end, uint8_t *out)
{
    struct window window = {.start = start, .end = end, .out = out};
    const struct entry *entry = entry_in_tar(layout, start);
    const struct entry *entries_end = layout->entries + layout->entry_count;

    if (start >= layout->tar_toc) {
        window.at = layout->tar_toc;
        put_toc(layout, &window);
        return;
    }
    if (entry != NULL && start >= entry->tar_data) { /* in the padding behind it */
        entry++;
        window.at = start;
        window_put_zeros(&window,
                         (entry < entries_end ? entry->tar_start : layout->tar_toc) - start);
    }
    for (; entry != NULL && entry < entries_end && window.at < end; entry++) {
        window.at = entry->tar_start;
        put_headers(&window, entry);
    }
    if (window.at < end)
        window_put_zeros(&window, end - window.at);
}

void layout_read_toc(const struct layout *layout, uint64_t start, uint64_t end, uint8_t *out)
{
    struct window window = {.start = start, .end = end, .out = out};

    CHECK(start <= end && end <= layout->sizes.toc_length);
    put_json(layout, &window);
}

/* The CRC32 of a gap; what of it is the TOC's JSON goes into `json`, too, when there is one. */
static uint32_t crc32_of_gap(const struct layout *layout, const struct gap *gap,
                             struct hasher *json)
{
    enum { STEP = 64 << 10 };
    uint8_t *bytes = check_malloc(STEP);
    uint64_t json_end = layout->json_start + layout->sizes.toc_length;
    uLong crc = 0;

    for (uint64_t at = gap->tar_start, next; at < gap->tar_end; at = next) {
        next = gap->tar_end - at > STEP ? at + STEP : gap->tar_end;
        render(layout, at, next, bytes);
        crc = crc32(crc, bytes, (uInt)(next - at));
        uint64_t from = at > layout->json_start ? at : layout->json_start;
        uint64_t to = next < json_end ? next : json_end;
        if (json != NULL && from < to)
            hasher_update(json, bytes + (from - at), to - from);
    }
    free(bytes);
    return (uint32_t)crc;
}

/* ---- pieces ---- */

/* What stands at an offset of the layer, up to the next boundary of any kind. */
struct run {
    uint64_t length;
    const uint8_t *framing;    /* bytes, or NULL: */
    const struct entry *entry; /* of whose bytes it is, from `start`, or NULL: */
    uint64_t start;            /* of the archive */
    struct gzip_spot spot;     /* keeps `framing` */
    uint8_t footer[GZIP_FOOTER];
};

static uint64_t gap_length(const struct gap *gap)
{
    return gzip_member_length(gap->tar_end - gap->tar_start);
}

static uint32_t crc32_of_chunk(const struct entry *entry, uint64_t chunk)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < 4 && entry->chunks != NULL; i++)
        crc |= (uint32_t)entry->chunks[chunk].crc32[i] << 8 * i;
    return crc;
}

/* The run at `within` of a member; its payload begins at `base` of a file or of the archive. */
static void locate_in_member(uint64_t payload, uint32_t crc, uint64_t within, uint64_t base,
                             struct run *run)
{
    gzip_locate(payload, crc, within, &run->spot);
    run->framing = run->spot.framing_length > 0 ? run->spot.framing : NULL;
    run->start = base + run->spot.start;
    run->length = run->framing != NULL ? run->spot.framing_length : run->spot.end - run->spot.start;
}

static void locate(const struct layout *layout, uint64_t offset, struct run *run)
{
    const struct gap *gap = gap_at(layout, offset, false);
    uint64_t gap_end = gap->start + gap_length(gap), full = gzip_member_length(NUMBERS_CHUNK);

    run->entry = NULL;
    if (offset >= layout->sizes.layer - GZIP_FOOTER) {
        gzip_footer(layout->sizes.toc_offset, run->footer);
        run->length = layout->sizes.layer - offset;
        run->framing = run->footer + (GZIP_FOOTER - run->length);
    } else if (offset < gap_end) {
        locate_in_member(gap->tar_end - gap->tar_start, gap->crc32, offset - gap->start,
                         gap->tar_start, run);
    } else {
        uint64_t chunk = (offset - gap_end) / full, start = chunk * NUMBERS_CHUNK;
        uint64_t left = gap->followed->size - start;
        run->entry = gap->followed;
        locate_in_member(left < NUMBERS_CHUNK ? left : NUMBERS_CHUNK,
                         crc32_of_chunk(run->entry, chunk), (offset - gap_end) % full, start, run);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool layout_next(const struct layout *layout, uint64_t *offset, uint64_t end, uint8_t *scratch,
                 size_t scratch_size, struct layout_piece *ret_piece)
{
    size_t length = 0;
    struct run run;

    CHECK(end <= layout->sizes.layer && *offset <= end && scratch_size > 0);
    while (*offset < end && length < scratch_size) {
        locate(layout, *offset, &run);
        uint64_t count = least(run.length, end - *offset);
        if (run.framing == NULL && run.entry != NULL) {
            if (length > 0)
                break;
            *ret_piece = (struct layout_piece){
                .file = run.entry->file, .start = run.start, .end = run.start + count};
            *offset += count;
            return true;
        }
        count = least(count, scratch_size - length);
        if (run.framing != NULL)
            memcpy(scratch + length, run.framing, count);
        else
            render(layout, run.start, run.start + count, scratch + length);
        length += count;
        *offset += count;
    }
    if (length > 0)
        *ret_piece = (struct layout_piece){.bytes = {(const char *)scratch, length}};
    return length > 0;
}

bool layout_next_uncompressed(const struct layout *layout, uint64_t *offset, uint64_t end,
                              uint8_t *scratch, size_t scratch_size, struct layout_piece *ret_piece)
{
    const struct gap *gap = gap_at(layout, *offset, true);
    uint64_t start = *offset;

    CHECK(end <= layout->sizes.uncompressed && start <= end && scratch_size > 0);
    if (start == end)
        return false;
    if (start < gap->tar_end) {
        *offset = least(least(gap->tar_end, end), start + scratch_size);
        render(layout, start, *offset, scratch);
        *ret_piece = (struct layout_piece){.bytes = {(const char *)scratch, *offset - start}};
    } else {
        const struct entry *entry = gap->followed;
        *offset = least(gap->tar_end + entry->size, end);
        *ret_piece = (struct layout_piece){
            .file = entry->file, .start = start - gap->tar_end, .end = *offset - gap->tar_end};
    }
    return true;
}

uint64_t layout_file_before(const struct layout *layout, size_t file, uint64_t offset)
{
    CHECK(file < layout->entry_count && offset <= layout->sizes.layer);
    const struct entry *entry = &layout->entries[layout->position[file]];
    uint64_t full = gzip_member_length(NUMBERS_CHUNK);

    if (entry->size == 0 || offset <= entry->blob_data)
        return 0;
    uint64_t chunk = (offset - entry->blob_data) / full, start = chunk * NUMBERS_CHUNK;
    if (start >= entry->size)
        return entry->size;
    uint64_t payload = least(entry->size - start, NUMBERS_CHUNK);
    return start + gzip_payload_before(payload, (offset - entry->blob_data) % full);
}

/* ---- plan ---- */

/* The bytes of the members of a file's chunks. */
static uint64_t chunks_length(uint64_t size)
{
    uint64_t rest = size % NUMBERS_CHUNK;

    return size / NUMBERS_CHUNK * gzip_member_length(NUMBERS_CHUNK) +
           (rest == 0 ? 0 : gzip_member_length(rest));
}

/* Copies the files in order. */
static void copy_files(struct layout *layout, const struct tree_file *files, const size_t *order)
{
    size_t length = 0;

    for (size_t i = 0; i < layout->entry_count; i++)
        length += files[i].name.length;
    layout->names = check_malloc(length + 1);
    length = 0;
    for (size_t i = 0; i < layout->entry_count; i++) {
        const struct tree_file *file = &files[order[i]];
        struct entry *entry = &layout->entries[i];
        memcpy(layout->names + length, file->name.data, file->name.length);
        entry->name = (struct view){layout->names + length, file->name.length};
        entry->shared = i == 0 ? 0 : tree_shared(entry[-1].name, entry->name);
        entry->size = file->size;
        entry->file = order[i];
        layout->position[order[i]] = i;
        length += file->name.length;
    }
}

/* Begins a gap at `*blob`, which it moves behind it. */
static void add_gap(struct layout *layout, uint64_t tar_start, uint64_t tar_end,
                    const struct entry *followed, uint64_t *blob)
{
    struct gap *gap = &layout->gaps[layout->gap_count++];

    *gap = (struct gap){
        .start = *blob, .tar_start = tar_start, .tar_end = tar_end, .followed = followed};
    *blob += gap_length(gap);
}

/* Gives everything its place. */
static void place(struct layout *layout)
{
    uint64_t blob = 0, tar = 0, gap_start = 0, toc = strlen(TOC_HEAD);
    struct layout_sizes *sizes = &layout->sizes;

    for (size_t i = 0; i < layout->entry_count; i++) {
        struct entry *entry = &layout->entries[i];
        entry->tar_start = tar;
        entry->tar_data = tar + headers_length(entry);
        if (entry->size > 0) {
            add_gap(layout, gap_start, entry->tar_data, entry, &blob);
            entry->blob_data = blob;
            blob += chunks_length(entry->size);
            gap_start = entry->tar_data + entry->size;
        }
        tar = entry->tar_data + entry->size + tar_padding(entry->size);
        struct toc_file file = toc_file_of(layout, entry);
        entry->toc_start = toc;
        toc += toc_length(&file);
    }
    layout->tar_toc = tar + TAR_END;
    add_gap(layout, gap_start, layout->tar_toc, NULL, &blob);
    sizes->toc_offset = blob;
    sizes->toc_length = toc + strlen(TOC_TAIL);
    layout->json_start = layout->tar_toc + tar_header_length(VIEW(TOC_NAME), sizes->toc_length);
    sizes->uncompressed =
        layout->json_start + sizes->toc_length + tar_padding(sizes->toc_length) + TAR_END;
    add_gap(layout, layout->tar_toc, sizes->uncompressed, NULL, &blob);
    sizes->layer = blob + GZIP_FOOTER;
}

/* Whether the bytes of the files alone are few enough that nothing overflows below. */
static bool fits(const struct tree_file *files, size_t count)
{
    uint64_t left = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (files[i].size > left)
            return false;
        left -= files[i].size;
    }
    return true;
}

bool layout_new(const struct tree_file *files, size_t count, struct layout **ret_layout,
                struct buf *problem)
{
    struct layout *layout;
    size_t *order;

    if (!tree_order(files, count, &order, problem))
        return false;
    layout = check_calloc(1, sizeof(*layout));
    layout->entry_count = count;
    layout->entries = check_calloc(count + 1, sizeof(*layout->entries));
    layout->position = check_calloc(count + 1, sizeof(*layout->position));
    layout->gaps = check_calloc(count + 2, sizeof(*layout->gaps));
    copy_files(layout, files, order);
    free(order);
    if (fits(files, count))
        place(layout);
    if (layout->gap_count == 0 || layout->sizes.layer > INT64_MAX) {
        layout_free(layout);
        (void)problem_set(problem, "the files of a layer have more than 2^63 bytes together");
        return false;
    }
    for (size_t i = 0; i + 1 < layout->gap_count; i++)
        layout->gaps[i].crc32 = crc32_of_gap(layout, &layout->gaps[i], NULL);
    *ret_layout = layout;
    return true;
}

void layout_free(struct layout *layout)
{
    if (layout == NULL)
        return;
    free(layout->names);
    free(layout->entries);
    free(layout->position);
    free(layout->gaps);
    free(layout);
}

struct layout_sizes layout_sizes(const struct layout *layout)
{
    return layout->sizes;
}

/* ---- numbers ---- */

static struct entry *entry_to_set(struct layout *layout, size_t file)
{
    CHECK(file < layout->entry_count && !layout->sealed);
    return &layout->entries[layout->position[file]];
}

void layout_set_chunks(struct layout *layout, size_t file, const struct chunk_numbers *chunks)
{
    entry_to_set(layout, file)->chunks = chunks;
}

void layout_set_sha256(struct layout *layout, size_t file, const uint8_t sha256[NUMBERS_SHA256])
{
    struct entry *entry = entry_to_set(layout, file);

    memcpy(entry->sha256, sha256, NUMBERS_SHA256);
    entry->has_sha256 = true;
}

void layout_seal(struct layout *layout)
{
    struct gap *toc = &layout->gaps[layout->gap_count - 1];
    struct hasher json = {0};
    struct digest empty;

    CHECK(!layout->sealed);
    digest_of(DIGEST_SHA256, "", 0, &empty);
    for (size_t i = 0; i < layout->entry_count; i++) {
        struct entry *entry = &layout->entries[i];
        if (entry->size == 0)
            layout_set_sha256(layout, entry->file, empty.bytes);
        CHECK(entry->has_sha256 && (entry->size == 0 || entry->chunks != NULL));
    }
    hasher_init(&json, DIGEST_SHA256);
    toc->crc32 = crc32_of_gap(layout, toc, &json);
    hasher_finish(&json, &layout->toc_digest);
    hasher_release(&json);
    layout->sealed = true;
}

bool layout_is_sealed(const struct layout *layout)
{
    return layout->sealed;
}

void layout_toc_digest(const struct layout *layout, struct digest *ret_digest)
{
    CHECK(layout->sealed);
    *ret_digest = layout->toc_digest;
}
