#include "serve/server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/check.h"
#include "base/log.h"
#include "cache/evict.h"
#include "cache/fetcher.h"
#include "cache/scrubber.h"
#include "cache/store.h"
#include "io/disk.h"
#include "io/listener.h"
#include "model/layers.h"
#include "model/pinned.h"
#include "serve/admin.h"
#include "serve/registry.h"
#include "serve/reload.h"

enum {
    EVICT_INTERVAL_MS = 100,
    SWEEP_INTERVAL_MS = 1000,
    DESCRIPTORS_SPARE = 1024, /* files, upstreams, the rest */
    IDLE_BLOB_MS = 30000,     /* how long a blob that nobody reads is kept open */
};

struct server {
    const struct config *config;
    struct loop loop; /* main's */
    struct store store;
    struct fetchers fetchers;
    struct reload reload;
    struct pinned pinned;
    struct importer importer;
    struct layers layers;
    struct registry *registries; /* owned; serve_threads of them */
    struct mail *ended;          /* owned; one for each */
    size_t running;              /* registries that have not ended */
    struct admin admin;
    struct evictor evictor;
    struct scrubber scrubber;
    uv_timer_t evict_timer, sweep_timer, drain_timer;
    uv_signal_t terminate, interrupt, hangup;
    struct disk_job sweep;
    bool sweeping;
    bool draining;
    bool cut;
};

static struct server *the_server(uv_handle_t *handle)
{
    return handle->data;
}

/* ---- housekeeping ---- */

static void on_evict_timer(uv_timer_t *timer)
{
    evict_run(&the_server((uv_handle_t *)timer)->evictor);
}

static void on_sweep_work(struct disk_job *job)
{
    struct server *server = container_of(job, struct server, sweep);
    uint64_t now = clock_monotonic_us() / 1000;

    blobs_sweep(&server->store.blobs, now > IDLE_BLOB_MS ? now - IDLE_BLOB_MS : 0,
                server->config->open_blobs);
}

static void on_sweep_done(struct disk_job *job)
{
    container_of(job, struct server, sweep)->sweeping = false;
}

static void on_sweep_timer(uv_timer_t *timer)
{
    struct server *server = the_server((uv_handle_t *)timer);

    if (server->sweeping)
        return;
    server->sweeping = true;
    disk_run(&server->sweep, &server->loop);
}

/* ---- draining ---- */

static void close_handle(void *handle)
{
    uv_close(handle, NULL);
}

static void on_evictor_stopped(struct evictor *evictor)
{
    (void)evictor; /* the loop ends when nothing else is left on it */
}

static void on_all_ended(struct server *server)
{
    admin_stop(&server->admin);
    evictor_stop(&server->evictor, on_evictor_stopped);
    close_handle(&server->evict_timer);
    close_handle(&server->sweep_timer);
    close_handle(&server->drain_timer);
    close_handle(&server->terminate);
    close_handle(&server->interrupt);
    close_handle(&server->hangup);
    loop_stop(&server->loop);
}

/* main has one loop and one server; mails carry nothing. */
static struct server *draining_server;

static void on_registry_ended(struct mail *mail)
{
    struct server *server = draining_server;

    (void)mail;
    if (--server->running == 0)
        on_all_ended(server);
}

static void cut(struct server *server)
{
    if (server->cut)
        return;
    server->cut = true;
    log_message(CONFIG_LOG_WARN, "cut", "answers still running are cut short");
    for (size_t i = 0; i < server->config->serve_threads; i++)
        registry_cut(&server->registries[i]);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    cut(the_server((uv_handle_t *)timer));
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = the_server((uv_handle_t *)handle);

    if (server->draining) {
        cut(server); /* asked twice: at once */
        return;
    }
    server->draining = true;
    draining_server = server;
    server->admin.stopping = true;
    scrubber_halt(&server->scrubber);
    log_message(CONFIG_LOG_INFO, "stopping", "%s: running answers may end within drain_timeout",
                number == SIGTERM ? "SIGTERM" : "SIGINT");
    for (size_t i = 0; i < server->config->serve_threads; i++) {
        server->ended[i].deliver = on_registry_ended;
        registry_drain(&server->registries[i], &server->loop, &server->ended[i]);
    }
    uv_timer_start(&server->drain_timer, on_drain_timeout, server->config->drain_timeout, 0);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct server *server = the_server((uv_handle_t *)handle);

    (void)number;
    if (!server->draining)
        reload_run(&server->reload);
}

/* ---- starting ---- */

/*
 * One descriptor a client and one a blob: as many as we may have. The kernel's table of them is
 * made as large as it will get while there is one thread: growing it later would make an accept()
 * sleep for tens of milliseconds, until every processor has let go of the old one
 * (synchronize_rcu).
 */
static void make_room_for_descriptors(struct config *config)
{
    uint64_t needed = config->max_connections + config->open_blobs + DESCRIPTORS_SPARE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max < needed) {
        uint64_t fit = limit.rlim_max > 2 * DESCRIPTORS_SPARE ? limit.rlim_max - DESCRIPTORS_SPARE
                                                              : limit.rlim_max / 2;
        uint64_t clients = fit > 2 * config->open_blobs ? fit - config->open_blobs : fit / 2 + 1;
        bool is_tight = clients < config->max_connections / 2;
        log_message(is_tight ? CONFIG_LOG_WARN : CONFIG_LOG_INFO, "descriptors",
                    "`ulimit -n` is %llu: at most %llu clients at once; for max_connections, %llu, "
                    "raise it to %llu",
                    (unsigned long long)limit.rlim_max, (unsigned long long)clients,
                    (unsigned long long)config->max_connections, (unsigned long long)needed);
        config->max_connections = clients;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int highest = (int)(needed < limit.rlim_max ? needed : limit.rlim_max) - 1;
    int far = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, highest);
    if (far >= 0)
        close(far);
    if (fd >= 0)
        close(fd);
}

static void add_timer(struct server *server, uv_timer_t *timer, uv_timer_cb callback,
                      uint64_t interval_ms)
{
    CHECK(uv_timer_init(&server->loop.uv, timer) == 0);
    timer->data = server;
    if (callback != NULL)
        uv_timer_start(timer, callback, interval_ms, interval_ms);
}

static void add_signal(struct server *server, uv_signal_t *handle, int number,
                       uv_signal_cb callback)
{
    CHECK(uv_signal_init(&server->loop.uv, handle) == 0);
    handle->data = server;
    CHECK(uv_signal_start(handle, callback, number) == 0);
}

/* Binds one socket for each serve loop, and one for the admin. */
static enum err bind_all(const struct config *config, int *fds, int *ret_admin,
                         struct buf *ret_problem)
{
    struct buf listen_address = {0}, admin_address = {0}, again = {0};
    struct log_line line;
    size_t bound = 0;

    enum err err = listener_bind(config->listen, true, &fds[0], &listen_address, ret_problem);
    for (bound = err == OK; err == OK && bound < config->serve_threads; bound += err == OK)
        err = listener_bind(listen_address.data, false, &fds[bound], &again, ret_problem);
    if (err == OK)
        err = listener_bind(config->admin, true, ret_admin, &admin_address, ret_problem);
    if (err == OK && log_begin(&line, CONFIG_LOG_INFO, "listening")) {
        log_text(&line, "listen", view_of_buf(&listen_address));
        log_text(&line, "admin", view_of_buf(&admin_address));
        log_text(&line, "cache", view_of(config->cache));
        log_number(&line, "cache_size", config->cache_size);
        log_text(&line, "version", view_of(ENTREPOT_VERSION));
        log_end(&line);
    }
    while (err != OK && bound > 0)
        close(fds[--bound]);
    buf_release(&listen_address);
    buf_release(&admin_address);
    buf_release(&again);
    return err;
}

static void run(struct server *server, const int *fds, int admin_fd)
{
    const struct config *config = server->config;
    struct services services = {.config = config,
                                .store = &server->store,
                                .fetchers = &server->fetchers,
                                .importer = &server->importer,
                                .layers = &server->layers};

    loop_init(&server->loop, "main", false);
    evictor_init(&server->evictor, &server->store, &server->loop);
    pinned_init(&server->pinned, &server->reload.catalogs);
    server->evictor.pins.source = &server->pinned.source;
    server->sweep.work = on_sweep_work;
    server->sweep.done = on_sweep_done;
    add_timer(server, &server->evict_timer, on_evict_timer, EVICT_INTERVAL_MS);
    add_timer(server, &server->sweep_timer, on_sweep_timer, SWEEP_INTERVAL_MS);
    add_timer(server, &server->drain_timer, NULL, 0);
    add_signal(server, &server->terminate, SIGTERM, on_signal);
    add_signal(server, &server->interrupt, SIGINT, on_signal);
    add_signal(server, &server->hangup, SIGHUP, on_hangup);
    layers_init(&server->layers);
    fetchers_start(&server->fetchers, &server->store);
    importer_start(&server->importer, &server->store, &server->fetchers, &server->layers,
                   &server->reload.catalogs);
    scrubber_start(&server->scrubber, &server->store);
    admin_init(&server->admin, &server->loop, admin_fd, &server->scrubber, &server->importer);
    server->running = config->serve_threads;
    for (size_t i = 0; i < config->serve_threads; i++)
        registry_start(&server->registries[i], i, fds[i], &services);
    loop_run(&server->loop);
    scrubber_stop(&server->scrubber);
    for (size_t i = 0; i < config->serve_threads; i++)
        registry_join(&server->registries[i]);
    importer_stop(&server->importer);
    fetchers_stop(&server->fetchers);
    layers_release(&server->layers);
    evictor_release(&server->evictor);
    scrubber_release(&server->scrubber);
    importer_release(&server->importer);
    for (size_t i = 0; i < config->serve_threads; i++)
        registry_release(&server->registries[i]);
    loop_release(&server->loop);
}

static enum err open_and_run(struct server *server, int *fds, struct buf *ret_problem)
{
    int admin_fd;

    enum err err = store_open(&server->store, server->config, ret_problem);
    if (err != OK)
        return err;
    err = bind_all(server->config, fds, &admin_fd, ret_problem);
    if (err == OK)
        run(server, fds, admin_fd);
    store_close(&server->store);
    return err;
}

enum err server_run(const struct config *given, struct buf *ret_problem)
{
    struct config fitted = *given, *config = &fitted; /* what it owns stays the caller's */
    struct server *server = check_calloc(1, sizeof(*server));
    int *fds = check_calloc(config->serve_threads, sizeof(*fds));
    char pool[24];

    (void)snprintf(pool, sizeof(pool), "%llu", (unsigned long long)config->pool_threads);
    setenv("UV_THREADPOOL_SIZE", pool, 1); /* before anything uses the pool */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it is known what to read again */
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    server->config = config;
    server->registries = check_calloc(config->serve_threads, sizeof(*server->registries));
    server->ended = check_calloc(config->serve_threads, sizeof(*server->ended));
    log_start((enum config_log_level)config->log_level, (enum config_log_format)config->log_format);
    make_room_for_descriptors(config);
    enum err err = reload_init(&server->reload, config, ret_problem);
    if (err == OK) {
        err = open_and_run(server, fds, ret_problem);
        reload_release(&server->reload);
    }
    log_stop();
    curl_global_cleanup();
    free(server->registries);
    free(server->ended);
    free(server);
    free(fds);
    return err;
}
