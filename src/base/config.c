#include "base/config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/problem.h"
#include "base/quantity.h"

enum { PORT_MAX = 65535, HELP_WIDTH = 92 };

/* ---- the table ---- */

enum kind {
    KIND_ADDRESS,
    KIND_NAME,
    KIND_PATH,
    KIND_SIZE,
    KIND_BUDGET,
    KIND_DURATION,
    KIND_COUNT,
    KIND_CHOICE,
    KIND_PATTERNS
};

/* How a kind is named in --help, and what a bad value should have been. */
static const struct {
    const char *placeholder;
    const char *expected;
} kinds[] = {
    [KIND_ADDRESS] = {"HOST:PORT", "an address; write an IP address and a port, such as "
                                   "127.0.0.1:5000, [::1]:5000, or :5000 for all interfaces"},
    [KIND_NAME] = {"NAME", "UTF-8 without control characters"},
    [KIND_PATH] = {"PATH", "UTF-8 without control characters"},
    [KIND_SIZE] = {"SIZE", "a size; write a number with B, KiB, MiB, GiB or TiB, such as 200GiB"},
    [KIND_BUDGET] = {"SIZE|PERCENT", "a size; write a number with B, KiB, MiB, GiB or TiB, such as "
                                     "200GiB, or a share of the file system, 1% to 100%"},
    [KIND_DURATION] = {"DURATION", "a duration; write numbers with ms, s, m, h or d, such as 500ms "
                                   "or 1h30m"},
    [KIND_COUNT] = {"NUMBER", "a whole number"},
    [KIND_CHOICE] = {"WORD", "one of the words"},
    [KIND_PATTERNS] = {"PATTERNS", "a list of patterns"},
};

struct setting {
    enum kind kind;
    const char *name;
    const char *default_;
    const char *min; /* for KIND_CHOICE the words, with | between them */
    const char *max;
    const char *prose;
    size_t offset; /* of the field in struct config */
};

static const struct setting settings[] = {
#define SETTING(kind, name, default_, min, max, prose)                                             \
    {KIND_##kind, #name, default_, min, max, prose, offsetof(struct config, name)},
#include "base/settings.def"
#undef SETTING
};

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

static const struct {
    const char *name;
    const char *prose;
} upstream_keys[] = {
#define KEY(name, prose) {#name, prose},
    CONFIG_UPSTREAM_KEYS(KEY)
#undef KEY
};

static const char *const default_upstreams[] = {
    "docker.io",         "ghcr.io", "quay.io",        "gcr.io",   "registry.k8s.io",
    "mcr.microsoft.com", "nvcr.io", "public.ecr.aws", "depot.ai", "hf"};

static bool is_same_name(const char *setting, const char *name)
{
    for (; *setting != '\0'; setting++, name++)
        if (*name != *setting && (*name != '-' || *setting != '_'))
            return false;
    return *name == '\0';
}

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (is_same_name(settings[i].name, name))
            return &settings[i];
    return NULL;
}

/* The field of struct config that holds the setting: to write it, and to read it. */
static void *field_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static const void *value_of(const struct config *config, const struct setting *setting)
{
    return (const char *)config + setting->offset;
}

static void set_string(struct config *config, const struct setting *setting, char *text)
{
    char **field = field_of(config, setting);

    free(*field);
    *field = text;
}

/* ---- values ---- */

static enum err not_expected(const struct setting *setting, struct view value,
                             struct buf *ret_problem)
{
    return problem_value(ret_problem, value, "is not %s", kinds[setting->kind].expected);
}

/* The host part of an address in numbers, or NULL. */
static const char *numeric_host(struct view host, char out[INET6_ADDRSTRLEN])
{
    unsigned char address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    int family = AF_INET;

    if (host.length == 0)
        host = VIEW("0.0.0.0");
    if (view_equal_nocase(host, VIEW("localhost")))
        host = VIEW("127.0.0.1");
    if (host.data[0] == '[' && host.length > 2 && host.data[host.length - 1] == ']') {
        host = (struct view){host.data + 1, host.length - 2};
        family = AF_INET6;
    }
    if (!view_copy(host, text, sizeof(text)) || inet_pton(family, text, address) != 1)
        return NULL;
    return inet_ntop(family, address, out, INET6_ADDRSTRLEN);
}

static enum err set_address(struct config *config, const struct setting *setting, struct view value,
                            struct buf *ret_problem)
{
    char host[INET6_ADDRSTRLEN];
    uint64_t port;
    struct buf text = {0};

    const char *colon = value.length == 0 ? NULL : memrchr(value.data, ':', value.length);
    if (colon == NULL)
        return not_expected(setting, value, ret_problem);
    size_t before = (size_t)(colon - value.data);
    if (!view_to_uint64((struct view){colon + 1, value.length - before - 1}, &port) ||
        port > PORT_MAX || numeric_host((struct view){value.data, before}, host) == NULL)
        return not_expected(setting, value, ret_problem);
    buf_printf(&text, strchr(host, ':') != NULL ? "[%s]:%" PRIu64 : "%s:%" PRIu64, host, port);
    set_string(config, setting, text.data);
    return OK;
}

static enum err set_text(struct config *config, const struct setting *setting, struct view value,
                         struct buf *ret_problem)
{
    if (!config_text_is_clean(value))
        return not_expected(setting, value, ret_problem);
    set_string(config, setting, view_dup(value));
    return OK;
}

static enum quantity parse_number(enum kind kind, struct view text, uint64_t *ret_number)
{
    if (kind == KIND_DURATION)
        return quantity_parse_duration(text, ret_number);
    if (kind != KIND_COUNT)
        return quantity_parse_size(text, ret_number);
    return view_to_uint64(text, ret_number) ? QUANTITY_OK : QUANTITY_INVALID;
}

/* A bound of the table. */
static uint64_t bound(const struct setting *setting, const char *text, uint64_t otherwise)
{
    uint64_t number = otherwise;

    CHECK(text[0] == '\0' || parse_number(setting->kind, view_of(text), &number) == QUANTITY_OK);
    return number;
}

static enum err check_bounds(const struct setting *setting, struct view value, uint64_t number,
                             struct buf *ret_problem)
{
    bool is_small = number < bound(setting, setting->min, 0);

    if (!is_small && number <= bound(setting, setting->max, UINT64_MAX))
        return OK;
    const char *verdict = is_small ? "small" : "large";
    if (setting->max[0] == '\0')
        return problem_value(ret_problem, value, "is too %s; write %s or more", verdict,
                             setting->min);
    return problem_value(ret_problem, value, "is too %s; write %s to %s", verdict, setting->min,
                         setting->max);
}

static enum err set_number(struct config *config, const struct setting *setting, struct view value,
                           struct buf *ret_problem)
{
    uint64_t number;

    switch (parse_number(setting->kind, value, &number)) {
    case QUANTITY_INVALID:
        return not_expected(setting, value, ret_problem);
    case QUANTITY_TOO_LARGE:
        number = UINT64_MAX;
        if (setting->max[0] == '\0')
            return problem_value(ret_problem, value, "is too large");
        break;
    case QUANTITY_OK:
        break;
    }
    enum err err = check_bounds(setting, value, number, ret_problem);
    if (err == OK)
        *(uint64_t *)field_of(config, setting) = number;
    return err;
}

/* cache_size: a size, or a share of a file system that config_finish looks at. */
static enum err set_budget(struct config *config, const struct setting *setting, struct view value,
                           struct buf *ret_problem)
{
    uint64_t percent = 0;

    if (view_ends_with(value, VIEW("%"))) {
        if (!view_to_uint64((struct view){value.data, value.length - 1}, &percent) || percent < 1 ||
            percent > 100)
            return not_expected(setting, value, ret_problem);
        *(uint64_t *)field_of(config, setting) = 0;
    } else {
        enum err err = set_number(config, setting, value, ret_problem);
        if (err != OK)
            return err;
    }
    config->cache_size_percent = (unsigned)percent;
    return OK;
}

static enum err set_choice(struct config *config, const struct setting *setting, struct view value,
                           struct buf *ret_problem)
{
    struct view rest = view_of(setting->min);

    for (int i = 0; rest.length > 0; i++)
        if (view_equal(view_cut(&rest, '|'), value)) {
            *(int *)field_of(config, setting) = i;
            return OK;
        }
    problem_value(ret_problem, value, "is none of");
    rest = view_of(setting->min);
    for (const char *separator = " "; rest.length > 0; separator = ", ") {
        buf_append_text(ret_problem, separator);
        buf_append_view(ret_problem, view_cut(&rest, '|'));
    }
    return ERR_CONFIG;
}

static void get_value(const struct config *config, const struct setting *setting, struct buf *out)
{
    const void *value = value_of(config, setting);
    struct view words = view_of(setting->min);

    switch (setting->kind) {
    case KIND_ADDRESS:
    case KIND_NAME:
    case KIND_PATH:
    case KIND_PATTERNS:
        buf_append_text(out, *(char *const *)value);
        break;
    case KIND_BUDGET:
        if (config->cache_size_percent > 0)
            buf_printf(out, "%u%%", config->cache_size_percent);
        else
            quantity_print_size(*(const uint64_t *)value, out);
        break;
    case KIND_SIZE:
        quantity_print_size(*(const uint64_t *)value, out);
        break;
    case KIND_DURATION:
        quantity_print_duration(*(const uint64_t *)value, out);
        break;
    case KIND_COUNT:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case KIND_CHOICE:
        for (int i = *(const int *)value; i > 0; i--)
            view_cut(&words, '|');
        buf_append_view(out, view_cut(&words, '|'));
        break;
    }
}

/* Adds one pattern to the list; `count` are there. */
static enum err add_pattern(struct config *config, const struct setting *setting, size_t count,
                            struct view value, struct buf *ret_problem)
{
    struct pattern pattern;
    struct buf list = {0};

    if (count == CONFIG_PATTERNS_MAX)
        return problem_set(ret_problem, "there are more than %d patterns", CONFIG_PATTERNS_MAX);
    enum err err = pattern_parse(value, &pattern, ret_problem);
    if (err != OK)
        return err;
    get_value(config, setting, &list);
    if (list.length > 0)
        buf_append_text(&list, " ");
    buf_append_view(&list, value);
    set_string(config, setting, list.data);
    return OK;
}

static enum err set_patterns(struct config *config, const struct setting *setting,
                             struct view value, struct buf *ret_problem)
{
    size_t count = 0;
    enum err err = OK;

    set_string(config, setting, check_strdup(""));
    while (err == OK && value.length > 0) {
        size_t length = 0;
        while (length < value.length && value.data[length] != ' ' && value.data[length] != ',')
            length++;
        struct view word = {value.data, length};
        size_t skip = length < value.length ? length + 1 : length;
        value = (struct view){value.data + skip, value.length - skip};
        if (word.length > 0)
            err = add_pattern(config, setting, count++, word, ret_problem);
    }
    return err;
}

static enum err set_value(struct config *config, const struct setting *setting, struct view value,
                          struct buf *ret_problem)
{
    switch (setting->kind) {
    case KIND_ADDRESS:
        return set_address(config, setting, value, ret_problem);
    case KIND_NAME:
    case KIND_PATH:
        return set_text(config, setting, value, ret_problem);
    case KIND_BUDGET:
        return set_budget(config, setting, value, ret_problem);
    case KIND_SIZE:
    case KIND_DURATION:
    case KIND_COUNT:
        return set_number(config, setting, value, ret_problem);
    case KIND_CHOICE:
        return set_choice(config, setting, value, ret_problem);
    case KIND_PATTERNS:
        return set_patterns(config, setting, value, ret_problem);
    }
    check_failed(__FILE__, __LINE__, "a kind of the table");
}

enum err config_set(struct config *config, const char *name, const char *value,
                    struct buf *ret_problem)
{
    const struct setting *setting = find_setting(name);

    if (setting == NULL) {
        const char *names[SETTING_COUNT];
        for (size_t i = 0; i < SETTING_COUNT; i++)
            names[i] = settings[i].name;
        return problem_unknown(ret_problem, "setting", view_of(name), names, SETTING_COUNT);
    }
    enum err err = set_value(config, setting, view_of(value), ret_problem);
    return err == OK ? OK : problem_within(ret_problem, "%s: ", name);
}

enum err config_add(struct config *config, const char *name, const char *value,
                    struct buf *ret_problem)
{
    const struct setting *setting = find_setting(name);

    CHECK(setting != NULL && setting->kind == KIND_PATTERNS);
    struct view list = view_of(*(char *const *)value_of(config, setting));
    size_t count = 0;
    for (; list.length > 0; count++)
        (void)view_cut(&list, ' ');
    enum err err = add_pattern(config, setting, count, view_of(value), ret_problem);
    return err == OK ? OK : problem_within(ret_problem, "%s: ", name);
}

void config_get(const struct config *config, const char *name, struct buf *out)
{
    const struct setting *setting = find_setting(name);

    CHECK(setting != NULL);
    get_value(config, setting, out);
}

/* ---- upstreams ---- */

void config_drop_upstreams(struct config *config)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        config_upstream_release(&config->upstreams[i]);
    free(config->upstreams);
    config->upstreams = NULL;
    config->upstream_count = 0;
}

enum err config_push_upstream(struct config *config, struct view name,
                              struct config_upstream **ret_upstream, struct buf *ret_problem)
{
    struct config_upstream upstream;
    size_t count = config->upstream_count;

    if (count == CONFIG_UPSTREAMS_MAX) {
        problem_set(ret_problem, "there are too many upstreams; at most %d are possible",
                    CONFIG_UPSTREAMS_MAX);
        return ERR_CONFIG;
    }
    enum err err = config_upstream_init(&upstream, name, ret_problem);
    if (err != OK)
        return err;
    if (config_find_upstream(config, view_of(upstream.name)) >= 0) {
        problem_set(ret_problem, "%s is there twice", upstream.name);
        config_upstream_release(&upstream);
        return ERR_CONFIG;
    }
    config->upstreams = check_realloc(config->upstreams, (count + 1) * sizeof(upstream));
    config->upstreams[count] = upstream;
    config->upstream_count = count + 1;
    *ret_upstream = &config->upstreams[count];
    return OK;
}

enum err config_add_upstream(struct config *config, const char *text, struct buf *ret_problem)
{
    struct config_upstream *upstream;
    const char *equals = strchr(text, '=');
    struct view rest = view_of(text);

    if (!config->upstreams_by_flag)
        config_drop_upstreams(config);
    config->upstreams_by_flag = true;
    enum err err = config_push_upstream(config, view_cut(&rest, '='), &upstream, ret_problem);
    if (err != OK)
        return problem_within(ret_problem, "upstream: ");
    if (equals == NULL)
        return OK;
    err = config_upstream_set(upstream, "url", equals + 1, ret_problem);
    return err == OK ? OK : problem_within(ret_problem, "upstream: %s: ", upstream->name);
}

int config_find_upstream(const struct config *config, struct view name)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (config_upstream_is_named(&config->upstreams[i], name))
            return (int)i;
    return -1;
}

/* ---- the object ---- */

void config_init(struct config *config)
{
    struct buf problem = {0};
    struct config_upstream *upstream;

    *config = (struct config){0};
    for (size_t i = 0; i < SETTING_COUNT; i++)
        CHECK(set_value(config, &settings[i], view_of(settings[i].default_), &problem) == OK);
    for (size_t i = 0; i < sizeof(default_upstreams) / sizeof(default_upstreams[0]); i++)
        CHECK(config_push_upstream(config, view_of(default_upstreams[i]), &upstream, &problem) ==
              OK);
}

static bool is_text(const struct setting *setting)
{
    return setting->kind == KIND_ADDRESS || setting->kind == KIND_NAME ||
           setting->kind == KIND_PATH || setting->kind == KIND_PATTERNS;
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (is_text(&settings[i]))
            set_string(config, &settings[i], NULL);
    config_drop_upstreams(config);
    free(config->pins);
    free(config->file);
    *config = (struct config){0};
}

/* ---- help ---- */

/* Appends `prose` in lines of at most HELP_WIDTH, each indented. */
static void append_wrapped(struct buf *out, struct view prose)
{
    static const char indent[] = "\n        ";
    size_t column = HELP_WIDTH;

    while (prose.length > 0) {
        struct view word = view_cut(&prose, ' ');
        if (column + 1 + word.length > HELP_WIDTH) {
            buf_append_text(out, indent);
            column = sizeof(indent) - 2;
        } else {
            buf_append_text(out, " ");
            column++;
        }
        buf_append_view(out, word);
        column += word.length;
    }
    buf_append_text(out, "\n");
}

static void append_flag(struct buf *out, const struct setting *setting)
{
    struct buf prose = {0};

    buf_append_text(out, "  --");
    for (const char *c = setting->name; *c != '\0'; c++)
        buf_append(out, *c == '_' ? "-" : c, 1);
    buf_printf(out, " %s",
               setting->kind == KIND_CHOICE ? setting->min : kinds[setting->kind].placeholder);
    buf_append_text(&prose, setting->prose);
    if (setting->default_[0] != '\0')
        buf_printf(&prose, " Default: %s.", setting->default_);
    append_wrapped(out, view_of_buf(&prose));
    buf_release(&prose);
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        append_flag(out, &settings[i]);
    buf_append_text(out, "  --upstream NAME[=URL]");
    append_wrapped(out,
                   VIEW("A registry to be a mirror of; may be repeated. The first one replaces "
                        "the list that was there. The URL is "
                        "http(s)://[user:password@]host[:port][/prefix]."));
}

static void append_bounds(struct buf *out, const struct setting *setting)
{
    if (setting->kind == KIND_CHOICE || (setting->min[0] == '\0' && setting->max[0] == '\0'))
        return;
    if (setting->max[0] == '\0')
        buf_printf(out, "at least %s", setting->min);
    else
        buf_printf(out, "%s to %s", setting->min, setting->max);
}

void config_reference(struct buf *out)
{
    buf_append_text(out, "| Setting | Default | Bounds | Meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const char *default_ = settings[i].default_;
        buf_printf(out, "| `%s` | ", settings[i].name);
        buf_printf(out, default_[0] == '\0' ? "%s" : "`%s`", default_);
        buf_append_text(out, " | ");
        append_bounds(out, &settings[i]);
        buf_printf(out, " | %s |\n", settings[i].prose);
    }
    buf_append_text(out, "\n| Key of an upstream | Meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof(upstream_keys) / sizeof(upstream_keys[0]); i++)
        buf_printf(out, "| `%s` | %s |\n", upstream_keys[i].name, upstream_keys[i].prose);
}
