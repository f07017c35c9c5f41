"""A disk that is full, over its quota, or broken: what is cached goes on, the rest is refused before its first byte,
and all recovers by itself. The faults come from harness/baddisk.c, and from a small disk of its own."""

import errno
import os
import subprocess
import time

import pytest

from harness.entrepot import Entrepot, preloaded
from harness.images import blob_image
from harness.util import Gate, MiB, Threads, digest_of, let_pass, noise, wait_until

FAULTS = ["EIO", "ENOSPC", "EDQUOT"]
BALLAST, OLD, NEW, PARTLY, OTHER = (noise(size * MiB, size) for size in (9, 3, 5, 6, 7))
REST = 2  # seconds, DISK_REST_MS


def target(data):
    return f"/v2/library/x/blobs/{digest_of(data)}"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("baddisk") / "baddisk.so"
    source = os.path.join(os.path.dirname(__file__), "harness", "baddisk.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", source, "-o", path, "-ldl"], check=True)
    return path


class Disk:
    """A mirror whose disk can be broken: image 1 and 1 MiB of PARTLY are cached, image 2 is not. BALLAST is what goes
    when it tries whether evicting something helps."""

    def __init__(self, entrepot, upstream, library, directory, **settings):
        self.upstream, self.control = upstream, directory / "control"
        self.images = [upstream.add(blob_image(*layers), "library/x", str(n)) for n, layers in ((1, [OLD]), (2, [NEW]))]
        for data in (BALLAST, PARTLY, OTHER):
            upstream.add_blob("library/x", data)
        self.mirror = entrepot(upstream, **settings)
        self.mirror.stop()
        self.mirror.variables = preloaded(library) | {"BADDISK_CONTROL": str(self.control)}
        self.mirror.start()
        assert self.mirror.get(target(BALLAST)).body == BALLAST
        self.mirror.wait_held(digest_of(BALLAST))
        self.pull(1)
        self.mirror.wait_held(digest_of(OLD))
        assert self.range(PARTLY, 0, 100).status == 206
        self.mirror.restart()  # no fill lingers, that was well a moment ago

    def breaks(self, fault, part="partial/"):
        self.control.with_suffix(".new").write_text(f"{getattr(errno, fault)} {part}")
        os.rename(self.control.with_suffix(".new"), self.control)

    def mended(self):
        self.control.unlink()

    def pull(self, tag):
        return self.mirror.pull("library/x", str(tag))

    def range(self, data, start, stop):
        reply = self.mirror.get(target(data), headers={"Range": f"bytes={start}-{stop - 1}"})
        assert reply.status != 206 or (reply.end == "complete" and reply.body == data[start:stop])
        return reply

    def serves_what_is_cached(self):
        asked = len(self.upstream.seen("GET"))
        self.pull(1)
        assert self.range(OLD, 5000, 2 * MiB).status == 206
        assert self.range(PARTLY, 10, 60).status == 206
        assert len(self.upstream.seen("GET")) == asked

    def refuses(self, reply):
        assert reply.status == 503 and reply.end == "complete", reply
        assert reply.json["errors"][0]["code"] == "UNAVAILABLE" and "disk" in reply.json["errors"][0]["message"], reply

    def refuses_what_is_new(self):
        ranges = "0-9,4000000-4000009"
        self.refuses(self.mirror.get(target(NEW)))
        self.refuses(self.mirror.get(target(PARTLY)))  # whose first bytes are here
        self.refuses(self.range(NEW, 0, 2))
        self.refuses(self.range(PARTLY, MiB // 2, 3 * MiB))
        self.refuses(self.mirror.get(target(PARTLY), headers={"Range": "bytes=0-9,4000000-4000009"}))
        self.refuses(self.mirror.get(target(OTHER), headers={"Range": f"bytes={ranges}"}))
        self.refuses(self.mirror.get("/v2/library/x/manifests/2"))
        self.refuses(self.mirror.get(f"/v2/library/x/manifests/{self.images[1].digest}"))

    def recovers(self):
        for data in (NEW, PARTLY, OTHER):
            wait_until(
                lambda: self.mirror.get(target(data), keep=False).sha256 == digest_of(data), "it is fetched again"
            )
            self.mirror.wait_held(digest_of(data))
        wait_until(lambda: self.mirror.get("/v2/library/x/manifests/2").status == 200, "manifests come too")
        self.pull(2)
        self.is_tidy()

    def is_tidy(self):
        """Everything on the disk is counted, now and after a start."""
        wait_until(lambda: not [p for p in self.mirror.cache.glob("partial/**/*") if p.is_file()], "nothing is partial")
        wait_until(lambda: self.counts() == self.lies_there(), "what lies there is counted")
        before = self.counts()
        self.mirror.restart()
        assert self.counts() == before == self.lies_there()

    def counts(self):
        return self.mirror.metric("entrepot_cached_blobs"), self.mirror.metric("entrepot_cached_bytes")

    def lies_there(self):
        sizes = [path.stat().st_size for path in self.mirror.cache.glob("blobs/**/*") if path.is_file()]
        return len(sizes), sum(sizes)


@pytest.fixture
def disk(entrepot, upstream, library, tmp_path):
    return lambda **settings: Disk(entrepot, upstream, library, tmp_path, **settings)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_takes_no_writes(disk, fault):
    case = disk()
    case.breaks(fault)
    case.refuses_what_is_new()
    case.serves_what_is_cached()
    for _ in range(2):
        let_pass(REST + 0.1)  # the next one is let through, and fails on the disk itself
        case.refuses(case.mirror.get(target(PARTLY)))
    case.serves_what_is_cached()  # nothing more went for what did not help
    case.mended()
    case.recovers()


@pytest.mark.parametrize("first", [NEW, PARTLY], ids=["nothing of it is here", "its first bytes are here"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_to_find_out_is_refused_too(disk, fault, first):
    """Nobody knew that the disk is broken, and the upstream has answered: still not a byte of an answer."""
    case = disk()
    case.breaks(fault)
    case.refuses(case.mirror.get(target(first)))
    case.mended()
    case.recovers()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_written_is_not_fetched_again_and_again(disk, fault):
    """Fifty requests within a rest cost the upstream what one does."""
    case = disk()
    case.breaks(fault)
    begin = time.monotonic()
    for number in range(50):
        case.refuses(case.mirror.get(target((NEW, OTHER, PARTLY)[number % 3])))
    probes = 1 + (time.monotonic() - begin) / REST
    asked = [request for data in (NEW, OTHER) for request in case.upstream.seen("GET", digest_of(data))]
    assert len(asked) <= 2 * probes, asked
    assert case.mirror.holds(digest_of(OLD))  # nothing goes for what does not help


def test_a_fill_that_lingers_is_not_joined_when_the_disk_has_failed(disk):
    """What it was asked for a moment ago came; more of it will not."""
    case = disk()
    assert case.range(PARTLY, 2 * MiB, 2 * MiB + 10).status == 206
    case.breaks("EIO")
    case.refuses(case.mirror.get(target(NEW)))
    case.refuses(case.mirror.get(target(PARTLY)))
    case.mended()
    case.recovers()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_in_the_middle_is_cut_short(disk, fault):
    """What came before was right, and stays: the next pull goes on there."""
    case, gate = disk(), Gate()
    case.upstream.on("GET", digest_of(OTHER), times=1, hold=(3 * MiB, gate))
    with case.mirror.connect() as connection:
        connection.request("GET", target(OTHER))
        assert connection.head().status == 200
        begin = connection.read(MiB)
        gate.wait_reached()
        wait_until(lambda: case.mirror.metric("entrepot_upstream_body_bytes_total") >= 3 * MiB, "3 MiB have come")
        case.breaks(fault)
        gate.open()
        rest = connection.drain(keep=True)
        body = begin + rest.body
        assert rest.end != "complete" and len(body) < len(OTHER) and OTHER.startswith(body)
    case.refuses(case.mirror.get(target(OTHER)))
    case.mended()
    wait_until(lambda: case.mirror.get(target(OTHER), keep=False).sha256 == digest_of(OTHER), "it goes on")
    assert all("range" in request.headers for request in case.upstream.seen("GET", digest_of(OTHER))[1:])
    case.recovers()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_index_that_cannot_be_written(disk, fault):
    """New blobs are kept and known all the same; when it can be written again, what was learned meanwhile is."""
    case = disk()
    case.breaks(fault, "index/")
    case.pull(2)
    assert case.range(PARTLY, MiB * 3, MiB * 4).status == 206
    asked = len(case.upstream.seen("GET"))
    case.pull(2)
    case.serves_what_is_cached()
    assert len(case.upstream.seen("GET")) == asked and case.mirror.log(event="index", level="error")
    case.mended()
    wait_until(lambda: case.mirror.log(event="index", level="info"), "it is written again")
    case.mirror.kill()
    case.mirror.start()
    case.pull(2)
    assert len(case.upstream.seen("GET")) == asked, case.upstream.seen("GET")[asked:]
    case.recovers()


def test_eviction_goes_on_without_the_index(disk):
    """Nothing that went comes back as a record, nothing that came is forgotten: the budget holds, during and after."""
    case = disk(cache_size="16MiB")
    case.breaks("ENOSPC", "index/")
    blobs = [case.upstream.add_blob("library/x", noise(3 * MiB, seed)) for seed in range(100, 112)]
    for digest in blobs:
        reply = case.mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)
        assert reply.status == 503 or reply.sha256 == digest, reply
        assert case.lies_there()[1] <= 16 * MiB
    case.mended()
    wait_until(lambda: case.mirror.log(event="index", level="info"), "it is written again")
    for digest in blobs:
        wait_until(
            lambda: case.mirror.get(f"/v2/library/x/blobs/{digest}", keep=False).sha256 == digest, "there is room"
        )
        case.mirror.wait_held(digest)
    case.is_tidy()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_somebody_else_fills_the_disk(upstream, tmp_path):
    """A real disk, files and index, full to its last block again and again: blobs go, and what is served is right."""
    mirror = Entrepot(tmp_path / "entrepot", {"docker.io": upstream.url})
    mirror.cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mirror.cache], check=True)
    hog = mirror.cache / "lost+found"
    blobs = [upstream.add_blob("library/x", noise(3 * MiB, seed)) for seed in range(12)]

    def fill():
        with open(hog, "ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def get(digest):
        return mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)

    try:
        mirror.start()
        for digest in blobs[:8]:
            assert get(digest).sha256 == digest
            mirror.wait_held(digest)
        fill()
        for digest in blobs * 4:
            reply = get(digest)
            assert reply.status == 503 or reply.sha256 == digest, reply
            fill()  # whatever was given back
        for digest in blobs:
            assert not mirror.holds(digest) or get(digest).sha256 == digest
        hog.unlink()
        for digest in blobs:
            wait_until(lambda: get(digest).sha256 == digest, "it comes again")
    finally:
        mirror.close()
        subprocess.run(["umount", "--lazy", mirror.cache], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_what_filled_the_disk_itself_makes_room(upstream, hub, tmp_path):
    """A blob that the budget has room for and the disk has not: what came of it goes as soon as others want to come."""
    mirror = Entrepot(tmp_path / "entrepot", {"docker.io": upstream.url, "hf": hub.url}, cache_size="1GiB")
    mirror.cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", mirror.cache], check=True)
    small = [upstream.add_blob("library/x", noise(3 * MiB, seed)) for seed in range(4)]
    large = upstream.add_blob("library/x", noise(80 * MiB, 9))
    hub.add("Org/Model", {"config.json": b"{}"})

    def get(digest):
        return mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)

    try:
        mirror.start()
        for digest in small:
            assert get(digest).sha256 == digest
            mirror.wait_held(digest)
        assert mirror.get("/v2/hf/org/model/manifests/latest").status == 200
        for _ in range(4):
            assert get(large).sha256 != large
            wait_until(lambda: mirror.metric("entrepot_fills_running") == 0, "its end")
            wait_until(
                lambda: mirror.get("/v2/hf/org/model/manifests/latest").status == 200, "it comes, which is at hand", 3 * REST
            )
            for digest in small:
                wait_until(lambda: get(digest).sha256 == digest, "it comes again", 3 * REST)
    finally:
        mirror.close()
        subprocess.run(["umount", "--lazy", mirror.cache], check=True)
