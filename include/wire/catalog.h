#ifndef WIRE_CATALOG_H
#define WIRE_CATALOG_H

/*
 * The models to be imported ahead, and to be kept: the list `models` of a configuration, or of a
 * file of its own.
 *
 *   models:
 *     - name: org/model                  of the first hub in `upstreams`; hf/org/model names one
 *       revision: <40 hex>               a branch, tag or commit; default: main
 *       follow: main                     what `entrepot catalog update` takes the next commit from
 *       tag: v1                          what clients call it; default: latest
 *       include: ["*.safetensors", config.json]
 *       exclude: [onnx/]
 *
 * Whoever asks for that image and tag gets that revision, and of its files those that the filter
 * takes (wire/filter). Other tags of the repository are what they would be without the catalog.
 *
 * Immutable once it is read, and counted. Pure; fuzzed. Thread: any.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/grammar.h"
#include "wire/hub.h"

enum {
    CATALOG_FILE_MAX = 4 << 20, /* bytes */
    CATALOG_MODELS_MAX = 10000,
    CATALOG_PATTERNS_MAX = 100, /* of one list of one model */
};

struct catalog_model {
    const struct config_upstream *upstream;   /* borrowed from the config */
    char repository[GRAMMAR_REPOSITORY_SIZE]; /* "org/model", lower case, as in requests */
    char tag[GRAMMAR_TAG_SIZE];
    char revision[GRAMMAR_TAG_SIZE];
    char follow[GRAMMAR_TAG_SIZE]; /* "": the revision is no commit, and moves by itself */
    bool is_commit;
    char *filter;     /* owned */
    const char *path; /* borrowed from the catalog; of the file, */
    size_t line;      /* and where in it */
    /* Where the revision's value stands, in characters from the file's beginning; 0, 0: nowhere. */
    size_t revision_start, revision_end;
};

struct catalog {
    struct catalog_model *models; /* owned; in the order of the files */
    size_t count;
    size_t *sorted; /* owned; indexes of models, by upstream, repository and tag */
    char *paths[2]; /* owned */
    _Atomic unsigned references;
};

/* An empty one. */
struct catalog *catalog_new(void);
struct catalog *catalog_ref(struct catalog *catalog);

/* Returns NULL. */
struct catalog *catalog_unref(struct catalog *catalog);

/* Other keys than `models` in a file of its own are refused; in a configuration they are others'
 * business. */
enum catalog_kind { CATALOG_ITSELF, CATALOG_CONFIG };

/*
 * Adds the models of a file to a catalog that nobody else knows of yet; at most two files.
 * `config`, whose upstreams are meant, is borrowed for the catalog's life. Every problem is one
 * sentence that names path, line, model and key, and the catalog is good for catalog_unref() only.
 */
enum err catalog_read_text(struct catalog *catalog, const struct config *config, struct view text,
                           const char *path, enum catalog_kind kind,
                           struct buf *ret_problem) MUST_CHECK;

/* The model that `repository` (lower case) and `tag` of the upstream of that name are, or NULL. */
const struct catalog_model *catalog_find(const struct catalog *catalog, const char *upstream,
                                         const char *repository, const char *tag);

/* Appends the models that came from `path` as YAML, with their list's key; nothing when there are
 * none. */
void catalog_print(const struct catalog *catalog, const char *path, struct buf *out);

#endif
