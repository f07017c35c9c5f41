"""Starting with whatever is on the disk, ending gently and otherwise."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from harness.entrepot import BINARY, Entrepot, environment
from harness.http import Connection
from harness.images import blob_image
from harness.util import Gate, MiB, SLOW, Threads, digest_of, free_port, let_pass, noise, wait_until

DATA = noise(12 * MiB)
DIGEST = digest_of(DATA)
BLOB = f"/v2/library/x/blobs/{DIGEST}"
MANIFEST = "/v2/library/x/manifests/1"


@pytest.fixture
def image(upstream):
    return upstream.add(blob_image(DATA), "library/x", "1")


def filled(entrepot, upstream, image, **settings):
    mirror = entrepot(upstream, **settings)
    mirror.pull("library/x", "1")
    mirror.wait_held(*image.blobs, image.digest)
    return mirror


def test_the_cache_survives_a_restart(entrepot, upstream, image):
    """Manifest by tag and digest, and blobs, with no request upstream."""
    mirror = filled(entrepot, upstream, image, tag_ttl="1h")
    mirror.restart()
    upstream.stop()
    assert all("hit" in reply.headers["cache-status"] for reply in mirror.pull("library/x", "1"))
    assert mirror.metric("entrepot_cached_blobs") == 3
    assert mirror.metric("entrepot_cached_bytes") == len(image.data) + sum(map(len, image.blobs.values()))


def test_the_cache_survives_a_kill(entrepot, upstream, image):
    """kill -9 right after the blobs came to lie under blobs/: they are served, whatever the index had got to."""
    mirror = filled(entrepot, upstream, image)
    mirror.kill()
    mirror.start()
    before = upstream.body_bytes(DIGEST)
    mirror.pull("library/x", "1")
    assert upstream.body_bytes(DIGEST) == before


def commits(mirror):
    return mirror.metric("entrepot_index_commits_total")


def test_a_kill_in_the_middle_of_a_fill_loses_no_more_than_a_checkpoint(entrepot, upstream, image):
    """B11: after kill -9 the fill goes on by Range from near where it was."""
    gate = Gate()
    upstream.on("GET", DIGEST, times=1, hold=(8 * MiB, gate))
    mirror = entrepot(upstream, checkpoint="1MiB")
    mirror.get(MANIFEST)
    with mirror.connect() as connection:
        connection.request("GET", BLOB)
        connection.head()
        connection.read(7 * MiB)
        wait_until(lambda: commits(mirror) == (let_pass(0.2), commits(mirror))[1], "the writer has nothing left to do")
        mirror.kill()
    gate.open()
    mirror.start()
    assert not mirror.holds(DIGEST)
    assert mirror.get(BLOB, keep=False).sha256 == DIGEST
    start = int(re.match(r"bytes=(\d+)-$", upstream.seen("GET", DIGEST)[1].headers["range"])[1])
    assert 6 * MiB <= start <= 8 * MiB


def test_a_stop_in_the_middle_of_a_fill_resumes_where_it_was(entrepot, upstream, image):
    """B11: SIGTERM records what is there; the next process asks for the rest only."""
    gate = Gate()
    upstream.on("GET", DIGEST, times=1, hold=(8 * MiB, gate))
    mirror = entrepot(upstream, drain_timeout="0s")
    mirror.get(MANIFEST)
    with mirror.connect() as connection:
        connection.request("GET", BLOB)
        connection.head()
        connection.read(7 * MiB)
        mirror.stop()
    gate.open()
    mirror.start()
    assert mirror.get(BLOB, keep=False).sha256 == DIGEST
    start = int(re.match(r"bytes=(\d+)-$", upstream.seen("GET", DIGEST)[1].headers["range"])[1])
    assert 7 * MiB <= start <= 8 * MiB


def test_a_partial_file_that_was_cut_is_fetched_again(entrepot, upstream, image):
    """kill -9, and the disk has lost a part of what the index says is there: that is noticed, and the blob heals."""
    upstream.on("GET", DIGEST, cut=8 * MiB)
    mirror = entrepot(upstream, fill_tries=1)
    mirror.get(MANIFEST)
    assert mirror.get(BLOB, keep=False).received < len(DATA)
    upstream.healthy()
    mirror.kill()
    (partial,) = [path for path in mirror.cache.glob("partial/**/*") if path.is_file()]
    os.truncate(partial, MiB)
    mirror.start()
    wait_until(lambda: mirror.get(BLOB, keep=False).sha256 == DIGEST, "the blob is whole", timeout=5)
    mirror.wait_held(DIGEST)


def test_a_lost_index_is_rebuilt_from_the_blobs(entrepot, upstream, image):
    """The folder is the truth: blobs are found again, tags and repositories are learned again; no blob is fetched."""
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    shutil.rmtree(mirror.cache / "index")
    mirror.start()
    assert mirror.metric("entrepot_cached_blobs") == 3
    mirror.pull("library/x", "1")
    assert upstream.body_bytes(DIGEST) <= len(DATA) + 1  # a byte may be asked for, to hear that the repository holds it


def test_blobs_that_vanished_are_fetched_again(entrepot, upstream, image):
    """The index never says more than the disk holds: files deleted behind its back, stopped or running."""
    mirror = filled(entrepot, upstream, image, open_blobs=1)
    mirror.stop()
    mirror.path_of(DIGEST).unlink()
    mirror.start()
    assert mirror.get(BLOB, keep=False).sha256 == DIGEST


def test_rubbish_in_the_cache_directory_harms_nobody(entrepot, upstream, image):
    """Strange names under blobs/ and partial/, and a truncated partial file."""
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    for path in (
        "blobs/sha256/zz/nonsense",
        "blobs/sha256/README",
        "blobs/md5/aa/x",
        f"partial/sha256/{'0' * 64}",
        "partial/sha256/odd",
    ):
        (mirror.cache / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror.cache / path).write_bytes(b"rubbish")
    shutil.rmtree(mirror.cache / "index")
    mirror.start()
    mirror.pull("library/x", "1")


def refuses(mirror):
    """Starts it on its directory, sees it fail, and returns what it said."""
    done = subprocess.run(mirror.command(), capture_output=True, text=True, timeout=30 * SLOW, env=environment())
    assert done.returncode not in (0, None) and done.returncode > 0, done
    sentence = done.stderr.strip() or done.stdout.strip()
    assert str(mirror.cache) in sentence, sentence
    return sentence


def test_a_foreign_directory_is_refused(tmp_path):
    """Somebody's home is not a cache: a sentence that names it, and not a file of it touched."""
    mirror = Entrepot(tmp_path / "entrepot")
    mirror.cache.mkdir()
    (mirror.cache / "thesis.txt").write_text("years of work")
    refuses(mirror)
    assert [path.name for path in mirror.cache.iterdir()] == ["thesis.txt"]


def index_file(mirror):
    return next(path for path in (mirror.cache / "index").iterdir() if "lock" not in path.name)


def test_an_index_of_an_unknown_version_is_refused(entrepot, upstream, image):
    """A sentence that says what to do; the blobs stay, and doing so helps."""
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    data, count = re.subn(rb"schema\d", b"schema9", index_file(mirror).read_bytes())
    assert count, "the index keeps its version in another way now"
    index_file(mirror).write_bytes(data)
    assert re.search("remove|delete", refuses(mirror))
    assert mirror.holds(DIGEST)
    shutil.rmtree(mirror.cache / "index")
    mirror.start()
    mirror.pull("library/x", "1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\xff" * len(data),
        lambda data: data[:5000],
        lambda data: b"",
        lambda data: data[:8192] + bytes(255 - byte for byte in data[8192:]),
        *(lambda data, at=at: data[:at] + bytes(255 - b for b in data[at : at + 4096]) + data[at + 4096 :]
          for at in (8192, 12288, 16384)),
    ],
    ids=["overwritten", "truncated", "emptied", "inverted", "page 2", "page 3", "page 4"],
)
def test_a_damaged_index_is_rebuilt_from_the_blobs(entrepot, upstream, image, damage):
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    index_file(mirror).write_bytes(damage(index_file(mirror).read_bytes()))
    mirror.start()
    mirror.pull("library/x", "1")
    assert upstream.body_bytes(DIGEST) <= len(DATA) + 1


def test_two_processes_on_one_directory(entrepot, upstream, image):
    """The second refuses; the first does not notice."""
    mirror = filled(entrepot, upstream, image)
    second = Entrepot(mirror.directory, mirror.upstreams)
    refuses(second)
    mirror.pull("library/x", "1")


def test_an_address_in_use_is_refused(entrepot, upstream):
    """Also though SO_REUSEPORT would let two processes share it: nobody wants half of the requests."""
    mirror = entrepot(upstream)
    done = subprocess.run(
        [
            BINARY,
            "serve",
            "--listen",
            "%s:%d" % mirror.address,
            "--admin",
            f"127.0.0.1:{free_port()}",
            "--cache",
            mirror.directory / "other",
        ],
        capture_output=True,
        text=True,
        timeout=30 * SLOW,
        env=environment(),
    )
    assert done.returncode > 0 and "%s:%d" % mirror.address in done.stderr + done.stdout


def test_sigterm_drains(entrepot, upstream, image):
    """A running reply ends well, idle connections end, new ones are not accepted, and then the process ends with 0."""
    mirror = entrepot(upstream, drain_timeout="1h")
    mirror.pull("library/x", "1")
    with mirror.connect(receive_buffer=4096) as running, mirror.connect() as idle:
        running.request("GET", BLOB)
        running.head()
        running.read(1000)
        mirror.signal()
        assert idle.at_end()

        def refused():
            try:
                Connection(mirror.address).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(refused, "new connections are refused")
        assert mirror.process.poll() is None
        reply = running.drain()
        assert (reply.sha256, reply.end) == (DIGEST, "complete")
        assert running.at_end()
    assert mirror.wait() == 0


def test_sigterm_lets_a_running_fill_finish_its_replies(entrepot, upstream, image):
    """Draining includes those who wait for the upstream."""
    gate = Gate()
    upstream.on("GET", DIGEST, hold=(MiB, gate))
    mirror = entrepot(upstream, drain_timeout="1h")
    mirror.get(MANIFEST)
    threads = Threads(2, lambda _: mirror.get(BLOB, keep=False))
    gate.wait_reached()
    wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") == 1, "both are reading")
    mirror.signal()
    gate.open()
    assert all(reply.sha256 == DIGEST for reply in threads.join())
    assert mirror.wait() == 0


def test_drain_timeout_ends_the_drain(entrepot, upstream, image):
    """A client that never reads does not hold the process for ever."""
    mirror = entrepot(upstream, drain_timeout="1s")
    mirror.pull("library/x", "1")
    with mirror.connect(receive_buffer=4096) as sleeper:
        sleeper.request("GET", BLOB)
        sleeper.head()
        mirror.signal()
        assert mirror.wait() == 0
        assert sleeper.drain().received < len(DATA)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_at_once(entrepot, upstream, number):
    mirror = entrepot(upstream, drain_timeout="1h")
    mirror.signal(number)
    assert mirror.wait() == 0


def test_it_starts_with_no_network(entrepot):
    """Nothing of an upstream is asked for at start, or for readiness; its name need not even exist."""
    mirror = entrepot(
        {"docker.io": "http://registry.invalid", "ghcr.io": f"http://127.0.0.1:{free_port()}"}, connect_timeout="1s"
    )
    assert mirror.get("/v2/").status == 200
    for name in ("docker.io", "ghcr.io"):
        assert mirror.get(f"/v2/team/app/manifests/1?ns={name}").status in (502, 503, 504)
    assert mirror.is_ready()


def test_sigterm_in_the_middle_of_tag_checks(entrepot, upstream):
    """Four fetch threads, forty manifests of a registry that names no digest: ended with 0, whenever it comes."""
    for number in range(40):
        upstream.add(blob_image(noise(1000, number)), "library/x", str(number))
    upstream.on("*", "/manifests/", drop=("docker-content-digest",))
    for turn in range(10):
        mirror = entrepot(upstream, fetch_threads=4, serve_threads=1, drain_timeout="0s", tag_ttl="0s")
        clients, before = [mirror.connect() for _ in range(40)], len(upstream.requests)
        for number, client in enumerate(clients):
            client.request("GET", f"/v2/library/x/manifests/{number}")
        wait_until(lambda: len(upstream.requests) >= before + 8 * turn, "some are under way")
        mirror.signal()
        assert mirror.wait() == 0, mirror.err.read_text()[-2000:]
        mirror.check()
        for client in clients:
            client.close()


def test_more_serve_threads_than_processors(entrepot, upstream, image):
    """A hundred: it starts, serves and ends."""
    entrepot(upstream, serve_threads=100).pull("library/x", "1")
