/* Unit tests of a scrub's report: its JSON, which comes from an address, and its words. */
#include "serve/scrub_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct scrub_report example(uint64_t damaged)
{
    struct scrub_report report = {.running = true,
                                  .started_ms = 1714813800528,
                                  .us = 1250000,
                                  .rate = 67108864,
                                  .blobs = 12,
                                  .blobs_total = 40,
                                  .bytes = 5,
                                  .bytes_total = UINT64_C(1) << 50,
                                  .unchecked = 3,
                                  .damaged = damaged};

    for (uint64_t i = 0; i < damaged && i < SCRUB_LISTED_MAX; i++)
        digest_of(i % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512, &i, sizeof(i), &report.list[i]);
    return report;
}

static void scrub_report_parse__gives_what_was_printed(void **state)
{
    static const uint64_t counts[] = {0, 1, SCRUB_LISTED_MAX, SCRUB_LISTED_MAX + 5};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct scrub_report report = example(counts[i]), again;
        char directory[SCRUB_DIRECTORY_SIZE];
        struct buf json = {0};

        report.failed = i == 1;
        scrub_report_print(&report, "fe00:12", &json);
        assert_true(scrub_report_parse(view_of_buf(&json), &again, directory));
        assert_string_equal(directory, "fe00:12");
        assert_true(again.running && again.failed == report.failed);
        assert_true(again.started_ms == report.started_ms && again.us == report.us);
        assert_true(again.rate == report.rate && again.unchecked == 3);
        assert_true(again.blobs == 12 && again.blobs_total == 40 && again.bytes == 5);
        assert_true(again.bytes_total == report.bytes_total && again.damaged == counts[i]);
        for (size_t d = 0; d < SCRUB_LISTED_MAX && d < counts[i]; d++)
            assert_true(digest_equal(&again.list[d], &report.list[d]));
        buf_release(&json);
    }
}

/* Whatever is cut off or put in the place of a byte: it is refused, or a report all the same. */
static void scrub_report_parse__survives_what_an_address_sends(void **state)
{
    struct scrub_report report = example(2), again;
    char directory[SCRUB_DIRECTORY_SIZE];
    struct buf json = {0};
    unsigned random = 3;

    (void)state;
    scrub_report_print(&report, "fe00:12", &json);
    for (size_t length = 0; length + 1 < json.length; length++)
        assert_false(scrub_report_parse((struct view){json.data, length}, &again, directory));
    for (int i = 0; i < 5000; i++) {
        size_t at = (size_t)rand_r(&random) % json.length;
        char was = json.data[at];
        json.data[at] = (char)rand_r(&random);
        if (scrub_report_parse(view_of_buf(&json), &again, directory))
            assert_true(strlen(directory) < SCRUB_DIRECTORY_SIZE);
        json.data[at] = was;
    }
    assert_false(scrub_report_parse(VIEW("[]"), &again, directory));
    assert_false(scrub_report_parse(VIEW("{}"), &again, directory));
    assert_false(scrub_report_parse(VIEW(""), &again, directory));
    buf_release(&json);
}

static void assert_told(const struct scrub_report *report, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    scrub_report_tell(report, out);
    (void)fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void scrub_report_tell__says_what_a_person_needs(void **state)
{
    struct scrub_report report = {
        .us = 61002003, .blobs = 1, .blobs_total = 1, .bytes = 5, .bytes_total = 5};

    (void)state;
    assert_told(&report, "1 of 1 blob, 5 bytes, in 61.002 s: all sound\n");
    report.unchecked = 2;
    report.blobs_total = 3;
    assert_told(&report, "1 of 3 blobs, 5 bytes, in 61.002 s: no damage, 2 could not be read now; "
                         "the log says why\n");
    report.unchecked = 0;
    report.damaged = 1;
    digest_of(DIGEST_SHA256, "", 0, &report.list[0]);
    assert_told(&report,
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 is "
                "damaged: taken out; it will be fetched again on demand\n"
                "1 of 3 blobs, 5 bytes, in 61.002 s: 1 damaged\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrub_report_parse__gives_what_was_printed),
        cmocka_unit_test(scrub_report_parse__survives_what_an_address_sends),
        cmocka_unit_test(scrub_report_tell__says_what_a_person_needs),
    };

    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
