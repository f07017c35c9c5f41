/* Unit tests of what is pinned: roots by tag, by repository and by digest, and what is under them.
 */
#include "cache/pins.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/stats.h"
#include "io/disk.h"

static char folder[64];
static struct config config;
static struct store store;
static struct pins pins;
static struct buf problem, json;

static int setup(void **state)
{
    static const char *const upstreams[] = {"docker.io", "ghcr.io", "quay.io"};

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/entrepot-pins-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    config_init(&config);
    config_drop_upstreams(&config); /* the store needs none here */
    if (config_set(&config, "cache", folder, &problem) != OK ||
        store_open(&store, &config, &problem) != OK)
        return -1;
    pins = (struct pins){0};
    for (size_t i = 0; i < 3; i++)
        if (config_add_upstream(&config, upstreams[i], &problem) != OK)
            return -1;
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
    store_close(&store);
    config_release(&config);
    buf_release(&problem);
    buf_release(&json);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct digest layer(unsigned number)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
    return digest;
}

/* ---- manifests: begun, given children, and put on disk ---- */

static void begin(bool is_index)
{
    buf_clear(&json);
    buf_printf(&json, "{\"schemaVersion\":2,\"%s\":[", is_index ? "manifests" : "layers");
}

static void add(struct digest digest)
{
    char text[DIGEST_TEXT_SIZE];

    buf_printf(&json, "%s{\"digest\":\"%s\",\"size\":1}",
               view_ends_with(view_of_buf(&json), VIEW("[")) ? "" : ",",
               digest_print(&digest, text));
}

static struct digest end(void)
{
    struct digest digest;
    char path[BLOB_PATH_SIZE];

    buf_append_text(&json, "]}");
    digest_of(DIGEST_SHA256, json.data, json.length, &digest);
    blob_path_complete(&digest, path);
    assert_int_equal(disk_make_parents(store.directory, path), OK);
    int fd = openat(store.directory, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(fd, json.data, json.length, 0), OK);
    close(fd);
    return digest;
}

/* Of the layers from `first` on. */
static struct digest image(unsigned first, unsigned count)
{
    begin(false);
    for (unsigned i = 0; i < count; i++)
        add(layer(first + i));
    return end();
}

static struct digest index_of(struct digest one, struct digest other)
{
    begin(true);
    add(one);
    add(other);
    return end();
}

static void tag(const char *upstream, const char *repository, const char *name,
                struct digest digest)
{
    struct tag_record record = {.digest = digest, .size = 1};

    index_put_tag(store.index, upstream, repository, name, &record);
}

static void hold(const char *upstream, const char *repository, struct digest digest)
{
    struct holding_record record = {.size = 1, .is_manifest = true};

    assert_true(view_copy(view_of(upstream), record.upstream, sizeof(record.upstream)));
    index_put_holding(store.index, repository, &digest, &record);
}

/* Computes what these patterns pin. */
static void pin(const char *patterns)
{
    if (config_set(&config, "pin", patterns, &problem) != OK ||
        config_finish(&config, &problem) != OK)
        fail_msg("%s", problem.data);
    index_flush_wait(store.index);
    pins_end(&pins, &store, false);
    pins_compute(&pins, &store);
}

static bool is_pinned(struct digest digest)
{
    return pins_keep(&pins, &digest, 1);
}

/* Which of the layers are pinned, as "1" and "0". */
static void assert_layers(unsigned first, const char *expected)
{
    char found[64] = "";

    for (unsigned i = 0; expected[i] != '\0'; i++)
        found[i] = is_pinned(layer(first + i)) ? '1' : '0';
    assert_string_equal(found, expected);
}

/* ---- the tests ---- */

static void pins_compute__finds_nothing_without_patterns(void **state)
{
    (void)state;
    tag("docker.io", "library/a", "1", image(0, 2));
    pin("");
    assert_true(pins.count == 0 && pins.list == NULL);
    assert_layers(0, "00");
}

static void pins_compute__takes_a_whole_tree(void **state)
{
    struct digest amd64 = image(0, 3), arm64 = image(3, 3), alone = image(6, 2);
    struct digest index = index_of(amd64, arm64);

    (void)state;
    tag("docker.io", "library/a", "1", index);
    tag("docker.io", "library/a", "2", alone);
    pin("a:1");
    assert_true(is_pinned(index) && is_pinned(amd64) && is_pinned(arm64));
    assert_false(is_pinned(alone));
    assert_layers(0, "11111100");
    assert_int_equal(pins.count, 9);
    assert_false(pins.too_many);
}

static void pins_compute__takes_every_manifest_of_a_repository(void **state)
{
    struct digest by_tag = image(0, 1), by_digest = image(1, 1), deeper = image(2, 1);

    (void)state;
    tag("ghcr.io", "acme/x", "1", by_tag);
    hold("ghcr.io", "acme/x", by_digest);
    hold("ghcr.io", "acme/x/y", deeper);
    hold("quay.io", "acme/x", image(3, 1));
    tag("quay.io", "acme/x", "1", image(4, 1));
    pin("ghcr.io/acme/x");
    assert_layers(0, "11000");
    pin("ghcr.io/acme/*");
    assert_layers(0, "11100");
    pin("ghcr.io/acme/*:*");
    assert_layers(0, "10000");
    pin("ghcr.io/acme/x/y quay.io/*:1");
    assert_layers(0, "00101");
}

/* Nothing has to be known of the digest but what is on disk. */
static void pins_compute__takes_a_digest_whoever_has_it(void **state)
{
    struct digest amd64 = image(0, 1), arm64 = image(1, 1), index = index_of(amd64, arm64);
    char text[DIGEST_TEXT_SIZE], pattern[DIGEST_TEXT_SIZE + 32];

    (void)state;
    (void)snprintf(pattern, sizeof(pattern), "quay.io/x@%s", digest_print(&arm64, text));
    pin(pattern);
    assert_true(is_pinned(arm64) && !is_pinned(amd64) && !is_pinned(index));
    assert_layers(0, "01");
    (void)snprintf(pattern, sizeof(pattern), "quay.io/x:1@%s", digest_print(&index, text));
    pin(pattern);
    assert_layers(0, "11");
}

static void pins_compute__follows_a_tag_that_moved(void **state)
{
    struct digest before = image(0, 3), after = image(2, 3); /* they share one */

    (void)state;
    tag("docker.io", "library/a", "1", before);
    hold("docker.io", "library/a", before);
    pin("a:1");
    assert_layers(0, "11100");
    tag("docker.io", "library/a", "1", after);
    hold("docker.io", "library/a", after);
    pin("a:1");
    assert_layers(0, "00111");
    assert_false(is_pinned(before));
    index_delete_tag(store.index, "docker.io", "library/a", "1");
    pin("a:1");
    assert_layers(0, "00000");
}

static void pins_compute__minds_neither_gaps_nor_nonsense(void **state)
{
    struct digest here = image(0, 2), nonsense, index = index_of(here, layer(50));

    (void)state;
    buf_clear(&json);
    buf_append_text(&json, "no manifest [");
    nonsense = end();
    tag("docker.io", "library/a", "1", index);
    tag("docker.io", "library/a", "2", nonsense);
    tag("docker.io", "library/a", "3", layer(60)); /* of which nothing is there */
    pin("a:*");
    assert_true(is_pinned(nonsense) && is_pinned(layer(50)) && is_pinned(layer(60)));
    assert_layers(0, "110");
    assert_int_equal(pins.count, 7);
}

static void pins_compute__leaves_what_is_larger_than_a_manifest_unread(void **state)
{
    (void)state;
    assert_int_equal(config_set(&config, "max_manifest", "64KiB", &problem), OK);
    struct digest small = image(0, 500), large = image(1000, 1000);
    tag("docker.io", "library/a", "1", small);
    tag("docker.io", "library/a", "2", large);
    pin("a:*");
    assert_layers(0, "11");
    assert_layers(1000, "00");
    assert_true(is_pinned(large));
}

static void pins_compute__goes_so_deep_and_says_so(void **state)
{
    (void)state;
    struct digest digest = image(0, 1), other = image(1, 1);
    for (int depth = 1; depth <= PINS_DEPTH_MAX; depth++)
        digest = index_of(digest, other);
    tag("docker.io", "library/a", "1", digest);
    pin("a:1");
    assert_layers(0, "11");
    assert_false(pins.too_many);
    tag("docker.io", "library/a", "1", index_of(digest, other));
    pin("a:1");
    assert_layers(0, "01");
    assert_true(pins.too_many);
}

static void tag_number(const char *repository, unsigned number, struct digest digest)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "%u", number);
    tag("docker.io", repository, name, digest);
}

static void pins_compute__counts_what_images_share_once(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 20; number++)
        tag_number("library/a", number, image(number, 1000));
    pin("a");
    assert_int_equal(pins.count, 20 + 1019);
    assert_true(pins.capacity <= 4096);
}

static void pins_compute__keeps_so_many_and_says_so(void **state)
{
    enum { EACH = MANIFEST_DESCRIPTORS_MAX };

    (void)state;
    for (unsigned number = 0; number * EACH <= 2 * PINS_MAX; number++)
        tag_number("library/a", number, image(number * EACH, EACH));
    pin("a");
    assert_true(pins.too_many);
    assert_true(pins.count > PINS_MAX && pins.count <= 2 * PINS_MAX);
}

static void pins_end__shows_what_was_kept(void **state)
{
    struct digest one = layer(0), other = layer(1), none = layer(2);

    (void)state;
    tag("docker.io", "library/a", "1", image(0, 2));
    pin("a:1");
    assert_true(pins_keep(&pins, &one, 100) && pins_keep(&pins, &other, 20));
    assert_false(pins_keep(&pins, &none, 3));
    pins_end(&pins, &store, false);
    assert_int_equal(stats_get(STAT_PINNED_BLOBS, AT_ALL), 2);
    assert_int_equal(stats_get(STAT_PINNED_BYTES, AT_ALL), 120);
    pin("");
    pins_end(&pins, &store, true);
    assert_int_equal(stats_get(STAT_PINNED_BLOBS, AT_ALL), 0);
    assert_int_equal(stats_get(STAT_PINNED_BYTES, AT_ALL), 0);
    assert_true(pins.said_us == 0); /* nothing is pinned: it is not to blame */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pins_compute__finds_nothing_without_patterns),
        TEST(pins_compute__takes_a_whole_tree),
        TEST(pins_compute__takes_every_manifest_of_a_repository),
        TEST(pins_compute__takes_a_digest_whoever_has_it),
        TEST(pins_compute__follows_a_tag_that_moved),
        TEST(pins_compute__minds_neither_gaps_nor_nonsense),
        TEST(pins_compute__leaves_what_is_larger_than_a_manifest_unread),
        TEST(pins_compute__goes_so_deep_and_says_so),
        TEST(pins_compute__counts_what_images_share_once),
        TEST(pins_compute__keeps_so_many_and_says_so),
        TEST(pins_end__shows_what_was_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
