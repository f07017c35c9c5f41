#include "base/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"
#include "base/quantity.h"

static enum err cannot_read(const char *path, int number, struct buf *ret_problem)
{
    return problem_set(ret_problem, "%s: cannot be read: %s", path, strerrordesc_np(number));
}

static enum err too_large(const char *path, size_t max, struct buf *ret_problem)
{
    struct buf limit = {0};

    quantity_print_size(max, &limit);
    enum err err =
        problem_set(ret_problem, "%s: is larger than %s, the most that is read", path, limit.data);
    buf_release(&limit);
    return err;
}

enum err small_file_read(const char *path, size_t max, struct buf *ret_content,
                         struct buf *ret_problem)
{
    struct buf content = {0};
    enum err err = OK;
    ssize_t count;

    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return cannot_read(path, errno, ret_problem);
    do {
        buf_reserve(&content, 16384);
        count = read(file, content.data + content.length, 16384);
        if (count > 0)
            content.length += (size_t)count;
    } while ((count > 0 && content.length <= max) || (count < 0 && errno == EINTR));
    if (count < 0)
        err = cannot_read(path, errno, ret_problem);
    else if (content.length > max)
        err = too_large(path, max, ret_problem);
    else
        buf_append_view(ret_content, view_of_buf(&content));
    close(file);
    buf_release(&content);
    return err;
}
