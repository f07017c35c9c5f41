#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

/*
 * At most one computation per key at a time; its small answer is given to every caller on the
 * caller's loop. Tag checks, token requests, look-ups at an upstream: whatever a hundred clients
 * may want at the same moment.
 *
 * A flight is embedded in the object that does the computation. It belongs to one fetch loop, on
 * which it starts and ends; callers are on any loop, and may leave at any time without stopping it.
 *
 *   flight_join --no flight of that key--> make(), start mail --> ... --> flight_finish
 *        `------there is one: wait for it--------------------------------------^
 *
 * Lock order: flights' mutex -> inbox.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/list.h"
#include "cache/record.h"
#include "io/loop.h"

enum { FLIGHT_KEY_SIZE = 32, FLIGHT_BUCKETS = 256 };

/* Bytes that many callers read: counted, constant. */
struct bytes {
    _Atomic unsigned references;
    struct buf data;
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    char link[1024];   /* Link: <...>; rel="next" to pass on, or "" */
    char filters[256]; /* OCI-Filters-Applied, or "" */
};

struct bytes *bytes_new(void);
struct bytes *bytes_ref(struct bytes *bytes);
struct bytes *bytes_unref(struct bytes *bytes); /* NULL is harmless; returns NULL */

/* What a computation gives. Which fields count depends on what was computed. */
struct flight_answer {
    enum err err;
    struct digest digest;
    uint64_t size;
    char media_type[RECORD_MEDIA_TYPE_SIZE];
    struct bytes *bytes;  /* counted, one reference a caller; or NULL */
    bool stale;           /* the upstream could not be asked: this is what was known */
    bool kept;            /* it need not be asked: the same */
    uint64_t retry_after; /* seconds to tell the client, or 0 */
};

struct flight {
    struct mail start; /* delivered on `loop` */
    struct loop *loop; /* borrowed */
    struct list node;  /* in the bucket */
    struct list callers;
    unsigned char key[FLIGHT_KEY_SIZE];
};

/* Somebody who wants the answer. Embedded; belongs to its loop. */
struct flight_caller {
    struct mail mail; /* set deliver before joining; `answer` is set when it comes */
    struct loop *loop;
    struct list waiting; /* in the flight; guarded by the flights' mutex */
    struct flight_answer answer;
    bool joined; /* it found the computation running */
};

struct flights {
    pthread_mutex_t mutex;
    struct list buckets[FLIGHT_BUCKETS];
};

void flights_init(struct flights *flights);
void flights_release(struct flights *flights);

/* A key made of texts, the first saying what is computed: flight_key(key, "tag", upstream, ...,
 * NULL). Pure. */
void flight_key(unsigned char ret_key[FLIGHT_KEY_SIZE], const char *text, ...);

/*
 * Waits for the answer of the flight of that key. When there is none, `make(argument)` gives a new
 * object's flight with `loop` and `start.deliver` set; it is called under the mutex and must not
 * call back. The caller's mail comes exactly once, unless it leaves. Thread: caller->loop.
 */
void flight_join(struct flights *flights, const unsigned char key[FLIGHT_KEY_SIZE],
                 struct flight_caller *caller, struct flight *(*make)(void *argument),
                 void *argument);

/* Gives the answer to all callers (bytes: one reference each) and takes the flight out: the owner
 * may free it then. `answer` stays the owner's. Thread: flight->loop. */
void flight_finish(struct flights *flights, struct flight *flight,
                   const struct flight_answer *answer);

/* The mail will not come any more. Harmless when it has come; releases answer.bytes if so. Thread:
 * caller->loop. */
void flight_leave(struct flights *flights, struct flight_caller *caller);

#endif
