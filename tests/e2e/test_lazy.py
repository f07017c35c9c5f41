"""Lazy and partial pullers read layers by range: podman with enable_partial_images pulls zstd:chunked
images; stargz-snapshotter's requests are replayed on a layer that its own ctr-remote made. Each layer's
bytes come through unchanged, and cost its upstream the union of what was asked for, widened to the grid.

podman's own tests are soaks: podman 4.3 reads the parts of an answer from two goroutines, and where it is slow that
ends now and then in a panic of its multipart reader, or in files that are missing.
"""

import gzip
import io
import json
import re
import tarfile

import pytest

from harness.clients import Client, Containerd
from harness.http import fetch
from harness.images import ALL_TYPES, flatten, image_of, layer_of, tar_image
from harness.upstream import CountingProxy
from harness.util import MiB, digest_of, in_threads, noise, wait_until

KiB = 1024
FILES = {f"data/{n:02}.bin": noise(512 * KiB, n) for n in range(48)}
CHANGED = FILES | {f"data/{n:02}.bin": noise(512 * KiB, 100 + n) for n in (3, 17, 19, 40)}
SMALL = {f"small/{n:04}": noise(3000 + n, 1000 + n) for n in range(1024)}


def union(ranges, size, grid):
    """How many bytes the (first, last) pairs come to when each is widened to the grid."""
    cells = {cell for first, last in ranges for cell in range(first // grid, min(last, size - 1) // grid + 1)}
    return sum(min(size, (cell + 1) * grid) - cell * grid for cell in cells)


def ranges_of(request):
    return [tuple(map(int, pair.split("-"))) for pair in request.headers["range"].removeprefix("bytes=").split(",")]


def fetched(registry, path):
    reply = fetch(registry.address, path, headers=[("Accept", kind) for kind in ALL_TYPES])
    assert reply.status == 200, reply
    return reply


def manifest_of(registry, repository):
    return fetched(registry, f"/v2/{repository}/manifests/1").json


def blob_of(registry, repository, digest):
    data = fetched(registry, f"/v2/{repository}/blobs/{digest}").body
    assert digest_of(data) == digest
    return data


def assert_same(trees, *images):
    """Each tree is what the image's layers amount to; a failure names the paths that differ, and no others."""
    assert len(trees) == len(images)
    for n, (tree, image) in enumerate(zip(trees, images)):
        wanted = flatten(image.layers)
        odd = {path: (tree.get(path), wanted.get(path)) for path in tree.keys() | wanted.keys()}
        odd = {path: pair for path, pair in odd.items() if pair[0] != pair[1]}
        assert not odd, f"of tree {n}, {len(tree)} paths, {len(odd)} differ: {str(odd)[:2000]}"


# -- podman


class PartialPodman(Client):
    """podman with a storage of its own that takes partial images: only the overlay driver can. It lies on a
    tmpfs of the mount namespace, so that it works in containers too; so each use of it is one script."""

    def __init__(self, mirror):
        super().__init__(mirror)
        self.storage = self.directory / "storage"
        self.storage.mkdir()
        self.configuration = self.write(
            "storage.conf",
            f"""[storage]
driver = "overlay"
graphroot = "{self.storage}/root"
runroot = "{self.storage}/run"
[storage.options]
pull_options = {{enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}}
""",
        )

    def environment(self):
        return super().environment() | {"CONTAINERS_STORAGE_CONF": str(self.configuration)}

    def pull(self, *images, direct=()):
        """Pulls one after the other into one storage, and those of `direct` each whole into its own; the
        tree of each."""
        podman = f"podman --tmpdir {self.storage}/tmp --cgroup-manager cgroupfs"
        script = [f"mount -t tmpfs tmpfs {self.storage}"]
        archives = []

        def add(command, image, options=""):
            archives.append(self.directory / f"tree-{len(archives)}.tar")
            script.append(f"{command} pull -q {options} {image}")
            script.append(f"tree=$({command} image mount {image})")
            script.append(f"tar --numeric-owner -C $tree -cf {archives[-1]} .")

        for image in images:
            add(podman, image)
        for n, image in enumerate(direct):
            own = f"--root {self.storage}/{n} --runroot {self.storage}/run-{n} --storage-driver vfs"
            add(f"{podman} {own}", image, "--tls-verify=false")
        self.run("sh", "-ec", "\n".join(script))
        return [flatten([archive.read_bytes()]) for archive in archives]


class Chunked:
    """An image pushed as zstd:chunked, and the sizes that its layers have then."""

    def __init__(self, registry, image, name):
        self.image, self.repository = image, f"library/{name}"
        registry.push(image, f"library/{name}-plain", "1")
        host = "127.0.0.1:%d" % registry.port
        self.direct, self.name = f"{host}/{self.repository}:1", f"docker.io/{self.repository}:1"
        with Client("127.0.0.1:1") as client:
            client.run(
                *("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"),
                *("--dest-compress-format", "zstd:chunked"),
                *(f"docker://{host}/{self.repository}-plain:1", f"docker://{self.direct}"),
            )
        self.sizes = {}
        for layer in manifest_of(registry, self.repository)["layers"]:
            assert "io.containers.zstd-chunked.manifest-position" in layer["annotations"]
            self.sizes[layer["digest"]] = layer["size"]


@pytest.fixture(scope="module")
def chunked(registry):
    """Images of four kinds, made once: {kind: Chunked}."""
    return {
        "first": Chunked(registry, image_of([layer_of(FILES)]), "chunked-first"),
        "changed": Chunked(registry, image_of([layer_of(CHANGED)]), "chunked-changed"),
        "small": Chunked(registry, image_of([layer_of(SMALL)]), "chunked-small"),
        "demo": Chunked(registry, tar_image(7), "chunked-demo"),
    }


class Pull:
    """Entrepot between two relays: what podman asks it for, and what it asks docker-registry for."""

    def __init__(self, entrepot, upstream, **settings):
        self.upstream, self.mirror = upstream, entrepot(upstream, **settings)
        self.front = CountingProxy(self.mirror.address)

    def pull(self, *images, direct=()):
        with PartialPodman("%s:%d" % self.front.address) as podman:
            return podman.pull(*(image.name for image in images), direct=[image.direct for image in direct])

    def lines(self, digest):
        return self.mirror.log(event="request", reference=digest)

    def asked(self, digest):
        """The requests for a layer; B6: all by range, all answered with 206, and never a HEAD of it."""
        requests = self.front.seen(pattern=digest)
        assert requests and all((r.method, r.status) == ("GET", 206) and "range" in r.headers for r in requests)
        wait_until(lambda: len(self.lines(digest)) >= len(requests), "all requests are logged")
        assert [line["status"] for line in self.lines(digest)] == [206] * len(requests)
        many = [line["bytes"] for line in self.lines(digest) if "," in line["range"]]
        assert sorted(many) == sorted(r.body_sent for r in requests if len(ranges_of(r)) > 1)
        return requests

    def check(self, digest, size, grid):
        """B4, B13: its upstream sent the union of the ranges, widened to the grid, asked for one by one; no
        HEAD, and no byte twice."""
        expected = union([pair for request in self.asked(digest) for pair in ranges_of(request)], size, grid)
        wait_until(lambda: self.upstream.body_bytes(digest) >= expected, "what was asked for has been sent")
        assert self.upstream.body_bytes(digest) == expected
        assert not self.upstream.seen("HEAD", digest)
        assert not any("," in r.headers.get("range", "") for r in self.upstream.seen("GET", digest))
        return expected


@pytest.fixture
def pulling(entrepot, proxy):
    made = []

    def make(**settings):
        made.append(Pull(entrepot, proxy, **settings))
        return made[-1]

    yield make
    for one in made:
        one.front.stop()


@pytest.mark.soak
@pytest.mark.clients
@pytest.mark.parametrize("grid", ["1MiB", "4KiB"])
def test_podman_pulls_the_part_of_a_layer_that_it_lacks(grid, pulling, chunked):
    """B4, B6, B13: four of 48 files are new to it: a TOC, and one request for their ranges, far apart."""
    size_of_cell = {"1MiB": MiB, "4KiB": 4 * KiB}[grid]
    case, first, changed = pulling(range_grid=grid), chunked["first"], chunked["changed"]
    trees = case.pull(first, changed, direct=[changed])
    assert_same(trees, first.image, changed.image, changed.image)
    for image in (first, changed):
        ((digest, size),) = image.sizes.items()
        cost = case.check(digest, size, size_of_cell)
        table, data = case.asked(digest)
        assert len(ranges_of(table)) == 1
        if image is changed:
            assert 3 <= len(ranges_of(data)) <= 16 and cost < size / 2
            assert not case.mirror.holds(digest)
        else:
            assert len(ranges_of(data)) >= 48


@pytest.mark.soak
@pytest.mark.clients
def test_another_podman_costs_nothing_more(pulling, chunked):
    """B11: what one brought is there for the next, after a restart too."""
    case, image = pulling(), chunked["first"]
    ((digest, size),) = image.sizes.items()
    assert_same(case.pull(image), image.image)
    cost = case.check(digest, size, MiB)
    assert_same(case.pull(image), image.image)
    assert len(case.asked(digest)) == 4 and case.upstream.body_bytes(digest) == cost
    case.mirror.restart()
    case.front.backend = case.mirror.address
    assert_same(case.pull(image), image.image)
    assert case.upstream.body_bytes(digest) == cost


@pytest.mark.soak
@pytest.mark.clients
def test_podmans_at_once_cost_the_upstream_one(pulling, chunked):
    """B13: three machines ask for the same ranges of a cold layer."""
    case, image = pulling(), chunked["changed"]
    ((digest, size),) = image.sizes.items()
    for trees in in_threads(3, lambda _: case.pull(image)):
        assert_same(trees, image.image)
    assert len(case.asked(digest)) == 6
    case.check(digest, size, MiB)


@pytest.mark.soak
@pytest.mark.clients
def test_podman_asks_for_a_thousand_ranges_at_once(pulling, chunked):
    """B6, P7: the most it asks for, in a header of 14 KB; files a few tens of bytes apart, each a part."""
    case, image = pulling(range_grid="4KiB"), chunked["small"]
    assert_same(case.pull(image, direct=[image]), image.image, image.image)
    ((digest, size),) = image.sizes.items()
    case.check(digest, size, 4 * KiB)
    _, data = case.asked(digest)
    pairs = ranges_of(data)
    assert len(pairs) == len(SMALL) == 1024 and len(data.headers["range"]) > 14_000
    assert max(after[0] - before[1] for before, after in zip(pairs, pairs[1:])) < 100


@pytest.mark.clients
def test_two_frames_eight_bytes_apart_come_as_two_parts(chunked, registry, entrepot, proxy):
    """B6: later podmans read the TOC and the tar-split frame behind it so (zot#3623); Debian's has no such
    frame, but its footer lies where the frame would."""
    image = chunked["first"]
    (layer,) = manifest_of(registry, image.repository)["layers"]
    start, length, *_ = map(int, layer["annotations"]["io.containers.zstd-chunked.manifest-position"].split(":"))
    digest, size = layer["digest"], layer["size"]
    puller = Snapshotter(entrepot(proxy), image.repository, digest)
    puller.size = size
    pairs = [(start, start + length - 1), (start + length + 8, size - 1)]
    data = blob_of(registry, image.repository, digest)
    assert puller.parts(puller.ask(pairs), pairs) == [data[first : last + 1] for first, last in pairs]
    expected = union(pairs, size, MiB)
    wait_until(lambda: proxy.body_bytes(digest) >= expected, "what was asked for has been sent")
    assert proxy.body_bytes(digest) == expected < 2 * MiB


@pytest.mark.soak
@pytest.mark.clients
def test_podman_pulls_layers_with_links_modes_and_whiteouts(pulling, chunked):
    """B6: four layers at once, of 500 bytes to 3 MiB; those of less than the grid come whole, once."""
    case, image = pulling(), chunked["demo"]
    assert_same(case.pull(image, direct=[image]), image.image, image.image)
    for digest, size in image.sizes.items():
        case.check(digest, size, MiB)


# -- stargz-snapshotter

CHUNK, FOOTER = 50_000, 51


class CtrRemote(Containerd):
    """stargz-snapshotter's ctr-remote on a containerd of its own."""

    def convert(self, source, target):
        with self.serving("ctr-remote") as ctr:
            self.run(*ctr, "content", "fetch", "--plain-http", source)
            self.run(*ctr, "images", "convert", "--estargz", "--oci", source, target)
            self.run(*ctr, "images", "push", "--plain-http", target)


@pytest.fixture(scope="module")
def estargz(registry):
    """(repository, digest of the layer, its bytes) of an image that ctr-remote converted."""
    registry.push(image_of([layer_of(FILES)]), "library/stargz-plain", "1")
    host = "127.0.0.1:%d" % registry.port
    with CtrRemote("127.0.0.1:1") as client:
        client.convert(f"{host}/library/stargz-plain:1", f"{host}/library/stargz:1")
    (layer,) = manifest_of(registry, "library/stargz")["layers"]
    assert "containerd.io/snapshot/stargz/toc.digest" in layer["annotations"]
    return "library/stargz", layer["digest"], blob_of(registry, "library/stargz", layer["digest"])


class Snapshotter:
    """What fs/remote/resolver.go and blob.go send for one layer: the readers of a file system ask read()."""

    def __init__(self, mirror, repository, digest):
        self.mirror, self.path, self.chunks, self.ranges = mirror, f"/v2/{repository}/blobs/{digest}", {}, []

    def ask(self, pairs, **headers):
        self.ranges += pairs
        spec = ",".join(f"{first}-{last}" for first, last in pairs)
        reply = self.mirror.get(self.path, headers={"Range": f"bytes={spec}", **headers})
        assert reply.status == 206 and reply.end == "complete", reply
        assert "content-encoding" not in reply.headers
        return reply

    def open(self):
        """redirect() and getSize(): the first answer must be a 206 of two bytes, for its body is thrown away."""
        self.check()
        reply = self.mirror.head(self.path)
        assert reply.status == 200
        self.size = int(reply.headers["content-length"])

    def check(self):
        """Every minute."""
        assert self.ask([(0, 1)]).received == 2

    def read(self, spans):
        """The bytes of each (start, stop): what is not there yet comes in one request for chunks, of which
        neighbours are one range."""
        wanted = {n for start, stop in spans for n in range(start // CHUNK, -(-stop // CHUNK))} - set(self.chunks)
        pairs = []
        for n in sorted(wanted):
            last = min((n + 1) * CHUNK, self.size) - 1
            if pairs and pairs[-1][1] + 1 == n * CHUNK:
                pairs[-1] = pairs[-1][0], last
            else:
                pairs.append((n * CHUNK, last))
        if pairs:
            reply = self.ask(pairs, **{"Accept-Encoding": "identity"})
            for (first, last), data in zip(pairs, self.parts(reply, pairs)):
                for at in range(first, last + 1, CHUNK):
                    self.chunks[at // CHUNK] = data[at - first : at - first + CHUNK]
        return [self.slice(start, stop) for start, stop in spans]

    def slice(self, start, stop):
        numbers = range(start // CHUNK, -(-stop // CHUNK))
        data = b"".join(self.chunks[n] for n in numbers)
        return data[start - numbers[0] * CHUNK : stop - numbers[0] * CHUNK]

    def parts(self, reply, pairs):
        """B3, B6: as many as ranges, in order, each with its Content-Range and the size in digits."""
        kind, body = reply.headers["content-type"], reply.body
        if len(pairs) == 1:
            assert reply.headers.list("content-range") == [f"bytes {pairs[0][0]}-{pairs[0][1]}/{self.size}"]
            return [body]
        boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]{1,70})", kind)[1].encode()
        found = []
        for first, last in pairs:
            head, _, body = body.partition(b"\r\n\r\n")
            lines = head.removeprefix(b"\r\n").decode().split("\r\n")
            assert lines[0] == f"--{boundary.decode()}"
            assert f"Content-Range: bytes {first}-{last}/{self.size}" in lines[1:], lines
            found.append(body[: last + 1 - first])
            body = body[last + 1 - first :]
        assert body == b"\r\n--%s--\r\n" % boundary
        return found


def toc_offset(footer):
    """estargz/gzip.go: an empty gzip member whose extra field says where the TOC's begins."""
    assert len(footer) == FOOTER and footer[:4] == b"\x1f\x8b\x08\x04" and footer[12:14] == b"SG"
    assert footer[32:38] == b"STARGZ"
    return int(footer[16:32], 16)


def toc_entries(member):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(member))) as tar:
        return json.load(tar.extractfile("stargz.index.json"))["entries"]


@pytest.mark.clients
@pytest.mark.parametrize("grid", ["1MiB", "64KiB"])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_stargz_mounts_a_layer_and_reads_some_files(known, grid, estargz, entrepot, proxy):
    """B1, B3, B4, B6, B13, R6: probe, HEAD, footer, TOC, then the files a program opens, of a layer of which
    nothing was there."""
    repository, digest, data = estargz
    mirror = entrepot(proxy, range_grid=grid)
    if known:
        assert mirror.get(f"/v2/{repository}/manifests/1").status == 200
    layer, size = Snapshotter(mirror, repository, digest), len(data)
    layer.open()
    assert layer.size == size
    layer.check()

    footer = layer.ask([(size - FOOTER, size - 1)]).body  # as podman reads it, then in chunks, as stargz does
    assert [footer] == layer.read([(size - FOOTER, size)]) == [data[-FOOTER:]]
    start = toc_offset(footer)
    table = layer.ask([(start, size - FOOTER - 1)]).body
    assert [table] == layer.read([(start, size - FOOTER)]) == [data[start:-FOOTER]]

    entries = toc_entries(table)
    offsets = sorted({entry["offset"] for entry in entries if "offset" in entry} | {start})
    wanted = {entry["name"]: entry for entry in entries if re.search(r"data/(05|06|21|33|46)\.bin$", entry["name"])}
    assert len(wanted) == 5
    spans = [(entry["offset"], offsets[offsets.index(entry["offset"]) + 1]) for entry in wanted.values()]
    members = layer.read(spans)
    for (first, stop), member, (name, entry) in zip(spans, members, wanted.items()):
        assert member == data[first:stop]
        content = gzip.decompress(member)[: entry["size"]]
        assert content == FILES[name] and digest_of(content) == entry["digest"]
    assert len(layer.ranges) > 6 and all(data[n * CHUNK :].startswith(chunk) for n, chunk in layer.chunks.items())

    expected = union(layer.ranges, size, {"1MiB": MiB, "64KiB": 64 * KiB}[grid])
    assert expected < size / 2
    wait_until(lambda: proxy.body_bytes(digest) >= expected, "what was asked for has been sent")
    assert proxy.body_bytes(digest) == expected
    assert not proxy.seen("HEAD", digest) and not mirror.holds(digest)


@pytest.mark.clients
def test_stargz_fetches_the_rest_in_the_background(estargz, entrepot, proxy):
    """B9, B14: after some reads, the whole layer in requests of a chunk, two at a time; then it is kept."""
    repository, digest, data = estargz
    mirror = entrepot(proxy)
    layer, size = Snapshotter(mirror, repository, digest), len(data)
    layer.open()
    assert layer.read([(size - FOOTER, size), (size // 2, size // 2 + 10)]) == [
        data[-FOOTER:],
        data[size // 2 : size // 2 + 10],
    ]
    numbers = range(-(-size // CHUNK))

    def one(worker):
        for n in numbers[worker::2]:
            layer.read([(n * CHUNK, min((n + 1) * CHUNK, size))])

    in_threads(2, one)
    assert b"".join(layer.chunks[n] for n in numbers) == data
    mirror.wait_held(digest)
    assert proxy.body_bytes(digest) == size and not proxy.seen("HEAD", digest)


@pytest.mark.clients
def test_snapshotters_at_once_cost_the_upstream_one(estargz, entrepot, proxy):
    """B13, R6: eight machines mount the same cold layer, and read here and there."""
    repository, digest, data = estargz
    mirror = entrepot(proxy)
    layers, size = [Snapshotter(mirror, repository, digest) for _ in range(8)], len(data)

    def one(n):
        layers[n].open()
        layers[n].read([(size - FOOTER, size)])
        spans = [(at, at + 70_000) for at in range(n * 300_000, size // 2, 5 * MiB)]
        assert layers[n].read(spans) == [data[start:stop] for start, stop in spans]

    in_threads(len(layers), one)
    expected = union([pair for layer in layers for pair in layer.ranges], size, MiB)
    wait_until(lambda: proxy.body_bytes(digest) >= expected, "what was asked for has been sent")
    assert proxy.body_bytes(digest) == expected and not proxy.seen("HEAD", digest)


@pytest.mark.soak
@pytest.mark.clients
def test_podman_pulls_an_estargz_layer_in_parts(estargz, pulling, registry):
    """B4, B6: the other reader of this format: 51 bytes of a footer, the TOC, then the files."""
    repository, digest, data = estargz
    case, size = pulling(), len(data)
    with PartialPodman("%s:%d" % case.front.address) as podman:
        (tree,) = podman.pull(f"docker.io/{repository}:1")
    assert tree == flatten([layer_of(FILES)])
    footer, table, files = case.asked(digest)
    assert len(ranges_of(files)) >= len(FILES)
    start = toc_offset(data[-FOOTER:])
    assert ranges_of(footer) == [(size - FOOTER, size - 1)] and ranges_of(table) == [(start, size - FOOTER - 1)]
    case.check(digest, size, MiB)


def test_the_size_asked_for_right_after_the_probe_costs_nothing(entrepot, upstream):
    """B1, B4: of blobs of which no manifest told; what was just heard of them is enough."""
    mirror, size = entrepot(upstream), MiB + 100
    for n in range(50):
        digest = upstream.add_blob("library/x", noise(size, n))
        layer = Snapshotter(mirror, "library/x", digest)
        layer.open()
        assert layer.size == size
        layer.check()
        assert [request.headers.get("range") for request in upstream.seen(pattern=digest)] == [f"bytes=0-{MiB - 1}"]
