#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

/* What the load client was asked to do: one table of options gives the parser and --help. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SECOND UINT64_C(1000000000)

enum {
    REQUEST_LIMIT = 4096, /* the largest request */
    PATH_LIMIT = 4096,    /* the most paths */
};

struct options {
    struct sockaddr_storage address;
    socklen_t address_length;
    const char *host;
    const char *paths[PATH_LIMIT]; /* borrowed from argv, or never freed */
    size_t path_count;
    char headers[REQUEST_LIMIT / 2]; /* further request lines */
    const char *method;
    uint64_t connections;
    uint64_t threads;
    uint64_t duration_ns;     /* 0: no limit */
    uint64_t requests;        /* 0: no limit */
    uint64_t range_size;      /* 0: whole bodies */
    uint64_t object_size;     /* what the ranges are taken from */
    uint64_t seed;            /* of the ranges */
    uint64_t expect_length;   /* 0: any */
    uint64_t expect_status;   /* 0: 200, or 206 with ranges */
    uint64_t idle_timeout_ns; /* without any event for so long, the run ends with an error */
    bool once;
};

/* Fills `options`, which holds the defaults, from the command line; ends the process with a
 * sentence when that is wrong, and after --help. */
void load_options_read(struct options *options, int argc, char **argv);

/* Prints "load: what: detail" (detail may be NULL) and ends the process with 2. Thread: any. */
_Noreturn void die(const char *what, const char *detail);

#endif
