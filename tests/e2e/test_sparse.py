"""Any byte, once: ranges of blobs of which nothing, or something, is cached: rows B3-B8, B11-B14."""

import re

import pytest

from harness.images import blob_image
from harness.util import Gate, MiB, Threads, digest_of, in_threads, let_pass, noise, wait_until

SIZE = 64 * MiB + 4321
DATA = noise(SIZE, 5)
DIGEST = digest_of(DATA)
BLOB = f"/v2/library/x/blobs/{DIGEST}"


class Case:
    def __init__(self, entrepot, upstream, known=True, **settings):
        self.upstream = upstream
        upstream.add(blob_image(DATA), "library/x", "1")
        self.mirror = entrepot(upstream, **settings)
        if known:
            self.mirror.get("/v2/library/x/manifests/1")

    def range(self, spec):
        return self.mirror.get(BLOB, headers={"Range": f"bytes={spec}"})

    def sent(self):
        return self.upstream.body_bytes(DIGEST)

    def asked(self):
        return [request.headers.get("range") for request in self.upstream.seen("GET", DIGEST)]

    def slice(self, start, stop, spec=None):
        reply = self.range(spec or f"{start}-{stop - 1}")
        assert reply.status == 206, reply
        assert reply.headers.list("content-range") == [f"bytes {start}-{stop - 1}/{SIZE}"]
        assert reply.headers["content-length"] == str(stop - start) and "content-type" in reply.headers
        assert reply.end == "complete" and reply.body == DATA[start:stop]

    def parts(self, ranges):
        """B6: as many parts as ranges, in their order, each with its Content-Range; exact Content-Length."""
        reply = self.range(",".join(f"{a}-{b}" for a, b in ranges))
        assert reply.status == 206 and reply.end == "complete", reply
        boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})", reply.headers["content-type"])
        assert boundary, reply
        expected = b""
        for n, (a, b) in enumerate(ranges):
            expected += b"\r\n" if n else b""
            expected += f"--{boundary[1]}\r\nContent-Type: application/octet-stream\r\n".encode()
            expected += f"Content-Range: bytes {a}-{min(b, SIZE - 1)}/{SIZE}\r\n\r\n".encode() + DATA[a : b + 1]
        expected += f"\r\n--{boundary[1]}--\r\n".encode()
        assert reply.headers["content-length"] == str(len(expected)) and reply.body == expected


@pytest.fixture
def cold(entrepot, upstream):
    return lambda **settings: Case(entrepot, upstream, **settings)


@pytest.mark.parametrize(
    "start, stop",
    [(0, 2), (32 * MiB, 32 * MiB + 1024), (40 * MiB + 17, 40 * MiB + 18), (SIZE - 51, SIZE)],
    ids=["probe", "middle", "one byte", "footer"],
)
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_cold_range_costs_one_cell_of_the_grid(cold, known, start, stop):
    """B4, B13: never the blob, never a HEAD of it."""
    case = cold(known=known)
    case.slice(start, stop)
    assert case.sent() <= MiB and not case.upstream.seen("HEAD", DIGEST)
    case.slice(start, stop)
    assert len(case.asked()) == 1
    assert "hit" in case.range(f"{start}-{stop - 1}").headers["cache-status"]
    assert not case.mirror.holds(DIGEST)


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_cold_suffix(cold, known):
    """B3, B4: without the size its upstream is asked for one byte to tell it."""
    case = cold(known=known)
    case.slice(SIZE - 500, SIZE, "-500")
    assert case.sent() <= MiB + 1 and not case.upstream.seen("HEAD", DIGEST)


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_cold_range_behind_the_end_is_unsatisfiable(cold, known):
    """B3."""
    case = cold(known=known)
    reply = case.range(f"{SIZE + MiB}-{SIZE + MiB + 5}")
    assert reply.status == 416 and reply.headers["content-range"] == f"bytes */{SIZE}", reply
    assert case.sent() == 0
    case.slice(7, 9)


def test_an_open_ended_cold_range_brings_the_rest(cold):
    """B5, B11."""
    case = cold()
    case.slice(60 * MiB, SIZE, f"{60 * MiB}-")
    assert case.sent() == SIZE - 60 * MiB
    assert case.mirror.get(BLOB, keep=False).sha256 == DIGEST
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE


MANY = [(n * 60_000, n * 60_000 + 4999) for n in range(1024)]


@pytest.mark.parametrize(
    "ranges",
    [
        [(3 * MiB, 3 * MiB + 99), (3 * MiB + 108, 3 * MiB + 300)],
        [(50 * MiB, 50 * MiB + 9), (0, 9), (50 * MiB, 50 * MiB + 9)],
        [(SIZE - 100, SIZE + 5), (SIZE - 10, SIZE - 1)],
        MANY,
    ],
    ids=["8 bytes apart", "backwards and again", "beyond the end", "1024"],
)
@pytest.mark.parametrize("warm", ["cold", "mixed", "whole"])
def test_many_ranges(cold, ranges, warm):
    """B6, P7: podman's and stargz's requests."""
    case = cold()
    if warm == "mixed":
        case.slice(3 * MiB + 50, 3 * MiB + 200)
        case.slice(50 * MiB, 51 * MiB)
    if warm == "whole":
        assert case.mirror.get(BLOB, keep=False).sha256 == DIGEST
        case.mirror.wait_held(DIGEST)
    case.parts(ranges)
    cells = {cell for a, b in ranges for cell in range(a // MiB, min(b, SIZE - 1) // MiB + 1)}
    cells |= {3, 50} if warm == "mixed" else set()
    union = sum(min(SIZE, (cell + 1) * MiB) - cell * MiB for cell in cells)
    expected = SIZE if warm == "whole" else union
    wait_until(lambda: case.sent() >= expected, "what was asked for has been sent")
    assert case.sent() == expected


def test_neighbours_among_many_ranges_cost_one_request(cold):
    case = cold(blob_connections=1)
    case.parts(MANY)
    assert len(case.asked()) <= 2


def test_too_many_ranges_get_a_400(cold):
    """B7: what makes clients ask for fewer; and so do ranges that overlap for many times the blob."""
    case = cold()
    for ranges in ([f"{n}-{n}" for n in range(2049)], ["0-"] * 4):
        reply = case.range(",".join(ranges))
        assert reply.status == 400 and reply.json["errors"][0]["code"] == "UNSUPPORTED"
    assert case.sent() == 0


def test_chunks_of_a_cold_blob_cost_it_once(cold):
    """B5, P8: containerd's chunked mode: open-ended ranges, each of which reads its chunk and closes."""
    chunk, case = 2 * MiB, cold(blob_connections=4)
    case.slice(0, 2)

    def one(number):
        with case.mirror.connect() as connection:
            connection.request("GET", BLOB, {"Range": f"bytes={number * chunk}-"})
            assert connection.head().status == 206
            return connection.read(chunk)

    assert b"".join(in_threads(SIZE // chunk + 1, one)) == DATA
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE


def test_a_download_over_scattered_ranges_brings_the_gaps_only(cold):
    """B11: the union of what was asked for crosses once."""
    case = cold()
    for start in (5, 20 * MiB, 33 * MiB + 7, 64 * MiB):
        case.slice(start, min(start + 100_000, SIZE))
    assert case.mirror.get(BLOB, keep=False).sha256 == DIGEST
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE


def test_overlapping_cold_ranges_are_fetched_once(cold):
    """B13: sixteen clients, ranges over each other, at once."""
    case = cold()

    def one(number):
        case.slice(number * 300_000, number * 300_000 + 2 * MiB)

    in_threads(16, one)
    end = -(-(15 * 300_000 + 2 * MiB) // MiB) * MiB
    wait_until(lambda: case.sent() >= end, "what was asked for has been sent")
    assert case.sent() == end


def test_a_range_far_ahead_of_a_download_does_not_wait_for_it(cold):
    """B8: it is fetched by itself, and the download does not fetch it again."""
    gate, case = Gate(), cold()
    case.upstream.on("GET", DIGEST, times=1, hold=(MiB, gate), headers=[("Accept-Ranges", "bytes")])
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    gate.wait_reached()
    case.slice(40 * MiB + 5, 40 * MiB + 500)
    case.slice(SIZE - 51, SIZE)
    gate.open()
    assert download.join()[0].sha256 == DIGEST
    case.mirror.wait_held(DIGEST)

    def kept():
        return sum(line["bytes"] for line in case.mirror.log(event="fill", digest=DIGEST))

    wait_until(lambda: kept() >= SIZE, "all of it is accounted for")
    assert kept() == SIZE  # each byte was written once; what was in flight when a request was cut is dropped


def test_a_closed_range_wants_only_itself(cold):
    """B13: nothing is read ahead, and a reader that leaves takes its wish along."""
    case = cold()
    case.slice(10 * MiB, 12 * MiB)
    wait_until(lambda: case.mirror.log(event="fill", digest=DIGEST), "the fill has ended")
    assert case.sent() == 2 * MiB
    assert case.mirror.log(event="fill", digest=DIGEST)[0]["bytes"] == 2 * MiB


def test_what_ranges_brought_survives_a_restart(cold):
    """B11: it is not fetched again."""
    case = cold()
    for start in (0, 17 * MiB, SIZE - 1000):
        case.slice(start, min(start + 1000, SIZE))
    sent = case.sent()
    case.mirror.restart()
    for start in (0, 17 * MiB, SIZE - 1000):
        case.slice(start, min(start + 1000, SIZE))
    assert case.sent() == sent


def test_ranges_that_add_up_are_verified_and_kept(cold):
    """B9: when the last of them has come."""
    case = cold()
    for start in range(0, SIZE, 8 * MiB):
        case.slice(start, min(start + 8 * MiB, SIZE))
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE


def test_ranges_of_a_corrupt_blob_are_thrown_away_when_it_shows(cold):
    """B9: its ranges went out on the upstream's word; the whole does not."""
    case = cold()
    case.upstream.on("GET", DIGEST, corrupt=3 * MiB)
    assert case.range("0-9").body == DATA[:10]
    reply = case.mirror.get(BLOB, keep=False)
    assert reply.status >= 500 or reply.end == "fin"
    case.upstream.healthy()
    wait_until(lambda: case.mirror.get(BLOB, keep=False).sha256 == DIGEST, "it is fetched anew")
    assert case.mirror.metric("entrepot_digest_mismatches_total") == 1


@pytest.mark.parametrize("spec, start, stop", [("0-1", 0, 2), (f"{30 * MiB}-{30 * MiB + 9}", 30 * MiB, 30 * MiB + 10)])
def test_an_upstream_that_ignores_ranges_is_read_once(cold, spec, start, stop):
    """B4: a 200 in place of a 206: the whole comes, once, and the range is answered out of it."""
    case = cold()
    case.upstream.on("GET", DIGEST, ignore_range=True)
    case.slice(start, stop, spec)
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE and len(case.asked()) == 1


def test_a_range_ahead_of_a_download_from_an_upstream_that_ignores_ranges(cold):
    """The second request is answered with the whole: that is given up, and the first goes on to the end."""
    gate, case = Gate(), cold(blob_connections=1)
    case.upstream.on("GET", DIGEST, times=1, hold=(MiB, gate))
    case.upstream.on("GET", DIGEST, ignore_range=True, hold=(0, Gate()))
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    gate.wait_reached()
    ahead = Threads(1, lambda _: case.slice(40 * MiB, 40 * MiB + 10))
    wait_until(lambda: len(case.asked()) == 2, "the range was asked for")
    gate.open()
    assert download.join()[0].sha256 == DIGEST
    ahead.join()


def test_a_server_error_for_a_cold_range_is_an_error_at_once(cold):
    """E4: before any byte."""
    case = cold(fill_tries=1)
    case.upstream.on("GET", DIGEST, status=500)
    assert case.range("0-9").status == 502
    case.upstream.healthy()
    case.slice(0, 10)


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_broken_cold_range_is_resumed(cold, end):
    """B10: where it broke."""
    case = cold()
    case.upstream.on("GET", DIGEST, times=1, cut=20 * MiB + 100, end=end)
    case.slice(20 * MiB, 24 * MiB)
    first, second = case.asked()
    assert first == f"bytes={20 * MiB}-{24 * MiB - 1}"
    start = int(re.fullmatch(rf"bytes=(\d+)-{24 * MiB - 1}", second)[1])
    assert start == 20 * MiB + 100 or (end == "rst" and 20 * MiB <= start)  # a reset loses what was not read


def test_a_large_blob_comes_over_many_connections(cold):
    """In segments, each byte once, in a blob that hashes right."""
    case = cold(blob_connections=4)
    case.slice(0, 2)  # it takes ranges: known from now on
    gates = [Gate() for _ in range(4)]
    for gate in gates:
        case.upstream.on("GET", DIGEST, times=1, head_gate=gate)
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    for gate in gates:
        gate.wait_reached()  # four at once
    for gate in gates:
        gate.open()
    assert download.join()[0].sha256 == DIGEST
    case.mirror.wait_held(DIGEST)
    assert case.sent() == SIZE and len(case.asked()) >= 5


@pytest.mark.parametrize("refusal", [429, 503, 500])
def test_an_upstream_that_refuses_many_connections_is_asked_for_fewer(refusal, cold):
    """P6, E4: those that run go on, the upstream is not left alone, and no more are asked for at once than it gives."""
    case, gate = cold(), Gate()
    case.slice(0, 2)
    for _ in range(3):
        case.upstream.on("GET", DIGEST, times=1, head_gate=gate)
    case.upstream.on("GET", DIGEST, times=5, status=refusal, headers=[("Retry-After", "60")])
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    wait_until(lambda: len(case.asked()) == 9, "all have been asked for")
    let_pass(0.5)
    assert len(case.asked()) == 9
    gate.open()
    assert download.join()[0].sha256 == DIGEST
    assert case.mirror.get("/v2/library/x/manifests/none").status == 404  # it is asked
    assert case.upstream.body_bytes(DIGEST) == SIZE


def test_a_redirects_target_is_asked_again_until_it_refuses(cold, upstream):
    """One request a segment: the registry is not asked for each; a refusal makes it asked anew."""
    from harness.upstream import Upstream

    with Upstream() as cdn:
        cdn.content["/signed/1"] = cdn.content["/signed/2"] = (DATA, "application/octet-stream", DIGEST)
        case = cold()
        target = f"http://localhost:{cdn.port}/signed/"
        case.upstream.on("GET", DIGEST, times=1, status=307, headers=[("Location", target + "1")])
        case.upstream.on("GET", DIGEST, status=307, headers=[("Location", target + "2")])
        case.slice(0, 10)
        case.slice(5 * MiB, 5 * MiB + 10)
        assert len(case.asked()) == 1 and len(cdn.seen("GET", "/signed/1")) == 2
        cdn.on("GET", "/signed/1", status=403)
        case.slice(9 * MiB, 9 * MiB + 10)
        assert len(case.asked()) == 2 and len(cdn.seen("GET", "/signed/2")) == 1
        assert all("authorization" not in request.headers for request in cdn.seen())


def test_another_repository_sees_nothing_of_a_broken_fill(cold):
    """What came of a blob lies there; eight at once ask for it where it is not, and get 404, not a part of it."""
    case = cold(fill_tries=1)
    case.upstream.on("GET", DIGEST, cut=6 * MiB)
    reply = case.mirror.get(BLOB, keep=False)
    assert reply.status == 502 or reply.end != "complete"  # as the fill's end or its first byte is seen first
    case.mirror.restart()
    for range_ in ({}, {"Range": "bytes=0-99999"}):
        for name in ("evil-{}", "evil"):
            replies = in_threads(
                8, lambda n: case.mirror.get(f"/v2/library/{name.format(n)}/blobs/{DIGEST}", headers=range_)
            )
            assert [reply.status for reply in replies] == [404] * 8


def test_another_repository_sees_no_range_of_it_before_its_upstream_confirms(cold):
    """Whoever may not pull the blob may not read a range of it either."""
    case = cold()
    case.slice(0, 100)
    reply = case.mirror.get(f"/v2/library/y/blobs/{DIGEST}", headers={"Range": "bytes=0-99"})
    assert reply.status == 404
    case.upstream.add(blob_image(DATA), "library/z", "1")
    reply = case.mirror.get(f"/v2/library/z/blobs/{DIGEST}", headers={"Range": "bytes=0-99"})
    assert reply.status == 206 and reply.body == DATA[:100]
