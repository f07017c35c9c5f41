#include "load_options.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s%s%s\n", what, detail == NULL ? "" : ": ", detail ? detail : "");
    exit(2);
}

enum kind { NUMBER, SECONDS, TEXT, PATH, PATHS, HEADER, SWITCH };

static const struct row {
    const char *name;
    enum kind kind;
    size_t field; /* offset in struct options; of no use for PATH, PATHS and HEADER */
    const char *prose;
} rows[] = {
    {"path", PATH, 0, "what to ask for; again for more, taken in turn"},
    {"paths", PATHS, 0, "a file of paths, one a line"},
    {"method", TEXT, offsetof(struct options, method), "GET (default) or HEAD"},
    {"header", HEADER, 0, "a further request header; again for more"},
    {"connections", NUMBER, offsetof(struct options, connections), "default 1"},
    {"threads", NUMBER, offsetof(struct options, threads), "default 1"},
    {"seconds", SECONDS, offsetof(struct options, duration_ns), "how long; default 2"},
    {"requests", NUMBER, offsetof(struct options, requests), "stop after so many answers"},
    {"range-size", NUMBER, offsetof(struct options, range_size),
     "ask for random ranges of so many bytes, aligned to that"},
    {"object-size", NUMBER, offsetof(struct options, object_size), "what ranges are taken from"},
    {"seed", NUMBER, offsetof(struct options, seed), "of the random ranges; default 1"},
    {"expect-status", NUMBER, offsetof(struct options, expect_status), "default 200 or 206"},
    {"expect-length", NUMBER, offsetof(struct options, expect_length),
     "the right Content-Length; default: any, or --range-size"},
    {"once", SWITCH, offsetof(struct options, once),
     "each connection asks once, all together; print a record for each"},
    {"idle-timeout", SECONDS, offsetof(struct options, idle_timeout_ns),
     "give up when nothing comes for so long; default 60"},
};

static _Noreturn void help(void)
{
    printf("usage: load [options] HOST:PORT\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("  --%-14s %s\n", rows[i].name, rows[i].prose);
    exit(0);
}

static uint64_t parse_number(const char *text)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
        die("not a number", text);
    return value;
}

static uint64_t parse_seconds(const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value < 1e6))
        die("not a number of seconds", text);
    return (uint64_t)(value * 1e9);
}

static void add_path(struct options *options, const char *path)
{
    if (options->path_count == PATH_LIMIT)
        die("too many paths", path);
    options->paths[options->path_count++] = path;
}

static void add_paths(struct options *options, const char *name)
{
    FILE *file = fopen(name, "re");
    if (file == NULL)
        die(name, strerror(errno));
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0')
            add_path(options, strdup(line));
    }
    free(line);
    fclose(file);
}

static void add_header(struct options *options, const char *header)
{
    size_t used = strlen(options->headers), room = sizeof options->headers - used;
    int length = snprintf(options->headers + used, room, "%s\r\n", header);
    if (length < 0 || (size_t)length >= room)
        die("too many headers", header);
}

static void set_option(struct options *options, const struct row *row, const char *value)
{
    char *field = (char *)options + row->field;
    uint64_t number;
    switch (row->kind) {
    case NUMBER:
    case SECONDS:
        number = row->kind == NUMBER ? parse_number(value) : parse_seconds(value);
        memcpy(field, &number, sizeof number);
        break;
    case TEXT:
        memcpy(field, &value, sizeof value);
        break;
    case SWITCH:
        memcpy(field, &(bool){true}, sizeof(bool));
        break;
    case PATH:
        add_path(options, value);
        break;
    case PATHS:
        add_paths(options, value);
        break;
    case HEADER:
        add_header(options, value);
        break;
    }
}

static void resolve(struct options *options, const char *target)
{
    const char *colon = strrchr(target, ':');
    if (colon == NULL)
        die("not HOST:PORT", target);
    char host[256];
    snprintf(host, sizeof host, "%.*s", (int)(colon - target), target);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(host, colon + 1, &hints, &found);
    if (error != 0)
        die(target, gai_strerror(error));
    memcpy(&options->address, found->ai_addr, found->ai_addrlen);
    options->address_length = found->ai_addrlen;
    options->host = target;
    freeaddrinfo(found);
}

static void finish_options(struct options *options)
{
    if (options->path_count == 0)
        die("--path is missing", NULL);
    if (options->range_size > 0 && options->object_size < options->range_size)
        die("--object-size is missing or smaller than --range-size", NULL);
    if (options->threads == 0 || options->connections < options->threads)
        die("fewer connections than threads", NULL);
    if (options->expect_status == 0)
        options->expect_status = options->range_size > 0 ? 206 : 200;
    if (options->expect_length == 0)
        options->expect_length = options->range_size;
    if (options->duration_ns == 0 && options->requests == 0 && !options->once)
        options->duration_ns = 2 * SECOND;
}

void load_options_read(struct options *options, int argc, char **argv)
{
    const char *target = NULL;
    for (int i = 1; i < argc; i++) {
        const struct row *row = NULL;
        if (strncmp(argv[i], "--", 2) != 0) {
            target = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--help") == 0)
            help();
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++)
            if (strcmp(argv[i] + 2, rows[j].name) == 0)
                row = &rows[j];
        if (row == NULL || (row->kind != SWITCH && i + 1 == argc))
            die("unknown option, or one without its value; see --help", argv[i]);
        set_option(options, row, row->kind == SWITCH ? NULL : argv[++i]);
    }
    if (target == NULL)
        die("HOST:PORT is missing; see --help", NULL);
    resolve(options, target);
    finish_options(options);
}
