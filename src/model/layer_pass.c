/*
 * step() goes on with whatever there is to do: opens the next file's blob, waits for bytes of it,
 * has some of them read and hashed, ends the file, ends the layer. It runs again when a job has
 * ended, or the blob wakes us.
 */
#include "model/layer_pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/chunk_record.h"
#include "cache/scrubber.h"

enum { READ = NUMBERS_CHUNK, OPENED_MAX = 3 /* times more, for others' failures */ };

static void step(struct layer_pass *pass);

static const struct pass_file *file_of(const struct layer_pass *pass)
{
    return &pass->files[pass->order[pass->at]];
}

/* ---- the end ---- */

static void drop_blob(struct layer_pass *pass)
{
    if (pass->blob == NULL)
        return;
    blob_unpark(pass->blob, &pass->waiter);
    pass->blob = blob_unref(pass->blob);
}

static void end(struct layer_pass *pass, enum err err)
{
    drop_blob(pass);
    pass->on_end(pass, err);
}

void layer_pass_stop(struct layer_pass *pass)
{
    pass->stopped = true;
    if (pass->running)
        return;
    if (pass->blob != NULL)
        blob_unpark(pass->blob, &pass->waiter);
    loop_recall(pass->loop, &pass->waiter.mail); /* it may be on its way */
    loop_post(pass->loop, &pass->waiter.mail);
}

void layer_pass_release(struct layer_pass *pass)
{
    numbers_release(&pass->numbers);
    layer_hash_release(&pass->layer);
    layer_hash_release(&pass->archive);
    layout_free(pass->layout);
    free(pass->order);
    free(pass->counted);
    free(pass->buffer);
    *pass = (struct layer_pass){0};
}

/* ---- the pool's part ---- */

static void run(struct layer_pass *pass, void (*work)(struct disk_job *job),
                void (*done)(struct disk_job *job))
{
    pass->running = true;
    pass->job.work = work;
    pass->job.done = done;
    disk_run(&pass->job, pass->loop);
}

static void on_read_work(struct disk_job *job)
{
    struct layer_pass *pass = container_of(job, struct layer_pass, job);

    pass->err = disk_read(pass->blob->fd, pass->buffer, pass->length, pass->offset);
    if (pass->err != OK)
        return;
    if (pass->numbers.chunks != NULL)
        numbers_update(&pass->numbers, pass->buffer, pass->length);
    layer_hash_update(&pass->layer, pass->buffer, pass->length);
    layer_hash_update(&pass->archive, pass->buffer, pass->length);
}

/* What lay whole in the cache cannot be read, or is not what it was: it is looked into, and fetched
 * again. */
static enum err suspect(struct layer_pass *pass)
{
    scrubber_suspect(pass->fetchers->store, &file_of(pass)->sha256);
    return ERR_DAMAGED;
}

static void on_read_done(struct disk_job *job)
{
    struct layer_pass *pass = container_of(job, struct layer_pass, job);

    pass->running = false;
    pass->offset += pass->length;
    if (pass->read != NULL)
        *pass->read += pass->length;
    if (pass->err != OK && !pass->stopped)
        end(pass, pass->err == ERR_DISK_FAILED ? suspect(pass) : pass->err);
    else
        step(pass);
}

static void on_seal_work(struct disk_job *job)
{
    struct layer_pass *pass = container_of(job, struct layer_pass, job);

    layout_seal(pass->layout);
    layer_hash_finish(&pass->layer, &pass->digest);
    layer_hash_finish(&pass->archive, &pass->diff_id);
}

static void on_seal_done(struct disk_job *job)
{
    struct layer_pass *pass = container_of(job, struct layer_pass, job);

    pass->running = false;
    end(pass, pass->stopped ? ERR_STOPPING : OK);
}

/* ---- one file ---- */

static void open_file(struct layer_pass *pass)
{
    pass->blob = fetcher_blob(pass->fetchers, &file_of(pass)->sha256);
    pass->offset = 0;
    pass->wanted = false;
    numbers_release(&pass->numbers);
}

/* Has all of the file filled, from our source. */
static void want(struct layer_pass *pass)
{
    struct source source;

    pass->source_of(pass->owner, pass->order[pass->at], &source);
    blob_demand_rest(pass->blob, 0);
    (void)blob_want(pass->blob);
    fetcher_want(pass->fetchers, pass->blob, &source);
    pass->wanted = true;
}

/* Begins to count. What was whole before we came was verified at another time: it is hashed again,
 * or a layer might be made of what the disk has damaged since. */
static void begin_numbers(struct layer_pass *pass, bool was_whole)
{
    const struct pass_file *file = file_of(pass);

    pass->has_begun = true;
    if (file->has_numbers && was_whole) {
        free(pass->counted);
        pass->counted = check_calloc(numbers_count(file->size), sizeof(*pass->counted));
        numbers_start_known(&pass->numbers, file->size, pass->counted);
    } else if (file->has_numbers) {
        return; /* each chunk of it was verified when it came, or its sha256 just now */
    } else if (was_whole) {
        numbers_start(&pass->numbers, file->size, file->chunks);
    } else {
        numbers_start_known(&pass->numbers, file->size, file->chunks);
    }
}

/* All of it is read, and its blob is whole. */
static enum err end_file(struct layer_pass *pass)
{
    const struct pass_file *file = file_of(pass);
    struct chunk_record record = {.size = file->size,
                                  .has_edges = numbers_has_edges(file->size),
                                  .edges = pass->numbers.edges,
                                  .chunks = file->chunks};
    struct buf value = {0};
    uint8_t sha256[NUMBERS_SHA256];

    if (file->has_numbers && pass->numbers.chunks != NULL &&
        memcmp(pass->counted, file->chunks, numbers_count(file->size) * sizeof(*file->chunks)) != 0)
        return suspect(pass);
    if (file->has_numbers)
        return OK;
    if (!pass->numbers.is_known) {
        numbers_finish(&pass->numbers, sha256);
        if (memcmp(sha256, file->sha256.bytes, sizeof(sha256)) != 0)
            return suspect(pass);
    }
    chunk_record_encode(&record, &value);
    index_put_note(pass->fetchers->store->index, INDEX_NOTE_NUMBERS, file->sha256.bytes,
                   view_of_buf(&value));
    buf_release(&value);
    return OK;
}

static void next_file(struct layer_pass *pass)
{
    enum err err = end_file(pass);

    drop_blob(pass);
    if (err != OK) { /* of the file that is `at` */
        end(pass, err);
        return;
    }
    pass->at++;
    step(pass);
}

/* The blob as it is now: reads what is there, or waits. */
static void look(struct layer_pass *pass)
{
    const struct pass_file *file = file_of(pass);
    bool is_read = pass->offset == file->size;

    pass->waiter.until = file->size;
    struct blob_view view =
        blob_look(pass->blob, is_read ? BLOB_OFFSET_END : pass->offset, &pass->waiter);
    if (view.state == BLOB_OPENING)
        return;
    if (view.state == BLOB_FAILED && !pass->wanted && pass->offset == 0 &&
        pass->opened++ < OPENED_MAX) {
        drop_blob(pass); /* it failed for somebody else, whose source is not ours */
        step(pass);
        return;
    }
    /* What somebody else has told of the size of a partial one, who fills it finds out about. */
    if (view.state == BLOB_FAILED || (view.state == BLOB_COMPLETE && view.size != file->size)) {
        pass->retry_after_s = view.retry_after_s;
        end(pass, view.state == BLOB_FAILED ? view.err : ERR_SIZE_MISMATCH);
        return;
    }
    if (!pass->has_begun)
        begin_numbers(pass, view.state == BLOB_COMPLETE);
    if (view.state == BLOB_PARTIAL || (view.state != BLOB_COMPLETE && !pass->wanted))
        want(pass);
    if (is_read && view.state == BLOB_COMPLETE) {
        next_file(pass);
        return;
    }
    if (is_read || view.readable == 0)
        return;
    uint64_t left = file->size - pass->offset;
    pass->length = view.readable < READ ? view.readable : READ;
    if (left < pass->length)
        pass->length = left;
    run(pass, on_read_work, on_read_done);
}

static void step(struct layer_pass *pass)
{
    if (pass->stopped) {
        end(pass, ERR_STOPPING);
        return;
    }
    while (pass->at < pass->count && file_of(pass)->size == 0)
        pass->at++;
    if (pass->at == pass->count) {
        run(pass, on_seal_work, on_seal_done);
        return;
    }
    if (pass->blob == NULL) {
        open_file(pass);
        pass->has_begun = false;
    }
    look(pass);
}

static void on_wake(struct mail *mail)
{
    struct layer_pass *pass = container_of(mail, struct layer_pass, waiter.mail);
    LOOP_CALLBACK(pass->loop);

    step(pass);
}

/* ---- the beginning ---- */

/* Lays the files out, as far as it can be done without their bytes. */
static bool lay_out(struct layer_pass *pass, struct buf *problem)
{
    struct tree_file *tree = check_calloc(pass->count + 1, sizeof(*tree));

    for (size_t i = 0; i < pass->count; i++)
        tree[i] = (struct tree_file){pass->files[i].name, pass->files[i].size};
    bool good = tree_order(tree, pass->count, &pass->order, problem) &&
                layout_new(tree, pass->count, &pass->layout, problem);
    free(tree);
    for (size_t i = 0; good && i < pass->count; i++) {
        layout_set_sha256(pass->layout, i, pass->files[i].sha256.bytes);
        if (pass->files[i].size > 0)
            layout_set_chunks(pass->layout, i, pass->files[i].chunks);
    }
    if (good && layout_sizes(pass->layout).toc_length > LAYOUT_TOC_MAX) {
        buf_append_text(problem, LAYER_PASS_TOC_TOO_LONG);
        good = false;
    }
    return good;
}

bool layer_pass_start(struct layer_pass *pass, struct buf *problem)
{
    if (!lay_out(pass, problem))
        return false;
    pass->waiter.loop = pass->loop;
    pass->waiter.mail.deliver = on_wake;
    pass->buffer = check_malloc(READ);
    layer_hash_start(&pass->layer, pass->layout, LAYER_HASH_LAYER);
    layer_hash_start(&pass->archive, pass->layout, LAYER_HASH_UNCOMPRESSED);
    loop_post(pass->loop, &pass->waiter.mail);
    return true;
}
