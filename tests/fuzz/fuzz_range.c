/* Fuzzes Range and Content-Range: what is resolved lies inside the size. */
#include "wire/range.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

enum { CAPACITY = 16 };

static void check_resolved(const struct range_spec *spec, uint64_t size)
{
    struct extent extent;

    if (!range_resolve(spec, size, &extent))
        return;
    CHECK(extent.start < extent.end && extent.end <= size);
    if (spec->shape == RANGE_SUFFIX)
        CHECK(extent.end == size && extent.end - extent.start <= spec->last);
    else
        CHECK(extent.start == spec->first);
    if (spec->shape == RANGE_CLOSED)
        CHECK(extent.end - 1 <= spec->last);
}

/* The first eight bytes are a size. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct range_spec specs[CAPACITY];
    struct extent extent;
    uint64_t size, whole;
    size_t count = 0;

    if (length < sizeof(size))
        return 0;
    memcpy(&size, input, sizeof(size));
    struct view value = {(const char *)input + sizeof(size), length - sizeof(size)};
    if (range_parse(value, specs, CAPACITY, &count) == RANGE_SOME)
        CHECK(count > 0 && count <= CAPACITY);
    for (size_t i = 0; i < count; i++) {
        check_resolved(&specs[i], size);
        check_resolved(&specs[i], size % 1000);
    }
    if (range_parse_content_range(value, &extent, &whole)) {
        CHECK(extent.end <= whole);
        CHECK(extent.start < extent.end || (extent.end == 0 && whole != UINT64_MAX));
    }
    return 0;
}
