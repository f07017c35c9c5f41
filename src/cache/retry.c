#include "cache/retry.h"

enum {
    PAUSE_MAX_MS = 10000,
    RETRY_AFTER_MAX_S = 5,
    UNREACHABLE_TRIES = 2,
    LIMITED_TRIES = 2,
    DOUBLINGS_MAX = 16,
};

void retry_note(struct retry *retry, bool progressed)
{
    retry->failures = progressed ? 0 : retry->failures + 1;
}

bool retry_is_due(const struct retry *retry, const struct config *config, enum err err, bool fresh,
                  uint64_t retry_after_s)
{
    uint64_t limit = config->fill_tries;

    if (err == ERR_UPSTREAM_UNREACHABLE && fresh && limit > UNREACHABLE_TRIES)
        limit = UNREACHABLE_TRIES;
    if (err == ERR_UPSTREAM_LIMITED && limit > LIMITED_TRIES)
        limit = LIMITED_TRIES;
    if (retry_after_s > RETRY_AFTER_MAX_S)
        return false;
    return (err_is_retryable(err) || err == ERR_UPSTREAM_LIMITED) && retry->failures < limit;
}

uint64_t retry_pause_ms(const struct retry *retry, const struct config *config,
                        uint64_t retry_after_s)
{
    unsigned doublings = retry->failures > 0 ? retry->failures - 1 : 0;
    uint64_t pause = config->retry_delay << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);

    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    return retry_after_s * 1000 > pause ? retry_after_s * 1000 : pause;
}
