#ifndef CACHE_SOURCES_H
#define CACHE_SOURCES_H

/*
 * The repositories that a blob may be had from, the one that is asked first. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "cache/source.h"

enum { SOURCES_MAX = 8 };

struct sources {
    struct source list[SOURCES_MAX]; /* the first of them is asked */
    size_t count;
};

void sources_init(struct sources *sources, const struct source *first);

/* One more, to be asked after the others; one that is there already, or one too many, is not added.
 */
void sources_add(struct sources *sources, const struct source *source);

/* The first goes behind the others. False: it is the only one. */
bool sources_rotate(struct sources *sources);

/* The first is none any more. False, leaving it, when it is the only one. */
bool sources_drop(struct sources *sources);

/* The one of that key; the first when none has it. */
const struct source *sources_of_key(const struct sources *sources,
                                    const unsigned char key[FLIGHT_KEY_SIZE]);

#endif
