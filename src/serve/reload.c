#include "serve/reload.h"

#include "base/log.h"

/* The defaults, and over them the file, if there is one. */
static enum err read_config(const struct config *running, struct config *ret_config,
                            struct buf *ret_problem)
{
    config_init(ret_config);
    if (running->file == NULL)
        return OK;
    return config_read_file(ret_config, running->file, ret_problem);
}

static void note_models(const struct catalog *catalog)
{
    log_message(CONFIG_LOG_INFO, "catalog", "%zu models are imported ahead, and kept",
                catalog->count);
}

enum err reload_init(struct reload *reload, const struct config *config, struct buf *ret_problem)
{
    struct catalog *catalog;

    *reload = (struct reload){.config = config};
    enum err err = read_config(config, &reload->as_read, ret_problem);
    if (err == OK)
        err = catalogs_read(config, &catalog, ret_problem);
    if (err != OK) {
        config_release(&reload->as_read);
        return err;
    }
    if (catalog->count > 0)
        note_models(catalog);
    catalogs_init(&reload->catalogs, catalog);
    return OK;
}

void reload_release(struct reload *reload)
{
    catalogs_release(&reload->catalogs);
    config_release(&reload->as_read);
}

void reload_run(struct reload *reload)
{
    struct config config;
    struct buf problem = {0}, changed = {0};
    struct catalog *catalog;

    enum err err = read_config(reload->config, &config, &problem);
    if (err == OK)
        err = catalogs_read(reload->config, &catalog, &problem);
    if (err != OK) {
        log_message(CONFIG_LOG_ERROR, "reload",
                    "SIGHUP: %s; nothing is changed, the catalog is the one that was there",
                    problem.data);
    } else {
        config_compare(&reload->as_read, &config, &changed);
        if (changed.length > 0)
            log_message(CONFIG_LOG_WARN, "reload",
                        "SIGHUP: %s changed in %s; this takes effect when the mirror is started "
                        "again",
                        changed.data, reload->config->file);
        log_message(CONFIG_LOG_INFO, "reload", "SIGHUP: the catalog was read again");
        note_models(catalog);
        catalogs_set(&reload->catalogs, catalog);
    }
    config_release(&config);
    buf_release(&problem);
    buf_release(&changed);
}
