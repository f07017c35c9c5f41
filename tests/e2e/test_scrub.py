"""Complete blobs that the disk has damaged: found by a scrub or by a reader, taken out, and fetched again."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import harness.entrepot
from harness.entrepot import is_sanitized, run_command
from harness.http import Connection, fetch
from harness.images import blob_image
from harness.model import Image
from harness.util import Gate, MiB, ROOT, Threads, digest_of, noise, wait_until

DATA = noise(12 * MiB)
DIGEST = digest_of(DATA)
BLOB = f"/v2/library/x/blobs/{DIGEST}"
MANIFEST = "/v2/library/x/manifests/1"
FAST = {"scrub_rate": "0B", "tag_ttl": "1h"}


@pytest.fixture
def image(upstream):
    return upstream.add(blob_image(DATA), "library/x", "1")


def filled(entrepot, upstream, image, **settings):
    mirror = entrepot(upstream, **FAST | settings)
    mirror.pull("library/x", "1")
    mirror.wait_held(*image.blobs, image.digest)
    wait_until(lambda: mirror.metric("entrepot_cached_blobs") == 1 + len(image.blobs), "all of it is recorded")
    return mirror


def size_of(image):
    return len(image.data) + sum(map(len, image.blobs.values()))


def scrub(mirror, *more):
    """`entrepot scrub`, with the mirror's own words."""
    done = run_command("scrub", "--cache", mirror.cache, "--admin", "%s:%d" % mirror.admin, *more, timeout=120)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def ask(mirror, method="GET", **options):
    reply = fetch(mirror.admin, "/scrub", method, **options)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json"), reply
    return reply.json


def scrub_by_post(mirror):
    started = ask(mirror, "POST")["started"]
    report = wait_until(lambda: (report := ask(mirror))["state"] == "over" and report, "the scrub is over", 120)
    assert report["started"] == started
    return report


def flip(path, at=5 * MiB):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def replace_by_a_link(path):
    target = path.with_suffix(".moved")
    path.rename(target)
    path.symlink_to(target)


DAMAGES = {
    "a flipped bit": flip,
    "a flipped bit in the last byte": lambda path: flip(path, path.stat().st_size - 1),
    "truncated": lambda path: os.truncate(path, 5 * MiB + 1),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, len(DATA) + 1),
    "missing": lambda path: path.unlink(),
    "a link": replace_by_a_link,
}


def assert_healed(mirror, upstream, image):
    """It was fetched again, once, and everything else is from the cache, and accounted for."""
    before = upstream.body_bytes(DIGEST)
    assert mirror.get(BLOB, keep=False).sha256 == DIGEST
    assert upstream.body_bytes(DIGEST) == before + len(DATA)
    mirror.wait_held(DIGEST)
    mirror.pull("library/x", "1")
    assert upstream.body_bytes(DIGEST) == before + len(DATA)
    wait_until(lambda: mirror.metric("entrepot_cached_bytes") == size_of(image), "it is counted as before")
    assert mirror.metric("entrepot_cached_blobs") == 1 + len(image.blobs)
    assert scrub(mirror).returncode == 0


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_running_mirror_finds_damage(entrepot, upstream, image, damage):
    mirror = filled(entrepot, upstream, image)
    damage(mirror.path_of(DIGEST))
    done = scrub(mirror)
    assert done.returncode == 1, done
    assert f"{DIGEST} is damaged: taken out; it will be fetched again on demand" in done.stdout.splitlines()
    assert "3 of 3 blobs" in done.stdout and "1 damaged" in done.stdout and done.stderr == ""
    assert not mirror.path_of(DIGEST).is_symlink() and not mirror.holds(DIGEST)
    assert mirror.metric("entrepot_damaged_blobs_total") == 1
    assert mirror.metric("entrepot_cached_blobs") == len(image.blobs)
    (line,) = mirror.log(event="damage")
    assert (line["level"], line["digest"]) == ("error", DIGEST) and line["path"] and line["why"]
    assert_healed(mirror, upstream, image)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_cache_at_rest_is_scrubbed_by_the_command_itself(entrepot, upstream, image, damage):
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    damage(mirror.path_of(DIGEST))
    done = scrub(mirror)
    assert done.returncode == 1, done
    assert f"{DIGEST} is damaged: taken out; it will be fetched again on demand" in done.stdout.splitlines()
    (line,) = map(json.loads, done.stderr.splitlines())  # the log, beside the report
    assert (line["event"], line["digest"]) == ("damage", DIGEST)
    assert scrub(mirror).returncode == 0
    mirror.start()
    assert mirror.metric("entrepot_cached_blobs") == len(image.blobs)
    assert_healed(mirror, upstream, image)


def test_every_byte_of_a_sound_cache_is_read(entrepot, upstream):
    image = upstream.add(
        blob_image(*(noise(size, size) for size in (1, 4095, 4096, MiB - 1, MiB, MiB + 1, 3 * MiB + 5))), "library/x", "1"
    )
    mirror = filled(entrepot, upstream, image)
    empty = upstream.add_blob("library/x", b"")
    assert mirror.get(f"/v2/library/x/blobs/{empty}").body == b""
    mirror.wait_held(empty)
    count = 2 + len(image.blobs)
    wait_until(lambda: mirror.metric("entrepot_cached_blobs") == count, "all of it is recorded")
    done = scrub(mirror)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{count} of {count} blobs, {size_of(image)} bytes" in done.stdout and "all sound" in done.stdout
    assert mirror.metric("entrepot_scrubbed_blobs_total") == count
    assert mirror.metric("entrepot_scrubbed_bytes_total") == size_of(image)
    mirror.stop()
    done = scrub(mirror)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{count} of {count} blobs, {size_of(image)} bytes" in done.stdout and "all sound" in done.stdout


def test_many_are_counted_and_a_hundred_are_named(entrepot, upstream):
    mirror = entrepot(upstream, **FAST)
    digests = [upstream.add_blob("library/x", noise(1000, seed)) for seed in range(120)]
    for digest in digests:
        assert mirror.get(f"/v2/library/x/blobs/{digest}", keep=False).sha256 == digest
    wait_until(lambda: mirror.metric("entrepot_cached_blobs") == 120, "all of it is recorded")
    for digest in digests:
        flip(mirror.path_of(digest), 7)
    done = scrub(mirror)
    assert done.returncode == 1 and "and 20 more" in done.stdout
    assert done.stdout.count("is damaged: taken out") == 100
    assert mirror.metric("entrepot_damaged_blobs_total") == 120
    assert mirror.metric("entrepot_cached_blobs") == mirror.metric("entrepot_cached_bytes") == 0
    report = ask(mirror)
    assert report["damaged"] == 120 and len(report["digests"]) == 100 and set(report["digests"]) < set(digests)


def test_a_damaged_manifest_is_fetched_again(entrepot, upstream, image):
    mirror = filled(entrepot, upstream, image)
    flip(mirror.path_of(image.digest), 10)
    assert scrub(mirror).returncode == 1
    mirror.pull("library/x", "1")


@pytest.mark.parametrize("damage", [DAMAGES["a flipped bit"], DAMAGES["truncated"]], ids=["flipped", "truncated"])
@pytest.mark.parametrize("interval", ["30d", "0s"])
def test_what_was_adopted_without_a_record_is_checked_unasked(entrepot, upstream, image, damage, interval):
    """The index is lost: nothing but a name says that a file is whole. That is looked into by itself."""
    mirror = filled(entrepot, upstream, image, scrub_interval=interval)
    mirror.stop()
    shutil.rmtree(mirror.cache / "index")
    damage(mirror.path_of(DIGEST))
    mirror.start()
    wait_until(lambda: mirror.metric("entrepot_damaged_blobs_total") == 1, "the damage was noticed", 60)
    wait_until(lambda: mirror.metric("entrepot_scrubbed_blobs_total") >= 2, "and the sound ones were read", 60)
    wait_until(lambda: mirror.get(BLOB, keep=False).sha256 == DIGEST, "it is right again")


def test_each_blob_is_checked_every_scrub_interval(entrepot, upstream, image):
    mirror = filled(entrepot, upstream, image, scrub_interval="30d")
    flip(mirror.path_of(DIGEST))
    mirror.stop()
    mirror.start(clock="+31d")
    wait_until(lambda: mirror.metric("entrepot_damaged_blobs_total") == 1, "the damage was noticed", 60)
    wait_until(lambda: mirror.log(event="scrub"), "the pass is over", 60)
    (line,) = mirror.log(event="scrub")
    assert (line["blobs"], line["damaged"], line["unchecked"]) == (3, 1, 0)


def test_readers_of_a_damaged_blob_are_cut_short(entrepot, upstream):
    """Some in the middle of it, one per serve loop and more: none gets all of it; who comes next gets the right one."""
    data = noise(48 * MiB, 7)
    digest = digest_of(data)
    upstream.add(blob_image(data), "library/x", "1")
    mirror = entrepot(upstream, **FAST)
    mirror.get(MANIFEST)
    target = f"/v2/library/x/blobs/{digest}"
    assert mirror.get(target, keep=False).sha256 == digest
    mirror.wait_held(digest)
    readers = [mirror.connect(receive_buffer=4096) for _ in range(8)]
    try:
        for number, reader in enumerate(readers):
            reader.request("GET", target, {"Range": f"bytes={number}-"} if number % 2 else {})
            reader.head()
            reader.read(1000)
        wait_until(lambda: mirror.metric("entrepot_cached_blobs") == 2, "it is recorded")
        flip(mirror.path_of(digest), 40 * MiB)
        report = scrub_by_post(mirror)
        assert (report["damaged"], report["digests"]) == (1, [digest])
        before = upstream.body_bytes(digest)
        assert mirror.get(target, keep=False).sha256 == digest
        assert upstream.body_bytes(digest) == before + len(data)
        for reader in readers:
            reply = reader.drain()
            assert reply.end == "fin" and reply.received < len(data) - len(readers), reply
        assert mirror.metric("entrepot_requests_cut_total", reason="DAMAGED") == len(readers)
    finally:
        for reader in readers:
            reader.close()


def test_a_request_that_waits_while_its_blob_is_taken_out_begins_again(entrepot, upstream, image):
    """Found whole, then its repository has to be confirmed; when it is, the blob has gone. It gets the next one."""
    mirror, gate = filled(entrepot, upstream, image).restart(), Gate()
    upstream.add_blob("library/y", DATA)
    upstream.on("GET", f"library/y/blobs/{DIGEST}", times=1, head_gate=gate)
    clients = Threads(1, lambda _: mirror.get(f"/v2/library/y/blobs/{DIGEST}", keep=False))
    gate.wait_reached()
    flip(mirror.path_of(DIGEST))
    assert scrub_by_post(mirror)["damaged"] == 1
    gate.open()
    (reply,) = clients.join()
    assert (reply.status, reply.sha256) == (200, DIGEST)


def test_a_file_that_ends_while_it_is_sent_is_taken_out(entrepot, upstream):
    """No scrub is asked for: the reader that stumbles over it is cut short, and has it looked into."""
    data = noise(48 * MiB, 7)
    digest = upstream.add_blob("library/x", data)
    mirror = entrepot(upstream, scrub_rate="4KiB", scrub_interval="0s")
    target = f"/v2/library/x/blobs/{digest}"
    assert mirror.get(target, keep=False).sha256 == digest
    mirror.wait_held(digest)
    wait_until(lambda: mirror.metric("entrepot_cached_blobs") == 1, "it is recorded")
    with mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", target)
        reader.head()
        reader.read(1000)
        os.truncate(mirror.path_of(digest), 40 * MiB)
        reply = reader.drain()
        assert reply.end == "fin" and reply.received <= 40 * MiB
    assert mirror.metric("entrepot_requests_cut_total", reason="DISK_FAILED") == 1
    wait_until(lambda: mirror.metric("entrepot_damaged_blobs_total") == 1, "it was taken out")
    assert mirror.get(target, keep=False).sha256 == digest


def test_the_rate_is_kept(entrepot, upstream, image):
    """By the report's own clock: so many bytes cannot have taken less."""
    mirror = filled(entrepot, upstream, image, scrub_rate="8MiB")
    report = scrub_by_post(mirror)
    assert report["rate"] == 8 * MiB
    assert report["bytes"] == report["bytes_total"] == size_of(image)
    assert report["seconds"] >= (report["bytes"] - MiB) / report["rate"]


def test_reading_is_idle_and_nothing_else_is(entrepot, upstream):
    """Who reads takes only what processor nobody wants; who holds locks is scheduled as everybody else."""
    mirror = entrepot(upstream)

    def policies():
        tasks = Path(f"/proc/{mirror.process.pid}/task").iterdir()
        fields = [(task / "stat").read_text().rpartition(")") for task in tasks]
        return {head.partition("(")[2]: int(rest.split()[38]) for head, _, rest in fields}

    wait_until(lambda: policies().get("scrub-read") == os.SCHED_IDLE, "the reader is idle")
    wait_until(lambda: "scrub" in policies(), "the other one has given itself its name, too")
    assert {policy for name, policy in policies().items() if name != "scrub-read"} == {os.SCHED_OTHER}


def slow_scrub(entrepot, upstream, image):
    """One that would take hours, and has begun."""
    mirror = filled(entrepot, upstream, image, scrub_rate="1KiB")
    ask(mirror, "POST")
    wait_until(lambda: ask(mirror)["bytes"] >= MiB, "the scrub has begun")
    return mirror


def test_a_scrub_does_not_delay_the_end(entrepot, upstream, image):
    mirror = slow_scrub(entrepot, upstream, image)
    mirror.stop()
    assert scrub(mirror).returncode == 0


def test_a_second_one_joins_the_first(entrepot, upstream, image):
    mirror = slow_scrub(entrepot, upstream, image)
    first = ask(mirror)
    second = ask(mirror, "POST")
    assert second["started"] == first["started"] and second["bytes"] >= first["bytes"]
    assert second["state"] == "running" and second["blobs_total"] == 3


def test_a_suspect_does_not_wait_for_a_slow_scrub(entrepot, upstream, image):
    mirror = slow_scrub(entrepot, upstream, image)
    (config,) = (digest for digest in image.blobs if digest != DIGEST)
    target = f"/v2/library/x/blobs/{config}"
    os.truncate(mirror.path_of(config), 1)
    wait_until(lambda: mirror.get(target, keep=False).sha256 == config, "it was taken out and fetched again")
    assert mirror.metric("entrepot_damaged_blobs_total") == 1 and ask(mirror)["state"] == "running"


def test_what_is_asked_for_goes_before_what_is_due(entrepot, upstream, image):
    """All of it is due, at a rate that takes hours: the command's scrub is of everything, from its own beginning."""
    mirror = filled(entrepot, upstream, image)
    mirror.stop()
    shutil.rmtree(mirror.cache / "index")
    mirror.settings["scrub_rate"] = "1KiB"
    mirror.start()
    wait_until(lambda: mirror.metric("entrepot_scrubbed_bytes_total") > 0, "what is due is being read", 60)
    assert ask(mirror)["state"] == "never"
    ask(mirror, "POST")
    report = wait_until(lambda: (report := ask(mirror))["blobs_total"] == 3 and report, "everything is listed")
    assert report["bytes_total"] == size_of(image)


def test_scrubs_beside_evictions(entrepot, upstream):
    """Blobs come and go while all of them are read again and again: nothing sound is taken for damaged."""
    blobs = [upstream.add_blob("library/x", noise(2 * MiB, seed)) for seed in range(12)]
    mirror = entrepot(upstream, cache_size="10MiB", **FAST)

    def pull(number):
        for digest in blobs[number::3] * 4:
            target = f"/v2/library/x/blobs/{digest}"
            wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there was room for it", 60)

    pullers = Threads(3, pull)
    reports = []
    while any(thread.is_alive() for thread in pullers.threads):
        reports.append(scrub_by_post(mirror))
    pullers.join()

    def agrees():
        reports.append(scrub_by_post(mirror))
        return reports[-1]["blobs"] == reports[-1]["blobs_total"] == mirror.metric("entrepot_cached_blobs")

    wait_until(agrees, "what is counted is what is there, when nothing comes or goes")
    assert all((report["damaged"], report["unchecked"]) == (0, 0) for report in reports), reports
    assert mirror.metric("entrepot_damaged_blobs_total") == 0
    assert mirror.metric("entrepot_evicted_blobs_total") > 0


def test_damage_beside_readers_and_scrubs(entrepot, upstream):
    """Damage again and again under many readers: each ends, whole or short, and in the end all is right."""
    blobs = [upstream.add_blob("library/x", noise(3 * MiB, seed)) for seed in range(4)]
    mirror, rounds = entrepot(upstream, **FAST), 12

    def read(number):
        for turn in range(6 * rounds):
            digest = blobs[(number + turn) % len(blobs)]
            reply = mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)
            assert reply.status == 200, reply
            assert reply.end == "fin" or reply.received == 3 * MiB, reply

    readers = Threads(4, read)
    for turn in range(rounds):
        path = mirror.path_of(blobs[turn % len(blobs)])
        mirror.get(f"/v2/library/x/blobs/{blobs[turn % len(blobs)]}", keep=False)
        wait_until(path.exists, "it lies there again", 60)
        try:
            flip(path, MiB) if turn % 2 else os.truncate(path, MiB)
        except OSError:
            pass  # taken out this moment
        scrub_by_post(mirror)
    readers.join()
    for digest in blobs:
        mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)
    wait_until(lambda: mirror.metric("entrepot_cached_blobs") == len(blobs), "all of them are recorded", 60)
    wait_until(lambda: scrub_by_post(mirror)["damaged"] == 0, "all is sound in the end", 60)
    for digest in blobs:
        assert mirror.get(f"/v2/library/x/blobs/{digest}", keep=False).sha256 == digest
    assert mirror.metric("entrepot_damaged_blobs_total") >= rounds // 2


# -- a disk that cannot give its bytes


class BadDisk:
    """Compiled into a library that the mirror preloads; from BAD_AT on, what was broken cannot be read."""

    BAD_AT = 5 * MiB

    def __init__(self, directory):
        self.inodes, self.library = directory / "inodes", directory / "badsector.so"
        source = ROOT / "tests/e2e/harness/badsector.c"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)
        self.variables = {
            "LD_PRELOAD": str(self.library),
            "BADSECTOR_AT": str(self.BAD_AT),
            "BADSECTOR_INODES": str(self.inodes),
        }

    def breaks(self, *paths):
        self.inodes.write_text("".join(f" {path.stat().st_ino} " for path in paths))


@pytest.fixture
def bad_disk(tmp_path, monkeypatch):
    if is_sanitized():
        pytest.skip("the preloaded library must come after the sanitizer's")
    disk, known = BadDisk(tmp_path), harness.entrepot.environment
    monkeypatch.setattr(harness.entrepot, "environment", lambda: {**known(), **disk.variables})
    return disk


@pytest.mark.skipif(not shutil.which("gcc"), reason="a bad disk is compiled")
@pytest.mark.parametrize("at_rest", [False, True], ids=["running", "at rest"])
def test_what_the_disk_cannot_read_is_taken_out(entrepot, upstream, image, bad_disk, at_rest):
    mirror = filled(entrepot, upstream, image)
    bad_disk.breaks(mirror.path_of(DIGEST))
    if at_rest:
        mirror.stop()
    done = scrub(mirror)
    assert done.returncode == 1 and f"{DIGEST} is damaged" in done.stdout, done
    if at_rest:
        mirror.start()
    assert not mirror.holds(DIGEST)
    bad_disk.breaks()  # the new file may get the number of the old one
    assert_healed(mirror, upstream, image)


@pytest.mark.skipif(not shutil.which("gcc"), reason="a bad disk is compiled")
def test_a_file_that_cannot_be_read_while_it_is_sent_is_taken_out(entrepot, upstream, image, bad_disk):
    """Up to the bad place the reader gets it, then it is cut short; the next one gets a new copy, all of it."""
    mirror = filled(entrepot, upstream, image)
    bad_disk.breaks(mirror.path_of(DIGEST))
    reply = mirror.get(BLOB, keep=False)
    assert (reply.status, reply.end, reply.received) == (200, "fin", bad_disk.BAD_AT)
    assert mirror.metric("entrepot_requests_cut_total", reason="DISK_FAILED") == 1
    assert mirror.metric("entrepot_clients_gone_total") == 0
    wait_until(lambda: mirror.metric("entrepot_damaged_blobs_total") == 1, "it was taken out")
    bad_disk.breaks()  # the new file may get the number of the old one
    assert_healed(mirror, upstream, image)


@pytest.mark.skipif(not shutil.which("gcc"), reason="a bad disk is compiled")
def test_of_a_layers_files_the_one_that_cannot_be_read_is_taken_out(entrepot, hub, bad_disk):
    """Its last bytes and the next file's first go out in one call: the next one is sound, and stays."""
    files = {"a.bin": noise(bad_disk.BAD_AT + MiB // 2, 1), "b.txt": noise(200_000, 2)}
    hub.add("Org/Model", files)
    mirror = entrepot({"hf": hub.url})
    (layer,) = Image(mirror, "hf/org/model").layers
    bad, good = map(digest_of, files.values())
    mirror.wait_held(bad, good)
    bad_disk.breaks(mirror.path_of(bad))
    target = f"/v2/hf/org/model/blobs/{layer['digest']}"
    reply = mirror.get(target, keep=False)
    assert (reply.status, reply.end) == (200, "fin") and MiB < reply.received < layer["size"]
    wait_until(lambda: not mirror.holds(bad), "it was taken out")
    assert mirror.holds(good) and mirror.metric("entrepot_damaged_blobs_total") == 1
    bad_disk.breaks()
    assert mirror.get(target, keep=False).sha256 == layer["digest"]


@pytest.mark.skipif(not shutil.which("gcc"), reason="a bad disk is compiled")
def test_a_scrub_gives_up_on_an_ill_disk(entrepot, upstream, bad_disk):
    """When nothing can be read, it is not the blobs: three are taken out, and the rest is left."""
    image = upstream.add(blob_image(*(noise(6 * MiB, seed) for seed in range(6))), "library/x", "1")
    mirror = filled(entrepot, upstream, image)
    layers = [digest for digest, data in image.blobs.items() if len(data) > bad_disk.BAD_AT]
    bad_disk.breaks(*map(mirror.path_of, layers))
    done = scrub(mirror)
    assert done.returncode == 1 and "given up" in done.stdout, done
    assert 0 < sum(map(mirror.holds, layers)) <= 3  # a small one, sound, may come between them
    assert mirror.log(event="scrub", level="error")


# -- the admin address


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_405(entrepot, upstream, method):
    mirror = entrepot(upstream)
    reply = fetch(mirror.admin, "/scrub", method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, POST")
    assert ask(mirror)["state"] == "never"


def test_post_is_for_scrub_only(entrepot, upstream):
    mirror = entrepot(upstream)
    for target in ("/metrics", "/healthz", "/readyz", "/", "/scrub/", "/scrub/x", "/scrubs"):
        reply = fetch(mirror.admin, target, "POST")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD"), target
    assert fetch(mirror.address, "/scrub", "POST").status in (404, 405)
    assert ask(mirror)["state"] == "never"


def test_a_body_is_no_hindrance(entrepot, upstream):
    """It is not read; the connection ends behind the answer. Without one it is kept."""
    mirror = entrepot(upstream)
    assert fetch(mirror.admin, "/scrub", "POST", body=b"x" * 200000).status == 200
    with Connection(mirror.admin) as connection:
        for method in ("POST", "GET", "HEAD", "POST"):
            connection.request(method, "/scrub")
            assert connection.head().status == 200
            connection.drain()
        connection.request("POST", "/scrub?now", body=b"{}")
        assert connection.head().status == 200
        connection.drain()
        assert connection.at_end()
    wait_until(lambda: ask(mirror)["state"] == "over", "it went on")


# -- the command


def test_the_command_says_what_is_in_its_way(entrepot, upstream, image, tmp_path):
    mirror, other = filled(entrepot, upstream, image), entrepot(upstream)
    for admin, part in (
        (("127.0.0.1", 1), "does not answer"),
        (upstream.address, "no Entrepot's admin address"),
        (mirror.address, "no Entrepot's admin address"),
        (other.admin, "uses another cache"),
    ):
        done = run_command("scrub", "--cache", mirror.cache, "--admin", "%s:%d" % admin)
        assert done.returncode == 3 and done.stdout == "" and part in done.stderr, done
        assert str(mirror.cache) in done.stderr and "--admin" in done.stderr
    assert ask(other)["state"] == ask(mirror)["state"] == "never"


def test_the_command_makes_no_cache(tmp_path):
    done = run_command("scrub", "--cache", tmp_path / "typo")
    assert done.returncode == 3 and "there is no cache" in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_when_the_mirror_does(entrepot, upstream, image):
    mirror = slow_scrub(entrepot, upstream, image)
    commands = Threads(1, lambda _: scrub(mirror))
    wait_until(lambda: mirror.metric("entrepot_requests_total", method="other", kind="admin") >= 2, "it has asked")
    mirror.kill()
    (done,) = commands.join()
    assert done.returncode == 3 and done.stderr and done.stdout == ""


def test_usage(tmp_path):
    assert run_command("scrub", "--nonsense").returncode == 2
    assert "entrepot scrub" in run_command("scrub", "--help").stdout
