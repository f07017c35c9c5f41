#ifndef WIRE_GRANT_H
#define WIRE_GRANT_H

/*
 * What a token server answers (distribution's token specification, "Token Response Fields"):
 * {"token": "...", "access_token": "...", "expires_in": 300, "issued_at": "..."}. Pure; fuzzed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct grant {
    char *token;         /* owned */
    uint64_t expires_in; /* seconds; 60 when the answer does not say, as the specification has it */
};

enum { GRANT_TOKEN_MAX = 65536, GRANT_LIFE_MAX = 86400 };

/* Parses a JSON body. False when it holds no usable token: absent, empty, longer than
 * GRANT_TOKEN_MAX, or with bytes that must not stand in a header field. `token` is preferred to
 * `access_token`. expires_in is clamped to [1, GRANT_LIFE_MAX]. */
bool grant_parse(struct view json, struct grant *ret_grant);
void grant_release(struct grant *grant);

#endif
