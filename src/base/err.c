#include "base/err.h"

#include <errno.h>
#include <stddef.h>

#include "base/check.h"

enum retry { FINAL, RETRY };

static const struct row {
    const char *label;
    const char *code;
    const char *sentence;
    int status;
    enum retry retry;
} rows[ERR_COUNT] = {
    {"OK", "", "no error", 200, FINAL},
#define ERR(label, status, code, retry, sentence) {#label, #code, sentence, status, retry},
#include "base/errors.def"
#undef ERR
};

static const struct row *row_of(enum err err)
{
    CHECK((size_t)err < ERR_COUNT);
    return &rows[err];
}

const char *err_label(enum err err)
{
    return row_of(err)->label;
}

int err_status(enum err err)
{
    return row_of(err)->status;
}

const char *err_code(enum err err)
{
    return row_of(err)->code;
}

const char *err_sentence(enum err err)
{
    return row_of(err)->sentence;
}

bool err_is_retryable(enum err err)
{
    return row_of(err)->retry == RETRY;
}

enum err err_of_errno(int number)
{
    switch (number) {
    case 0:
        return OK;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_DISK_FULL;
    default:
        return ERR_DISK_FAILED;
    }
}

bool err_is_loss(int number)
{
    /* A medium error, in two forms, and what file systems say of checksums that are wrong. */
    return number == EIO || number == ENODATA || number == EBADMSG || number == EUCLEAN;
}
