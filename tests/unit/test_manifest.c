/* Unit tests of reading manifests and indexes. */
#include "wire/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define OCI_IMAGE "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define DESCRIPTOR(type, last_digit, size)                                                         \
    "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX64 #last_digit "\",\"size\":" #size "}"

static struct manifest manifest;

static enum manifest_kind parse(const char *json)
{
    manifest_release(&manifest);
    manifest_parse(view_of(json), &manifest);
    return manifest.kind;
}

static int release(void **state)
{
    (void)state;
    manifest_release(&manifest);
    return 0;
}

static void assert_descriptor(size_t i, int last_digit, uint64_t size, const char *media_type)
{
    assert_true(i < manifest.count);
    assert_int_equal(manifest.descriptors[i].digest.bytes[31] & 15, last_digit);
    assert_true(manifest.descriptors[i].size == size);
    assert_string_equal(manifest.descriptors[i].media_type, media_type);
    assert_int_equal(manifest.descriptors[i].is_manifest, manifest.kind == MANIFEST_INDEX);
}

static void manifest_parse__reads_an_image(void **state)
{
    (void)state;
    const char *json =
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_IMAGE "\",\"config\":" DESCRIPTOR(
            "application/vnd.oci.image.config.v1+json", 1,
            7) ",\"layers\":[" DESCRIPTOR(OCI_LAYER, 2,
                                          5368709120) "," DESCRIPTOR(OCI_LAYER, 3,
                                                                     0) "],\"annotations\":{}}\n";

    assert_int_equal(parse(json), MANIFEST_IMAGE);
    assert_string_equal(manifest.media_type, OCI_IMAGE);
    assert_int_equal(manifest.count, 3);
    assert_descriptor(0, 1, 7, "application/vnd.oci.image.config.v1+json");
    assert_descriptor(1, 2, 5368709120, OCI_LAYER);
    assert_descriptor(2, 3, 0, OCI_LAYER);
}

static void manifest_parse__reads_an_index(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"mediaType\":\"application/vnd.docker.distribution.manifest.list.v2"
                           "+json\",\"manifests\":[" DESCRIPTOR(OCI_IMAGE, 4, 500) "]}"),
                     MANIFEST_INDEX);
    assert_string_equal(manifest.media_type,
                        "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_int_equal(manifest.count, 1);
    assert_descriptor(0, 4, 500, OCI_IMAGE);
}

static void manifest_parse__guesses_the_type_from_the_shape(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"manifests\":[]}"), MANIFEST_INDEX);
    assert_string_equal(manifest.media_type, OCI_INDEX);
    assert_int_equal(parse("{\"config\":{},\"layers\":[]}"), MANIFEST_IMAGE);
    assert_string_equal(manifest.media_type, OCI_IMAGE);
    assert_int_equal(manifest.count, 0);
    assert_int_equal(parse("{\"blobs\":[" DESCRIPTOR("a/b", 5, 1) "]}"), MANIFEST_IMAGE);
    assert_string_equal(manifest.media_type, "application/vnd.oci.artifact.manifest.v1+json");
    assert_descriptor(0, 5, 1, "a/b");
    assert_int_equal(parse("{\"mediaType\":\"a\\r\\nb\",\"manifests\":[]}"), MANIFEST_INDEX);
    assert_string_equal(manifest.media_type, OCI_INDEX);
}

static void manifest_parse__keeps_a_type_it_does_not_know(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"mediaType\":\"Application/X+JSON; charset=utf-8\",\"layers\":[]}"),
                     MANIFEST_IMAGE);
    assert_string_equal(manifest.media_type, "application/x+json");
}

/* CVE-2021-41190: what two readers could take for different things. */
static void manifest_parse__does_not_know_what_is_ambiguous(void **state)
{
    (void)state;
    static const char *ambiguous[] = {
        "{\"manifests\":[],\"layers\":[]}",
        "{\"manifests\":[],\"config\":{}}",
        "{\"manifests\":[],\"blobs\":[]}",
        "{\"layers\":[],\"blobs\":[]}",
        "{\"mediaType\":\"" OCI_INDEX "\",\"config\":{},\"layers\":[]}",
        "{\"mediaType\":\"" OCI_IMAGE "\",\"manifests\":[" DESCRIPTOR("a/b", 1, 1) "]}",
    };

    for (size_t i = 0; i < sizeof(ambiguous) / sizeof(ambiguous[0]); i++) {
        assert_int_equal(parse(ambiguous[i]), MANIFEST_UNKNOWN);
        assert_int_equal(manifest.count, 0);
    }
}

static void manifest_parse__does_not_know_other_documents(void **state)
{
    (void)state;
    static const char *others[] = {
        "",
        "null",
        "[]",
        "5",
        "{}",
        "{\"layers\":{}}",
        "{\"layers\":[]",
        "{\"layers\":[]} x",
        "<html>",
        "\xff\xfe",
        "\"",
        "{\"layers\":[],\"x\":\"\\u0000\"}",
        ("{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"sha256:" HEX64 "0\"}]}"),
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(parse(others[i]), MANIFEST_UNKNOWN);
}

static void manifest_parse__leaves_out_unusable_descriptors(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"config\":null,\"layers\":[1,null,[],{},{\"digest\":\"sha256:" HEX64 "1\"},"
              "{\"digest\":\"sha256:" HEX64 "1\",\"size\":-1},"
              "{\"digest\":\"sha256:" HEX64 "1\",\"size\":1.0},"
              "{\"digest\":\"sha256:" HEX64 "1\",\"size\":\"1\"},"
              "{\"digest\":\"sha256:" HEX64 "\",\"size\":1},"
              "{\"digest\":5,\"size\":1},"
              "{\"digest\":\"sha256:" HEX64 "1\",\"size\":9223372036854775807,\"mediaType\":5},"
              "{\"digest\":\"sha256:" HEX64 "2\",\"size\":1,\"urls\":[\"http://x/\"]}]}"),
        MANIFEST_IMAGE);
    assert_int_equal(manifest.count, 2);
    assert_descriptor(0, 1, INT64_MAX, "");
    assert_descriptor(1, 2, 1, "");
}

static void manifest_parse__drops_a_media_type_that_is_too_long(void **state)
{
    (void)state;
    for (int length = MANIFEST_MEDIA_TYPE_SIZE - 1; length <= MANIFEST_MEDIA_TYPE_SIZE; length++) {
        struct buf json = {0};
        buf_printf(&json,
                   "{\"layers\":[{\"mediaType\":\"a/%0*d\",\"size\":1,"
                   "\"digest\":\"sha256:" HEX64 "1\"}]}",
                   length - 2, 0);
        assert_int_equal(parse(json.data), MANIFEST_IMAGE);
        assert_int_equal(manifest.count, 1);
        assert_int_equal(strlen(manifest.descriptors[0].media_type),
                         length < MANIFEST_MEDIA_TYPE_SIZE ? length : 0);
        buf_release(&json);
    }
}

static void manifest_parse__limits_the_number_of_descriptors(void **state)
{
    (void)state;
    struct buf json = {0};

    buf_append_text(&json, "{\"layers\":[");
    for (int i = 0; i <= MANIFEST_DESCRIPTORS_MAX; i++)
        buf_append_text(&json, DESCRIPTOR(OCI_LAYER, 1, 1) ",");
    buf_append_text(&json, DESCRIPTOR(OCI_LAYER, 1, 1) "]}");
    assert_int_equal(parse(json.data), MANIFEST_IMAGE);
    assert_int_equal(manifest.count, MANIFEST_DESCRIPTORS_MAX);
    buf_release(&json);
}

/* `text`, `count` times. */
static void append_many(struct buf *buf, const char *text, size_t many)
{
    for (size_t i = 0; i < many; i++)
        buf_append_text(buf, text);
}

/* A hostile document must cost neither stack nor memory; brackets in strings do not count. */
static void manifest_parse__refuses_what_is_deep_or_crowded(void **state)
{
    (void)state;
    static const char *unit[] = {"[", "[],", "1,", "{},"};
    struct buf json = {0};

    for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
        buf_clear(&json);
        buf_append_text(&json, "{\"layers\":[],\"x\":[");
        append_many(&json, unit[i], 1000000);
        buf_append_text(&json, "1]");
        if (i == 0)
            append_many(&json, "]", 1000000);
        buf_append_text(&json, "}");
        assert_int_equal(parse(json.data), MANIFEST_UNKNOWN);
    }
    buf_clear(&json);
    buf_append_text(&json, "{\"layers\":[],\"x\":\"");
    append_many(&json, "[[,\\\"", 1000000);
    buf_append_text(&json, "\"}");
    assert_int_equal(parse(json.data), MANIFEST_IMAGE);
    buf_release(&json);
}

#define TEST(name) cmocka_unit_test_teardown(name, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(manifest_parse__reads_an_image),
        TEST(manifest_parse__reads_an_index),
        TEST(manifest_parse__guesses_the_type_from_the_shape),
        TEST(manifest_parse__keeps_a_type_it_does_not_know),
        TEST(manifest_parse__does_not_know_what_is_ambiguous),
        TEST(manifest_parse__does_not_know_other_documents),
        TEST(manifest_parse__leaves_out_unusable_descriptors),
        TEST(manifest_parse__drops_a_media_type_that_is_too_long),
        TEST(manifest_parse__limits_the_number_of_descriptors),
        TEST(manifest_parse__refuses_what_is_deep_or_crowded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
