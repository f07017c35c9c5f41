#include "cache/disk_rest.h"

/* Whether it is this caller's turn: the clock has reached `*at_ms`, and nobody else has moved it.
 */
static bool take_turn(_Atomic uint64_t *at_ms, uint64_t now_ms, uint64_t pause_ms)
{
    uint64_t at = *at_ms;

    return now_ms >= at && atomic_compare_exchange_strong(at_ms, &at, now_ms + pause_ms);
}

enum err disk_rest_ask(struct disk_rest *rest, uint64_t now_ms)
{
    enum err err = (enum err)atomic_load_explicit(&rest->err, memory_order_relaxed);

    if (err == OK || take_turn(&rest->until_ms, now_ms, DISK_REST_MS))
        return OK;
    return err;
}

void disk_rest_note(struct disk_rest *rest, enum err err, uint64_t now_ms)
{
    if (err != OK) {
        rest->until_ms = now_ms + DISK_REST_MS;
        rest->err = (int)err;
    } else if (atomic_load_explicit(&rest->err, memory_order_relaxed) != OK) {
        rest->press_not_before_ms = 0;
        rest->err = OK;
    }
}

bool disk_rest_may_press(struct disk_rest *rest, uint64_t now_ms)
{
    return take_turn(&rest->press_not_before_ms, now_ms, DISK_PRESS_PAUSE_MS);
}

void disk_rest_allow_press(struct disk_rest *rest)
{
    rest->press_not_before_ms = 0;
}
