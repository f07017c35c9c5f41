/* Unit tests of what is pinned of models: images of the catalog and of `pin`, and the files that
 * their layers are computed from. */
#include "model/pinned.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/index.h"
#include "model/image.h"
#include "model/record.h"

static char folder[64];
static struct config config;
static struct store store;
static struct catalogs catalogs;
static struct pinned pinned;
static struct pins pins;
static struct buf problem;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-pinned-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    config_drop_upstreams(&config); /* the store needs none here */
    if (config_set(&config, "cache", folder, &problem) != OK ||
        store_open(&store, &config, &problem) != OK ||
        config_add_upstream(&config, "hf", &problem) != OK)
        return -1;
    catalogs_init(&catalogs, catalog_new());
    pinned_init(&pinned, &catalogs);
    pins = (struct pins){.source = &pinned.source};
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    pins_end(&pins, &store, false);
    catalogs_release(&catalogs);
    store_close(&store);
    config_release(&config);
    buf_release(&problem);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct digest digest_number(unsigned number)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
    return digest;
}

/* A layer of two files: `number` and the one after it. */
static struct image_layer layer(unsigned number)
{
    char name[] = "a";
    struct layer_file files[2] = {{.name = name, .size = 1}, {.name = name, .size = 1}};
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION,
                                  .size = 100,
                                  .uncompressed = 50,
                                  .diff_id = digest_number(1),
                                  .toc_digest = digest_number(1),
                                  .files = files,
                                  .count = 2};
    struct digest digest = digest_number(1000 + number);
    struct buf value = {0};

    for (unsigned i = 0; i < 2; i++)
        memcpy(files[i].sha256, digest_number(number + i).bytes, sizeof(files[i].sha256));
    layer_record_encode(&record, &value);
    index_put_note(store.index, INDEX_NOTE_LAYER, digest.bytes, view_of_buf(&value));
    buf_release(&value);
    return (struct image_layer){.digest = digest, .size = 100};
}

/* An image of one layer, under that tag. */
static void import(const char *repository, const char *tag, unsigned number)
{
    struct image_layer of = layer(number);
    struct image_spec spec = {.revision = "0123456789abcdef0123456789abcdef01234567",
                              .source = "",
                              .license = "",
                              .layers = &of,
                              .layer_count = 1};
    struct tag_record record = {.size = 1};
    struct holding_record holding = {.size = 1, .is_manifest = true};
    struct image image;
    struct buf value = {0};

    image_init(&image, &spec);
    for (size_t i = 0; i < IMAGE_PARTS; i++) {
        struct document_record document = {.bytes = view_of_buf(&image.parts[i].bytes)};
        assert_true(view_copy(view_of(image.parts[i].media_type), document.media_type,
                              sizeof(document.media_type)));
        buf_clear(&value);
        document_record_encode(&document, &value);
        index_put_note(store.index, INDEX_NOTE_DOCUMENT, image.parts[i].digest.bytes,
                       view_of_buf(&value));
    }
    record.digest = image.parts[IMAGE_INDEX].digest;
    index_put_tag(store.index, "hf", repository, tag, &record);
    assert_true(view_copy(VIEW("hf"), holding.upstream, sizeof(holding.upstream)));
    index_put_holding(store.index, repository, &record.digest, &holding);
    buf_release(&value);
    image_release(&image);
}

static void compute(const char *catalog_text, const char *patterns)
{
    struct catalog *catalog = catalog_new();

    if (config_set(&config, "pin", patterns, &problem) != OK ||
        config_finish(&config, &problem) != OK ||
        catalog_read_text(catalog, &config, view_of(catalog_text), "c", CATALOG_ITSELF, &problem) !=
            OK)
        fail_msg("%s", problem.data);
    catalogs_set(&catalogs, catalog);
    index_flush_wait(store.index);
    pins_end(&pins, &store, false);
    pins_compute(&pins, &store);
}

static bool keeps(unsigned number)
{
    struct digest digest = digest_number(number);

    return pins_keep(&pins, &digest, 1);
}

static void pinned__keeps_the_files_of_the_catalogs_images(void **state)
{
    (void)state;
    import("org/model", "latest", 10);
    import("org/model", "v1", 20);
    import("org/other", "latest", 30);
    compute("models: [{name: org/model}, {name: org/none}]\n", "");
    assert_true(keeps(10) && keeps(11) && keeps(1010));
    assert_false(keeps(20) || keeps(21) || keeps(30));
    compute("models: [{name: org/model, tag: v1}]\n", "");
    assert_true(keeps(20) && keeps(21));
    assert_false(keeps(10) || keeps(11));
    compute("", "");
    assert_int_equal(pins.count, 0);
}

static void pinned__keeps_what_pin_means(void **state)
{
    (void)state;
    import("org/model", "latest", 10);
    import("org/model", "v1", 20);
    import("acme/model", "latest", 30);
    compute("", "hf/org/*");
    assert_true(keeps(10) && keeps(11) && keeps(20) && keeps(21));
    assert_false(keeps(30));
    compute("", "hf/org/model:v1");
    assert_true(keeps(20) && keeps(21));
    assert_false(keeps(10) || keeps(30));
    compute("models: [{name: acme/model}]\n", "hf/org/model:v1");
    assert_true(keeps(20) && keeps(30));
    assert_false(keeps(10));
}

static void pinned__follows_a_tag_that_moved(void **state)
{
    (void)state;
    import("org/model", "latest", 10);
    import("org/model", "latest", 20);
    compute("models: [{name: org/model}]\n", "");
    assert_true(keeps(20));
    assert_false(keeps(10));
}

static void pinned__minds_no_nonsense(void **state)
{
    struct digest digest = digest_number(1010);

    (void)state;
    import("org/model", "latest", 10);
    index_put_note(store.index, INDEX_NOTE_LAYER, digest.bytes, VIEW("nonsense"));
    compute("models: [{name: org/model}]\n", "");
    assert_true(keeps(1010));
    assert_false(keeps(10));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pinned__keeps_the_files_of_the_catalogs_images),
        TEST(pinned__keeps_what_pin_means),
        TEST(pinned__follows_a_tag_that_moved),
        TEST(pinned__minds_no_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
