#include "model/tar.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"

enum {
    NAME_ROOM = 100, /* of ustar's name field */
    HASH_DIGITS = 16,
    SIZE_ROOM = 24,
};

#define USTAR_SIZE_MAX UINT64_C(077777777777)

uint64_t tar_padding(uint64_t size)
{
    return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

static bool fits_name(struct view name)
{
    if (name.length > NAME_ROOM)
        return false;
    for (size_t i = 0; i < name.length; i++)
        if ((unsigned char)name.data[i] > 126)
            return false;
    return true;
}

static size_t digits(size_t number)
{
    size_t count = 1;

    while (number >= 10) {
        number /= 10;
        count++;
    }
    return count;
}

/* A PAX record is "<its own length> <key>=<value>\n". */
static size_t record_length(size_t key, size_t value)
{
    size_t length = 1 + key + 1 + value + 1;

    return length + digits(length + digits(length));
}

static size_t put_size(uint64_t size, char out[SIZE_ROOM])
{
    return (size_t)snprintf(out, SIZE_ROOM, "%" PRIu64, size);
}

/* Bytes of the PAX records; 0 when ustar can hold everything. */
static size_t pax_length(struct view name, uint64_t size)
{
    char text[SIZE_ROOM];
    size_t length = 0;

    if (!fits_name(name))
        length += record_length(4, name.length);
    if (size > USTAR_SIZE_MAX)
        length += record_length(4, put_size(size, text));
    return length;
}

static void put_record(struct window *window, struct view key, struct view value)
{
    window_put_number(window, record_length(key.length, value.length));
    window_put_view(window, VIEW(" "));
    window_put_view(window, key);
    window_put_view(window, VIEW("="));
    window_put_view(window, value);
    window_put_view(window, VIEW("\n"));
}

static void put_ustar(struct window *window, struct view name, uint64_t size, int type,
                      unsigned mode)
{
    char header[TAR_BLOCK] = {0};
    unsigned sum = 0;

    memcpy(header, name.data, name.length);
    snprintf(header + 100, 8, "%07o", mode);
    memcpy(header + 108, "0000000", 8); /* uid */
    memcpy(header + 116, "0000000", 8); /* gid */
    snprintf(header + 124, 12, "%011" PRIo64, size);
    snprintf(header + 136, 12, "%011o", (unsigned)TAR_TIME);
    memset(header + 148, ' ', 8);
    header[156] = (char)type;
    memcpy(header + 257, "ustar\00000", 8);
    memcpy(header + 329, "0000000", 8); /* device numbers */
    memcpy(header + 337, "0000000", 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 7, "%06o", sum & 0777777);
    window_put(window, header, sizeof(header));
}

/* "<prefix><16 hex digits of the name's sha256>": the name of what has a PAX header. */
static struct view hashed_name(const char *prefix, struct view name, char out[NAME_ROOM])
{
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    int length;

    digest_of(DIGEST_SHA256, name.data, name.length, &digest);
    digest_print(&digest, text);
    length = snprintf(out, NAME_ROOM, "%s%.*s", prefix, HASH_DIGITS, text + strlen("sha256:"));
    return (struct view){out, (size_t)length};
}

uint64_t tar_header_length(struct view name, uint64_t size)
{
    size_t pax = pax_length(name, size);

    return TAR_BLOCK + (pax == 0 ? 0 : TAR_BLOCK + pax + tar_padding(pax));
}

void tar_put_header(struct window *window, struct view name, uint64_t size, enum tar_type type,
                    unsigned mode)
{
    char hashed[NAME_ROOM], text[SIZE_ROOM];
    size_t pax = pax_length(name, size);
    uint64_t length = tar_header_length(name, size);

    if (window->at + length <= window->start || window->at >= window->end) {
        window->at += length; /* nothing of it is wanted: spare the hash */
        return;
    }
    if (pax > 0) {
        put_ustar(window, hashed_name("PaxHeaders.0/", name, hashed), pax, 'x', 0644);
        if (!fits_name(name))
            put_record(window, VIEW("path"), name);
        if (size > USTAR_SIZE_MAX)
            put_record(window, VIEW("size"), (struct view){text, put_size(size, text)});
        window_put_zeros(window, tar_padding(pax));
        if (!fits_name(name))
            name = hashed_name("pax/", name, hashed);
    }
    put_ustar(window, name, size > USTAR_SIZE_MAX ? 0 : size, (int)type, mode);
}
