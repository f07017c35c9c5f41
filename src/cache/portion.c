#include "cache/portion.h"

uint64_t portion_size(const struct config *config, uint64_t missing, uint64_t rate, uint64_t grid)
{
    uint64_t share = missing / config->blob_connections;
    uint64_t most = rate < share ? rate : share;

    if (most > PORTION_MAX)
        most = PORTION_MAX;
    if (most < PORTION_MIN)
        most = PORTION_MIN;
    return (most + grid - 1) / grid * grid;
}

uint64_t portion_count(const struct config *config, bool is_parked, uint64_t crowd)
{
    uint64_t limit = config->blob_connections + (is_parked ? PORTION_PARKED_EXTRA : 0);

    return crowd < limit ? crowd : limit;
}
