#ifndef SERVE_FIND_LAYER_H
#define SERVE_FIND_LAYER_H

/*
 * Finds a layer of a model, which is computed from files, and begins its answer: opens the layer,
 * waits for the first byte of a file that is asked for, and answers as for a blob. An error of that
 * byte has its status; what comes later can only be cut short. Thread: the request's loop.
 */

#include "serve/request.h"

/*
 * The layer of route.digest, in a repository of a hub: source.upstream. ERR_BLOB_UNKNOWN: it is not
 * known to be held by it, or no layer has that digest.
 * ERR_LAYER_INCOMPLETE: it cannot be opened, and is being imported again (importer_mend).
 */
void find_layer(struct request *request);

#endif
