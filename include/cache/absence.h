#ifndef CACHE_ABSENCE_H
#define CACHE_ABSENCE_H

/*
 * What upstreams said they do not have, or do not let us have, remembered for a moment, so that a
 * hundred clients asking for the same wrong name cost the upstream one request (clients.md M9). A
 * fixed number of slots; a newcomer overwrites whoever sits in its slot. What a hub says of a file
 * is kept beside, for whoever is told of the error later. Thread: any.
 */

#include <pthread.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cache/flight.h"

enum { ABSENCE_SLOTS = 4096 };

struct absences {
    pthread_mutex_t mutex;
    struct absence {
        unsigned char key[FLIGHT_KEY_SIZE];
        uint64_t until_ms; /* monotonic; 0: empty */
        enum err err;
        char *words; /* owned; or NULL */
    } slots[ABSENCE_SLOTS];
};

void absences_init(struct absences *absences);
void absences_release(struct absences *absences);

/* Remembers `err` under `key` for that long. */
void absence_note(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE], enum err err,
                  uint64_t for_ms);

/* The same, with what the upstream has said of it, for a person; no more than is told of one error,
 * so it may be noted for no time at all, for its words alone. */
void absence_note_words(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE],
                        enum err err, uint64_t for_ms, struct view words);

/* Appends what was said when `err` was noted, if nothing has been noted under `key` since; the time
 * does not count. */
void absence_words(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE],
                   enum err err, struct buf *out);

/* What is remembered; OK when nothing is. */
enum err absence_find(struct absences *absences, const unsigned char key[FLIGHT_KEY_SIZE]);

#endif
