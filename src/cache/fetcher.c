#include "cache/fetcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "cache/call.h"
#include "cache/opening.h"

enum { STOP_TICK_MS = 10, QUIET_TICKS = 3 };

/* ---- the loops ---- */

static void on_opened(void *owner)
{
    ((struct fetcher *)owner)->busy--;
}

/* Every so often until nothing is left on any loop: what an end starts anew is ended the next time
 * round. */
static void on_stop_tick(uv_timer_t *timer)
{
    struct fetcher *fetcher = container_of(timer, struct fetcher, stop_timer);

    calls_fail_waiting(&fetcher->calls, ERR_STOPPING);
    transfers_fail(&fetcher->calls.transfers, ERR_STOPPING);
    for (struct list *node = fetcher->fetches.next, *next; node != &fetcher->fetches; node = next) {
        next = node->next;
        fetch_stop(fetch_of_node(node));
    }
    bool quiet = fetcher->busy == 0 && list_is_empty(&fetcher->fetches) &&
                 list_is_empty(&fetcher->calls.transfers.running);
    fetcher->quiet = quiet ? fetcher->quiet + 1 : 0;
}

static void on_stop(struct mail *mail)
{
    struct fetcher *fetcher = container_of(mail, struct fetcher, stop);

    fetcher->stopping = true;
    uv_timer_start(&fetcher->stop_timer, on_stop_tick, 0, STOP_TICK_MS);
}

static void on_close(struct mail *mail)
{
    struct fetcher *fetcher = container_of(mail, struct fetcher, close);

    transfers_stop(&fetcher->calls.transfers);
    uv_close((uv_handle_t *)&fetcher->stop_timer, NULL);
    loop_stop(&fetcher->loop);
}

static void fetcher_init(struct fetcher *fetcher, struct store *store, size_t number)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "fetch-%u", (unsigned)number % 1000);
    *fetcher = (struct fetcher){.store = store, .stop.deliver = on_stop, .close.deliver = on_close};
    loop_init(&fetcher->loop, name, false);
    fetcher->calls.loop = &fetcher->loop;
    fetcher->calls.store = store;
    transfers_init(&fetcher->calls.transfers, &fetcher->loop, store->config);
    list_init(&fetcher->fetches);
    calls_init(&fetcher->calls);
    CHECK(uv_timer_init(&fetcher->loop.uv, &fetcher->stop_timer) == 0);
}

void fetchers_start(struct fetchers *fetchers, struct store *store)
{
    fetchers->store = store;
    fetchers->count = (size_t)store->config->fetch_threads;
    fetchers->list = check_calloc(fetchers->count, sizeof(*fetchers->list));
    for (size_t i = 0; i < fetchers->count; i++)
        fetcher_init(&fetchers->list[i], store, i);
    for (size_t i = 0; i < fetchers->count; i++)
        loop_start(&fetchers->list[i].loop);
}

/* A loop with nothing to do starts nothing, so when all have been quiet for some ticks since all
 * were first seen so, no message between them is on its way either. */
static bool all_quiet(struct fetchers *fetchers)
{
    for (size_t i = 0; i < fetchers->count; i++)
        if (fetchers->list[i].quiet < QUIET_TICKS)
            return false;
    return true;
}

void fetchers_stop(struct fetchers *fetchers)
{
    for (size_t i = 0; i < fetchers->count; i++)
        loop_post(&fetchers->list[i].loop, &fetchers->list[i].stop);
    while (!all_quiet(fetchers))
        nanosleep(&(struct timespec){0, STOP_TICK_MS * 1000000L}, NULL);
    for (size_t i = 0; i < fetchers->count; i++)
        loop_post(&fetchers->list[i].loop, &fetchers->list[i].close);
    for (size_t i = 0; i < fetchers->count; i++)
        loop_join(&fetchers->list[i].loop);
    for (size_t i = 0; i < fetchers->count; i++) {
        transfers_release(&fetchers->list[i].calls.transfers);
        calls_release(&fetchers->list[i].calls);
        loop_release(&fetchers->list[i].loop);
    }
    free(fetchers->list);
    *fetchers = (struct fetchers){0};
}

struct fetcher *fetcher_of_digest(struct fetchers *fetchers, const struct digest *digest)
{
    return &fetchers->list[digest->bytes[0] % fetchers->count];
}

struct fetcher *fetcher_of_key(struct fetchers *fetchers, const unsigned char key[FLIGHT_KEY_SIZE])
{
    return &fetchers->list[key[0] % fetchers->count];
}

/* ---- messages from other loops ---- */

/* One heap message a miss: its sender may be gone before it is read. */
struct message {
    struct waiter waiter; /* its mail carries the message */
    struct fetcher *fetcher;
    struct blob *blob; /* counted */
    struct source source;
    struct buf given;
    char media_type[RECORD_MEDIA_TYPE_SIZE];
};

static void post(struct fetchers *fetchers, struct blob *blob, const struct source *source,
                 void (*deliver)(struct mail *mail), struct buf *given, const char *media_type)
{
    struct message *message = check_calloc(1, sizeof(*message));

    message->fetcher = fetcher_of_digest(fetchers, &blob->digest);
    message->waiter.mail.deliver = deliver;
    message->waiter.loop = &message->fetcher->loop;
    message->blob = blob_ref(blob);
    if (source != NULL)
        message->source = *source;
    if (given != NULL)
        message->given = *given;
    CHECK(view_copy(view_of(media_type), message->media_type, sizeof(message->media_type)));
    loop_post(&message->fetcher->loop, &message->waiter.mail);
}

static void message_free(struct message *message)
{
    blob_unref(message->blob);
    buf_release(&message->given);
    free(message);
}

static void on_open(struct mail *mail)
{
    struct message *message = container_of(mail, struct message, waiter.mail);
    struct fetcher *fetcher = message->fetcher;

    fetcher->busy++;
    opening_start(fetcher->store, &fetcher->loop, message->blob, on_opened, fetcher);
    message_free(message);
}

static void on_want(struct mail *mail)
{
    struct message *message = container_of(mail, struct message, waiter.mail);
    struct blob *blob = message->blob;
    struct blob_view view = blob_look(blob, BLOB_OFFSET_END, &message->waiter);

    if (view.state == BLOB_OPENING)
        return; /* comes again when it is open */
    blob_unpark(blob, &message->waiter);
    struct fetcher *fetcher = message->fetcher;
    bool unfilled = view.state == BLOB_PARTIAL || view.state == BLOB_WANTED;
    bool busy = fetcher->running >= fetcher->store->config->max_fills;
    if (unfilled && (fetcher->stopping || busy)) {
        blob_fill(blob);
        blob_fail(blob, fetcher->stopping ? ERR_STOPPING : ERR_BUSY, NULL, 0);
    } else if (unfilled) {
        fetch_start(fetcher, blob, &message->source, &message->given, message->media_type);
    } else if (view.state == BLOB_FILLING && blob->fetch != NULL) {
        /* Whose bytes were at hand need not be asked for them; and a hub's document it does not
         * have: that was made here. */
        fetch_join(blob->fetch, message->given.length > 0 ? NULL : &message->source);
    }
    message_free(message);
}

struct blob *fetcher_blob(struct fetchers *fetchers, const struct digest *digest)
{
    bool is_new;
    struct blob *blob = blobs_get(&fetchers->store->blobs, digest, &is_new);

    if (is_new)
        post(fetchers, blob, NULL, on_open, NULL, "");
    return blob;
}

void fetcher_want(struct fetchers *fetchers, struct blob *blob, const struct source *source)
{
    post(fetchers, blob, source, on_want, NULL, "");
}

void fetcher_give(struct fetchers *fetchers, struct blob *blob, const struct source *source,
                  const void *data, size_t length, const char *media_type)
{
    struct buf given = {0};

    buf_append(&given, data, length);
    post(fetchers, blob, source, on_want, &given, media_type);
}
