#ifndef CACHE_SCRUBBER_H
#define CACHE_SCRUBBER_H

/*
 * Scrubs a running mirror's cache: each complete blob every `scrub_interval`, the longest
 * unverified first, all of them when somebody asks for it, and at once what a reader stumbled over.
 *
 * Two threads, which sleep when there is nothing to do. "scrub" decides, and takes out what is
 * damaged. "scrub-read" reads and hashes, `scrub_rate` bytes a second at most, scheduled only when
 * nobody else wants the processor, and the disk too where the I/O scheduler knows idleness: it
 * holds no lock that clients wait for (see rehash_run()). A suspect is read by "scrub" itself, at
 * full speed. A pass that was given up is not followed by another for a day, unless somebody asks.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/scrub.h"
#include "cache/store.h"

enum { SCRUB_SUSPECTS_MAX = 64 };

struct scrubber {
    struct store *store; /* borrowed */
    pthread_t thread, reader;
    int bell, reader_bell; /* owned; eventfds: something is there for the thread */
    _Atomic bool halted;   /* no more of it */
    _Atomic bool asked;    /* a pass over everything is asked for, and has not begun */
    bool is_full;          /* the running pass is such a one; scrub's own */
    uint64_t look_ms;      /* when what is due is looked for again; scrub's own */

    /* the reader's work */
    struct scrub_check check;
    _Atomic int step;       /* whose `check` is: see scrubber.c */
    uint64_t due_us;        /* when it may read on; the reader's own */
    _Atomic uint64_t bytes; /* read in the running pass */

    pthread_mutex_t mutex; /* guards what follows */
    struct digest suspects[SCRUB_SUSPECTS_MAX];
    unsigned suspect_count;
    struct scrub_report report; /* of the last pass over everything that was asked for */
    uint64_t began_us;          /* of that pass */
};

/* Starts the threads, and makes it the store's. Thread: main. */
void scrubber_start(struct scrubber *scrubber, struct store *store);

/* Ends whatever runs, soon; does not wait. Thread: any. */
void scrubber_halt(struct scrubber *scrubber);

/* The same, and waits until the threads have ended. Before the loops of those who wait for blobs
 * are released. Thread: main. */
void scrubber_stop(struct scrubber *scrubber);

/* After that, when no loop runs any more. Thread: main. */
void scrubber_release(struct scrubber *scrubber);

/* Asks for a pass over everything, or joins the one that runs. Thread: any. */
void scrubber_ask(struct scrubber *scrubber);

/* How the last pass that was asked for stands. Thread: any. */
void scrubber_report(struct scrubber *scrubber, struct scrub_report *ret_report);

/* A reader could not get the bytes of that complete blob: has it checked at once. Forgotten when
 * too many are waiting, or when nobody scrubs. Never sleeps. Thread: any. */
void scrubber_suspect(struct store *store, const struct digest *digest);

#endif
