#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * One structured line an event, to stdout, as JSON or for people. Never blocks: lines go to a
 * bounded queue in memory that one thread writes out; when stdout is slower than the events, lines
 * are dropped and counted, and a line says how many.
 *
 *   struct log_line line;
 *   if (log_begin(&line, CONFIG_LOG_INFO, "fill")) {
 *       log_text(&line, "digest", ...);
 *       log_number(&line, "bytes", ...);
 *       log_end(&line);
 *   }
 *
 * Peers' bytes may be passed as they are: they are escaped, and cut at 2 KiB a field.
 * Thread: any, all functions; a line belongs to the thread that began it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config.h"

struct log_line {
    struct buf *text; /* borrowed from the thread */
};

/* Starts the writer thread. Before it, and after log_stop(), lines go out directly. */
void log_start(enum config_log_level level, enum config_log_format format);

/* Writes out what is queued and ends the thread. */
void log_stop(void);

/* Begins a line with its time, level and event name. False when that level is not logged: then
 * nothing else may be called. Only one line a thread can be open. */
bool log_begin(struct log_line *line, enum config_log_level level, const char *event);
void log_text(struct log_line *line, const char *key, struct view value);
void log_number(struct log_line *line, const char *key, uint64_t value);
void log_seconds(struct log_line *line, const char *key, uint64_t microseconds);
void log_end(struct log_line *line);

/* A line with one field, `message`. */
void log_message(enum config_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How many lines were dropped. */
uint64_t log_dropped(void);

#endif
