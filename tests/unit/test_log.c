/*
 * Unit tests of the log, read back from where stdout goes: JSON stays valid whatever a peer sent,
 * lines stay whole whoever writes them, and what nobody reads is dropped and counted. TSan catches
 * a lock left out of log_end (seen with it planted).
 */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/check.h"

static int terminal = -1; /* the real stdout */
static struct buf output;

/* Lets stdout go to `fd`. */
static void redirect(int fd)
{
    (void)fflush(stdout);
    terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    CHECK(terminal >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
}

static void restore(void)
{
    CHECK(dup2(terminal, STDOUT_FILENO) >= 0);
    close(terminal);
    terminal = -1;
}

static int file;

static void capture(void)
{
    file = memfd_create("log", MFD_CLOEXEC);
    redirect(file);
}

/* What was written since capture(), in `output`. */
static void end_capture(void)
{
    restore();
    off_t length = lseek(file, 0, SEEK_END);
    buf_clear(&output);
    buf_reserve(&output, (size_t)length + 1);
    CHECK(pread(file, output.data, (size_t)length, 0) == length);
    output.length = (size_t)length;
    output.data[length] = '\0';
    close(file);
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&output);
    log_start(CONFIG_LOG_INFO, CONFIG_LOG_JSON); /* as it was */
    log_stop();
    return 0;
}

static json_t *parse(struct view line)
{
    json_error_t error;
    json_t *object = json_loadb(line.data, line.length, JSON_ALLOW_NUL, &error);

    if (!json_is_object(object))
        fail_msg("%s: %.*s", error.text, line.length < 200 ? (int)line.length : 200, line.data);
    return object;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static void log_fields(struct view value)
{
    struct log_line line;

    if (!log_begin(&line, CONFIG_LOG_INFO, "event"))
        return;
    log_text(&line, "text", value);
    log_number(&line, "number", INT64_MAX);
    log_seconds(&line, "seconds", 1500042);
    log_end(&line);
}

static void log_end__writes_one_json_object(void **state)
{
    (void)state;
    capture();
    log_fields(VIEW("value"));
    end_capture();
    struct view rest = view_of_buf(&output);
    json_t *object = parse(view_cut(&rest, '\n'));
    assert_int_equal(rest.length, 0);
    assert_true(matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$",
                        json_string_value(json_object_get(object, "time"))));
    assert_string_equal(json_string_value(json_object_get(object, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(object, "event")), "event");
    assert_string_equal(json_string_value(json_object_get(object, "text")), "value");
    assert_non_null(strstr(output.data, "\"number\":9223372036854775807,"));
    assert_non_null(strstr(output.data, "\"seconds\":1.500042}\n"));
    json_decref(object);
}

/* Every byte alone, every pair with a few nasty ones, and much at once. */
static void log_text__keeps_json_valid(void **state)
{
    static const char nasty[] = {'"',    '\\',   '\n',   '\0',   '\x7f',
                                 '\xc3', '\xed', '\xf4', '\xff', 'a'};
    char all[10000];
    size_t lines = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i * 7 % 256);
    capture();
    log_fields((struct view){all, sizeof(all)});
    log_fields((struct view){NULL, 0});
    for (int byte = 0; byte < 256; byte++)
        for (size_t i = 0; i < sizeof(nasty); i++)
            log_fields((struct view){(char[]){(char)byte, nasty[i]}, 2});
    end_capture();
    for (struct view rest = view_of_buf(&output); rest.length > 0; lines++) {
        json_t *object = parse(view_cut(&rest, '\n'));
        assert_int_equal(json_object_size(object), 6);
        assert_non_null(json_string_value(json_object_get(object, "text")));
        json_decref(object);
    }
    assert_int_equal(lines, 2 + 256 * sizeof(nasty));
}

static void log_text__cuts_a_long_value(void **state)
{
    char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text));
    capture();
    log_fields((struct view){text, 2048});
    log_fields((struct view){text, sizeof(text)});
    end_capture();
    for (struct view rest = view_of_buf(&output); rest.length > 0;) {
        json_t *object = parse(view_cut(&rest, '\n'));
        assert_int_equal(json_string_length(json_object_get(object, "text")), 2048);
        json_decref(object);
    }
}

static void log_message__formats_its_text(void **state)
{
    (void)state;
    capture();
    log_message(CONFIG_LOG_ERROR, "disk", "%s: %d \"quoted\"", "name", 7);
    end_capture();
    struct view rest = view_of_buf(&output);
    json_t *object = parse(view_cut(&rest, '\n'));
    assert_string_equal(json_string_value(json_object_get(object, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(object, "message")),
                        "name: 7 \"quoted\"");
    json_decref(object);
}

static void log_start__sets_level_and_format(void **state)
{
    struct log_line line;

    (void)state;
    capture();
    log_start(CONFIG_LOG_WARN, CONFIG_LOG_TEXT);
    assert_false(log_begin(&line, CONFIG_LOG_INFO, "event"));
    assert_false(log_begin(&line, CONFIG_LOG_DEBUG, "event"));
    log_message(CONFIG_LOG_INFO, "event", "not shown");
    log_message(CONFIG_LOG_WARN, "event", "a word");
    assert_true(log_begin(&line, CONFIG_LOG_ERROR, "cut"));
    log_text(&line, "plain", VIEW("a/b:c=d"));
    log_text(&line, "quoted", VIEW("a b"));
    log_text(&line, "empty", VIEW(""));
    log_text(&line, "hostile", VIEW("\n\x1b[31m\xff\"\\"));
    log_number(&line, "bytes", 42);
    log_end(&line);
    log_stop(); /* which writes what is queued */
    end_capture();
    struct view rest = view_of_buf(&output);
    char *first = view_dup(view_cut(&rest, '\n')), *second = view_dup(view_cut(&rest, '\n'));
    assert_int_equal(rest.length, 0);
    assert_true(matches("^[0-9T:.-]+Z warn  event message=\"a word\"$", first));
    assert_true(matches("^[0-9T:.-]+Z error cut plain=a/b:c=d quoted=\"a b\" empty=\"\" ", second));
    assert_non_null(strstr(second, "hostile=\"\\u000a\\u001b[31m\\ufffd\\\"\\\\\" bytes=42"));
    free(first);
    free(second);
}

static void log_stop__lets_lines_go_out_directly(void **state)
{
    (void)state;
    capture();
    log_start(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
    log_fields(VIEW("first"));
    log_stop();
    log_fields(VIEW("second"));
    log_stop(); /* harmless */
    end_capture();
    char *second = strstr(output.data, "second");
    assert_true(second != NULL && strstr(output.data, "first") < second);
}

/* ---- many threads, and nobody who reads ---- */

enum { WRITERS = 4, LINES = 3000 };

static void *write_lines(void *argument)
{
    const int *writer = argument;
    struct log_line line;

    for (uint64_t i = 0; i < LINES; i++) {
        CHECK(log_begin(&line, CONFIG_LOG_INFO, "stress"));
        log_number(&line, "writer", (uint64_t)*writer);
        log_number(&line, "number", i);
        log_end(&line);
    }
    return NULL;
}

static void log_end__keeps_lines_whole_between_threads(void **state)
{
    static const int writers[WRITERS] = {0, 1, 2, 3};
    json_int_t next[WRITERS] = {0};
    pthread_t threads[WRITERS];

    (void)state;
    capture();
    log_start(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_lines, (void *)&writers[i]);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    end_capture();
    for (struct view rest = view_of_buf(&output); rest.length > 0;) {
        json_t *object = parse(view_cut(&rest, '\n'));
        json_int_t writer = json_integer_value(json_object_get(object, "writer"));
        assert_int_equal(json_integer_value(json_object_get(object, "number")), next[writer]);
        next[writer]++;
        json_decref(object);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(next[i], LINES);
    assert_int_equal(log_dropped(), 0);
}

static void *stop_log(void *unused)
{
    (void)unused;
    log_stop();
    close(STDOUT_FILENO); /* the reader sees the end */
    return NULL;
}

/* The pipe is full, then the queue is, and logging goes on without waiting. */
static void log_end__drops_what_nobody_reads(void **state)
{
    char value[2000], part[65536];
    uint64_t written = 0, found = 0, said = 0;
    int ends[2];
    pthread_t stopper;
    ssize_t got;

    (void)state;
    memset(value, 'x', sizeof(value));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    redirect(ends[1]);
    close(ends[1]);
    log_start(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
    while (log_dropped() < 100) {
        log_fields((struct view){value, sizeof(value)});
        written++;
    }
    pthread_create(&stopper, NULL, stop_log, NULL);
    while ((got = read(ends[0], part, sizeof(part))) > 0)
        buf_append(&output, part, (size_t)got);
    pthread_join(stopper, NULL);
    restore();
    close(ends[0]);
    for (struct view rest = view_of_buf(&output); rest.length > 0;) {
        json_t *object = parse(view_cut(&rest, '\n'));
        const char *event = json_string_value(json_object_get(object, "event"));
        found += strcmp(event, "event") == 0;
        if (strcmp(event, "log_dropped") == 0)
            said += (uint64_t)json_integer_value(json_object_get(object, "lines"));
        json_decref(object);
    }
    assert_int_equal(log_dropped(), 100);
    assert_int_equal(said, 100);
    assert_int_equal(found + said, written);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_end__writes_one_json_object),
        TEST(log_text__keeps_json_valid),
        TEST(log_text__cuts_a_long_value),
        TEST(log_message__formats_its_text),
        TEST(log_start__sets_level_and_format),
        TEST(log_stop__lets_lines_go_out_directly),
        TEST(log_end__keeps_lines_whole_between_threads),
        TEST(log_end__drops_what_nobody_reads),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
