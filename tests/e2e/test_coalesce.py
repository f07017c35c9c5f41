"""One fill of a blob, however many read it: each byte is fetched once."""

import threading

import pytest

from harness.images import blob_image
from harness.util import Gate, MiB, Threads, noise, wait_until


@pytest.mark.parametrize("size", [64 * MiB, pytest.param(1024 * MiB, marks=pytest.mark.long)])
def test_eight_clients_share_one_fill_of_a_cold_blob(size, entrepot, upstream):
    """B9, B11: the eighth has its first byte while the fill is held; one GET, size bytes, eight right hashes."""
    gate, all_have_a_byte = Gate(), threading.Barrier(9)
    image = upstream.add(blob_image(noise(size)), "library/big", "1")
    (digest,) = image.layer_digests
    upstream.on("GET", digest, hold=(size // 4, gate))
    mirror = entrepot(upstream)
    mirror.get("/v2/library/big/manifests/1")

    def client(_):
        with mirror.connect() as connection:
            connection.request("GET", f"/v2/library/big/blobs/{digest}")
            connection.head()
            connection.read(1)
            all_have_a_byte.wait()
            return connection.drain()

    clients = Threads(8, client)
    all_have_a_byte.wait(60)
    assert upstream.body_bytes(digest) <= size // 4
    assert mirror.metric("entrepot_fills_running") == 1
    gate.open()
    replies = clients.join()

    assert all((r.status, r.received, r.sha256, r.end) == (200, size, digest, "complete") for r in replies)
    assert len(upstream.seen("*", digest)) == 1 and upstream.body_bytes(digest) == size
    states = [reply.headers["cache-status"] for reply in replies]
    assert sum("collapsed" in state for state in states) == 7
    assert sum("fwd=uri-miss" in state and "collapsed" not in state for state in states) == 1
    assert mirror.metric("entrepot_readers_coalesced_total") == 7


@pytest.mark.parametrize("others", [0, 2])
def test_a_leaving_client_stops_nothing(others, entrepot, upstream):
    """P8: the one who began the fill goes in the middle; the fill ends all the same, and the rest are served."""
    gate, data = Gate(), noise(8 * MiB)
    image = upstream.add(blob_image(data), "library/x", "1")
    (digest,) = image.layer_digests
    target = f"/v2/library/x/blobs/{digest}"
    upstream.on("GET", digest, hold=(2 * MiB, gate))
    mirror = entrepot(upstream)
    mirror.get("/v2/library/x/manifests/1")
    with mirror.connect() as leaver:
        leaver.request("GET", target)
        leaver.head()
        leaver.read(MiB)
        clients = Threads(others, lambda _: mirror.get(target, keep=False))
        wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") == others, "the others have joined")
    wait_until(lambda: mirror.metric("entrepot_connections_open") == others, "the leaver's connection is gone")
    gate.open()
    assert all(reply.sha256 == digest for reply in clients.join())
    mirror.wait_held(digest)
    reply = mirror.get(target, keep=False)
    assert reply.sha256 == digest and "hit" in reply.headers["cache-status"]
    assert len(upstream.seen("GET", digest)) == 1


def test_a_client_that_does_not_read_holds_up_nobody(entrepot, upstream):
    """The disk is the buffer: one reader asleep, the fill and another reader run to their ends."""
    data = noise(48 * MiB)
    image = upstream.add(blob_image(data), "library/x", "1")
    (digest,) = image.layer_digests
    target = f"/v2/library/x/blobs/{digest}"
    mirror = entrepot(upstream)
    with mirror.connect(receive_buffer=4096) as sleeper:
        sleeper.request("GET", target)
        sleeper.head()
        assert mirror.get(target, keep=False).sha256 == digest
        mirror.wait_held(digest)
        assert sleeper.drain().sha256 == digest
    assert len(upstream.seen("GET", digest)) == 1


def test_a_blob_of_two_repositories_is_fetched_once(entrepot, upstream):
    """Blobs are stored once whatever the repository; the second one's manifest makes it known there."""
    data, gate = noise(4 * MiB), Gate()
    image = upstream.add(blob_image(data), "library/one", "1")
    upstream.add(image, "library/two", "1")
    (digest,) = image.layer_digests
    upstream.on("GET", digest, hold=(MiB, gate))
    mirror = entrepot(upstream)
    for repository in ("one", "two"):
        mirror.get(f"/v2/library/{repository}/manifests/1")
    clients = Threads(2, lambda i: mirror.get(f"/v2/library/{('one', 'two')[i]}/blobs/{digest}", keep=False))
    wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") == 1, "the second has joined the first")
    gate.open()
    assert all(reply.sha256 == digest for reply in clients.join())
    assert len(upstream.seen("*", digest)) == 1


def test_the_second_pull_needs_no_upstream(entrepot, demo, proxy):
    """Cold, every object is asked for once; warm, none is."""
    mirror = entrepot(proxy)
    mirror.pull("library/demo", "1")
    before = len(proxy.requests)
    assert all("hit" in reply.headers["cache-status"] for reply in mirror.pull("library/demo", "1"))
    assert len(proxy.requests) == before
    targets = [(request.method, request.path) for request in proxy.requests]
    assert len(targets) == len(set(targets))
