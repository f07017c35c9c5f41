#include "base/config_upstream.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"

enum { NAME_MAX_LENGTH = 255, PORT_MAX = 65535 };

#define TYPE_REGISTRY "registry"
#define TYPE_HUB      "huggingface"
#define MODELS_NAME   "hf"
#define MODELS_URL    "https://huggingface.co"
#define HUB_NAME      "docker.io"
#define HUB_HOST      "registry-1.docker.io"

/* ---- text ---- */

bool config_text_is_clean(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    json_t *json = json_stringn(text.length == 0 ? "" : text.data, text.length);
    json_decref(json);
    return json != NULL; /* jansson takes nothing but UTF-8 */
}

static void append_lower(struct buf *out, struct view text)
{
    size_t start = out->length;

    buf_append_view(out, text);
    for (size_t i = start; i < out->length; i++)
        out->data[i] = (char)tolower((unsigned char)out->data[i]);
}

static bool is_hub_name(struct view name)
{
    return view_equal_nocase(name, VIEW(HUB_NAME)) || view_equal_nocase(name, VIEW(HUB_HOST)) ||
           view_equal_nocase(name, VIEW("index.docker.io"));
}

/* ---- names and URLs ---- */

/* Letters, digits, dots and inner dashes, as in DNS (RFC 1123 2.1), and `also`: no label is empty,
 * so that no name can be ".." in a path. */
static bool is_host(struct view host, char also)
{
    char last = '.';

    for (size_t i = 0; i < host.length; i++) {
        char c = host.data[i];
        if (!isalnum((unsigned char)c) && c != '.' && c != '-' && c != also)
            return false;
        if ((last == '.' && (c == '.' || c == '-')) || (last == '-' && c == '.'))
            return false;
        last = c;
    }
    return last != '.' && last != '-';
}

static bool is_port(struct view port)
{
    uint64_t number;

    return view_to_uint64(port, &number) && number >= 1 && number <= PORT_MAX;
}

/* "[" IPv6 "]": its digits only; whether they make an address is the resolver's business. */
static bool is_bracketed(struct view host)
{
    if (host.length < 4 || host.data[0] != '[' || host.data[host.length - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < host.length; i++)
        if (!isxdigit((unsigned char)host.data[i]) && host.data[i] != ':' && host.data[i] != '.')
            return false;
    return true;
}

/* Cuts ":port" off the end of `*authority`; false when there is one that is no port. */
static bool cut_port(struct view *authority)
{
    size_t i = authority->length;

    while (i > 0 && authority->data[i - 1] != ':' && authority->data[i - 1] != ']')
        i--;
    if (i == 0 || authority->data[i - 1] == ']')
        return true;
    struct view port = {authority->data + i, authority->length - i};
    authority->length = i - 1;
    return is_port(port);
}

static bool is_name(struct view name)
{
    return name.length <= NAME_MAX_LENGTH && cut_port(&name) && is_host(name, '.');
}

struct url {
    const char *scheme; /* with its "://" */
    struct view userinfo;
    struct view authority;
    struct view path; /* with its leading slash; without a trailing one */
    bool has_userinfo;
};

/* RFC 3986 3.3, pchar; a query or a fragment cannot be part of a prefix. */
static bool is_path(struct view path)
{
    for (size_t i = 0; i < path.length; i++)
        if (!isalnum((unsigned char)path.data[i]) &&
            (path.data[i] == '\0' || strchr("/-._~!$&'()*+,;=:@%", path.data[i]) == NULL))
            return false;
    return true;
}

static bool take_scheme(struct view *text, struct url *url)
{
    static const char *const schemes[] = {"https://", "http://"};

    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(schemes[i]);
        if (text->length < length ||
            !view_equal_nocase((struct view){text->data, length}, view_of(schemes[i])))
            continue;
        url->scheme = schemes[i];
        *text = (struct view){text->data + length, text->length - length};
        return true;
    }
    return false;
}

static bool split_url(struct view text, struct url *ret_url)
{
    struct url url = {0};

    if (!take_scheme(&text, &url))
        return false;
    url.authority = text;
    const char *slash = text.length == 0 ? NULL : memchr(text.data, '/', text.length);
    if (slash != NULL) {
        url.authority.length = (size_t)(slash - text.data);
        url.path = (struct view){slash, text.length - url.authority.length};
    }
    /* The last "@": some people do not escape one in a password. */
    const char *at =
        url.authority.length == 0 ? NULL : memrchr(text.data, '@', url.authority.length);
    if (at != NULL) {
        url.has_userinfo = true;
        url.userinfo = (struct view){text.data, (size_t)(at - text.data)};
        url.authority = (struct view){at + 1, url.authority.length - url.userinfo.length - 1};
    }
    while (view_ends_with(url.path, VIEW("/")))
        url.path.length--;
    struct view host = url.authority;
    if (!cut_port(&host) || (!is_host(host, '_') && !is_bracketed(host)) || !is_path(url.path))
        return false;
    *ret_url = url;
    return true;
}

/* ---- setting ---- */

/* RFC 3986 2.1. False when an escape is broken or what comes out cannot be used. */
static bool percent_decode(struct view text, struct buf *ret_plain)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (i + 2 >= text.length || !isxdigit((unsigned char)text.data[i + 1]) ||
                !isxdigit((unsigned char)text.data[i + 2]))
                return false;
            char digits[3] = {text.data[i + 1], text.data[i + 2], '\0'};
            c = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        buf_append(ret_plain, &c, 1);
    }
    return config_text_is_clean(view_of_buf(ret_plain));
}

static enum err set_username(struct config_upstream *upstream, struct view value,
                             struct buf *ret_problem)
{
    if (upstream->username != NULL)
        return problem_set(ret_problem, "username: is given twice, in the url and beside it");
    /* RFC 7617 2: a colon would end it. */
    if (value.length > 0 && memchr(value.data, ':', value.length) != NULL)
        return problem_set(ret_problem, "username: must not contain a colon");
    upstream->username = view_dup(value);
    return OK;
}

static enum err set_password(struct config_upstream *upstream, struct view value,
                             struct buf *ret_problem)
{
    if (upstream->password != NULL)
        return problem_set(ret_problem, "password: is given twice, in the url and beside it");
    if (view_equal(value, VIEW(CONFIG_HIDDEN)))
        return problem_set(
            ret_problem, "password: \"" CONFIG_HIDDEN "\" is what `entrepot check` shows in place "
                         "of a password; write the password itself, or use password_file");
    upstream->password = view_dup(value);
    return OK;
}

static enum err set_credentials(struct config_upstream *upstream, struct view userinfo,
                                struct buf *ret_problem)
{
    struct buf username = {0}, password = {0};
    struct view rest = userinfo;
    enum err err = OK;

    struct view name = view_cut(&rest, ':');
    if (!percent_decode(name, &username) || !percent_decode(rest, &password))
        err = problem_set(ret_problem, "url: user and password before the @ must be UTF-8, with "
                                       "special characters escaped as %%40 is for @");
    else if (username.length == 0 || password.length == 0)
        err = problem_set(ret_problem, "url: before the @ both are needed, as in user:password@");
    if (err == OK)
        err = set_username(upstream, view_of_buf(&username), ret_problem);
    if (err == OK)
        err = set_password(upstream, view_of_buf(&password), ret_problem);
    buf_release(&username);
    buf_release(&password);
    return err;
}

/* A URL with an @ may hold a password, even in a place where we do not look for one. */
static enum err bad_url(struct view value, struct buf *ret_problem)
{
    static const char expected[] =
        "is not a URL; write http(s)://[user:password@]host[:port][/prefix]";

    if (value.length > 0 && memchr(value.data, '@', value.length) != NULL)
        return problem_set(ret_problem, "url: " CONFIG_HIDDEN " %s", expected);
    problem_value(ret_problem, value, "%s", expected);
    return problem_within(ret_problem, "url: ");
}

static enum err set_url(struct config_upstream *upstream, struct view value,
                        struct buf *ret_problem)
{
    struct url url;
    struct buf text = {0};

    if (!split_url(value, &url))
        return bad_url(value, ret_problem);
    if (url.has_userinfo) {
        enum err err = set_credentials(upstream, url.userinfo, ret_problem);
        if (err != OK)
            return err;
    }
    buf_append_text(&text, url.scheme);
    append_lower(&text, url.authority);
    buf_append_view(&text, url.path);
    free(upstream->url);
    upstream->url = text.data;
    return OK;
}

/* Where a registry is, or a hub, when nobody says. */
static char *default_url(const struct config_upstream *upstream)
{
    struct buf url = {0};

    if (upstream->is_hub)
        buf_append_text(&url, MODELS_URL);
    else
        buf_printf(&url, "https://%s", upstream->is_docker_hub ? HUB_HOST : upstream->name);
    return url.data;
}

static enum err set_type(struct config_upstream *upstream, struct view value,
                         struct buf *ret_problem)
{
    bool is_hub = view_equal(value, VIEW(TYPE_HUB));

    if (!is_hub && !view_equal(value, VIEW(TYPE_REGISTRY))) {
        problem_value(ret_problem, value, "is neither " TYPE_REGISTRY " nor " TYPE_HUB);
        return problem_within(ret_problem, "type: ");
    }
    char *url = default_url(upstream);
    bool is_default = strcmp(upstream->url, url) == 0;
    free(url);
    upstream->is_hub = is_hub;
    free(upstream->type);
    upstream->type = view_dup(value);
    if (is_default) {
        free(upstream->url);
        upstream->url = default_url(upstream);
    }
    return OK;
}

static void replace(char **field, struct view value)
{
    free(*field);
    *field = view_dup(value);
}

enum err config_upstream_set(struct config_upstream *upstream, const char *key, const char *value,
                             struct buf *ret_problem)
{
    struct view text = view_of(value), name = view_of(key);

    if (text.length == 0)
        return problem_set(ret_problem, "%s: is empty; leave it out instead", key);
    if (!config_text_is_clean(text))
        return problem_set(ret_problem, "%s: must be UTF-8 without control characters", key);
    if (view_equal(name, VIEW("type")))
        return set_type(upstream, text, ret_problem);
    if (view_equal(name, VIEW("url")))
        return set_url(upstream, text, ret_problem);
    if (view_equal(name, VIEW("username")))
        return set_username(upstream, text, ret_problem);
    if (view_equal(name, VIEW("password")))
        return set_password(upstream, text, ret_problem);
    if (view_equal(name, VIEW("password_file")))
        replace(&upstream->password_file, text);
    else if (view_equal(name, VIEW("ca_file")))
        replace(&upstream->ca_file, text);
    else
        return problem_set(ret_problem, "unknown key \"%s\"", key);
    return OK;
}

/* ---- the object ---- */

enum err config_upstream_init(struct config_upstream *upstream, struct view name,
                              struct buf *ret_problem)
{
    struct buf text = {0};

    if (!is_name(name))
        return problem_value(ret_problem, name,
                             "is not a registry's name; write host or host:port, such as ghcr.io");
    *upstream = (struct config_upstream){.is_docker_hub = is_hub_name(name),
                                         .is_hub = view_equal_nocase(name, VIEW(MODELS_NAME))};
    if (upstream->is_docker_hub)
        buf_append_text(&text, HUB_NAME);
    else
        append_lower(&text, name);
    upstream->name = text.data;
    upstream->type = check_strdup(upstream->is_hub ? TYPE_HUB : TYPE_REGISTRY);
    upstream->url = default_url(upstream);
    return OK;
}

void config_upstream_release(struct config_upstream *upstream)
{
    free(upstream->name);
    free(upstream->type);
    free(upstream->url);
    free(upstream->username);
    free(upstream->password);
    free(upstream->password_file);
    free(upstream->ca_file);
    *upstream = (struct config_upstream){0};
}

bool config_upstream_is_named(const struct config_upstream *upstream, struct view name)
{
    return view_equal_nocase(name, view_of(upstream->name)) ||
           (upstream->is_docker_hub && is_hub_name(name));
}

struct view config_upstream_host(const struct config_upstream *upstream)
{
    struct url url;

    CHECK(split_url(view_of(upstream->url), &url));
    return url.authority;
}

struct view config_upstream_prefix(const struct config_upstream *upstream)
{
    struct url url;

    CHECK(split_url(view_of(upstream->url), &url));
    return url.path;
}
