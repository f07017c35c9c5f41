#include "cache/source.h"

#include "base/check.h"
#include "wire/http.h"
#include "wire/range.h"

void source_init(struct source *source, struct upstream *upstream, const char *repository,
                 bool is_manifest, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    *source = (struct source){
        .upstream = upstream, .is_manifest = is_manifest, .size = BLOB_SIZE_UNKNOWN};
    CHECK(view_copy(view_of(repository), source->repository, sizeof(source->repository)));
    flight_key(source->key, is_manifest ? "manifest" : "blob", upstream->config->name, repository,
               digest_print(digest, text), NULL);
}

void source_init_file(struct source *source, struct upstream *upstream, const char *repository,
                      const char *commit, struct view file, const struct digest *digest,
                      uint64_t size)
{
    char text[DIGEST_TEXT_SIZE];

    *source = (struct source){.upstream = upstream, .size = size};
    CHECK(view_copy(view_of(repository), source->repository, sizeof(source->repository)) &&
          view_copy(view_of(commit), source->commit, sizeof(source->commit)) &&
          view_copy(file, source->file, sizeof(source->file)));
    flight_key(source->key, "file", upstream->config->name, repository, commit, source->file,
               digest_print(digest, text), NULL);
}

bool source_wants_parts(const struct source *source)
{
    return source->file[0] != '\0';
}

/* Behind a hub's URL (models.md 4.1). */
static void append_file_path(struct buf *out, const struct source *source)
{
    struct view rest = view_of(source->file);

    buf_printf(out, "/%s/resolve/%s", source->repository, source->commit);
    while (rest.length > 0) {
        buf_append_text(out, "/");
        http_percent_encode(out, view_cut(&rest, '/'));
    }
}

static void append_path(struct buf *out, const struct source *source, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    if (source->file[0] != '\0')
        append_file_path(out, source);
    else
        buf_printf(out, "%s/%s", source->is_manifest ? "manifests" : "blobs",
                   digest_print(digest, text));
}

struct call *source_call(const struct source *source, struct calls *calls,
                         const struct digest *digest, struct extent range, bool as_part,
                         const char *target, const struct call_events *events, void *owner)
{
    bool is_whole = range.start == 0 && range.end == UINT64_MAX;
    struct buf path = {0};

    append_path(&path, source, digest);
    struct call *call = call_start(calls,
                                   &(struct call_request){
                                       .upstream = source->upstream,
                                       .method = TRANSFER_GET,
                                       .repository = source->repository,
                                       .path = path.data,
                                       .is_bulk = !source->is_manifest,
                                       .wants_manifest = source->is_manifest,
                                       .wants_range = as_part || !is_whole,
                                       .range_start = range.start,
                                       .range_end = range.end,
                                       .target = target,
                                   },
                                   events, owner);
    buf_release(&path);
    return call;
}

enum err source_read_head(struct call *call, int status, struct extent asked,
                          struct extent *ret_body, uint64_t *ret_size)
{
    struct extent body = {0, UINT64_MAX};
    uint64_t size = BLOB_SIZE_UNKNOWN;

    if (status == 200) {
        if (view_to_uint64(call_field(call, "Content-Length"), &size)) /* else it is chunked */
            body.end = size;
    } else if (!range_parse_content_range(call_field(call, "Content-Range"), &body, &size) ||
               body.start != asked.start || body.start >= body.end || body.end > asked.end ||
               size == UINT64_MAX) {
        return ERR_UPSTREAM_NONSENSE;
    }
    *ret_body = body;
    *ret_size = size;
    return OK;
}

void source_note_held(const struct source *source, struct index *index, const struct digest *digest,
                      uint64_t size, bool learned)
{
    const char *upstream = source->upstream->config->name;
    struct holding_record record = {
        .size = size, .is_manifest = source->is_manifest, .learned = learned};
    struct holding_record old;

    CHECK(view_copy(view_of(upstream), record.upstream, sizeof(record.upstream)));
    bool known = index_get_holding(index, upstream, source->repository, digest, &old);
    if (known && record.size == BLOB_SIZE_UNKNOWN)
        record.size = old.size;
    if (known && old.is_manifest) { /* what was learned stays learned */
        record.is_manifest = true;
        record.learned |= old.learned;
    }
    if (!known || old.size != record.size || old.is_manifest != record.is_manifest ||
        old.learned != record.learned)
        index_put_holding(index, source->repository, digest, &record);
}

enum err source_err(const struct source *source, enum err err)
{
    if (source->is_manifest)
        return err == ERR_NAME_UNKNOWN ? ERR_MANIFEST_UNKNOWN : err;
    /* A hub may miss the commit: also that is not for whoever asks for a blob. */
    return err == ERR_NAME_UNKNOWN || err == ERR_MANIFEST_UNKNOWN ? ERR_BLOB_UNKNOWN : err;
}

bool source_is_refusal(enum err err)
{
    return err == ERR_MANIFEST_UNKNOWN || err == ERR_BLOB_UNKNOWN || err == ERR_UPSTREAM_REFUSED;
}

void source_note_err(const struct source *source, struct store *store, enum err err,
                     struct view words)
{
    bool is_refusal = source_is_refusal(err);

    if (is_refusal || source->file[0] != '\0')
        absence_note_words(&store->absences, source->key, err,
                           is_refusal ? store->config->negative_ttl : 0, words);
}

bool source_is_blameless(enum err err)
{
    return err == ERR_STOPPING || err == ERR_DISK_FULL || err == ERR_DISK_FAILED ||
           err == ERR_OVER_BUDGET || err == ERR_NO_ROOM;
}
