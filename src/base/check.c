#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "entrepot: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}

void *check_malloc(unsigned long size)
{
    void *memory = malloc(size);
    CHECK(memory != NULL || size == 0);
    return memory;
}

void *check_calloc(unsigned long count, unsigned long size)
{
    void *memory = calloc(count, size);
    CHECK(memory != NULL || count == 0 || size == 0);
    return memory;
}

void *check_realloc(void *old, unsigned long size)
{
    void *memory = realloc(old, size);
    CHECK(memory != NULL || size == 0);
    return memory;
}

char *check_strdup(const char *text)
{
    char *copy = strdup(text);
    CHECK(copy != NULL);
    return copy;
}
