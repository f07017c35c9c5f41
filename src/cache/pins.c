#include "cache/pins.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "wire/manifest.h"

enum { SAID_AGAIN_US = 60 * 1000 * 1000, FIRST_CAPACITY = 256 };

/* ---- sets of digests: appended to, then put in order ---- */

static int compare(const void *a, const void *b)
{
    const struct digest *left = a, *right = b;

    if (left->algorithm != right->algorithm)
        return left->algorithm < right->algorithm ? -1 : 1;
    return memcmp(left->bytes, right->bytes, sizeof(left->bytes));
}

/* Sorts, and leaves each digest once. */
static void put_in_order(struct pins *set)
{
    size_t kept = 0;

    if (set->count > 1)
        qsort(set->list, set->count, sizeof(*set->list), compare);
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || compare(&set->list[kept - 1], &set->list[i]) != 0)
            set->list[kept++] = set->list[i];
    set->count = kept;
}

/* Images share layers: what is there several times goes before the list grows. */
static void make_room(struct pins *set)
{
    put_in_order(set);
    set->too_many |= set->count > PINS_MAX;
    if (set->too_many || (set->capacity > 0 && set->count <= set->capacity / 2))
        return;
    set->capacity = set->capacity == 0 ? FIRST_CAPACITY : 2 * set->capacity;
    set->list = check_realloc(set->list, set->capacity * sizeof(*set->list));
}

static void add(struct pins *set, const struct digest *digest)
{
    if (set->count == set->capacity && !set->too_many)
        make_room(set);
    if (!set->too_many)
        set->list[set->count++] = *digest;
}

static void empty(struct pins *set)
{
    free(set->list);
    set->list = NULL;
    set->count = set->capacity = 0;
}

/* ---- the manifests that the patterns mean ---- */

struct search {
    const struct config *config;
    struct pins *found;
};

static void on_root(void *taker, const struct digest *digest, bool is_manifest)
{
    (void)is_manifest;
    add(taker, digest);
}

static bool is_meant(const struct config *config, const char *upstream, const char *repository,
                     const char *tag)
{
    for (size_t i = 0; i < config->pin_count; i++)
        if (pattern_means(&config->pins[i], upstream, repository, tag))
            return true;
    return false;
}

static bool on_tag(void *argument, const struct tag_record *record)
{
    const struct search *search = argument;

    if (is_meant(search->config, record->upstream, record->repository, record->tag))
        add(search->found, &record->digest);
    return true;
}

static bool on_manifest(void *argument, const struct holding_record *record)
{
    const struct search *search = argument;

    if (is_meant(search->config, record->upstream, record->repository, ""))
        add(search->found, &record->digest);
    return true;
}

static void find_roots(struct store *store, const struct pins_source *source, struct pins *found)
{
    struct search search = {store->config, found};

    for (size_t i = 0; i < store->config->pin_count; i++)
        if (store->config->pins[i].by_digest)
            add(found, &store->config->pins[i].digest);
    if (source != NULL)
        source->each_root(source, store, on_root, found);
    if (store->config->pin_count > 0) {
        index_each_tag(store->index, on_tag, &search);
        index_each_manifest(store->index, on_manifest, &search);
    }
    put_in_order(found);
}

/* ---- what is under them ---- */

/* False when it is not there, whole, or is no manifest. */
static bool read_manifest(const struct store *store, const struct digest *digest,
                          struct manifest *ret_manifest)
{
    char path[BLOB_PATH_SIZE];
    struct stat file;

    blob_path_complete(digest, path);
    int fd = openat(store->directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = fstat(fd, &file) == 0 &&
                store_read_manifest(store, fd, (uint64_t)file.st_size, ret_manifest) == OK;
    close(fd);
    return good;
}

/* Where to put what is found: the manifests of the next level into `below`, too. */
struct growth {
    struct store *store;
    struct pins *pins, *below;
};

static void on_file(void *taker, const struct digest *digest, bool is_manifest)
{
    const struct growth *growth = taker;

    (void)is_manifest;
    add(growth->pins, digest);
}

/* A child of a manifest: a layer may be computed from files. */
static void on_child(void *taker, const struct digest *digest, bool is_manifest)
{
    const struct growth *growth = taker;
    const struct pins_source *source = growth->pins->source;

    add(growth->pins, digest);
    if (is_manifest)
        add(growth->below, digest);
    else if (source != NULL)
        source->each_part(source, growth->store, digest, on_file, taker);
}

/* Adds all that the manifest points at. */
static void add_children(struct growth *growth, const struct digest *digest)
{
    const struct pins_source *source = growth->pins->source;
    struct manifest manifest;

    if (!read_manifest(growth->store, digest, &manifest)) {
        if (source != NULL)
            source->each_part(source, growth->store, digest, on_child, growth);
        return;
    }
    for (size_t i = 0; i < manifest.count; i++)
        on_child(growth, &manifest.descriptors[i].digest, manifest.descriptors[i].is_manifest);
    manifest_release(&manifest);
}

void pins_compute(struct pins *pins, struct store *store)
{
    const struct pins_source *source = pins->source;
    struct pins level = {0};
    size_t left = PINS_MANIFESTS_MAX;
    bool too_many = false;

    pins->blobs = pins->bytes = 0;
    pins->too_many = false;
    if (store->config->pin_count == 0 && (source == NULL || !source->has_roots(source)))
        return;
    find_roots(store, source, &level);
    for (size_t i = 0; i < level.count; i++)
        add(pins, &level.list[i]);
    for (int depth = 0; depth <= PINS_DEPTH_MAX && level.count > 0; depth++) {
        struct pins below = {0};
        struct growth growth = {store, pins, &below};
        for (size_t i = 0; i < level.count && left > 0; i++, left--)
            add_children(&growth, &level.list[i]);
        too_many |= level.too_many || left == 0;
        put_in_order(&below);
        empty(&level);
        level = below;
    }
    pins->too_many |= too_many || level.count > 0;
    empty(&level);
    put_in_order(pins);
}

bool pins_keep(struct pins *pins, const struct digest *digest, uint64_t bytes)
{
    if (pins->count == 0 ||
        bsearch(digest, pins->list, pins->count, sizeof(*pins->list), compare) == NULL)
        return false;
    pins->blobs++;
    pins->bytes += bytes;
    return true;
}

void pins_end(struct pins *pins, const struct store *store, bool no_room)
{
    uint64_t now = clock_monotonic_us();
    bool says = (no_room && pins->bytes > 0) || pins->too_many;

    stats_set(STAT_PINNED_BLOBS, AT_ALL, pins->blobs);
    stats_set(STAT_PINNED_BYTES, AT_ALL, pins->bytes);
    empty(pins);
    if (!says || (pins->said_us != 0 && now - pins->said_us < SAID_AGAIN_US))
        return;
    pins->said_us = now;
    if (pins->too_many)
        log_message(CONFIG_LOG_WARN, "pin",
                    "`pin` and the catalog mean more than can be kept, so that some of it may go; "
                    "shorten them");
    else
        log_message(CONFIG_LOG_WARN, "pin",
                    "pinned content takes %llu bytes of the cache's %llu, and nothing else is left "
                    "to go; raise cache_size or shorten `pin`, or the catalog",
                    (unsigned long long)pins->bytes, (unsigned long long)store->config->cache_size);
}
