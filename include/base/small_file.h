#ifndef BASE_SMALL_FILE_H
#define BASE_SMALL_FILE_H

/*
 * Files that are read whole, once, at the start: the configuration, passwords, credentials.
 * May sleep on a disk, so never on a loop.
 */

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends the content of `path` to `ret_content`. A file of more than `max` bytes, or one that
 * cannot be read, is ERR_CONFIG with a sentence that begins with the path. */
enum err small_file_read(const char *path, size_t max, struct buf *ret_content,
                         struct buf *ret_problem) MUST_CHECK;

#endif
