/* Unit tests of verifying a blob chunk by chunk: what is published, what is given back, and that
 * the disk and the budget are told the truth about both. */
#include "cache/verifier.h"

#include <string.h>
#include <unistd.h>

#include "cache/footprint.h"
#include "cache/partial.h"
#include "io/disk.h"
#include "store_helpers.h"

enum { TAIL = 5000, CHUNKS = 7, SIZE = (CHUNKS - 1) * NUMBERS_CHUNK + TAIL };

static const struct source alice = {.key = {1}}, bob = {.key = {2}};

static struct loop loop;
static struct blob *blob;
static struct verifier verifier;
static char *content;
static struct verdict last;
static unsigned verdicts, after_end;

static void on_verdict(struct verifier *which, const struct verdict *verdict)
{
    assert_ptr_equal(which, &verifier);
    if (verdict == NULL) {
        after_end++;
        return;
    }
    last = *verdict;
    verdicts++;
}

static void put_note(const char *data, uint64_t size)
{
    struct chunk_record record = {.size = size};
    struct numbers numbers;
    struct buf note = {0};
    uint8_t sha256[NUMBERS_SHA256];

    record.chunks = calloc(numbers_count(size) + 1, sizeof(*record.chunks));
    numbers_start(&numbers, size, record.chunks);
    numbers_update(&numbers, data, size);
    numbers_finish(&numbers, sha256);
    numbers_release(&numbers);
    chunk_record_encode(&record, &note);
    index_put_note(store.index, INDEX_NOTE_NUMBERS, digest.bytes,
                   (struct view){note.data, note.length});
    index_flush_wait(store.index);
    chunk_record_release(&record);
    buf_release(&note);
}

/* A blob that is FILLING, of which `present` is here. */
static void fill(struct extents *present)
{
    bool is_new;

    blob = blobs_get(&store.blobs, &digest, &is_new);
    assert_true(is_new);
    blob_opened_partial(blob, -1, SIZE, present);
    blob_fill(blob);
    assert_int_equal(partial_create(&store, blob), OK);
}

static int setup_blob(void **state)
{
    unsigned random = 1;

    if (setup(state) != 0)
        return -1;
    loop_init(&loop, "test", false);
    verdicts = after_end = 0;
    content = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)rand_r(&random);
    put_note(content, SIZE);
    return 0;
}

static int teardown_blob(void **state)
{
    verifier_end(&verifier);
    while (verifier_runs(&verifier))
        uv_run(&loop.uv, UV_RUN_ONCE);
    verifier_release(&verifier);
    blob_fail(blob, ERR_STOPPING, NULL, 0);
    blob_unref(blob);
    loop_stop(&loop);
    loop_run(&loop);
    loop_release(&loop);
    free(content);
    return teardown(state);
}

static void begin(void)
{
    struct extents nothing = {0};

    fill(&nothing);
    verifier_begin(&verifier, &store, &loop, blob, on_verdict);
    assert_true(verifier_is_on(&verifier));
}

/* As the intake does it. */
static void write_at(uint64_t start, uint64_t end, const char *data, const struct source *sender)
{
    struct extent range = {start, end};

    store.used += footprint_growth(blob->written, range);
    assert_int_equal(disk_write(blob->fd, data + start, end - start, start), OK);
    verifier_wrote(&verifier, sender, range);
}

static void wait_for_verdicts(void)
{
    while (verifier_is_busy(&verifier))
        uv_run(&loop.uv, UV_RUN_ONCE);
}

static uint64_t readable(uint64_t offset)
{
    return blob_look(blob, offset, NULL).readable;
}

static uint64_t on_disk(void)
{
    struct stat file;

    assert_int_equal(fstat(blob->fd, &file), 0);
    return (uint64_t)file.st_blocks * 512;
}

static void verifier_begin__is_off_without_numbers(void **state)
{
    struct extents nothing = {0};

    (void)state;
    index_delete_note(store.index, INDEX_NOTE_NUMBERS, digest.bytes);
    index_flush_wait(store.index);
    fill(&nothing);
    verifier_begin(&verifier, &store, &loop, blob, on_verdict);
    assert_false(verifier_is_on(&verifier) || verifier_is_busy(&verifier));
    assert_ptr_equal(blob->written, &blob->present);
}

static void verifier_wrote__publishes_a_chunk_when_it_is_whole_and_right(void **state)
{
    (void)state;
    begin();
    write_at(0, NUMBERS_CHUNK - 1, content, &alice);
    write_at(NUMBERS_CHUNK, NUMBERS_CHUNK + 10, content, &alice);
    assert_false(verifier_is_busy(&verifier));
    assert_int_equal(readable(0), 0);
    write_at(NUMBERS_CHUNK - 1, NUMBERS_CHUNK, content, &alice);
    assert_true(verifier_is_busy(&verifier));
    assert_int_equal(readable(0), 0); /* it is not verified yet */
    wait_for_verdicts();
    assert_int_equal(readable(0), NUMBERS_CHUNK);
    assert_true(verdicts == 1 && last.err == OK && last.fresh == NUMBERS_CHUNK);
    assert_int_equal(extents_total(blob->written), NUMBERS_CHUNK + 10);
}

static void verifier_wrote__takes_many_chunks_at_once_and_a_short_last_one(void **state)
{
    (void)state;
    begin();
    write_at(0, SIZE, content, &alice);
    assert_true(verifier_runs(&verifier) && verifier.running < CHUNKS);
    wait_for_verdicts();
    assert_int_equal(verdicts, CHUNKS);
    assert_int_equal(readable(0), SIZE);
    assert_int_equal(store.used, footprint_of_size(SIZE));
}

static void verifier_wrote__gives_a_wrong_chunk_back(void **state)
{
    (void)state;
    begin();
    write_at(0, 2 * NUMBERS_CHUNK, content, &bob);
    wait_for_verdicts();
    content[2 * NUMBERS_CHUNK + 7] ^= 1;
    write_at(2 * NUMBERS_CHUNK, 3 * NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_int_equal(last.err, ERR_CHUNK_MISMATCH);
    assert_true(last.range.start == 2 * NUMBERS_CHUNK && last.range.end == 3 * NUMBERS_CHUNK);
    assert_true(last.wrongs == 1 && !last.is_mixed && !last.has_older);
    assert_memory_equal(last.sender->key, alice.key, FLIGHT_KEY_SIZE);
    assert_false(digest_equal(&last.found, &last.wanted));
    assert_int_equal(readable(2 * NUMBERS_CHUNK), 0);
    assert_int_equal(readable(0), 2 * NUMBERS_CHUNK); /* the others stay */
    assert_int_equal(extents_total(blob->written), 2 * NUMBERS_CHUNK);
    assert_int_equal(store.used, footprint_of_extents(&blob->present));
    assert_true(on_disk() <= store.used);

    write_at(2 * NUMBERS_CHUNK, 3 * NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_true(last.err == ERR_CHUNK_MISMATCH && last.wrongs == 2);
    content[2 * NUMBERS_CHUNK + 7] ^= 1;
    write_at(2 * NUMBERS_CHUNK, 3 * NUMBERS_CHUNK, content, &bob);
    wait_for_verdicts();
    assert_int_equal(last.err, OK);
    assert_int_equal(readable(0), 3 * NUMBERS_CHUNK);
}

static void verifier_wrote__tells_when_several_have_sent_of_a_wrong_chunk(void **state)
{
    (void)state;
    begin();
    content[0] ^= 1;
    write_at(0, 100, content, &alice);
    write_at(100, NUMBERS_CHUNK, content, &bob);
    wait_for_verdicts();
    assert_true(last.err == ERR_CHUNK_MISMATCH && last.is_mixed);
    assert_memory_equal(last.sender->key, bob.key, FLIGHT_KEY_SIZE);
    write_at(0, NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_true(last.err == ERR_CHUNK_MISMATCH && !last.is_mixed && last.wrongs == 2);
}

static void verifier_wrote__never_touches_what_was_published(void **state)
{
    struct extents present = {0};
    char byte;

    (void)state;
    extents_add(&present, (struct extent){1000, 3000});
    fill(&present);
    assert_int_equal(disk_write(blob->fd, content + 1000, 2000, 1000), OK);
    store.used += footprint_of_extents(&blob->present);
    verifier_begin(&verifier, &store, &loop, blob, on_verdict);
    content[5] ^= 1;
    write_at(0, 1000, content, &alice);
    write_at(3000, NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_true(last.err == ERR_CHUNK_MISMATCH && last.has_older);
    assert_true(readable(1000) == 2000 && extents_total(blob->written) == 2000);
    assert_int_equal(store.used, footprint_of_extents(&blob->present));
    assert_int_equal(disk_read(blob->fd, &byte, 1, 1000), OK);
    assert_int_equal(byte, content[1000]);
    content[5] ^= 1;
    write_at(0, 1000, content, &alice);
    write_at(3000, NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_true(last.err == OK && last.fresh == NUMBERS_CHUNK - 2000);
}

static void verifier_wrote__says_when_a_chunk_cannot_be_read(void **state)
{
    (void)state;
    begin();
    write_at(0, NUMBERS_CHUNK - 1, content, &alice);
    assert_int_equal(ftruncate(blob->fd, 1000), 0);
    verifier_wrote(&verifier, &alice, (struct extent){NUMBERS_CHUNK - 1, NUMBERS_CHUNK});
    wait_for_verdicts();
    assert_true(last.err == ERR_DISK_FAILED && readable(0) == 0);
}

static void verifier_end__gives_back_what_was_not_verified(void **state)
{
    (void)state;
    begin();
    write_at(0, NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    write_at(NUMBERS_CHUNK, SIZE, content, &alice); /* jobs run, and others wait */
    assert_true(verifier_runs(&verifier));
    unsigned running = verifier.running;
    verifier_end(&verifier);
    assert_ptr_equal(blob->written, &blob->present);
    assert_int_equal(store.used, footprint_of_extents(&blob->present));
    assert_true(on_disk() <= store.used);
    while (verifier_runs(&verifier))
        uv_run(&loop.uv, UV_RUN_ONCE);
    assert_true(after_end == running && verdicts == 1);
    assert_true(readable(0) == NUMBERS_CHUNK && readable(NUMBERS_CHUNK) == 0);
    verifier_end(&verifier); /* harmless */
    assert_int_equal(store.used, footprint_of_extents(&blob->present));
}

/* A hole costs a call to the disk each, on the fetch loop: nothing is punched where nothing is.
 * What lies there without anybody's knowledge shows it. */
static void verifier_end__touches_nothing_but_that(void **state)
{
    char found[10000];

    (void)state;
    begin();
    write_at(0, NUMBERS_CHUNK, content, &alice);
    wait_for_verdicts();
    assert_int_equal(disk_write(blob->fd, content, 10000, 2 * NUMBERS_CHUNK), OK);
    write_at(4 * NUMBERS_CHUNK, 4 * NUMBERS_CHUNK + 10, content, &alice);
    write_at(5 * NUMBERS_CHUNK + 5000, 5 * NUMBERS_CHUNK + 5010, content, &alice);
    verifier_end(&verifier);
    assert_int_equal(store.used, footprint_of_extents(&blob->present));
    assert_true(on_disk() <= store.used + 3 * FOOTPRINT_BLOCK); /* not even the blocks' ends */
    assert_int_equal(disk_read(blob->fd, found, 10000, 2 * NUMBERS_CHUNK), OK);
    assert_memory_equal(found, content, 10000);
    assert_int_equal(disk_read(blob->fd, found, 10, 4 * NUMBERS_CHUNK), OK);
    assert_memory_equal(found, (char[10]){0}, 10);
    assert_int_equal(disk_read(blob->fd, found, 10, 5 * NUMBERS_CHUNK + 5000), OK);
    assert_memory_equal(found, (char[10]){0}, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_blob, teardown_blob)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(verifier_begin__is_off_without_numbers),
        TEST(verifier_wrote__publishes_a_chunk_when_it_is_whole_and_right),
        TEST(verifier_wrote__takes_many_chunks_at_once_and_a_short_last_one),
        TEST(verifier_wrote__gives_a_wrong_chunk_back),
        TEST(verifier_wrote__tells_when_several_have_sent_of_a_wrong_chunk),
        TEST(verifier_wrote__never_touches_what_was_published),
        TEST(verifier_wrote__says_when_a_chunk_cannot_be_read),
        TEST(verifier_end__gives_back_what_was_not_verified),
        TEST(verifier_end__touches_nothing_but_that),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
