#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Every way Entrepot can fail: one enum, one table (errors.def).
 *
 * Foreign codes (errno, libuv, curl, LMDB, OpenSSL) become `enum err` inside the module that wraps
 * that library. "Not found" is an answer, not an error, except where a peer must be told so.
 */

#include <stdbool.h>

enum err {
    OK = 0,
#define ERR(label, status, code, retry, sentence) ERR_##label,
#include "base/errors.def"
#undef ERR
    ERR_COUNT
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* "UPSTREAM_TIMEOUT", for logs and metrics; "OK" for OK. Static. Thread: any, as all here. */
const char *err_label(enum err err);

/* The HTTP status that tells a client so; 200 for OK. */
int err_status(enum err err);

/* The code of the OCI error body: "MANIFEST_UNKNOWN", ... */
const char *err_code(enum err err);

/* What to tell a person. */
const char *err_sentence(enum err err);

/* Whether the same request may succeed in a moment. */
bool err_is_retryable(enum err err);

/* errno, as set by a file call, as an error of ours. */
enum err err_of_errno(int number);

/* Whether errno says that the disk has lost the bytes, not that they cannot be read just now. */
bool err_is_loss(int number);

#endif
