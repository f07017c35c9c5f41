#ifndef BASE_CONFIG_UPSTREAM_H
#define BASE_CONFIG_UPSTREAM_H

/*
 * One upstream of the configuration: a registry that we are a mirror of, what clients call it,
 * where it is, and how we sign in. Pure: no file is read here.
 *
 * Rule: whatever a setter accepted can be used as it stands (names and hosts in lower case, URLs
 * without credentials or trailing slash) and can be printed, in UTF-8 without control characters.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* The keys of an upstream in the file; each is a char * of struct config_upstream. */
#define CONFIG_UPSTREAM_KEYS(KEY)                                                                  \
    KEY(type, "registry, or huggingface: a model hub, whose repositories appear as images. "       \
              "Default: registry; for hf huggingface.")                                            \
    KEY(url, "Where it is: http(s)://[user:password@]host[:port][/prefix]. Default: https:// and " \
             "the name; for docker.io https://registry-1.docker.io, for a hub "                    \
             "https://huggingface.co.")                                                            \
    KEY(username, "The user to sign in as. Default: nobody. A hub wants none.")                    \
    KEY(password, "The user's password, or access token; a hub's token.")                          \
    KEY(password_file, "A file that holds the password; a newline at its end is not part of it.")  \
    KEY(ca_file, "PEM file of the certificate authorities to trust for it. Default: the "          \
                 "system's.")

/* What `entrepot check` shows in place of a password; as a password it is refused. */
#define CONFIG_HIDDEN "(hidden)"

/* One registry that we are a mirror of. */
struct config_upstream {
    char *name;     /* owned; what clients call it, lower case: "docker.io", "reg.example:5000" */
    char *type;     /* owned; "registry" or "huggingface" */
    char *url;      /* owned; http(s)://host[:port][/prefix], no trailing slash, no credentials */
    char *username; /* owned; NULL: anonymous */
    char *password; /* owned; NULL: none. Never printed or logged */
    char *password_file; /* owned; where password came from, or NULL */
    char *ca_file;       /* owned; PEM of the authorities to trust for it; NULL: the system's */
    bool is_hub;         /* of type huggingface: models.md, not the distribution-spec */
    bool is_docker_hub;  /* docker.io: index.docker.io and registry-1.docker.io mean it too */
    bool has_docker_credentials; /* username and password came from `docker_config` */
};

/* Makes the anonymous upstream `name` with the URL that follows from the name. On ERR_CONFIG
 * `*upstream` is untouched. */
enum err config_upstream_init(struct config_upstream *upstream, struct view name,
                              struct buf *ret_problem) MUST_CHECK;
void config_upstream_release(struct config_upstream *upstream);

/* Sets one of CONFIG_UPSTREAM_KEYS. The sentence begins with the key; it never holds a secret. */
enum err config_upstream_set(struct config_upstream *upstream, const char *key, const char *value,
                             struct buf *ret_problem) MUST_CHECK;

/* Whether clients mean this upstream by `name`: any case, and docker.io's other names (clients.md
 * R8). Thread: any. */
bool config_upstream_is_named(const struct config_upstream *upstream, struct view name);

/* "host[:port]" of its URL, borrowed. */
struct view config_upstream_host(const struct config_upstream *upstream);

/* "/prefix" of its URL, borrowed; empty when there is none. */
struct view config_upstream_prefix(const struct config_upstream *upstream);

/* Whether `text` is UTF-8 without control characters, as every text in the configuration must be.
 */
bool config_text_is_clean(struct view text);

#endif
