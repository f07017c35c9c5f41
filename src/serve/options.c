#include "serve/options.h"

#include <string.h>

struct option {
    struct view name;  /* without the dashes */
    const char *value; /* "" when there is none */
};

/* Takes "--name value" or "--name=value" off the words. */
static enum err next_option(int *at, int count, char **words, struct option *ret_option,
                            struct buf *ret_problem)
{
    const char *word = words[*at];

    if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
        buf_printf(ret_problem, "\"%s\" is not an option; see --help", word);
        return ERR_CONFIG;
    }
    struct view rest = view_of(word + 2);
    *ret_option = (struct option){.name = view_cut(&rest, '='), .value = rest.data};
    ++*at;
    if (rest.data != NULL || view_equal(ret_option->name, VIEW("help")))
        return OK;
    if (*at == count) {
        buf_printf(ret_problem, "%s needs a value; see --help", word);
        return ERR_CONFIG;
    }
    ret_option->value = words[(*at)++];
    return OK;
}

static enum err take(struct config *config, const struct option *option, struct buf *ret_problem)
{
    char name[128];

    if (view_equal(option->name, VIEW("config")))
        return OK; /* read already */
    if (view_equal(option->name, VIEW("upstream")))
        return config_add_upstream(config, option->value, ret_problem);
    if (!view_copy(option->name, name, sizeof(name)))
        name[0] = '\0';
    buf_append_text(ret_problem, "--");
    enum err err = config_set(config, name, option->value, ret_problem);
    if (err == OK)
        buf_clear(ret_problem);
    return err;
}

enum err options_read(struct config *config, int count, char **arguments, bool *ret_help,
                      struct buf *ret_problem)
{
    struct option option;
    enum err err = OK;

    *ret_help = false;
    config_init(config);
    for (int at = 0; err == OK && at < count;) {
        err = next_option(&at, count, arguments, &option, ret_problem);
        if (err == OK && view_equal(option.name, VIEW("help"))) {
            *ret_help = true;
            return OK;
        }
        if (err == OK && view_equal(option.name, VIEW("config")))
            err = config_read_file(config, option.value, ret_problem);
    }
    for (int at = 0; err == OK && at < count;) {
        err = next_option(&at, count, arguments, &option, ret_problem);
        if (err == OK)
            err = take(config, &option, ret_problem);
    }
    return err == OK ? config_finish(config, ret_problem) : err;
}

bool options_take_words(int *count, char **arguments, const char *flag, bool *ret_flag,
                        const char **ret_words, int max, int *ret_word_count)
{
    int kept = 0, words = 0;

    *ret_flag = false;
    for (int at = 0; at < *count; at++) {
        char *word = arguments[at];
        if (strcmp(word, flag) == 0) {
            *ret_flag = true;
        } else if (strncmp(word, "--", 2) != 0) {
            if (words == max)
                return false;
            ret_words[words++] = word;
        } else {
            arguments[kept++] = word;
            if (strchr(word, '=') == NULL && strcmp(word, "--help") != 0 && at + 1 < *count)
                arguments[kept++] = arguments[++at]; /* its value */
        }
    }
    *count = kept;
    *ret_word_count = words;
    return true;
}
