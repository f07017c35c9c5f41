#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

/*
 * Layout v1: how files become one layer, a stored-block eStargz blob (models.md 1, 3, 6). It can
 * never change: digests that images name depend on every byte. Another layout would be a v2 beside
 * it. tests/oracle/layout_v1.py builds the same by other means.
 *
 * A layer is a sequence of gzip members that hold one tar archive:
 *
 *   [headers] [chunk] [chunk] ... [padding, headers] [chunk] ... [padding, end] [TOC] [footer]
 *
 * A chunk is 4 MiB of one file, and what its member holds of it depends on nothing else. All other
 * members, the gaps, are framing; what is in them and where everything stands follows from names
 * and sizes. So nothing is stored: any range of the layer is computed as pieces, each framing bytes
 * or a range of a file. Memory: under 200 bytes a file and its name, however large it is.
 *
 *   DRAFT --layout_seal, once the numbers of all files are set--> SEALED
 *
 * In a DRAFT every length and offset is right; bytes that depend on numbers which are not set (the
 * CRC32 behind a chunk, digests in the TOC) and the CRC32 of the TOC's member are zeros. Only what
 * is SEALED may be served. SEALED, it never changes, and any thread may use it.
 *
 * Pure: no I/O, no clock. A DRAFT belongs to one thread at a time; layer_hash.h has an exception.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/numbers.h"
#include "model/tree.h"

struct layout;

/* containers/storage refuses an image with a longer TOC, and other readers parse it in memory. It
 * is no limit of the layout: who builds images decides, before sealing. */
#define LAYOUT_TOC_MAX (UINT64_C(150) << 20)

/*
 * Lays out `files`, given in any order; from here on a file is its index in that array. Names are
 * copied. False, with a sentence in `problem`, when an image cannot hold them (see tree.h) or the
 * layer would have more than 2^63 - 1 bytes. The caller frees the layout.
 */
bool layout_new(const struct tree_file *files, size_t count, struct layout **ret_layout,
                struct buf *problem);
void layout_free(struct layout *layout);

/* What is known from names and sizes alone. Bytes. */
struct layout_sizes {
    uint64_t layer;        /* of the blob */
    uint64_t uncompressed; /* of the tar archive with the TOC: the annotation's uncompressed-size */
    uint64_t toc_offset;   /* where the TOC's member begins */
    uint64_t toc_length;   /* of the TOC's JSON; see LAYOUT_TOC_MAX */
};
struct layout_sizes layout_sizes(const struct layout *layout);

/* Sets the numbers of a file. `chunks`, numbers_count(size) of them, is borrowed for the layout's
 * life; they may be filled in later, until the layout is sealed, as layer_hash.h says. Files of 0
 * bytes need none. */
void layout_set_chunks(struct layout *layout, size_t file, const struct chunk_numbers *chunks);
void layout_set_sha256(struct layout *layout, size_t file, const uint8_t sha256[NUMBERS_SHA256]);

/* Seals. The numbers of each file must be set. Costs a hash over the TOC: 212 bytes a chunk. */
void layout_seal(struct layout *layout);
bool layout_is_sealed(const struct layout *layout);

/* The sha256 of the TOC's JSON: the annotation toc.digest. SEALED only. */
void layout_toc_digest(const struct layout *layout, struct digest *ret_digest);

struct layout_piece {
    struct view bytes;   /* framing, in the caller's scratch; length 0: a range of a file */
    size_t file;         /* which */
    uint64_t start, end; /* of it */
};

/*
 * Gives what stands in the layer from `*offset` on, up to `end` at most, and moves `*offset` behind
 * it: as much framing as there is in a row and fits into `scratch`, or a file's bytes up to the end
 * of their stored block (64 KiB). False when `*offset` is `end`. `end` may be up to the layer's
 * size; `scratch_size` 1 or more: 4 KiB is plenty.
 */
bool layout_next(const struct layout *layout, uint64_t *offset, uint64_t end, uint8_t *scratch,
                 size_t scratch_size, struct layout_piece *ret_piece);

/* Same for the uncompressed archive, whose digest is the diffID; a file is one piece. */
bool layout_next_uncompressed(const struct layout *layout, uint64_t *offset, uint64_t end,
                              uint8_t *scratch, size_t scratch_size,
                              struct layout_piece *ret_piece);

/* How many bytes of a file stand in the layer before `offset`, which may be the layer's size. */
uint64_t layout_file_before(const struct layout *layout, size_t file, uint64_t offset);

/* Writes bytes [start, end) of the TOC's JSON to `out`. */
void layout_read_toc(const struct layout *layout, uint64_t start, uint64_t end, uint8_t *out);

#endif
