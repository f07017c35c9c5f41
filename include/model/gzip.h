#ifndef MODEL_GZIP_H
#define MODEL_GZIP_H

/*
 * gzip members that hold their payload as it is, in stored blocks (RFC 1952; RFC 1951 3.2.4), and
 * the footer of an eStargz blob. Part of layout v1: what is made here can never change.
 *
 *   header 10 | block header 5, payload up to 65535 | ... | CRC32 4, ISIZE 4
 *
 * Every block but the last is full, so each offset is arithmetic. Pure. Thread: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GZIP_HEADER = 10,
    GZIP_BLOCK = 65535, /* payload of a full stored block */
    GZIP_BLOCK_HEADER = 5,
    GZIP_TRAILER = 8,
    GZIP_FOOTER = 51,
};

/* Bytes of the member that holds `payload` bytes. */
uint64_t gzip_member_length(uint64_t payload);

/* What stands at one offset of a member: a run of its payload, or framing. */
struct gzip_spot {
    uint64_t start, end;   /* of the payload, to the end of its block; start == end: framing */
    uint8_t framing[10];   /* from the offset to the end of this header or trailer */
    size_t framing_length; /* 1 to 10; 0: payload */
};

/* Finds what stands at `offset` < gzip_member_length(payload). `crc32` is the payload's; it matters
 * in the trailer only. */
void gzip_locate(uint64_t payload, uint32_t crc32, uint64_t offset, struct gzip_spot *ret_spot);

/* How many bytes of the payload stand before `offset` of the member, which may be its end. */
uint64_t gzip_payload_before(uint64_t payload, uint64_t offset);

/* The footer for a TOC member that begins at `toc_offset` of the blob: models.md 1.3. */
void gzip_footer(uint64_t toc_offset, uint8_t out[GZIP_FOOTER]);

#endif
