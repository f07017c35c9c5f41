#include "cache/upstream.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/stats.h"
#include "io/loop.h"

struct token {
    struct list node;
    char *scope;         /* owned */
    char *text;          /* owned */
    uint64_t due_ms;     /* when to get the next one */
    uint64_t expires_ms; /* when not to use it any more */
};

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void upstreams_init(struct upstreams *upstreams, const struct config *config)
{
    upstreams->count = config->upstream_count;
    upstreams->list = check_calloc(upstreams->count, sizeof(*upstreams->list));
    for (size_t i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = &upstreams->list[i];
        upstream->config = &config->upstreams[i];
        upstream->index = stats_name(STATS_LABEL_UPSTREAM, upstream->config->name);
        CHECK(upstream->index == i);
        pthread_mutex_init(&upstream->mutex, NULL);
        list_init(&upstream->tokens);
    }
}

static void token_free(struct upstream *upstream, struct token *token)
{
    list_unlink(&token->node);
    upstream->token_count--;
    free(token->scope);
    free(token->text);
    free(token);
}

void upstreams_release(struct upstreams *upstreams)
{
    for (size_t i = 0; i < upstreams->count; i++) {
        struct upstream *upstream = &upstreams->list[i];
        while (!list_is_empty(&upstream->tokens))
            token_free(upstream, container_of(upstream->tokens.next, struct token, node));
        pthread_mutex_destroy(&upstream->mutex);
    }
    free(upstreams->list);
    *upstreams = (struct upstreams){0};
}

enum err upstream_is_resting(struct upstream *upstream, uint64_t *ret_retry_after)
{
    uint64_t now = now_ms();
    enum err err = OK;

    pthread_mutex_lock(&upstream->mutex);
    if (now < upstream->rests_until_ms) {
        err = upstream->rest_reason == ERR_UPSTREAM_LIMITED ? ERR_UPSTREAM_LIMITED
                                                            : ERR_UPSTREAM_RESTING;
        *ret_retry_after = (upstream->rests_until_ms - now + 999) / 1000;
    }
    pthread_mutex_unlock(&upstream->mutex);
    return err;
}

static void note_answer(struct upstream *upstream, uint64_t well_ms)
{
    pthread_mutex_lock(&upstream->mutex);
    upstream->well_ms = well_ms;
    if (upstream->rest_reason != ERR_UPSTREAM_LIMITED)
        upstream->rests_until_ms = 0;
    pthread_mutex_unlock(&upstream->mutex);
}

void upstream_was_well(struct upstream *upstream)
{
    note_answer(upstream, now_ms());
}

void upstream_was_ill(struct upstream *upstream)
{
    note_answer(upstream, 0);
}

bool upstream_well_within(struct upstream *upstream, uint64_t ms)
{
    pthread_mutex_lock(&upstream->mutex);
    bool well = upstream->well_ms != 0 && upstream->well_ms + ms >= now_ms();
    pthread_mutex_unlock(&upstream->mutex);
    return well;
}

void upstream_rest(struct upstream *upstream, enum err reason, uint64_t for_ms)
{
    if (for_ms > UPSTREAM_REST_MAX_MS)
        for_ms = UPSTREAM_REST_MAX_MS;
    pthread_mutex_lock(&upstream->mutex);
    upstream->rests_until_ms = now_ms() + for_ms;
    upstream->rest_reason = reason;
    upstream->well_ms = 0;
    pthread_mutex_unlock(&upstream->mutex);
}

void upstream_note_rate(struct upstream *upstream, uint64_t bytes, uint64_t us)
{
    uint64_t rate = us == 0 ? 0 : (uint64_t)((double)bytes * 1e6 / (double)us);

    pthread_mutex_lock(&upstream->mutex);
    upstream->rate = upstream->rate == 0 ? rate : (3 * upstream->rate + rate) / 4;
    pthread_mutex_unlock(&upstream->mutex);
}

uint64_t upstream_rate(struct upstream *upstream)
{
    pthread_mutex_lock(&upstream->mutex);
    uint64_t rate = upstream->rate;
    pthread_mutex_unlock(&upstream->mutex);
    return rate;
}

void upstream_note_ranges(struct upstream *upstream)
{
    pthread_mutex_lock(&upstream->mutex);
    upstream->takes_ranges = true;
    pthread_mutex_unlock(&upstream->mutex);
}

bool upstream_takes_ranges(struct upstream *upstream)
{
    pthread_mutex_lock(&upstream->mutex);
    bool takes = upstream->takes_ranges;
    pthread_mutex_unlock(&upstream->mutex);
    return takes;
}

void upstream_note_crowd(struct upstream *upstream, unsigned running)
{
    pthread_mutex_lock(&upstream->mutex);
    upstream->crowd = running > 0 ? running : 1;
    upstream->crowd_until_ms = now_ms() + UPSTREAM_CROWD_MS;
    pthread_mutex_unlock(&upstream->mutex);
}

bool upstream_is_of_crowd(enum err err)
{
    return err == ERR_UPSTREAM_LIMITED || err == ERR_UPSTREAM_FAILED ||
           err == ERR_UPSTREAM_UNREACHABLE || err == ERR_UPSTREAM_TIMEOUT ||
           err == ERR_UPSTREAM_BROKEN;
}

unsigned upstream_crowd(struct upstream *upstream)
{
    pthread_mutex_lock(&upstream->mutex);
    unsigned crowd = now_ms() < upstream->crowd_until_ms ? upstream->crowd : UINT_MAX;
    pthread_mutex_unlock(&upstream->mutex);
    return crowd;
}

void upstream_set_challenge(struct upstream *upstream, const struct challenge *challenge)
{
    pthread_mutex_lock(&upstream->mutex);
    upstream->challenge = *challenge;
    pthread_mutex_unlock(&upstream->mutex);
}

struct challenge upstream_challenge(struct upstream *upstream)
{
    pthread_mutex_lock(&upstream->mutex);
    struct challenge challenge = upstream->challenge;
    pthread_mutex_unlock(&upstream->mutex);
    return challenge;
}

static struct token *find_locked(struct upstream *upstream, const char *scope)
{
    for (struct list *node = upstream->tokens.next; node != &upstream->tokens; node = node->next) {
        struct token *token = container_of(node, struct token, node);
        if (strcmp(token->scope, scope) == 0)
            return token;
    }
    return NULL;
}

bool upstream_token(struct upstream *upstream, const char *scope, struct buf *out, bool *ret_is_due)
{
    uint64_t now = now_ms();

    pthread_mutex_lock(&upstream->mutex);
    struct token *token = find_locked(upstream, scope);
    bool good = token != NULL && now < token->expires_ms;
    if (good) {
        buf_append_text(out, token->text);
        *ret_is_due = now >= token->due_ms;
        list_unlink(&token->node);
        list_prepend(&upstream->tokens, &token->node);
    } else if (token != NULL) {
        token_free(upstream, token);
    }
    pthread_mutex_unlock(&upstream->mutex);
    return good;
}

void upstream_set_token(struct upstream *upstream, const char *scope, const char *text,
                        uint64_t life_s)
{
    uint64_t now = now_ms(), life_ms = life_s * 1000;
    struct token *token = check_calloc(1, sizeof(*token));

    token->scope = check_strdup(scope);
    token->text = check_strdup(text);
    token->due_ms = now + life_ms * 3 / 4; /* renewed behind the scenes in its last quarter, */
    token->expires_ms = now + life_ms * 19 / 20; /* and never sent when it may expire on the way */
    pthread_mutex_lock(&upstream->mutex);
    struct token *old = find_locked(upstream, scope);
    if (old != NULL)
        token_free(upstream, old);
    else if (upstream->token_count >= UPSTREAM_TOKENS_MAX)
        token_free(upstream, container_of(upstream->tokens.prev, struct token, node));
    list_prepend(&upstream->tokens, &token->node);
    upstream->token_count++;
    pthread_mutex_unlock(&upstream->mutex);
}

void upstream_drop_token(struct upstream *upstream, const char *scope, const char *text)
{
    pthread_mutex_lock(&upstream->mutex);
    struct token *token = find_locked(upstream, scope);
    if (token != NULL && strcmp(token->text, text) == 0)
        token_free(upstream, token);
    pthread_mutex_unlock(&upstream->mutex);
}

bool upstream_basic(const struct upstream *upstream, struct buf *out)
{
    const struct config_upstream *config = upstream->config;
    struct buf pair = {0};

    if (config->username == NULL)
        return false;
    buf_printf(&pair, "%s:%s", config->username, config->password == NULL ? "" : config->password);
    buf_append_text(out, "Basic ");
    buf_reserve(out, pair.length / 3 * 4 + 8);
    int length = EVP_EncodeBlock((unsigned char *)out->data + out->length,
                                 (const unsigned char *)pair.data, (int)pair.length);
    out->length += (size_t)length;
    OPENSSL_cleanse(pair.data, pair.length);
    buf_release(&pair);
    return true;
}
