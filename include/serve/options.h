#ifndef SERVE_OPTIONS_H
#define SERVE_OPTIONS_H

/*
 * The command line: a flag for each setting, `--config` and `--upstream`, made from the table of
 * settings. Thread: main.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"

/*
 * Reads `arguments[0..count)`, the words behind the command, over the embedded defaults: first the
 * file that --config names, then the flags, and finishes the config. `*ret_help`: --help was among
 * them, and nothing was read. On an error `ret_problem` has the sentence. The caller releases
 * `config` in any case.
 */
enum err options_read(struct config *config, int count, char **arguments, bool *ret_help,
                      struct buf *ret_problem) MUST_CHECK;

/*
 * Takes the words that are no options out of `arguments[0..*count)` and into `ret_words`, of which
 * there may be `max`; the others move together. `flag`, "--wait", is an option without a value that
 * options_read() does not know: it is taken out too. `*ret_flag`: it was there. False when there
 * are more words.
 */
bool options_take_words(int *count, char **arguments, const char *flag, bool *ret_flag,
                        const char **ret_words, int max, int *ret_word_count);

#endif
