#ifndef IO_URL_H
#define IO_URL_H

/*
 * URLs, as curl reads them: whoever decides by one where a request may go decides of the same host
 * that curl then asks. Pure. Thread: any.
 */

#include <stdbool.h>

#include "base/buf.h"

/* Whether two URLs have the same scheme, host and port: credentials go nowhere else. False when
 * either is none. */
bool url_same_authority(const char *a, const char *b);

/* Resolves a Location against the URL that gave it. Gives an http or https URL, which the caller
 * frees; NULL when it makes no such. */
char *url_resolve(const char *base, struct view location);

#endif
