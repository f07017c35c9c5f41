#include "cache/learn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "io/disk.h"
#include "wire/manifest.h"

struct learning {
    struct disk_job job;
    struct mail mail;
    struct store *store;
    struct loop *loop;
    struct blob *blob; /* counted */
    struct source source;
    struct learned learned;
    void (*on_learned)(void *owner, const struct learned *learned);
    void *owner;
};

static void on_work(struct disk_job *job)
{
    struct learning *learning = container_of(job, struct learning, job);
    const struct source *source = &learning->source;
    struct blob_view view = blob_look(learning->blob, 0, NULL);
    struct manifest manifest = {0};

    learning->learned.err = store_read_manifest(learning->store, view.fd, view.size, &manifest);
    if (learning->learned.err != OK)
        return;
    (void)view_copy(view_of(manifest.media_type), learning->learned.media_type,
                    sizeof(learning->learned.media_type));
    for (size_t i = 0; i < manifest.count; i++) {
        const struct descriptor *descriptor = &manifest.descriptors[i];
        struct holding_record record = {.size = descriptor->size,
                                        .is_manifest = descriptor->is_manifest};
        CHECK(view_copy(view_of(source->upstream->config->name), record.upstream,
                        sizeof(record.upstream)));
        index_put_holding(learning->store->index, source->repository, &descriptor->digest, &record);
    }
    manifest_release(&manifest);
    source_note_held(source, learning->store->index, &learning->blob->digest, view.size, true);
}

static void on_committed(struct mail *mail)
{
    struct learning *learning = container_of(mail, struct learning, mail);

    learning->on_learned(learning->owner, &learning->learned);
    blob_unref(learning->blob);
    free(learning);
}

static void on_done(struct disk_job *job)
{
    struct learning *learning = container_of(job, struct learning, job);

    index_flush(learning->store->index, learning->loop, &learning->mail);
}

void learn_start(struct store *store, struct loop *loop, struct blob *blob,
                 const struct source *source,
                 void (*on_learned)(void *owner, const struct learned *learned), void *owner)
{
    struct learning *learning = check_calloc(1, sizeof(*learning));

    learning->store = store;
    learning->loop = loop;
    learning->blob = blob_ref(blob);
    learning->source = *source;
    learning->on_learned = on_learned;
    learning->owner = owner;
    learning->mail.deliver = on_committed;
    learning->job.work = on_work;
    learning->job.done = on_done;
    disk_run(&learning->job, loop);
}

/* ---- is all of it here? ---- */

/* The blob if it is open and whole: it may not be in the index yet. Counted. */
static struct blob *find_complete(struct store *store, const struct digest *digest)
{
    struct blob *blob = blobs_find(&store->blobs, digest);

    if (blob != NULL && blob_look(blob, 0, NULL).state != BLOB_COMPLETE)
        blob = blob_unref(blob);
    return blob;
}

static bool is_cached(struct store *store, const struct digest *digest)
{
    struct blob *blob = find_complete(store, digest);
    struct blob_record record;

    if (blob != NULL) {
        blob_unref(blob);
        return true;
    }
    if (!index_get_blob(store->index, digest, &record))
        return false;
    blob_record_release(&record);
    return record.complete;
}

static bool is_whole(struct store *store, int fd, uint64_t size, int depth);

/* Of a manifest that an index names. */
static bool is_whole_below(struct store *store, const struct digest *digest, int depth)
{
    struct blob *blob = find_complete(store, digest);
    struct blob_record record;
    char path[BLOB_PATH_SIZE];

    if (blob != NULL) {
        bool whole = is_whole(store, blob->fd, blob->size, depth);
        blob_unref(blob);
        return whole;
    }
    if (!index_get_blob(store->index, digest, &record))
        return false;
    blob_record_release(&record);
    blob_path_complete(digest, path);
    int fd = record.complete ? openat(store->directory, path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    bool whole = is_whole(store, fd, record.size, depth);
    close(fd);
    return whole;
}

static bool is_whole(struct store *store, int fd, uint64_t size, int depth)
{
    struct manifest manifest = {0};

    if (store_read_manifest(store, fd, size, &manifest) != OK)
        return false;
    bool index = manifest.kind == MANIFEST_INDEX, whole = !index || manifest.count == 0;
    for (size_t i = 0; i < manifest.count && whole != index; i++) {
        const struct digest *digest = &manifest.descriptors[i].digest;
        if (index)
            whole = depth > 0 && is_whole_below(store, digest, depth - 1);
        else
            whole = is_cached(store, digest);
    }
    manifest_release(&manifest);
    return whole;
}

bool learn_is_whole(struct store *store, struct blob *blob)
{
    struct blob_view view = blob_look(blob, 0, NULL);

    return view.state == BLOB_COMPLETE && is_whole(store, view.fd, view.size, 2);
}
