#include "wire/catalog_edit.h"

#include <string.h>

#include "base/check.h"

enum { COMMIT = HUB_COMMIT_SIZE - 1 };

/* The offset of a character that libyaml has counted: the bytes that begin one, without a mark of
 * the byte order. */
static size_t offset_of(struct view text, size_t character)
{
    size_t at = view_starts_with(text, VIEW("\xef\xbb\xbf")) ? 3 : 0;

    for (; at < text.length && (character > 0 || ((unsigned char)text.data[at] & 0xc0) == 0x80);
         at++)
        character -= ((unsigned char)text.data[at] & 0xc0) != 0x80;
    return at;
}

/* Where the commit's first digit is; SIZE_MAX when it is not written plainly. */
static size_t find(struct view text, const struct catalog_model *model)
{
    size_t start = offset_of(text, model->revision_start);
    size_t end = offset_of(text, model->revision_end);
    bool is_quoted = end - start == COMMIT + 2;

    if (!model->is_commit || (end - start != COMMIT && !is_quoted))
        return SIZE_MAX;
    start += is_quoted;
    return memcmp(text.data + start, model->revision, COMMIT) == 0 ? start : SIZE_MAX;
}

bool catalog_edit_is_possible(struct view text, const struct catalog_model *model)
{
    return find(text, model) != SIZE_MAX;
}

void catalog_edit(struct view text, const struct catalog_edit *edits, size_t count, struct buf *out)
{
    size_t done = 0;

    for (size_t i = 0; i < count; i++) {
        size_t at = find(text, edits[i].model);
        CHECK(at != SIZE_MAX && at >= done && hub_is_commit(view_of(edits[i].commit)));
        buf_append(out, text.data + done, at - done);
        buf_append_text(out, edits[i].commit);
        done = at + COMMIT;
    }
    buf_append(out, text.data + done, text.length - done);
}
