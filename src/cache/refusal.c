#include "cache/refusal.h"

#include "io/loop.h"

enum { LIMITED_PAUSE_S = 2 };

/* What it says, as far as it has. */
static enum err read_message(struct refusal *refusal, struct view message)
{
    if (refusal->repository != NULL)
        return hub_refusal_read(refusal->status, view_of(refusal->code), message,
                                view_of(refusal->repository), &refusal->sentence);
    hub_refusal_of_storage(refusal->status, message, &refusal->sentence);
    return ERR_UPSTREAM_FAILED;
}

void refusal_read(struct refusal *refusal, struct transfer *transfer, unsigned status,
                  const char *repository)
{
    struct view message = transfer_field(transfer, "X-Error-Message");
    uint64_t wait = hub_refusal_wait(transfer_field(transfer, "RateLimit"),
                                     transfer_field(transfer, "Retry-After"), clock_wall_s(),
                                     status == 429 ? LIMITED_PAUSE_S : 0);

    refusal->status = status;
    refusal->repository = repository;
    refusal->is_worded = message.length > 0;
    (void)view_copy(transfer_field(transfer, "X-Error-Code"), refusal->code, sizeof(refusal->code));
    refusal->err = read_message(refusal, message);
    if (status == 503 && wait > 0) /* as a registry's does, it limits us */
        refusal->err = ERR_UPSTREAM_LIMITED;
    refusal->retry_after = refusal->err == ERR_UPSTREAM_LIMITED ? wait : 0;
}

void refusal_add(struct refusal *refusal, const void *data, size_t length)
{
    size_t room = HUB_REFUSAL_BODY_MAX + 1 - refusal->body.length; /* one byte more is too long */

    if (refusal->err != OK && !refusal->is_worded)
        buf_append(&refusal->body, data, length < room ? length : room);
}

void refusal_end(struct refusal *refusal)
{
    struct buf words = {0};

    if (hub_refusal_words(view_of_buf(&refusal->body), &words)) {
        enum err err = read_message(refusal, view_of_buf(&words));
        if (refusal->err != ERR_UPSTREAM_LIMITED)
            refusal->err = err;
    }
    buf_release(&words);
}

void refusal_release(struct refusal *refusal)
{
    buf_release(&refusal->sentence);
    buf_release(&refusal->body);
    *refusal = (struct refusal){0};
}
