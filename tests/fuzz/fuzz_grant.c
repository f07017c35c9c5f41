/* Fuzzes token servers' answers: a token that is given out may stand in a field. */
#include "wire/grant.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct grant grant = {0};

    if (grant_parse((struct view){(const char *)input, size}, &grant)) {
        size_t length = strlen(grant.token);
        CHECK(length > 0 && length <= GRANT_TOKEN_MAX);
        for (size_t i = 0; i < length; i++)
            CHECK(grant.token[i] > ' ' && grant.token[i] <= '~');
        CHECK(grant.expires_in >= 1 && grant.expires_in <= GRANT_LIFE_MAX);
    } else {
        CHECK(grant.token == NULL);
    }
    grant_release(&grant);
    return 0;
}
