/* Fuzzes files of numbers: whatever is sent is refused with a sentence, or is one that lasts, and
 * checking it is harmless. */
#include "model/numbers_file.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check(const struct numbers_file *file)
{
    struct tree_split split;
    struct buf problem = {0};
    struct image image;

    if (numbers_file_check(file, &image, &split, &problem)) {
        CHECK(problem.length == 0 && split.layer_count == file->layer_count);
        CHECK(digest_equal(&image.parts[IMAGE_INDEX].digest, &file->index_digest));
        image_release(&image);
        tree_split_release(&split);
    } else {
        CHECK(problem.length > 0);
    }
    buf_release(&problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct buf first = {0}, second = {0}, problem = {0};
    struct numbers_file file, again;

    if (numbers_file_parse((struct view){(const char *)input, size}, &file, &problem)) {
        CHECK(problem.length == 0);
        check(&file);
        numbers_file_print(&file, &first);
        CHECK(numbers_file_parse(view_of_buf(&first), &again, &problem));
        numbers_file_print(&again, &second);
        CHECK(view_equal(view_of_buf(&first), view_of_buf(&second)));
        numbers_file_release(&file);
        numbers_file_release(&again);
    } else {
        CHECK(problem.length > 0);
    }
    buf_release(&first);
    buf_release(&second);
    buf_release(&problem);
    return 0;
}
