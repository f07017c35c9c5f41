#include "model/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/pack.h"

enum {
    VERSION = 1,
    WANTED_VERSION = 2,  /* of an import_record that is wanted; others are as they were before */
    CLAIMED_VERSION = 2, /* of an image_record that is claimed; others are as they were before */
    FILE_BYTES_MIN = 1 + 1 + 1 + 32 /* a name's length, a name, a size, a sha256 */
};

/* ---- pieces ---- */

static bool is_commit(const char *text)
{
    return strnlen(text, MODEL_COMMIT_SIZE) == MODEL_COMMIT_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == MODEL_COMMIT_SIZE - 1;
}

static void put_commit(struct buf *out, const char *commit)
{
    CHECK(is_commit(commit));
    buf_append(out, commit, MODEL_COMMIT_SIZE - 1);
}

static void get_commit(struct pack_cursor *cursor, char into[MODEL_COMMIT_SIZE])
{
    pack_get_bytes(cursor, into, MODEL_COMMIT_SIZE - 1);
    into[MODEL_COMMIT_SIZE - 1] = '\0';
    cursor->bad |= !is_commit(into);
}

static uint64_t get_size(struct pack_cursor *cursor)
{
    uint64_t size = pack_get_number(cursor);

    cursor->bad |= size > INT64_MAX;
    return cursor->bad ? 0 : size;
}

/* A key of texts, the first saying of what; each with its length before it, so that no two lists
 * are hashed alike. */
static void hash_key(const struct view *texts, size_t count, unsigned char ret_key[MODEL_KEY_SIZE])
{
    struct buf bytes = {0};
    struct digest digest;

    for (size_t i = 0; i < count; i++)
        pack_put_view(&bytes, texts[i]);
    digest_of(DIGEST_SHA256, bytes.data, bytes.length, &digest);
    memcpy(ret_key, digest.bytes, MODEL_KEY_SIZE);
    buf_release(&bytes);
}

/* ---- git ---- */

void git_record_key(const uint8_t oid[MODEL_OID_SIZE], unsigned char ret_key[MODEL_KEY_SIZE])
{
    const struct view texts[] = {VIEW("git"), {(const char *)oid, MODEL_OID_SIZE}};

    hash_key(texts, 2, ret_key);
}

void git_record_encode(const struct git_record *record, struct buf *out)
{
    pack_put_number(out, VERSION);
    buf_append(out, record->sha256, sizeof(record->sha256));
    pack_put_number(out, record->size);
}

bool git_record_decode(struct view bytes, struct git_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, VERSION);
    struct git_record record = {0};

    pack_get_bytes(&cursor, record.sha256, sizeof(record.sha256));
    record.size = get_size(&cursor);
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}

/* ---- layer ---- */

static bool is_same_repository(const struct layer_place *a, const struct layer_place *b)
{
    return strcmp(a->upstream, b->upstream) == 0 && strcmp(a->repository, b->repository) == 0;
}

static size_t find_place(const struct layer_record *record, const struct layer_place *place)
{
    size_t i = 0;

    while (i < record->place_count && (!is_same_repository(&record->places[i], place) ||
                                       strcmp(record->places[i].commit, place->commit) != 0))
        i++;
    return i;
}

/* Which place makes room for `place`. */
static size_t find_least(const struct layer_record *record, const struct layer_place *place)
{
    for (size_t i = record->place_count; i-- > 0;) {
        bool another = is_same_repository(&record->places[i], place);
        for (size_t newer = 0; newer < i && !another; newer++)
            another = is_same_repository(&record->places[i], &record->places[newer]);
        if (another)
            return i;
    }
    return record->place_count - 1;
}

bool layer_record_add_place(struct layer_record *record, const struct layer_place *place)
{
    struct layer_place first = *place; /* which may be in the record */
    size_t from = find_place(record, &first);

    if (from == 0 && record->place_count > 0)
        return false;
    if (from == record->place_count && from == LAYER_PLACES_MAX)
        from = find_least(record, &first);
    else if (from == record->place_count)
        record->place_count++;
    memmove(&record->places[1], &record->places[0], from * sizeof(first));
    record->places[0] = first;
    return true;
}

bool layer_record_is_of(const struct layer_record *record, const struct layer_place *place)
{
    bool is_of = false;

    for (size_t i = 0; i < record->place_count && !is_of; i++)
        is_of = is_same_repository(&record->places[i], place);
    return is_of;
}

void layer_record_release(struct layer_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        free(record->files[i].name);
    free(record->files);
    *record = (struct layer_record){0};
}

void layer_record_encode(const struct layer_record *record, struct buf *out)
{
    CHECK(record->count <= TREE_ENTRIES_MAX && record->place_count <= LAYER_PLACES_MAX);
    pack_put_number(out, VERSION);
    pack_put_number(out, record->layout_version);
    pack_put_number(out, record->is_claimed);
    pack_put_number(out, record->size);
    pack_put_number(out, record->uncompressed);
    pack_put_digest(out, &record->diff_id);
    pack_put_digest(out, &record->toc_digest);
    pack_put_number(out, record->place_count);
    for (size_t i = 0; i < record->place_count; i++) {
        pack_put_text(out, record->places[i].upstream);
        pack_put_text(out, record->places[i].repository);
        put_commit(out, record->places[i].commit);
    }
    pack_put_number(out, record->count);
    for (size_t i = 0; i < record->count; i++) {
        pack_put_text(out, record->files[i].name);
        pack_put_number(out, record->files[i].size);
        buf_append(out, record->files[i].sha256, sizeof(record->files[i].sha256));
    }
}

static void get_places(struct pack_cursor *cursor, struct layer_record *record)
{
    uint64_t count = pack_get_number(cursor);

    cursor->bad |= count > LAYER_PLACES_MAX;
    for (uint64_t i = 0; i < count && !cursor->bad; i++) {
        struct layer_place *place = &record->places[i];
        pack_get_text(cursor, place->upstream, sizeof(place->upstream));
        pack_get_text(cursor, place->repository, sizeof(place->repository));
        get_commit(cursor, place->commit);
        cursor->bad |= find_place(record, place) < i;
        record->place_count++;
    }
}

static void get_file(struct pack_cursor *cursor, struct layer_file *file)
{
    struct view name = pack_get_view(cursor);

    cursor->bad |= name.length == 0 || name.length > TREE_NAME_MAX ||
                   memchr(name.data, '\0', name.length) != NULL;
    file->size = get_size(cursor);
    pack_get_bytes(cursor, file->sha256, sizeof(file->sha256));
    file->name = cursor->bad ? NULL : view_dup(name);
}

/* Reads the files, of which `room` bytes are in the archive. */
static void get_files(struct pack_cursor *cursor, struct layer_record *record, uint64_t room)
{
    uint64_t count = pack_get_number(cursor);

    cursor->bad |= count > TREE_ENTRIES_MAX || count > cursor->rest.length / FILE_BYTES_MIN;
    if (cursor->bad || count == 0)
        return;
    record->files = check_calloc(count, sizeof(*record->files));
    while (record->count < count && !cursor->bad) {
        struct layer_file *file = &record->files[record->count++];
        get_file(cursor, file);
        cursor->bad |= file->size > room;
        room -= cursor->bad ? 0 : file->size;
    }
}

bool layer_record_decode(struct view bytes, struct layer_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, VERSION);
    struct layer_record record = {0};

    cursor.bad |= pack_get_number(&cursor) != MODEL_LAYOUT_VERSION;
    record.layout_version = MODEL_LAYOUT_VERSION;
    uint64_t claimed = pack_get_number(&cursor);
    cursor.bad |= claimed > 1;
    record.is_claimed = claimed == 1;
    record.size = get_size(&cursor);
    record.uncompressed = get_size(&cursor);
    cursor.bad |= record.uncompressed >= record.size;
    pack_get_digest(&cursor, &record.diff_id);
    pack_get_digest(&cursor, &record.toc_digest);
    get_places(&cursor, &record);
    get_files(&cursor, &record, record.uncompressed);
    if (!pack_is_done(&cursor)) {
        layer_record_release(&record);
        return false;
    }
    *ret_record = record;
    return true;
}

void layer_of_key_begin(struct hasher *hasher)
{
    uint64_t version = MODEL_LAYOUT_VERSION;

    hasher_init(hasher, DIGEST_SHA256);
    hasher_update(hasher, &version, sizeof(version));
}

void layer_of_key_add(struct hasher *hasher, const char *name, uint64_t size,
                      const uint8_t sha256[32])
{
    hasher_update(hasher, name, strlen(name) + 1);
    hasher_update(hasher, &size, sizeof(size));
    hasher_update(hasher, sha256, 32);
}

void layer_of_key_end(struct hasher *hasher, unsigned char ret_key[MODEL_KEY_SIZE])
{
    struct digest digest;

    hasher_finish(hasher, &digest);
    hasher_release(hasher);
    memcpy(ret_key, digest.bytes, MODEL_KEY_SIZE);
}

/* ---- image ---- */

void image_record_key(const char *upstream, const char *id, const char *commit, const char *filter,
                      unsigned char ret_key[MODEL_KEY_SIZE])
{
    const struct view texts[] = {VIEW("image"), view_of(upstream), view_of(id), view_of(commit),
                                 view_of(filter)};

    hash_key(texts, 5, ret_key);
}

void image_record_release(struct image_record *record)
{
    free(record->layers);
    *record = (struct image_record){0};
}

void image_record_encode(const struct image_record *record, struct buf *out)
{
    CHECK(record->layer_count <= TREE_LAYERS_MAX);
    pack_put_number(out, record->is_claimed ? CLAIMED_VERSION : VERSION);
    pack_put_text(out, record->id);
    put_commit(out, record->commit);
    pack_put_digest(out, &record->index_digest);
    pack_put_number(out, record->index_size);
    pack_put_number(out, record->bytes);
    pack_put_number(out, (uint64_t)record->imported_ms);
    pack_put_number(out, record->layer_count);
    for (size_t i = 0; i < record->layer_count; i++)
        pack_put_digest(out, &record->layers[i]);
}

static void get_layers(struct pack_cursor *cursor, struct image_record *record)
{
    uint64_t count = pack_get_number(cursor);

    cursor->bad |= count > TREE_LAYERS_MAX;
    if (cursor->bad || count == 0)
        return;
    record->layers = check_calloc(count, sizeof(*record->layers));
    while (record->layer_count < count && !cursor->bad)
        pack_get_digest(cursor, &record->layers[record->layer_count++]);
}

bool image_record_decode(struct view bytes, struct image_record *ret_record)
{
    struct pack_cursor cursor = {.rest = bytes};
    uint64_t version = pack_get_number(&cursor);
    struct image_record record = {.is_claimed = version == CLAIMED_VERSION};

    cursor.bad |= version != VERSION && version != CLAIMED_VERSION;
    pack_get_text(&cursor, record.id, sizeof(record.id));
    get_commit(&cursor, record.commit);
    pack_get_digest(&cursor, &record.index_digest);
    record.index_size = get_size(&cursor);
    record.bytes = get_size(&cursor);
    record.imported_ms = (int64_t)pack_get_number(&cursor);
    get_layers(&cursor, &record);
    if (!pack_is_done(&cursor)) {
        image_record_release(&record);
        return false;
    }
    *ret_record = record;
    return true;
}

/* ---- document ---- */

void document_record_encode(const struct document_record *record, struct buf *out)
{
    pack_put_number(out, VERSION);
    pack_put_text(out, record->media_type);
    pack_put_view(out, record->bytes);
}

bool document_record_decode(struct view bytes, struct document_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, VERSION);
    struct document_record record = {0};

    pack_get_text(&cursor, record.media_type, sizeof(record.media_type));
    record.bytes = pack_get_view(&cursor);
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}

/* ---- import ---- */

void import_record_key(const char *upstream, const char *repository, const char *tag,
                       unsigned char ret_key[MODEL_KEY_SIZE])
{
    const struct view texts[] = {VIEW("import"), view_of(upstream), view_of(repository),
                                 view_of(tag)};

    hash_key(texts, 4, ret_key);
}

void import_record_encode(const struct import_record *record, struct buf *out)
{
    pack_put_number(out, record->is_wanted ? WANTED_VERSION : VERSION);
    pack_put_text(out, record->upstream);
    pack_put_text(out, record->repository);
    pack_put_text(out, record->tag);
    pack_put_number(out, (uint64_t)record->since_ms);
}

bool import_record_decode(struct view bytes, struct import_record *ret_record)
{
    struct pack_cursor cursor = {.rest = bytes};
    uint64_t version = pack_get_number(&cursor);
    struct import_record record = {.is_wanted = version == WANTED_VERSION};

    cursor.bad |= version != VERSION && version != WANTED_VERSION;
    pack_get_text(&cursor, record.upstream, sizeof(record.upstream));
    pack_get_text(&cursor, record.repository, sizeof(record.repository));
    pack_get_text(&cursor, record.tag, sizeof(record.tag));
    record.since_ms = (int64_t)pack_get_number(&cursor);
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}

/* ---- tags ---- */

void tags_record_key(const char *upstream, const char *repository,
                     unsigned char ret_key[MODEL_KEY_SIZE])
{
    const struct view texts[] = {VIEW("tags"), view_of(upstream), view_of(repository)};

    hash_key(texts, 3, ret_key);
}

void tags_record_encode(const struct tags_record *record, struct buf *out)
{
    pack_put_number(out, VERSION);
    pack_put_number(out, (uint64_t)record->checked);
    pack_put_number(out, (uint64_t)record->confirmed);
    pack_put_view(out, record->list);
}

bool tags_record_decode(struct view bytes, struct tags_record *ret_record)
{
    struct pack_cursor cursor = pack_begin(bytes, VERSION);
    struct tags_record record = {0};

    record.checked = (int64_t)pack_get_number(&cursor);
    record.confirmed = (int64_t)pack_get_number(&cursor);
    record.list = pack_get_view(&cursor);
    if (!pack_is_done(&cursor))
        return false;
    *ret_record = record;
    return true;
}
