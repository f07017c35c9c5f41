#include "model/import_retry.h"

enum {
    PAUSE_MS = 1000,
    PAUSE_MAX_MS = 60 * 1000,
    DOUBLINGS_MAX = 6,
    TOLD_MAX_MS = 15 * 60 * 1000,
    JOB_TRIES = 8,
    JOB_WAITING_MS = 4 * 60 * 60 * 1000,
    CLIENT_TRIES = 3,
    CLIENT_WAITING_MS = TOLD_MAX_MS,
};

/* Whether it may be better in a while. A claim that was wrong is dropped by then. */
static bool is_passing(enum err err)
{
    return err_is_retryable(err) || err == ERR_UPSTREAM_LIMITED || err == ERR_UPSTREAM_RESTING ||
           err == ERR_BUSY || err == ERR_NO_ROOM || err == ERR_DAMAGED || err == ERR_CHUNK_MISMATCH;
}

/* Whether the hub is there, and has put us off. */
static bool is_put_off(enum err err, uint64_t told_s)
{
    return err == ERR_UPSTREAM_LIMITED || (err == ERR_UPSTREAM_FAILED && told_s > 0);
}

static unsigned tries_for_client(enum err err)
{
    if (err == ERR_UPSTREAM_TIMEOUT || err == ERR_UPSTREAM_RESTING)
        return 0;
    return err == ERR_UPSTREAM_UNREACHABLE ? 1 : CLIENT_TRIES;
}

/* It doubles; or it is what the hub has told, when that is more. */
static uint64_t pause_of(unsigned before, uint64_t told_s)
{
    uint64_t pause = (uint64_t)PAUSE_MS << (before < DOUBLINGS_MAX ? before : DOUBLINGS_MAX);

    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    if (told_s > TOLD_MAX_MS / 1000)
        told_s = TOLD_MAX_MS / 1000;
    return told_s * 1000 > pause ? told_s * 1000 : pause;
}

bool import_retry_next(struct import_retry *retry, bool is_job, enum err err, uint64_t told_s,
                       uint64_t *ret_pause_ms)
{
    uint64_t most_ms = is_job ? JOB_WAITING_MS : CLIENT_WAITING_MS;
    uint64_t pause = pause_of(retry->tries, told_s);

    if (!is_passing(err))
        return false;
    if (is_put_off(err, told_s) || (is_job && err == ERR_UPSTREAM_RESTING)) {
        pause = pause_of(retry->waits, told_s);
        if (retry->waiting_ms + pause > most_ms)
            return false;
        retry->waits++;
        retry->waiting_ms += pause;
    } else {
        if (retry->tries >= (is_job ? JOB_TRIES : tries_for_client(err)))
            return false;
        retry->tries++;
    }
    *ret_pause_ms = pause;
    return true;
}
