#ifndef MODEL_IMPORT_REPORT_H
#define MODEL_IMPORT_REPORT_H

/*
 * How imports stand, as JSON between the admin address and `entrepot import`: those that are under
 * way, the oldest first, then the last hundred that ended, the newest first, one an image.
 *
 *   {"version": 1, "imports": [
 *     {"image": "hf/org/model:latest", "state": "layers", "id": "Org/Model", "commit": "3f2a...",
 *      "started": 1714813800528, "seconds": 1.250, "bytes": 83886080, "bytes_total": 268435456,
 *      "files": 7, "files_total": 7, "layers": 1, "layers_total": 3, "digest": "", "error": ""}]}
 *
 * `state` is one of
 *   resolving   the hub is asked which commit the tag stands for
 *   queued      max_imports others are under way; as at the beginning, so after a pause
 *   listing     and which files that has
 *   files       the small files are fetched, whose sha256 the hub does not tell
 *   layers      the bytes of the layers are read, and fetched before where they are not cached
 *   writing     what was found is written down
 *   paused      `error` says what failed; it is tried again by itself
 *   done        `digest` is the image's index
 *   failed      for good; `error` says why, in the hub's own words where it has some
 *
 * `image` is what clients ask the mirror for; `id` and `commit` are the hub's, "" while resolving.
 * `started` is in milliseconds since the epoch. `bytes` of `bytes_total` are read and hashed;
 * `files` are those whose sha256 is known. What the index knew before counts as done. Totals are 0
 * until they are known. A newer version may have more members.
 *
 * An image that is looked into again, and has not moved, keeps the report of its import.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "cache/record.h"
#include "model/record.h"

enum {
    IMPORT_REPORT_IMAGE_SIZE = RECORD_UPSTREAM_SIZE + RECORD_REPOSITORY_SIZE + RECORD_TAG_SIZE,
    IMPORT_REPORT_ERROR_SIZE = 512,
    IMPORT_HISTORY_MAX = 100,
};

enum import_report_state {
    IMPORT_REPORT_RESOLVING,
    IMPORT_REPORT_QUEUED,
    IMPORT_REPORT_LISTING,
    IMPORT_REPORT_FILES,
    IMPORT_REPORT_LAYERS,
    IMPORT_REPORT_WRITING,
    IMPORT_REPORT_PAUSED,
    IMPORT_REPORT_DONE,
    IMPORT_REPORT_FAILED,
};

struct import_report {
    char image[IMPORT_REPORT_IMAGE_SIZE];
    enum import_report_state state;
    char id[RECORD_REPOSITORY_SIZE]; /* as in layer_place */
    char commit[MODEL_COMMIT_SIZE];
    int64_t started_ms; /* since the epoch */
    uint64_t us;        /* since then; of one that ended, how long it took */
    uint64_t bytes, bytes_total;
    uint64_t files, files_total;
    uint64_t layers, layers_total;
    struct digest digest; /* DONE */
    char error[IMPORT_REPORT_ERROR_SIZE];
};

/* "layers"; static. Thread: any, as all here. */
const char *import_report_state_word(enum import_report_state state);

/* Says what failed, and what the hub says of it, if anything; cut when it is long. */
void import_report_set_error(struct import_report *report, enum err err, struct view sentence);

/* Appends the JSON of one. */
void import_report_print(const struct import_report *report, struct buf *out);

/* Appends what stands before the first of a list, and behind the last; a comma between is the
 * caller's. */
void import_report_begin(struct buf *out);
void import_report_end(struct buf *out);

/* Reads a whole list, of which only the first is given; `*ret_found`: there is one. False, leaving
 * the outputs alone, when it is no such list. */
bool import_report_parse(struct view json, struct import_report *ret_first, bool *ret_found);

/* ---- those that ended ---- */

/* All-zero is empty. */
struct import_history {
    struct import_report list[IMPORT_HISTORY_MAX]; /* the newest last */
    size_t count;
};

/* Adds one in the place of an earlier one of that image; the oldest goes when there is no room. One
 * that was no import, since the image was there, leaves the report of the import alone. */
void import_history_add(struct import_history *history, const struct import_report *report,
                        bool was_import);

/* Why that image failed, when it was with `err`: what was given to import_report_set_error()
 * besides, borrowed until the next is added; or empty. */
struct view import_history_reason(const struct import_history *history, const char *image,
                                  enum err err);

#endif
