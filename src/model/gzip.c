#include "model/gzip.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* No flags, no time, XFL 0, OS 255 (unknown). */
static const uint8_t header[GZIP_HEADER] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};

static void put_le(uint8_t *out, uint32_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

/* An empty payload has one empty block. */
static uint64_t block_count(uint64_t payload)
{
    return payload == 0 ? 1 : (payload - 1) / GZIP_BLOCK + 1;
}

uint64_t gzip_member_length(uint64_t payload)
{
    return GZIP_HEADER + payload + GZIP_BLOCK_HEADER * block_count(payload) + GZIP_TRAILER;
}

/* `bytes` from the one at `skip`. */
static void set_framing(struct gzip_spot *spot, const uint8_t *bytes, size_t length, uint64_t skip)
{
    spot->framing_length = length - (size_t)skip;
    memcpy(spot->framing, bytes + skip, spot->framing_length);
}

void gzip_locate(uint64_t payload, uint32_t crc32, uint64_t offset, struct gzip_spot *ret_spot)
{
    enum { FULL = GZIP_BLOCK_HEADER + GZIP_BLOCK };
    uint64_t trailer_at = gzip_member_length(payload) - GZIP_TRAILER;
    uint8_t bytes[GZIP_TRAILER];

    *ret_spot = (struct gzip_spot){0};
    if (offset < GZIP_HEADER) {
        set_framing(ret_spot, header, GZIP_HEADER, offset);
    } else if (offset >= trailer_at) {
        put_le(bytes, crc32, 4);
        put_le(bytes + 4, (uint32_t)payload, 4); /* RFC 1952 2.3.1: ISIZE is modulo 2^32 */
        set_framing(ret_spot, bytes, GZIP_TRAILER, offset - trailer_at);
    } else {
        uint64_t block = (offset - GZIP_HEADER) / FULL, within = (offset - GZIP_HEADER) % FULL;
        uint64_t start = block * GZIP_BLOCK;
        uint64_t length = payload - start < GZIP_BLOCK ? payload - start : GZIP_BLOCK;
        if (within >= GZIP_BLOCK_HEADER) {
            ret_spot->start = start + within - GZIP_BLOCK_HEADER;
            ret_spot->end = start + length;
            return;
        }
        bytes[0] = block + 1 == block_count(payload); /* BFINAL; BTYPE 00 */
        put_le(bytes + 1, (uint32_t)length, 2);
        put_le(bytes + 3, ~(uint32_t)length, 2);
        set_framing(ret_spot, bytes, GZIP_BLOCK_HEADER, within);
    }
}

uint64_t gzip_payload_before(uint64_t payload, uint64_t offset)
{
    enum { FULL = GZIP_BLOCK_HEADER + GZIP_BLOCK };

    if (offset <= GZIP_HEADER)
        return 0;
    uint64_t block = (offset - GZIP_HEADER) / FULL, within = (offset - GZIP_HEADER) % FULL;
    uint64_t before =
        block * GZIP_BLOCK + (within > GZIP_BLOCK_HEADER ? within - GZIP_BLOCK_HEADER : 0);
    return before < payload ? before : payload;
}

void gzip_footer(uint64_t toc_offset, uint8_t out[GZIP_FOOTER])
{
    /* FEXTRA with one subfield, "SG", of 22 bytes; then a final empty stored block, and zeros. */
    static const uint8_t begin[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, 'S', 'G', 22, 0};
    static const uint8_t block[] = {1, 0, 0, 255, 255};
    char subfield[23];

    snprintf(subfield, sizeof(subfield), "%016" PRIx64 "STARGZ", toc_offset);
    memset(out, 0, GZIP_FOOTER);
    memcpy(out, begin, sizeof(begin));
    memcpy(out + 16, subfield, 22);
    memcpy(out + 38, block, sizeof(block));
}
