#ifndef WIRE_HUB_H
#define WIRE_HUB_H

/*
 * What a Hugging Face hub says of a repository, in JSON: its commit, and its files. Pure; fuzzed:
 * whatever a hub sends, what is given here is bounded and clean.
 *
 * Faults are whole sentences in `problem`, which is touched only when there is one.
 * Thread: any; a page of 1,000 files takes some 7 ms, a hostile answer up to a second.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    HUB_PART_MAX = 96,                     /* bytes of a namespace, and of a name within it */
    HUB_ID_SIZE = 2 * HUB_PART_MAX + 2,    /* "org/model" and its NUL */
    HUB_REPOSITORY_SIZE = HUB_ID_SIZE + 9, /* "datasets/" in front */
    HUB_COMMIT_SIZE = 41,
    HUB_LICENSE_SIZE = 128,
    HUB_PATH_MAX = 2048,       /* bytes of a file's path within its repository */
    HUB_ANSWER_MAX = 32 << 20, /* bytes of JSON that are read; 1,000 files have some 300 KB */
    /* Of one repository. Its info names all of them, too, in one answer, for which there is room
     * when their paths have 90 bytes on the average. */
    HUB_FILES_MAX = 300000,
    HUB_PATHS_MAX = HUB_ANSWER_MAX, /* bytes of all their paths: so much would not be told */
};

/* ---- a repository and its commit ---- */

enum hub_gate {
    HUB_GATE_NONE,
    HUB_GATE_AUTO,   /* who asks for access on its page has it at once */
    HUB_GATE_MANUAL, /* somebody decides; also whatever else a hub may call its gate */
};

struct hub_info {
    char id[HUB_ID_SIZE];           /* the canonical one: "org/Model"; never with "datasets/" */
    char commit[HUB_COMMIT_SIZE];   /* what the revision stands for: 40 lower-case hex */
    char license[HUB_LICENSE_SIZE]; /* as the hub names it, "apache-2.0"; several with " AND "
                                     * between them; "" when it says none, or no sane one */
    enum hub_gate gate;
    bool is_private;
    bool is_disabled;
};

/* Whether a hub can call a repository so: one part or two with a slash between them, each of 1 to
 * HUB_PART_MAX of [A-Za-z0-9._-], without ".." and not beginning with a dot or a dash. */
bool hub_is_id(struct view text);

/* Whether it is a commit: 40 lower-case hex. */
bool hub_is_commit(struct view text);

/*
 * Reads the answer to hub_path_info(). False when it is no JSON object within HUB_ANSWER_MAX,
 * or is without a usable `id` or `sha`. The license is `cardData.license`, else the `license:`
 * tags.
 */
bool hub_read_info(struct view json, struct hub_info *ret_info, struct buf *problem);

/* ---- its files ---- */

struct hub_file {
    char *path;          /* owned; 1 to HUB_PATH_MAX bytes of UTF-8, without a NUL. Nothing else is
                          * known of it: tree_name_fault() says whether an image can hold it */
    uint64_t size;       /* up to INT64_MAX */
    bool is_lfs;         /* sha256 is known; else only git_oid, that of the content */
    uint8_t sha256[32];  /* of the content; zero without is_lfs */
    uint8_t git_oid[20]; /* of the content; zero with is_lfs */
};

/* All-zero is empty. */
struct hub_files {
    struct hub_file *files; /* owned; in the hub's order, as it gave them */
    size_t count;
    size_t capacity;
    uint64_t path_bytes; /* of all of them */
};

/*
 * Appends one page of a tree, the answer to hub_path_tree() or to its next page. Folders, and
 * entries of types that we do not know, are passed over. False when it is no JSON array within
 * HUB_ANSWER_MAX, when one of its files has no path, oid (in `lfs`, where it has that: `oid` or
 * `sha256`) or size that makes sense, or two sizes, or when all would be more than HUB_FILES_MAX or
 * HUB_PATHS_MAX; then `files` is as it was before. A hub may give a path twice: tree_order() sees
 * to that.
 */
bool hub_read_files(struct view json, struct hub_files *files, struct buf *problem);
void hub_files_release(struct hub_files *files);

/* The oid that git gives a file of these bytes: the SHA-1 of "blob <length>", a NUL, and them. */
void hub_git_oid(const void *data, size_t length, uint8_t ret_oid[20]);

#endif
