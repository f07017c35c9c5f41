#ifndef WIRE_HUB_PATH_H
#define WIRE_HUB_PATH_H

/*
 * What a Hugging Face hub is asked: paths with their queries, to be put behind its base URL, which
 * ends without a slash. Pure; fuzzed. Thread: any.
 *
 * A repository is written as in the hub's addresses: "org/model", "gpt2", "datasets/org/name" (see
 * hub_name_print).
 */

#include <stdbool.h>

#include "base/buf.h"

enum { HUB_PATH_NEXT_MAX = 8192 }; /* bytes of a link to the next page */

/*
 * Append a path. `repository` must be one by hub_is_id(), perhaps with "datasets/" in front; the
 * others may hold anything and are percent-encoded. A slash in a revision becomes %2F; in a file it
 * stays one. A revision "." or "..", and a file with such a part, must have been refused before:
 * they would lead elsewhere.
 *
 *   info   /api/models/<id>/revision/<revision>
 *   tree   /api/models/<id>/tree/<revision>?recursive=True&expand=False
 *   refs   /api/models/<id>/refs
 *   file   /<repository>/resolve/<revision>/<file>
 */
void hub_path_info(struct buf *path, struct view repository, struct view revision);
void hub_path_tree(struct buf *path, struct view repository, struct view revision);
void hub_path_refs(struct buf *path, struct view repository);
void hub_path_file(struct buf *path, struct view repository, struct view revision,
                   struct view file);

/*
 * Whether the hub itself answers there, as far as its redirects say: below `prefix`, which is that
 * of the configured URL, in its API or at a file's address (.../resolve/...), in a path without
 * parts "." or "..". A CDN may live under the hub's own name, and its signed URLs want no token.
 * `target` is a path, perhaps with its query.
 */
bool hub_path_is_own(struct view target, struct view prefix);

/*
 * Where the next page is: appends path and query of a link's target (http_link_next), to be put
 * behind the configured URL, of which `prefix` is the path. A hub writes its public name,
 * https://huggingface.co, into its links, also when we ask a mirror of it; so scheme and host are
 * dropped, whatever they are, and a page can only come from the configured host; and so is the
 * prefix where it is there. A target of a query only, "?cursor=...", is put behind `page`, the path
 * that was asked. False when the target is none of an http(s) URL, an absolute path and a query,
 * leads outside of /api/ or has parts "." or ".." (encoded or not), or when it, or what it gives,
 * is longer than HUB_PATH_NEXT_MAX or not of visible ASCII.
 */
bool hub_path_next(struct view target, struct view prefix, struct view page, struct buf *path);

#endif
