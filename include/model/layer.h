#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

/*
 * An opened layer: its record and its layout, sealed with the numbers of its files, so that any
 * range of it can be computed. It holds no file: what reads it gets the blobs.
 *
 * Made once and constant from then on, but for touched_s: any thread may read it, as long as it has
 * a reference (model/layers.h). Memory: about 400 bytes a file, two times its name, and 36 bytes
 * for each 4 MiB of it.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/list.h"
#include "cache/chunk_record.h"
#include "cache/index.h"
#include "model/layout.h"
#include "model/record.h"

struct layer {
    struct digest digest;
    struct layer_record record;   /* owned */
    struct chunk_record *numbers; /* owned; of each file of the record */
    struct layout *layout;        /* owned; its files are the record's */
    uint64_t memory;              /* bytes, about */
    _Atomic uint32_t *touched_s;  /* owned; when each file's use was last noted in the index, for
                                   * those who read it: monotonic seconds, 0: never */

    /* the table's (model/layers.h) */
    struct list node;    /* in its bucket; idle when it has left the table */
    struct list unused;  /* in the list of those that nobody refers to */
    unsigned references; /* guarded by the table's mutex, as the two above */
};

/*
 * Makes the layer of that digest from what the index notes. ERR_BLOB_UNKNOWN: no layer of that
 * digest is known. ERR_LAYER_INCOMPLETE: the numbers of a file are missing. ERR_DAMAGED: what is
 * noted does not agree with itself. The log says what; importer_mend() has it noted anew. Sleeps,
 * and hashes the TOC, 212 bytes a chunk: pool only.
 */
enum err layer_open(struct index *index, const struct digest *digest,
                    struct layer **ret_layer) MUST_CHECK;

/* NULL is harmless. */
void layer_free(struct layer *layer);

/* The digest of a file's bytes: its blob's. */
void layer_file_digest(const struct layer *layer, size_t file, struct digest *ret_digest);

#endif
