#ifndef MODEL_IMPORT_PARTS_H
#define MODEL_IMPORT_PARTS_H

/*
 * An import from inside. For `import` and its parts only: import_files, import_layers and
 * import_write. Thread: thread->loop.
 */

#include "model/hub_get.h"
#include "model/import.h"
#include "model/import_retry.h"
#include "model/layer_pass.h"
#include "model/record.h"
#include "model/tree.h"

enum {
    IMPORT_SMALL_AT_ONCE = 8,
    IMPORT_LAYERS_AT_ONCE = 3,
    /* A file that is not in LFS is read into memory; the hub itself takes none of over 10 MiB. */
    IMPORT_SMALL_MAX = 64 << 20,
};

/* Whether it has one of the `max_imports` places. */
enum import_turn { IMPORT_QUEUED, IMPORT_RUNS, IMPORT_PAUSED };

enum import_state { IMPORT_LISTING, IMPORT_SMALL, IMPORT_LAYERS, IMPORT_WRITING };

/* What is known of a file besides what the hub lists. */
struct import_file {
    const struct hub_file *listed; /* borrowed */
    struct digest sha256;
    bool has_sha256;
    bool is_copy; /* git calls another one the same, and that is fetched for both */
    struct import_file *next_copy; /* borrowed; the next of those, or NULL */
};

/* A slot in which small files are fetched, and then stored. */
struct import_small {
    struct hub_get get;
    struct import *import;
    size_t file;
    struct blob *blob; /* counted; while it is being stored */
    struct waiter waiter;
    bool is_busy;
};

enum import_layer_state { IMPORT_LAYER_WAITS, IMPORT_LAYER_RUNS, IMPORT_LAYER_DONE };

struct import_layer {
    enum import_layer_state state;
    struct import *import;
    const size_t *members; /* borrowed from the split; indexes of files */
    size_t count;
    struct pass_file *files; /* owned while it RUNS; `count` of them */
    struct layer_pass pass;
    uint64_t bytes;            /* of its files */
    _Atomic uint64_t read;     /* of them, while it RUNS; */
    uint64_t furthest;         /* the most of them that a pass has read */
    struct image_layer result; /* DONE; */
    bool is_claimed;           /* as in its record */
};

struct import {
    struct list node; /* in thread->imports */
    struct list asks;
    struct import_thread *thread;
    struct upstream *upstream;
    char repository[HUB_REPOSITORY_SIZE]; /* the hub's */
    struct hub_info info;
    char *filter; /* owned */
    bool prove;   /* as in import_start() */
    void (*on_end)(struct import *import, enum err err, struct view sentence);
    enum import_turn turn;
    enum import_state state; /* how far it has come, also while it has no place */
    bool stopped;

    struct hub_get page; /* LISTING */
    char *next_page;     /* owned; its path, or NULL before the first has come */
    unsigned pages;
    struct hub_files listed;
    struct import_file *files; /* owned; from SMALL on */
    size_t count;
    size_t next_small; /* the first of those files that nobody has begun to fetch */
    uint64_t bytes;    /* of all files */
    struct import_small small[IMPORT_SMALL_AT_ONCE];
    struct tree_split split; /* from LAYERS on */
    struct import_layer *layers;
    struct digest index_digest; /* WRITING */
    uint64_t index_size;
    struct mail flushed;

    enum err err; /* what failed in this try, */
    struct buf sentence;
    uint64_t retry_after;      /* seconds */
    struct import_retry retry; /* anew with each small file, page and layer, and what a layer's pass
                                * reads beyond those before it */
    uv_timer_t timer;          /* the pause's end; or a moment, and it RUNS */
};

/* ---- what the parts tell the import ---- */

/* Something of this state has ended: goes on, or waits for what else runs of it. */
void import_step(struct import *import);

/* A part has failed: the first one's words count. Then import_step(). */
void import_note_error(struct import *import, enum err err, struct view sentence,
                       uint64_t retry_after);

/* ---- import_files: the small files ---- */

/* Takes the list over; false when it cannot be an image (import_note_error has been called). */
bool import_files_take(struct import *import);

/* Fetches what is not known; how many slots are busy with that. */
size_t import_files_run(struct import *import);

void import_files_stop(struct import *import);

/* ---- import_layers: the passes ---- */

/* Splits the files; false when it cannot be an image. */
bool import_layers_take(struct import *import);

/* How many are done, and how many bytes of all layers are read. */
size_t import_layers_done(const struct import *import, uint64_t *ret_bytes);

/* Starts what may run; how many run. `ret_left`: how many are not done. */
size_t import_layers_run(struct import *import, size_t *ret_left);

void import_layers_stop(struct import *import);
void import_layers_release(struct import *import);

/* ---- import_write ---- */

/* Gives the index what was found, and sets index_digest and index_size. */
void import_write(struct import *import);

#endif
