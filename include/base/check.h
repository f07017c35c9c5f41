#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/*
 * Invariants. A broken invariant is a bug in Entrepot, never bad input: the process says where and
 * stops, in release builds too, because a cache that goes on after one could serve wrong bytes.
 */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, #condition);                                          \
    } while (0)

/* Prints the place and aborts. Thread: any. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

/* malloc, calloc and realloc that abort when memory is out: memory is bounded by the
 * configuration, so running out is a bug (conventions: ERRORS). Thread: any. */
void *check_malloc(unsigned long size);
void *check_calloc(unsigned long count, unsigned long size);
void *check_realloc(void *old, unsigned long size);
char *check_strdup(const char *text);

#endif
