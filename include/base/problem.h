#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

/*
 * The one sentence that tells a person what is wrong with the configuration.
 *
 * Rule: whoever knows what is wrong writes the sentence, whoever knows where puts that in front:
 *   "200Gib" is not a size; write ...
 *   cache_size: "200Gib" is not a size; write ...
 *   entrepot.yaml:7: cache_size: "200Gib" is not a size; write ...
 * All of it happens in one buf, which is touched only when there is a problem.
 * Secrets never enter a sentence.
 */

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Empties `problem`, prints the sentence into it, and returns ERR_CONFIG. Thread: any, as all here.
 */
enum err problem_set(struct buf *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Same, with the quoted value in front: problem_value(problem, value, "is not a size"). */
enum err problem_value(struct buf *problem, struct view value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts where it is in front of the sentence that is there, and returns ERR_CONFIG. */
enum err problem_within(struct buf *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends `text` in quotes, cut between two characters when it is long, and escaped: what comes of
 * it can be shown on any terminal. */
void problem_quote(struct buf *problem, struct view text);

/* Appends a part of a sentence with a name in it, quoted: problem_name(problem, "the file ", path,
 * " is a folder"). */
void problem_name(struct buf *problem, const char *before, const char *name, const char *after);

/* Sets `unknown <what> "word"`, with the nearest of `words` when one is near; returns ERR_CONFIG.
 */
enum err problem_unknown(struct buf *problem, const char *what, struct view word,
                         const char *const *words, size_t count);

/* The one of `words` that somebody who wrote `word` may have meant, or NULL. */
const char *problem_nearest(struct view word, const char *const *words, size_t count);

#endif
