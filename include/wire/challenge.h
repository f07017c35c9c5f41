#ifndef WIRE_CHALLENGE_H
#define WIRE_CHALLENGE_H

/*
 * WWW-Authenticate (RFC 9110 11.6.1) as registries use it: Bearer with realm, service and scope
 * (distribution's token specification), or Basic. Pure; fuzzed.
 */

#include "base/buf.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    char realm[1024]; /* an http(s) URL of visible ASCII */
    char service[256];
    char scope[1024];
};

/*
 * Finds the best challenge in one field's value: Bearer before Basic, others are passed over; of
 * two alike, the first. Leaves scheme CHALLENGE_NONE when there is none that we can meet (a Bearer
 * without a realm, or with one that is not http:// or https://, does not count; neither does one
 * whose parameters do not fit or hold control characters). Of a Basic one only the scheme is given.
 */
void challenge_parse(struct view value, struct challenge *ret_challenge);

#endif
