#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { QUEUE_MAX = 4 << 20, FIELD_MAX = 2048, NAP_MS = 5 };

static struct {
    enum config_log_level level;
    enum config_log_format format;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t filled;
    struct buf queue;
    bool running;
    _Atomic uint64_t dropped;
} journal = {.level = CONFIG_LOG_INFO,
             .mutex = PTHREAD_MUTEX_INITIALIZER,
             .filled = PTHREAD_COND_INITIALIZER};

static _Thread_local struct buf line_text;
static _Thread_local bool line_open;
static pthread_key_t line_key;
static pthread_once_t line_once = PTHREAD_ONCE_INIT;

static void release_line(void *text)
{
    buf_release(text);
}

static void make_line_key(void)
{
    CHECK(pthread_key_create(&line_key, release_line) == 0);
}

static void write_out(const char *data, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody reads us: there is no one to tell */
        data += written;
        length -= (size_t)written;
    }
}

static void close_line(struct log_line *line)
{
    buf_append_text(line->text, journal.format == CONFIG_LOG_JSON ? "}\n" : "\n");
    line_open = false;
}

/* Says how many lines there was no room for, in a line of its own, past the queue. */
static void report_dropped(uint64_t *reported)
{
    uint64_t dropped = journal.dropped;
    struct log_line line;

    if (dropped == *reported || !log_begin(&line, CONFIG_LOG_WARN, "log_dropped"))
        return;
    log_number(&line, "lines", dropped - *reported);
    *reported = dropped;
    close_line(&line);
    write_out(line.text->data, line.text->length);
}

static void *run(void *unused)
{
    struct buf batch = {0};
    uint64_t reported = 0;

    (void)unused;
    pthread_mutex_lock(&journal.mutex);
    while (journal.running || journal.queue.length > 0) {
        if (journal.queue.length == 0) {
            pthread_cond_wait(&journal.filled, &journal.mutex);
            continue;
        }
        struct buf swap = batch;
        batch = journal.queue;
        journal.queue = swap;
        bool running = journal.running;
        pthread_mutex_unlock(&journal.mutex);

        write_out(batch.data, batch.length);
        report_dropped(&reported);
        buf_clear(&batch);
        if (running) /* let lines gather, so that a busy process wakes us 200 times a second */
            nanosleep(&(struct timespec){0, NAP_MS * 1000000L}, NULL);
        pthread_mutex_lock(&journal.mutex);
    }
    pthread_mutex_unlock(&journal.mutex);
    buf_release(&batch);
    return NULL;
}

void log_start(enum config_log_level level, enum config_log_format format)
{
    journal.level = level;
    journal.format = format;
    journal.running = true;
    CHECK(pthread_create(&journal.thread, NULL, run, NULL) == 0);
}

void log_stop(void)
{
    pthread_mutex_lock(&journal.mutex);
    bool was_running = journal.running;
    journal.running = false;
    pthread_cond_signal(&journal.filled);
    pthread_mutex_unlock(&journal.mutex);
    if (was_running)
        pthread_join(journal.thread, NULL);
    buf_release(&journal.queue);
}

uint64_t log_dropped(void)
{
    return journal.dropped;
}

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool log_begin(struct log_line *line, enum config_log_level level, const char *event)
{
    struct timespec now;
    struct tm utc;

    if (level > journal.level)
        return false;
    CHECK(!line_open);
    line_open = true;
    line->text = &line_text;
    pthread_once(&line_once, make_line_key);
    pthread_setspecific(line_key, &line_text);
    buf_clear(line->text);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    bool json = journal.format == CONFIG_LOG_JSON;
    buf_printf(line->text, json ? "{\"time\":\"" : "%s", "");
    buf_printf(line->text, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900,
               utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
               now.tv_nsec / 1000000);
    buf_printf(line->text, json ? "\",\"level\":\"%s\",\"event\":\"%s\"" : " %-5s %s",
               level_names[level], event);
    return true;
}

static void begin_field(struct log_line *line, const char *key)
{
    if (journal.format == CONFIG_LOG_JSON)
        buf_printf(line->text, ",\"%s\":", key);
    else
        buf_printf(line->text, " %s=", key);
}

static bool needs_quotes(struct view value)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f || value.data[i] == '"' ||
            value.data[i] == '\\')
            return true;
    return value.length == 0;
}

void log_text(struct log_line *line, const char *key, struct view value)
{
    if (value.length > FIELD_MAX)
        value.length = FIELD_MAX;
    begin_field(line, key);
    bool quotes = journal.format == CONFIG_LOG_JSON || needs_quotes(value);
    if (quotes)
        buf_append_text(line->text, "\"");
    buf_append_json(line->text, value);
    if (quotes)
        buf_append_text(line->text, "\"");
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
    begin_field(line, key);
    buf_printf(line->text, "%llu", (unsigned long long)value);
}

void log_seconds(struct log_line *line, const char *key, uint64_t microseconds)
{
    begin_field(line, key);
    buf_printf(line->text, "%llu.%06llu", (unsigned long long)(microseconds / 1000000),
               (unsigned long long)(microseconds % 1000000));
}

void log_end(struct log_line *line)
{
    close_line(line);
    pthread_mutex_lock(&journal.mutex);
    bool was_empty = journal.queue.length == 0;
    if (!journal.running)
        write_out(line->text->data, line->text->length);
    else if (journal.queue.length + line->text->length > QUEUE_MAX)
        journal.dropped++;
    else
        buf_append(&journal.queue, line->text->data, line->text->length);
    if (was_empty)
        pthread_cond_signal(&journal.filled);
    pthread_mutex_unlock(&journal.mutex);
}

void log_message(enum config_log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    struct buf message = {0};
    va_list arguments;

    if (!log_begin(&line, level, event))
        return;
    va_start(arguments, format);
    buf_vprintf(&message, format, arguments);
    va_end(arguments);
    log_text(&line, "message", view_of_buf(&message));
    log_end(&line);
    buf_release(&message);
}
