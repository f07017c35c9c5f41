#ifndef MODEL_LISTING_H
#define MODEL_LISTING_H

/*
 * The tags of a hub's repositories, for the importer: importer_tags(). A listing is a flight, which
 * ends with what is kept in the index while that is fresh, and asks the hub otherwise.
 *
 *   KEPT less than tag_ttl ago --> that
 *   otherwise the hub is asked --> it tells: that, which is kept
 *                              |-> it knows no such repository: that error, and nothing is kept
 *                              `-> it cannot tell, or does not: what is kept, if the hub told it
 *                                  less than `stale` ago, and again for tag_ttl; or its error
 */

#include "model/importer.h"

enum { LISTINGS_MAX = 1000 }; /* at once; more are ERR_BUSY */

/* Ends those that wait for a hub, with ERR_STOPPING; others end by themselves, soon. Thread: the
 * importer's loop. */
void listings_stop(struct importer *importer);

#endif
