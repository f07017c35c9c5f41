"""Ranges on cached blobs and on running fills: rows B1-B3, B5, B7, B9-B11."""

import email
import re

import pytest

from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import Gate, MiB, Threads, digest_of, in_threads, noise, wait_until

SIZE = 5 * MiB + 123
DATA = noise(SIZE)
DIGEST = digest_of(DATA)
BLOB = f"/v2/library/x/blobs/{DIGEST}"


@pytest.fixture(scope="module")
def mirror(shared_entrepot):
    """With the blob cached, and one of no bytes."""
    with Upstream() as upstream:
        upstream.add(blob_image(DATA, b""), "library/x", "1")
        mirror = shared_entrepot(upstream)
        mirror.upstream = upstream
        mirror.pull("library/x", "1")
        mirror.wait_held(DIGEST)
        yield mirror


def assert_slice(reply, start, stop, size=SIZE, data=DATA):
    """B3: one Content-Range with the size in numbers, the slice's length, a Content-Type."""
    assert reply.status == 206, reply
    assert reply.headers.list("content-range") == [f"bytes {start}-{stop - 1}/{size}"]
    assert (
        reply.headers["content-length"] == str(stop - start)
        and reply.headers["content-type"] == "application/octet-stream"
    )
    assert reply.headers["docker-content-digest"] == digest_of(data) and reply.end == "complete"
    assert reply.body == data[start:stop]


def test_whole_blob(mirror):
    """B1, B2: GET and HEAD say the same."""
    get, head = mirror.get(BLOB), mirror.head(BLOB)
    for reply in (get, head):
        assert reply.status == 200 and reply.headers["content-length"] == str(SIZE)
        assert reply.headers["docker-content-digest"] == DIGEST and reply.headers["accept-ranges"] == "bytes"
        assert reply.headers["content-type"] == "application/octet-stream" and "content-encoding" not in reply.headers
    assert get.body == DATA


def test_a_cold_blob_says_the_same(entrepot, upstream):
    """B1: HEAD of a blob that is not cached, its size known from the manifest: no HEAD upstream; then GET."""
    upstream.add(blob_image(DATA), "library/x", "1")
    mirror = entrepot(upstream)
    mirror.get("/v2/library/x/manifests/1")
    for method in ("HEAD", "GET"):
        reply = mirror.get(BLOB, method=method)
        assert reply.status == 200 and reply.headers["content-length"] == str(SIZE)
        assert reply.headers["docker-content-digest"] == DIGEST and reply.headers["accept-ranges"] == "bytes"
    assert not upstream.seen("HEAD", "/blobs/")


def test_a_blob_of_no_bytes(mirror):
    """B1, B3."""
    empty = f"/v2/library/x/blobs/{digest_of(b'')}"
    for method in ("GET", "HEAD"):
        reply = mirror.get(empty, method=method)
        assert reply.status == 200 and reply.headers["content-length"] == "0" and reply.body == b""
    assert mirror.get(empty, headers={"Range": "bytes=0-"}).status == 416
    assert mirror.get(empty, headers={"Range": "bytes=-5"}).status in (200, 416)


def test_a_blob_of_no_bytes_of_a_second_repository(entrepot, upstream):
    """B1: no byte of it can be asked for, to hear that the repository holds it."""
    digest = digest_of(b"")
    mirror = entrepot(upstream)
    for repository in ("one", "two"):
        upstream.add_blob(f"library/{repository}", b"")
        for method in ("GET", "HEAD"):
            reply = mirror.get(f"/v2/library/{repository}/blobs/{digest}", method=method)
            assert (reply.status, reply.headers["content-length"], reply.body) == (200, "0", b"")
        mirror.wait_held(digest)


@pytest.mark.parametrize(
    "spec, start, stop",
    [
        ("0-0", 0, 1),
        ("0-1", 0, 2),
        ("0-", 0, SIZE),
        ("100-199", 100, 200),
        (f"{MiB - 1}-{MiB}", MiB - 1, MiB + 1),
        (f"{2 * MiB}-", 2 * MiB, SIZE),
        ("-1", SIZE - 1, SIZE),
        ("-500", SIZE - 500, SIZE),
        (f"-{SIZE}", 0, SIZE),
        (f"-{SIZE + 9}", 0, SIZE),
        (f"{SIZE - 1}-", SIZE - 1, SIZE),
        (f"{SIZE - 5}-{SIZE + 1000}", SIZE - 5, SIZE),
        ("7-99999999999999999999", 7, SIZE),
        (" 3-4", 3, 5),
    ],
)
def test_single_ranges(mirror, spec, start, stop):
    """B3."""
    assert_slice(mirror.get(BLOB, headers={"Range": f"bytes={spec}"}), start, stop)


@pytest.mark.parametrize("spec", [f"{SIZE}-", f"{SIZE}-{SIZE + 5}", "99999999999999999999-", "-0"])
def test_unsatisfiable_ranges(mirror, spec):
    """B3."""
    reply = mirror.get(BLOB, headers={"Range": f"bytes={spec}"})
    assert reply.status == 416 and reply.headers["content-range"] == f"bytes */{SIZE}"
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "field",
    ["bytes=5-2", "bytes=", "bytes=a-b", "bytes", "pages=1-2", "bytes=1", "bytes=--1", "bytes 0-5", "bytes=1-2-3"],
)
def test_ranges_that_are_none_are_ignored(mirror, field):
    """RFC 9110 14.2: then it is a GET of the whole."""
    reply = mirror.get(BLOB, headers={"Range": field})
    assert reply.status == 200 and reply.body == DATA


def test_head_with_a_range(mirror):
    """RFC 9110 14.2: Range is for GET."""
    reply = mirror.head(BLOB, headers={"Range": "bytes=0-9"})
    assert (reply.status, reply.headers["content-length"]) in ((200, str(SIZE)), (206, "10"))


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 1), (5, 9)],
        [(100, 199), (208, 300)],
        [(500, 600), (0, 10)],
        [(n * 1000, n * 1000 + 49) for n in range(1024)],
    ],
    ids=["two", "8 bytes apart", "backwards", "1024"],
)
def test_many_ranges_are_multipart_or_400(mirror, ranges):
    """B7, P7: every range a part, in order, never merged; or 400; never 200."""
    reply = mirror.get(BLOB, headers={"Range": "bytes=" + ",".join(f"{a}-{b}" for a, b in ranges)})
    assert reply.status in (206, 400)
    if reply.status == 206:
        head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + reply.body).get_payload()
        assert [part["content-range"] for part in parts] == [f"bytes {a}-{b}/{SIZE}" for a, b in ranges]
        assert all(DATA[a : b + 1] in reply.body for a, b in ranges)


def test_every_range_of_a_blob_gets_a_206(mirror):
    """B5: containerd's chunks: open-ended ranges side by side, each given up after one chunk."""
    chunk = 256 * 1024

    def one(number):
        with mirror.connect() as connection:
            connection.request("GET", BLOB, {"Range": f"bytes={number * chunk}-"})
            reply = connection.head()
            assert (reply.status, reply.headers["content-range"]) == (206, f"bytes {number * chunk}-{SIZE - 1}/{SIZE}")
            return connection.read(chunk)

    assert b"".join(in_threads(SIZE // chunk + 1, one)) == DATA


def test_ranges_after_each_other_on_one_connection(mirror):
    """B3, P2."""
    with mirror.connect() as connection:
        for number in range(200):
            start = number * 25_000 % SIZE
            connection.request("GET", BLOB, {"Range": f"bytes={start}-{start + 999}"})
            connection.head()
            assert_slice(connection.drain(keep=True), start, min(start + 1000, SIZE))


class Running:
    """A fill that stands still at `at` of SIZE, its gate closed."""

    def __init__(self, entrepot, upstream, at):
        self.gate = Gate()
        upstream.add(blob_image(DATA), "library/x", "1")
        upstream.on("GET", DIGEST, times=1, hold=(at, self.gate))
        self.mirror, self.upstream = entrepot(upstream), upstream
        self.mirror.get("/v2/library/x/manifests/1")
        self.first = Threads(1, lambda _: self.mirror.get(BLOB, keep=False))
        self.gate.wait_reached()

    def range(self, spec):
        return self.mirror.get(BLOB, headers={"Range": f"bytes={spec}"})

    def finish(self):
        self.gate.open()
        assert self.first.join()[0].sha256 == DIGEST


def test_a_range_of_what_has_come_is_served_while_the_fill_stands(entrepot, upstream):
    """B5, B11: a range within the present bytes needs nothing of the rest."""
    running = Running(entrepot, upstream, 3 * MiB)
    for start, stop in ((0, 2), (MiB, 2 * MiB), (2 * MiB + 7, 2 * MiB + 8)):
        assert_slice(running.range(f"{start}-{stop - 1}"), start, stop)
    running.finish()
    assert len(upstream.seen("GET", DIGEST)) == 1


def test_a_resume_on_a_partly_filled_blob_goes_on_from_local_data(entrepot, upstream):
    """B11, B5: bytes=N- begins with what is there and waits for the rest, with no second request upstream."""
    running = Running(entrepot, upstream, 3 * MiB)
    with running.mirror.connect() as connection:
        connection.request("GET", BLOB, {"Range": f"bytes={MiB}-"})
        assert connection.head().status == 206
        assert connection.read(MiB) == DATA[MiB : 2 * MiB]
        running.finish()
        assert connection.read(SIZE) == DATA[2 * MiB :]
    assert len(upstream.seen("GET", DIGEST)) == 1 and upstream.body_bytes(DIGEST) == SIZE


@pytest.mark.parametrize(
    "spec, start, stop",
    [(f"{4 * MiB}-{4 * MiB + 99}", 4 * MiB, 4 * MiB + 100), ("-10", SIZE - 10, SIZE), (f"{5 * MiB}-", 5 * MiB, SIZE)],
)
def test_a_range_ahead_of_the_fill_is_answered_right(entrepot, upstream, spec, start, stop):
    """B3, B5: it waits for the fill, or is fetched by itself; either way it is a 206 of the right bytes."""
    running = Running(entrepot, upstream, MiB)
    ahead = Threads(1, lambda _: running.range(spec))
    wait_until(lambda: ahead.results[0] or running.mirror.metric("entrepot_connections_open") >= 2, "it has come")
    running.finish()
    assert_slice(ahead.join()[0], start, stop)


@pytest.mark.parametrize(
    "spec, start, stop",
    [("0-1", 0, 2), ("0-", 0, SIZE), (f"{MiB}-{2 * MiB}", MiB, 2 * MiB + 1), ("-10", SIZE - 10, SIZE)],
)
def test_a_range_of_a_cold_blob_gets_a_206(entrepot, upstream, spec, start, stop):
    """B3, B5: the very first request for a blob may be a range."""
    upstream.add(blob_image(DATA), "library/x", "1")
    mirror = entrepot(upstream)
    mirror.get("/v2/library/x/manifests/1")
    assert_slice(mirror.get(BLOB, headers={"Range": f"bytes={spec}"}), start, stop)
    assert mirror.get(BLOB).body == DATA


@pytest.mark.parametrize("spec", [f"0-{SIZE - 1}", f"0-{SIZE + 9}", "0-"])
def test_a_range_of_all_of_a_corrupt_blob_is_cut_short(entrepot, upstream, spec):
    """B9: a whole blob by another name."""
    upstream.add(blob_image(DATA), "library/x", "1")
    upstream.on("GET", DIGEST, corrupt=2 * MiB)
    mirror = entrepot(upstream)
    mirror.get("/v2/library/x/manifests/1")
    reply = mirror.get(BLOB, headers={"Range": f"bytes={spec}"}, keep=False)
    assert reply.status in (502, 503) or (reply.status == 206 and reply.end == "fin"), reply
    assert not mirror.holds(DIGEST)


def test_resuming_after_a_fill_that_failed(entrepot, upstream):
    """B10, B11: the client was cut short; its bytes=N- is completed by a healthy upstream, and is right."""
    gate = Gate()
    upstream.add(blob_image(DATA), "library/x", "1")
    upstream.on("GET", DIGEST, times=1, hold=(MiB, gate), cut=2 * MiB)
    upstream.on("GET", DIGEST, times=1, cut=2 * MiB)
    mirror = entrepot(upstream, fill_tries=1)
    mirror.get("/v2/library/x/manifests/1")
    with mirror.connect() as connection:
        connection.request("GET", BLOB)
        connection.head()
        begin = connection.read(1)
        gate.open()
        begin += connection.drain(keep=True).body
    assert connection.end == "fin" and len(begin) < SIZE

    def rest():
        reply = mirror.get(BLOB, headers={"Range": f"bytes={len(begin)}-"})
        return reply.status == 206 and reply.end == "complete" and reply

    assert begin + wait_until(rest, "the rest is served").body == DATA
    for request in upstream.seen("GET", DIGEST)[1:]:
        assert re.match(r"bytes=\d+-", request.headers.get("range", "bytes=0-"))
