"""Blobs of gigabytes, of which little or all is wanted: rows B4, B5, B13."""

import hashlib
import json
import threading

import pytest

from harness.images import OCI_MANIFEST, TYPES, blob_image
from harness.util import Gate, MiB, Threads, digest_of, in_threads, noise, wait_until

GiB = 1 << 30
SIZE = 8 * GiB
PLACES = [0, 100 * MiB + 5, 4 * GiB + 300_000, SIZE - 1024]  # the rest is zeros
DIGEST = "sha256:3ab889cb1864a5ace5ed2c2f9e37331a93a5ac70b0edc176a17c5353cefadc97"  # what is_right() finds
REPOSITORY = "library/huge"
BLOB = f"/v2/{REPOSITORY}/blobs/{DIGEST}"


def mark(place):
    return b"%016d" % place


class Huge:
    """A sparse file in docker-registry's own storage, and a manifest that names it, pushed as any other."""

    def __init__(self, registry):
        storage, hex_ = registry.directory / "docker" / "registry" / "v2", DIGEST.partition(":")[2]
        self.file = storage / "blobs" / "sha256" / hex_[:2] / hex_ / "data"
        self.file.parent.mkdir(parents=True)
        with open(self.file, "wb") as file:
            file.truncate(SIZE)
            for place in PLACES:
                file.seek(place)
                file.write(mark(place))
        link = storage / "repositories" / REPOSITORY / "_layers" / "sha256" / hex_ / "link"
        link.parent.mkdir(parents=True)
        link.write_text(DIGEST)
        config_type, layer_type = TYPES[OCI_MANIFEST]
        self.blobs = {digest_of(b"{}"): b"{}"}
        self.children, self.media_type, self.digest = [], OCI_MANIFEST, "1"
        self.data = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": config_type, "digest": digest_of(b"{}"), "size": 2},
                "layers": [{"mediaType": layer_type, "digest": DIGEST, "size": SIZE}],
            }
        ).encode()
        registry.push(self, REPOSITORY, "1")

    def is_right(self):
        with open(self.file, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == DIGEST


@pytest.fixture(scope="module")
def huge(registry):
    return Huge(registry)


@pytest.mark.soak
def test_the_digest_of_the_huge_blob_is_its_own(huge):
    """Reading 8 GiB takes some seconds, so the others take it as given."""
    assert huge.is_right()


@pytest.mark.parametrize(
    "spec, start, place, length, sent",
    [
        ("0-1", 0, 0, 2, 4096),
        (f"{4 * GiB + 299_500}-{4 * GiB + 300_523}", 4 * GiB + 299_500, 4 * GiB + 300_000, 1024, 310_000),
        ("-1024", SIZE - 1024, SIZE - 1024, 1024, MiB),
    ],
    ids=["probe", "middle", "footer"],
)
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_cold_range_of_8_gib_from_a_real_registry(entrepot, huge, proxy, known, spec, start, place, length, sent):
    """At most 1 MiB of 8 GiB crosses, and the first byte comes within two round trips, while what
    lies behind it in its cell is still on its way."""
    mirror = entrepot({"docker.io": proxy.url})
    if known:
        assert mirror.get(f"/v2/{REPOSITORY}/manifests/1").status == 200
    before, gate = len(proxy.seen()), Gate()
    proxy.on("GET", "/blobs/", hold=(sent, gate))
    with mirror.connect() as connection:
        connection.request("GET", BLOB, {"Range": f"bytes={spec}"})
        reply = connection.head()
        assert reply.status == 206, reply
        assert reply.headers["content-range"] == f"bytes {start}-{start + length - 1}/{SIZE}"
        assert reply.headers["content-length"] == str(length)
        body = connection.read(length)
    asked = proxy.seen()[before:]
    gate.open()
    expected = bytearray(length)
    expected[place - start : place - start + 16] = mark(place)[:length]
    assert body == bytes(expected)
    assert len(asked) <= 2, asked
    assert all(request.method == "GET" for request in asked), asked
    wait_until(lambda: mirror.metric("entrepot_fills_running") == 0, "the rest of the cell has come")
    whole = len(proxy.seen()[before:])
    assert whole <= 2
    most = MiB + (spec[0] == "-" and not known)  # the size of a suffix's blob costs a byte
    assert proxy.body_bytes("/blobs/") <= most
    assert mirror.metric("entrepot_upstream_body_bytes_total") - proxy.body_bytes("/manifests/") <= most
    assert mirror.get(BLOB, headers={"Range": f"bytes={spec}"}).body == body
    assert len(proxy.seen()[before:]) == whole
    (file,) = (mirror.cache / "partial").glob("*/*")
    assert file.stat().st_blocks * 512 <= 2 * MiB


CHUNK = 8 * MiB
IN_FLIGHT = 12 * MiB  # what two sockets hold


def read_chunked(mirror, target, data, workers):
    """As containerd does: each worker takes the next chunk, asks for all from there on, and leaves when it has it."""
    numbers, lock = iter(range(len(data) // CHUNK)), threading.Lock()

    def one(number):
        with mirror.connect(timeout=60) as connection:
            connection.request("GET", target, {"Range": f"bytes={number * CHUNK}-"})
            reply = connection.head()
            assert reply.status == 206, reply
            assert reply.headers["content-range"] == f"bytes {number * CHUNK}-{len(data) - 1}/{len(data)}"
            assert connection.read(CHUNK) == data[number * CHUNK : (number + 1) * CHUNK], number

    def work(_):
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            one(number)

    in_threads(workers, work, timeout=300)


@pytest.fixture(scope="module")
def layers():
    made = {}
    yield lambda size: made.setdefault(size, noise(size, 77))


@pytest.mark.parametrize("size", [128 * MiB, pytest.param(GiB, marks=pytest.mark.long)], ids=["128 MiB", "1 GiB"])
@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("connections", [1, 8])
@pytest.mark.parametrize("says", ["Accept-Ranges", "nothing"])
def test_containerds_chunks_of_a_cold_blob_cost_it_once(entrepot, upstream, layers, size, workers, connections, says):
    """B5: open-ended requests, each given up after 8 MiB: upstream bytes / size = 1.000."""
    data = layers(size)
    upstream.add(blob_image(data), "library/x", "1")
    digest = digest_of(data)
    if "Accept-Ranges" in says:
        upstream.on("GET", digest, headers=[("Accept-Ranges", "bytes")])
    mirror = entrepot(upstream, blob_connections=connections)
    mirror.get("/v2/library/x/manifests/1")
    read_chunked(mirror, f"/v2/library/x/blobs/{digest}", data, workers)
    mirror.wait_held(digest)
    requests, sent = len(upstream.seen("GET", digest)), upstream.body_bytes(digest)
    received = mirror.metric("entrepot_upstream_body_bytes_total") - upstream.body_bytes("/manifests/")
    print(f"{size // MiB} MiB, {workers} workers, {connections} connections, {says}: {requests} requests, ", end="")
    print(f"upstream bytes / size = {sent / size:.6f} sent, {received / size:.6f} received")
    if connections > 1:
        assert sent == received == size
    else:  # one request is cut where a reader waits far ahead: what was in flight then is lost
        assert received <= size + (requests - 1) * IN_FLIGHT
        assert sent <= received + (requests - 1) * IN_FLIGHT
