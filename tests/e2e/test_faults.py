"""Upstreams that break, lie, stall and refuse, from a script; what the clients see of it."""

import shutil
import subprocess
import threading

import pytest

import harness.entrepot
from harness.entrepot import is_sanitized, run_command
from harness.images import blob_image
from harness.upstream import Server, Upstream
from harness.util import Gate, MiB, Threads, digest_of, in_threads, let_pass, noise, wait_until

SIZE = 10 * MiB + 17


class Case:
    """One image of one layer behind a mirror that has seen the manifest."""

    def __init__(self, entrepot, upstream, size=SIZE, **settings):
        self.upstream, self.data = upstream, noise(size)
        self.image = upstream.add(blob_image(self.data), "library/x", "1")
        (self.digest,) = self.image.layer_digests
        self.target = f"/v2/library/x/blobs/{self.digest}"
        self.mirror = entrepot(upstream, **settings)
        assert self.mirror.get("/v2/library/x/manifests/1").body == self.image.data

    def get(self, **options):
        return self.mirror.get(self.target, keep=False, **options)

    def is_right(self, reply):
        return (reply.status, reply.received, reply.sha256, reply.end) == (200, len(self.data), self.digest, "complete")

    def asked(self):
        return self.upstream.seen("GET", self.digest)

    def ranges(self):
        return [request.headers.get("range") for request in self.asked()]

    def recovers(self):
        """A healthy upstream, and the blob is served after all (a failed digest may rest for a moment)."""
        self.upstream.healthy()
        wait_until(lambda: self.is_right(self.get()), "the blob is served by a healthy upstream")


@pytest.fixture
def case(entrepot, upstream):
    return lambda **settings: Case(entrepot, upstream, **settings)


# -- broken transfers


def test_cut_at_60_percent_is_resumed_and_no_client_notices(case, upstream):
    """B9, B11: eight clients in the middle of a blob; the second request upstream starts at the break."""
    c, gate, all_have_a_byte = case(size=64 * MiB), Gate(), threading.Barrier(9)
    at = 64 * MiB * 60 // 100
    upstream.on("GET", c.digest, times=1, hold=(8 * MiB, gate), cut=at)

    def client(_):
        with c.mirror.connect() as connection:
            connection.request("GET", c.target)
            connection.head()
            connection.read(1)
            all_have_a_byte.wait()
            return connection.drain()

    clients = Threads(8, client)
    all_have_a_byte.wait(60)
    gate.open()
    assert all(c.is_right(reply) for reply in clients.join())
    assert c.ranges() == [None, f"bytes={at}-"]
    assert upstream.body_bytes(c.digest) == 64 * MiB
    assert c.mirror.metric("entrepot_fills_resumed_total") == 1


@pytest.mark.parametrize("target", ["manifests/2", "tags/list", "blobs/"])
def test_an_idle_connection_that_was_closed_meanwhile_is_no_failure(case, upstream, target):
    """E3: the upstream closes a kept connection just as it is used again: asked once more on a fresh one."""
    c = case()
    upstream.add(c.image, "library/x", "2")
    target = f"/v2/library/x/{target}" + (c.digest if target == "blobs/" else "")
    upstream.on("*", "library/x/tags", times=2, status=200, body=b'{"name":"library/x","tags":[]}')
    rule = upstream.on("*", target, times=1, call=lambda exchange: exchange.cut("rst"))
    upstream.rules.insert(0, upstream.rules.pop())
    reply = c.mirror.get(target)
    assert reply.status == 200, reply
    assert len(rule.hits) == 1
    assert c.mirror.metric("entrepot_upstream_errors_total") == 0


def test_reset_connection_is_resumed(case, upstream):
    c = case()
    upstream.on("GET", c.digest, times=1, cut=4 * MiB, end="rst")
    assert c.is_right(c.get())
    assert len(c.asked()) == 2 and (c.ranges()[1] is None or int(c.ranges()[1][6:-1]) <= 4 * MiB)


def test_tries_are_counted_without_progress_only(case, upstream):
    """Nine breaks with new bytes between them are nothing to a fill that is allowed three tries."""
    c = case(fill_tries=3)
    for number in range(1, 10):
        upstream.on("GET", c.digest, times=1, cut=number * MiB)
    assert c.is_right(c.get())
    assert c.ranges() == [None, *(f"bytes={number * MiB}-" for number in range(1, 10))]


def test_a_stalled_body_is_resumed(case, upstream):
    """The deadline is an idle one: an upstream that sends nothing any more is left for a new connection."""
    c, gate = case(stall_timeout="1s"), Gate()
    upstream.on("GET", c.digest, times=1, hold=(3 * MiB, gate))
    assert c.is_right(c.get())
    gate.open()
    assert c.ranges() == [None, f"bytes={3 * MiB}-"]


def test_a_stalled_body_does_not_rest_the_upstream(case, upstream):
    """E5: it has answered; other blobs are fetched from it while the stalled one is tried again."""
    c, gate = case(stall_timeout="1s", upstream_rest="10m", retry_delay="10s", drain_timeout="0s"), Gate()
    other = upstream.add_blob("library/x", noise(300_000, 1))
    upstream.on("GET", c.digest, times=1, hold=(3 * MiB, gate))
    with c.mirror.connect() as stalled:
        stalled.request("GET", c.target)
        wait_until(lambda: c.mirror.metric("entrepot_upstream_errors_total") == 1, "it has stalled")
        reply = c.mirror.get(f"/v2/library/x/blobs/{other}")
        assert (reply.status, reply.sha256) == (200, other)
    gate.open()


def test_an_outage_after_the_first_byte_is_waited_for(case, upstream):
    """Its clients have a head, and nobody else to ask: fill_tries, also when the upstream says nothing at all."""
    c = case(header_timeout="300ms", fill_tries=5)
    upstream.on("GET", c.digest, times=1, cut=3 * MiB)
    upstream.on("GET", c.digest, times=3, silent=True)
    assert c.is_right(c.get())
    assert c.ranges() == [None, *[f"bytes={3 * MiB}-"] * 4]


def test_fill_that_fails_for_good_ends_every_reader_once_with_a_fin(case, upstream):
    """B10: FIN before Content-Length, never RST; a bounded number of tries for all readers together."""
    c, gate = case(fill_tries=3), Gate()
    upstream.on("GET", c.digest, times=1, hold=(MiB, gate), cut=2 * MiB)
    upstream.on("GET", c.digest, cut=2 * MiB)
    clients = Threads(4, lambda _: c.get())
    wait_until(lambda: c.mirror.metric("entrepot_readers_coalesced_total") == 3, "all have joined")
    gate.open()
    assert [(r.status, r.end) for r in clients.join()] == [(200, "fin")] * 4
    assert 3 <= len(c.asked()) <= 4
    assert c.mirror.metric("entrepot_fills_failed_total") == 1
    assert not c.mirror.holds(c.digest)
    c.recovers()


def test_upstream_error_before_the_body_is_tried_again(case, upstream):
    c = case(fill_tries=5)
    upstream.on("GET", c.digest, times=1, status=500)
    upstream.on("GET", c.digest, times=1, raw=b"")
    assert c.is_right(c.get())
    assert len(c.asked()) == 3


# -- wrong bytes


@pytest.mark.parametrize("size, corrupt", [(SIZE, 0), (SIZE, SIZE // 2), (SIZE, SIZE - 1), (100, 50), (1, 0)])
def test_a_wrong_byte_never_reaches_a_client_as_a_whole_blob(case, upstream, size, corrupt):
    """B9, B10: each reader is cut short with a FIN, nothing is kept, the counter moves, a retry succeeds."""
    c = case(size=size)
    upstream.on("GET", c.digest, corrupt=corrupt)
    for reply in in_threads(5, lambda _: c.get()):
        assert (reply.status in (502, 503) and reply.end == "complete") or (
            reply.received < size and reply.end == "fin"
        ), reply
    assert c.mirror.metric("entrepot_digest_mismatches_total") == len(c.asked()) >= 1
    assert not c.mirror.holds(c.digest)
    c.recovers()
    c.mirror.wait_held(c.digest)


def test_a_wrong_byte_after_a_resume_is_noticed(case, upstream):
    c = case()
    upstream.on("GET", c.digest, times=1, cut=5 * MiB)
    upstream.on("GET", c.digest, corrupt=7 * MiB)
    reply = c.get()
    assert reply.received < SIZE and reply.end == "fin"
    assert c.mirror.metric("entrepot_digest_mismatches_total") == 1
    c.recovers()


@pytest.mark.parametrize(
    "script",
    [{"instead": b"x" * (SIZE + 5)}, {"instead": b"short"}, {"length": SIZE + 1, "cut": SIZE}],
    ids=["longer", "shorter", "says one byte more"],
)
def test_a_body_of_another_size_than_the_manifest_says_is_not_served(case, upstream, script):
    """B9: wrong in length instead of in a byte."""
    c = case(fill_tries=2)
    upstream.on("GET", c.digest, **script)
    reply = c.get()
    assert reply.status in (502, 503) or (reply.received < SIZE and reply.end == "fin"), reply
    assert not c.mirror.holds(c.digest)
    c.recovers()


def test_a_wrong_manifest_is_refused_before_its_first_byte(entrepot, upstream):
    """M3, B9: by digest, the body is verified first."""
    image = upstream.add(blob_image(b"x"), "library/x", "1")
    upstream.on("GET", image.digest, corrupt=10)
    mirror = entrepot(upstream)
    for reference in (image.digest, "1"):
        assert mirror.get(f"/v2/library/x/manifests/{reference}").status in (502, 503)
    upstream.healthy()
    wait_until(
        lambda: mirror.get(f"/v2/library/x/manifests/{image.digest}").body == image.data, "the right one is served"
    )


# -- wrong answers to a resume


def test_upstream_that_ignores_range_is_read_from_the_start(case, upstream):
    c = case()
    upstream.on("GET", c.digest, times=1, cut=6 * MiB)
    upstream.on("GET", c.digest, times=1, ignore_range=True)
    assert c.is_right(c.get())
    assert c.ranges() == [None, f"bytes={6 * MiB}-"]


@pytest.mark.parametrize(
    "script",
    [
        {"content_range": f"bytes 0-{SIZE - 1}/{SIZE}"},
        {"content_range": f"bytes {6 * MiB + 1}-{SIZE - 1}/{SIZE}"},
        {"content_range": "nonsense"},
        {"drop": ("content-range",)},
        {"status": 416},
        {"content_range": f"bytes {6 * MiB}-{SIZE}/{SIZE + 1}"},
        {"status": 206},
    ],
    ids=["of the start", "off by one", "nonsense", "none", "416", "of another size", "empty"],
)
def test_a_wrong_answer_to_a_resume_is_not_spliced_in(case, upstream, script):
    """Right in the end, cut short, or refused when it had not begun; the wrong answer is given once."""
    c = case()
    upstream.on("GET", c.digest, times=1, cut=6 * MiB)
    upstream.on("GET", c.digest, times=1, **script)
    reply = c.get()
    assert c.is_right(reply) or reply.status == 502 or (reply.received < SIZE and reply.end == "fin"), reply
    c.recovers()


# -- refusals, silence, nonsense


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("what", ["manifest", "blob"])
def test_rate_limit_is_honoured_and_never_relayed(case, upstream, status, what):
    """E2, E4: 503 with Retry-After; and the upstream is left alone for as long as it asked."""
    c = case()
    target = c.target if what == "blob" else "/v2/library/y/manifests/1"
    upstream.add(c.image, "library/y", "1")
    rule = upstream.on("*", target, status=status, headers=[("Retry-After", "3600")])
    replies = [c.mirror.get(target) for _ in range(5)]
    assert [reply.status for reply in replies] == [503] * 5
    assert 1 <= int(replies[0].headers["retry-after"]) <= 3600
    assert replies[0].headers["content-type"] == "application/json" and replies[0].json["errors"]
    assert len(rule.hits) == 1


def test_a_day_of_retry_after_is_a_minute(case, upstream):
    """E4: one blob's word does not shut the upstream for the day: told, and kept, for a minute at most."""
    c = case()
    upstream.on("GET", c.digest, times=1, status=429, headers=[("Retry-After", "86400")])
    for target in (c.target, f"/v2/library/x/blobs/{upstream.add_blob('library/x', b'another')}"):
        reply = c.mirror.get(target)
        assert reply.status == 503 and 1 <= int(reply.headers["retry-after"]) <= 60, reply


@pytest.mark.parametrize(
    "script",
    [{"raw": b"HTTP/1.1 404 Not Found\nContent-Length: 0\n\n"}, {"status": 404, "body": b"x" * 204_800}],
    ids=["bare LF", "a page of 200 KiB"],
)
def test_a_404_in_any_form_is_a_404(case, upstream, script):
    """E1: to a manifest, to a miss, and to the question whether a repository holds what is cached."""
    c = case()
    assert c.is_right(c.get())
    c.mirror.wait_held(c.digest)
    upstream.on("*", "library/none", **script)
    for target in ("manifests/1", f"manifests/{c.image.digest}", f"blobs/{digest_of(b'')}", f"blobs/{c.digest}"):
        assert c.mirror.get(f"/v2/library/none/{target}").status == 404


@pytest.mark.parametrize(
    "status, expected",
    [
        (500, {502, 503}),
        (502, {502, 503}),
        (504, {502, 503, 504}),
        (418, {502}),
        (204, {502}),
        (304, {502}),
        (401, {404, 403}),
        (403, {404, 403}),
        (404, {404}),
    ],
)
def test_upstream_refusals_become_what_clients_can_use(case, upstream, status, expected):
    """E1, E3, E4: never a 401 or a challenge; 404 only for what the upstream will not give."""
    c = case(fill_tries=2)
    upstream.on(
        "*",
        "/v2/library/(y|x/blobs)",
        status=status,
        headers=[("WWW-Authenticate", "Negotiate")] if status == 401 else (),
    )
    for target in (c.target, "/v2/library/y/manifests/1"):
        reply = c.mirror.get(target)
        assert reply.status in expected, reply
        assert "www-authenticate" not in reply.headers and reply.json["errors"][0]["code"]


def test_black_hole_gives_504_in_bounded_time(entrepot, upstream):
    """E5, B8: the upstream takes connections and says nothing, to manifests and to blobs."""
    c = Case(entrepot, upstream, header_timeout="500ms", answer_timeout="3s", fill_tries=2)
    upstream.black_hole()
    for target in (c.target, "/v2/library/y/manifests/1", f"/v2/library/y/manifests/{digest_of(b'')}"):
        reply = c.mirror.get(target)
        assert reply.status == 504 and reply.json["errors"][0]["code"] == "UNAVAILABLE", reply
    upstream.black_hole(False)
    c.recovers()


def test_answer_timeout_ends_the_wait_and_not_the_fill(entrepot, upstream):
    """E5: a client gets its 504 while the fill goes on; the next one gets the blob."""
    c, gate = Case(entrepot, upstream, answer_timeout="1s", header_timeout="20s"), Gate()
    upstream.on("GET", c.digest, times=1, head_gate=gate)
    assert c.get().status == 504
    gate.open()
    wait_until(lambda: c.is_right(c.get()), "the fill has gone on")
    assert len(c.asked()) == 1


SLOW_NAMES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || strstr(name, "slow.test") == NULL)
        return real(name, service, hints, found);
    close(creat(ASKED, 0600));
    while (access(ANSWERED, F_OK) != 0)
        usleep(10000);
    return EAI_AGAIN;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="a resolver is compiled")
def test_a_name_that_does_not_resolve_holds_up_nobody(entrepot, upstream, tmp_path, monkeypatch):
    """A miss from a healthy upstream is served while the resolver says nothing of another one's name."""
    if is_sanitized():
        pytest.skip("a sanitizer wants to be preloaded itself")
    asked, answered, shim = tmp_path / "asked", tmp_path / "answered", tmp_path / "shim.so"
    paths = [f'-DASKED="{asked}"', f'-DANSWERED="{answered}"']
    compiler = ["gcc", "-shared", "-fPIC", *paths, "-x", "c", "-", "-o", shim, "-ldl"]
    subprocess.run(compiler, input=SLOW_NAMES, text=True, check=True)
    variables = {**harness.entrepot.environment(), "LD_PRELOAD": str(shim)}
    monkeypatch.setattr(harness.entrepot, "environment", lambda: variables)
    mirror = entrepot({"docker.io": upstream.url, "slow.io": "http://slow.test"}, connect_timeout="500ms")
    try:
        slow = Threads(1, lambda _: mirror.get("/v2/team/app/manifests/1?ns=slow.io"))
        wait_until(asked.exists, "the name is looked up")
        for seed in range(3):  # before and after the other one's connect_timeout
            digest = upstream.add_blob("library/x", noise(300_000, seed))
            assert mirror.get(f"/v2/library/x/blobs/{digest}", timeout=10).sha256 == digest
            let_pass(0.4)
        assert slow.join()[0].status in (502, 503, 504)
    finally:
        answered.touch()


def test_deadlines_end_before_clients_give_up():
    """E5: under 25 s, whatever is configured."""
    for flag in ("--header-timeout", "--answer-timeout"):
        assert run_command("serve", flag, "26s").returncode != 0


def test_refused_connection_is_502(entrepot, upstream):
    """E4; and the upstream is used again when it is back."""
    image, mirror = upstream.add(blob_image(b"x"), "library/x", "1"), entrepot(upstream)
    upstream.stop()
    assert mirror.get("/v2/library/x/manifests/1").status in (502, 503)
    upstream.start()
    wait_until(lambda: mirror.get("/v2/library/x/manifests/1").body == image.data, "the upstream is used again")


def test_an_upstream_that_did_not_answer_rests(entrepot, upstream):
    """E5: one time-out in upstream_rest, and not one for each client; the others are told at once."""
    mirror = entrepot(upstream, upstream_rest="10m", header_timeout="300ms")
    upstream.black_hole()
    assert mirror.get("/v2/library/x/manifests/1").status == 504
    before = len(upstream.requests)
    assert [mirror.get(f"/v2/library/x/manifests/{n}").status for n in range(3)] == [503] * 3
    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"\x00" * 500,
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["word", "zeros", "no status", "negative", "huge head", "huge length", "2^64-1", "only 100", "bad chunk"],
)
def test_garbage_from_upstream_is_a_502(case, upstream, raw):
    """E4, B9: nothing that is no HTTP harms; the next answer is used."""
    c = case(fill_tries=2, max_manifest="1MiB")
    upstream.on("*", "library/y|/blobs/", raw=raw)
    assert c.mirror.get("/v2/library/y/manifests/1").status in (502, 503)
    reply = c.get()
    assert reply.status in (502, 503) or (reply.received < SIZE and reply.end == "fin"), reply
    c.recovers()


def test_a_manifest_larger_than_max_manifest_is_refused(entrepot, upstream):
    upstream.add(blob_image(b"x", padding=2 * MiB), "library/x", "1")
    mirror = entrepot(upstream, max_manifest="1MiB")
    assert mirror.get("/v2/library/x/manifests/1").status == 502


def test_chunked_bodies_are_as_good_as_any(entrepot, upstream):
    """B1: no Content-Length from the upstream, the size known from the manifest; and a manifest chunked itself."""
    upstream.on("GET", "/v2/library/", chunked=True)
    c = Case(entrepot, upstream)
    reply = c.get()
    assert c.is_right(reply) and reply.headers["content-length"] == str(SIZE)


def test_a_chunked_body_of_known_size_is_streamed(case, upstream):
    """B1: the manifest says the size, so the answer begins while the fill is held."""
    c, gate = case(), Gate()
    upstream.on("GET", c.digest, chunked=True, hold=(5 * MiB, gate))
    with c.mirror.connect() as connection:
        connection.request("GET", c.target)
        assert connection.head().headers["content-length"] == str(SIZE)
        assert connection.read(4 * MiB) == c.data[: 4 * MiB]
        gate.open()
        assert c.is_right(connection.drain())


def test_content_encoding_is_neither_asked_for_nor_forwarded(case, upstream):
    """B2: identity upstream, whatever the client accepts; and a tar.gz labelled gzip is still just bytes."""
    c = case()
    upstream.on("GET", c.digest, headers=[("Content-Encoding", "gzip")])
    reply = c.get(headers={"Accept-Encoding": "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5"})
    assert "content-encoding" not in reply.headers
    assert c.is_right(reply) or reply.status in (502, 503)
    assert all(request.headers.get("accept-encoding", "identity") == "identity" for request in upstream.requests)


# -- redirects


@pytest.fixture
def cdn():
    with Upstream("127.0.0.2") as server:
        yield server


def login(exchange):
    """A guard: Basic or nothing."""
    if exchange.request.headers.get("authorization"):
        return True
    exchange.answer(401, b"{}", [("WWW-Authenticate", 'Basic realm="tests"')])
    return False


def test_redirect_is_followed_without_the_credentials(entrepot, upstream, cdn):
    """The blob lies on another host: no Authorization travels there, and a break resumes by Range."""
    upstream.guard = login
    config = f"upstreams:\n  docker.io:\n    url: {upstream.url}\n    username: robot\n    password: secret\n"
    image = upstream.add(blob_image(noise(SIZE)), "library/x", "1")
    (digest,) = image.layer_digests
    cdn.add(image, "library/x")
    upstream.on("GET", digest, status=307, headers=[("Location", f"{cdn.url}/v2/library/x/blobs/{digest}?signature=s")])
    cdn.on("GET", digest, times=1, cut=5 * MiB)
    mirror = entrepot({}, config=config)
    mirror.pull("library/x", "1")
    assert all("authorization" not in request.headers for request in cdn.requests)
    assert [request.headers.get("range") for request in cdn.seen("GET")] == [None, f"bytes={5 * MiB}-"]
    assert all(request.query == {"signature": "s"} for request in cdn.seen("GET"))


def test_expired_redirect_target_is_asked_for_anew(case, upstream, cdn):
    """A signed URL that is refused sends the fill back to the registry for another one."""
    c = case()
    cdn.add(c.image, "library/x")
    upstream.on("GET", c.digest, times=1, status=307, headers=[("Location", f"{cdn.url}{c.target}?signature=1")])
    upstream.on("GET", c.digest, status=307, headers=[("Location", f"{cdn.url}{c.target}?signature=2")])
    cdn.on("GET", "signature=1", times=1, cut=5 * MiB)
    cdn.on("GET", "signature=1", status=403)
    assert c.is_right(c.get())
    assert cdn.seen("GET", "signature=2")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_relative_redirects_are_followed(case, upstream, status):
    c = case()
    upstream.on("GET", f"^{c.target}$", status=status, headers=[("Location", f"{c.target}?again")])
    assert c.is_right(c.get())


@pytest.mark.parametrize(
    "location",
    [None, "", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "//", "gopher://127.0.0.1:1/"],
)
def test_redirects_to_nowhere_are_a_502(case, upstream, location):
    c = case(fill_tries=2)
    upstream.on("GET", c.digest, status=307, headers=[] if location is None else [("Location", location)])
    assert c.get().status in (502, 503)
    c.recovers()


def test_redirect_loop_ends(case, upstream):
    c = case(fill_tries=2)
    upstream.on("GET", c.digest, status=307, headers=[("Location", c.target)])
    assert c.get().status in (502, 503)
    assert len(c.asked()) < 50
    c.recovers()


def test_upstream_that_is_no_registry(entrepot):
    """A web server that answers everything with 200 and HTML: no manifest, so no answer of ours either."""
    with Server() as web:
        web.on("*", "", status=200, body=b"<html>", headers=[("Content-Type", "text/html")])
        mirror = entrepot(web)
        assert mirror.get("/v2/library/x/manifests/1").status in (502, 503)
        reply = mirror.get(f"/v2/library/x/blobs/{digest_of(b'other')}")
        assert reply.status in (502, 503) or reply.received < len(b"<html>"), reply
