/* Fuzzes what the index notes about models: what a disk hands back is refused, or is a record that
 * lasts. */
#include "model/record.h"

#include <string.h>

#include "base/check.h"

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

/* A layer's files add up, and it takes one more place. */
static void check_layer(struct view bytes)
{
    struct layer_record record;
    struct layer_place place = {.upstream = "fuzz"};
    uint64_t sum = 0;

    if (!layer_record_decode(bytes, &record))
        return;
    for (size_t i = 0; i < record.count; i++) {
        CHECK(record.files[i].name[0] != '\0');
        sum += record.files[i].size;
    }
    CHECK(sum <= record.uncompressed && record.uncompressed < record.size);
    memset(place.commit, '0', MODEL_COMMIT_SIZE - 1);
    (void)layer_record_add_place(&record, &place);
    CHECK(record.place_count > 0 && strcmp(record.places[0].upstream, "fuzz") == 0);
    layer_record_release(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view bytes = {(const char *)input, size};

    CHECK_LASTING(git, bytes, NOTHING);
    CHECK_LASTING(layer, bytes, layer_record_release);
    CHECK_LASTING(image, bytes, image_record_release);
    CHECK_LASTING(document, bytes, NOTHING);
    CHECK_LASTING(import, bytes, NOTHING);
    CHECK_LASTING(tags, bytes, NOTHING);
    check_layer(bytes);
    return 0;
}
