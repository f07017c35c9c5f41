/* Fuzzes manifests: what is read of one is bounded and clean, and the same each time. */
#include "wire/manifest.h"

#include <string.h>

#include "base/check.h"
#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check_media_type(const char *text)
{
    char out[MANIFEST_MEDIA_TYPE_SIZE];

    CHECK(strnlen(text, MANIFEST_MEDIA_TYPE_SIZE) < MANIFEST_MEDIA_TYPE_SIZE);
    if (text[0] != '\0')
        CHECK(http_media_type(view_of(text), out, sizeof(out)) && strcmp(text, out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view json = {(const char *)input, size};
    struct manifest manifest, again;

    manifest_parse(json, &manifest);
    manifest_parse(json, &again);
    CHECK(manifest.kind == again.kind && manifest.count == again.count);
    CHECK(manifest.count <= MANIFEST_DESCRIPTORS_MAX);
    check_media_type(manifest.media_type);
    CHECK(manifest.kind == MANIFEST_UNKNOWN ? manifest.count == 0 : manifest.media_type[0] != 0);
    for (size_t i = 0; i < manifest.count; i++) {
        check_media_type(manifest.descriptors[i].media_type);
        CHECK(manifest.descriptors[i].size <= INT64_MAX);
        CHECK(manifest.descriptors[i].is_manifest == (manifest.kind == MANIFEST_INDEX));
        CHECK(digest_equal(&manifest.descriptors[i].digest, &again.descriptors[i].digest));
    }
    manifest_release(&manifest);
    manifest_release(&again);
    return 0;
}
