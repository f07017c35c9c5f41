#include "cache/worth.h"

#include <stdlib.h>

/* How much is lost by keeping it on. */
static double loss(const struct worth *worth, int64_t now_ms)
{
    double age = now_ms > worth->last_used_ms ? (double)now_ms - (double)worth->last_used_ms : 0;

    return (age + 1) * (double)worth->bytes / ((double)worth->bytes + (double)WORTH_REQUEST);
}

static int by_loss(const void *a, const void *b)
{
    const struct worth *left = a, *right = b;

    return (left->loss < right->loss) - (left->loss > right->loss);
}

void worth_sort(struct worth *list, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++)
        list[i].loss = loss(&list[i], now_ms);
    if (count > 0)
        qsort(list, count, sizeof(*list), by_loss);
}
