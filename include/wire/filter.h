#ifndef WIRE_FILTER_H
#define WIRE_FILTER_H

/*
 * Which files of a repository are in an image: those that a pattern of `include` matches, or all
 * when there is none, without those that a pattern of `exclude` matches.
 *
 * A pattern is a file's whole path, "onnx/model.onnx", in which `*` stands for any characters,
 * slashes too; nothing else is special. One that ends in "/" means all that is below that folder.
 *
 * A filter is kept as text, the same for the same patterns in any order: a line for each, with + or
 * - before it. "" takes every file.
 *
 * Pure; fuzzed with the catalog. Thread: any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { FILTER_PATTERN_MAX = 512 /* bytes */ };

/* What is wrong with a pattern, to be put behind it; static. NULL: nothing. */
const char *filter_fault(struct view pattern);

/* Appends the filter of these patterns, each without a fault, to `out`. Sorts the lists. */
void filter_print(struct view *include, size_t include_count, struct view *exclude,
                  size_t exclude_count, struct buf *out);

bool filter_takes(const char *filter, struct view path);

#endif
