/*
 * Puts a layer into the cache of a mirror that does not run, as an import would:
 *
 *   fake_import CACHE UPSTREAM REPOSITORY HUB_REPOSITORY COMMIT FOLDER [PLAIN]
 *
 * With PLAIN, a registry, that holds the files as they are in its repository of the same name.
 * Reads lines "<how> <name>", a file of FOLDER each: "whole": it is cached; "missing": only its
 * numbers are known; "unknown": nor are they. Prints "<digest> <size>".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "cache/chunk_record.h"
#include "cache/store.h"
#include "io/disk.h"
#include "model/layer_hash.h"
#include "model/layout.h"
#include "model/record.h"

enum { FEED = 1 << 20, LINE = TREE_NAME_MAX + 100 };

struct file {
    char how[16];
    char *name;
    char *path;
    struct chunk_record numbers;
    uint8_t sha256[NUMBERS_SHA256];
};

static struct store store;
static struct file *files;
static struct tree_file *tree;
static size_t count;
static const char *repository, *plain;

static void read_names(const char *folder)
{
    static char line[LINE];
    struct buf path = {0};
    struct stat status;

    while (fgets(line, LINE, stdin) != NULL) {
        files = check_realloc(files, (count + 1) * sizeof(*files));
        tree = check_realloc(tree, (count + 1) * sizeof(*tree));
        struct file *file = &files[count];
        *file = (struct file){0};
        struct view rest = {line, strcspn(line, "\n")};
        CHECK(view_copy(view_cut(&rest, ' '), file->how, sizeof(file->how)));
        file->name = view_dup(rest);
        buf_clear(&path);
        buf_printf(&path, "%s/%s", folder, file->name);
        file->path = check_strdup(path.data);
        CHECK(stat(file->path, &status) == 0);
        file->numbers.size = (uint64_t)status.st_size;
        file->numbers.chunks =
            check_calloc(numbers_count(file->numbers.size) + 1, sizeof(*file->numbers.chunks));
        tree[count++] = (struct tree_file){view_of(file->name), file->numbers.size};
    }
    buf_release(&path);
}

/* One pass over a file, as an import makes it; into `copy` unless that is -1. */
static void feed(size_t index, struct layout *layout, struct layer_hash *hashes, int copy)
{
    static uint8_t bytes[FEED];
    struct file *file = &files[index];
    struct numbers numbers;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    layout_set_chunks(layout, index, file->numbers.chunks);
    numbers_start(&numbers, file->numbers.size, file->numbers.chunks);
    for (uint64_t at = 0; at < file->numbers.size;) {
        uint64_t left = file->numbers.size - at;
        size_t length = left < FEED ? (size_t)left : FEED;
        CHECK(disk_read(fd, bytes, length, at) == OK);
        CHECK(copy < 0 || disk_write(copy, bytes, length, at) == OK);
        numbers_update(&numbers, bytes, length);
        layer_hash_update(&hashes[0], bytes, length);
        layer_hash_update(&hashes[1], bytes, length);
        at += length;
    }
    numbers_finish(&numbers, file->sha256);
    numbers_release(&numbers);
    layout_set_sha256(layout, index, file->sha256);
    close(fd);
}

static void put_blob(const struct file *file, int copy)
{
    struct blob_record record = {.size = file->numbers.size, .complete = true};
    struct digest digest = {.algorithm = DIGEST_SHA256};
    char path[BLOB_PATH_SIZE];

    memcpy(digest.bytes, file->sha256, NUMBERS_SHA256);
    blob_path_complete(&digest, path);
    close(copy);
    CHECK(disk_make_parents(store.directory, path) == OK);
    CHECK(renameat(store.directory, "partial/new", store.directory, path) == 0);
    record.last_used_ms = record.verified_ms = clock_wall_ms();
    index_put_blob(store.index, &digest, &record);
}

static void hold_plain(const struct file *file)
{
    struct holding_record holding = {.size = file->numbers.size};
    struct digest digest = {.algorithm = DIGEST_SHA256};

    CHECK(view_copy(view_of(plain), holding.upstream, sizeof(holding.upstream)));
    memcpy(digest.bytes, file->sha256, NUMBERS_SHA256);
    index_put_holding(store.index, repository, &digest, &holding);
}

static void take(size_t index, struct layout *layout, struct layer_hash *hashes)
{
    struct file *file = &files[index];
    struct buf note = {0};
    int copy = -1;

    if (strcmp(file->how, "whole") == 0) {
        CHECK(disk_make_parents(store.directory, "partial/new") == OK);
        copy = openat(store.directory, "partial/new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        CHECK(copy >= 0);
    }
    feed(index, layout, hashes, copy);
    if (copy >= 0)
        put_blob(file, copy);
    if (plain != NULL)
        hold_plain(file);
    if (strcmp(file->how, "unknown") == 0)
        return;
    chunk_record_encode(&file->numbers, &note);
    index_put_note(store.index, INDEX_NOTE_NUMBERS, file->sha256, view_of_buf(&note));
    buf_release(&note);
}

/* `arguments`: UPSTREAM REPOSITORY HUB_REPOSITORY COMMIT */
static void put_layer(const struct layout *layout, const struct digest *digests,
                      const size_t *order, char **arguments)
{
    struct layout_sizes sizes = layout_sizes(layout);
    struct layer_record record = {.layout_version = MODEL_LAYOUT_VERSION,
                                  .size = sizes.layer,
                                  .uncompressed = sizes.uncompressed,
                                  .diff_id = digests[1],
                                  .count = count};
    struct holding_record holding = {.size = sizes.layer};
    struct layer_place place;
    struct buf note = {0};

    layout_toc_digest(layout, &record.toc_digest);
    record.files = check_calloc(count + 1, sizeof(*record.files));
    for (size_t i = 0; i < count; i++) {
        const struct file *file = &files[order[i]];
        record.files[i] =
            (struct layer_file){.name = check_strdup(file->name), .size = file->numbers.size};
        memcpy(record.files[i].sha256, file->sha256, NUMBERS_SHA256);
    }
    CHECK(view_copy(view_of(arguments[0]), place.upstream, sizeof(place.upstream)) &&
          view_copy(view_of(arguments[2]), place.repository, sizeof(place.repository)) &&
          view_copy(view_of(arguments[3]), place.commit, sizeof(place.commit)) &&
          view_copy(view_of(arguments[0]), holding.upstream, sizeof(holding.upstream)));
    CHECK(layer_record_add_place(&record, &place));
    layer_record_encode(&record, &note);
    index_put_note(store.index, INDEX_NOTE_LAYER, digests[0].bytes, view_of_buf(&note));
    index_put_holding(store.index, arguments[1], &digests[0], &holding);
    buf_release(&note);
    layer_record_release(&record);
}

static void import(char **arguments)
{
    struct layer_hash hashes[2] = {{0}};
    struct digest digests[2];
    char text[DIGEST_TEXT_SIZE];
    struct layout *layout;
    struct buf problem = {0};
    size_t *order;

    if (!tree_order(tree, count, &order, &problem) || !layout_new(tree, count, &layout, &problem)) {
        fprintf(stderr, "%s\n", problem.data);
        exit(1);
    }
    layer_hash_start(&hashes[0], layout, LAYER_HASH_LAYER);
    layer_hash_start(&hashes[1], layout, LAYER_HASH_UNCOMPRESSED);
    for (size_t i = 0; i < count; i++)
        take(order[i], layout, hashes);
    layout_seal(layout);
    for (size_t i = 0; i < 2; i++) {
        layer_hash_finish(&hashes[i], &digests[i]);
        layer_hash_release(&hashes[i]);
    }
    put_layer(layout, digests, order, arguments);
    printf("%s %" PRIu64 "\n", digest_print(&digests[0], text), layout_sizes(layout).layer);
    layout_free(layout);
    free(order);
}

int main(int argc, char **argv)
{
    struct config config;
    struct buf problem = {0};

    CHECK(argc == 7 || argc == 8);
    repository = argv[3];
    plain = argv[7]; /* or NULL */
    read_names(argv[6]);
    config_init(&config);
    config_drop_upstreams(&config);
    if (config_set(&config, "cache", argv[1], &problem) != OK ||
        store_open(&store, &config, &problem) != OK) {
        fprintf(stderr, "%s\n", problem.data);
        return 1;
    }
    import(&argv[2]);
    store_close(&store);
    config_release(&config);
    for (size_t i = 0; i < count; i++) {
        chunk_record_release(&files[i].numbers);
        free(files[i].name);
        free(files[i].path);
    }
    free(files);
    free(tree);
    return 0;
}
