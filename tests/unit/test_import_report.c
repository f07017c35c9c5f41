/* Unit tests of reports of imports: their JSON, which comes from an address, and which are kept. */
#include "model/import_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

static struct import_report example(enum import_report_state state)
{
    struct import_report report = {.image = "hf/org/model:latest",
                                   .state = state,
                                   .id = "Org/Model",
                                   .commit = "0123456789abcdef0123456789abcdef01234567",
                                   .started_ms = 1714813800528,
                                   .us = 1250000,
                                   .bytes = 5,
                                   .bytes_total = UINT64_C(1) << 50,
                                   .files = 7,
                                   .files_total = 9,
                                   .layers = 1,
                                   .layers_total = 61};

    if (state == IMPORT_REPORT_DONE)
        digest_of(DIGEST_SHA256, "x", 1, &report.digest);
    if (state == IMPORT_REPORT_FAILED)
        import_report_set_error(&report, ERR_NAME_UNKNOWN, VIEW("says \"no\"\n"));
    return report;
}

static void print_list(const struct import_report *report, size_t count, struct buf *out)
{
    import_report_begin(out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_text(out, ",");
        import_report_print(report, out);
    }
    import_report_end(out);
}

static void import_report_parse__gives_what_was_printed(void **state)
{
    (void)state;
    for (int s = IMPORT_REPORT_RESOLVING; s <= IMPORT_REPORT_FAILED; s++) {
        struct import_report report = example((enum import_report_state)s), again;
        struct buf json = {0}, second = {0};
        bool found = false;
        print_list(&report, 2, &json);
        assert_true(import_report_parse(view_of_buf(&json), &again, &found));
        assert_true(found);
        print_list(&again, 2, &second);
        assert_string_equal(second.data, json.data);
        assert_non_null(strstr(json.data, import_report_state_word(report.state)));
        buf_release(&json);
        buf_release(&second);
    }
}

static void import_report_parse__knows_an_empty_list(void **state)
{
    struct import_report report;
    struct buf json = {0};
    bool found = true;

    (void)state;
    print_list(NULL, 0, &json);
    assert_true(import_report_parse(view_of_buf(&json), &report, &found));
    assert_false(found);
    buf_release(&json);
}

/* Whatever is cut off or put in the place of a byte: it is refused, or a report all the same. */
static void import_report_parse__survives_what_an_address_sends(void **state)
{
    struct import_report report = example(IMPORT_REPORT_DONE), again;
    struct buf json = {0};
    bool found;

    (void)state;
    print_list(&report, 1, &json);
    for (size_t length = 0; length + 1 < json.length; length++)
        assert_false(import_report_parse((struct view){json.data, length}, &again, &found));
    for (size_t i = 0; i < json.length; i++) {
        char kept = json.data[i];
        for (int byte = 0; byte < 256; byte += 5) {
            json.data[i] = (char)byte;
            if (import_report_parse(view_of_buf(&json), &again, &found) && found)
                assert_true(strlen(again.image) < sizeof(again.image) &&
                            again.state <= IMPORT_REPORT_FAILED);
        }
        json.data[i] = kept;
    }
    buf_release(&json);
}

static void import_report_set_error__is_cut_when_long(void **state)
{
    struct import_report report = {0};
    char sentence[2 * IMPORT_REPORT_ERROR_SIZE];

    (void)state;
    memset(sentence, 'x', sizeof(sentence));
    import_report_set_error(&report, ERR_BUSY, (struct view){sentence, sizeof(sentence)});
    assert_int_equal(strlen(report.error), IMPORT_REPORT_ERROR_SIZE - 1);
    assert_ptr_equal(strstr(report.error, err_sentence(ERR_BUSY)), report.error);
    for (size_t i = 0; i + 1 < sizeof(sentence); i += 2)
        memcpy(sentence + i, "\xc3\xa4", 2);
    for (size_t from = 0; from < 2; from++) { /* for one of them the end is within a character */
        sentence[1] = 'x';
        import_report_set_error(&report, ERR_BUSY,
                                (struct view){sentence + 1 + from, sizeof(sentence) - 1 - from});
        size_t length = strlen(report.error);
        assert_true(length >= IMPORT_REPORT_ERROR_SIZE - 2);
        assert_memory_equal(report.error + length - 2, "\xc3\xa4", 2);
    }
    import_report_set_error(&report, ERR_BUSY, VIEW(""));
    assert_string_equal(report.error, err_sentence(ERR_BUSY));
    import_report_set_error(&report, ERR_NAME_UNKNOWN, VIEW("why"));
    assert_ptr_equal(strstr(report.error, ": why"), report.error + strlen(report.error) - 5);
}

static void add(struct import_history *history, unsigned number, enum import_report_state state,
                bool was_import)
{
    struct import_report report = example(state);

    (void)snprintf(report.image, sizeof(report.image), "hf/org/model:%u", number);
    report.layers = was_import;
    import_history_add(history, &report, was_import);
}

static void import_history_add__keeps_the_last_of_each_image(void **state)
{
    struct import_history *history = check_calloc(1, sizeof(*history));
    char last[IMPORT_REPORT_IMAGE_SIZE];

    (void)state;
    for (unsigned i = 0; i < IMPORT_HISTORY_MAX + 10; i++)
        add(history, i, IMPORT_REPORT_DONE, true);
    assert_int_equal(history->count, IMPORT_HISTORY_MAX);
    assert_string_equal(history->list[0].image, "hf/org/model:10");
    add(history, 50, IMPORT_REPORT_FAILED, true);
    assert_int_equal(history->count, IMPORT_HISTORY_MAX);
    assert_string_equal(history->list[IMPORT_HISTORY_MAX - 1].image, "hf/org/model:50");
    (void)snprintf(last, sizeof(last), "hf/org/model:%d", IMPORT_HISTORY_MAX + 9);
    assert_string_equal(history->list[IMPORT_HISTORY_MAX - 2].image, last);
    free(history);
}

/* A tag that is checked each quarter of an hour keeps the report of its import. */
static void import_history_add__keeps_an_import_over_a_look(void **state)
{
    struct import_history *history = check_calloc(1, sizeof(*history));

    (void)state;
    add(history, 1, IMPORT_REPORT_DONE, true);
    add(history, 1, IMPORT_REPORT_DONE, false);
    assert_true(history->count == 1 && history->list[0].layers == 1);
    add(history, 1, IMPORT_REPORT_FAILED, false);
    assert_true(history->count == 1 && history->list[0].state == IMPORT_REPORT_FAILED);
    add(history, 1, IMPORT_REPORT_DONE, false);
    assert_true(history->count == 1 && history->list[0].state == IMPORT_REPORT_DONE);
    free(history);
}

static void import_history_reason__gives_what_was_said_besides(void **state)
{
    struct import_history *history = check_calloc(1, sizeof(*history));
    const char *image = "hf/org/model:1";
    struct import_report bare = {.state = IMPORT_REPORT_FAILED};

    (void)state;
    assert_int_equal(import_history_reason(history, image, ERR_NAME_UNKNOWN).length, 0);
    add(history, 1, IMPORT_REPORT_FAILED, false);
    add(history, 2, IMPORT_REPORT_DONE, true);
    struct view reason = import_history_reason(history, image, ERR_NAME_UNKNOWN);
    assert_true(view_equal(reason, VIEW("says \"no\"\n")));
    assert_int_equal(import_history_reason(history, image, ERR_MODEL_UNFIT).length, 0);
    assert_int_equal(import_history_reason(history, "hf/org/model:2", OK).length, 0);
    (void)snprintf(bare.image, sizeof(bare.image), "%s", image);
    import_report_set_error(&bare, ERR_NAME_UNKNOWN, VIEW(""));
    import_history_add(history, &bare, false);
    assert_int_equal(import_history_reason(history, image, ERR_NAME_UNKNOWN).length, 0);
    free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_report_parse__gives_what_was_printed),
        cmocka_unit_test(import_report_parse__knows_an_empty_list),
        cmocka_unit_test(import_report_parse__survives_what_an_address_sends),
        cmocka_unit_test(import_report_set_error__is_cut_when_long),
        cmocka_unit_test(import_history_add__keeps_the_last_of_each_image),
        cmocka_unit_test(import_history_add__keeps_an_import_over_a_look),
        cmocka_unit_test(import_history_reason__gives_what_was_said_besides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
