"""Large blobs over several connections, from upstreams that bear fewer, and of sizes that nobody told."""

import pytest

from harness.util import Gate, MiB, Threads, let_pass, noise, wait_until

SIZE = 96 * MiB + 4321
DATA = noise(SIZE, 5)


def test_a_blob_of_unknown_size_larger_than_the_cache_is_refused_at_once(entrepot, upstream):
    digest = upstream.add_blob("library/x", DATA)
    mirror = entrepot(upstream, cache_size="80MiB")
    reply = mirror.get(f"/v2/library/x/blobs/{digest}")
    assert reply.status == 503, reply
    wait_until(lambda: mirror.log(level="error", event="evict"), "the log says so")


@pytest.mark.parametrize("size", [1000, SIZE], ids=["small", "large"])
def test_one_question_for_the_rest_as_long_as_nobody_knows_the_size(entrepot, upstream, size):
    """What would be asked for beside it may not be there."""
    other, gate = upstream.add_blob("library/x", b"another"), Gate()
    digest = upstream.add_blob("library/x", DATA[:size])
    mirror = entrepot(upstream)
    mirror.get(f"/v2/library/x/blobs/{other}", headers={"Range": "bytes=0-0"})  # it is known to take ranges
    upstream.on("GET", digest, times=1, head_gate=gate)
    client = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{digest}"))
    gate.wait_reached()
    let_pass(0.5)  # several looks at what is wanted
    assert len(upstream.seen("GET", digest)) == 1
    gate.open()
    assert client.join()[0].body == DATA[:size]
    assert upstream.body_bytes(digest) == size
    assert [request.status for request in upstream.seen("GET", digest)].count(416) == 0
