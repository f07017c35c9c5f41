/* Makes the documents of compare_images.py. Reads, for each image, a line "<revision> <source in
 * hex> <license in hex, or -> <count of its layers>" and for each layer "<digest> <size> <diffID>
 * <uncompressed size> <TOC digest>"; prints each document as "<digest> <media type> <bytes in hex>"
 * in the order of enum image_part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "model/image.h"

enum { LINE = 8192 };

static struct view next_field(struct view *rest)
{
    struct view field = view_cut(rest, ' ');

    CHECK(field.length > 0);
    return field;
}

static uint64_t next_number(struct view *rest)
{
    uint64_t value;

    CHECK(view_to_uint64(next_field(rest), &value));
    return value;
}

static struct digest next_digest(struct view *rest)
{
    struct digest digest;

    CHECK(digest_parse(next_field(rest), &digest));
    return digest;
}

static void next_text(struct view *rest, char text[LINE])
{
    struct view hex = next_field(rest);
    size_t count = view_equal(hex, VIEW("-")) ? 0 : hex.length / 2;

    for (size_t i = 0; i < count; i++) {
        char byte[3] = {hex.data[2 * i], hex.data[2 * i + 1]};
        text[i] = (char)strtoul(byte, NULL, 16);
    }
    text[count] = '\0';
}

static bool read_line(char line[LINE], struct view *ret_rest)
{
    if (fgets(line, LINE, stdin) == NULL)
        return false;
    line[strcspn(line, "\n")] = '\0';
    *ret_rest = view_of(line);
    return true;
}

static void print(const struct image_document *document)
{
    char text[DIGEST_TEXT_SIZE];

    printf("%s %s ", digest_print(&document->digest, text), document->media_type);
    for (size_t i = 0; i < document->bytes.length; i++)
        printf("%02x", (unsigned char)document->bytes.data[i]);
    printf("\n");
}

int main(void)
{
    static char line[LINE], revision[LINE], source[LINE], license[LINE];
    struct image_layer layers[IMAGE_LAYERS_MAX];
    struct view rest;

    while (read_line(line, &rest)) {
        struct image_spec spec = {revision, source, license, layers, 0};
        struct image image;
        CHECK(view_copy(next_field(&rest), revision, LINE));
        next_text(&rest, source);
        next_text(&rest, license);
        spec.layer_count = next_number(&rest);
        CHECK(spec.layer_count <= IMAGE_LAYERS_MAX);
        for (size_t i = 0; i < spec.layer_count; i++) {
            CHECK(read_line(line, &rest));
            layers[i].digest = next_digest(&rest);
            layers[i].size = next_number(&rest);
            layers[i].diff_id = next_digest(&rest);
            layers[i].uncompressed = next_number(&rest);
            layers[i].toc_digest = next_digest(&rest);
        }
        image_init(&image, &spec);
        for (size_t i = 0; i < IMAGE_PARTS; i++)
            print(&image.parts[i]);
        image_release(&image);
    }
    return 0;
}
