#include "cache/absence.h"

#include <stdlib.h>
#include <string.h>

#include "io/loop.h"

void absences_init(struct absences *absences)
{
    memset(absences->slots, 0, sizeof(absences->slots));
    pthread_mutex_init(&absences->mutex, NULL);
}

void absences_release(struct absences *absences)
{
    for (size_t i = 0; i < ABSENCE_SLOTS; i++)
        free(absences->slots[i].words);
    pthread_mutex_destroy(&absences->mutex);
}

static struct absence *slot_of(struct absences *absences, const unsigned char *key)
{
    return &absences->slots[((size_t)key[1] << 8 | key[2]) % ABSENCE_SLOTS];
}

void absence_note_words(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE],
                        enum err err, uint64_t for_ms, struct view words)
{
    struct absence *slot = slot_of(absences, key);

    pthread_mutex_lock(&absences->mutex);
    memcpy(slot->key, key, FLIGHT_KEY_SIZE);
    slot->until_ms = clock_monotonic_us() / 1000 + for_ms;
    slot->err = err;
    free(slot->words);
    slot->words = words.length == 0 ? NULL : view_dup(words);
    pthread_mutex_unlock(&absences->mutex);
}

void absence_note(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE], enum err err,
                  uint64_t for_ms)
{
    absence_note_words(absences, key, err, for_ms, VIEW(""));
}

void absence_words(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE],
                   enum err err, struct buf *out)
{
    struct absence *slot = slot_of(absences, key);

    pthread_mutex_lock(&absences->mutex);
    if (slot->words != NULL && slot->err == err && memcmp(slot->key, key, FLIGHT_KEY_SIZE) == 0)
        buf_append_text(out, slot->words);
    pthread_mutex_unlock(&absences->mutex);
}

enum err absence_find(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE])
{
    struct absence *slot = slot_of(absences, key);

    pthread_mutex_lock(&absences->mutex);
    bool found = slot->until_ms > clock_monotonic_us() / 1000 &&
                 memcmp(slot->key, key, FLIGHT_KEY_SIZE) == 0;
    enum err err = found ? slot->err : OK;
    pthread_mutex_unlock(&absences->mutex);
    return err;
}
