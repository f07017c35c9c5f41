#ifndef BASE_STATS_H
#define BASE_STATS_H

/*
 * One table of counters and gauges (stats.def), kept in atomic slots, rendered as Prometheus text.
 * Adding costs one relaxed atomic addition. Thread: any, all functions but stats_name().
 */

#include <stdint.h>

#include "base/buf.h"

enum stats_label {
#define LABEL(id, name, values) STATS_LABEL_##id,
#define STAT(type, id, name, labels, help)
#include "base/stats.def"
#undef LABEL
#undef STAT
    STATS_LABEL_COUNT
};

enum stats_metric {
#define LABEL(id, name, values)
#define STAT(type, id, name, labels, help) STAT_##id,
#include "base/stats.def"
#undef LABEL
#undef STAT
    STAT_COUNT
};

/* Values of the labels, in the order of their words in stats.def. */
enum stats_method { STATS_GET, STATS_HEAD, STATS_METHOD_OTHER };
enum stats_kind {
    STATS_PING,
    STATS_MANIFEST,
    STATS_BLOB,
    STATS_TAGS,
    STATS_REFERRERS,
    STATS_ADMIN,
    STATS_KIND_OTHER,
};
enum stats_outcome {
    STATS_NONE,
    STATS_HIT,
    STATS_MISS,
    STATS_COLLAPSED,
    STATS_STALE,
};

/* Where in a metric: a value for each of its labels, in their order. */
struct stats_at {
    unsigned value[4];
};
#define AT(...) ((struct stats_at){{__VA_ARGS__}})
#define AT_ALL  ((struct stats_at){{0, 0, 0, 0}})

void stats_add(enum stats_metric stat, struct stats_at at, uint64_t amount);
void stats_subtract(enum stats_metric stat, struct stats_at at, uint64_t amount);
void stats_set(enum stats_metric stat, struct stats_at at, uint64_t value);
uint64_t stats_get(enum stats_metric stat, struct stats_at at);

/* The STATUS label's value for an HTTP status. */
unsigned stats_status(int status);

/* The word of a fixed label's value: stats_word(STATS_LABEL_OUTCOME, STATS_HIT) is "hit". Static.
 */
const char *stats_word(enum stats_label label, unsigned value);

/* Names the next value of an open label (UPSTREAM, LOOP) and returns it. At start only, before
 * other threads run. REASON's values are those of enum err, without being named. */
unsigned stats_name(enum stats_label label, const char *name);

/* Appends all metrics in Prometheus text format 0.0.4. Zeros of labelled metrics are left out. */
void stats_render(struct buf *out);

/* Appends the metrics as a Markdown table, for README. */
void stats_reference(struct buf *out);

#endif
