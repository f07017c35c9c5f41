#ifndef SERVE_FIND_MODEL_H
#define SERVE_FIND_MODEL_H

/*
 * What is found otherwise at a hub than at a registry: tags stand for imports, and manifests and
 * configs are made here. For `find` only. Thread: the request's loop.
 */

#include "serve/request.h"

/* Has the importer look into the tag; as tag_check() otherwise. A caller's request waits for
 * import_hold at most, or as long as it takes if its client is known to wait; another Entrepot's
 * for 10 s at most, since it would take us for dead after header_timeout. */
void find_model_check(struct request *request, struct upstream *upstream,
                      struct flight_caller *caller);

/* Whether the digest that is asked for is that of a document that was made here; in which
 * repositories it is to be found, it does not say. */
bool find_model_is_document(const struct request *request);

/* Has the document that is asked for put into its blob. False: we know none of that digest. */
bool find_model_document(struct request *request);

#endif
