/* Fuzzes the index's records: what a disk hands back is refused, or is a record that lasts. */
#include "cache/record.h"

#include <string.h>

#include "base/check.h"
#include "cache/chunk_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* What was decoded encodes to bytes that decode, and encode, to the same. (They may be fewer than
 * came in: a number can be spelled with zeros at its end.) */
#define CHECK_LASTING(kind, bytes, release)                                                        \
    do {                                                                                           \
        struct kind##_record record_ = {0}, again_ = {0};                                          \
        struct buf first_ = {0}, second_ = {0};                                                    \
        if (kind##_record_decode(bytes, &record_)) {                                               \
            kind##_record_encode(&record_, &first_);                                               \
            CHECK(first_.length <= (bytes).length);                                                \
            CHECK(kind##_record_decode(view_of_buf(&first_), &again_));                            \
            kind##_record_encode(&again_, &second_);                                               \
            CHECK(view_equal(view_of_buf(&first_), view_of_buf(&second_)));                        \
            release(&record_);                                                                     \
            release(&again_);                                                                      \
        }                                                                                          \
        buf_release(&first_);                                                                      \
        buf_release(&second_);                                                                     \
    } while (0)

#define NOTHING(record) (void)(record)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view bytes = {(const char *)input, size};

    CHECK_LASTING(blob, bytes, blob_record_release);
    CHECK_LASTING(chunk, bytes, chunk_record_release);
    CHECK_LASTING(tag, bytes, NOTHING);
    CHECK_LASTING(holding, bytes, NOTHING);
    return 0;
}
