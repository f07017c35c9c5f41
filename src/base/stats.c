#include "base/stats.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum { VALUES_MAX = 640, SLOTS_MAX = 16384, LABELS = 4 };

enum type { COUNTER, GAUGE, COUNTER_US, GAUGE_US };

static const struct {
    const char *name;
    const char *words;
} labels[STATS_LABEL_COUNT] = {
#define LABEL(id, name, values) {name, values},
#define STAT(type, id, name, labels, help)
#include "base/stats.def"
#undef LABEL
#undef STAT
};

#define LABELS_OF(a, b, c, d)                                                                      \
    {                                                                                              \
        STATS_LABEL_##a, STATS_LABEL_##b, STATS_LABEL_##c, STATS_LABEL_##d                         \
    }

static const struct row {
    enum type type;
    const char *name;
    enum stats_label labels[LABELS];
    const char *help;
} rows[STAT_COUNT] = {
#define LABEL(id, name, values)
#define STAT(type, id, name, labels, help) {type, name, LABELS_OF labels, help},
#include "base/stats.def"
#undef LABEL
#undef STAT
};

static struct {
    char *words[STATS_LABEL_COUNT][VALUES_MAX]; /* owned */
    unsigned counts[STATS_LABEL_COUNT];         /* values that have a word */
    size_t first[STAT_COUNT + 1];               /* slot of each metric's first value */
    _Atomic uint64_t slots[SLOTS_MAX];
} table;

_Static_assert((int)ERR_COUNT <= (int)VALUES_MAX, "REASON has a value for each error");

/* How many values a label may take: open labels may still be named. */
static unsigned width(enum stats_label label)
{
    if (label == STATS_LABEL_NONE)
        return 1;
    if (label == STATS_LABEL_REASON)
        return ERR_COUNT;
    if (labels[label].words[0] == '-')
        return (unsigned)strtoul(labels[label].words + 1, NULL, 10);
    return table.counts[label];
}

__attribute__((constructor)) static void stats_prepare(void)
{
    for (size_t l = 0; l < STATS_LABEL_COUNT; l++) {
        struct view rest = view_of(labels[l].words);
        if (labels[l].words[0] == '-')
            continue;
        while (rest.length > 0)
            table.words[l][table.counts[l]++] = view_dup(view_cut(&rest, ' '));
    }
    for (size_t s = 0; s < STAT_COUNT; s++) {
        size_t slots = 1;
        for (size_t l = 0; l < LABELS; l++)
            slots *= width(rows[s].labels[l]);
        table.first[s + 1] = table.first[s] + slots;
    }
    CHECK(table.first[STAT_COUNT] <= SLOTS_MAX);
}

static _Atomic uint64_t *slot(enum stats_metric stat, struct stats_at at)
{
    size_t index = 0;

    for (size_t l = 0; l < LABELS; l++) {
        unsigned values = width(rows[stat].labels[l]);
        CHECK(at.value[l] < values);
        index = index * values + at.value[l];
    }
    return &table.slots[table.first[stat] + index];
}

void stats_add(enum stats_metric stat, struct stats_at at, uint64_t amount)
{
    atomic_fetch_add_explicit(slot(stat, at), amount, memory_order_relaxed);
}

void stats_subtract(enum stats_metric stat, struct stats_at at, uint64_t amount)
{
    atomic_fetch_sub_explicit(slot(stat, at), amount, memory_order_relaxed);
}

void stats_set(enum stats_metric stat, struct stats_at at, uint64_t value)
{
    atomic_store_explicit(slot(stat, at), value, memory_order_relaxed);
}

uint64_t stats_get(enum stats_metric stat, struct stats_at at)
{
    return atomic_load_explicit(slot(stat, at), memory_order_relaxed);
}

unsigned stats_status(int status)
{
    unsigned other = table.counts[STATS_LABEL_STATUS] - 1;

    for (unsigned i = 0; i < other; i++)
        if (strtol(table.words[STATS_LABEL_STATUS][i], NULL, 10) == status)
            return i;
    return other;
}

const char *stats_word(enum stats_label label, unsigned value)
{
    CHECK(value < table.counts[label]);
    return table.words[label][value];
}

unsigned stats_name(enum stats_label label, const char *name)
{
    unsigned value = table.counts[label]++;

    CHECK(value < width(label));
    table.words[label][value] = check_strdup(name);
    return value;
}

static const char *word_of(enum stats_label label, unsigned value)
{
    return label == STATS_LABEL_REASON ? err_label((enum err)value) : table.words[label][value];
}

static void render_value(struct buf *out, enum type type, uint64_t value)
{
    if (type == COUNTER_US || type == GAUGE_US)
        buf_printf(out, " %llu.%06llu\n", (unsigned long long)(value / 1000000),
                   (unsigned long long)(value % 1000000));
    else
        buf_printf(out, " %lld\n", (long long)value);
}

static void render_slot(struct buf *out, const struct row *row, size_t index, uint64_t value)
{
    unsigned values[LABELS];
    const char *separator = "{";

    for (size_t l = LABELS; l-- > 0;) {
        values[l] = (unsigned)(index % width(row->labels[l]));
        index /= width(row->labels[l]);
    }
    buf_append_text(out, row->name);
    for (size_t l = 0; l < LABELS && row->labels[l] != STATS_LABEL_NONE; l++) {
        buf_printf(out, "%s%s=\"%s\"", separator, labels[row->labels[l]].name,
                   word_of(row->labels[l], values[l]));
        separator = ",";
    }
    if (separator[0] == ',')
        buf_append_text(out, "}");
    render_value(out, row->type, value);
}

void stats_render(struct buf *out)
{
    for (size_t s = 0; s < STAT_COUNT; s++) {
        const struct row *row = &rows[s];
        bool counter = row->type == COUNTER || row->type == COUNTER_US;
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                   counter ? "counter" : "gauge");
        for (size_t i = table.first[s]; i < table.first[s + 1]; i++) {
            uint64_t value = atomic_load_explicit(&table.slots[i], memory_order_relaxed);
            if (value != 0 || row->labels[0] == STATS_LABEL_NONE)
                render_slot(out, row, i - table.first[s], value);
        }
    }
}

void stats_reference(struct buf *out)
{
    buf_append_text(out, "| metric | labels | meaning |\n|---|---|---|\n");
    for (size_t s = 0; s < STAT_COUNT; s++) {
        buf_printf(out, "| `%s` | ", rows[s].name);
        for (size_t l = 0; l < LABELS && rows[s].labels[l] != STATS_LABEL_NONE; l++)
            buf_printf(out, "%s%s", l == 0 ? "" : ", ", labels[rows[s].labels[l]].name);
        buf_printf(out, " | %s |\n", rows[s].help);
    }
}
