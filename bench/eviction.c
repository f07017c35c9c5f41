/*
 * Replays a trace of pulls through a cache of a given size, once for each policy and size: plain
 * LRU, and the order of cache/worth.c, the one that Entrepot's evictor uses. Both evict as the
 * evictor does: from 98 % of the budget down to 95 %, or as far as the blob that comes needs.
 *
 *   eviction TRACE BUDGET...
 *
 * A line of TRACE is "milliseconds number bytes"; numbers of blobs begin at 0. The budgets are
 * bytes. Who asks for more of a blob than is there misses the difference. One line is printed for
 * each policy and budget: its name, the budget, requests, those that were hits, bytes, those that
 * were hits, and the blobs that were evicted.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/footprint.h"
#include "cache/worth.h"

enum policy { POLICY_LRU, POLICY_WORTH, POLICIES };

static const char *const policy_names[POLICIES] = {"lru", "entrepot"};

struct request {
    int64_t at_ms;
    size_t blob;
    uint64_t bytes;
};

struct trace {
    struct request *requests; /* owned */
    size_t count, capacity;
    size_t blobs;
};

struct held {
    uint64_t bytes; /* 0: not in the cache */
    int64_t last_used_ms;
};

struct cache {
    enum policy policy;
    uint64_t budget, used;
    struct held *held;   /* owned; by number */
    struct worth *order; /* owned; scratch */
    size_t blobs, busy;  /* busy: the number of the blob that comes, which must stay */
    uint64_t hits, hit_bytes, evicted;
};

static void append(struct trace *trace, struct request request)
{
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity == 0 ? 65536 : 2 * trace->capacity;
        trace->requests =
            check_realloc(trace->requests, trace->capacity * sizeof(*trace->requests));
    }
    trace->requests[trace->count++] = request;
    if (request.blob >= trace->blobs)
        trace->blobs = request.blob + 1;
}

static void read_trace(const char *path, struct trace *trace)
{
    FILE *file = fopen(path, "re");
    char line[128], *at;

    if (file == NULL) {
        fprintf(stderr, "eviction: cannot open %s\n", path);
        exit(2);
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        struct request request = {.at_ms = strtoll(line, &at, 10)};
        request.blob = strtoull(at, &at, 10);
        request.bytes = strtoull(at, &at, 10);
        append(trace, request);
    }
    fclose(file);
}

static int by_last_use(const void *a, const void *b)
{
    const struct worth *left = a, *right = b;

    return (left->last_used_ms > right->last_used_ms) - (left->last_used_ms < right->last_used_ms);
}

static void evict(struct cache *cache, uint64_t goal, int64_t now_ms)
{
    size_t count = 0;

    for (size_t i = 0; i < cache->blobs; i++)
        if (cache->held[i].bytes > 0 && i != cache->busy)
            cache->order[count++] = (struct worth){.bytes = footprint_of_size(cache->held[i].bytes),
                                                   .last_used_ms = cache->held[i].last_used_ms,
                                                   .number = i};
    if (cache->policy == POLICY_WORTH)
        worth_sort(cache->order, count, now_ms);
    else if (count > 0)
        qsort(cache->order, count, sizeof(*cache->order), by_last_use);
    for (size_t i = 0; i < count && cache->used > goal; i++) {
        cache->used -= cache->order[i].bytes;
        cache->held[cache->order[i].number].bytes = 0;
        cache->evicted++;
    }
}

static void play(struct cache *cache, const struct request *request)
{
    struct held *held = &cache->held[request->blob];
    uint64_t before = held->bytes, bytes = request->bytes;

    held->last_used_ms = request->at_ms;
    cache->hit_bytes += bytes < before ? bytes : before;
    if (bytes <= before) {
        cache->hits++;
        return;
    }
    uint64_t growth = footprint_of_size(bytes) - footprint_of_size(before);
    if (footprint_of_size(bytes) > cache->budget)
        return; /* it falls through */
    cache->busy = request->blob;
    if (cache->used + growth > cache->budget / 100 * 98) {
        uint64_t low = cache->budget / 100 * 95, room = cache->budget - growth;
        evict(cache, room < low ? room : low, request->at_ms);
    }
    if (cache->used + growth > cache->budget)
        return;
    held->bytes = bytes;
    cache->used += growth;
}

static void replay(const struct trace *trace, enum policy policy, uint64_t budget)
{
    struct cache cache = {.policy = policy, .budget = budget, .blobs = trace->blobs};
    uint64_t bytes = 0;

    cache.held = check_calloc(trace->blobs + 1, sizeof(*cache.held));
    cache.order = check_calloc(trace->blobs + 1, sizeof(*cache.order));
    for (size_t i = 0; i < trace->count; i++) {
        bytes += trace->requests[i].bytes;
        play(&cache, &trace->requests[i]);
        CHECK(cache.used <= budget);
    }
    printf("%s %" PRIu64 " %zu %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           policy_names[policy], budget, trace->count, cache.hits, bytes, cache.hit_bytes,
           cache.evicted);
    free(cache.held);
    free(cache.order);
}

int main(int argc, char **argv)
{
    struct trace trace = {0};

    if (argc < 3) {
        fprintf(stderr, "usage: eviction TRACE BUDGET...\n");
        return 2;
    }
    read_trace(argv[1], &trace);
    for (int i = 2; i < argc; i++)
        for (enum policy policy = 0; policy < POLICIES; policy++)
            replay(&trace, policy, strtoull(argv[i], NULL, 10));
    free(trace.requests);
    return 0;
}
