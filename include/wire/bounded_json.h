#ifndef WIRE_BOUNDED_JSON_H
#define WIRE_BOUNDED_JSON_H

/*
 * JSON from a peer, parsed only when that takes a bounded amount of memory and stack: a parsed
 * document takes many times the room of its text ("[[],[],[]..." some forty times), so length alone
 * does not bound it. Pure. Thread: any.
 */

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"

enum { BOUNDED_JSON_DEPTH_MAX = 32 };

struct bounded_json_limits {
    size_t containers; /* arrays and objects */
    size_t values;     /* members (each counts twice) and elements */
    /* Of jansson's decoding flags JSON_DECODE_INT_AS_REAL, so that no whole number is too large,
     * and JSON_ALLOW_NUL, so that a string, but not a member's name, may hold one: for documents
     * that pass on what anybody may write. Whoever gives the latter looks for NULs in what he
     * uses. */
    size_t flags;
};

/*
 * Parses a whole document; the caller owns what it gives, by json_decref. NULL when it is empty, is
 * not JSON as RFC 8259 has it, holds a NUL in a string or a number that does not fit (but for
 * limits->flags), nests deeper
 * than BOUNDED_JSON_DEPTH_MAX or holds more than `limits`. Then `*ret_fault`, unless `ret_fault` is
 * NULL, is the rest of a sentence, "is not JSON"; static. Of members that repeat the last counts.
 */
json_t *bounded_json_load(struct view text, const struct bounded_json_limits *limits,
                          const char **ret_fault);

#endif
