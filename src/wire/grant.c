#include "wire/grant.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    GRANT_JSON_MAX = 4 * GRANT_TOKEN_MAX,
    GRANT_LIFE_DEFAULT = 60,
};

/* RFC 9110 11.6.2: a token goes into a field, so it must be visible ASCII and nothing else. */
static const char *usable_token(const json_t *root, const char *member)
{
    const char *token = json_string_value(json_object_get(root, member));
    size_t length = token == NULL ? 0 : strlen(token);

    if (length == 0 || length > GRANT_TOKEN_MAX)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return NULL;
    return token;
}

static uint64_t life_of(const json_t *root)
{
    const json_t *life = json_object_get(root, "expires_in");

    if (!json_is_number(life))
        return GRANT_LIFE_DEFAULT;
    double seconds = json_number_value(life);
    if (seconds < 1)
        return 1;
    return seconds > GRANT_LIFE_MAX ? GRANT_LIFE_MAX : (uint64_t)seconds;
}

bool grant_parse(struct view json, struct grant *ret_grant)
{
    json_error_t error;

    /* Both members may hold the token, escaped; parsed JSON takes many times the room of its text.
     */
    if (json.length == 0 || json.length > GRANT_JSON_MAX)
        return false;
    json_t *root = json_loadb(json.data, json.length, 0, &error);
    const char *token = usable_token(root, "token");
    if (token == NULL)
        token = usable_token(root, "access_token");
    if (token != NULL)
        *ret_grant = (struct grant){check_strdup(token), life_of(root)};
    json_decref(root);
    return token != NULL;
}

void grant_release(struct grant *grant)
{
    free(grant->token);
    *grant = (struct grant){0};
}
