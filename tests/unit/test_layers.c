/* Unit tests of the table of opened layers. How it is opened by a flight is tested by
 * tests/e2e/test_layers.py. */
#include "model/layers.h"

#include <pthread.h>

#include "layer_helpers.h"

static struct layers table;

static int setup_table(void **state)
{
    layers_init(&table);
    return setup(state);
}

static int teardown_table(void **state)
{
    layers_release(&table);
    return teardown(state);
}

/* Opens it, and puts it into the table. */
static struct layer *add(const struct digest *digest)
{
    struct layer *layer = NULL;

    assert_int_equal(layer_open(catalog, digest, &layer), OK);
    layers_add(&table, layer, layers_age(&table, digest));
    return layer;
}

static void layers_find__gives_what_was_added(void **state)
{
    (void)state;
    struct digest one = put_layer("1"), two = put_layer("2");

    assert_null(layers_find(&table, &one));
    struct layer *layer = add(&one);
    assert_null(layers_find(&table, &two));
    assert_ptr_equal(layers_find(&table, &one), layer);
    assert_ptr_equal(layers_find(&table, &one), layer);
    assert_null(layers_unref(&table, layer));
    assert_null(layers_unref(&table, layer));
    assert_ptr_equal(layers_find(&table, &one), layer); /* nobody had it, and it has stayed */
    layers_unref(&table, layer);
}

static void layers_add__keeps_the_one_that_is_there(void **state)
{
    (void)state;
    struct digest digest = put_layer("");

    struct layer *first = add(&digest);
    (void)add(&digest);
    assert_ptr_equal(layers_find(&table, &digest), first);
    layers_unref(&table, first);
}

static void layers_forget__leaves_it_to_those_who_have_it(void **state)
{
    (void)state;
    struct digest digest = put_layer("");

    (void)add(&digest);
    struct layer *layer = layers_find(&table, &digest);
    layers_forget(&table, &digest);
    assert_null(layers_find(&table, &digest));
    struct layer *second = add(&digest);
    assert_ptr_equal(layers_find(&table, &digest), second);
    assert_int_equal(layer->record.count, LAYER_FILES);
    layers_unref(&table, layer);
    layers_unref(&table, second);
    layers_forget(&table, &digest);
    assert_null(layers_find(&table, &digest));
    layers_forget(&table, &digest); /* harmless */
}

/* While it was being opened: it may be made of the old record. */
static void layers_add__refuses_what_was_forgotten_meanwhile(void **state)
{
    (void)state;
    struct digest digest = put_layer("");
    struct layer *layer = NULL;

    unsigned age = layers_age(&table, &digest);
    assert_int_equal(layer_open(catalog, &digest, &layer), OK);
    layers_forget(&table, &digest);
    layers_add(&table, layer, age);
    assert_null(layers_find(&table, &digest));
    layer = add(&digest);
    assert_ptr_equal(layers_find(&table, &digest), layer);
    layers_unref(&table, layer);
}

static void layers_unref__lets_go_of_the_one_used_longest_ago(void **state)
{
    (void)state;
    struct digest digests[LAYERS_UNUSED_MAX + 2];
    char prefix[16];

    for (size_t i = 0; i < LAYERS_UNUSED_MAX + 2; i++) {
        (void)snprintf(prefix, sizeof(prefix), "%zu", i);
        digests[i] = put_layer(prefix);
    }
    for (size_t i = 0; i < LAYERS_UNUSED_MAX; i++)
        (void)add(&digests[i]);
    struct layer *first = layers_find(&table, &digests[0]), *second;
    (void)add(&digests[LAYERS_UNUSED_MAX]); /* as many as may be unused, and one in use */
    second = layers_find(&table, &digests[1]);
    assert_non_null(second);
    layers_unref(&table, first);
    layers_unref(&table, second); /* the third is now the one used longest ago */
    assert_null(layers_find(&table, &digests[2]));
    for (size_t i = 0; i < 2; i++) {
        struct layer *layer = layers_find(&table, &digests[i]);
        assert_non_null(layer);
        layers_unref(&table, layer);
    }
    assert_int_equal(table.unused_count, LAYERS_UNUSED_MAX);
}

static void layers_unref__keeps_to_the_memory_but_for_the_last(void **state)
{
    (void)state;
    struct digest one = put_layer("1"), two = put_layer("2");

    struct layer *large = NULL;
    assert_int_equal(layer_open(catalog, &one, &large), OK);
    large->memory = LAYERS_UNUSED_MEMORY + 1;
    layers_add(&table, large, layers_age(&table, &large->digest));
    assert_ptr_equal(layers_find(&table, &one), large); /* who had it opened finds it */
    layers_unref(&table, large);
    (void)add(&two);
    assert_null(layers_find(&table, &one));
    assert_int_equal(table.unused_count, 1);
}

/* TSan sees a count that is touched without the mutex, ASan a layer that goes too early. */
static void *use(void *argument)
{
    const struct digest *digests = argument;

    for (unsigned i = 0; i < 3000; i++) {
        const struct digest *digest = &digests[i % 3];
        struct layer *layer = layers_find(&table, digest);
        if (layer == NULL) {
            if (layer_open(catalog, digest, &layer) != OK)
                return argument;
            layers_add(&table, layer, layers_age(&table, &layer->digest));
            continue;
        }
        if (!digest_equal(&layer->digest, digest) || layer->record.count != LAYER_FILES)
            return argument;
        if (i % 100 == 0)
            layers_forget(&table, digest);
        layers_unref(&table, layer);
    }
    return NULL;
}

static void layers__are_shared_by_threads(void **state)
{
    (void)state;
    struct digest digests[] = {put_layer("1"), put_layer("2"), put_layer("3")};
    pthread_t threads[4];
    void *result;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, digests), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_table, teardown_table)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layers_find__gives_what_was_added),
        TEST(layers_add__keeps_the_one_that_is_there),
        TEST(layers_add__refuses_what_was_forgotten_meanwhile),
        TEST(layers_forget__leaves_it_to_those_who_have_it),
        TEST(layers_unref__lets_go_of_the_one_used_longest_ago),
        TEST(layers_unref__keeps_to_the_memory_but_for_the_last),
        TEST(layers__are_shared_by_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
