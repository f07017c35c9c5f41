#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/problem.h"
#include "cache/chunk_record.h"
#include "model/import_parts.h"
#include "wire/filter.h"
#include "wire/hub_path.h"

/* ---- the list ---- */

static void note_unfit(struct import *import, struct view sentence)
{
    import_note_error(import, ERR_MODEL_UNFIT, sentence, 0);
}

/* Whose sha256 the index knows, or everybody. */
static void look_up(struct import *import, struct import_file *file)
{
    const struct hub_file *listed = file->listed;
    unsigned char key[MODEL_KEY_SIZE];
    struct git_record record;
    struct buf value = {0};

    file->sha256.algorithm = DIGEST_SHA256;
    if (listed->is_lfs) {
        memcpy(file->sha256.bytes, listed->sha256, sizeof(listed->sha256));
        file->has_sha256 = true;
        return;
    }
    if (listed->size == 0) {
        digest_of(DIGEST_SHA256, "", 0, &file->sha256);
        file->has_sha256 = true;
        return;
    }
    git_record_key(listed->git_oid, key);
    if (index_get_note(import->thread->store->index, INDEX_NOTE_GIT, key, &value) &&
        git_record_decode(view_of_buf(&value), &record) && record.size == listed->size) {
        memcpy(file->sha256.bytes, record.sha256, sizeof(record.sha256));
        file->has_sha256 = true;
    }
    buf_release(&value);
}

static int compare_small(const void *left, const void *right)
{
    const struct import_file *a = *(struct import_file *const *)left;
    const struct import_file *b = *(struct import_file *const *)right;
    int order = memcmp(a->listed->git_oid, b->listed->git_oid, sizeof(a->listed->git_oid));

    if (order == 0)
        order = (a->listed->size > b->listed->size) - (a->listed->size < b->listed->size);
    return order != 0 ? order : (a > b) - (a < b);
}

/* Links the files to be fetched that have the same bytes; the first of the list is no copy. */
static void link_copies(struct import *import)
{
    struct import_file **small = check_calloc(import->count + 1, sizeof(struct import_file *));
    size_t count = 0;

    for (size_t i = 0; i < import->count; i++)
        if (!import->files[i].has_sha256)
            small[count++] = &import->files[i];
    qsort(small, count, sizeof(struct import_file *), compare_small);
    for (size_t i = 1; i < count; i++) {
        const struct hub_file *a = small[i - 1]->listed, *b = small[i]->listed;
        small[i]->is_copy =
            a->size == b->size && memcmp(a->git_oid, b->git_oid, sizeof(a->git_oid)) == 0;
        if (small[i]->is_copy)
            small[i - 1]->next_copy = small[i];
    }
    free(small);
}

bool import_files_take(struct import *import)
{
    struct buf problem = {0};

    import->files = check_calloc(import->listed.count + 1, sizeof(*import->files));
    import->count = 0;
    import->bytes = 0;
    for (size_t i = 0; i < import->listed.count; i++) {
        const struct hub_file *listed = &import->listed.files[i];
        const char *fault = tree_name_fault(view_of(listed->path));
        if (strcmp(listed->path, ".gitattributes") == 0 ||
            !filter_takes(import->filter, view_of(listed->path)))
            continue;
        if (fault != NULL || (!listed->is_lfs && listed->size > IMPORT_SMALL_MAX))
            problem_name(&problem, "the file ", listed->path, " ");
        if (fault != NULL)
            buf_append_text(&problem, fault);
        else if (!listed->is_lfs && listed->size > IMPORT_SMALL_MAX)
            buf_printf(&problem, "has %llu bytes and is not in LFS",
                       (unsigned long long)listed->size);
        else if (listed->size > INT64_MAX - import->bytes)
            buf_append_text(&problem, "all files together have more than 2^63 bytes");
        if (problem.length > 0)
            break;
        struct import_file *file = &import->files[import->count++];
        file->listed = listed;
        import->bytes += listed->size;
        look_up(import, file);
    }
    if (problem.length == 0 && import->count == 0)
        buf_append_text(&problem,
                        import->filter[0] == '\0'
                            ? "it has no files"
                            : "include and exclude of the catalog leave none of its files");
    bool good = problem.length == 0;
    if (good) {
        link_copies(import);
    } else {
        note_unfit(import, view_of_buf(&problem));
        free(import->files);
        import->files = NULL;
    }
    buf_release(&problem);
    return good;
}

/* ---- small files ---- */

/* The bytes are stored before the slot takes another file: a hub may be faster than the disk, and
 * what the fetchers have no room for is lost, and clients are refused meanwhile. */
static void wait_until_stored(struct import_small *small)
{
    enum blob_state state = blob_look(small->blob, BLOB_OFFSET_END, &small->waiter).state;

    if (state != BLOB_COMPLETE && state != BLOB_FAILED)
        return;
    blob_unref(small->blob);
    small->blob = NULL;
    small->is_busy = false;
    import_step(small->import);
}

static void on_stored(struct mail *mail)
{
    struct import_small *small = container_of(mail, struct import_small, waiter.mail);
    LOOP_CALLBACK(&small->import->thread->loop);

    wait_until_stored(small);
}

/* The bytes of a file have come whole, and are its own: they go into the store, and what is to be
 * known of them into the index. */
static void take(struct import_small *small, const struct buf *body)
{
    struct import *import = small->import;
    struct import_file *file = &import->files[small->file];
    struct store *store = import->thread->store;
    const struct hub_file *listed = file->listed;
    struct chunk_record chunks = {.size = body->length,
                                  .has_edges = numbers_has_edges(body->length)};
    struct git_record git = {.size = body->length};
    unsigned char key[MODEL_KEY_SIZE];
    struct numbers numbers;
    struct source source;
    struct buf value = {0};

    chunks.chunks = check_calloc(numbers_count(body->length), sizeof(*chunks.chunks));
    numbers_start(&numbers, body->length, chunks.chunks);
    numbers_update(&numbers, body->data, body->length);
    numbers_finish(&numbers, git.sha256);
    chunks.edges = numbers.edges;
    numbers_release(&numbers);
    for (struct import_file *copy = file; copy != NULL; copy = copy->next_copy) {
        memcpy(copy->sha256.bytes, git.sha256, sizeof(git.sha256));
        copy->has_sha256 = true;
    }
    source_init_file(&source, import->upstream, import->repository, import->info.commit,
                     view_of(listed->path), &file->sha256, body->length);
    small->blob = fetcher_blob(import->thread->fetchers, &file->sha256);
    blob_demand_rest(small->blob, 0); /* of somebody who is filling it, too */
    fetcher_give(import->thread->fetchers, small->blob, &source, body->data, body->length, "");
    chunk_record_encode(&chunks, &value);
    index_put_note(store->index, INDEX_NOTE_NUMBERS, git.sha256, view_of_buf(&value));
    chunk_record_release(&chunks);
    buf_clear(&value);
    git_record_key(listed->git_oid, key);
    git_record_encode(&git, &value);
    index_put_note(store->index, INDEX_NOTE_GIT, key, view_of_buf(&value));
    buf_release(&value);
}

static void on_small(struct hub_get *get, enum err err)
{
    struct import_small *small = container_of(get, struct import_small, get);
    struct import *import = small->import;
    struct import_file *file = &import->files[small->file];
    struct buf problem = {0};
    uint8_t oid[MODEL_OID_SIZE] = {0};

    if (err != OK && small->file < import->next_small)
        import->next_small = small->file; /* it is to be fetched again */
    if (err == OK)
        hub_git_oid(get->body.data, get->body.length, oid);
    if (err != OK) {
        import_note_error(import, err, view_of_buf(&get->sentence), get->retry_after);
    } else if (get->body.length != file->listed->size ||
               memcmp(oid, file->listed->git_oid, sizeof(oid)) != 0) {
        problem_name(&problem, "the hub sent other bytes of ", file->listed->path,
                     " than its list says");
        import_note_error(import, ERR_DIGEST_MISMATCH, view_of_buf(&problem), 0);
    } else {
        take(small, &get->body);
        import->retry = (struct import_retry){0};
    }
    buf_release(&problem);
    hub_get_release(get);
    small->is_busy = small->blob != NULL;
    if (small->is_busy)
        wait_until_stored(small);
    else
        import_step(import);
}

static void fetch(struct import *import, struct import_small *small, size_t index)
{
    const struct hub_file *listed = import->files[index].listed;
    struct buf path = {0};

    small->import = import;
    small->file = index;
    small->waiter.loop = &import->thread->loop;
    small->waiter.mail.deliver = on_stored;
    small->is_busy = true;
    hub_path_file(&path, view_of(import->repository), view_of(import->info.commit),
                  view_of(listed->path));
    hub_get_start(&small->get, &import->thread->calls, import->upstream, import->repository,
                  path.data, listed->size, on_small);
    buf_release(&path);
}

size_t import_files_run(struct import *import)
{
    size_t running = 0;

    for (size_t i = 0; i < IMPORT_SMALL_AT_ONCE; i++) {
        struct import_small *small = &import->small[i];
        for (; !small->is_busy && import->next_small < import->count; import->next_small++)
            if (!import->files[import->next_small].has_sha256 &&
                !import->files[import->next_small].is_copy)
                fetch(import, small, import->next_small);
        running += small->is_busy;
    }
    return running;
}

void import_files_stop(struct import *import)
{
    for (size_t i = 0; i < IMPORT_SMALL_AT_ONCE; i++) {
        struct import_small *small = &import->small[i];
        hub_get_release(&small->get);
        if (small->blob != NULL) {
            blob_unpark(small->blob, &small->waiter);
            blob_unref(small->blob);
            small->blob = NULL;
        }
        small->is_busy = false;
    }
}
