#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/stats.h"
#include "model/catalogs.h"
#include "serve/catalog_command.h"
#include "serve/options.h"
#include "serve/scrub_command.h"
#include "serve/server.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "Entrepot " ENTREPOT_VERSION ", a pull-through caching proxy for container registries\n"
    "\n"
    "usage: entrepot serve [OPTIONS]     run the mirror\n"
    "       entrepot check [OPTIONS]     validate the configuration and print what it comes to\n"
    "       entrepot scrub [OPTIONS]     read all that is cached again, and take out what is "
    "damaged\n"
    "       entrepot catalog update FILE [OPTIONS]\n"
    "                                    give the models of FILE that are pinned to commits the "
    "newest ones\n"
    "       entrepot reference [metrics] print the settings, or the metrics, as Markdown\n"
    "       entrepot version\n"
    "\n"
    "serve, check, scrub and catalog take --config FILE, settings as YAML, and these flags, which "
    "override "
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

/* serve, check, scrub, and catalog, which has a file. */
static int with_config(const char *command, const char *file, int count, char **arguments)
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
    else if (strcmp(command, "scrub") == 0)
        code = scrub_command(&config);
    else if (strcmp(command, "catalog") == 0)
        code = catalog_command_update(&config, file);
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

static int misuse(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
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

    if (strcmp(command, "serve") == 0 || strcmp(command, "check") == 0 ||
        strcmp(command, "scrub") == 0)
        return with_config(command, NULL, argc - 2, argv + 2);
    if (strcmp(command, "catalog") == 0 && argc > 3 && strcmp(argv[2], "update") == 0 &&
        argv[3][0] != '-')
        return with_config(command, argv[3], argc - 4, argv + 4);
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
