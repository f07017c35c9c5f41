#ifndef BASE_NUMBERS_H
#define BASE_NUMBERS_H

/*
 * The numbers of a file: its sha256, and for each 4 MiB chunk of it the chunk's sha256 and CRC32.
 * They are all that layers need to know of its bytes, and do not depend on the layer or the name:
 * one table serves every layer that holds the file.
 *
 * Bytes are verified cell by cell. A cell is a chunk; but who reads a layer lazily wants its first
 * and last some 50 KB, of each layer, for one file of one of them, and to fetch two chunks for that
 * would be 8 MiB a layer. So a large file's first chunk, and the one that its last 64 KiB begin in,
 * are two cells each, whose sha256 are its edge numbers.
 *
 * Pure; no I/O. A computation belongs to one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/extents.h"

enum {
    NUMBERS_CHUNK = 4 << 20,
    NUMBERS_SHA256 = 32,
    NUMBERS_EDGE = 64 << 10, /* bytes of a first cell; a last one has up to a block more */
    NUMBERS_EDGES = 4,
};

/* 36 bytes without holes: a table of them can be stored as it is. */
struct chunk_numbers {
    uint8_t sha256[NUMBERS_SHA256];
    uint8_t crc32[4]; /* little-endian */
};

/* The sha256 of the cells before and behind either cut, in the file's order; of one that there is
 * not, since a chunk ends there anyhow, zeros. 128 bytes without holes. */
struct edge_numbers {
    uint8_t sha256[NUMBERS_EDGES][NUMBERS_SHA256];
};

/* Chunks of a file of `size` bytes; 0 for an empty one. */
uint64_t numbers_count(uint64_t size);

/* Whether a file of that size has edges: two chunks, at least. */
bool numbers_has_edges(uint64_t size);

/* The cells of a file, which are numbered from 0. A plain value. */
struct cells {
    uint64_t size;
    uint64_t cuts[2]; /* where a cell ends and no chunk does; 0: there is none */
};

/* Those of a file whose edge numbers are known, or are not. `has_edges` is false of a file that is
 * too small for it. */
struct cells cells_of(uint64_t size, bool has_edges);
uint64_t cells_count(const struct cells *cells);

/* The cell that has the byte at `offset`, which the file has; and its bytes. */
uint64_t cells_at(const struct cells *cells, uint64_t offset);
struct extent cells_range(const struct cells *cells, uint64_t number);

/* Which of the edge numbers is the cell's, from 0; -1: none, it is a chunk. */
int cells_edge(const struct cells *cells, uint64_t number);

/* A running computation. All-zero is idle; numbers_release is harmless then. */
struct numbers {
    struct hasher file, chunk, cell;
    bool is_known; /* the file's sha256 is: `file` is idle */
    uint32_t crc32;
    uint64_t size, offset; /* of the file; bytes seen */
    struct cells cells;
    struct edge_numbers edges;    /* if it has edges; when all bytes are seen */
    struct chunk_numbers *chunks; /* borrowed */
};

/* Starts on a file of `size` bytes. `chunks` has room for numbers_count(size). */
void numbers_start(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks);

/* Same, of a file whose sha256 is known: it is not computed again, and there is no
 * numbers_finish. */
void numbers_start_known(struct numbers *numbers, uint64_t size, struct chunk_numbers *chunks);

/* Takes the next bytes of the file, in order. Writes the numbers of a chunk as soon as its last
 * byte is seen. More bytes than the file has are a bug. */
void numbers_update(struct numbers *numbers, const void *data, size_t length);

/* Gives the file's sha256. All bytes must have been seen. It can then only be released. */
void numbers_finish(struct numbers *numbers, uint8_t ret_sha256[NUMBERS_SHA256]);
void numbers_release(struct numbers *numbers);

#endif
