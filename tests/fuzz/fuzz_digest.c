/* Fuzzes digests: what parses prints as what it was. */
#include "base/digest.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view text = {(const char *)input, size};
    struct digest digest, again;
    char out[DIGEST_TEXT_SIZE];

    memset(&digest, 'x', sizeof(digest));
    if (!digest_parse(text, &digest))
        return 0;
    CHECK(view_equal(view_of(digest_print(&digest, out)), text));
    CHECK(digest_length(&digest) <= DIGEST_BYTES_MAX);
    for (size_t i = digest_length(&digest); i < DIGEST_BYTES_MAX; i++)
        CHECK(digest.bytes[i] == 0);
    CHECK(digest_parse(view_of(out), &again) && digest_equal(&digest, &again));
    return 0;
}
