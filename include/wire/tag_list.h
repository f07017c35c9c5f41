#ifndef WIRE_TAG_LIST_H
#define WIRE_TAG_LIST_H

/*
 * The tags of a hub's repository, and pages of them as the distribution-spec has it ("Listing
 * Tags"). Pure; fuzzed. Thread: any; to read the most that a hub may tell takes some 50 ms.
 *
 * A list is text: its tags in byte order, each once, each with a newline behind it.
 */

#include <stdbool.h>

#include "base/buf.h"

enum { TAG_LIST_MAX = 20000 }; /* branches and tags of one repository that are read */

/*
 * Appends the tags that a hub's answer to hub_path_refs() tells of, by hub_name_tag(): those of its
 * branches, "latest" for "main" among them, and of its tags. A name without a tag is left out.
 * False, with a sentence in `problem` and `list` as it was, when it is no JSON object within
 * HUB_ANSWER_MAX, is without a list of branches, or tells more than TAG_LIST_MAX.
 */
bool tag_list_read(struct view json, struct buf *list, struct buf *problem);

/* Appends a tag that has no newline; the text is a list again after tag_list_sort(). */
void tag_list_add(struct buf *list, struct view tag);

/* Brings the lines into order, and takes out those that repeat another. */
void tag_list_sort(struct buf *list);

/*
 * Appends a page to `body`: {"name":"org/model","tags":["a","b"]}, of the tags behind `last`, which
 * need not be one of them, `n` at most. `query` may have both, as route->query does. When there are
 * more, `next` gets the query of the next page, "?n=2&last=b"; never when `n` is 0. False, leaving
 * all as it is: `n` is no number, or `last` cannot be decoded.
 */
bool tag_list_print(struct view list, struct view repository, struct view query, struct buf *body,
                    struct buf *next);

#endif
