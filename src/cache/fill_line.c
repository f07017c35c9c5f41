#include "cache/fill_line.h"

#include "base/log.h"
#include "base/stats.h"

void fill_line_end(const struct fill_line *fill)
{
    enum config_log_level level = fill->verdict == OK ? CONFIG_LOG_INFO : CONFIG_LOG_WARN;
    char text[DIGEST_TEXT_SIZE];
    struct log_line line;

    stats_subtract(STAT_FILLS_RUNNING, AT_ALL, 1);
    if (fill->verdict == OK)
        stats_add(STAT_FILLS_FINISHED, AT_ALL, 1);
    else
        stats_add(STAT_FILLS_FAILED, AT(fill->verdict), 1);
    if (!log_begin(&line, level, "fill"))
        return;
    log_text(&line, "digest", view_of(digest_print(fill->digest, text)));
    log_text(&line, "upstream", view_of(fill->source->upstream->config->name));
    log_text(&line, "repository", view_of(fill->source->repository));
    log_number(&line, "bytes", fill->bytes);
    if (fill->size != BLOB_SIZE_UNKNOWN)
        log_number(&line, "size", fill->size);
    log_number(&line, "resumed", fill->resumed);
    log_seconds(&line, "seconds", fill->us);
    log_text(&line, "verdict", view_of(err_label(fill->verdict)));
    if (fill->verdict != OK)
        log_text(&line, "message", view_of(err_sentence(fill->verdict)));
    log_end(&line);
}
