#ifndef SERVE_ADMIN_H
#define SERVE_ADMIN_H

/*
 * Health, readiness, metrics, scrubbing and models, on an address of their own that is not for
 * clients:
 *
 *   /healthz  200 while the process runs
 *   /readyz   200 while it can serve (never depends on an upstream); 503 while it stops
 *   /metrics  Prometheus text
 *   /scrub    POST: has all complete blobs read again and compared with their digests, or joins the
 *             scrub that runs; both it and GET answer with how it stands (serve/scrub_report.h)
 *   /imports  GET: how imports stand (model/import_report.h). With ?image=hf/org/model:tag (see
 *             wire/hub_image.h) of that image alone. POST, with it, or with a body of up to 4 KiB,
 *             image=... or {"image": "..."}, whatever its Content-Type: starts the import, or
 *             joins the one that runs, and answers with how it stands, at once
 *   /numbers  GET ?image=: the numbers of an image (model/numbers_file.h). POST, with such a file
 *             as the body, which must have a Content-Length: takes it over, as ?image= if that is
 *             given, and answers with {"image": "hf/org/model:tag", "digest": "sha256:...",
 *             "tagged": true}; "tagged" as has_tag in model/numbers_index.h. One file at a time:
 *             503 for others
 *
 * A POST with an Origin is refused: browsers send one, and a page must not make whoever looks at it
 * change the mirror of their own machine. Errors are those of the pull API; their "detail" is a
 * sentence that says more.
 *
 * Lives on main's loop. Thread: the loop's own, all functions.
 */

#include <stdbool.h>

#include "cache/scrubber.h"
#include "io/listener.h"
#include "io/loop.h"
#include "model/importer.h"

struct admin {
    struct listener listener;
    struct scrubber *scrubber; /* borrowed */
    struct importer *importer; /* borrowed */
    bool has_body;             /* a body is being read, or worked on */
    bool stopping;             /* /readyz says no */
};

/* Starts to answer on `fd`, a listening socket. */
void admin_init(struct admin *admin, struct loop *loop, int fd, struct scrubber *scrubber,
                struct importer *importer);

/* Closes all of it, and lets the loop end. */
void admin_stop(struct admin *admin);

#endif
