#ifndef SERVE_FIND_H
#define SERVE_FIND_H

/*
 * Finds what a request asks for, and begins its answer: looks at the blob; waits for it, wants it,
 * or confirms that this repository holds it, until there is something to send. Who may see what:
 *
 *   whole    and known to be held by this repository -> send
 *   whole    and not known                           -> ask the upstream, once; send
 *   filling  from this repository, or known          -> join
 *   filling  for another one, and not known          -> ask the upstream, once; join
 *   missing                                          -> have it filled: that asks the upstream
 *
 * Thread: the request's loop.
 */

#include "serve/request.h"

/* The manifest that route.tag points at, by GET or HEAD. */
void find_tag(struct request *request);

/* The manifest or blob of route.digest. */
void find_digest(struct request *request, bool is_manifest);

#endif
