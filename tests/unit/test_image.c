/* Unit tests of the documents of an image: golden bytes, and what they must be whatever is in them.
 * tests/oracle/compare_images.py compares many with those that Python makes. */
#include "model/image.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "wire/manifest.h"

#define REVISION "0123456789abcdef0123456789abcdef01234567"
#define SOURCE   "https://huggingface.co/Org/Model"

/* The golden layer of models.md, section 6. */
#define LAYER   "sha256:fa64a37de8f096ee72e708be6fda25994bc4ac6fff01a8e885e8884010cb309b"
#define DIFF_ID "sha256:8607637a333b51c30ea752cdc5c465342d939865630ae77831fa5643e8773b40"
#define TOC     "sha256:4847f0096c0009198ea51d4d186a6f1fd5c859433b35a4066b69d87c1bbbb5b2"

static struct digest parsed(const char *text)
{
    struct digest digest;

    assert_true(digest_parse(view_of(text), &digest));
    return digest;
}

static struct image_layer golden_layer(void)
{
    return (struct image_layer){parsed(LAYER), parsed(DIFF_ID), parsed(TOC), 5821, 5632};
}

/* ---- golden ---- */

static void assert_document(const struct image *image, enum image_part part, const char *media_type,
                            const char *digest, const char *bytes)
{
    const struct image_document *document = &image->parts[part];
    char text[DIGEST_TEXT_SIZE];

    assert_int_equal(document->bytes.length, strlen(bytes));
    assert_string_equal(document->bytes.data, bytes);
    assert_string_equal(digest_print(&document->digest, text), digest);
    assert_string_equal(document->media_type, media_type);
}

#define CONFIG(architecture)                                                                       \
    "{\"architecture\":\"" architecture "\",\"os\":\"linux\",\"config\":{\"WorkingDir\":\"/\"},"   \
    "\"created\":\"1980-01-01T00:00:00Z\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["          \
    "\"sha256:8607637a333b51c30ea752cdc5c465342d939865630ae77831fa5643e8773b40\"]},\"history\":["  \
    "{\"created\":\"1980-01-01T00:00:00Z\",\"created_by\":\"layout v1\"}]}"

#define ANNOTATIONS                                                                                \
    "\"annotations\":{\"org.opencontainers.image.licenses\":\"mit\","                              \
    "\"org.opencontainers.image.revision\":\"0123456789abcdef0123456789abcdef01234567\","          \
    "\"org.opencontainers.image.source\":\"https://huggingface.co/Org/Model\"}"

#define MANIFEST(config)                                                                           \
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","           \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" config  \
    "\",\"size\":284},\"layers\":[{\"mediaType\":"                                                 \
    "\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":"                                  \
    "\"sha256:fa64a37de8f096ee72e708be6fda25994bc4ac6fff01a8e885e8884010cb309b\",\"size\":5821,"   \
    "\"annotations\":{\"containerd.io/snapshot/stargz/toc.digest\":"                               \
    "\"sha256:4847f0096c0009198ea51d4d186a6f1fd5c859433b35a4066b69d87c1bbbb5b2\","                 \
    "\"io.containers.estargz.uncompressed-size\":\"5632\"}}]," ANNOTATIONS "}"

#define ENTRY(manifest, architecture)                                                              \
    "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"" manifest         \
    "\",\"size\":790," ANNOTATIONS ",\"platform\":{\"architecture\":\"" architecture               \
    "\",\"os\":\"linux\"}}"

#define CONFIG_AMD64   "sha256:36276e6b661209b6922ce1d2b2a4648ca624113697c4aa0aca51ee12332735a0"
#define CONFIG_ARM64   "sha256:5d1504686845a879d16194b2815e6d731b70446175c5d6b0885e73c9ad998ffa"
#define MANIFEST_AMD64 "sha256:6351b45970431f00a5466630ac7f0753380d77a0a4dc4a186d44157120e076fd"
#define MANIFEST_ARM64 "sha256:3af933c1843c0ab4cd647ad757abfc3c088987272db4e2e62a6b97a403a8e94a"
#define INDEX          "sha256:af0a8cfe6b5bfd11fd2220e052e0e94e1f709c56844dcd4c2515003b0e2bf4aa"

/* These bytes can never change: their digests are in other people's Dockerfiles and locks. */
static void image_init__makes_the_golden_image(void **state)
{
    struct image_layer layer = golden_layer();
    struct image_spec spec = {REVISION, SOURCE, "mit", &layer, 1};
    struct image image;

    (void)state;
    image_init(&image, &spec);
    assert_document(&image, IMAGE_CONFIG_AMD64, IMAGE_CONFIG_TYPE, CONFIG_AMD64, CONFIG("amd64"));
    assert_document(&image, IMAGE_CONFIG_ARM64, IMAGE_CONFIG_TYPE, CONFIG_ARM64, CONFIG("arm64"));
    assert_document(&image, IMAGE_MANIFEST_AMD64, IMAGE_MANIFEST_TYPE, MANIFEST_AMD64,
                    MANIFEST(CONFIG_AMD64));
    assert_document(&image, IMAGE_MANIFEST_ARM64, IMAGE_MANIFEST_TYPE, MANIFEST_ARM64,
                    MANIFEST(CONFIG_ARM64));
    assert_document(&image, IMAGE_INDEX, IMAGE_INDEX_TYPE, INDEX,
                    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\""
                    ",\"manifests\":[" ENTRY(MANIFEST_AMD64, "amd64") "," ENTRY(
                        MANIFEST_ARM64, "arm64") "]," ANNOTATIONS "}");
    image_release(&image);
    for (size_t i = 0; i < IMAGE_PARTS; i++)
        assert_true(image.parts[i].bytes.data == NULL && image.parts[i].media_type == NULL);
}

/* ---- whatever is in them ---- */

static json_t *at(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    assert_non_null(value);
    return value;
}

static void assert_text(json_t *object, const char *key, const char *expected)
{
    assert_string_equal(json_string_value(at(object, key)), expected);
}

static json_t *load(const struct image_document *document)
{
    struct digest digest;
    json_t *root =
        json_loadb(document->bytes.data, document->bytes.length, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(root);
    digest_of(DIGEST_SHA256, document->bytes.data, document->bytes.length, &digest);
    assert_true(digest_equal(&digest, &document->digest));
    return root;
}

/* That a descriptor is the document's. */
static void assert_points_at(json_t *descriptor, const struct image_document *document)
{
    char text[DIGEST_TEXT_SIZE];

    assert_text(descriptor, "mediaType", document->media_type);
    assert_text(descriptor, "digest", digest_print(&document->digest, text));
    assert_int_equal(json_integer_value(at(descriptor, "size")), document->bytes.length);
}

static void assert_annotated(json_t *object, const struct image_spec *spec)
{
    json_t *annotations = at(object, "annotations");

    assert_text(annotations, "org.opencontainers.image.revision", spec->revision);
    assert_text(annotations, "org.opencontainers.image.source", spec->source);
    if (spec->license[0] != '\0')
        assert_text(annotations, "org.opencontainers.image.licenses", spec->license);
    assert_int_equal(json_object_size(annotations), spec->license[0] != '\0' ? 3 : 2);
}

static void assert_config(const struct image_document *document, const struct image_spec *spec,
                          const char *architecture)
{
    json_t *config = load(document), *diff_ids = at(at(config, "rootfs"), "diff_ids");
    char text[DIGEST_TEXT_SIZE];

    assert_text(config, "architecture", architecture);
    assert_text(config, "os", "linux");
    assert_text(at(config, "rootfs"), "type", "layers");
    assert_int_equal(json_array_size(diff_ids), spec->layer_count);
    assert_int_equal(json_array_size(at(config, "history")), spec->layer_count);
    for (size_t i = 0; i < spec->layer_count; i++)
        assert_string_equal(json_string_value(json_array_get(diff_ids, i)),
                            digest_print(&spec->layers[i].diff_id, text));
    json_decref(config);
}

static void assert_manifest(const struct image_document *document, const struct image_spec *spec,
                            const struct image_document *config)
{
    json_t *manifest = load(document), *layers = at(manifest, "layers");
    char text[DIGEST_TEXT_SIZE];

    assert_int_equal(json_integer_value(at(manifest, "schemaVersion")), 2);
    assert_text(manifest, "mediaType", document->media_type);
    assert_points_at(at(manifest, "config"), config);
    assert_annotated(manifest, spec);
    assert_int_equal(json_array_size(layers), spec->layer_count);
    for (size_t i = 0; i < spec->layer_count; i++) {
        const struct image_layer *layer = &spec->layers[i];
        json_t *one = json_array_get(layers, i), *annotations = at(one, "annotations");
        assert_text(one, "mediaType", IMAGE_LAYER_TYPE);
        assert_text(one, "digest", digest_print(&layer->digest, text));
        assert_true((uint64_t)json_integer_value(at(one, "size")) == layer->size);
        assert_text(annotations, "containerd.io/snapshot/stargz/toc.digest",
                    digest_print(&layer->toc_digest, text));
        snprintf(text, sizeof(text), "%" PRIu64, layer->uncompressed);
        assert_text(annotations, "io.containers.estargz.uncompressed-size", text);
    }
    json_decref(manifest);
}

static void assert_index(const struct image *image, const struct image_spec *spec)
{
    json_t *index = load(&image->parts[IMAGE_INDEX]), *manifests = at(index, "manifests");

    assert_int_equal(json_integer_value(at(index, "schemaVersion")), 2);
    assert_text(index, "mediaType", IMAGE_INDEX_TYPE);
    assert_annotated(index, spec);
    assert_int_equal(json_array_size(manifests), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *one = json_array_get(manifests, i);
        assert_points_at(one, &image->parts[IMAGE_MANIFEST_AMD64 + i]);
        assert_annotated(one, spec);
        assert_text(at(one, "platform"), "os", "linux");
        assert_text(at(one, "platform"), "architecture", i == 0 ? "amd64" : "arm64");
    }
    json_decref(index);
}

static void assert_image(const struct image *image, const struct image_spec *spec)
{
    for (size_t i = 0; i < IMAGE_PARTS; i++)
        assert_true(image->parts[i].bytes.length < 64 << 10);
    assert_config(&image->parts[IMAGE_CONFIG_AMD64], spec, "amd64");
    assert_config(&image->parts[IMAGE_CONFIG_ARM64], spec, "arm64");
    for (size_t i = 0; i < 2; i++)
        assert_manifest(&image->parts[IMAGE_MANIFEST_AMD64 + i], spec,
                        &image->parts[IMAGE_CONFIG_AMD64 + i]);
    assert_index(image, spec);
}

/* `count` layers, no two alike, with the longest numbers there are. */
static void fill(struct image_layer *layers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        digest_of(DIGEST_SHA256, &i, sizeof(i), &layers[i].digest);
        digest_of(DIGEST_SHA256, layers[i].digest.bytes, 32, &layers[i].diff_id);
        digest_of(DIGEST_SHA256, layers[i].diff_id.bytes, 32, &layers[i].toc_digest);
        layers[i].size = INT64_MAX - i;
        layers[i].uncompressed = INT64_MAX - 1000 - i;
    }
}

static void image_init__makes_documents_that_point_at_each_other(void **state)
{
    struct image_layer layers[IMAGE_LAYERS_MAX];
    struct image image;

    (void)state;
    fill(layers, IMAGE_LAYERS_MAX);
    for (size_t count = 0; count <= IMAGE_LAYERS_MAX; count++) {
        struct image_spec spec = {REVISION, SOURCE, count % 2 == 0 ? "" : "apache-2.0", layers,
                                  count};
        image_init(&image, &spec);
        assert_image(&image, &spec);
        image_release(&image);
    }
}

static void image_init__makes_what_our_own_parser_reads(void **state)
{
    struct image_layer layers[3];
    struct image_spec spec = {REVISION, SOURCE, "mit", layers, 3};
    struct manifest manifest;
    struct image image;

    (void)state;
    fill(layers, 3);
    image_init(&image, &spec);
    manifest_parse(view_of_buf(&image.parts[IMAGE_MANIFEST_ARM64].bytes), &manifest);
    assert_int_equal(manifest.kind, MANIFEST_IMAGE);
    assert_int_equal(manifest.count, 4);
    assert_true(
        digest_equal(&manifest.descriptors[0].digest, &image.parts[IMAGE_CONFIG_ARM64].digest));
    for (size_t i = 0; i < 3; i++)
        assert_true(digest_equal(&manifest.descriptors[1 + i].digest, &layers[i].digest));
    manifest_release(&manifest);
    manifest_parse(view_of_buf(&image.parts[IMAGE_INDEX].bytes), &manifest);
    assert_int_equal(manifest.kind, MANIFEST_INDEX);
    assert_int_equal(manifest.count, 2);
    manifest_release(&manifest);
    image_release(&image);
}

static bool is_same(const struct image *a, const struct image *b, enum image_part part)
{
    return view_equal(view_of_buf(&a->parts[part].bytes), view_of_buf(&b->parts[part].bytes));
}

/* Nothing but the spec is in it; and of the spec, what describes the commit is in annotations. */
static void image_init__changes_no_config_with_the_revision(void **state)
{
    struct image_layer layers[2];
    struct image_spec spec = {REVISION, SOURCE, "mit", layers, 2};
    struct image first, again, other;

    (void)state;
    fill(layers, 2);
    image_init(&first, &spec);
    image_init(&again, &spec);
    spec.revision = "fffffffffffffffffffffffffffffffffffffff0";
    image_init(&other, &spec);
    for (size_t i = 0; i < IMAGE_PARTS; i++)
        assert_true(is_same(&first, &again, (enum image_part)i));
    assert_true(is_same(&first, &other, IMAGE_CONFIG_AMD64));
    assert_true(is_same(&first, &other, IMAGE_CONFIG_ARM64));
    assert_false(is_same(&first, &other, IMAGE_MANIFEST_AMD64));
    assert_false(is_same(&first, &other, IMAGE_MANIFEST_ARM64));
    assert_false(is_same(&first, &other, IMAGE_INDEX));
    image_release(&first);
    image_release(&again);
    image_release(&other);
}

/* ---- texts of others ---- */

static void assert_license(const char *license, const char *expected)
{
    struct image_layer layer = golden_layer();
    struct image_spec spec = {REVISION, SOURCE, license, &layer, 1};
    struct image image;

    image_init(&image, &spec);
    spec.license = expected;
    assert_image(&image, &spec);
    image_release(&image);
}

static void image_init__holds_hostile_texts(void **state)
{
    char all[IMAGE_LICENSE_MAX + 2] = "";

    (void)state;
    assert_license("\"},\"layers\":[]}", "\"},\"layers\":[]}");
    assert_license("\\\"\n\t\x01\x1f\x7f", "\\\"\n\t\x01\x1f\x7f");
    assert_license("\xe6\xa8\xa1\xf0\x9f\x98\x80", "\xe6\xa8\xa1\xf0\x9f\x98\x80");
    assert_license("a\xff\xc0\x80z", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    memset(all, '\x01', IMAGE_LICENSE_MAX);
    assert_license(all, all);
    all[IMAGE_LICENSE_MAX] = 'x';
    assert_license(all, ""); /* too long */
}

/* As the header says, also with the longest of everything. */
static void image_init__keeps_documents_short(void **state)
{
    struct image_layer layers[IMAGE_LAYERS_MAX];
    char source[1025] = "", license[IMAGE_LICENSE_MAX + 1] = "";
    struct image_spec spec = {REVISION, source, license, layers, IMAGE_LAYERS_MAX};
    struct image image;

    (void)state;
    fill(layers, IMAGE_LAYERS_MAX);
    memset(source, '\x01', 1024);
    memset(license, '\x01', IMAGE_LICENSE_MAX);
    image_init(&image, &spec);
    assert_image(&image, &spec);
    image_release(&image);
}

/* Also a frozen one: which escapes there are is a choice. */
static void image_init__escapes_as_it_always_did(void **state)
{
    struct image_spec spec = {REVISION, "s\n\"\\\x7f<&/\xc3\xa9", "\t\xff", NULL, 0};
    struct image image;

    (void)state;
    image_init(&image, &spec);
    assert_non_null(strstr(image.parts[IMAGE_INDEX].bytes.data,
                           "\"org.opencontainers.image.licenses\":\"\\u0009\\ufffd\","));
    assert_non_null(
        strstr(image.parts[IMAGE_INDEX].bytes.data,
               "\"org.opencontainers.image.source\":\"s\\u000a\\\"\\\\\\u007f<&/\xc3\xa9\"}"));
    image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_init__makes_the_golden_image),
        cmocka_unit_test(image_init__makes_documents_that_point_at_each_other),
        cmocka_unit_test(image_init__makes_what_our_own_parser_reads),
        cmocka_unit_test(image_init__changes_no_config_with_the_revision),
        cmocka_unit_test(image_init__holds_hostile_texts),
        cmocka_unit_test(image_init__keeps_documents_short),
        cmocka_unit_test(image_init__escapes_as_it_always_did),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
