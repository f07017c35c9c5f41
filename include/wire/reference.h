#ifndef WIRE_REFERENCE_H
#define WIRE_REFERENCE_H

/*
 * From a request's target and a few fields to what is meant: which upstream, which repository, and
 * manifest, blob, tag list or referrers. Pure; fuzzed. Rows R1-R10 of clients.md:
 *
 *   /v2/                                     ping (with the prefix of any upstream, and any ns)
 *   /v2/<repository>/manifests/<reference>   with ?ns=<upstream>, or the default upstream
 *   /v2/<upstream>/<repository>/...          the first component is a configured upstream's name
 *   /<upstream>/v2/<repository>/...          the prefix stands before /v2
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/grammar.h"

enum {
    REFERENCE_REPOSITORY_SIZE = GRAMMAR_REPOSITORY_SIZE,
    REFERENCE_TAG_SIZE = GRAMMAR_TAG_SIZE,
    REFERENCE_QUERY_SIZE = 1024,
};

enum route_kind {
    ROUTE_PING,
    ROUTE_MANIFEST,
    ROUTE_BLOB,
    ROUTE_TAGS,
    ROUTE_REFERRERS,
    ROUTE_OTHER, /* none of these; only together with an error */
};

struct route {
    enum route_kind kind;
    int upstream;        /* index into config->upstreams; for a ping, -1 */
    bool upstream_named; /* by ns, prefix or OCI-Namespace; false: it is the default one (R5, R6) */
    char ns[256];        /* decoded value of ns, else of OCI-Namespace, when one was used, for R9;
                          * else "". It names an upstream, so it may stand in a field */
    char repository[REFERENCE_REPOSITORY_SIZE]; /* "library/" added where docker.io wants it (R8);
                                                 * of a hub, in lower case */
    bool library_added;                         /* the client did not say it (R8) */
    bool by_digest; /* manifest: digest is set, else tag. Blob, referrers: always true */
    struct digest digest;
    char tag[REFERENCE_TAG_SIZE];
    char query[REFERENCE_QUERY_SIZE]; /* tags: n and last; referrers: artifactType; re-encoded,
                                       * without ns and anything else; "" when none */
};

/*
 * Parses `target` ("/v2/...?ns=..."). `ns_field` is the OCI-Namespace request field, or empty; ns
 * in the query goes before it (R7). A path with "..", empty components, encoded slashes, or a
 * repository or tag outside the distribution-spec's grammar (percent-decoded first) is refused; but
 * a hub's repositories may be written in any case.
 * Errors: ERR_ROUTE_UNKNOWN, ERR_NAME_INVALID, ERR_TAG_INVALID, ERR_DIGEST_INVALID,
 * ERR_NAMESPACE_UNKNOWN (an ns, or a prefix before /v2, that is not configured: R10),
 * ERR_NAMESPACE_CONFLICT (R4), ERR_BAD_REQUEST (n, last or artifactType that cannot be decoded, or
 * are too long). On an error `ret_route->kind` is still the best guess for the log.
 * A first path component behind /v2/ that looks like a host (holds a dot or colon, or is
 * "localhost", as distribution's reference grammar has it), is not configured, and comes without
 * ns, is ERR_NAMESPACE_UNKNOWN too: it is somebody's registry, not a repository of the default one.
 * With an ns that names an upstream, a first component that is the same upstream's name is
 * stripped (R4), and one that names another upstream is ERR_NAMESPACE_CONFLICT.
 */
enum err reference_parse(const struct config *config, struct view target, struct view ns_field,
                         struct route *ret_route) MUST_CHECK;

#endif
