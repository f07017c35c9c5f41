#ifndef BASE_NUMBERS_H
#define BASE_NUMBERS_H

/*
 * The numbers of a file: its sha256, and for each 4 MiB chunk of it the chunk's sha256 and CRC32.
 * They are all that layers need to know of its bytes, and do not depend on the layer or the name:
 * one table serves every layer that holds the file.
 *
 * Pure; no I/O. A computation belongs to one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

enum { NUMBERS_CHUNK = 4 << 20, NUMBERS_SHA256 = 32 };

/* 36 bytes without holes: a table of them can be stored as it is. */
struct chunk_numbers {
    uint8_t sha256[NUMBERS_SHA256];
    uint8_t crc32[4]; /* little-endian */
};

/* Chunks of a file of `size` bytes; 0 for an empty one. */
uint64_t numbers_count(uint64_t size);

/* A running computation. All-zero is idle; numbers_release is harmless then. */
struct numbers {
    struct hasher file, chunk;
    bool is_known; /* the file's sha256 is: `file` is idle */
    uint32_t crc32;
    uint64_t size, offset;        /* of the file; bytes seen */
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
