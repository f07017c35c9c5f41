#ifndef SERVE_FIND_MODEL_H
#define SERVE_FIND_MODEL_H

/*
 * What is found otherwise at a hub than at a registry: tags stand for imports, and manifests and
 * configs are made here. Thread: the request's loop.
 */

#include "serve/request.h"

/* The manifest that route.tag stands for, by GET or HEAD; waits for its import, for import_hold at
 * most, or as long as it takes for clients that are known to wait. */
void find_model_tag(struct request *request);

/* Has the document that is asked for put into its blob. False: we know none of that digest. */
bool find_model_document(struct request *request);

#endif
