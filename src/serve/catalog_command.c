#include "serve/catalog_command.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/problem.h"
#include "base/small_file.h"
#include "cache/store.h"
#include "model/hub_get.h"
#include "wire/catalog_edit.h"
#include "wire/hub_path.h"

struct update {
    const struct config *config;
    const char *path;
    struct buf text;            /* of the file; owned */
    struct catalog *catalog;    /* counted */
    struct catalog_edit *edits; /* owned */
    size_t edit_count;
    size_t next; /* model */
    bool failed; /* at least one */
    struct loop loop;
    struct store store; /* of it only what calls need: there is no cache */
    struct calls calls;
    struct hub_get get;
    struct mail all_asked;
    struct buf problem;
};

/* ---- what is said of a model ---- */

static void say(const struct update *update, const char *what, const char *more)
{
    const struct catalog_model *model = &update->catalog->models[update->next];

    (void)printf("%s/%s:%s: %s%s\n", model->upstream->name, model->repository, model->tag, what,
                 more);
}

static void say_failed(struct update *update, const char *why)
{
    say(update, "failed: ", why);
    update->failed = true;
}

/* ---- asking ---- */

static void ask_next(struct update *update);

static void take_commit(struct update *update, const char *commit)
{
    const struct catalog_model *model = &update->catalog->models[update->next];
    struct catalog_edit *edit = &update->edits[update->edit_count];
    char change[2 * HUB_COMMIT_SIZE + 4];

    if (strcmp(model->revision, commit) == 0) {
        say(update, "unchanged: ", commit);
        return;
    }
    edit->model = model;
    CHECK(view_copy(view_of(commit), edit->commit, sizeof(edit->commit)));
    update->edit_count++;
    (void)snprintf(change, sizeof(change), "%.40s -> %.40s", model->revision, commit);
    say(update, "updated: ", change);
}

static void on_info(struct hub_get *get, enum err err)
{
    struct update *update = container_of(get, struct update, get);
    struct hub_info info;
    struct buf problem = {0};

    if (err != OK)
        say_failed(update, get->sentence.length > 0 ? get->sentence.data : err_sentence(err));
    else if (!hub_read_info(view_of_buf(&get->body), &info, &problem))
        say_failed(update, problem.data);
    else
        take_commit(update, info.commit);
    buf_release(&problem);
    update->next++;
    ask_next(update);
}

/* False when it needs no asking, and that has been said. */
static bool is_to_be_asked(struct update *update, const struct catalog_model *model)
{
    if (!model->is_commit)
        say(update, "left alone: it is no commit, and moves by itself: ", model->revision);
    else if (!catalog_edit_is_possible(view_of_buf(&update->text), model))
        say_failed(update, "its revision is not written as 40 characters in a row, so that it "
                           "cannot be replaced safely; write it plainly");
    else
        return true;
    return false;
}

static void ask_next(struct update *update)
{
    struct buf path = {0};

    for (; update->next < update->catalog->count; update->next++) {
        const struct catalog_model *model = &update->catalog->models[update->next];
        if (!is_to_be_asked(update, model))
            continue;
        size_t index = (size_t)(model->upstream - update->config->upstreams);
        hub_path_info(&path, view_of(model->repository), view_of(model->follow));
        hub_get_start(&update->get, &update->calls, &update->store.upstreams.list[index],
                      model->repository, path.data, HUB_ANSWER_MAX, on_info);
        buf_release(&path);
        return;
    }
    loop_post(&update->loop, &update->all_asked);
}

/* Not from inside the end of a transfer. */
static void on_all_asked(struct mail *mail)
{
    struct update *update = container_of(mail, struct update, all_asked);

    transfers_stop(&update->calls.transfers);
    loop_stop(&update->loop);
}

/* One after the other: whoever has hundreds of models is limited by the hub in any case. */
static void ask_all(struct update *update)
{
    struct store *store = &update->store;

    update->all_asked.deliver = on_all_asked;
    store->config = update->config;
    upstreams_init(&store->upstreams, update->config);
    flights_init(&store->flights);
    loop_init(&update->loop, "main", false);
    update->calls.loop = &update->loop;
    update->calls.store = store;
    transfers_init(&update->calls.transfers, &update->loop, update->config);
    calls_init(&update->calls);
    ask_next(update);
    loop_run(&update->loop);
    hub_get_release(&update->get);
    transfers_release(&update->calls.transfers);
    calls_release(&update->calls);
    loop_release(&update->loop);
    flights_release(&store->flights);
    upstreams_release(&store->upstreams);
}

/* ---- writing ---- */

static bool write_all(int fd, const struct buf *text)
{
    for (size_t done = 0; done < text->length;) {
        ssize_t count = write(fd, text->data + done, text->length - done);
        if (count < 0 && errno != EINTR)
            return false;
        done += count < 0 ? 0 : (size_t)count;
    }
    return fsync(fd) == 0;
}

/* So that the new name outlives a crash. */
static void sync_folder(const char *path)
{
    char *folder = view_dup((struct view){path, (size_t)(strrchr(path, '/') - path) + 1});
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Puts the text in place of the file `real`, an absolute path. False: see errno. */
static bool replace_file(const char *real, const struct buf *text)
{
    struct buf temporary = {0};
    struct stat former;

    buf_printf(&temporary, "%s.XXXXXX", real);
    int fd = stat(real, &former) == 0 ? mkostemp(temporary.data, O_CLOEXEC) : -1;
    if (fd < 0) {
        buf_release(&temporary);
        return false;
    }
    bool good = write_all(fd, text) && fchmod(fd, former.st_mode & 07777) == 0;
    (void)!fchown(fd, former.st_uid, former.st_gid); /* when we may */
    good = close(fd) == 0 && good && rename(temporary.data, real) == 0;
    int error = errno;
    if (good)
        sync_folder(real);
    else
        (void)unlink(temporary.data);
    buf_release(&temporary);
    errno = error;
    return good;
}

/* Whether the new text is the old catalog but for the new commits. */
static bool is_what_was_meant(const struct update *update, const struct buf *text)
{
    struct catalog *catalog = catalog_new();
    struct buf problem = {0};
    size_t edit = 0;

    bool good = catalog_read_text(catalog, update->config, view_of_buf(text), update->path,
                                  CATALOG_CONFIG, &problem) == OK &&
                catalog->count == update->catalog->count;
    for (size_t i = 0; good && i < catalog->count; i++) {
        const struct catalog_model *now = &catalog->models[i], *old = &update->catalog->models[i];
        bool is_edited = edit < update->edit_count && update->edits[edit].model == old;
        const char *revision = is_edited ? update->edits[edit++].commit : old->revision;
        good = now->upstream == old->upstream && strcmp(now->repository, old->repository) == 0 &&
               strcmp(now->tag, old->tag) == 0 && strcmp(now->follow, old->follow) == 0 &&
               strcmp(now->filter, old->filter) == 0 && strcmp(now->revision, revision) == 0;
    }
    catalog_unref(catalog);
    buf_release(&problem);
    return good;
}

/* Whether the file is still what was read from it. */
static bool is_unchanged(struct update *update)
{
    struct buf text = {0};

    bool same = small_file_read(update->path, CATALOG_FILE_MAX, &text, &update->problem) == OK &&
                view_equal(view_of_buf(&text), view_of_buf(&update->text));
    buf_release(&text);
    return same;
}

static enum err write_file(struct update *update)
{
    enum err err = OK;
    struct buf text = {0};
    char *real = realpath(update->path, NULL);

    catalog_edit(view_of_buf(&update->text), update->edits, update->edit_count, &text);
    if (!is_what_was_meant(update, &text))
        err = problem_set(&update->problem,
                          "%s: cannot be edited safely, and is left as it was; write the revisions "
                          "plainly",
                          update->path);
    else if (!is_unchanged(update))
        err = problem_set(&update->problem,
                          "%s: was changed by somebody else meanwhile, and is left as it is; run "
                          "the command again",
                          update->path);
    else if (real == NULL || !replace_file(real, &text))
        err = problem_set(&update->problem, "%s: cannot be replaced: %s", update->path,
                          strerrordesc_np(errno));
    free(real);
    buf_release(&text);
    return err;
}

/* ---- the command ---- */

static int update_file(struct update *update)
{
    enum err err = small_file_read(update->path, CATALOG_FILE_MAX, &update->text, &update->problem);
    if (err == OK)
        err = catalog_read_text(update->catalog, update->config, view_of_buf(&update->text),
                                update->path, CATALOG_CONFIG, &update->problem);
    if (err != OK)
        return CATALOG_EXIT_USAGE;
    update->edits = check_calloc(update->catalog->count + 1, sizeof(*update->edits));
    ask_all(update);
    if (update->edit_count > 0)
        err = write_file(update);
    return err != OK || update->failed || fflush(stdout) != 0 ? CATALOG_EXIT_FAILED
                                                              : CATALOG_EXIT_OK;
}

int catalog_command_update(const struct config *config, const char *path)
{
    struct update update = {.config = config, .path = path, .catalog = catalog_new()};

    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    log_start(CONFIG_LOG_ERROR, CONFIG_LOG_TEXT);
    int code = update_file(&update);
    log_stop();
    curl_global_cleanup();
    if (update.problem.length > 0)
        (void)fprintf(stderr, "entrepot: %s\n", update.problem.data);
    catalog_unref(update.catalog);
    free(update.edits);
    buf_release(&update.text);
    buf_release(&update.problem);
    return code;
}
