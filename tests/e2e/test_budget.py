"""cache_size: least recently used complete blobs go, open ones stay readable."""

import pytest

from harness.images import blob_image
from harness.util import MiB, digest_of, let_pass, noise, wait_until

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
    assert mirror.metric("entrepot_cached_bytes") <= 10 * MiB == mirror.metric("entrepot_cache_budget_bytes")
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
    reply = mirror.get(f"/v2/library/x/blobs/{digest_of(large)}", keep=False)
    assert reply.status == 503 or (reply.status == 200 and reply.sha256 == digest_of(large))
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
