#include "cache/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "wire/grant.h"
#include "wire/http.h"

enum { BODY_MAX = 256 * 1024 };

struct token_request {
    struct flight flight;
    struct calls *calls;
    struct upstream *upstream;
    struct challenge challenge;
    char *scope; /* owned */
    struct transfer *transfer;
    struct buf body;
    int status;
    uint64_t retry_after;
};

static enum err err_of_status(int status)
{
    if (status == 429)
        return ERR_UPSTREAM_LIMITED;
    if (status == 401 || status == 403)
        return ERR_UPSTREAM_REFUSED;
    return ERR_UPSTREAM_FAILED; /* the registry has said nothing of the kind (E4) */
}

static void finish(struct token_request *request, enum err err)
{
    struct flight_answer answer = {.err = err, .retry_after = request->retry_after};

    if (err != OK)
        log_message(CONFIG_LOG_WARN, "token", "no token for %s from %s: %s (status %d)",
                    request->scope, request->challenge.realm, err_sentence(err), request->status);
    flight_finish(&request->calls->store->flights, &request->flight, &answer);
    buf_release(&request->body);
    free(request->scope);
    free(request);
}

static enum err on_head(struct transfer *transfer, int status)
{
    struct token_request *request = transfer_owner(transfer);

    request->status = status;
    if (status == 429 || status == 503)
        request->retry_after =
            http_retry_after(transfer_field(transfer, "Retry-After"), clock_wall_s(), 2);
    return OK;
}

static enum err on_body(struct transfer *transfer, const void *data, size_t length)
{
    struct token_request *request = transfer_owner(transfer);

    if (request->body.length + length > BODY_MAX)
        return ERR_UPSTREAM_NONSENSE;
    buf_append(&request->body, data, length);
    return OK;
}

static void on_end(struct transfer *transfer, enum err err)
{
    struct token_request *request = transfer_owner(transfer);
    struct grant grant;

    request->transfer = NULL;
    if (err == OK && request->status != 200)
        err = err_of_status(request->status);
    if (err == OK && !grant_parse(view_of_buf(&request->body), &grant))
        err = ERR_UPSTREAM_NONSENSE;
    else if (err == OK) {
        upstream_set_token(request->upstream, request->scope, grant.token, grant.expires_in);
        grant_release(&grant);
    }
    finish(request, err);
}

static void on_start(struct mail *mail)
{
    struct token_request *request = container_of(mail, struct token_request, flight.start);
    static const struct transfer_events events = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct buf url = {0}, authorization = {0};

    buf_append_text(&url, request->challenge.realm);
    buf_append_text(&url, strchr(url.data, '?') == NULL ? "?" : "&");
    if (request->challenge.service[0] != '\0') {
        buf_append_text(&url, "service=");
        http_percent_encode(&url, view_of(request->challenge.service));
        buf_append_text(&url, "&");
    }
    buf_append_text(&url, "scope=");
    const char *asked = request->challenge.scope;
    http_percent_encode(&url, view_of(asked[0] != '\0' ? asked : request->scope));
    buf_append_text(&authorization, "Authorization: ");
    bool known = upstream_basic(request->upstream, &authorization);
    const char *const headers[] = {"Accept: application/json", known ? authorization.data : NULL,
                                   NULL};
    request->transfer =
        transfer_start(&request->calls->transfers,
                       &(struct transfer_request){.method = TRANSFER_GET,
                                                  .url = url.data,
                                                  .headers = headers,
                                                  .ca_file = request->upstream->config->ca_file,
                                                  .upstream = request->upstream->index},
                       &events, request);
    buf_release(&url);
    buf_release(&authorization);
}

static struct flight *make(void *argument)
{
    struct token_request *request = check_malloc(sizeof(*request));

    *request = *(struct token_request *)argument;
    request->scope = check_strdup(request->scope);
    return &request->flight;
}

void token_get(struct calls *calls, struct upstream *upstream, const struct challenge *challenge,
               const char *scope, struct flight_caller *caller)
{
    unsigned char key[FLIGHT_KEY_SIZE];
    struct token_request request = {.flight = {.loop = calls->loop, .start.deliver = on_start},
                                    .calls = calls,
                                    .upstream = upstream,
                                    .challenge = *challenge,
                                    .scope = (char *)scope};

    flight_key(key, "token", upstream->config->name, scope, NULL);
    flight_join(&calls->store->flights, key, caller, make, &request);
}
