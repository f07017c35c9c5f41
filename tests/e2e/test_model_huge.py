"""A model of 20 GiB, and imports that are killed."""

import os
import random

import pytest

from harness.content import Made
from harness.entrepot import run_command
from harness.estargz import read_layer
from harness.model import Image
from harness.util import MiB, digest_of, wait_until

GiB = 1024 * MiB

PATIENT = {"User-Agent": "skopeo/1"}
CHUNK, FRAMING = 4 * MiB, 343  # of a file, and what a layer puts around each
SMALL = {"config.json": b'{"a":1}\n', "tokenizer.json": b"[]" * 50_000}


def size_of(files):
    return sum(len(data) if isinstance(data, bytes) else data.size for data in files.values())


def taken(mirror, *folders):
    """Bytes of the disk."""
    paths = [path for folder in folders or ("",) for path in (mirror.cache / folder).rglob("*")]
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())


def processor_seconds(mirror):
    with open(f"/proc/{mirror.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.soak
def test_twenty_gigabytes(entrepot, hub):
    """Each byte crosses once and lies on the disk once; the layers are whole with the hub stopped."""
    files = SMALL | {f"model-{i}.safetensors": Made(size * GiB, 50 + i) for i, size in enumerate([9, 6, 5])}
    hub.cdn.big = 4 * GiB  # more than that only by ranges
    hub.add("Org/Huge", files)
    mirror = entrepot({"hf": hub.url}, cache_size="40GiB", import_hold="1s")
    target = "/v2/hf/org/huge/manifests/latest"
    wait_until(lambda: mirror.get(target).status == 200, "it is imported", timeout=1200)
    image = Image(mirror, "hf/org/huge")
    spent, sent = processor_seconds(mirror), hub.cdn.body_bytes() + hub.body_bytes("resolve-cache")
    print(f"upstream bytes / size = {sent / size_of(files):.6f}")
    print(f"disk / size = {taken(mirror) / size_of(files):.5f}")
    print(f"imported: {spent / size_of(files) * 1e9:.3f} CPU s/GB, {mirror.memory() / MiB:.0f} MiB of memory at most")
    assert sent == size_of(files)
    assert taken(mirror) <= 1.002 * size_of(files)
    assert image.agrees_with(files)
    hub.stop()
    before, chance = processor_seconds(mirror), random.Random(1)
    for layer in image.layers:
        reply = mirror.get(f"/v2/hf/org/huge/blobs/{layer['digest']}", keep=False)
        assert (reply.status, reply.received, reply.sha256) == (200, layer["size"], layer["digest"])
    print(f"served whole: {(processor_seconds(mirror) - before) / size_of(files) * 1e9:.3f} CPU s/GB")
    for layer in image.layers:
        for _ in range(50):
            start = chance.randrange(layer["size"])
            reply = mirror.get(
                f"/v2/hf/org/huge/blobs/{layer['digest']}", headers={"Range": f"bytes={start}-{start + 2 * MiB - 1}"}
            )
            assert reply.status == 206 and reply.received == min(2 * MiB, layer["size"] - start)


@pytest.mark.parametrize("size", [70 * MiB, pytest.param(300 * MiB, marks=pytest.mark.long)])
def test_five_kills_in_the_middle_of_an_import(size, entrepot, hub):
    """What lies on the disk is not fetched again, but for a `checkpoint`; the import goes on by itself."""
    checkpoint = 4 * MiB
    files = SMALL | {f"model-{i}.safetensors": Made(size + i, 60 + i) for i in range(3)}
    hub.add("Org/Killed", files)
    hub.cdn.on("GET", "safetensors", pace=size // 16)
    mirror = entrepot({"hf": hub.url}, checkpoint="4MiB", import_hold="100ms")
    assert mirror.get("/v2/hf/org/killed/manifests/latest").status == 503
    for _ in range(5):
        had = taken(mirror, "blobs", "partial")
        wait_until(lambda: taken(mirror, "blobs", "partial") > had + size // 4, "more has come", timeout=120)
        mirror.kill()
        written = taken(mirror, "blobs", "partial")
        mirror.start()
        lost = written - taken(mirror, "blobs", "partial")
        print(f"{written / MiB:.1f} MiB on the disk, {lost / MiB:.1f} given back")
        assert lost <= 3 * checkpoint  # three files at once
    hub.cdn.healthy()
    assert Image(mirror, "hf/org/killed", headers=PATIENT).agrees_with(files)
    assert len(hub.seen("GET", "/resolve-cache/")) <= 2 * len(SMALL)


@pytest.mark.parametrize("size", [70 * MiB, pytest.param(20 * GiB, marks=pytest.mark.soak)])
def test_a_node_that_has_only_the_numbers(size, entrepot, hub):
    """One small file, copied out lazily, costs 16 MiB at most; what the hub falsifies is never served."""
    model = Made(size, 70)
    hub.add("Org/Lazy", SMALL | {"model.safetensors": model})
    settings = {"cache_size": "40GiB", "import_hold": "1s"}
    first, second = (entrepot({"hf": hub.url}, **settings) for _ in range(2))
    target = "/v2/hf/org/lazy/manifests/latest"
    wait_until(lambda: first.get(target).status == 200, "it is imported", timeout=1200)

    def numbers(mirror, *words, **options):
        flags = [f"--upstream=hf={hub.url}", "--cache", mirror.cache, "--admin=%s:%d" % mirror.admin]
        done = run_command("numbers", *words, *flags, timeout=120, **options)
        assert done.returncode == 0, done
        return done.stdout

    numbers(second, "import", "-", input=numbers(first, "export", "hf/org/lazy"))
    image = Image(second, "hf/org/lazy")
    assert image.digest == Image(first, "hf/org/lazy").digest

    def sent():
        return hub.body_bytes() + hub.cdn.body_bytes()

    before, (large, small) = sent(), image.layers
    url = "http://%s:%d/v2/hf/org/lazy/blobs/" % second.address
    toc = "containerd.io/snapshot/stargz/toc.digest"
    read = read_layer(url + small["digest"], small["annotations"][toc], only="config.json")
    assert read["config.json"]["sha256"] == digest_of(SMALL["config.json"])
    print(f"{sent() - before} bytes for one small file of {size / MiB:.0f} MiB")
    assert sent() - before <= 16 * MiB
    wrong = size // 2 // CHUNK * CHUNK + 2 * MiB
    hub.cdn.on("GET", "model.safetensors", corrupt=wrong)
    place = wrong + wrong // CHUNK * FRAMING + 1024  # in the same chunk, as the layer has it
    reply = second.get(f"/v2/hf/org/lazy/blobs/{large['digest']}", headers={"Range": f"bytes={place}-{place + 99}"})
    assert reply.status == 502 or reply.received == 0, reply
    hub.cdn.healthy()

    def is_right():
        answer = second.get(f"/v2/hf/org/lazy/blobs/{large['digest']}", headers={"Range": f"bytes={place}-{place + 99}"})
        return answer.status == 206 and answer.received == 100

    wait_until(is_right, "it is served by a healthy hub")
