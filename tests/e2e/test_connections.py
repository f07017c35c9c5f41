"""Large blobs over several connections, from upstreams that bear fewer, and of sizes that nobody told."""

import threading

import pytest

from harness.images import blob_image
from harness.util import Gate, MiB, Threads, digest_of, let_pass, noise, wait_until

SIZE = 96 * MiB + 4321
DATA = noise(SIZE, 5)
DIGEST = digest_of(DATA)
BLOB = f"/v2/library/x/blobs/{DIGEST}"


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


class Bounded:
    """An upstream that serves so many bodies at once; `refuse` answers the others."""

    def __init__(self, upstream, limit, refuse):
        self.upstream, self.limit, self.refuse = upstream, limit, refuse
        self.lock, self.running, self.refused, self.gate = threading.Lock(), 0, 0, Gate()
        upstream.on("GET", DIGEST, call=self.answer)

    def answer(self, exchange):
        with self.lock:
            over = self.running >= self.limit
            self.running += not over
            self.refused += over
        if over:
            self.gate.open()
            self.refuse(exchange)
            return
        try:
            start = int(exchange.request.headers.get("range", "bytes=0-").split("=")[1].split("-")[0])
            self.upstream.serve(exchange, hold=(start + 1, self.gate))
        finally:
            with self.lock:
                self.running -= 1


def silent(exchange):
    exchange.close = True
    exchange.socket.recv(1)


def status(code, *fields):
    return lambda exchange: exchange.answer(code, b"", fields)


@pytest.mark.parametrize(
    "refuse",
    [status(429), status(429, ("Retry-After", "1")), status(503, ("Retry-After", "1")), status(503), lambda exchange: exchange.cut("rst"), silent],
    ids=["429", "429 later", "503 later", "503", "reset", "silent"],
)
def test_an_upstream_that_bears_fewer_connections(entrepot, upstream, refuse):
    upstream.add(blob_image(DATA), "library/x", "1")
    other = upstream.add_blob("library/x", b"another")
    mirror = entrepot(upstream, header_timeout="1s", upstream_rest="1m")
    mirror.get("/v2/library/x/manifests/1")
    bounded = Bounded(upstream, 3, refuse)
    reply = mirror.get(BLOB)
    assert reply.status == 200 and reply.body == DATA
    assert upstream.body_bytes(DIGEST) == SIZE and bounded.refused > 0
    assert mirror.get(f"/v2/library/x/blobs/{other}").status == 200  # and it is not left alone


def test_a_rate_limit_is_honoured_beside_a_running_download(entrepot, upstream):
    running, gate = upstream.add_blob("library/x", DATA[: 8 * MiB]), Gate()
    others = [upstream.add_blob("library/x", b"%d" % number) for number in range(4)]
    mirror = entrepot(upstream)
    upstream.on("GET", running, hold=(MiB, gate))
    rule = upstream.on("GET", "/blobs/", status=429, headers=[("Retry-After", "3600")])
    client = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{running}"))
    gate.wait_reached()
    assert [mirror.get(f"/v2/library/x/blobs/{digest}").status for digest in others] == [503] * 4
    assert len(rule.hits) == 1
    gate.open()
    assert client.join()[0].body == DATA[: 8 * MiB]


def test_a_silent_upstream_is_left_alone_though_others_wait_for_it_still(entrepot, upstream):
    first, second, third = (upstream.add_blob("library/x", b"%d" % number) for number in range(3))
    mirror = entrepot(upstream, header_timeout="1s", upstream_rest="1m")
    upstream.black_hole()
    clients = []
    for digest in first, second:
        clients.append(Threads(1, lambda _, digest=digest: mirror.get(f"/v2/library/x/blobs/{digest}")))
        wait_until(lambda digest=digest: upstream.seen("GET", digest), "it is asked")
        let_pass(0.5)  # the second waits still when the first gives up
    assert clients[0].join()[0].status == 504
    assert mirror.get(f"/v2/library/x/blobs/{third}").status == 503 and not upstream.seen("GET", third)
    clients[1].join()


def test_a_stray_answer_among_good_ones_is_no_reason_to_fetch_the_whole(entrepot, upstream):
    """B13: what has come stays, and the part is asked for again."""
    upstream.add(blob_image(DATA), "library/x", "1")
    mirror, others = entrepot(upstream, retry_delay="10ms"), Gate()
    mirror.get("/v2/library/x/manifests/1")
    mirror.get(BLOB, headers={"Range": "bytes=0-1"})
    upstream.on("GET", DIGEST, times=2, head_gate=others)
    upstream.on("GET", DIGEST, times=1, status=400)
    client = Threads(1, lambda _: mirror.get(BLOB))
    wait_until(lambda: [r for r in upstream.seen("GET", DIGEST) if r.status == 400], "the stray answer has come")
    others.open()
    assert client.join()[0].body == DATA
    assert upstream.body_bytes(DIGEST) == SIZE
