"""cache_size: least recently used complete blobs go, open ones stay readable."""

import os
import subprocess

import pytest

from harness.entrepot import Entrepot
from harness.images import blob_image
from harness.util import MiB, Threads, digest_of, let_pass, noise, wait_until

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
    mirror = entrepot(upstream, cache_size="32MiB")
    mirror.get("/v2/library/x/manifests/1")
    blob = f"/v2/library/x/blobs/{digest_of(big)}"
    with mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", blob)
        reader.head()
        first = reader.read(1000)
        mirror.wait_held(digest_of(big))
        for data in others:
            assert mirror.get(f"/v2/library/x/blobs/{digest_of(data)}", keep=False).sha256 == digest_of(data)
        assert first + reader.read(len(big)) == big
    wait_until(lambda: on_disk(mirror) <= 32 * MiB, "the cache is within its budget")


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
    assert any("larger than the whole cache" in line["message"] for line in mirror.log(event="evict", level="error"))
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


def test_never_more_than_the_budget_lies_on_the_disk(entrepot, upstream):
    """Many at once, each of which fits, and all of which do not: whenever one looks, it is within the budget."""
    blobs = [upstream.add_blob("library/x", noise(3 * MiB, seed)) for seed in range(24)]
    mirror, looks = entrepot(upstream, cache_size="16MiB"), []

    def blocks(path):
        try:
            return path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0  # it went while we looked

    def look():
        looks.append(sum(blocks(path) for part in ("blobs", "partial") for path in mirror.cache.glob(f"{part}/**/*")))
        return len(looks) > 3 and all(not thread.is_alive() for thread in pullers.threads)

    def pull(number):
        for digest in blobs[number::4]:
            wait_until(
                lambda: mirror.get(f"/v2/library/x/blobs/{digest}", keep=False).sha256 == digest, "it was there", 60
            )

    pullers = Threads(4, pull)
    wait_until(look, "all were pulled", 60)
    pullers.join()
    assert max(looks) <= 16 * MiB + MiB, max(looks)  # and the folders themselves


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_recovers(upstream, tmp_path):
    """A disk smaller than the budget: blobs go for others until it has room, and those that lie there are served."""
    blobs = [upstream.add_blob("library/x", noise(5 * MiB, seed)) for seed in range(12)]
    mirror = Entrepot(tmp_path / "entrepot", {"docker.io": upstream.url}, cache_size="100MiB")
    mirror.cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", mirror.cache], check=True)
    try:
        mirror.start()
        for digest in (*blobs, *blobs):
            target = f"/v2/library/x/blobs/{digest}"
            wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there is room for it")
        assert mirror.metric("entrepot_evicted_blobs_total") >= 12
    finally:
        mirror.close()
        subprocess.run(["umount", "--lazy", mirror.cache], check=True)
