/*
 * The last step of the configuration: what is left open in it is decided by looking at the machine,
 * and written back into the settings.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/config.h"
#include "base/problem.h"
#include "base/small_file.h"

#define CACHE_OF_SYSTEM "/var/lib/entrepot"
#define CACHE_OF_USER   "./entrepot-cache"

enum {
    PASSWORD_MAX_BYTES = 64 << 10,
    CREDENTIALS_MAX_BYTES = 1 << 20,
    THREADS_MAX = 256,    /* the bound of serve_threads and pool_threads */
    POOL_THREADS_MORE = 4 /* for a disk, beside one a processor for hashing */
};

/* ---- credentials of an upstream ---- */

static enum err read_password(struct config_upstream *upstream, struct buf *ret_problem)
{
    struct buf text = {0};

    if (upstream->password != NULL)
        return problem_set(ret_problem, "both password and password_file are given; keep one");
    enum err err = small_file_read(upstream->password_file, PASSWORD_MAX_BYTES, &text, ret_problem);
    if (err != OK)
        return problem_within(ret_problem, "password_file: ");
    struct view password = view_of_buf(&text);
    if (view_ends_with(password, VIEW("\n")))
        password.length--;
    if (view_ends_with(password, VIEW("\r")))
        password.length--;
    if (password.length == 0)
        err = problem_set(ret_problem, "password_file: %s: is empty", upstream->password_file);
    else if (memchr(password.data, '\0', password.length) != NULL)
        err = problem_set(ret_problem, "password_file: %s: is not a text file",
                          upstream->password_file);
    else
        upstream->password = view_dup(password);
    buf_release(&text);
    return err;
}

/* The library that reads the certificates does so late, and its errors name no setting. */
static enum err check_ca_file(const struct config_upstream *upstream, struct buf *ret_problem)
{
    if (faccessat(AT_FDCWD, upstream->ca_file, R_OK, AT_EACCESS) == 0)
        return OK;
    return problem_set(ret_problem, "ca_file: %s: cannot be read: %s", upstream->ca_file,
                       strerrordesc_np(errno));
}

static enum err finish_upstream(struct config_upstream *upstream, struct buf *ret_problem)
{
    enum err err = OK;

    if (upstream->password_file != NULL)
        err = read_password(upstream, ret_problem);
    if (err == OK && upstream->is_hub && upstream->username != NULL)
        err = problem_set(ret_problem, "there is a username, but a hub wants none: its token is "
                                       "the password");
    if (err == OK && !upstream->is_hub && upstream->username == NULL && upstream->password != NULL)
        err = problem_set(ret_problem, "there is a password, but no username");
    if (err == OK && upstream->username != NULL && upstream->password == NULL)
        err = problem_set(ret_problem, "there is a username, but neither password nor "
                                       "password_file");
    if (err == OK && upstream->ca_file != NULL)
        err = check_ca_file(upstream, ret_problem);
    return err == OK ? OK : problem_within(ret_problem, "upstreams: %s: ", upstream->name);
}

/* ---- Docker's config.json ---- */

/*
 * The host that a key of `auths` is for: "https://index.docker.io/v1/", "https://ghcr.io",
 * "ghcr.io". Empty for a key with a path of its own (containers-auth.json(5) has them, for parts of
 * a registry): its credentials must not be used for the whole registry.
 */
static struct view key_host(struct view key)
{
    if (view_starts_with(key, VIEW("https://")))
        key = (struct view){key.data + 8, key.length - 8};
    else if (view_starts_with(key, VIEW("http://")))
        key = (struct view){key.data + 7, key.length - 7};
    struct view host = view_cut(&key, '/');
    while (view_ends_with(key, VIEW("/")))
        key.length--;
    if (key.length == 0 || view_equal(key, VIEW("v1")) || view_equal(key, VIEW("v2")))
        return host;
    return (struct view){NULL, 0};
}

/* The base64 of "user:password", as config.json has it, in plain; false when it is not that. */
static bool decode_auth(struct view auth, struct buf *ret_plain)
{
    if (auth.length % 4 != 0 || auth.length > CREDENTIALS_MAX_BYTES)
        return false;
    buf_reserve(ret_plain, auth.length);
    int length = EVP_DecodeBlock((unsigned char *)ret_plain->data, (const unsigned char *)auth.data,
                                 (int)auth.length);
    if (length < 0)
        return false;
    /* EVP_DecodeBlock counts the padding as bytes. */
    for (size_t i = auth.length; length > 0 && i > 0 && auth.data[i - 1] == '='; i--)
        length--;
    ret_plain->length = (size_t)length;
    ret_plain->data[length] = '\0';
    return memchr(ret_plain->data, '\0', ret_plain->length) == NULL &&
           memchr(ret_plain->data, ':', ret_plain->length) != NULL;
}

static void set_credentials(struct config_upstream *upstream, struct view username,
                            struct view password)
{
    if (username.length == 0 || password.length == 0)
        return;
    upstream->username = view_dup(username);
    upstream->password = view_dup(password);
    upstream->has_docker_credentials = true;
}

/* Uses one entry of `auths`. One without a password (a helper keeps it) is left alone. */
static enum err use_entry(struct config_upstream *upstream, const char *key, const json_t *entry,
                          struct buf *ret_problem)
{
    struct view auth = view_of(json_string_value(json_object_get(entry, "auth")));
    struct view username = view_of(json_string_value(json_object_get(entry, "username")));
    struct view password = view_of(json_string_value(json_object_get(entry, "password")));
    struct buf plain = {0};
    enum err err = OK;

    if (auth.length > 0 && decode_auth(auth, &plain)) {
        password = view_of_buf(&plain);
        username = view_cut(&password, ':');
    } else if (auth.length > 0) {
        problem_value(ret_problem, view_of(key),
                      "has an `auth` that is not base64 of user:password");
        err = problem_within(ret_problem, "auths: ");
    }
    if (err == OK)
        set_credentials(upstream, username, password);
    buf_release(&plain);
    return err;
}

/* Finds the entry for an upstream: by its name, else by the host of its URL. */
static const char *find_entry(const struct config_upstream *upstream, json_t *auths)
{
    const char *key, *by_url = NULL;
    json_t *entry;

    json_object_foreach(auths, key, entry)
    {
        struct view host = key_host(view_of(key));
        if (host.length == 0)
            continue;
        if (config_upstream_is_named(upstream, host))
            return key;
        if (by_url == NULL && view_equal_nocase(host, config_upstream_host(upstream)))
            by_url = key;
    }
    return by_url;
}

static enum err use_auths(struct config *config, json_t *auths, struct buf *ret_problem)
{
    if (auths == NULL)
        return OK;
    if (!json_is_object(auths))
        return problem_set(ret_problem, "auths: is not an object");
    for (size_t i = 0; i < config->upstream_count; i++) {
        struct config_upstream *upstream = &config->upstreams[i];
        const char *key = upstream->username == NULL ? find_entry(upstream, auths) : NULL;
        if (key == NULL || upstream->is_hub)
            continue;
        enum err err = use_entry(upstream, key, json_object_get(auths, key), ret_problem);
        if (err != OK)
            return err;
    }
    return OK;
}

static enum err use_docker_config(struct config *config, struct buf *ret_problem)
{
    struct buf text = {0};
    json_error_t error;

    enum err err =
        small_file_read(config->docker_config, CREDENTIALS_MAX_BYTES, &text, ret_problem);
    if (err != OK) {
        buf_release(&text);
        return problem_within(ret_problem, "docker_config: ");
    }
    json_t *root = json_loadb(text.length == 0 ? "" : text.data, text.length, 0, &error);
    if (root == NULL)
        err = problem_set(ret_problem, "line %d is not valid JSON", error.line);
    else if (!json_is_object(root))
        err = problem_set(ret_problem, "is not a JSON object");
    else
        err = use_auths(config, json_object_get(root, "auths"), ret_problem);
    json_decref(root);
    buf_release(&text);
    return err == OK ? OK
                     : problem_within(ret_problem, "docker_config: %s: ", config->docker_config);
}

/* ---- the default upstream ---- */

static enum err finish_default(struct config *config, struct buf *ret_problem)
{
    struct view name = view_of(config->default_upstream);

    int index = config_find_upstream(config, name.length == 0 ? VIEW("docker.io") : name);
    if (index < 0 && name.length > 0) {
        problem_value(ret_problem, name, "is not one of the upstreams, which are");
        for (size_t i = 0; i < config->upstream_count; i++)
            buf_printf(ret_problem, "%s %s", i == 0 ? "" : ",", config->upstreams[i].name);
        return problem_within(ret_problem, "default_upstream: ");
    }
    config->default_index = index < 0 ? 0 : (size_t)index;
    free(config->default_upstream);
    config->default_upstream = check_strdup(config->upstreams[config->default_index].name);
    return OK;
}

/* ---- what is pinned ---- */

static enum err no_such_upstream(const struct config *config, struct view text,
                                 struct view registry, struct buf *ret_problem)
{
    problem_value(ret_problem, text, "is of the registry ");
    problem_quote(ret_problem, registry);
    buf_append_text(ret_problem, ", which is not one of the upstreams:");
    for (size_t i = 0; i < config->upstream_count; i++)
        buf_printf(ret_problem, "%s %s", i == 0 ? "" : ",", config->upstreams[i].name);
    return ERR_CONFIG;
}

/* Whose images the pattern means: as a request's path is read (clients.md R2, R5). */
static enum err finish_pattern(const struct config *config, struct view text,
                               struct pattern *pattern, struct buf *ret_problem)
{
    struct view rest = pattern->repository;
    struct view first = view_cut(&rest, '/');
    int index = config_find_upstream(config, first);

    if (pattern->registry.length > 0) {
        index = config_find_upstream(config, pattern->registry);
        if (index < 0)
            return no_such_upstream(config, text, pattern->registry, ret_problem);
    } else if (index >= 0 && rest.length == 0) {
        return problem_value(ret_problem, text,
                             "is the name of an upstream; write %s/* for all of its images",
                             config->upstreams[index].name);
    } else if (index >= 0) {
        pattern->repository = rest;
    }
    pattern->upstream = &config->upstreams[index >= 0 ? (size_t)index : config->default_index];
    return OK;
}

static enum err finish_pins(struct config *config, struct buf *ret_problem)
{
    struct view rest = view_of(config->pin);
    enum err err = OK;

    free(config->pins);
    config->pins = check_calloc(CONFIG_PATTERNS_MAX, sizeof(*config->pins));
    config->pin_count = 0;
    while (err == OK && rest.length > 0) {
        CHECK(config->pin_count < CONFIG_PATTERNS_MAX);
        struct view text = view_cut(&rest, ' ');
        struct pattern *pattern = &config->pins[config->pin_count++];
        err = pattern_parse(text, pattern, ret_problem);
        if (err == OK)
            err = finish_pattern(config, text, pattern, ret_problem);
    }
    return err == OK ? OK : problem_within(ret_problem, "pin: ");
}

/* ---- the cache ---- */

/* Whether we may make files in it; 0 or errno. */
static int try_directory(const char *path)
{
    return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static void choose_cache(struct config *config)
{
    if (config->cache[0] != '\0')
        return;
    int verdict = try_directory(CACHE_OF_SYSTEM);
    if (verdict == ENOENT)
        verdict = try_directory("/var/lib");
    free(config->cache);
    config->cache = check_strdup(verdict == 0 ? CACHE_OF_SYSTEM : CACHE_OF_USER);
}

/* Cuts the last name off a path: "a/b" -> "a" -> ".", "/a" -> "/". False when nothing is left. */
static bool cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
        return false;
    if (slash == NULL) {
        path[0] = '.'; /* no path is empty here */
        path[1] = '\0';
    } else {
        slash[slash == path ? 1 : 0] = '\0';
    }
    return true;
}

/* The share of the file system that the cache is on, or will be on once it is made. */
static enum err finish_budget(struct config *config, struct buf *ret_problem)
{
    struct statvfs system;
    int verdict;

    if (config->cache_size_percent == 0)
        return OK;
    char *path = check_strdup(config->cache);
    do
        verdict = statvfs(path, &system) == 0 ? 0 : errno;
    while (verdict == ENOENT && cut_name(path));
    free(path);
    if (verdict != 0)
        return problem_set(ret_problem, "cache: %s: cannot be looked at: %s", config->cache,
                           strerrordesc_np(verdict));
    uint64_t bytes = (uint64_t)system.f_frsize * (uint64_t)system.f_blocks;
    config->cache_size = bytes / 100 * config->cache_size_percent;
    return OK;
}

/* ---- the rest ---- */

/* How many processors we may run on, which a container often narrows. */
static uint64_t count_processors(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (uint64_t)CPU_COUNT(&set);
    return online < 1 ? 1 : (uint64_t)online;
}

static void finish_threads(struct config *config)
{
    uint64_t processors = count_processors();

    if (config->serve_threads == 0)
        config->serve_threads = processors < THREADS_MAX ? processors : THREADS_MAX;
    if (config->pool_threads == 0)
        config->pool_threads = processors + POOL_THREADS_MORE < THREADS_MAX
                                   ? processors + POOL_THREADS_MORE
                                   : THREADS_MAX;
}

/* Splits "host:port", as config_set keeps it. */
static struct view cut_host(struct view *address)
{
    size_t before = address->length;

    while (address->data[before - 1] != ':')
        before--;
    struct view host = {address->data, before - 1};
    *address = (struct view){address->data + before, address->length - before};
    return host;
}

static bool is_any_host(struct view host)
{
    return view_equal(host, VIEW("0.0.0.0")) || view_equal(host, VIEW("[::]"));
}

/* Two listeners cannot share a port, unless the kernel picks it or their addresses differ. */
static enum err check_addresses(const struct config *config, struct buf *ret_problem)
{
    struct view listen = view_of(config->listen), admin = view_of(config->admin);

    struct view listen_host = cut_host(&listen), admin_host = cut_host(&admin);
    if (!view_equal(listen, admin) || view_equal(listen, VIEW("0")))
        return OK;
    if (!view_equal(listen_host, admin_host) && !is_any_host(listen_host) &&
        !is_any_host(admin_host))
        return OK;
    return problem_set(ret_problem, "admin: %s collides with listen: %s; give it another port",
                       config->admin, config->listen);
}

enum err config_finish(struct config *config, struct buf *ret_problem)
{
    enum err err = check_addresses(config, ret_problem);

    if (err == OK && config->upstream_count == 0)
        err = problem_set(ret_problem, "upstreams: is empty; name at least one registry");
    for (size_t i = 0; err == OK && i < config->upstream_count; i++)
        err = finish_upstream(&config->upstreams[i], ret_problem);
    if (err == OK && config->docker_config[0] != '\0')
        err = use_docker_config(config, ret_problem);
    if (err == OK)
        err = finish_default(config, ret_problem);
    if (err == OK)
        err = finish_pins(config, ret_problem);
    if (err == OK) {
        choose_cache(config);
        err = finish_budget(config, ret_problem);
    }
    if (err == OK)
        finish_threads(config);
    return err;
}
