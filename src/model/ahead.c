#include "model/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { TICK_MS = 250, GROWTH_MS = 1000, AGAIN_MIN_MS = 1000, RETRY_MAX_MS = 30000 };

enum ahead_state { AHEAD_DUE, AHEAD_ASKED, AHEAD_DONE };

struct ahead_model {
    enum ahead_state state;
    uint64_t due_ms; /* DUE: from when on */
};

/* Another catalog: each of its models is due, but for what is still being asked for. */
static void take_catalog(struct ahead *ahead, struct catalog *catalog)
{
    struct ahead_model *models = check_calloc(catalog->count + 1, sizeof(*models));

    for (size_t i = 0; ahead->catalog != NULL && i < ahead->catalog->count; i++) {
        const struct catalog_model *old = &ahead->catalog->models[i];
        const struct catalog_model *now =
            catalog_find(catalog, old->upstream->name, old->repository, old->tag);
        if (now != NULL && ahead->models[i].state == AHEAD_ASKED)
            models[now - catalog->models].state = AHEAD_ASKED;
    }
    free(ahead->models);
    catalog_unref(ahead->catalog);
    ahead->models = models;
    ahead->catalog = catalog;
}

static void grow_tokens(struct ahead *ahead, uint64_t now)
{
    uint64_t grown = (now - ahead->tokens_ms) / GROWTH_MS;

    ahead->tokens_ms += grown * GROWTH_MS;
    ahead->tokens =
        grown > AHEAD_BURST - ahead->tokens ? AHEAD_BURST : ahead->tokens + (unsigned)grown;
}

/* Asks for what is due, as far as that may be. */
static void ask(struct ahead *ahead, uint64_t now)
{
    size_t running = 0, count = ahead->catalog->count;

    for (size_t i = 0; i < count; i++)
        running += ahead->models[i].state == AHEAD_ASKED;
    for (size_t i = 0; i < count && running < AHEAD_AT_ONCE && ahead->tokens > 0; i++) {
        if (ahead->models[i].state != AHEAD_DUE || ahead->models[i].due_ms > now)
            continue;
        ahead->models[i].state = AHEAD_ASKED;
        ahead->tokens--;
        running++;
        ahead->ask(ahead, &ahead->catalog->models[i]);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct ahead *ahead = container_of(timer, struct ahead, timer);
    LOOP_CALLBACK(ahead->loop);
    struct catalog *catalog = catalogs_get(ahead->catalogs);
    uint64_t now = loop_now_ms(ahead->loop);

    if (catalog != ahead->catalog)
        take_catalog(ahead, catalog);
    else
        catalog_unref(catalog);
    grow_tokens(ahead, now);
    ask(ahead, now);
}

void ahead_note(struct ahead *ahead, const char *upstream, const char *repository, const char *tag,
                const char *revision, const char *filter, bool is_imported)
{
    const struct catalog_model *found =
        ahead->catalog == NULL ? NULL : catalog_find(ahead->catalog, upstream, repository, tag);

    if (found == NULL)
        return;
    struct ahead_model *model = &ahead->models[found - ahead->catalog->models];
    uint64_t ttl = ahead->config->tag_ttl, pause = ttl < RETRY_MAX_MS ? ttl : RETRY_MAX_MS;
    bool is_it = revision[0] == '\0' ||
                 (strcmp(found->revision, revision) == 0 && strcmp(found->filter, filter) == 0);

    if (model->state == AHEAD_DONE && is_it)
        return;
    model->state = AHEAD_DUE;
    if (is_it && is_imported && found->is_commit)
        model->state = AHEAD_DONE;
    else if (is_it && is_imported)
        pause = ttl;
    else if (!is_it)
        pause = 0; /* it was asked for before the catalog changed */
    if (is_it && pause < AGAIN_MIN_MS)
        pause = AGAIN_MIN_MS;
    model->due_ms = loop_now_ms(ahead->loop) + pause;
}

void ahead_init(struct ahead *ahead, struct loop *loop, struct catalogs *catalogs,
                const struct config *config,
                void (*ask_for)(struct ahead *ahead, const struct catalog_model *model))
{
    *ahead = (struct ahead){.loop = loop,
                            .catalogs = catalogs,
                            .config = config,
                            .tokens = AHEAD_BURST,
                            .tokens_ms = loop_now_ms(loop),
                            .ask = ask_for};
    CHECK(uv_timer_init(&loop->uv, &ahead->timer) == 0);
    uv_timer_start(&ahead->timer, on_tick, 0, TICK_MS);
}

void ahead_close(struct ahead *ahead)
{
    free(ahead->models);
    catalog_unref(ahead->catalog);
    ahead->models = NULL;
    ahead->catalog = NULL;
    uv_close((uv_handle_t *)&ahead->timer, NULL);
}
