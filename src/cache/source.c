#include "cache/source.h"

#include <stdio.h>

#include "base/check.h"

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

struct call *source_call(const struct source *source, struct calls *calls,
                         const struct digest *digest, struct extent range,
                         const struct call_events *events, void *owner)
{
    char text[DIGEST_TEXT_SIZE], path[DIGEST_TEXT_SIZE + 16];

    (void)snprintf(path, sizeof(path), "%s/%s", source->is_manifest ? "manifests" : "blobs",
                   digest_print(digest, text));
    return call_start(calls,
                      &(struct call_request){
                          .upstream = source->upstream,
                          .method = TRANSFER_GET,
                          .repository = source->repository,
                          .path = path,
                          .wants_manifest = source->is_manifest,
                          .wants_range = range.start > 0 || range.end != UINT64_MAX,
                          .range_start = range.start,
                          .range_end = range.end,
                      },
                      events, owner);
}

enum err source_err(const struct source *source, enum err err)
{
    if (err == ERR_NAME_UNKNOWN)
        return source->is_manifest ? ERR_MANIFEST_UNKNOWN : ERR_BLOB_UNKNOWN;
    return err;
}

bool source_is_refusal(enum err err)
{
    return err == ERR_MANIFEST_UNKNOWN || err == ERR_BLOB_UNKNOWN || err == ERR_UPSTREAM_REFUSED;
}
