/* Fuzzes WWW-Authenticate: a challenge that is given out can be met. */
#include "wire/challenge.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    CHECK(length < size);
    for (size_t i = 0; i < length; i++)
        CHECK((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct challenge challenge;

    memset(&challenge, 'x', sizeof(challenge));
    challenge_parse((struct view){(const char *)input, size}, &challenge);
    CHECK(challenge.scheme <= CHALLENGE_BEARER);
    check_text(challenge.realm, sizeof(challenge.realm));
    check_text(challenge.service, sizeof(challenge.service));
    check_text(challenge.scope, sizeof(challenge.scope));
    if (challenge.scheme == CHALLENGE_BEARER) {
        CHECK(strncasecmp(challenge.realm, "http", 4) == 0 && strstr(challenge.realm, "://"));
        CHECK(strchr(challenge.realm, ' ') == NULL);
    } else {
        CHECK(challenge.realm[0] == '\0');
    }
    return 0;
}
