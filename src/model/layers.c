#include "model/layers.h"

#include <stdlib.h>

#include "base/check.h"
#include "io/disk.h"

void layers_init(struct layers *layers)
{
    pthread_mutex_init(&layers->mutex, NULL);
    for (size_t i = 0; i < LAYERS_BUCKETS; i++) {
        list_init(&layers->buckets[i]);
        layers->forgotten[i] = 0;
    }
    list_init(&layers->unused);
    layers->unused_count = 0;
    layers->unused_memory = 0;
}

/* ---- the unused ---- */

static void unused_take_locked(struct layers *layers, struct layer *layer)
{
    list_unlink(&layer->unused);
    layers->unused_count--;
    layers->unused_memory -= layer->memory;
}

static void drop_locked(struct layers *layers, struct layer *layer)
{
    CHECK(layer->references == 0);
    if (list_is_linked(&layer->unused))
        unused_take_locked(layers, layer);
    if (list_is_linked(&layer->node))
        list_unlink(&layer->node);
    layer_free(layer);
}

/* Nobody refers to it. The last one used stays in any case: who had it opened is to find it. */
static void keep_locked(struct layers *layers, struct layer *layer)
{
    list_append(&layers->unused, &layer->unused);
    layers->unused_count++;
    layers->unused_memory += layer->memory;
    while (layers->unused_count > 1 && (layers->unused_count > LAYERS_UNUSED_MAX ||
                                        layers->unused_memory > LAYERS_UNUSED_MEMORY))
        drop_locked(layers, container_of(layers->unused.next, struct layer, unused));
}

void layers_release(struct layers *layers)
{
    while (!list_is_empty(&layers->unused))
        drop_locked(layers, container_of(layers->unused.next, struct layer, unused));
    for (size_t i = 0; i < LAYERS_BUCKETS; i++)
        CHECK(list_is_empty(&layers->buckets[i]));
    pthread_mutex_destroy(&layers->mutex);
}

/* ---- the table ---- */

static struct list *bucket_of(struct layers *layers, const struct digest *digest)
{
    return &layers->buckets[digest->bytes[0] % LAYERS_BUCKETS];
}

static unsigned *forgotten_of(struct layers *layers, const struct digest *digest)
{
    return &layers->forgotten[digest->bytes[0] % LAYERS_BUCKETS];
}

static struct layer *find_locked(struct layers *layers, const struct digest *digest)
{
    struct list *bucket = bucket_of(layers, digest);

    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct layer *layer = container_of(node, struct layer, node);
        if (digest_equal(&layer->digest, digest))
            return layer;
    }
    return NULL;
}

struct layer *layers_find(struct layers *layers, const struct digest *digest)
{
    pthread_mutex_lock(&layers->mutex);
    struct layer *layer = find_locked(layers, digest);
    if (layer != NULL && layer->references++ == 0)
        unused_take_locked(layers, layer);
    pthread_mutex_unlock(&layers->mutex);
    return layer;
}

unsigned layers_age(struct layers *layers, const struct digest *digest)
{
    pthread_mutex_lock(&layers->mutex);
    unsigned age = *forgotten_of(layers, digest);
    pthread_mutex_unlock(&layers->mutex);
    return age;
}

void layers_add(struct layers *layers, struct layer *layer, unsigned age)
{
    pthread_mutex_lock(&layers->mutex);
    bool is_new =
        find_locked(layers, &layer->digest) == NULL && age == *forgotten_of(layers, &layer->digest);
    if (is_new) {
        list_append(bucket_of(layers, &layer->digest), &layer->node);
        keep_locked(layers, layer);
    }
    pthread_mutex_unlock(&layers->mutex);
    if (!is_new)
        layer_free(layer);
}

void layers_forget(struct layers *layers, const struct digest *digest)
{
    pthread_mutex_lock(&layers->mutex);
    struct layer *layer = find_locked(layers, digest);
    ++*forgotten_of(layers, digest);
    if (layer != NULL && layer->references == 0)
        drop_locked(layers, layer);
    else if (layer != NULL)
        list_unlink(&layer->node);
    pthread_mutex_unlock(&layers->mutex);
}

struct layer *layers_unref(struct layers *layers, struct layer *layer)
{
    pthread_mutex_lock(&layers->mutex);
    CHECK(layer->references > 0);
    if (--layer->references == 0 && list_is_linked(&layer->node))
        keep_locked(layers, layer);
    else if (layer->references == 0)
        drop_locked(layers, layer);
    pthread_mutex_unlock(&layers->mutex);
    return NULL;
}

/* ---- opening ---- */

struct opening {
    struct flight flight;
    struct disk_job job;
    struct fetcher *fetcher;
    struct layers *layers;
    struct digest digest;
    struct layer *layer; /* owned, until it is in the table */
    unsigned age;        /* before it was opened */
    enum err err;
};

static void on_work(struct disk_job *job)
{
    struct opening *opening = container_of(job, struct opening, job);

    opening->age = layers_age(opening->layers, &opening->digest);
    opening->err = layer_open(opening->fetcher->store->index, &opening->digest, &opening->layer);
}

static void on_done(struct disk_job *job)
{
    struct opening *opening = container_of(job, struct opening, job);
    struct flight_answer answer = {.err = opening->err};

    if (opening->err == OK)
        layers_add(opening->layers, opening->layer, opening->age);
    flight_finish(&opening->fetcher->store->flights, &opening->flight, &answer);
    opening->fetcher->busy--;
    free(opening);
}

static void on_start(struct mail *mail)
{
    struct opening *opening = container_of(mail, struct opening, flight.start);

    opening->fetcher->busy++;
    opening->job.work = on_work;
    opening->job.done = on_done;
    disk_run(&opening->job, &opening->fetcher->loop);
}

static struct flight *make_opening(void *argument)
{
    struct opening *opening = check_malloc(sizeof(*opening));

    *opening = *(struct opening *)argument;
    return &opening->flight;
}

void layers_open(struct layers *layers, struct fetchers *fetchers, const struct digest *digest,
                 struct flight_caller *caller)
{
    unsigned char key[FLIGHT_KEY_SIZE];
    char text[DIGEST_TEXT_SIZE];

    flight_key(key, "layer", digest_print(digest, text), NULL);
    struct fetcher *fetcher = fetcher_of_key(fetchers, key);
    struct opening opening = {
        .flight = {.loop = &fetcher->loop, .start.deliver = on_start},
        .fetcher = fetcher,
        .layers = layers,
        .digest = *digest,
    };
    flight_join(&fetchers->store->flights, key, caller, make_opening, &opening);
}
