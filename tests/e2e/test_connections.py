"""Large blobs over several connections, from upstreams that bear fewer, and of sizes that nobody told."""

from harness.util import MiB, noise

SIZE = 96 * MiB + 4321
DATA = noise(SIZE, 5)


def test_a_blob_of_unknown_size_larger_than_the_cache_is_refused_at_once(entrepot, upstream):
    digest = upstream.add_blob("library/x", DATA)
    mirror = entrepot(upstream, cache_size="80MiB")
    reply = mirror.get(f"/v2/library/x/blobs/{digest}")
    assert reply.status == 503 and mirror.log(level="error", event="evict"), reply
