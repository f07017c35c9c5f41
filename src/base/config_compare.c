#include <string.h>

#include "base/config.h"

static const char *const names[] = {
#define SETTING(kind, name, default_, min, max, prose) #name,
#include "base/settings.def"
#undef SETTING
};

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool has_same_upstreams(const struct config *config, const struct config *other)
{
    if (config->upstream_count != other->upstream_count)
        return false;
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *a = &config->upstreams[i], *b = &other->upstreams[i];
#define KEY(key, prose)                                                                            \
    if (!is_same_text(a->key, b->key))                                                             \
        return false;
        CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
        if (!is_same_text(a->name, b->name))
            return false;
    }
    return true;
}

static void append(struct buf *out, const char *name)
{
    if (out->length > 0)
        buf_append_text(out, ", ");
    buf_append_text(out, name);
}

void config_compare(const struct config *config, const struct config *other, struct buf *out)
{
    struct buf a = {0}, b = {0};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        buf_clear(&a);
        buf_clear(&b);
        config_get(config, names[i], &a);
        config_get(other, names[i], &b);
        if (!view_equal(view_of_buf(&a), view_of_buf(&b)))
            append(out, names[i]);
    }
    if (!has_same_upstreams(config, other))
        append(out, "upstreams");
    buf_release(&a);
    buf_release(&b);
}
