#include "cache/portion.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t portion_size(const struct config *config, uint64_t missing, uint64_t rate, uint64_t grid)
{
    uint64_t most = least(least(rate, missing / config->blob_connections), PORTION_MAX);

    if (most < PORTION_MIN)
        most = PORTION_MIN;
    return (most + grid - 1) / grid * grid;
}

uint64_t portion_count(const struct config *config, bool is_parked, uint64_t crowd, uint64_t cell)
{
    uint64_t limit = config->blob_connections + (is_parked ? PORTION_PARKED_EXTRA : 0);

    if (cell > 0)
        limit = least(limit, config->checkpoint / 2 < cell ? 1 : config->checkpoint / 2 / cell);
    return least(limit, crowd);
}
