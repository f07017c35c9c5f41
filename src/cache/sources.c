#include "cache/sources.h"

#include <string.h>

void sources_init(struct sources *sources, const struct source *first)
{
    sources->list[0] = *first;
    sources->count = 1;
}

void sources_add(struct sources *sources, const struct source *source)
{
    for (size_t i = 0; i < sources->count; i++)
        if (memcmp(sources->list[i].key, source->key, sizeof(source->key)) == 0)
            return;
    if (sources->count < SOURCES_MAX)
        sources->list[sources->count++] = *source;
}

bool sources_drop(struct sources *sources)
{
    if (sources->count == 1)
        return false;
    sources->count--;
    memmove(&sources->list[0], &sources->list[1], sources->count * sizeof(sources->list[0]));
    return true;
}

bool sources_rotate(struct sources *sources)
{
    struct source first = sources->list[0];

    if (!sources_drop(sources))
        return false;
    sources->list[sources->count++] = first;
    return true;
}

const struct source *sources_of_key(const struct sources *sources,
                                    const unsigned char key[FLIGHT_KEY_SIZE])
{
    for (size_t i = 0; i < sources->count; i++)
        if (memcmp(sources->list[i].key, key, FLIGHT_KEY_SIZE) == 0)
            return &sources->list[i];
    return &sources->list[0];
}
