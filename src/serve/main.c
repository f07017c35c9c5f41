#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/stats.h"
#include "model/catalogs.h"
#include "serve/catalog_command.h"
#include "serve/import_command.h"
#include "serve/numbers_command.h"
#include "serve/options.h"
#include "serve/scrub_command.h"
#include "serve/server.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, WORDS_MAX = 3 };

static const char usage[] =
    "Entrepot " ENTREPOT_VERSION ", a pull-through caching proxy for container registries\n"
    "\n"
    "usage: entrepot serve [OPTIONS]     run the mirror\n"
    "       entrepot check [OPTIONS]     validate the configuration and print what it comes to\n"
    "       entrepot scrub [OPTIONS]     read all that is cached again, and take out what is "
    "damaged\n"
    "       entrepot import REF [--wait] [OPTIONS]\n"
    "                                    have the running mirror import a model: hf/org/model:tag\n"
    "       entrepot numbers export REF [OPTIONS]\n"
    "       entrepot numbers import FILE|- [REF] [OPTIONS]\n"
    "                                    take what a mirror knows of a model to another one\n"
    "       entrepot catalog update FILE [OPTIONS]\n"
    "                                    give the models of FILE that are pinned to commits the "
    "newest ones\n"
    "       entrepot reference [metrics] print the settings, or the metrics, as Markdown\n"
    "       entrepot version\n"
    "\n"
    "All but the last two take --config FILE, settings as YAML, and these flags, which override "
    "it:\n";

static int print(struct buf *text)
{
    bool written = fwrite(text->data, 1, text->length, stdout) == text->length;

    written = fflush(stdout) == 0 && written;
    buf_release(text);
    return written ? EXIT_OK : EXIT_FAILED;
}

static int help(void)
{
    struct buf text = {0};

    buf_append_text(&text, usage);
    config_help(&text);
    return print(&text);
}

/* What the configuration, and its catalog, come to. */
static enum err check(const struct config *config, struct buf *ret_problem, struct buf *out)
{
    struct catalog *catalog;

    enum err err = catalogs_read(config, &catalog, ret_problem);
    if (err != OK)
        return err;
    config_print(config, out);
    if (config->file != NULL)
        catalog_print(catalog, config->file, out);
    catalog_unref(catalog);
    return OK;
}

/* What stands on the command line besides options. */
struct words {
    const char *list[WORDS_MAX]; /* borrowed; "" where there is none */
    int count;
    bool waits;
};

static bool is(const char *word, const char *other)
{
    return strcmp(word, other) == 0;
}

/* Whether the words are what the command takes. */
static bool are_right(const char *command, const struct words *words)
{
    if (is(command, "import"))
        return words->count == 1;
    if (is(command, "catalog"))
        return words->count == 2 && is(words->list[0], "update");
    if (!is(command, "numbers"))
        return words->count == 0;
    return (is(words->list[0], "export") && words->count == 2) ||
           (is(words->list[0], "import") && (words->count == 2 || words->count == 3));
}

static int numbers(const struct config *config, const struct words *words)
{
    if (is(words->list[0], "export"))
        return numbers_export_command(config, words->list[1]);
    return numbers_import_command(config, words->list[1],
                                  words->count == 3 ? words->list[2] : NULL);
}

static int misuse(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
}

/* All that take a config. */
static int with_config(const char *command, const struct words *words, int count, char **arguments)
{
    struct config config;
    struct buf problem = {0}, text = {0};
    bool wants_help = false;
    int code = EXIT_OK;

    enum err err = options_read(&config, count, arguments, &wants_help, &problem);
    if (err != OK)
        code = EXIT_USAGE;
    else if (wants_help)
        code = help();
    else if (!are_right(command, words))
        code = misuse();
    else if (is(command, "scrub"))
        code = scrub_command(&config);
    else if (is(command, "catalog"))
        code = catalog_command_update(&config, words->list[1]);
    else if (is(command, "import"))
        code = import_command(&config, words->list[0], words->waits);
    else if (is(command, "numbers"))
        code = numbers(&config, words);
    else if (strcmp(command, "serve") == 0) {
        err = server_run(&config, &problem);
        code = err == OK ? EXIT_OK : EXIT_FAILED;
    } else {
        err = check(&config, &problem, &text);
        code = err == OK ? print(&text) : EXIT_USAGE;
    }
    if (err != OK)
        fprintf(stderr, "entrepot: %s\n", problem.length > 0 ? problem.data : err_sentence(err));
    buf_release(&problem);
    config_release(&config);
    return code;
}

/* `serve`, `check` and `scrub` take no words, and leave it to options_read() to say so. */
static int command_with_words(const char *command, int count, char **arguments)
{
    struct words words = {.list = {"", "", ""}};

    if (!options_take_words(&count, arguments, "--wait", &words.waits, words.list, WORDS_MAX,
                            &words.count) ||
        (words.waits && !is(command, "import")))
        return misuse();
    return with_config(command, &words, count, arguments);
}

static int reference(int count, char **arguments)
{
    struct buf text = {0};

    if (count > 0 && strcmp(arguments[0], "--help") == 0)
        return help();
    if (count == 0)
        config_reference(&text);
    else if (strcmp(arguments[0], "metrics") == 0)
        stats_reference(&text);
    else
        return misuse();
    return print(&text);
}

/* Descriptors 0 to 2 are there, so that no file of ours gets one of their numbers. */
static void open_standard_files(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = dup(fd);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    const char *command = argc > 1 ? argv[1] : "";
    bool asks_help = argc > 2 && strcmp(argv[2], "--help") == 0;

    if (is(command, "serve") || is(command, "check") || is(command, "scrub"))
        return with_config(command, &(struct words){.list = {"", "", ""}}, argc - 2, argv + 2);
    if (is(command, "import") || is(command, "numbers") || is(command, "catalog"))
        return command_with_words(command, argc - 2, argv + 2);
    if (strcmp(command, "reference") == 0)
        return reference(argc - 2, argv + 2);
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0 || asks_help)
        return help();
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        puts("entrepot " ENTREPOT_VERSION);
        return EXIT_OK;
    }
    return misuse();
}
