"""What a node knows of a model and did not count itself, what it has lost of it, and what it finds spoilt: none of it
reaches the image of another model, and all of it is made good by an import."""

import json

import lmdb
import pytest

from harness.content import Made
from harness.http import fetch
from harness.model import Image
from harness.util import MiB, noise, wait_until

NUMBERS, LAYER = 1, 3
LARGE = Made(70 * MiB + 5, 1)
FILES = {"README.md": b"# A model\n", "config.json": b'{"a":1}\n', "onnx/x.onnx": noise(9 * MiB, 1), "w.safetensors": LARGE}


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub: entrepot({"hf": hub.url})


def blob(mirror, digest, name="hf/org/model"):
    return mirror.get(f"/v2/{name}/blobs/{digest}", keep=False)


def assert_good(mirror, files=FILES, name="hf/org/model", tag="latest"):
    image = Image(mirror, name, tag)
    assert image.agrees_with(files)
    for digest in image.digests:
        reply = blob(mirror, digest, name)
        assert (reply.status, reply.end, reply.sha256) == (200, "complete", digest), reply
    return image


def change(mirror, kind, key, by):
    """Changes a note of the index at rest, or removes it when `by` gives None."""
    mirror.stop()
    with lmdb.open(str(mirror.cache / "index"), max_dbs=8) as env:
        notes = env.open_db(b"notes")
        with env.begin(write=True) as txn:
            key = bytes([kind]) + bytes.fromhex(key.removeprefix("sha256:"))
            old = txn.get(key, db=notes)
            assert old is not None
            new = by(bytearray(old))
            assert txn.delete(key, db=notes) if new is None else txn.put(key, bytes(new), db=notes)
    mirror.start()


def numbers_of(mirror):
    reply = fetch(mirror.admin, "/numbers?image=hf/org/model")
    assert reply.status == 200, reply
    return json.loads(reply.body)


def claim(mirror, numbers):
    reply = fetch(mirror.admin, "/numbers", "POST", body=json.dumps(numbers).encode())
    assert reply.status == 200, reply


def flip(at):
    def by(note):
        note[at] ^= 1
        return note

    return by


@pytest.fixture
def claimed(mirror_of, hub):
    """A node that has the numbers alone, with a wrong CRC32: nothing but the bytes can tell."""
    hub.add("Org/Model", FILES)
    first = mirror_of(hub)
    assert_good(first)
    numbers = numbers_of(first)
    file = next(each for each in numbers["files"] if each["path"] == "w.safetensors")
    file["chunks"] = file["chunks"][:64] + ("1" if file["chunks"][64] == "0" else "0") + file["chunks"][65:]
    mirror = mirror_of(hub)
    claim(mirror, numbers)
    return mirror


@pytest.mark.parametrize("what", ["CRC32", "sha256"])
def test_a_claim_is_not_built_upon(what, claimed, hub):
    """Another model has the same file elsewhere: its layer is right, whatever was claimed of the file."""
    if what == "sha256":
        change(claimed, NUMBERS, LARGE.sha256, flip(2 + 8 + 3))
    files = {"b.txt": b"b\n", "a/v.safetensors": LARGE}
    hub.add("Org/Other", files)
    assert_good(claimed, files, "hf/org/other")


def test_an_import_that_a_person_asks_for_proves_a_claim(claimed, hub):
    image = Image(claimed, "hf/org/model")
    assert blob(claimed, image.digests[0]).sha256 != image.digests[0]
    hub.cdn.requests.clear()
    reply = fetch(claimed.admin, "/imports?image=hf/org/model", "POST")
    assert reply.status in (200, 202), reply
    wait_until(lambda: fetch(claimed.admin, "/imports?image=hf/org/model:latest").json["imports"][0]["state"] == "done", "its end")
    assert_good(claimed)
    for each in numbers_of(claimed)["layers"]:
        assert each["digest"] in Image(claimed, "hf/org/model").digests
    hub.stop()
    assert_good(claimed)


def mended(mirror, digest):
    """What cannot be computed any more says so, and is there again by itself."""
    reply = mirror.get(f"/v2/hf/org/model/blobs/{digest}")
    assert reply.status == 503 and int(reply.headers["retry-after"]) > 0, reply
    assert reply.json["errors"][0]["code"] == "UNAVAILABLE" and "imported again" in reply.json["errors"][0]["message"]
    wait_until(lambda: blob(mirror, digest).status == 200, "it is there again")


@pytest.fixture
def first(mirror_of, hub):
    hub.add("Org/Model", FILES)
    mirror = mirror_of(hub)
    mirror.image = assert_good(mirror)
    return mirror


def test_numbers_that_are_lost_are_counted_again(first, hub):
    change(first, NUMBERS, LARGE.sha256, lambda _: None)
    hub.cdn.requests.clear()
    mended(first, first.image.digests[0])
    assert assert_good(first).digest == first.image.digest
    assert hub.cdn.body_bytes() == 0  # all of its bytes are here


@pytest.mark.parametrize("note", ["numbers", "layer"])
def test_what_contradicts_itself_is_found_out_anew(note, first, hub):
    if note == "numbers":
        change(first, NUMBERS, LARGE.sha256, flip(2 + 8 + 3))
    else:
        change(first, LAYER, first.image.digests[0], flip(50))
    hub.cdn.requests.clear()
    mended(first, first.image.digests[0])
    assert assert_good(first).digest == first.image.digest
    assert hub.cdn.body_bytes() == 0


@pytest.mark.parametrize("by", [lambda _: None, lambda _: b"nonsense"], ids=["lost", "unreadable"])
def test_a_layer_of_which_nothing_is_known(by, first, hub):
    """The image says whose it is, also to a client that has the manifest and asks for the layer only."""
    change(first, LAYER, first.image.digests[1], by)
    mended(first, first.image.digests[1])
    assert assert_good(first).digest == first.image.digest


def test_an_image_that_has_lost_a_layer_is_imported_again(first, hub):
    """When another tag of it is asked for, before anybody has asked for the layer."""
    change(first, LAYER, first.image.digests[1], lambda _: None)
    assert Image(first, "hf/org/model", "main").digest == first.image.digest
    assert assert_good(first).digest == first.image.digest
