"""One fill of a blob, however many read it: each byte is fetched once."""

import threading
from dataclasses import replace

import pytest

from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import Gate, MiB, Threads, let_pass, noise, wait_until


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "size, connections",
    [(64 * MiB, 8), pytest.param(1024 * MiB, 1, marks=LONG), pytest.param(1024 * MiB, 8, marks=LONG)],
)
def test_eight_clients_share_one_fill_of_a_cold_blob(size, connections, entrepot, upstream):
    """B9, B11: the eighth has its first byte while the fill is held; size bytes, eight right hashes; and one GET
    where it is not large enough for several connections, or they are not wanted."""
    gate, all_have_a_byte = Gate(), threading.Barrier(9)
    image = upstream.add(blob_image(noise(size)), "library/big", "1")
    (digest,) = image.layer_digests
    upstream.on("GET", digest, hold=(MiB, gate))
    mirror = entrepot(upstream, blob_connections=connections)
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
    assert upstream.body_bytes(digest) < size
    assert mirror.metric("entrepot_fills_running") == 1
    gate.open()
    replies = clients.join()

    assert all((r.status, r.received, r.sha256, r.end) == (200, size, digest, "complete") for r in replies)
    assert upstream.body_bytes(digest) == size
    assert len(upstream.seen("*", digest)) == 1 or (size > 64 * MiB and connections > 1)
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


# -- a fill is not its first reader's alone


def behind(gate, mirror, first, second):
    """The replies to two targets, of which the second joins the fill of the first, held at the gate."""
    one = Threads(1, lambda _: mirror.get(first))
    gate.wait_reached()
    two = Threads(1, lambda _: mirror.get(second))
    wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") == 1, "the second has joined the first")
    assert mirror.get("/v2/library/nothing/manifests/1").status == 404  # behind it through the same threads
    gate.open()
    return one.join() + two.join()


@pytest.mark.parametrize("settings", [{}, {"negative_ttl": "0s", "serve_threads": 2}], ids=["kept", "negative_ttl=0s"])
def test_a_refusal_is_for_the_repository_that_was_refused(settings, entrepot, upstream):
    """E1: 404 for the one that asked; the one that joined it, and holds the blob, gets the blob."""
    gate, data = Gate(), noise(300_000)
    digest = upstream.add_blob("library/mine", data)
    upstream.on("GET", f"none/blobs/{digest}", times=1, head_gate=gate)
    mirror = entrepot(upstream, **settings)
    refused, mine = behind(gate, mirror, *(f"/v2/library/{name}/blobs/{digest}" for name in ("none", "mine")))
    assert refused.status == 404
    assert (mine.status, mine.sha256) == (200, digest)


@pytest.mark.parametrize("settings", [{}, {"negative_ttl": "0s", "serve_threads": 2}], ids=["kept", "negative_ttl=0s"])
def test_a_refusal_at_any_moment_is_for_its_repository(settings, entrepot, upstream):
    """E1: two hundred pairs side by side, so that the second comes before, in and after the first one's end."""
    mirror = entrepot(upstream, **settings)
    with mirror.connect() as one, mirror.connect() as other:
        for number in range(200):
            digest = upstream.add_blob("library/mine", b"%d" % number)
            one.request("GET", f"/v2/library/none/blobs/{digest}")
            other.request("GET", f"/v2/library/mine/blobs/{digest}")
            assert (one.head().status, other.head().status) == (404, 200), other.drain(keep=True)
            assert other.drain().sha256 == digest
            one.drain()


def test_a_failing_upstream_does_not_fail_the_readers_of_another(entrepot, upstream):
    """The fill's first upstream says 500 to the end; who joined it by a healthy one is served from there."""
    gate, data = Gate(), noise(300_000)
    digest = upstream.add_blob("team/app", data)
    with Upstream() as healthy:
        healthy.add_blob("team/app", data)
        upstream.on("GET", digest, times=1, head_gate=gate, status=500)
        upstream.on("GET", digest, status=500)
        mirror = entrepot({"docker.io": upstream.url, "ghcr.io": healthy.url}, fill_tries=2, serve_threads=1)
        _, reply = behind(gate, mirror, *(f"/v2/team/app/blobs/{digest}?ns={ns}" for ns in ("docker.io", "ghcr.io")))
        assert (reply.status, reply.sha256) == (200, digest)


def test_a_lying_manifest_harms_nobody_else(entrepot, upstream):
    """One repository's manifest gives a layer a wrong size; who joins its fill from another gets the layer."""
    gate, data = Gate(), noise(5 * MiB)
    image = blob_image(data)
    (digest,) = image.layer_digests
    upstream.add(image, "library/good")
    lie = replace(image, data=image.data.replace(b'"size": %d' % len(data), b'"size": 7'))
    upstream.add(lie, "library/evil", "1")
    upstream.on("GET", f"evil/blobs/{digest}", times=1, head_gate=gate)
    mirror = entrepot(upstream, serve_threads=1)
    assert mirror.get("/v2/library/evil/manifests/1").body == lie.data != image.data
    _, good = behind(gate, mirror, *(f"/v2/library/{name}/blobs/{digest}" for name in ("evil", "good")))
    assert (good.status, good.sha256) == (200, digest)


def test_a_manifest_that_was_joined_is_learned_for_both(entrepot, upstream):
    """The second repository's tag waits for the first one's fill of the same manifest: known there too."""
    image, gate = upstream.add(blob_image(noise(300_000)), "library/one", "1"), Gate()
    upstream.add(image, "library/two", "1")
    upstream.on("GET", f"one/manifests/{image.digest}", head_gate=gate)
    mirror = entrepot(upstream)
    replies = behind(gate, mirror, f"/v2/library/one/manifests/{image.digest}", "/v2/library/two/manifests/1")
    assert [reply.body for reply in replies] == [image.data] * 2
    mirror.pull("library/one", "1")
    mirror.wait_held(*image.blobs)
    upstream.stop()
    for digest in image.blobs:
        reply = mirror.get(f"/v2/library/two/blobs/{digest}")
        assert (reply.status, reply.sha256) == (200, digest) and "hit" in reply.headers["cache-status"]


# -- the queue before an upstream


@pytest.mark.parametrize("limit", [1, 3])
def test_more_blobs_than_slots_all_arrive(limit, entrepot, upstream):
    """upstream_connections: twelve blobs at once, each refused once; never more than so many with the upstream."""
    digests = [upstream.add_blob("library/x", noise(300_000, seed)) for seed in range(12)]
    inside, most, seen = [], [], set()

    def turn(exchange):
        inside.append(exchange)
        most.append(len(inside))
        let_pass(0.02)
        inside.remove(exchange)  # before the answer, after which the next may come
        if exchange.request.path in seen:
            upstream.serve(exchange)
        else:
            seen.add(exchange.request.path)
            exchange.answer(500)

    upstream.on("GET", "/blobs/", call=turn)
    mirror = entrepot(upstream, upstream_connections=limit)
    replies = Threads(12, lambda i: mirror.get(f"/v2/library/x/blobs/{digests[i]}")).join()
    assert [(reply.status, reply.sha256) for reply in replies] == [(200, digest) for digest in digests]
    assert max(most) <= limit


def test_a_fill_that_ends_in_the_queue_does_not_stop_it(entrepot, upstream):
    """One slot: a layer runs, one that cannot be stored and a manifest given by its tag end, the last layer comes."""
    gate, image = Gate(), upstream.add(blob_image(noise(1000, 9)), "library/x", "1")
    running, broken, last = (upstream.add_blob("library/x", noise(300_000, seed)) for seed in range(3))
    upstream.on("*", "manifests/1", drop=("docker-content-digest",))
    upstream.on("GET", running, hold=(1000, gate))
    mirror = entrepot(upstream, upstream_connections=1)
    (mirror.cache / "partial/sha256" / broken[7:]).mkdir(parents=True)  # where its file would be
    first = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{running}"))
    gate.wait_reached()
    rest = Threads(2, lambda i: mirror.get(f"/v2/library/x/blobs/{(broken, last)[i]}"))
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 3, "all have come")
    assert mirror.get("/v2/library/x/manifests/1").body == image.data
    gate.open()
    assert first.join()[0].sha256 == running
    assert rest.join()[0].status in (200, 502, 503)
    assert rest.join()[1].sha256 == last


def test_layers_do_not_hold_up_a_manifest(entrepot, upstream):
    """Every slot has a layer that stands still, and more wait; a manifest by tag and by digest is there at once."""
    gate, image = Gate(), upstream.add(blob_image(noise(1000, 9)), "library/x", "1")
    digests = [upstream.add_blob("library/x", noise(300_000, seed)) for seed in range(4)]
    upstream.on("GET", "/blobs/", hold=(100_000, gate))
    mirror = entrepot(upstream, upstream_connections=2)
    layers = Threads(4, lambda i: mirror.get(f"/v2/library/x/blobs/{digests[i]}"))
    wait_until(lambda: len(upstream.seen("GET", "/blobs/")) == 2, "two layers run")
    for reference in ("1", image.digest):
        assert mirror.get(f"/v2/library/x/manifests/{reference}").body == image.data
    assert len(upstream.seen("GET", "/blobs/")) == 2
    gate.open()
    assert [reply.sha256 for reply in layers.join()] == digests


def test_tags_of_a_silent_upstream_take_no_more_connections_than_allowed(entrepot, upstream):
    """upstream_connections holds for tag checks as well: a hundred clients, four connections."""
    upstream.black_hole()
    mirror = entrepot(upstream, upstream_connections=4, header_timeout="20s")
    clients = [mirror.connect() for _ in range(100)]
    for number, client in enumerate(clients):
        client.request("HEAD", f"/v2/library/x/manifests/{number}")
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 100, "all have come")
    wait_until(lambda: upstream.connections == 4, "four are asked for")
    let_pass(0.5)
    assert upstream.connections == 4
    for client in clients:
        client.close()
