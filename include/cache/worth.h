#ifndef CACHE_WORTH_H
#define CACHE_WORTH_H

/*
 * Which blobs are least worth keeping, by what they take on the disk and when they were last used.
 *
 * To lose a blob costs a request upstream, as much as WORTH_REQUEST bytes, and its bytes; to keep
 * it costs its bytes for as long as nobody asks for it, and the longer that was, the longer it will
 * be. So the first to go is the one with the most of
 *
 *     age * bytes / (bytes + WORTH_REQUEST)
 *
 * Large blobs compete by recency, as they would under plain LRU, since for them the fraction is
 * near 1; a small one outlives them by the factor 1 + WORTH_REQUEST / bytes: one of 4 MiB twice, a
 * manifest some hundred times. That costs next to no room, and saves round trips, and all of an
 * image when the upstream is down.
 *
 * It is LNC-R with K = 1 (Scheuermann, Shim, Vingralek: "WATCHMAN: A Data Warehouse Intelligent
 * Cache Manager", VLDB 1996), which ranks by rate * cost / size with the rate taken from the age;
 * with a cost of 1 it is Size-adjusted LRU (Aggarwal, Wolf, Yu: "Caching on the World Wide Web",
 * IEEE TKDE 11(1), 1999). The cost, a fixed part and one for each byte, is that of GreedyDual-Size
 * with packets (Cao, Irani: "Cost-Aware WWW Proxy Caching Algorithms", USITS 1997). Nothing has to
 * be remembered for it but the last use. bench/eviction shows its hit ratios beside plain LRU's.
 *
 * Pure.
 */

#include <stddef.h>
#include <stdint.h>

/* What a round trip with its authorisation is worth: 40 ms at 100 MB/s. */
#define WORTH_REQUEST (UINT64_C(4) << 20)

struct worth {
    uint64_t bytes;       /* on the disk */
    int64_t last_used_ms; /* since the epoch */
    size_t number;        /* the caller's */
    double loss;          /* set by worth_sort() */
};

/* Sorts those that are least worth keeping to the front. What was used in the future, by a clock
 * that was set back since, counts as used now. */
void worth_sort(struct worth *list, size_t count, int64_t now_ms);

#endif
