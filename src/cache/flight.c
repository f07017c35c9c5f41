#include "cache/flight.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/stats.h"

struct bytes *bytes_new(void)
{
    struct bytes *bytes = check_calloc(1, sizeof(*bytes));

    bytes->references = 1;
    return bytes;
}

struct bytes *bytes_ref(struct bytes *bytes)
{
    bytes->references++;
    return bytes;
}

struct bytes *bytes_unref(struct bytes *bytes)
{
    if (bytes != NULL && --bytes->references == 0) {
        buf_release(&bytes->data);
        free(bytes);
    }
    return NULL;
}

void flights_init(struct flights *flights)
{
    pthread_mutex_init(&flights->mutex, NULL);
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
        list_init(&flights->buckets[i]);
}

void flights_release(struct flights *flights)
{
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
        CHECK(list_is_empty(&flights->buckets[i]));
    pthread_mutex_destroy(&flights->mutex);
}

void flight_key(unsigned char ret_key[FLIGHT_KEY_SIZE], const char *text, ...)
{
    struct hasher hasher;
    struct digest digest;
    va_list texts;

    hasher_init(&hasher, DIGEST_SHA256);
    va_start(texts, text);
    for (; text != NULL; text = va_arg(texts, const char *))
        hasher_update(&hasher, text, strlen(text) + 1);
    va_end(texts);
    hasher_finish(&hasher, &digest);
    hasher_release(&hasher);
    memcpy(ret_key, digest.bytes, FLIGHT_KEY_SIZE);
}

static struct flight *find_locked(struct list *bucket, const unsigned char *key)
{
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct flight *flight = container_of(node, struct flight, node);
        if (memcmp(flight->key, key, FLIGHT_KEY_SIZE) == 0)
            return flight;
    }
    return NULL;
}

void flight_join(struct flights *flights, const unsigned char key[FLIGHT_KEY_SIZE],
                 struct flight_caller *caller, struct flight *(*make)(void *argument),
                 void *argument)
{
    struct list *bucket = &flights->buckets[key[0] % FLIGHT_BUCKETS];

    pthread_mutex_lock(&flights->mutex);
    struct flight *flight = find_locked(bucket, key);
    bool joined = flight != NULL;
    if (!joined) {
        flight = make(argument);
        memcpy(flight->key, key, FLIGHT_KEY_SIZE);
        list_init(&flight->callers);
        list_append(bucket, &flight->node);
        loop_post(flight->loop, &flight->start);
    }
    if (caller != NULL) {
        CHECK(!list_is_linked(&caller->waiting));
        caller->answer = (struct flight_answer){0};
        caller->joined = joined;
        list_append(&flight->callers, &caller->waiting);
    }
    pthread_mutex_unlock(&flights->mutex);
    if (joined && caller != NULL)
        stats_add(STAT_CHECKS_COALESCED, AT_ALL, 1);
}

void flight_finish(struct flights *flights, struct flight *flight,
                   const struct flight_answer *answer)
{
    loop_check_thread(flight->loop);
    pthread_mutex_lock(&flights->mutex);
    list_unlink(&flight->node);
    while (!list_is_empty(&flight->callers)) {
        struct flight_caller *caller =
            container_of(flight->callers.next, struct flight_caller, waiting);
        list_unlink(&caller->waiting);
        caller->answer = *answer;
        if (answer->bytes != NULL)
            bytes_ref(answer->bytes);
        loop_post(caller->loop, &caller->mail); /* under the lock: see flight_leave */
    }
    pthread_mutex_unlock(&flights->mutex);
}

/* A caller is waiting, in its loop's inbox, or idle; there is no fourth place. */
void flight_leave(struct flights *flights, struct flight_caller *caller)
{
    pthread_mutex_lock(&flights->mutex);
    if (list_is_linked(&caller->waiting))
        list_unlink(&caller->waiting);
    pthread_mutex_unlock(&flights->mutex);
    loop_recall(caller->loop, &caller->mail);
    caller->answer.bytes = bytes_unref(caller->answer.bytes);
}
