#ifndef MODEL_ASK_H
#define MODEL_ASK_H

/*
 * What the importer looks into for one tag, as importer.h says, from inside. For the importer's own
 * files only. Thread: the importer's loop.
 */

#include "model/hub_get.h"
#include "model/import_retry.h"
#include "model/importer.h"
#include "model/record.h"
#include "wire/hub_name.h"

struct ask {
    struct flight flight;
    struct list node;    /* in importer->asks */
    struct list waiting; /* in import->asks */
    struct importer *importer;
    struct upstream *upstream;
    char repository[REFERENCE_REPOSITORY_SIZE];
    char tag[REFERENCE_TAG_SIZE];
    bool is_wanted; /* by a person: a claim is not enough */
    bool is_noted;  /* in the index, as something to go on with after a restart: a job */
    unsigned char key[FLIGHT_KEY_SIZE];
    struct hub_name name;
    char revision[GRAMMAR_TAG_SIZE]; /* "": it did not come so far */
    char *filter;                    /* owned; NULL until there is a revision */
    bool imported;                   /* and that is there */
    struct hub_get get;
    struct import_retry retry;
    uv_timer_t timer; /* it is PAUSED while that is active */
    struct flight_answer answer;
    bool answered;         /* with what was there before; it has no callers any more */
    struct import *import; /* borrowed; that it waits for, or NULL */
    bool is_outdated;      /* the hub has said since that the tag stands for another commit */
    struct import_report report;
    uint64_t began_us;
    bool is_over;    /* `report` is how it ended, */
    bool was_import; /* not only a look at what was there already; */
    bool is_silent;  /* of which there is no report, since nothing was asked */
    struct mail flushed;
};

/* Goes on with what was under way when the last process ended, a person's as importer_want() does.
 * Thread: any. */
void ask_resume(struct importer *importer, struct upstream *upstream,
                const struct import_record *record);

/* How it stands, or stood when its import ended. */
void ask_tell(struct ask *ask, struct import_report *report);

/* Ends it with ERR_STOPPING, unless something else is about to end it. */
void ask_stop(struct ask *ask);

#endif
