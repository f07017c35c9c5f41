#include "model/hub_get.h"

#include <stdlib.h>

#include "base/check.h"
#include "wire/http.h"
#include "wire/hub_path.h"

static enum err on_head(struct call *call, int status)
{
    struct hub_get *get = call_owner(call);
    struct buf links = {0}, path = {0};
    struct view target;
    bool good = true;

    (void)status;
    call_fields(call, "Link", &links);
    if (http_link_next(view_of_buf(&links), &target))
        good = hub_path_next(target, config_upstream_prefix(get->upstream->config),
                             view_of(get->path), &path);
    buf_release(&links);
    get->next = path.data;
    return good ? OK : ERR_UPSTREAM_NONSENSE;
}

static enum err on_body(struct call *call, const void *data, size_t length)
{
    struct hub_get *get = call_owner(call);

    if (length > get->limit - get->body.length)
        return ERR_UPSTREAM_NONSENSE;
    buf_append(&get->body, data, length);
    return OK;
}

static void on_end(struct call *call, enum err err)
{
    struct hub_get *get = call_owner(call);

    get->retry_after = call_retry_after(call);
    buf_append_view(&get->sentence, call_sentence(call));
    get->call = NULL;
    get->on_end(get, err);
}

void hub_get_start(struct hub_get *get, struct calls *calls, struct upstream *upstream,
                   const char *repository, const char *path, uint64_t limit,
                   void (*done)(struct hub_get *get, enum err err))
{
    static const struct call_events events = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};

    CHECK(get->call == NULL);
    hub_get_release(get);
    get->upstream = upstream;
    get->path = check_strdup(path);
    get->limit = limit;
    get->on_end = done;
    get->call = call_start(
        calls,
        &(struct call_request){
            .upstream = upstream, .method = TRANSFER_GET, .repository = repository, .path = path},
        &events, get);
}

void hub_get_release(struct hub_get *get)
{
    call_cancel(get->call);
    buf_release(&get->body);
    buf_release(&get->sentence);
    free(get->path);
    free(get->next);
    *get = (struct hub_get){0};
}
