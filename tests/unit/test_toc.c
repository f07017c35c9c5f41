/* Unit tests of the TOC: each section against one that is simply printed. */
#include "model/toc.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

/* What a full chunk's member takes: models.md 1.1. */
#define STEP UINT64_C(4194647)

enum { CHUNK = 4 << 20 };

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void print_end(struct buf *text, bool last)
{
    buf_printf(text, "%s,\"chunkDigest\":\"sha256:" ZEROS "\"}",
               last ? "" : ",\"chunkSize\":4194304");
}

/* The section of a file that is not empty, in no folder, without numbers. */
static void print_section(const struct toc_file *file, struct buf *text)
{
    uint64_t count = (file->size + CHUNK - 1) / CHUNK;

    buf_printf(text,
               ",{\"name\":\"%s\",\"type\":\"reg\",\"size\":%" PRIu64
               ",\"modtime\":\"1980-01-01T00:00:00Z\",\"mode\":420,\"offset\":%" PRIu64
               ",\"digest\":\"sha256:" ZEROS "\"",
               file->name.data, file->size, file->offset);
    print_end(text, count == 1);
    for (uint64_t i = 1; i < count; i++) {
        buf_printf(text,
                   ",{\"name\":\"%s\",\"type\":\"chunk\",\"offset\":%" PRIu64
                   ",\"chunkOffset\":%" PRIu64,
                   file->name.data, file->offset + i * STEP, i * CHUNK);
        print_end(text, i + 1 == count);
    }
}

static void assert_section(const struct toc_file *file)
{
    struct buf wanted = {0};
    uint64_t base = 77, start, end;

    print_section(file, &wanted);
    assert_int_equal(toc_length(file), wanted.length);
    uint8_t *got = check_malloc(wanted.length);
    for (unsigned round = 0; round < 20; round++) {
        start = round == 0 ? 0 : (uint64_t)rand() % wanted.length;
        end = round == 0 ? wanted.length : start + (uint64_t)rand() % (wanted.length - start);
        struct window window = {.at = base, .start = base + start, .end = base + end, .out = got};
        toc_put(&window, file);
        assert_int_equal(window.at, base + wanted.length);
        assert_memory_equal(got, wanted.data + start, end - start);
    }
    free(got);
    buf_release(&wanted);
}

/* Offsets get one digit more at, just before, and just behind any of five chunks. */
static void toc_length__counts_digits_around_powers_of_ten(void **state)
{
    (void)state;
    unsigned checked = 0;

    for (uint64_t power = 1000; power <= UINT64_C(1000000000000000000); power *= 10)
        for (uint64_t chunk = 0; chunk < 5; chunk++)
            for (uint64_t less = 0; less < 3; less++) {
                struct toc_file file = {.name = VIEW("n"), .size = 4 * CHUNK + 1};
                if (power + 1 < chunk * STEP + less)
                    continue;
                file.offset = power + 1 - chunk * STEP - less;
                assert_section(&file);
                checked++;
            }
    assert_true(checked > 150);
}

static void toc_length__counts_digits_within_large_files(void **state)
{
    (void)state;
    for (uint64_t chunks = 1; chunks < 300; chunks += 1 + chunks / 5) {
        struct toc_file file = {.name = VIEW("models/x"), .shared = 7, .offset = 12345};
        file.size = chunks * CHUNK;
        assert_section(&file);
        file.size = chunks * CHUNK - 1;
        assert_section(&file);
    }
}

static void toc_put__escapes_as_python_does(void **state)
{
    (void)state;
    static const char wanted[] =
        "{\"name\":\"\\b\\t\\n\\f\\r\\u0001\\u000b\\u001f\\\"\\\\/'\x7f\xc3\xa9\",\"type\"";
    struct toc_file file = {
        .name = VIEW("\b\t\n\f\r\x01\v\x1f\"\\/'\x7f\xc3\xa9"), .shared = 12, .first = true};
    uint8_t got[sizeof(wanted) - 1];
    struct window window = {.end = sizeof(got), .out = got};

    toc_put(&window, &file);
    assert_memory_equal(got, wanted, sizeof(got));
    assert_int_equal(window.at, toc_length(&file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toc_length__counts_digits_around_powers_of_ten),
        cmocka_unit_test(toc_length__counts_digits_within_large_files),
        cmocka_unit_test(toc_put__escapes_as_python_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
