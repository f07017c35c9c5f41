/*
 * The import as a whole. import_step() is called whenever something has ended, and does what is to
 * be done next. What fails is tried again from where it was, after a pause; the asks hear of it
 * when it fails for good.
 */
#include "model/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/stats.h"
#include "model/import_parts.h"
#include "wire/hub_path.h"

enum { PAGES_MAX = 20000 };

/* ---- the end ---- */

static void note_end(const struct import *import, enum err err)
{
    struct log_line line;

    if (!log_begin(&line, err == OK ? CONFIG_LOG_INFO : CONFIG_LOG_WARN, "import"))
        return;
    log_text(&line, "upstream", view_of(import->upstream->config->name));
    log_text(&line, "repository", view_of(import->repository));
    log_text(&line, "commit", view_of(import->info.commit));
    log_number(&line, "files", import->count);
    log_number(&line, "bytes", import->bytes);
    log_text(&line, "verdict", view_of(err_label(err)));
    if (import->sentence.length > 0)
        log_text(&line, "message", view_of_buf(&import->sentence));
    log_end(&line);
}

static void on_begin(uv_timer_t *timer)
{
    import_step(container_of(timer, struct import, timer));
}

/* Begins with the oldest, as far as there may be more at once. One that was PAUSED is older than
 * those that came behind it, and has the next place. */
static void begin_some(struct import_thread *thread)
{
    for (struct list *node = thread->imports.next; node != &thread->imports; node = node->next) {
        struct import *import = import_of_node(node);
        if (thread->running >= thread->store->config->max_imports)
            return;
        if (import->turn != IMPORT_QUEUED)
            continue;
        import->turn = IMPORT_RUNS;
        thread->running++;
        uv_timer_start(&import->timer, on_begin, 0, 0); /* never from inside */
    }
}

static void end(struct import *import, enum err err)
{
    struct import_thread *thread = import->thread;

    uv_timer_stop(&import->timer);
    stats_subtract(STAT_IMPORTS_RUNNING, AT_ALL, 1);
    if (err == OK)
        stats_add(STAT_IMPORTS_DONE, AT_ALL, 1);
    else if (err != ERR_STOPPING)
        stats_add(STAT_IMPORTS_FAILED, AT(err), 1);
    note_end(import, err);
    thread->running -= import->turn == IMPORT_RUNS;
    import->on_end(import, err, view_of_buf(&import->sentence)); /* which frees it */
    begin_some(thread);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct import, timer));
}

void import_free(struct import *import)
{
    list_unlink(&import->node);
    hub_get_release(&import->page);
    import_layers_release(import);
    tree_split_release(&import->split);
    free(import->next_page);
    hub_files_release(&import->listed);
    free(import->files);
    free(import->filter);
    buf_release(&import->sentence);
    uv_close((uv_handle_t *)&import->timer, on_timer_closed);
}

/* ---- failures ---- */

void import_note_error(struct import *import, enum err err, struct view sentence,
                       uint64_t retry_after)
{
    if (retry_after > import->retry_after)
        import->retry_after = retry_after;
    if (import->err != OK)
        return;
    import->err = err;
    buf_clear(&import->sentence);
    buf_append_view(&import->sentence, sentence);
}

static void on_pause_over(uv_timer_t *timer)
{
    struct import *import = container_of(timer, struct import, timer);
    LOOP_CALLBACK(&import->thread->loop);

    import->err = OK;
    buf_clear(&import->sentence);
    import->turn = IMPORT_QUEUED;
    begin_some(import->thread);
}

/* Nothing runs, and something has failed. Others have its place while it waits. */
static void recover(struct import *import)
{
    uint64_t told_s = import->retry_after, rest_s = 0, pause;

    if (upstream_is_resting(import->upstream, &rest_s) != OK && rest_s > told_s)
        told_s = rest_s; /* it may have told somebody else */
    import->retry_after = 0;
    if (!import_retry_next(&import->retry, true, import->err, told_s, &pause)) {
        end(import, import->err);
        return;
    }
    bool says_more = import->sentence.length > 0;
    log_message(CONFIG_LOG_INFO, "import", "%s: %s%s%s; tried again in %llu s", import->repository,
                err_sentence(import->err), says_more ? ": " : "",
                says_more ? import->sentence.data : "", (unsigned long long)(pause / 1000));
    uv_timer_start(&import->timer, on_pause_over, pause, 0);
    import->turn = IMPORT_PAUSED;
    import->thread->running--;
    begin_some(import->thread);
}

/* ---- LISTING ---- */

static void ask_page(struct import *import, const char *path);

/* It works all the same, at a price that somebody ought to know. */
static void compare_with_cache(const struct import *import)
{
    uint64_t room = import->thread->store->config->cache_size;

    if (import->bytes > room)
        log_message(
            CONFIG_LOG_WARN, "import",
            "%s: its files have %llu bytes, which is more than cache_size (%llu): what does "
            "not stay in the cache is fetched again when it is asked for",
            import->repository, (unsigned long long)import->bytes, (unsigned long long)room);
}

static void on_page(struct hub_get *get, enum err err)
{
    struct import *import = container_of(get, struct import, page);
    struct buf problem = {0};

    bool good = err == OK && hub_read_files(view_of_buf(&get->body), &import->listed, &problem);
    buf_release(&get->body); /* what is in it is listed now */
    if (err != OK) {
        import_note_error(import, err, view_of_buf(&get->sentence), get->retry_after);
    } else if (!good) {
        import_note_error(import, ERR_UPSTREAM_NONSENSE, view_of_buf(&problem), 0);
    } else if (get->next != NULL && ++import->pages > PAGES_MAX) {
        import_note_error(import, ERR_UPSTREAM_NONSENSE, VIEW("the hub's list of files has no end"),
                          0);
    } else if (get->next != NULL) {
        free(import->next_page);
        import->next_page = get->next;
        get->next = NULL;
        import->retry = (struct import_retry){0};
        ask_page(import, import->next_page);
        return;
    } else if (import_files_take(import)) {
        compare_with_cache(import);
        import->state = IMPORT_SMALL;
    }
    buf_release(&problem);
    import_step(import);
}

static void ask_page(struct import *import, const char *path)
{
    hub_get_start(&import->page, &import->thread->calls, import->upstream, import->repository, path,
                  HUB_ANSWER_MAX, on_page);
}

/* Begins, or goes on with the page that failed. */
static void list_files(struct import *import)
{
    struct buf path = {0};

    if (import->next_page != NULL) {
        ask_page(import, import->next_page);
        return;
    }
    hub_files_release(&import->listed);
    import->pages = 0;
    hub_path_tree(&path, view_of(import->repository), view_of(import->info.commit));
    ask_page(import, path.data);
    buf_release(&path);
}

/* ---- WRITING ---- */

static void on_flushed(struct mail *mail)
{
    struct import *import = container_of(mail, struct import, flushed);

    import->thread->flushing--;
    end(import, import->stopped ? ERR_STOPPING : OK);
}

static void write_down(struct import *import)
{
    import_write(import);
    import->flushed.deliver = on_flushed;
    import->thread->flushing++;
    index_flush(import->thread->store->index, &import->thread->loop, &import->flushed);
}

/* ---- going on ---- */

static size_t run(struct import *import)
{
    size_t left = 0, running = 0;

    if (import->state == IMPORT_SMALL) {
        running = import_files_run(import);
        if (running == 0 && import->err == OK && import_layers_take(import))
            import->state = IMPORT_LAYERS;
    }
    if (import->state == IMPORT_LAYERS && import->err == OK) {
        running = import_layers_run(import, &left);
        if (left == 0)
            import->state = IMPORT_WRITING;
    }
    return running;
}

static size_t count_running(struct import *import)
{
    size_t left, running = 0;

    if (import->state == IMPORT_LISTING)
        return import->page.call != NULL;
    if (import->err == OK && !import->stopped)
        return run(import);
    for (size_t i = 0; i < IMPORT_SMALL_AT_ONCE; i++)
        running += import->small[i].is_busy;
    (void)left;
    for (size_t i = 0; import->layers != NULL && i < import->split.layer_count; i++)
        running += import->layers[i].state == IMPORT_LAYER_RUNS;
    return running;
}

void import_step(struct import *import)
{
    if (import->turn != IMPORT_RUNS && !import->stopped)
        return;
    if (count_running(import) > 0)
        return;
    if (import->stopped)
        end(import, ERR_STOPPING);
    else if (import->err != OK)
        recover(import);
    else if (import->state == IMPORT_LISTING)
        list_files(import);
    else if (import->state == IMPORT_WRITING)
        write_down(import);
}

/* ---- the importer's side ---- */

struct import *import_start(struct import_thread *thread, struct upstream *upstream,
                            const char *repository, const struct hub_info *info, const char *filter,
                            bool prove,
                            void (*on_end)(struct import *import, enum err err,
                                           struct view sentence))
{
    struct import *import = check_calloc(1, sizeof(*import));

    import->thread = thread;
    import->upstream = upstream;
    CHECK(view_copy(view_of(repository), import->repository, sizeof(import->repository)));
    import->info = *info;
    import->filter = view_dup(view_of(filter));
    import->prove = prove;
    import->on_end = on_end;
    list_init(&import->asks);
    list_append(&thread->imports, &import->node);
    stats_add(STAT_IMPORTS_RUNNING, AT_ALL, 1);
    CHECK(uv_timer_init(&thread->loop.uv, &import->timer) == 0);
    begin_some(thread);
    return import;
}

void import_stop(struct import *import)
{
    if (import->stopped || import->state == IMPORT_WRITING)
        return; /* that ends soon */
    import->stopped = true;
    uv_timer_stop(&import->timer);
    hub_get_release(&import->page);
    import_files_stop(import);
    import_layers_stop(import);
    import_step(import);
}

bool import_is_of(const struct import *import, const struct upstream *upstream,
                  const char *repository, const char *commit, const char *filter)
{
    return import->upstream == upstream && strcmp(import->repository, repository) == 0 &&
           strcmp(import->info.commit, commit) == 0 &&
           (filter == NULL || strcmp(import->filter, filter) == 0);
}

void import_result(const struct import *import, struct digest *ret_index, uint64_t *ret_size)
{
    *ret_index = import->index_digest;
    *ret_size = import->index_size;
}

static enum import_report_state state_of(const struct import *import)
{
    if (import->turn == IMPORT_PAUSED)
        return IMPORT_REPORT_PAUSED;
    if (import->turn == IMPORT_QUEUED)
        return IMPORT_REPORT_QUEUED;
    switch (import->state) {
    case IMPORT_LISTING:
        return IMPORT_REPORT_LISTING;
    case IMPORT_SMALL:
        return IMPORT_REPORT_FILES;
    case IMPORT_LAYERS:
        return IMPORT_REPORT_LAYERS;
    case IMPORT_WRITING:
        break;
    }
    return IMPORT_REPORT_WRITING;
}

void import_tell(const struct import *import, struct import_report *report)
{
    report->state = state_of(import);
    CHECK(view_copy(view_of(import->repository), report->id, sizeof(report->id)) &&
          view_copy(view_of(import->info.commit), report->commit, sizeof(report->commit)));
    report->bytes_total = import->bytes;
    report->files = 0;
    for (size_t i = 0; import->files != NULL && i < import->count; i++)
        report->files += import->files[i].has_sha256;
    report->files_total = import->count;
    report->layers = import_layers_done(import, &report->bytes);
    report->layers_total = import->split.layer_count;
    report->error[0] = '\0';
    if (report->state == IMPORT_REPORT_PAUSED)
        import_report_set_error(report, import->err, view_of_buf(&import->sentence));
}

struct list *import_asks(struct import *import)
{
    return &import->asks;
}

struct list *import_node(struct import *import)
{
    return &import->node;
}

struct import *import_of_node(struct list *node)
{
    return container_of(node, struct import, node);
}
