#ifndef MODEL_PINNED_H
#define MODEL_PINNED_H

/*
 * What eviction cannot know of models (cache/pins.h): which images the catalog keeps, what their
 * documents point at, and which files their layers are computed from. An image is kept once its tag
 * stands for it: while a newer one is being imported, the older one is.
 */

#include "cache/pins.h"
#include "model/catalogs.h"

struct pinned {
    struct pins_source source;
    struct catalogs *catalogs; /* borrowed */
};

void pinned_init(struct pinned *pinned, struct catalogs *catalogs);

#endif
