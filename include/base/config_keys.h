#ifndef BASE_CONFIG_KEYS_H
#define BASE_CONFIG_KEYS_H

/*
 * The keys of a configuration file, with their lines, found by walking libyaml's events; whatever
 * is not in the tables is refused. For `config_file` only, which loads the values.
 *
 * A file may be hostile: its depth, number of keys, of upstreams and of a list's items are bounded
 * here, and anchors, aliases and tags refused. Pure; fuzzed as part of config_read_text().
 */

#include <stddef.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"

#define CONFIG_KEY_UPSTREAMS "upstreams"
#define CONFIG_KEY_MODELS    "models" /* what is below it is not looked at: wire/catalog */
#define CONFIG_NONE          SIZE_MAX

enum {
#define SETTING(kind, name, default_, min, max, prose) CONFIG_SETTING_##name,
#include "base/settings.def"
#undef SETTING
    CONFIG_SETTING_COUNT,
    CONFIG_KEYS_UPSTREAMS = CONFIG_SETTING_COUNT, /* the keys that are no settings */
    CONFIG_KEYS_MODELS,
    CONFIG_KEYS_END
};

enum {
#define KEY(name, prose) CONFIG_KEY_##name,
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
        CONFIG_KEY_COUNT
};

/* A key, or an item of a list. */
struct config_key {
    size_t upstream; /* index of the name it is under; CONFIG_NONE: a setting */
    size_t field;    /* index in the table, or CONFIG_KEYS_...; CONFIG_NONE: the name of
                      * an upstream itself */
    size_t item;     /* of a list, from 0; CONFIG_NONE: the key itself */
    size_t line;
};

struct config_keys {
    char *names[CONFIG_UPSTREAMS_MAX]; /* owned; of upstreams, in the order of the file */
    size_t name_count;
    size_t upstreams_line;   /* 0: the file has no `upstreams` */
    struct config_key *keys; /* owned; `count` of them, in the order of the file */
    size_t count;
};

/* Reads the keys of `text`; a sentence begins with `path` and the line. To be released after an
 * error too. */
enum err config_keys_read(struct config_keys *keys, struct view text, const char *path,
                          struct buf *ret_problem) MUST_CHECK;
void config_keys_release(struct config_keys *keys);

#endif
