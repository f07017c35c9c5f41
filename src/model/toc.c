#include "model/toc.h"

#include "model/gzip.h"
#include "model/tar.h"

/* Bytes that a full chunk's member takes, which is how far apart the chunks of a file are. */
enum { STEP = GZIP_HEADER + NUMBERS_CHUNK + 65 * GZIP_BLOCK_HEADER + GZIP_TRAILER };
_Static_assert((NUMBERS_CHUNK + GZIP_BLOCK - 1) / GZIP_BLOCK == 65, "stored blocks of a chunk");

#define NAME       "{\"name\":\""
#define FOLDER     "/\",\"type\":\"dir\",\"modtime\":\"" TAR_TIME_TEXT "\",\"mode\":493}"
#define FILE_TYPE  "\",\"type\":\"reg\""
#define CHUNK_TYPE "\",\"type\":\"chunk\""
#define SIZE       ",\"size\":"
#define MODE       ",\"modtime\":\"" TAR_TIME_TEXT "\",\"mode\":420"
#define OFFSET     ",\"offset\":"
#define DIGEST     ",\"digest\":\"sha256:"
#define IN_FILE    ",\"chunkOffset\":"
#define FULL       ",\"chunkSize\":4194304"
#define OF_CHUNK   ",\"chunkDigest\":\"sha256:"
#define END        "\"}"

#define LENGTH(literal) (sizeof(literal) - 1)

enum { HEX = 2 * NUMBERS_SHA256 };

/* ---- lengths ---- */

/* The escape of a byte in a JSON string, as Python writes it; empty: the byte itself. */
static struct view escape_of(unsigned char c, char out[8])
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    out[0] = '\\';
    out[1] = '\0';
    if (c < 0x20)
        out[1] = letters[c];
    else if (c == '"' || c == '\\')
        out[1] = (char)c;
    if (out[1] != '\0')
        return (struct view){out, 2};
    if (c >= 0x20)
        return (struct view){0};
    out[1] = 'u';
    out[2] = out[3] = '0';
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return (struct view){out, 6};
}

static uint64_t escaped_length(struct view text)
{
    char escape[8];
    uint64_t length = text.length;

    for (size_t i = 0; i < text.length; i++) {
        size_t longer = escape_of((unsigned char)text.data[i], escape).length;
        length += longer > 0 ? longer - 1 : 0;
    }
    return length;
}

/* The sum of the decimal digits' counts of first, first + step, ..., `count` numbers. */
static uint64_t digits_of_series(uint64_t first, uint64_t step, uint64_t count)
{
    uint64_t sum = count, last, power = 10;

    if (count == 0)
        return 0;
    last = first + (count - 1) * step;
    while (power <= last) {
        uint64_t below = power <= first ? 0 : (power - first - 1) / step + 1; /* numbers < power */
        sum += count - below;
        if (power > UINT64_MAX / 10)
            break;
        power *= 10;
    }
    return sum;
}

static uint64_t digits_of(uint64_t number)
{
    return digits_of_series(number, 1, 1);
}

/* Of the entries of the chunks from the second one up to `end`, which are not the last. */
static uint64_t chunks_length(const struct toc_file *file, uint64_t name_length, uint64_t end)
{
    uint64_t count = end > 1 ? end - 1 : 0;

    return count *
               (LENGTH("," NAME CHUNK_TYPE OFFSET IN_FILE FULL OF_CHUNK END) + HEX + name_length) +
           digits_of_series(file->offset + STEP, STEP, count) +
           digits_of_series(NUMBERS_CHUNK, NUMBERS_CHUNK, count);
}

/* Of the folders' entries and the file's own, with commas. */
static uint64_t entries_length(const struct toc_file *file, uint64_t name_length)
{
    uint64_t length = file->first ? 0 : 1;

    for (size_t i = file->shared; i < file->name.length; i++)
        if (file->name.data[i] == '/')
            length += LENGTH(NAME FOLDER ",") + escaped_length((struct view){file->name.data, i});
    length += LENGTH(NAME FILE_TYPE MODE DIGEST END) + name_length + HEX;
    if (file->size == 0)
        return length;
    length +=
        LENGTH(SIZE OFFSET "\"" OF_CHUNK) + digits_of(file->size) + digits_of(file->offset) + HEX;
    return length + (file->size > NUMBERS_CHUNK ? LENGTH(FULL) : 0);
}

uint64_t toc_length(const struct toc_file *file)
{
    uint64_t name_length = escaped_length(file->name), count = numbers_count(file->size);

    return entries_length(file, name_length) + chunks_length(file, name_length, count) -
           (count > 1 ? LENGTH(FULL) : 0);
}

/* ---- text ---- */

static void put_name(struct window *window, struct view name)
{
    char out[8];
    size_t plain = 0; /* where what is not put yet begins */

    window_put_view(window, VIEW(NAME));
    for (size_t i = 0; i < name.length; i++) {
        struct view escape = escape_of((unsigned char)name.data[i], out);
        if (escape.length == 0)
            continue;
        window_put(window, name.data + plain, i - plain);
        window_put_view(window, escape);
        plain = i + 1;
    }
    window_put(window, name.data + plain, name.length - plain);
}

static void put_sha256(struct window *window, const uint8_t *sha256)
{
    static const char hex[] = "0123456789abcdef";
    char text[HEX];

    for (size_t i = 0; i < NUMBERS_SHA256; i++) {
        uint8_t byte = sha256 == NULL ? 0 : sha256[i];
        text[2 * i] = hex[byte >> 4];
        text[2 * i + 1] = hex[byte & 15];
    }
    window_put(window, text, sizeof(text));
}

/* From "chunkSize" to the end of the entry. */
static void put_chunk_end(struct window *window, const struct toc_file *file, uint64_t chunk)
{
    if (chunk + 1 < numbers_count(file->size))
        window_put_view(window, VIEW(FULL));
    window_put_view(window, VIEW(OF_CHUNK));
    put_sha256(window, file->chunks == NULL ? NULL : file->chunks[chunk].sha256);
    window_put_view(window, VIEW(END));
}

static void put_entries(struct window *window, const struct toc_file *file)
{
    if (!file->first)
        window_put_view(window, VIEW(","));
    for (size_t i = file->shared; i < file->name.length; i++) {
        if (file->name.data[i] != '/')
            continue;
        put_name(window, (struct view){file->name.data, i});
        window_put_view(window, VIEW(FOLDER ","));
    }
    put_name(window, file->name);
    window_put_view(window, VIEW(FILE_TYPE));
    if (file->size > 0) {
        window_put_view(window, VIEW(SIZE));
        window_put_number(window, file->size);
    }
    window_put_view(window, VIEW(MODE));
    if (file->size > 0) {
        window_put_view(window, VIEW(OFFSET));
        window_put_number(window, file->offset);
    }
    window_put_view(window, VIEW(DIGEST));
    put_sha256(window, file->sha256);
    if (file->size == 0) {
        window_put_view(window, VIEW(END));
        return;
    }
    window_put_view(window, VIEW("\""));
    put_chunk_end(window, file, 0);
}

/* The last chunk whose entry begins at `within` or before it; `within` counts from where the second
 * one's begins. */
static uint64_t chunk_at(const struct toc_file *file, uint64_t name_length, uint64_t within)
{
    uint64_t low = 1, high = numbers_count(file->size);

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (chunks_length(file, name_length, middle) <= within)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void put_chunks(struct window *window, const struct toc_file *file, uint64_t name_length)
{
    uint64_t count = numbers_count(file->size), chunk = 1;

    if (count > 1 && window->start > window->at) {
        chunk = chunk_at(file, name_length, window->start - window->at);
        window->at += chunks_length(file, name_length, chunk);
    }
    for (; chunk < count && window->at < window->end; chunk++) {
        window_put_view(window, VIEW(","));
        put_name(window, file->name);
        window_put_view(window, VIEW(CHUNK_TYPE OFFSET));
        window_put_number(window, file->offset + chunk * STEP);
        window_put_view(window, VIEW(IN_FILE));
        window_put_number(window, chunk * NUMBERS_CHUNK);
        put_chunk_end(window, file, chunk);
    }
}

void toc_put(struct window *window, const struct toc_file *file)
{
    uint64_t name_length = escaped_length(file->name);
    uint64_t entries = entries_length(file, name_length);
    uint64_t end = window->at + toc_length(file);

    if (window->at + entries > window->start)
        put_entries(window, file);
    else
        window->at += entries;
    put_chunks(window, file, name_length);
    window->at = end;
}
