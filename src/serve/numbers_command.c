#include "serve/numbers_command.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cache/store.h"
#include "model/numbers_file.h"
#include "model/numbers_index.h"
#include "serve/admin_client.h"
#include "serve/command.h"
#include "wire/http.h"

enum { READ = 1 << 16, ANSWER_MAX = NUMBERS_FILE_MAX };

/* What one of the two is to do, and what comes of it. */
struct task {
    const struct config *config; /* borrowed */
    const char *image;           /* borrowed; or NULL */
    bool is_import;
    struct buf file; /* import: what is to be taken over */
    struct buf result;
    struct buf problem;
};

static int code_of(enum err err)
{
    return err == OK ? NUMBERS_EXIT_DONE : NUMBERS_EXIT_REFUSED;
}

/* ---- no mirror uses the cache ---- */

static int work_here(struct task *task, struct store *store)
{
    struct hub_image image;
    struct numbers_taken taken;

    if (task->image != NULL &&
        !hub_image_parse(task->config, view_of(task->image), &image, &task->problem))
        return NUMBERS_EXIT_USAGE;
    if (!task->is_import)
        return code_of(numbers_index_export(store, &image, &task->result, &task->problem));
    enum err err =
        numbers_index_import(store, view_of_buf(&task->file), task->image == NULL ? NULL : &image,
                             &taken, &task->problem);
    if (err == OK)
        numbers_taken_print(task->config, &taken, &task->result);
    return code_of(err);
}

/* ---- a mirror uses it ---- */

static int work_there(struct task *task)
{
    struct buf target = {0}, reason = {0};
    int code = NUMBERS_EXIT_FAILED;
    struct admin_client client;

    buf_append_text(&target, "/numbers");
    if (task->image != NULL) {
        buf_append_text(&target, "?image=");
        http_percent_encode(&target, view_of(task->image));
    }
    if (admin_client_open(&client, task->config, ANSWER_MAX, &task->problem) &&
        admin_client_shares_cache(&client, &task->problem)) {
        if (!admin_client_ask(&client, task->is_import ? "POST" : "GET", target.data,
                              view_of_buf(&task->file), &reason))
            buf_printf(&task->problem, "the mirror at %s did not answer to the end (%s)",
                       task->config->admin, reason.data);
        else if (client.status == 200)
            code = NUMBERS_EXIT_DONE;
        else if (admin_client_read_error(&client, &task->problem) && client.status < 500)
            code = NUMBERS_EXIT_REFUSED;
        if (code == NUMBERS_EXIT_DONE)
            buf_append_view(&task->result, view_of_buf(&client.answer));
    }
    admin_client_close(&client);
    buf_release(&target);
    buf_release(&reason);
    return code;
}

/* ---- the commands ---- */

static int work(struct task *task)
{
    struct store store;

    if (!command_finds_cache(task->config, &task->problem))
        return NUMBERS_EXIT_FAILED;
    enum err err = store_open(&store, task->config, &task->problem);
    if (err == ERR_CACHE_IN_USE) {
        buf_clear(&task->problem);
        return work_there(task);
    }
    if (err != OK)
        return NUMBERS_EXIT_FAILED;
    int code = work_here(task, &store);
    store_close(&store);
    return code;
}

/* "-": standard input. */
static bool read_file(const char *path, struct buf *out, struct buf *problem)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && out->length <= NUMBERS_FILE_MAX) {
        buf_reserve(out, READ);
        got = read(fd, out->data + out->length, READ);
        if (got > 0)
            out->length += (size_t)got;
    }
    if (got < 0)
        buf_printf(problem, "%s cannot be read: %s", path, strerror(errno));
    else if (out->length > NUMBERS_FILE_MAX)
        buf_printf(problem, "%s has more than 64 MiB; that is no file of `entrepot numbers export`",
                   path);
    else if (out->length == 0)
        buf_printf(problem, "%s is empty", path);
    if (fd >= 0)
        close(fd);
    return problem->length == 0;
}

/* {"image", "digest", "tagged"} for people. */
static void tell_taken(const struct buf *result, FILE *out)
{
    json_t *root = json_loadb(result->data, result->length, 0, NULL);
    const char *image, *digest;
    int is_tagged;

    if (root != NULL && json_unpack(root, "{s:s, s:s, s:b}", "image", &image, "digest", &digest,
                                    "tagged", &is_tagged) == 0)
        (void)fprintf(out, "%s is %s%s\n", image, digest,
                      is_tagged != 0 ? ""
                                     : " by its digest and commit; the tag stands for another "
                                       "image here, until the hub is asked again");
    json_decref(root);
}

static int run(struct task *task, const char *path)
{
    FILE *out = command_start(task->config);
    int code = NUMBERS_EXIT_FAILED;

    if (out != NULL && (path == NULL || read_file(path, &task->file, &task->problem)))
        code = work(task);
    log_stop();
    if (code != NUMBERS_EXIT_DONE)
        (void)fprintf(stderr, "entrepot: %s\n",
                      task->problem.length > 0 ? task->problem.data : "that was not possible");
    else if (task->is_import)
        tell_taken(&task->result, out);
    else
        (void)fwrite(task->result.data, 1, task->result.length, out);
    if (out != NULL && fclose(out) != 0 && code == NUMBERS_EXIT_DONE)
        code = NUMBERS_EXIT_FAILED;
    buf_release(&task->file);
    buf_release(&task->result);
    buf_release(&task->problem);
    return code;
}

int numbers_export_command(const struct config *config, const char *image)
{
    struct task task = {.config = config, .image = image};

    return run(&task, NULL);
}

int numbers_import_command(const struct config *config, const char *path, const char *image)
{
    struct task task = {.config = config, .image = image, .is_import = true};

    return run(&task, path);
}
