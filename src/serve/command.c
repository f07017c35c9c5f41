#include "serve/command.h"

#include <unistd.h>

#include "base/log.h"

FILE *command_start(const struct config *config)
{
    enum config_log_level level = (enum config_log_level)config->log_level;
    int out = dup(STDOUT_FILENO);

    (void)dup2(STDERR_FILENO, STDOUT_FILENO);                    /* where log lines go */
    log_start(level < CONFIG_LOG_WARN ? level : CONFIG_LOG_WARN, /* the command says the rest */
              (enum config_log_format)config->log_format);
    return out < 0 ? NULL : fdopen(out, "w");
}

bool command_finds_cache(const struct config *config, struct buf *problem)
{
    struct buf format = {0};

    buf_printf(&format, "%s/format", config->cache);
    bool is = access(format.data, F_OK) == 0;
    buf_release(&format);
    if (!is)
        buf_printf(problem,
                   "there is no cache in %s; give the folder that the mirror uses (--cache or "
                   "--config)",
                   config->cache);
    return is;
}
