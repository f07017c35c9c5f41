"""cache_size: what is least worth keeping goes, open blobs stay readable, and no more lies on the disk."""

import os
import random
import subprocess
import threading

import pytest

from harness.entrepot import Entrepot
from harness.images import blob_image
from harness.util import ROOT, Gate, MiB, Threads, digest_of, let_pass, noise, wait_until

LAYERS = [noise(3 * MiB, seed) for seed in range(8)]
DIGESTS = [digest_of(layer) for layer in LAYERS]


def target(number):
    return f"/v2/library/x/blobs/{DIGESTS[number]}"


@pytest.fixture
def mirror(entrepot, upstream):
    """Room for three of the layers."""
    upstream.add(blob_image(*LAYERS), "library/x", "1")
    mirror = entrepot(upstream, cache_size="10MiB")
    mirror.get("/v2/library/x/manifests/1")
    return mirror


def get(mirror, number):
    reply = mirror.get(target(number), keep=False)
    assert reply.sha256 == DIGESTS[number]
    return reply


def on_disk(mirror):
    return sum(path.stat().st_size for path in mirror.cache.glob("blobs/**/*") if path.is_file())


def test_the_cache_stays_within_its_budget(mirror, upstream):
    """Eight layers through room for three; what was evicted is fetched again, and right."""
    for number in (*range(8), *range(8)):
        get(mirror, number)
        wait_until(lambda: on_disk(mirror) <= 10 * MiB, "the cache is within its budget")
    assert mirror.metric("entrepot_cache_budget_bytes") == 10 * MiB
    wait_until(lambda: mirror.metric("entrepot_cached_bytes") <= 10 * MiB, "the metric says so too")
    assert mirror.metric("entrepot_evicted_blobs_total") >= 5
    assert mirror.metric("entrepot_evicted_bytes_total") >= 5 * 3 * MiB


def test_the_least_recently_used_goes(mirror, upstream):
    """0, 1, 2, then 0 again, then 3: it is 1 that goes."""
    for number in (0, 1, 2, 0):
        get(mirror, number)
        mirror.wait_held(DIGESTS[number])
        let_pass(1.1)  # uses are kept to the second
    get(mirror, 3)
    wait_until(lambda: not mirror.holds(DIGESTS[1]), "1 is gone")
    assert mirror.holds(DIGESTS[0]) and mirror.holds(DIGESTS[2])


def test_a_manifest_outlives_its_layers(mirror, upstream):
    """Nothing of the index dangles: the tag is still answered, and the evicted layer is fetched again."""
    for number in range(8):
        get(mirror, number)
    wait_until(lambda: not mirror.holds(DIGESTS[0]), "0 is gone")
    assert mirror.get("/v2/library/x/manifests/1").status == 200
    get(mirror, 0)


def test_an_open_blob_stays_readable(entrepot, upstream):
    """A slow reader in the middle of a blob while the cache overflows: evicted or spared, it gets every byte."""
    big, others = noise(24 * MiB, 99), [noise(8 * MiB, seed) for seed in range(4)]
    upstream.add(blob_image(big, *others), "library/x", "1")
    mirror = entrepot(upstream, cache_size="33MiB")
    mirror.get("/v2/library/x/manifests/1")
    blob = f"/v2/library/x/blobs/{digest_of(big)}"
    with mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", blob)
        reader.head()
        first = reader.read(1000)
        mirror.wait_held(digest_of(big))
        for digest in map(digest_of, others):  # the one before may still be in use by its fill
            path = f"/v2/library/x/blobs/{digest}"
            wait_until(lambda: mirror.get(path, keep=False).sha256 == digest, "there is room for it")
        assert first + reader.read(len(big)) == big
    wait_until(lambda: on_disk(mirror) <= 33 * MiB, "the cache is within its budget")


def test_a_blob_larger_than_the_cache_is_refused_clearly(entrepot, upstream):
    """503, so that the client goes on to its next host; and nothing else is evicted for it."""
    small, large = noise(MiB), noise(20 * MiB)
    upstream.add(blob_image(small, large), "library/x", "1")
    mirror = entrepot(upstream, cache_size="8MiB")
    mirror.get("/v2/library/x/manifests/1")
    assert mirror.get(f"/v2/library/x/blobs/{digest_of(small)}", keep=False).sha256 == digest_of(small)
    mirror.wait_held(digest_of(small))
    target = f"/v2/library/x/blobs/{digest_of(large)}"
    reply = mirror.get(target)
    assert reply.status == 503 and "cache_size" in reply.json["errors"][0]["message"]
    assert not upstream.seen("GET", digest_of(large))  # its manifest told its size
    said = lambda: [line["message"] for line in mirror.log(event="evict", level="error")]  # by a thread of its own
    wait_until(lambda: any("larger than the whole cache" in message for message in said()), "the log says so")
    part = mirror.get(target, headers={"Range": "bytes=5000000-5000009"})
    assert part.status == 206 and part.body == large[5000000:5000010]
    assert mirror.holds(digest_of(small))


def test_a_smaller_budget_after_a_restart(entrepot, upstream):
    """It is kept from the start, not from the next fill."""
    upstream.add(blob_image(*LAYERS), "library/x", "1")
    mirror = entrepot(upstream)
    mirror.pull("library/x", "1")
    mirror.wait_held(*DIGESTS)
    mirror.settings["cache_size"] = "10MiB"
    mirror.restart()
    wait_until(lambda: on_disk(mirror) <= 10 * MiB, "the cache is within its budget")


def partial_files(mirror):
    return [path for path in mirror.cache.glob("partial/**/*") if path.is_file()]


def test_what_the_upstream_does_not_know_leaves_no_file(entrepot, upstream):
    """Fifty digests that are not there: fifty 404, and nothing under partial/."""
    mirror = entrepot(upstream)
    for number in range(50):
        assert mirror.get(f"/v2/library/x/blobs/{digest_of(b'%d' % number)}").status == 404
    wait_until(lambda: not partial_files(mirror), "nothing is left")


def test_broken_fills_stay_within_the_budget(entrepot, upstream):
    """What came of a blob is kept to go on from, and counts: ten of 4 MiB in a cache of 10 MiB."""
    mirror = entrepot(upstream, cache_size="10MiB", fill_tries=1)
    for seed in range(10):
        digest = upstream.add_blob("library/x", noise(5 * MiB, seed))
        upstream.on("GET", digest, cut=4 * MiB)
        assert mirror.get(f"/v2/library/x/blobs/{digest}", keep=False).end != "complete"
    assert mirror.metric("entrepot_fills_failed_total") == 10

    def on_the_disk():
        return sum(path.stat().st_blocks * 512 for path in partial_files(mirror)) + on_disk(mirror)

    wait_until(lambda: on_the_disk() <= 10 * MiB, "the partial files are within the budget")


def test_when_all_is_in_use_new_bytes_get_503_and_cached_ones_are_served(entrepot, upstream):
    """A blob that is being read is never evicted; what finds no room falls through before its first byte."""
    big, small = noise(8 * MiB, 1), noise(5 * MiB, 2)
    upstream.add(blob_image(big, small), "library/x", "1")
    mirror = entrepot(upstream, cache_size="10MiB")
    mirror.get("/v2/library/x/manifests/1")
    target = f"/v2/library/x/blobs/{digest_of(big)}"
    with mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", target)
        reader.head()
        reader.read(1000)
        mirror.wait_held(digest_of(big))
        reply = mirror.get(f"/v2/library/x/blobs/{digest_of(small)}")
        assert reply.status == 503 and "cache_size" in reply.json["errors"][0]["message"]
        assert not upstream.seen("GET", digest_of(small))
        assert mirror.get(target, keep=False).sha256 == digest_of(big)
    wait_until(
        lambda: mirror.get(f"/v2/library/x/blobs/{digest_of(small)}", keep=False).sha256 == digest_of(small),
        "there is room when nobody reads",
    )
    wait_until(lambda: not mirror.holds(digest_of(big)), "the other one went for it")


def replayed(trace, budget):
    """The row of bench/eviction's table for that budget: shares of requests and bytes, by LRU and by Entrepot."""
    command = [ROOT / "bench" / "eviction", "--trace", trace, "--budgets", budget]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines()]
    return next(row[4:8] for row in rows if len(row) > 2 and row[2] == f"{budget} %")


def test_the_log_can_be_replayed_through_the_order_of_eviction(entrepot, upstream, tmp_path):
    """bench/eviction reads the log as it is: three hits in five, with all that was asked for in the cache."""
    upstream.add(blob_image(LAYERS[0]), "library/x", "1")
    mirror = entrepot(upstream)
    for _ in range(2):
        assert mirror.get("/v2/library/x/manifests/1").status == 200
        get(mirror, 0)
    assert mirror.get(target(0), headers={"Range": "bytes=5-9"}).status == 206
    wait_until(lambda: len(mirror.log(event="request", method="GET")) == 5, "all are logged")
    assert replayed(mirror.out, "200") == ["60.0%", "60.0%", "50.0%", "50.0%"]
    # By hand: the small one is older than the large ones, and Entrepot keeps it.
    words = tmp_path / "words"
    words.write_text("0 small 9000\n1 a 5000000\n2 b 5000000\n3 c 5000000\n4 small 9000\n")
    assert replayed(words, "70") == ["0.0%", "20.0%", "0.0%", "0.1%"]


@pytest.fixture
def small_disk(upstream, tmp_path):
    """Makes an Entrepot whose cache is a disk of its own, which tells at one look how much of it is taken."""
    if os.geteuid() != 0:
        pytest.skip("mounts a small disk")
    mirrors = []

    def make(size, **settings):
        mirrors.append(Entrepot(tmp_path / "entrepot", {"docker.io": upstream.url}, **settings))
        mirrors[0].cache.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mirrors[0].cache], check=True)
        mirrors[0].start()
        return mirrors[0]

    yield make
    for mirror in mirrors:
        mirror.close()
        subprocess.run(["umount", "--lazy", mirror.cache], check=True)


def taken(folder):
    """All that lies there: the index, too, and what was unlinked and is open."""
    disk = os.statvfs(folder)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


class Sampler:
    """Looks again and again, and keeps the most that it saw."""

    def __init__(self, mirror):
        self.most, self.looks, self.over = 0, 0, threading.Event()
        self.threads = Threads(1, lambda _: self.run(mirror.cache))

    def run(self, folder):
        while not self.over.wait(0.0005):
            self.most, self.looks = max(self.most, taken(folder)), self.looks + 1

    def stop(self):
        self.over.set()
        self.threads.join()
        assert self.looks > 10
        return self.most


def pull_all(mirror, wanted, threads):
    """Each blob whole, or a range of it; who finds no room comes again."""

    def there(digest, data, part):
        headers = {"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {}
        reply = mirror.get(f"/v2/library/x/blobs/{digest}", headers=headers)
        return reply.status in (200, 206) and reply.body == (data[part[0] : part[1]] if part else data)

    def pull(number):
        for digest, data, part in wanted[number::threads]:
            wait_until(lambda: there(digest, data, part), "it was there", 60)

    Threads(threads, pull).join()


def test_never_more_than_the_budget_lies_on_the_disk(small_disk, upstream):
    """Many at once, each of which fits, and all of which do not: whenever one looks, it is within the budget."""
    blobs = [noise(3 * MiB, seed) for seed in range(24)]
    mirror = small_disk("64m", cache_size="16MiB")
    wanted = [(upstream.add_blob("library/x", data), data, None) for data in blobs]
    sampler = Sampler(mirror)
    pull_all(mirror, wanted, 4)
    assert 12 * MiB < sampler.stop() <= 16 * MiB, sampler.most


def test_odd_sizes_and_ranges_are_counted_in_blocks(small_disk, upstream):
    """Thousands of small blobs and scattered ranges, each of which takes more than its bytes, and the index for them."""
    chance, wanted = random.Random(7), []
    mirror = small_disk("64m", cache_size="6MiB", range_grid="4KiB")
    for number in range(1500):
        data = number.to_bytes(4, "big") + chance.randbytes(chance.choice((1, 60, 500, 4093, 5000, 9000)))
        wanted.append((upstream.add_blob("library/x", data), data, None))
    for seed in range(12):
        data = noise(MiB + 4097 * seed + 1, 1000 + seed)
        digest = upstream.add_blob("library/x", data)
        for _ in range(60):
            start = chance.randrange(len(data) - 600)
            wanted.append((digest, data, (start, start + chance.randrange(1, 600))))
        wanted.append((digest, data, None))
    chance.shuffle(wanted)
    sampler = Sampler(mirror)
    pull_all(mirror, wanted, 6)
    assert 4 * MiB < sampler.stop() <= 6 * MiB, sampler.most
    assert mirror.metric("entrepot_evicted_blobs_total") > 500
    wait_until(lambda: taken(mirror.cache) <= mirror.metric("entrepot_cache_used_bytes"), "the metric says so too")


def test_a_killed_fill_leaves_no_more_than_is_counted(small_disk, upstream):
    """What was written and not recorded is given back at the start: the budget holds after a kill too."""
    mirror = small_disk("64m", cache_size="16MiB", checkpoint="512MiB")
    data, gate = noise(12 * MiB, 5), Gate()
    digest = upstream.add_blob("library/x", data)
    assert mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": "bytes=0-9"}).status == 206
    mirror.restart()  # so much is recorded
    upstream.on("GET", digest, times=1, hold=(11 * MiB, gate))
    with mirror.connect() as reader:
        reader.request("GET", f"/v2/library/x/blobs/{digest}")
        reader.head()
        assert reader.read(10 * MiB) == data[: 10 * MiB]  # less than a checkpoint: no more is recorded
        mirror.kill()
    gate.open()
    mirror.start()
    assert MiB <= taken(mirror.cache) < 2 * MiB
    sampler = Sampler(mirror)
    blobs = [noise(3 * MiB, seed) for seed in range(9)]
    pull_all(mirror, [(upstream.add_blob("library/x", blob), blob, None) for blob in blobs], 2)
    assert sampler.stop() <= 16 * MiB, sampler.most


def test_a_slow_fill_that_holds_all_the_room_holds_nobody_up(entrepot, upstream):
    """Its room is its own; others get 503 at once, and their upstream is not asked. Cached ones are served."""
    mirror, gate = entrepot(upstream, cache_size="10MiB"), Gate()
    slow, other, small = noise(8 * MiB, 1), noise(4 * MiB, 2), noise(1000, 3)
    digests = [upstream.add_blob("library/x", data) for data in (slow, other, small)]
    paths = [f"/v2/library/x/blobs/{digest}" for digest in digests]
    upstream.add(blob_image(slow, other, small), "library/x", "1")
    mirror.get("/v2/library/x/manifests/1")
    assert mirror.get(paths[2]).body == small
    upstream.on("GET", digests[0], times=1, hold=(MiB, gate))
    with mirror.connect() as reader:
        reader.request("GET", paths[0])
        reader.head()
        first = reader.read(1000)
        for _ in range(20):
            reply = mirror.get(paths[1])
            assert reply.status == 503 and "cache_size" in reply.json["errors"][0]["message"]
        assert not upstream.seen("GET", digests[1])
        assert mirror.get(paths[2]).body == small
        gate.open()
        assert first + reader.read(len(slow)) == slow
    wait_until(lambda: mirror.get(paths[1]).body == other, "there is room when it has ended")


def test_an_index_that_takes_all_is_said_and_leaves_no_room(entrepot, upstream):
    """The smallest cache, and more manifests than its index has room for: 503 then, and no crash."""
    mirror = entrepot(upstream, cache_size="1MiB")
    for number in range(400):
        image = blob_image(*(b"%d %d" % (number, layer) for layer in range(20)))
        upstream.add(image, "library/x", str(number))
        status = mirror.get(f"/v2/library/x/manifests/{number}").status
        assert status in (200, 503)
        if status == 503:
            break
    assert status == 503
    wait_until(lambda: mirror.log(event="evict", level="error"), "it is said")
    assert "raise cache_size" in mirror.log(event="evict", level="error")[0]["message"]
    assert mirror.get("/v2/").status == 200


def test_a_full_disk_recovers(small_disk, upstream):
    """A disk smaller than the budget: blobs go for others until it has room, and those that lie there are served."""
    blobs = [upstream.add_blob("library/x", noise(5 * MiB, seed)) for seed in range(12)]
    mirror = small_disk("30m", cache_size="100MiB")
    for digest in (*blobs, *blobs):
        target = f"/v2/library/x/blobs/{digest}"
        wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there is room for it")
    assert mirror.metric("entrepot_evicted_blobs_total") >= 12
