/* Fuzzes routing: a route that is given out is valid, and names a configured upstream. */
#include "wire/reference.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static struct config_upstream upstreams[] = {
    {.name = (char[]){"docker.io"}, .is_docker_hub = true},
    {.name = (char[]){"quay.io"}},
    {.name = (char[]){"r.example:5000"}},
    {.name = (char[]){"hf"}, .is_hub = true},
};

static const struct config config = {.upstreams = upstreams, .upstream_count = 4};

static void check_route(const struct route *route)
{
    if (route->ns[0] != '\0')
        CHECK(config_find_upstream(&config, view_of(route->ns)) >= 0);
    for (const char *at = route->query; *at != '\0'; at++)
        CHECK(*at > ' ' && *at <= '~');
    CHECK(route->kind != ROUTE_OTHER);
    if (route->kind == ROUTE_PING) {
        CHECK(route->upstream == -1);
        return;
    }
    CHECK(route->upstream >= 0 && (size_t)route->upstream < config.upstream_count);
    CHECK(grammar_is_repository(view_of(route->repository)));
    CHECK(route->upstream != 0 || strchr(route->repository, '/') != NULL);
    if (route->kind == ROUTE_MANIFEST && !route->by_digest)
        CHECK(grammar_is_tag(view_of(route->tag)));
    else
        CHECK(route->by_digest == (route->kind != ROUTE_TAGS));
}

/* What stands behind the first line feed is the OCI-Namespace field. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct view ns_field = {(const char *)input, size};
    struct view target = view_cut(&ns_field, '\n');
    struct route route;

    memset(&route, 'x', sizeof(route));
    enum err err = reference_parse(&config, target, ns_field, &route);
    if (err == OK)
        check_route(&route);
    else
        CHECK(err_status(err) == 400 || err_status(err) == 404);
    return 0;
}
