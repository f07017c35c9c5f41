#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

/*
 * The settings: one table (settings.def) and the list of upstreams, read from embedded defaults, then
 * a YAML file, then flags, each overriding the former; after config_finish() immutable, and read
 * from any thread without a lock.
 *
 * The file is a mapping of the table's names, and `upstreams`, a mapping from a registry's name:
 *
 *   cache_size: 200GiB
 *   upstreams:
 *     docker.io: {}
 *     registry.example.com:
 *       url: http://10.0.0.7:5000/prefix
 *       username: robot
 *       password_file: /etc/entrepot/password
 *
 * A list of upstreams that is given, in the file or by --upstream, replaces the former one whole: a
 * mirror serves the registries that somebody named, and no others (clients.md R10).
 *
 * Every problem is one sentence, in `ret_problem`, that names file, line, key, and what was
 * expected, and suggests the nearest key for one that does not exist.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CONFIG_UPSTREAMS_MAX = 64 };

enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_log_format { CONFIG_LOG_JSON, CONFIG_LOG_TEXT };

/* One registry that we are a mirror of. */
struct config_upstream {
    char *name;          /* owned; what clients call it, lower case: "docker.io", "reg.example:5000" */
    char *url;           /* owned; http(s)://host[:port][/prefix], no trailing slash, no credentials */
    char *username;      /* owned; NULL: anonymous */
    char *password;      /* owned; NULL: none. Never printed or logged */
    char *password_file; /* owned; where password came from, or NULL */
    char *ca_file;       /* owned; PEM of the authorities to trust for it; NULL: the system's */
    bool is_docker_hub;  /* docker.io: index.docker.io and registry-1.docker.io mean it too */
};

struct config {
#define CONFIG_ADDRESS char *
#define CONFIG_TEXT char *
#define CONFIG_SIZE uint64_t
#define CONFIG_BUDGET uint64_t
#define CONFIG_DURATION uint64_t
#define CONFIG_COUNT uint64_t
#define CONFIG_CHOICE int
#define SETTING(kind, name, default_, min, max, prose) CONFIG_##kind name;
#include "base/settings.def"
#undef SETTING
    struct config_upstream *upstreams; /* owned; upstream_count of them */
    size_t upstream_count;
    size_t default_index;         /* of the default upstream; valid after config_finish */
    unsigned cache_size_percent;  /* when not 0, cache_size is this share of the file system that
                                   * holds `cache`; config_finish computes it */
    bool upstreams_by_flag;       /* an --upstream was given: the list has been replaced */
};

/* Fills in the embedded defaults. */
void config_init(struct config *config);
void config_release(struct config *config);

/* Reads a YAML file over what is there (libcyaml). On ERR_CONFIG `*ret_problem` has the sentence. */
enum err config_read_file(struct config *config, const char *path, struct buf *ret_problem)
    MUST_CHECK;

/* Same, of text in memory; `path` is for messages only. Pure but for the log of libcyaml: fuzzed. */
enum err config_read_text(struct config *config, struct view text, const char *path,
                          struct buf *ret_problem) MUST_CHECK;

/* Sets one setting by its name, as a flag does: config_set(config, "cache_size", "200GiB", ...). */
enum err config_set(struct config *config, const char *name, const char *value,
                    struct buf *ret_problem) MUST_CHECK;

/* What --upstream NAME[=URL] does; the first call drops the list that was there. */
enum err config_add_upstream(struct config *config, const char *text, struct buf *ret_problem)
    MUST_CHECK;

/*
 * Checks that the settings agree, finds the default upstream and the cache directory, reads
 * password files and the Docker config.json, resolves counts of 0 and the share of the file system.
 * Afterwards the config is immutable.
 */
enum err config_finish(struct config *config, struct buf *ret_problem) MUST_CHECK;

/* Appends the effective settings as YAML that config_read_file accepts, secrets as "(hidden)". */
void config_print(const struct config *config, struct buf *out);

/* Appends the flags with their prose, for --help; and the settings as a Markdown table, for README. */
void config_help(struct buf *out);
void config_reference(struct buf *out);

/* The index of the upstream that clients call `name` (any case; docker.io's other names mean it,
 * clients.md R8), or -1. Thread: any. */
int config_find_upstream(const struct config *config, struct view name);

#endif
