/*
 * A load client for HTTP/1.1 servers that costs as little as possible itself: many keep-alive
 * connections on epoll, one request in flight on each, and bodies that are thrown away inside the
 * kernel (recv with MSG_TRUNC copies nothing), so that the processor time on the machine is the
 * server's. Prints one JSON object.
 *
 * Two modes:
 *   load    each connection asks again and again, until --seconds or --requests are over
 *   --once  each connection asks once, all together; one record for each connection is printed
 *           (for cold blobs: when did each waiting client get its first byte?)
 *
 *   connection:  CONNECTING -> HEAD -> BODY -> HEAD ...    (an error or a close: connect anew)
 *
 * Every answer is checked: status, Content-Length, and that the body is as long as announced.
 * Bytes are counted as they arrive, so a body that is cut by the end of the run counts as far as
 * it came. A thread owns its connections alone; nothing is shared but the options.
 */

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load_options.h"

enum {
    HEAD_LIMIT = 16384, /* the largest response head */
    FIRST_READ = 2048,  /* copied for each response: the head and, if small, the body */
    ERROR_LIMIT = 1000, /* a thread that saw so many stops: the server is not there */
    STEPS = 32,         /* histogram steps for each power of two: within 3 % */
    BUCKETS = 64 * STEPS,
    EVENTS = 256,
};

enum state { CONNECTING, HEAD, BODY, FINISHED };

struct connection {
    int fd; /* owned; -1 when closed */
    enum state state;
    uint64_t status;
    bool failed; /* --once: this connection's request did not end well */
    bool close_after;
    uint64_t remaining; /* of the body */
    uint64_t body_bytes;
    uint64_t asked_ns, head_ns, first_ns, end_ns;
    size_t length; /* of `head` so far */
    char head[HEAD_LIMIT];
};

struct worker {
    pthread_t thread;
    const struct options *options;  /* borrowed */
    struct connection *connections; /* owned */
    uint64_t connection_count;
    int epoll; /* owned */
    uint64_t random;
    size_t next_path;
    uint64_t request_limit;
    uint64_t begin_ns, end_ns;
    /* results */
    uint64_t asked, answered, bytes, errors, reconnects;
    uint64_t finished; /* --once: connections that are done */
    char first_error[160];
    uint64_t first_byte[BUCKETS];
    uint64_t whole[BUCKETS];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        die("out of memory", NULL);
    return memory;
}

/* ---- latencies: a histogram with steps of 3 % ---- */

static size_t bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (size_t)value;
    unsigned power = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = power - 5; /* 2^5 == STEPS */
    return (size_t)(shift + 1) * STEPS + (size_t)((value >> shift) - STEPS);
}

static uint64_t bucket_value(size_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    uint64_t shift = bucket / STEPS - 1;
    return (bucket % STEPS + STEPS) << shift;
}

static double percentile_ms(const uint64_t *histogram, double share)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        total += histogram[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (total > 0 && (double)seen >= share * (double)total)
            return (double)bucket_value(i) / 1e6;
    }
    return 0;
}

/* ---- one connection ---- */

static void note_error(struct worker *worker, const char *what, const char *detail)
{
    if (worker->errors++ == 0)
        snprintf(worker->first_error, sizeof worker->first_error, "%s%s%s", what,
                 detail[0] == '\0' ? "" : ": ", detail);
}

static void open_connection(struct worker *worker, struct connection *connection)
{
    const struct options *options = worker->options;
    connection->fd =
        socket(options->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        die("socket", strerror(errno));
    int on = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection->fd, (const struct sockaddr *)&options->address,
                options->address_length) != 0 &&
        errno != EINPROGRESS)
        die("connect", strerror(errno));
    connection->state = CONNECTING;
    connection->length = 0;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl", strerror(errno));
}

static void close_connection(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static uint64_t next_random(struct worker *worker)
{
    /* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" */
    worker->random ^= worker->random >> 12;
    worker->random ^= worker->random << 25;
    worker->random ^= worker->random >> 27;
    return worker->random * UINT64_C(2685821657736338717);
}

static void ask(struct worker *worker, struct connection *connection)
{
    const struct options *options = worker->options;
    char request[REQUEST_LIMIT], range[80] = "";
    if (options->range_size > 0) {
        uint64_t slots = options->object_size / options->range_size;
        uint64_t start = (next_random(worker) >> 11) % slots * options->range_size;
        snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-%" PRIu64 "\r\n", start,
                 start + options->range_size - 1);
    }
    const char *path = options->paths[worker->next_path++ % options->path_count];
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n",
                          options->method, path, options->host, range, options->headers);
    if (length < 0 || (size_t)length >= sizeof request)
        die("the request is too long", path);
    worker->asked++;
    connection->state = HEAD;
    connection->length = 0;
    connection->status = 0;
    connection->body_bytes = 0;
    connection->first_ns = 0;
    connection->asked_ns = now_ns();
    if (send(connection->fd, request, (size_t)length, MSG_NOSIGNAL) != (ssize_t)length)
        note_error(worker, "send", strerror(errno)); /* the close that follows is seen by recv */
}

/* The run is over for this connection, or it asks again. */
static void on_answered(struct worker *worker, struct connection *connection)
{
    connection->end_ns = now_ns();
    worker->answered++;
    worker->whole[bucket_of(connection->end_ns - connection->asked_ns)]++;
    if (worker->options->once ||
        (worker->request_limit > 0 && worker->asked >= worker->request_limit)) {
        connection->state = FINISHED;
        worker->finished++;
        close_connection(connection);
    } else if (connection->close_after) {
        close_connection(connection);
        worker->reconnects++;
        open_connection(worker, connection);
    } else {
        ask(worker, connection);
    }
}

static void on_broken(struct worker *worker, struct connection *connection, const char *what,
                      const char *detail)
{
    note_error(worker, what, detail);
    close_connection(connection);
    connection->failed = true;
    if (worker->options->once) {
        connection->end_ns = now_ns();
        connection->state = FINISHED;
        worker->finished++;
    } else {
        worker->reconnects++;
        open_connection(worker, connection);
    }
}

/* Reads the fields of a whole head that matter. Returns why it is not what was asked for, or NULL.
 */
static const char *read_head(const struct options *options, struct connection *connection,
                             const char *end)
{
    const char *head = connection->head;
    if (strncmp(head, "HTTP/1.1 ", 9) != 0 && strncmp(head, "HTTP/1.0 ", 9) != 0)
        return "the answer is not HTTP/1";
    connection->status = strtoul(head + 9, NULL, 10);
    connection->close_after = head[7] == '0';
    bool sized = false;
    uint64_t length = 0;
    for (const char *line = strstr(head, "\r\n") + 2; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            length = strtoull(line + 15, NULL, 10);
            sized = true;
        } else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0) {
            return "the answer has a Transfer-Encoding";
        } else if (strncasecmp(line, "Connection: close", 17) == 0) {
            connection->close_after = true;
        }
    }
    if (!sized)
        return "the answer has no Content-Length";
    if (connection->status != options->expect_status)
        return "the answer has another status";
    if (options->expect_length > 0 && length != options->expect_length)
        return "the answer has another Content-Length";
    connection->remaining = strcmp(options->method, "HEAD") == 0 ? 0 : length;
    return NULL;
}

static void on_body(struct worker *worker, struct connection *connection, uint64_t count)
{
    connection->remaining -= count;
    connection->body_bytes += count;
    worker->bytes += count;
    if (connection->first_ns == 0) {
        connection->first_ns = now_ns();
        worker->first_byte[bucket_of(connection->first_ns - connection->asked_ns)]++;
    }
    if (connection->remaining == 0)
        on_answered(worker, connection);
}

static void read_body(struct worker *worker, struct connection *connection)
{
    size_t want = connection->remaining > (1U << 30) ? (1U << 30) : (size_t)connection->remaining;
    /* tcp(7): MSG_TRUNC discards the bytes instead of passing them on. */
    ssize_t count = recv(connection->fd, NULL, want, MSG_TRUNC);
    if (count > 0)
        on_body(worker, connection, (uint64_t)count);
    else if (count == 0)
        on_broken(worker, connection, "the body is cut", "");
    else if (errno != EAGAIN && errno != EINTR)
        on_broken(worker, connection, "recv", strerror(errno));
}

static void read_response(struct worker *worker, struct connection *connection)
{
    size_t room = sizeof connection->head - 1 - connection->length;
    ssize_t count = recv(connection->fd, connection->head + connection->length,
                         room < FIRST_READ ? room : FIRST_READ, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        on_broken(worker, connection, "closed before the answer", count < 0 ? strerror(errno) : "");
        return;
    }
    connection->length += (size_t)count;
    connection->head[connection->length] = '\0';
    const char *end = strstr(connection->head, "\r\n\r\n");
    if (end == NULL) {
        if (connection->length == sizeof connection->head - 1)
            on_broken(worker, connection, "the head is too large", "");
        return;
    }
    connection->head_ns = now_ns();
    const char *wrong = read_head(worker->options, connection, end);
    uint64_t extra = connection->length - (size_t)(end + 4 - connection->head);
    if (wrong == NULL && extra > connection->remaining)
        wrong = "the body is longer than announced";
    if (wrong != NULL) {
        char status[48];
        snprintf(status, sizeof status, "status %" PRIu64 ", %" PRIu64 " bytes", connection->status,
                 connection->remaining);
        on_broken(worker, connection, wrong, status);
        return;
    }
    connection->state = BODY;
    if (extra > 0 || connection->remaining == 0)
        on_body(worker, connection, extra);
    else
        read_body(worker, connection);
}

static void on_connected(struct worker *worker, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
        die("connect", strerror(error));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(worker->epoll, EPOLL_CTL_MOD, connection->fd, &event);
    ask(worker, connection);
}

static void on_event(struct worker *worker, struct connection *connection)
{
    switch (connection->state) {
    case CONNECTING:
        on_connected(worker, connection);
        break;
    case HEAD:
        read_response(worker, connection);
        break;
    case BODY:
        read_body(worker, connection);
        break;
    case FINISHED:
        break;
    }
}

/* ---- one thread ---- */

static bool is_over(const struct worker *worker)
{
    const struct options *options = worker->options;
    if (worker->finished == worker->connection_count || worker->errors >= ERROR_LIMIT)
        return true;
    return options->duration_ns > 0 && now_ns() >= worker->begin_ns + options->duration_ns;
}

static int wait_ms(const struct worker *worker)
{
    const struct options *options = worker->options;
    uint64_t wait = options->idle_timeout_ns;
    if (options->duration_ns > 0) {
        uint64_t until = worker->begin_ns + options->duration_ns, now = now_ns();
        uint64_t left = until > now ? until - now : 0;
        wait = left < wait ? left : wait;
    }
    return (int)(wait / 1000000 + 1);
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct epoll_event events[EVENTS];
    worker->begin_ns = now_ns();
    for (uint64_t i = 0; i < worker->connection_count; i++)
        open_connection(worker, &worker->connections[i]);
    while (!is_over(worker)) {
        int count = epoll_wait(worker->epoll, events, EVENTS, wait_ms(worker));
        if (count < 0 && errno != EINTR)
            die("epoll_wait", strerror(errno));
        if (count == 0 && !is_over(worker)) {
            note_error(worker, "nothing came for a long time", "");
            break;
        }
        for (int i = 0; i < count; i++)
            on_event(worker, events[i].data.ptr);
    }
    worker->end_ns = now_ns();
    for (uint64_t i = 0; i < worker->connection_count; i++)
        close_connection(&worker->connections[i]);
    return NULL;
}

static void start_worker(struct worker *worker, const struct options *options, uint64_t index)
{
    uint64_t threads = options->threads;
    worker->options = options;
    worker->random = (options->seed + index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    worker->next_path = index;
    worker->request_limit = (options->requests + threads - 1 - index) / threads;
    worker->connection_count = (options->connections + threads - 1 - index) / threads;
    worker->connections = allocate(worker->connection_count, sizeof *worker->connections);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0)
        die("epoll_create1", strerror(errno));
    if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
        die("pthread_create", NULL);
}

/* ---- the report ---- */

static void add_worker(struct worker *sum, const struct worker *worker)
{
    sum->answered += worker->answered;
    sum->bytes += worker->bytes;
    sum->errors += worker->errors;
    sum->reconnects += worker->reconnects;
    if (sum->begin_ns == 0 || worker->begin_ns < sum->begin_ns)
        sum->begin_ns = worker->begin_ns;
    if (worker->end_ns > sum->end_ns)
        sum->end_ns = worker->end_ns;
    if (sum->first_error[0] == '\0')
        snprintf(sum->first_error, sizeof sum->first_error, "%s", worker->first_error);
    for (size_t i = 0; i < BUCKETS; i++) {
        sum->first_byte[i] += worker->first_byte[i];
        sum->whole[i] += worker->whole[i];
    }
}

static void print_sum(const struct worker *sum)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double seconds = (double)(sum->end_ns - sum->begin_ns) / 1e9;
    printf("{\"bytes\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"seconds\": %.6f, ", sum->bytes,
           sum->answered, seconds);
    printf("\"gb_per_second\": %.4f, \"requests_per_second\": %.1f, ",
           (double)sum->bytes / 1e9 / seconds, (double)sum->answered / seconds);
    printf("\"first_byte_ms\": {\"p50\": %.4f, \"p99\": %.4f}, ",
           percentile_ms(sum->first_byte, 0.5), percentile_ms(sum->first_byte, 0.99));
    printf("\"whole_ms\": {\"p50\": %.4f, \"p99\": %.4f}, ", percentile_ms(sum->whole, 0.5),
           percentile_ms(sum->whole, 0.99));
    printf("\"client_cpu_seconds\": %.4f, \"reconnects\": %" PRIu64 ", \"errors\": %" PRIu64, cpu,
           sum->reconnects, sum->errors);
    printf(", \"first_error\": \"%s\"", sum->first_error);
}

static double since_ms(uint64_t begin, uint64_t end)
{
    return end > begin ? (double)(end - begin) / 1e6 : -1;
}

/* --once: one record a connection; times count from the moment it asked; -1: never. */
static void print_connections(const struct worker *workers, uint64_t count)
{
    printf(", \"connections\": [");
    const char *comma = "";
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < workers[i].connection_count; j++) {
            const struct connection *one = &workers[i].connections[j];
            bool good = one->state == FINISHED && !one->failed;
            printf("%s{\"status\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"ok\": %s, ", comma,
                   one->status, one->body_bytes, good ? "true" : "false");
            printf("\"head_ms\": %.3f, \"first_byte_ms\": %.3f, \"total_ms\": %.3f}",
                   since_ms(one->asked_ns, one->head_ns), since_ms(one->asked_ns, one->first_ns),
                   since_ms(one->asked_ns, one->end_ns));
            comma = ", ";
        }
    }
    printf("]");
}

int main(int argc, char **argv)
{
    static struct options options = {
        .method = "GET", .connections = 1, .threads = 1, .seed = 1, .idle_timeout_ns = 60 * SECOND};
    static struct worker sum;
    load_options_read(&options, argc, argv);
    struct worker *workers = allocate(options.threads, sizeof *workers);
    for (uint64_t i = 0; i < options.threads; i++)
        start_worker(&workers[i], &options, i);
    for (uint64_t i = 0; i < options.threads; i++) {
        pthread_join(workers[i].thread, NULL);
        add_worker(&sum, &workers[i]);
    }
    print_sum(&sum);
    if (options.once)
        print_connections(workers, options.threads);
    printf("}\n");
    for (uint64_t i = 0; i < options.threads; i++)
        free(workers[i].connections);
    free(workers);
    return sum.errors == 0 ? 0 : 1;
}
