#include "cache/fill_line.h"

#include <inttypes.h>

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

void fill_line_mismatch(const struct source *source, const struct digest *expected,
                        const struct digest *found)
{
    char expected_text[DIGEST_TEXT_SIZE], found_text[DIGEST_TEXT_SIZE];

    stats_add(STAT_DIGEST_MISMATCHES, AT_ALL, 1);
    stats_add(STAT_UPSTREAM_ERRORS, AT(source->upstream->index, ERR_DIGEST_MISMATCH), 1);
    log_message(CONFIG_LOG_ERROR, "mismatch", "%s of %s sent bytes with the digest %s for %s",
                source->repository, source->upstream->config->name, digest_print(found, found_text),
                digest_print(expected, expected_text));
}

void fill_line_chunk(const struct digest *digest, const struct verdict *verdict)
{
    const struct source *source = verdict->sender;
    char text[DIGEST_TEXT_SIZE], wanted[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];

    stats_add(STAT_UPSTREAM_ERRORS, AT(source->upstream->index, ERR_CHUNK_MISMATCH), 1);
    log_message(CONFIG_LOG_ERROR, "mismatch",
                "%s of %s sent%s bytes %" PRIu64 "-%" PRIu64 " of %s with the digest %s, and the "
                "known numbers of the file say %s; they are not served. If every source sends the "
                "same, the numbers are wrong",
                source->repository, source->upstream->config->name,
                verdict->is_mixed ? ", in part," : "", verdict->range.start, verdict->range.end - 1,
                digest_print(digest, text), digest_print(&verdict->found, found),
                digest_print(&verdict->wanted, wanted));
}
