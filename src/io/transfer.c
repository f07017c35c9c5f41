/*
 * The life of a transfer: transfer_start gives an easy handle to curl's multi; curl's sockets and
 * its timer are driven by the loop; on_header and on_write pass things up; collect() finds the
 * ended ones. A transfer that is cancelled while curl is on the stack is only marked, and freed by
 * mail.
 */
#include "io/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/stats.h"

enum {
    RECEIVE_BUFFER = 512 * 1024,
    GATHER_MAX = 1 << 20, /* what is handed up in one piece at most */
    REDIRECTS_ARE_OURS = 0L,
    NAMES_KEPT_MS = 60 * 1000, /* by curl, as long as nobody says otherwise */
};

struct transfer {
    struct list node; /* in transfers->running or ->dead */
    struct transfers *transfers;
    const struct transfer_events *events; /* NULL: cancelled */
    void *owner;
    CURL *easy;
    struct curl_slist *headers;
    uv_timer_t head_timer; /* runs from the start to the head */
    char problem[CURL_ERROR_SIZE];
    unsigned upstream;
    enum err refused; /* what on_head, on_body or a deadline said */
    bool answered;    /* the head has come */
    bool is_held;     /* curl keeps a piece of the body for later */
};

static enum err err_of_curl(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_UPSTREAM_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR: /* reset in its handshake, as a rule; not its certificate */
        return ERR_UPSTREAM_UNREACHABLE;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return ERR_UPSTREAM_BROKEN;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return ERR_UPSTREAM_TLS;
    default:
        return ERR_UPSTREAM_NONSENSE;
    }
}

/* ---- the end of a transfer ---- */

static void on_head_timer_closed(uv_handle_t *handle)
{
    struct transfer *transfer = container_of((uv_timer_t *)handle, struct transfer, head_timer);

    transfer->transfers->timers--;
    free(transfer);
}

static void transfer_free(struct transfer *transfer)
{
    list_unlink(&transfer->node);
    curl_multi_remove_handle(transfer->transfers->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    uv_close((uv_handle_t *)&transfer->head_timer, on_head_timer_closed);
}

/* Tells the owner how it ended, and frees it. Never inside a curl callback. */
static void transfer_end(struct transfer *transfer, enum err err)
{
    if (err != OK)
        stats_add(STAT_UPSTREAM_ERRORS, AT(transfer->upstream, err), 1);
    if (!transfer->answered && (err == ERR_UPSTREAM_UNREACHABLE || err == ERR_UPSTREAM_TIMEOUT))
        transfer->transfers->failed_ms = uv_now(&transfer->transfers->loop->uv);
    const struct transfer_events *events = transfer->events;
    transfer->events = NULL;
    if (events != NULL)
        events->on_end(transfer, err);
    transfer_free(transfer);
}

static void collect(struct transfers *transfers)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(transfers->multi, &left)) != NULL) {
        struct transfer *transfer;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        watches_keep(&transfers->watches, transfer);
        transfer_end(transfer, transfer->refused != OK ? transfer->refused : err_of_curl(code));
    }
}

static void on_reap(struct mail *mail)
{
    struct transfers *transfers = container_of(mail, struct transfers, reap);

    while (!list_is_empty(&transfers->dead))
        transfer_free(container_of(transfers->dead.next, struct transfer, node));
}

void transfer_cancel(struct transfer *transfer)
{
    if (transfer == NULL)
        return;
    struct transfers *transfers = transfer->transfers;
    CHECK(transfer->events != NULL);
    transfer->events = NULL;
    if (transfers->gathering == transfer) {
        transfers->gathering = NULL;
        buf_clear(&transfers->gathered);
    }
    uv_timer_stop(&transfer->head_timer);
    if (!transfers->inside) {
        transfer_free(transfer);
        return;
    }
    bool first = list_is_empty(&transfers->dead);
    list_unlink(&transfer->node);
    list_append(&transfers->dead, &transfer->node);
    if (first)
        loop_post(transfers->loop, &transfers->reap);
}

static void on_head_timeout(uv_timer_t *timer)
{
    struct transfer *transfer = container_of(timer, struct transfer, head_timer);

    LOOP_CALLBACK(transfer->transfers->loop);
    transfer_end(transfer, ERR_UPSTREAM_TIMEOUT);
}

/* ---- the body ---- */

/*
 * curl hands a body over 16 KiB at a time, whatever it received. What it received in one go is
 * gathered, and handed up in one piece: one write to the file instead of dozens, and a page cache
 * of large folios, from which sendfile() is a tenth cheaper.
 */
static void hand_up(struct transfers *transfers)
{
    struct transfer *transfer = transfers->gathering;

    if (transfer == NULL)
        return;
    CHECK(transfer->events != NULL && transfer->refused == OK);
    transfers->gathering = NULL;
    transfer->refused =
        transfer->events->on_body(transfer, transfers->gathered.data, transfers->gathered.length);
    buf_clear(&transfers->gathered);
    if (transfer->refused == OK || transfer->events == NULL)
        return;
    list_unlink(&transfer->node); /* curl may never ask again: see act() */
    list_append(&transfers->refused, &transfer->node);
}

static void gather(struct transfer *transfer, const char *data, size_t length)
{
    struct transfers *transfers = transfer->transfers;
    size_t room = GATHER_MAX - transfers->gathered.length;

    if (transfers->gathering != transfer || length > room)
        hand_up(transfers);
    if (transfer->events == NULL || transfer->refused != OK)
        return; /* the piece before this one was refused */
    transfers->gathering = transfer;
    buf_append(&transfers->gathered, data, length);
}

/* ---- what curl calls ---- */

static size_t on_write(char *data, size_t one, size_t length, void *argument)
{
    struct transfer *transfer = argument;

    (void)one;
    if (transfer->events == NULL || transfer->refused != OK)
        return length + 1; /* not `length`: curl ends the transfer */
    if (transfer->events->is_held != NULL && transfer->events->is_held(transfer)) {
        transfer->is_held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    stats_add(STAT_UPSTREAM_BYTES, AT(transfer->upstream), length);
    gather(transfer, data, length);
    return transfer->refused == OK && transfer->events != NULL ? length : length + 1;
}

static size_t on_header(char *data, size_t one, size_t length, void *argument)
{
    struct transfer *transfer = argument;
    long status = 0;

    (void)one;
    if (transfer->events == NULL)
        return length + 1;
    if (length > 2 || (data[0] != '\r' && data[0] != '\n'))
        return length; /* not yet the empty line that ends a head */
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return length;
    transfer->answered = true;
    uv_timer_stop(&transfer->head_timer);
    transfer->refused = transfer->events->on_head(transfer, (int)status);
    return transfer->refused == OK && transfer->events != NULL ? length : length + 1;
}

/* Gives a transfer to curl, which must not be done while it calls us. */
static void go(struct transfer *transfer)
{
    struct transfers *transfers = transfer->transfers;

    list_unlink(&transfer->node);
    list_append(&transfers->running, &transfer->node);
    CHECK(curl_multi_add_handle(transfers->multi, transfer->easy) == CURLM_OK);
}

static void take_all(struct list *from, struct list *to)
{
    while (!list_is_empty(from)) {
        struct list *node = from->next;
        list_unlink(node);
        list_append(to, node);
    }
}

/*
 * When an address refuses, or does not answer in its share of connect_timeout, curl (7.88.1) closes
 * that connection, and opens one to the next address when it looks at the transfer again: which may
 * be when the time is over for all. A change of the pauses, of sending, which we do not, has it
 * look.
 */
static void nudge_bereft(struct transfers *transfers)
{
    struct list bereft;

    list_init(&bereft);
    take_all(&transfers->bereft, &bereft);
    while (!list_is_empty(&bereft)) {
        struct transfer *transfer = container_of(bereft.next, struct transfer, node);
        list_unlink(&transfer->node);
        list_append(&transfers->running, &transfer->node);
        transfers->inside = true;
        (void)curl_easy_pause(transfer->easy, CURLPAUSE_SEND);
        (void)curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
        transfers->inside = false;
    }
}

/* curl has returned: does what could not be done while it called us. */
static void follow_up(struct transfers *transfers)
{
    hand_up(transfers);
    transfers->inside = false;
    while (!list_is_empty(&transfers->starting))
        go(container_of(transfers->starting.next, struct transfer, node));
    while (!list_is_empty(&transfers->refused)) {
        struct transfer *transfer = container_of(transfers->refused.next, struct transfer, node);
        transfer_end(transfer, transfer->refused);
    }
    collect(transfers);
    nudge_bereft(transfers);
}

static void act(struct transfers *transfers, curl_socket_t socket, int events)
{
    int running;

    transfers->inside = true;
    curl_multi_socket_action(transfers->multi, socket, events, &running);
    follow_up(transfers);
}

static void on_socket_ready(void *owner, curl_socket_t socket, int flags)
{
    act(owner, socket, flags);
}

static void on_go_on(struct mail *mail)
{
    struct transfers *transfers = container_of(mail, struct transfers, go_on);

    while (!list_is_empty(&transfers->resuming)) {
        struct transfer *transfer = container_of(transfers->resuming.next, struct transfer, node);
        list_unlink(&transfer->node);
        list_append(&transfers->running, &transfer->node);
        transfers->inside = true;
        (void)curl_easy_pause(transfer->easy, CURLPAUSE_CONT); /* may call on_write at once, and
                                                                * knows of no errors but its */
        follow_up(transfers);
    }
}

void transfer_resume(struct transfer *transfer)
{
    if (transfer == NULL || !transfer->is_held || transfer->events == NULL)
        return;
    struct transfers *transfers = transfer->transfers;
    transfer->is_held = false;
    list_unlink(&transfer->node);
    list_append(&transfers->resuming, &transfer->node);
    loop_recall(transfers->loop, &transfers->go_on);
    loop_post(transfers->loop, &transfers->go_on);
}

/* curl is done with a socket, which it does not always say before that it need not be watched. */
static int on_close_socket(void *argument, curl_socket_t socket)
{
    struct transfers *transfers = argument;

    watches_forget(&transfers->watches, socket);
    return close(socket);
}

/* curl need not hear of that socket any more, for now. Without a head it is closed next, or has
 * told of an address: a transfer that waits for its head has one less, see nudge_bereft(). */
static void unwatch(struct transfers *transfers, CURL *easy, struct watch *watch)
{
    struct transfer *transfer = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE,
                      (char **)&transfer); /* NULL: a handle of curl's own */
    if (transfer != NULL && transfer->answered) {
        if (watch != NULL)
            watch_leave(watch, transfer);
        return;
    }
    if (watch != NULL) {
        watch_blame(watch);
        watch_stop(watch);
    }
    if (transfer == NULL || transfer->events == NULL)
        return;
    list_unlink(&transfer->node);
    list_append(&transfers->bereft, &transfer->node);
}

static int on_watch(CURL *easy, curl_socket_t socket, int what, void *argument, void *known)
{
    struct transfers *transfers = argument;
    struct watch *watch = known;
    int events = 0;

    if (what == CURL_POLL_REMOVE) {
        unwatch(transfers, easy, watch);
        return 0;
    }
    if (watch == NULL)
        watch = watches_take(&transfers->watches, socket);
    if (what != CURL_POLL_OUT)
        events |= UV_READABLE;
    if (what != CURL_POLL_IN)
        events |= UV_WRITABLE;
    watch_start(watch, events);
    return 0;
}

/* curl has found a connection. */
static int on_request(void *argument, char *peer, char *own, int peer_port, int own_port)
{
    struct transfer *transfer = argument;

    (void)peer, (void)own, (void)peer_port;
    watches_use(&transfer->transfers->watches, own_port, transfer);
    return CURL_PREREQFUNC_OK;
}

static void on_timer(uv_timer_t *timer)
{
    struct transfers *transfers = container_of(timer, struct transfers, timer);

    LOOP_CALLBACK(transfers->loop);
    act(transfers, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *argument)
{
    struct transfers *transfers = argument;

    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&transfers->timer);
    else
        uv_timer_start(&transfers->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* ---- the owner's side ---- */

void transfers_init(struct transfers *transfers, struct loop *loop, const struct config *config)
{
    *transfers = (struct transfers){
        .loop = loop, .config = config, .reap.deliver = on_reap, .go_on.deliver = on_go_on};
    list_init(&transfers->dead);
    list_init(&transfers->running);
    list_init(&transfers->starting);
    list_init(&transfers->refused);
    list_init(&transfers->resuming);
    list_init(&transfers->bereft);
    CHECK(uv_timer_init(&loop->uv, &transfers->timer) == 0);
    transfers->multi = curl_multi_init();
    CHECK(transfers->multi != NULL);
    watches_init(&transfers->watches, loop, transfers->multi, config->connect_timeout);
    transfers->watches.owner = transfers;
    transfers->watches.on_ready = on_socket_ready;
    curl_multi_setopt(transfers->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
    curl_multi_setopt(transfers->multi, CURLMOPT_SOCKETDATA, transfers);
    curl_multi_setopt(transfers->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
    curl_multi_setopt(transfers->multi, CURLMOPT_TIMERDATA, transfers);
    curl_multi_setopt(transfers->multi, CURLMOPT_MAXCONNECTS, (long)config->upstream_connections);
}

void transfers_fail(struct transfers *transfers, enum err err)
{
    struct list ending;

    list_init(&ending);
    loop_check_thread(transfers->loop);
    take_all(&transfers->running, &ending); /* not those that an end starts */
    take_all(&transfers->resuming, &ending);
    take_all(&transfers->bereft, &ending);
    while (!list_is_empty(&ending))
        transfer_end(container_of(ending.next, struct transfer, node), err);
}

void transfers_stop(struct transfers *transfers)
{
    loop_check_thread(transfers->loop);
    loop_recall(transfers->loop, &transfers->reap);
    loop_recall(transfers->loop, &transfers->go_on);
    on_reap(&transfers->reap);
    CHECK(list_is_empty(&transfers->running) && list_is_empty(&transfers->resuming));
    curl_multi_cleanup(transfers->multi); /* closes connections: on_watch with REMOVE */
    transfers->multi = NULL;
    uv_close((uv_handle_t *)&transfers->timer, NULL);
}

void transfers_release(struct transfers *transfers)
{
    CHECK(transfers->multi == NULL && transfers->timers == 0 && transfers->watches.open == 0);
    buf_release(&transfers->gathered);
    *transfers = (struct transfers){0};
}

/* The addresses that curl knows are not to be relied on: a name may have moved. */
static bool doubts_names(const struct transfers *transfers)
{
    return transfers->failed_ms != 0 &&
           uv_now(&transfers->loop->uv) - transfers->failed_ms < NAMES_KEPT_MS;
}

static void set_options(struct transfer *transfer, const struct transfer_request *request)
{
    const struct config *config = transfer->transfers->config;
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_NOBODY, request->method == TRANSFER_HEAD ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "entrepot/" ENTREPOT_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* Followed above, so that credentials never travel to a CDN. */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, (long)REDIRECTS_ARE_OURS);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout);
    if (doubts_names(transfer->transfers))
        curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((config->stall_timeout + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->transfers);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem);
    if (request->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
}

struct transfer *transfer_start(struct transfers *transfers, const struct transfer_request *request,
                                const struct transfer_events *events, void *owner)
{
    struct transfer *transfer = check_calloc(1, sizeof(*transfer));

    loop_check_thread(transfers->loop);
    transfer->transfers = transfers;
    transfer->events = events;
    transfer->owner = owner;
    transfer->upstream = request->upstream;
    transfer->easy = curl_easy_init();
    CHECK(transfer->easy != NULL);
    for (const char *const *header = request->headers; *header != NULL; header++)
        transfer->headers = curl_slist_append(transfer->headers, *header);
    set_options(transfer, request);
    CHECK(uv_timer_init(&transfers->loop->uv, &transfer->head_timer) == 0);
    transfers->timers++;
    uv_timer_start(&transfer->head_timer, on_head_timeout, transfers->config->header_timeout, 0);
    list_append(&transfers->starting, &transfer->node);
    stats_add(STAT_UPSTREAM_REQUESTS, AT(request->upstream), 1);
    if (!transfers->inside)
        go(transfer);
    return transfer;
}

void *transfer_owner(const struct transfer *transfer)
{
    return transfer->owner;
}

struct view transfer_field(struct transfer *transfer, const char *name)
{
    struct curl_header *header;

    if (curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return (struct view){NULL, 0};
    size_t last = header->amount - 1;
    if (curl_easy_header(transfer->easy, name, last, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return (struct view){NULL, 0};
    return view_trim(view_of(header->value));
}

void transfer_fields(struct transfer *transfer, const char *name, struct buf *out)
{
    struct curl_header *header;

    for (size_t i = 0;
         curl_easy_header(transfer->easy, name, i, CURLH_HEADER, -1, &header) == CURLHE_OK; i++) {
        buf_append_text(out, i == 0 ? "" : ", ");
        buf_append_text(out, header->value);
    }
}

const char *transfer_problem(const struct transfer *transfer)
{
    return transfer->problem;
}
