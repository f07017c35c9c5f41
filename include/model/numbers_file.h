#ifndef MODEL_NUMBERS_FILE_H
#define MODEL_NUMBERS_FILE_H

/*
 * The numbers of an imported image, to be moved between nodes (`entrepot numbers`): all that a node
 * must know of a model's bytes to serve its image, without having any of them. JSON:
 *
 *   {"entrepot-numbers": 1, "layout": 1, "repository": "Org/Model", "commit": "3f2a...",
 *    "tag": "latest", "license": "mit", "index": "sha256:...",
 *    "files": [
 *      {"path": "config.json", "size": 8, "sha256": "e346...", "chunks": "e346...46a3e874"}],
 *    "layers": [
 *      {"digest": "sha256:...", "diff_id": "sha256:...", "toc_digest": "sha256:...",
 *       "size": 5821, "uncompressed": 5632}]}
 *
 * `repository` is the hub's own name, "datasets/Org/Name" of a data set; `tag` is what it was
 * exported as. `chunks` are 72 lower-case hex digits for each 4 MiB chunk of the file: its sha256,
 * and its CRC32, the lowest byte first. A file of 8 MiB and more also has "edges", 256 digits: its
 * edge numbers (base/numbers.h); without them all is served as well, but the ends of a layer cost
 * the hub whole chunks. Files are in any order; layers are from the lowest, and
 * which files are in which follows from names and sizes (model/tree). A newer version of the same
 * number may have more members.
 *
 * Who takes a file over checks all that can be computed without the models' bytes: that the files
 * split into so many layers, of these sizes and TOC digests, that the sha256 of a file of one chunk
 * is the chunk's, and that manifests and index, made again, have the index's digest. So whoever
 * pins that digest has all of it checked but: digest and diffID of each layer, and the sha256 and
 * CRC32 of chunks against the bytes. When those are forged, bytes are found not to match, by the
 * mirror as it fetches or by the client as it pulls; wrong ones are not served as right.
 *
 * Which files the commit has is the file's word as well. Without the index's digest from elsewhere,
 * whoever made the file is trusted as whoever pushes to a registry is: take files of those only.
 *
 * Left out on purpose is what git calls the small files: it would say which bytes files of other
 * models have, and no check would find it out.
 *
 * Pure; fuzzed. Thread: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/grammar.h"
#include "base/numbers.h"
#include "model/image.h"
#include "model/tree.h"
#include "wire/hub.h"

enum {
    NUMBERS_FILE_MAX = 64 << 20, /* bytes of JSON; enough for some 3 TB */
    NUMBERS_FILE_FILES_MAX = 100000,
};

struct numbers_entry {
    char *path; /* owned */
    uint64_t size;
    uint8_t sha256[NUMBERS_SHA256];
    bool has_edges;
    struct edge_numbers edges;
    struct chunk_numbers *chunks; /* owned; numbers_count(size) of them */
};

/* All-zero is empty. */
struct numbers_file {
    char repository[HUB_REPOSITORY_SIZE];
    char commit[HUB_COMMIT_SIZE];
    char tag[GRAMMAR_TAG_SIZE];
    char license[IMAGE_LICENSE_MAX + 1];
    struct digest index_digest;
    struct numbers_entry *files; /* owned */
    size_t count;
    struct image_layer *layers; /* owned; from the lowest */
    size_t layer_count;
};

void numbers_file_release(struct numbers_file *file);

/* Appends the JSON, and a newline. */
void numbers_file_print(const struct numbers_file *file, struct buf *out);

/* Reads it. False, with a sentence in `problem`, when it is no such file within the limits. What is
 * given is clean, but not yet checked. Takes some ten times the memory of the text. */
bool numbers_file_parse(struct view json, struct numbers_file *ret_file, struct buf *problem);

/*
 * Computes what can be computed. False, with a sentence in `problem`, when the file says otherwise.
 * Gives the image's documents, and how its files split into layers. Costs a hash over the tables of
 * contents: 212 bytes a chunk. The caller releases both.
 */
bool numbers_file_check(const struct numbers_file *file, struct image *ret_image,
                        struct tree_split *ret_split, struct buf *problem);

#endif
