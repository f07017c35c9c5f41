#ifndef MODEL_TREE_H
#define MODEL_TREE_H

/*
 * The files of a repository: which names an image can hold, their order, and which file goes into
 * which layer. Part of layout v1: order and split can never change.
 *
 * Names come from anybody who can push to the hub. Refused, because no tar or no image can hold
 * them: what is absolute, has an empty, "." or ".." part, a NUL, or is not UTF-8; a part that
 * begins with ".wh." (OCI image-spec, layer.md, "Whiteouts"), or is longer than file systems take;
 * the names that eStargz keeps for itself; two files of one name; a file that is a folder, too.
 * Control characters, quotes and backslashes are held. The root's `.gitattributes` is left out.
 *
 * Pure. Thread: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    TREE_NAME_MAX = 2048,       /* bytes of a path */
    TREE_PART_MAX = 255,        /* of one name between slashes: NAME_MAX */
    TREE_FOLDERS_MAX = 100,     /* that a file is in; each is an entry of its own */
    TREE_ENTRIES_MAX = 1000000, /* files, and folders that they are in */
    TREE_LARGE_LAYERS_MAX = 60,
    TREE_LAYERS_MAX = TREE_LARGE_LAYERS_MAX + 1,
};

#define TREE_LARGE (UINT64_C(64) << 20) /* from this size on, a file is not in the last layer */

struct tree_file {
    struct view name; /* borrowed; "folder/file" */
    uint64_t size;    /* up to INT64_MAX */
};

/* What is wrong with a file's name, to be put behind it: "has a part that is \"..\""; static. NULL
 * when an image can hold it. */
const char *tree_name_fault(struct view name);

/*
 * Sorts by the bytes of the names and checks them. Gives the indexes of `files` in that order in
 * `*ret_order`, which the caller frees; NULL when there are none. False, with a sentence in
 * `problem`, when an image cannot hold them.
 */
bool tree_order(const struct tree_file *files, size_t count, size_t **ret_order,
                struct buf *problem);

/* How many bytes of `name` are folders that `before`, the name before it in order, is in as well:
 * "a/b/" of "a/b/x" and "a/b/c/y": 4. */
size_t tree_shared(struct view before, struct view name);

/* The layers of a repository, from the lowest. All-zero is empty. */
struct tree_split {
    size_t *order; /* owned; indexes of files, layer by layer, in order within each */
    size_t layer_count;
    size_t ends[TREE_LAYERS_MAX]; /* layer i holds order[ends[i - 1]] up to order[ends[i]] */
};

/*
 * Files of TREE_LARGE bytes and more get a layer each, in order; when there are more than 60,
 * ceil(count / 60) consecutive ones share a layer. All others share the last layer; without others
 * there is none. False, with a sentence in `problem`, when an image cannot hold the files.
 */
bool tree_split(const struct tree_file *files, size_t count, struct tree_split *ret_split,
                struct buf *problem);
void tree_split_release(struct tree_split *split);

#endif
