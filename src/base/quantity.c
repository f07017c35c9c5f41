#include "base/quantity.h"

#include <inttypes.h>

enum { FRACTION_DIGITS_MAX = 6 }; /* keeps fraction * unit inside 64 bits */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct unit {
    const char *name;
    uint64_t value;
};

/* Largest first, for printing. */
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"", 1},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

struct number {
    uint64_t whole;
    uint64_t fraction; /* of 1/scale */
    uint64_t scale;
};

static struct view skip(struct view text, size_t count)
{
    return (struct view){text.data + count, text.length - count};
}

static size_t count_digits(struct view text)
{
    size_t count = 0;

    while (count < text.length && text.data[count] >= '0' && text.data[count] <= '9')
        count++;
    return count;
}

/* Takes digits, and perhaps a point and digits, off the front of `*text`. */
static enum quantity take_number(struct view *text, struct number *ret_number)
{
    struct number number = {0, 0, 1};
    size_t digits = count_digits(*text);

    if (digits == 0)
        return QUANTITY_INVALID;
    if (!view_to_uint64((struct view){text->data, digits}, &number.whole))
        return QUANTITY_TOO_LARGE;
    *text = skip(*text, digits);
    if (text->length > 0 && text->data[0] == '.') {
        *text = skip(*text, 1);
        digits = count_digits(*text);
        if (digits == 0 || digits > FRACTION_DIGITS_MAX ||
            !view_to_uint64((struct view){text->data, digits}, &number.fraction))
            return QUANTITY_INVALID;
        for (size_t i = 0; i < digits; i++)
            number.scale *= 10;
        *text = skip(*text, digits);
    }
    *ret_number = number;
    return QUANTITY_OK;
}

/* Adds `number` units to `*sum`. A fraction of the smallest unit makes no sense. */
static enum quantity add(uint64_t *sum, const struct number *number, uint64_t unit)
{
    uint64_t value, total;

    if (number->scale > 1 && unit == 1)
        return QUANTITY_INVALID;
    if (__builtin_mul_overflow(number->whole, unit, &value) ||
        __builtin_add_overflow(value, number->fraction * unit / number->scale, &value) ||
        __builtin_add_overflow(*sum, value, &total))
        return QUANTITY_TOO_LARGE;
    *sum = total;
    return QUANTITY_OK;
}

/* The value of "KiB", "k", "MB", ...; 0 for what is no unit of size. */
static uint64_t size_unit(struct view name)
{
    static const char letters[] = "KMGT";
    uint64_t value = 1;

    if (name.length == 0 || view_equal(name, VIEW("B")))
        return 1;
    char letter = name.data[0];
    if (letter >= 'a' && letter <= 'z')
        letter = (char)(letter - 'a' + 'A');
    struct view rest = skip(name, 1);
    uint64_t step = view_equal(rest, VIEW("B")) ? 1000 : 1024;
    if (rest.length > 0 && step == 1024 && !view_equal(rest, VIEW("iB")))
        return 0;
    for (size_t i = 0; i + 1 < sizeof(letters); i++) {
        value *= step;
        if (letters[i] == letter)
            return value;
    }
    return 0;
}

enum quantity quantity_parse_size(struct view text, uint64_t *ret_bytes)
{
    struct number number;
    uint64_t sum = 0;

    enum quantity verdict = take_number(&text, &number);
    if (verdict != QUANTITY_OK)
        return verdict;
    uint64_t unit = size_unit(view_trim(text));
    if (unit == 0)
        return QUANTITY_INVALID;
    verdict = add(&sum, &number, unit);
    if (verdict == QUANTITY_OK)
        *ret_bytes = sum;
    return verdict;
}

/* Takes the letters of a unit of time off the front of `*text`; 0 when it is none. */
static uint64_t take_duration_unit(struct view *text)
{
    size_t letters = 0;

    while (letters < text->length && text->data[letters] >= 'a' && text->data[letters] <= 'z')
        letters++;
    struct view name = {text->data, letters};
    *text = skip(*text, letters);
    for (size_t i = 0; i < COUNT_OF(duration_units); i++)
        if (view_equal(name, view_of(duration_units[i].name)))
            return duration_units[i].value;
    return 0;
}

enum quantity quantity_parse_duration(struct view text, uint64_t *ret_ms)
{
    uint64_t sum = 0;

    if (text.length == 0)
        return QUANTITY_INVALID;
    if (view_equal(text, VIEW("0")))
        text = VIEW("0s");
    while (text.length > 0) {
        struct number number;
        enum quantity verdict = take_number(&text, &number);
        if (verdict != QUANTITY_OK)
            return verdict;
        uint64_t unit = take_duration_unit(&text);
        verdict = unit == 0 ? QUANTITY_INVALID : add(&sum, &number, unit);
        if (verdict != QUANTITY_OK)
            return verdict;
    }
    *ret_ms = sum;
    return QUANTITY_OK;
}

static void print(uint64_t value, const struct unit *units, struct buf *out)
{
    while (value % units->value != 0)
        units++;
    buf_printf(out, "%" PRIu64 "%s", value / units->value, units->name);
}

void quantity_print_size(uint64_t bytes, struct buf *out)
{
    if (bytes == 0)
        buf_append_text(out, "0");
    else
        print(bytes, size_units, out);
}

void quantity_print_duration(uint64_t ms, struct buf *out)
{
    if (ms == 0)
        buf_append_text(out, "0s");
    else
        print(ms, duration_units, out);
}
