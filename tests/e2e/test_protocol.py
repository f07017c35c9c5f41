"""The front door: rows P1-P8 and E1-E6, and heads that no client should send."""

import json
import re
import select
import socket
import ssl
import threading

import pytest

from harness.entrepot import run_command
from harness.http import Connection, send_raw
from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import MiB, digest_of, in_threads, noise, wait_until

MANIFEST = "/v2/library/x/manifests/1"


@pytest.fixture(scope="module")
def mirror(shared_entrepot):
    """One for all: with an image that is cached."""
    with Upstream() as upstream:
        mirror = shared_entrepot(upstream, head_timeout="2s")
        mirror.upstream, mirror.image = upstream, upstream.add(blob_image(noise(3 * MiB)), "library/x", "1")
        mirror.blob = f"/v2/library/x/blobs/{mirror.image.layer_digests[0]}"
        mirror.pull("library/x", "1")
        yield mirror


def answers(raw):
    """[(status, head, body)] of what came back for raw bytes."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        assert length, head
        body, raw = raw[: int(length[1])], raw[int(length[1]) :]
        found.append((int(head.split(b" ", 2)[1]), head, body))
    return found


def only_answer(mirror, raw):
    ((status, head, body),) = answers(send_raw(mirror.address, raw))
    return status, head, body


def assert_error(status, head, body):
    """E1: the form of an OCI error."""
    assert re.search(rb"(?i)\r\ncontent-type: application/json\r\n", head + b"\r\n"), head
    (error,) = json.loads(body)["errors"]
    assert error["code"] and error["message"]
    assert b"www-authenticate" not in head.lower()
    return error["code"]


def is_well(mirror):
    assert mirror.get(MANIFEST).body == mirror.image.data


# -- P1-P8


@pytest.mark.parametrize("target", ["/v2/", "/v2", "/docker.io/v2/", "/v2/docker.io/", "/v2/?ns=docker.io"])
def test_ping_needs_no_upstream(entrepot, upstream, target):
    """P1."""
    mirror = entrepot(upstream)
    upstream.stop()
    for method in ("GET", "HEAD"):
        reply = mirror.get(target, method=method)
        assert reply.status == 200 or (target == "/v2" and reply.status in (301, 307, 308, 404))
        assert "www-authenticate" not in reply.headers


def test_connections_are_kept_alive(mirror):
    """P2: requests of every kind, errors too, one after the other on one connection."""
    with mirror.connect() as connection:
        for target in (
            "/v2/",
            MANIFEST,
            mirror.blob,
            "/v2/library/x/manifests/none",
            "/v2/library/x/blobs/nonsense",
            "/nothing",
            mirror.blob,
        ) * 3:
            for method in ("HEAD", "GET"):
                connection.request(method, target)
                connection.head()
                assert connection.drain().end == "complete"


def test_close_is_obeyed(mirror):
    """P2."""
    raw = send_raw(mirror.address, f"GET {mirror.blob} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    ((status, _, body),) = answers(raw)
    assert status == 200 and digest_of(body) == mirror.image.layer_digests[0]


def test_http_1_0(mirror):
    """P2: an answer and an end."""
    status, _, body = only_answer(mirror, f"GET {MANIFEST} HTTP/1.0\r\n\r\n".encode())
    assert (status, body) == (200, mirror.image.data)


def test_idle_connections_live_longer_than_clients_expect(entrepot, upstream):
    """P3: more than 120 s by default; and the setting does what it says."""
    settings = run_command("check").stdout
    assert re.search(r"idle_timeout: (150s|2m30s|150000ms)", settings), settings
    mirror = entrepot(upstream, idle_timeout="1s")
    with mirror.connect() as connection:
        connection.request("GET", "/v2/")
        connection.head()
        connection.drain()
        assert connection.at_end()


def test_tls_client_hello_is_answered_in_http(mirror):
    """P4: clients that try https first want bytes that begin with HTTP/, at once, and an end."""
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="mirror").do_handshake()
    assert re.match(rb"HTTP/1\.[01] 400 ", send_raw(mirror.address, hello.read()))


@pytest.mark.parametrize(
    "accept",
    [
        [],
        ["*/*"],
        ["text/html"],
        ["application/vnd.docker.distribution.manifest.list.v2+json"],
        ["application/vnd.oci.image.index.v1+json", "", "application/json", "*/*;q=0.1", "x" * 5000],
    ],
)
def test_any_accept_will_do(mirror, accept):
    """P5: several lines, in any order, none at all; never 406, never another answer."""
    for method in ("GET", "HEAD"):
        reply = mirror.get(MANIFEST, method=method, headers=[("Accept", value) for value in accept])
        assert reply.status == 200 and reply.headers["docker-content-digest"] == mirror.image.digest


def test_unknown_fields_are_ignored(mirror):
    """P6."""
    fields = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "a=b",
        "Authorization": "Bearer nobody's",
        "Docker-Distribution-API-Version": "registry/2.0",
        "Expect": "nothing",
        "TE": "trailers",
        "Upgrade": "h2c",
        "Cookie": "a=b",
        "Range": "lines=1-2",
        "X-Empty": "",
        "User-Agent": "containers/5.29 (github.com/containers/image)",
    }
    assert mirror.get(MANIFEST, headers=fields).body == mirror.image.data


def test_heads_of_64_kib_pass(mirror):
    """P7."""
    fields = [(f"X-{number}", "v" * 8000) for number in range(8)]
    assert mirror.get(MANIFEST, headers=fields).body == mirror.image.data


@pytest.mark.parametrize(
    "field",
    [
        "X: " + "v" * (2 * MiB),
        "\r\n".join(f"X-{n}: v" for n in range(100_000)),
        "Range: bytes=" + ",".join(f"{n}-{n}" for n in range(0, 600_000, 3)),
    ],
    ids=["long", "many", "ranges"],
)
def test_heads_beyond_the_limit_are_400(mirror, field):
    """P7: never 414, 416, 431, and the client gets to read it though it is still sending."""
    status, head, body = only_answer(mirror, f"GET {mirror.blob} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
    assert status == 400 and assert_error(status, head, body)
    is_well(mirror)


def test_a_target_beyond_the_limit_is_400(mirror):
    """P7."""
    status, _, _ = only_answer(mirror, b"GET /v2/" + b"a" * MiB + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status in (400, 404)


def test_a_thousand_ranges_are_no_416(mirror):
    """P7, B7."""
    ranges = ",".join(f"{n * 100}-{n * 100 + 49}" for n in range(1024))
    assert mirror.get(mirror.blob, headers={"Range": f"bytes={ranges}"}).status in (206, 400)


def test_clients_that_abort_are_normal(mirror):
    """P8: three hundred connections ended in the middle of a body; nothing is logged as an error, nothing is left."""

    def abort(_):
        for _ in range(30):
            with mirror.connect(receive_buffer=4096) as connection:
                connection.request("GET", mirror.blob, {"Range": "bytes=100-"})
                connection.head()
                connection.read(1000)

    in_threads(10, abort)
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 0, "their connections are gone")
    assert not mirror.log(level="error") and not mirror.log(level="warn")
    is_well(mirror)


# -- E1-E6


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "target", ["/v2/library/x/blobs/uploads/", MANIFEST, "/v2/library/x/blobs/sha256:" + "0" * 64, "/v2/"]
)
@pytest.mark.parametrize("body", [b"", b"x" * MiB], ids=["empty", "1 MiB"])
def test_writes_are_405(mirror, method, target, body):
    """E6: and the connection is either good for another request or closed."""
    with mirror.connect() as connection:
        connection.request(method, target, body=body)
        reply = connection.head()
        connection.drain(keep=True)
        assert reply.status == 405 and reply.json["errors"][0]["code"] == "UNSUPPORTED"
        assert reply.headers["content-type"] == "application/json"
        if reply.headers.get("connection", "").lower() != "close":
            connection.request("GET", "/v2/")
            assert connection.head().status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND", "BREW"])
def test_other_methods_are_refused(mirror, method):
    """E6."""
    status, head, body = only_answer(
        mirror, f"{method} {MANIFEST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert status in (400, 405, 501) and assert_error(status, head, body)


@pytest.mark.parametrize(
    "target, status, code",
    [
        ("/v2/library/x/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("/v2/library/x/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("/v2/library/x/blobs/sha256:xyz", 400, "DIGEST_INVALID"),
        ("/v2/library/x/blobs/sha256:" + "A" * 64, 400, "DIGEST_INVALID"),
        ("/v2/library/x/blobs/sha256:" + "0" * 63, 400, "DIGEST_INVALID"),
        ("/v2/library/x/blobs/md5:" + "0" * 32, 400, "DIGEST_INVALID"),
        ("/v2/library/x/blobs/latest", 400, "DIGEST_INVALID"),
        ("/v2/library/x/manifests/sha256:short", 400, "DIGEST_INVALID"),
        ("/v2/library/x/manifests/-tag", 400, "MANIFEST_INVALID"),
        ("/v2/library/x/manifests/" + "t" * 129, 400, "MANIFEST_INVALID"),
        ("/v2/Library/X/manifests/1", 400, "NAME_INVALID"),
        ("/v2/lib__rary/_x/manifests/1", 400, "NAME_INVALID"),
        ("/v2/" + "a" * 300 + "/manifests/1", 400, "NAME_INVALID"),
        ("/v1/x", 404, None),
        ("/", 404, None),
        ("/v2/library/x", 404, None),
        ("/favicon.ico", 404, None),
        ("/v2/_catalog", 404, None),
        ("/v2/library/x/manifests/", None, None),
        ("/v2/manifests/1", None, None),
    ],
)
def test_what_is_not_there_or_malformed_says_so(mirror, target, status, code):
    """E1."""
    reply = mirror.get(target)
    assert reply.status == status or (status is None and reply.status in (400, 404)), reply
    assert reply.headers["content-type"] == "application/json"
    (error,) = reply.json["errors"]
    assert error["message"] and error["code"] == (code or error["code"])


@pytest.mark.parametrize(
    "target",
    [
        "/v2/../../etc/passwd",
        "/v2/library/../x/manifests/1",
        "/v2/library/%2e%2e/x/manifests/1",
        "/v2//x/manifests/1",
        "/v2/library/x/blobs/..%2f..%2fetc%2fpasswd",
        "/v2/library/x/blobs/sha256:../../../../etc/passwd",
        "//v2/",
        "/v2/library%2fx/manifests/1",
        "/v2/library/x/manifests/..",
        "/v2/library/x/manifests/%00",
        "/v2/library/x\\y/manifests/1",
        "/v2/library/x/manifests/1%",
        "/v2/library/x/manifests/%zz",
        "/v2/./library/x/manifests/1",
    ],
)
def test_paths_that_would_escape_are_refused(mirror, target):
    """E1: 400 or 404, and the upstream hears nothing of it."""
    before = len(mirror.upstream.requests)
    reply = mirror.get(target)
    assert reply.status in (400, 404) and reply.json["errors"]
    assert len(mirror.upstream.requests) == before


# -- heads that no client should send

GET = f"GET {MANIFEST} HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = "GET /v2/library/smuggled/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n"
MALFORMED = {
    "both lengths": GET + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": GET + "Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + SMUGGLED,
    "a list of lengths": GET + "Content-Length: 0, 60\r\n\r\n" + SMUGGLED,
    "absurd length": GET + "Content-Length: 99999999999999999999999999\r\n\r\n",
    "negative length": GET + "Content-Length: -1\r\n\r\n",
    "length with a plus": GET + "Content-Length: +5\r\n\r\n" + SMUGGLED,
    "length in hex": GET + "Content-Length: 0x10\r\n\r\n" + SMUGGLED,
    "coding that is not chunked": GET + "Transfer-Encoding: identity, xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bare LF": GET.replace("\r\n", "\n") + "\n" + SMUGGLED,
    "bare LF in a field": GET + "X: a\nY: b\r\n\r\n",
    "bare CR": GET + "X: a\rY: b\r\n\r\n",
    "NUL": GET + "X: a\0b\r\n\r\n",
    "blank before the colon": GET + "Content-Length : 5\r\n\r\n" + SMUGGLED,
    "folded field": GET + "X: a\r\n b\r\n\r\n",
    "field without a colon": GET + "nonsense\r\n\r\n",
    "two Hosts": GET + "Host: y\r\n\r\n",
    "no version": f"GET {MANIFEST}\r\n\r\n",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": f"GET {MANIFEST} HTTP/9.9\r\nHost: x\r\n\r\n",
    "blank in the target": "GET /v2/library/x y/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no slash": "GET v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "words": "hello\r\n\r\n",
    "binary": "\x01\x02\x03\xff\xfe\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_heads_get_one_400_and_an_end(mirror, name):
    """E1: nothing behind them is taken for a request, and nobody else notices."""
    before = len(mirror.upstream.requests), mirror.metric("entrepot_malformed_requests_total")
    status, head, body = only_answer(mirror, MALFORMED[name].encode("latin-1"))
    assert status in (400, 505) and assert_error(status, head, body)
    assert len(mirror.upstream.requests) == before[0]
    assert mirror.metric("entrepot_malformed_requests_total") == before[1] + 1
    is_well(mirror)


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: %d\r\n\r\n" % len(SMUGGLED), "Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(SMUGGLED)],
)
def test_a_body_on_a_get_is_no_request(mirror, framing):
    """E6's way with bodies: skipped, or the connection ends."""
    end = "\r\n0\r\n\r\n" if "chunked" in framing else ""
    replies = answers(send_raw(mirror.address, (GET + "Connection: close\r\n" + framing + SMUGGLED + end).encode()))
    assert len(replies) == 1 and replies[0][0] in (200, 400)
    assert not mirror.upstream.seen("*", "smuggled")


def test_absolute_form_is_a_path(mirror):
    """RFC 9112 3.2.2: accepted, and it makes no proxy of us."""
    status, _, body = only_answer(
        mirror, f"GET http://elsewhere.example{MANIFEST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert (status, body) == (200, mirror.image.data)
    status, _, _ = only_answer(
        mirror, b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert status in (400, 405)


def test_a_head_that_comes_byte_by_byte_is_as_good(mirror):
    with mirror.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in (GET + "\r\n").encode():
            connection.send(bytes([byte]))
        connection.head()
        assert connection.drain(keep=True).body == mirror.image.data


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["stuck", "a byte at a time"])
def test_slow_heads_meet_a_deadline(mirror, drip):
    """A head that does not end is given up, however busily it does not end."""
    with mirror.connect() as connection:
        connection.send(GET.encode() + b"X: ")
        while not select.select([connection.socket], [], [], 0.02)[0]:
            connection.send(drip)
        raw = b""
        while data := connection.receive():
            raw += data
        assert raw == b"" or raw.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))
    is_well(mirror)


def test_a_head_that_stops_behind_another_meets_the_deadline(mirror):
    """head_timeout, and not idle_timeout: half a request in the same packet as a whole one."""
    with mirror.connect() as connection:
        connection.send((GET + "\r\n" + GET).encode())
        connection.head()
        assert connection.drain(keep=True).body == mirror.image.data
        raw = connection.buffer
        while data := connection.receive():
            raw += data
        assert raw == b"" or raw.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))


def test_pipelined_requests_are_answered_in_order(mirror):
    """Fifteen hundred heads in one go: answered one by one, each with its own body."""
    targets = ["/v2/", MANIFEST, "/v2/library/x/blobs/nonsense"]
    with mirror.connect() as connection:
        raw = "".join(f"GET {targets[n % 3]} HTTP/1.1\r\nHost: x\r\n\r\n" for n in range(1500)).encode()
        sender = threading.Thread(target=connection.send, args=(raw,))
        sender.start()
        for n in range(1500):
            connection.method = "GET"
            reply = connection.head()
            connection.drain(keep=True)
            assert reply.status == (200, 200, 400)[n % 3]
            assert n % 3 != 1 or reply.body == mirror.image.data
        sender.join()


def test_ten_thousand_idle_connections_cost_nothing_else(entrepot, upstream):
    """Half of them silent from the start, half after a request; everyone else is served as ever."""
    image = upstream.add(blob_image(noise(MiB)), "library/x", "1")
    mirror = entrepot(upstream, max_connections=11000)
    mirror.pull("library/x", "1")
    idle = []
    try:
        for number in range(10_000):
            idle.append(Connection(mirror.address))
            if number % 2:
                idle[-1].request("GET", "/v2/")
        for connection in idle[1::2]:
            assert connection.head().status == 200
            connection.drain()
        wait_until(lambda: mirror.metric("entrepot_connections_open") == 10_000, "all are open", timeout=60)
        assert mirror.pull("library/x", "1")[0].body == image.data
    finally:
        for connection in idle:
            connection.close()
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 0, "all are gone", timeout=60)
    mirror.pull("library/x", "1")


def test_more_connections_than_allowed_are_told_so(entrepot, upstream):
    """E4: 503, or left waiting by the kernel; those inside are served, and room is used again."""
    upstream.add(blob_image(b"x"), "library/x", "1")
    mirror = entrepot(upstream, max_connections=20)
    inside = [mirror.connect() for _ in range(20)]
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 20, "all are open")
    with mirror.connect(timeout=2) as outside:
        outside.request("GET", "/v2/")
        try:
            assert outside.head().status == 503
        except (TimeoutError, EOFError):
            pass  # not accepted until there is room
    for connection in inside:
        connection.request("GET", "/v2/")
        assert connection.head().status == 200
        connection.close()
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 0, "they are gone")
    assert mirror.get("/v2/").status == 200
