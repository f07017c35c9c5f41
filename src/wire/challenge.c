#include "wire/challenge.h"

#include <string.h>

#include "wire/http.h"

/* Whether `realm` may be asked for a token: http(s)://, a host, and nothing but visible ASCII. */
static bool is_usable_realm(const char *realm)
{
    struct view rest = view_of(realm);
    struct view scheme = view_cut(&rest, ':');

    if (!view_equal_nocase(scheme, VIEW("http")) && !view_equal_nocase(scheme, VIEW("https")))
        return false;
    if (!view_starts_with(rest, VIEW("//")) || rest.length == 2 || strchr("/?#", rest.data[2]))
        return false;
    for (const char *at = realm; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return true;
}

/* Copies a quoted-string's inside without its escapes; false when it does not fit or holds control
 * characters. */
static bool unescape(struct view raw, char *out, size_t out_size)
{
    size_t length = 0;

    for (size_t i = 0; i < raw.length; i++) {
        if (raw.data[i] == '\\' && i + 1 < raw.length)
            i++;
        unsigned char c = (unsigned char)raw.data[i];
        if (c < ' ' || c == 0x7f || length + 1 >= out_size)
            return false;
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return true;
}

/* Takes note of one parameter; the first of a name counts. False: this challenge cannot be met. */
static bool set_parameter(struct challenge *challenge, struct view name, struct view raw)
{
    if (view_equal_nocase(name, VIEW("realm")))
        return challenge->realm[0] != '\0' ||
               unescape(raw, challenge->realm, sizeof(challenge->realm));
    if (view_equal_nocase(name, VIEW("service")))
        return challenge->service[0] != '\0' ||
               unescape(raw, challenge->service, sizeof(challenge->service));
    if (view_equal_nocase(name, VIEW("scope")))
        return challenge->scope[0] != '\0' ||
               unescape(raw, challenge->scope, sizeof(challenge->scope));
    return true;
}

static enum challenge_scheme scheme_of(struct view token)
{
    if (view_equal_nocase(token, VIEW("bearer")))
        return CHALLENGE_BEARER;
    return view_equal_nocase(token, VIEW("basic")) ? CHALLENGE_BASIC : CHALLENGE_NONE;
}

/* Keeps a challenge that has come to its end when it is better than the best so far. */
static void offer(const struct challenge *challenge, struct challenge *best)
{
    if (challenge->scheme == CHALLENGE_BEARER && best->scheme != CHALLENGE_BEARER &&
        is_usable_realm(challenge->realm))
        *best = *challenge;
    else if (challenge->scheme == CHALLENGE_BASIC && best->scheme == CHALLENGE_NONE)
        best->scheme = CHALLENGE_BASIC;
}

/* Passes over what stands between parameters. */
static void skip(struct view *rest, bool commas_too)
{
    size_t length = 0;

    while (length < rest->length && (rest->data[length] == ' ' || rest->data[length] == '\t' ||
                                     (commas_too && rest->data[length] == ',')))
        length++;
    if (length > 0)
        *rest = (struct view){rest->data + length, rest->length - length};
}

/* Takes a quoted-string, or, more leniently than a token, all up to a comma or blank: an unquoted
 * URL or scope then means what its sender meant. */
static bool take_value(struct view *rest, struct view *ret_value)
{
    size_t length = 0;

    if (view_starts_with(*rest, VIEW("\"")))
        return http_take_value(rest, ret_value);
    while (length < rest->length && strchr(", \t", rest->data[length]) == NULL)
        length++;
    *ret_value = (struct view){rest->data, length};
    if (length > 0)
        *rest = (struct view){rest->data + length, rest->length - length};
    return true;
}

/*
 * RFC 9110 11.6.1: commas separate both challenges and parameters, so a token begins a challenge
 * unless '=' follows it. A token68 is read as nonsense of a scheme that we pass over anyway.
 */
void challenge_parse(struct view value, struct challenge *ret_challenge)
{
    struct challenge best = {0}, current = {0};

    for (skip(&value, true); value.length > 0; skip(&value, true)) {
        struct view token = http_take_token(&value), raw;
        if (token.length == 0) {
            (void)view_cut(&value, ',');
            continue;
        }
        skip(&value, false);
        if (!view_starts_with(value, VIEW("="))) {
            offer(&current, &best);
            current = (struct challenge){.scheme = scheme_of(token)};
            continue;
        }
        (void)view_cut(&value, '=');
        skip(&value, false);
        if (!take_value(&value, &raw)) {
            current.scheme = CHALLENGE_NONE;
            break;
        }
        if (current.scheme == CHALLENGE_BEARER && !set_parameter(&current, token, raw))
            current.scheme = CHALLENGE_NONE;
    }
    offer(&current, &best);
    *ret_challenge = best;
}
