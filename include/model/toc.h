#ifndef MODEL_TOC_H
#define MODEL_TOC_H

/*
 * The table of contents of a layer, stargz.index.json (eStargz, models.md 1.2), as layout v1 has
 * it: compact JSON with a fixed order of keys, names in UTF-8 with the escapes that JSON demands,
 * no newline at the end: what Python's json.dumps(separators=(",", ":"), ensure_ascii=False) gives.
 *
 *   {"version":1,"entries":[ FOLDERS FILE CHUNKS , FOLDERS FILE , ... ]}
 *
 * The text is cut into a head, a section for each file (the folders that it is the first in, the
 * file, its chunks from the second on) and a tail. Lengths come from names and sizes alone, since
 * digests have a fixed width; a section of any number of chunks costs the same. Nobody ever needs
 * the whole text in memory.
 *
 * Pure. Thread: any.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/numbers.h"
#include "model/window.h"

#define TOC_NAME "stargz.index.json"
#define TOC_HEAD "{\"version\":1,\"entries\":["
#define TOC_TAIL "]}"

struct toc_file {
    struct view name;
    size_t shared; /* tree_shared() with the name before it */
    bool first;    /* of the layer */
    uint64_t size;
    uint64_t offset;                    /* of its first chunk's member in the layer; size > 0 */
    const uint8_t *sha256;              /* NULL: not known yet; zeros stand for it */
    const struct chunk_numbers *chunks; /* same */
};

/* Bytes of a file's section. */
uint64_t toc_length(const struct toc_file *file);

/* Puts a file's section, as far as it is wanted. */
void toc_put(struct window *window, const struct toc_file *file);

#endif
