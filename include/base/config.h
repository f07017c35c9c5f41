#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

/*
 * The settings: one table (settings.def) and the list of upstreams, read from embedded defaults,
 * then a YAML file, then flags, each overriding the former; after config_finish() immutable, and
 * read from any thread without a lock.
 *
 *   config_init -> config_read_file? -> (config_set | config_add_upstream)* -> config_finish
 *
 * The file is a mapping of the table's names, and `upstreams`, a mapping from a registry's name:
 *
 *   cache_size: 200GiB
 *   pin: [alpine:3.20, ghcr.io/acme/x*]
 *   upstreams:
 *     docker.io: {}
 *     registry.example.com:
 *       url: http://10.0.0.7:5000/prefix
 *       username: robot
 *       password_file: /etc/entrepot/password
 *
 * The key `models` is left to wire/catalog. A list of upstreams that is given, in the file or by
 * --upstream, replaces the former one whole: a mirror serves the registries that somebody named,
 * and no others (clients.md R10).
 *
 * Every problem is one sentence, in `ret_problem`, that names file, line, key, and what was
 * expected, and suggests the nearest key for one that does not exist. After an error the config is
 * good for config_release only.
 *
 * config.c has the table and the values, config_file.c the YAML (with config_keys), config_finish.c
 * the last step.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config_upstream.h"
#include "base/err.h"
#include "base/pattern.h"

enum { CONFIG_UPSTREAMS_MAX = 64, CONFIG_PATTERNS_MAX = 1000 };

enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_log_format { CONFIG_LOG_JSON, CONFIG_LOG_TEXT };

struct config {
#define CONFIG_ADDRESS  char *
#define CONFIG_NAME     char *
#define CONFIG_PATH     char *
#define CONFIG_SIZE     uint64_t
#define CONFIG_BUDGET   uint64_t
#define CONFIG_DURATION uint64_t
#define CONFIG_COUNT    uint64_t
#define CONFIG_CHOICE   int
#define CONFIG_PATTERNS char *

#define SETTING(kind, name, default_, min, max, prose) CONFIG_##kind name;
#include "base/settings.def"
#undef SETTING
    struct config_upstream *upstreams; /* owned; upstream_count of them */
    size_t upstream_count;
    size_t default_index; /* of the default upstream; valid after config_finish */
    struct pattern *pins; /* owned; pin_count of them: `pin`, parsed by config_finish */
    size_t pin_count;
    unsigned cache_size_percent; /* when not 0, cache_size is this share of the file system that
                                  * holds `cache`; config_finish computes it */
    char *file;                  /* owned; what config_read_file() read, or NULL */
    bool upstreams_by_flag;      /* an --upstream was given: the list has been replaced */
};

/* Fills in the embedded defaults. */
void config_init(struct config *config);
void config_release(struct config *config);

/* Reads a YAML file over what is there (libcyaml); at most 1 MiB. Thread: main, it reads a file. */
enum err config_read_file(struct config *config, const char *path,
                          struct buf *ret_problem) MUST_CHECK;

/* Same, of text in memory; `path` is for messages only. Pure: fuzzed. */
enum err config_read_text(struct config *config, struct view text, const char *path,
                          struct buf *ret_problem) MUST_CHECK;

/*
 * Sets one setting by its name, as a flag does: config_set(config, "cache_size", "200GiB", ...).
 * The name may be spelled with dashes, and the sentence begins with the name as it was spelled.
 * An ADDRESS is kept in numbers: "localhost:5000" as "127.0.0.1:5000", ":5000" as "0.0.0.0:5000".
 * A list (PATTERNS) is given whole, with spaces or commas between its items; "" empties it.
 */
enum err config_set(struct config *config, const char *name, const char *value,
                    struct buf *ret_problem) MUST_CHECK;

/* Adds one item to the list `name`, which must exist: what an item in the file does. At most
 * CONFIG_PATTERNS_MAX. */
enum err config_add(struct config *config, const char *name, const char *value,
                    struct buf *ret_problem) MUST_CHECK;

/* Appends the value of a setting, which must exist, in the notation that config_set reads. */
void config_get(const struct config *config, const char *name, struct buf *out);

/* What --upstream NAME[=URL] does; the first call drops the list that was there. */
enum err config_add_upstream(struct config *config, const char *text,
                             struct buf *ret_problem) MUST_CHECK;

/* Empties the list of upstreams. */
void config_drop_upstreams(struct config *config);

/* Appends an upstream with the URL that follows from its name. `*ret_upstream` is borrowed, and
 * valid until the next call. A name that is there already is an error. */
enum err config_push_upstream(struct config *config, struct view name,
                              struct config_upstream **ret_upstream,
                              struct buf *ret_problem) MUST_CHECK;

/*
 * Checks that the settings agree, finds the default upstream, whose images `pin` means, and the
 * cache directory, reads password files and the Docker config.json, resolves counts of 0 and the
 * share of the file system, and writes into the settings what it found. Afterwards the config is
 * immutable. Makes nothing on disk. Thread: main, it reads files.
 */
enum err config_finish(struct config *config, struct buf *ret_problem) MUST_CHECK;

/* Appends the effective settings as YAML that config_read_file accepts, save for passwords, which
 * are shown as "(hidden)". */
void config_print(const struct config *config, struct buf *out);

/* Appends the flags with their prose, for --help; and the settings as Markdown tables, for README.
 */
void config_help(struct buf *out);
void config_reference(struct buf *out);

/* Appends the names of the settings that differ, and "upstreams" when these do, with commas between
 * them. Secrets count, and are not shown. */
void config_compare(const struct config *config, const struct config *other, struct buf *out);

/* The index of the upstream that clients call `name` (any case; docker.io's other names mean it,
 * clients.md R8), or -1. Thread: any. */
int config_find_upstream(const struct config *config, struct view name);

#endif
