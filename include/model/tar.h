#ifndef MODEL_TAR_H
#define MODEL_TAR_H

/*
 * The tar headers of layout v1 (POSIX ustar and pax, IEEE Std 1003.1 "pax"): owner 0:0, a constant
 * time, and a PAX record only where ustar cannot hold the value: a name of over 100 bytes or with a
 * byte above 126, a size of 8 GiB or more. What is made here can never change. Pure. Thread: any.
 */

#include <stdint.h>

#include "base/buf.h"
#include "model/window.h"

enum {
    TAR_BLOCK = 512,
    TAR_END = 2 * TAR_BLOCK, /* the zeros that end an archive */
    TAR_TIME = 315532800,    /* 1980-01-01T00:00:00Z; not 0, which the TOC cannot say */
};

#define TAR_TIME_TEXT "1980-01-01T00:00:00Z"

enum tar_type { TAR_FILE = '0', TAR_FOLDER = '5' };

/* Bytes of the header, PAX header included. A folder's name ends in "/". */
uint64_t tar_header_length(struct view name, uint64_t size);

/* Puts the header. `size` is up to 2^63 - 1. */
void tar_put_header(struct window *window, struct view name, uint64_t size, enum tar_type type,
                    unsigned mode);

/* Zeros that fill the last block of `size` bytes. */
uint64_t tar_padding(uint64_t size);

#endif
