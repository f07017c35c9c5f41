"""What a node knows of a model and did not count itself, what it has lost of it, and what it finds spoilt: none of it
reaches the image of another model, and all of it is made good by an import."""

import gzip
import json
import re

import lmdb
import pytest

from harness.content import Made
from harness.http import fetch
from harness.hub import Hub
from harness.images import blob_image
from harness.imports import command, state
from harness.model import PATIENT, Image, having, imported
from harness.numbers import CHUNK, falsified, put_numbers, with_numbers
from harness.util import Gate, MiB, digest_of, noise, wait_until

NUMBERS, LAYER = 1, 3
TABLE = 2 + 8 + 128  # bytes before the chunks of a record of numbers
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
def first(mirror_of, hub):
    return having(mirror_of(hub), hub, FILES)


@pytest.fixture
def claimed_crc(first):
    """Its numbers, with a wrong CRC32: nothing but the bytes can tell."""
    numbers = numbers_of(first)
    file = next(each for each in numbers["files"] if each["path"] == "w.safetensors")
    file["chunks"] = file["chunks"][:64] + ("1" if file["chunks"][64] == "0" else "0") + file["chunks"][65:]
    return numbers


@pytest.fixture
def claimed(mirror_of, hub, claimed_crc):
    """A node that has such numbers alone."""
    mirror = mirror_of(hub)
    claim(mirror, claimed_crc)
    return mirror


@pytest.mark.parametrize("what", ["CRC32", "sha256"])
def test_a_claim_is_not_built_upon(what, claimed, hub):
    """Another model has the same file elsewhere: its layer is right, whatever was claimed of the file."""
    if what == "sha256":
        change(claimed, NUMBERS, LARGE.sha256, flip(TABLE + 3))
    files = {"b.txt": b"b\n", "a/v.safetensors": LARGE}
    hub.add("Org/Other", files)
    assert_good(claimed, files, "hf/org/other")


def test_a_claim_is_not_built_upon_at_the_same_path(claimed, hub):
    """It is the claimed layer, of another model: it is hashed, and then right under both names."""
    files = {"b.txt": b"b\n", "w.safetensors": LARGE}
    hub.add("Org/Other", files)
    layer = Image(claimed, "hf/org/model").digests[0]
    assert blob(claimed, layer).sha256 != layer
    assert_good(claimed, files, "hf/org/other")
    assert blob(claimed, layer).sha256 == layer


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


@pytest.mark.parametrize("who", ["person", "client and person"])
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_it_proves_it_after_a_restart_too(how, who, claimed, hub):
    """What a process began that ended in the middle; for the next one the claim was enough."""
    files, gate, listing = FILES | {"README.md": b"# Another\n"}, Gate(), Gate()
    hub.add("Org/Model", files)
    hub.cdn.on("GET", "w.safetensors", head_gate=gate)
    hub.on("GET", "/tree/", times=1, head_gate=listing)
    with claimed.connect() as client:
        if who == "client and person":  # its import, and then a wish
            client.request("GET", "/v2/hf/org/model/manifests/main", PATIENT)
            listing.wait_reached()
        fetch(claimed.admin, "/imports?image=hf/org/model:main", "POST")
        listing.open()
        gate.wait_reached()
        getattr(claimed, how)()
    gate.open()
    claimed.start()
    wait_until(lambda: state(claimed, "hf/org/model:main") == "done", "its end")
    assert_good(claimed, files, tag="main")


def mended(mirror, digest):
    """What cannot be computed any more says so, and is there again by itself."""
    reply = mirror.get(f"/v2/hf/org/model/blobs/{digest}")
    assert reply.status == 503 and int(reply.headers["retry-after"]) > 0, reply
    assert reply.json["errors"][0]["code"] == "UNAVAILABLE" and "imported again" in reply.json["errors"][0]["message"]
    wait_until(lambda: blob(mirror, digest).status == 200, "it is there again")


def test_numbers_that_are_lost_are_counted_again(first, hub):
    change(first, NUMBERS, LARGE.sha256, lambda _: None)
    hub.cdn.requests.clear()
    mended(first, first.image.digests[0])
    assert assert_good(first).digest == first.image.digest
    assert hub.cdn.body_bytes() == 0  # all of its bytes are here


@pytest.mark.parametrize("note", ["numbers", "layer"])
def test_what_contradicts_itself_is_found_out_anew(note, first, hub):
    if note == "numbers":
        change(first, NUMBERS, LARGE.sha256, flip(TABLE + 3))
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


# -- claims that are wrong hurt nobody whose bytes have the right sha256


@pytest.mark.parametrize("what", ["bytes", "shorter", "longer"])
def test_a_claim_does_not_hurt_a_registrys_layer(what, entrepot, upstream):
    """An ordinary layer of the same digest goes by that, as if nobody had claimed anything: also what of it is here."""
    data = noise(13 * MiB, 3)
    digest = digest_of(data)
    upstream.add(blob_image(data), "library/x", "1")
    mirror = entrepot(upstream)
    claimed = {"bytes": falsified(data, 9 * MiB), "shorter": data[: 2 * MiB], "longer": data + b"x"}[what]

    def read(start, stop):
        reply = mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": f"bytes={start}-{stop - 1}"})
        assert (reply.status, reply.body) == (206, data[start:stop]), reply

    with_numbers(mirror, (digest, claimed, "claimed"))
    read(9 * MiB, 9 * MiB + 10)
    wait_until(lambda: upstream.body_bytes(digest) == MiB, "all of its cell is sent")
    wait_until(lambda: mirror.metric("entrepot_fills_running") == 0, "and here")
    mirror.restart()
    read(10 * MiB - 5, 10 * MiB + 5)
    reply = mirror.get(f"/v2/library/x/blobs/{digest}", keep=False)
    assert (reply.status, reply.end, reply.sha256) == (200, "complete", digest)
    mirror.wait_held(digest)
    assert upstream.body_bytes(digest) == len(data)


def cut_import(mirror, hub, at):
    """Begins to import the model, and stops the mirror when its large file is here up to `at`; nothing is verified."""
    gate = Gate()

    def answer(exchange):
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.request.headers["range"]).groups()
        held = int(first) <= at <= int(last or LARGE.size)
        hub.cdn.serve(exchange, **({"hold": (at, gate)} if held else {}))

    hub.add("Org/Model", FILES)
    hub.cdn.on("GET", "w.safetensors", call=answer)
    assert mirror.get("/v2/hf/org/model/manifests/latest").status == 503
    gate.wait_reached()
    others = len(FILES["onnx/x.onnx"])
    wait_until(lambda: mirror.metric("entrepot_upstream_body_bytes_total") >= at + others, "it is here")
    mirror.stop()
    hub.cdn.healthy()
    hub.cdn.requests.clear()
    gate.open()


@pytest.mark.parametrize("size", [100, LARGE.size - CHUNK, LARGE.size + 1])
def test_a_claim_of_another_size_is_passed_over(size, entrepot, hub):
    """By an import; and what is here stays."""
    mirror, at = entrepot({"hf": hub.url}, import_hold="100ms", blob_connections=1), 30 * MiB + 17
    cut_import(mirror, hub, at)
    put_numbers(mirror, "sha256:" + LARGE.sha256, bytes(LARGE.read(0, LARGE.size))[:size].ljust(size, b"x"), "claimed")
    mirror.start()
    assert imported(mirror) and assert_good(mirror)
    assert hub.cdn.body_bytes("w.safetensors") == LARGE.size - at


def test_a_wrong_claim_does_not_throw_away_what_was_here_before_it(entrepot, hub):
    """Half of the chunk that it is wrong about had come: nothing but the other half is fetched in vain."""
    mirror, at = entrepot({"hf": hub.url}, import_hold="100ms", blob_connections=1), 30 * MiB + 17
    cut_import(mirror, hub, at)
    put_numbers(mirror, "sha256:" + LARGE.sha256, falsified(bytes(LARGE.read(0, LARGE.size)), 29 * MiB), "claimed")
    mirror.start()
    assert imported(mirror) and assert_good(mirror)
    assert mirror.metric("entrepot_upstream_errors_total", reason="CHUNK_MISMATCH") > 0
    assert LARGE.size - at < hub.cdn.body_bytes("w.safetensors") < LARGE.size - at + 4 * CHUNK


def test_a_size_that_a_registry_made_up_does_not_end_an_import(entrepot, hub, upstream):
    """What it has sent of the file goes, and the claim about it; then the import has its way."""
    digest = upstream.add_blob("library/x", b"x" * 3 * MiB, "sha256:" + LARGE.sha256)
    hub.add("Org/Model", FILES)
    mirror = entrepot({"hf": hub.url, "docker.io": upstream.url})
    assert mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": "bytes=0-1"}).status == 206
    with_numbers(mirror, (digest, bytes(LARGE.read(0, LARGE.size)), "claimed"))
    assert imported(mirror) and assert_good(mirror)


# -- claims about what a commit is


def forged_index(mirror, image, changes):
    """The digest of the image's index when its documents say other things of a layer: {was: is}."""

    def made(kind, digest):
        body = mirror.get(f"/v2/{image.name}/{kind}/{digest}").body
        for was, is_ in known.items():
            body = body.replace(was.encode(), is_.encode())
        return digest_of(body)

    known = dict(changes)
    for manifest in image.manifests:
        known[manifest["config"]["digest"]] = made("blobs", manifest["config"]["digest"])
    for each in image.index["manifests"]:
        known[each["digest"]] = made("manifests", each["digest"])
    return made("manifests", image.digest)


def test_a_claim_does_not_give_a_file_the_layer_of_another(mirror_of, hub):
    """Which has the same name and size; whoever imports the file has its own layer."""
    other = Made(LARGE.size, 2)
    hub.add("Org/Own", {"w.safetensors": LARGE})
    hub.add("Org/Model", {"w.safetensors": other})
    forger = mirror_of(hub)
    own, image = (Image(forger, name, headers=PATIENT) for name in ("hf/org/own", "hf/org/model"))
    numbers = numbers_of(forger)
    diff_ids = [each.configs[0]["rootfs"]["diff_ids"][0] for each in (image, own)]
    numbers["index"] = forged_index(forger, image, {image.digests[0]: own.digests[0], diff_ids[0]: diff_ids[1]})
    numbers["layers"][0] |= {"digest": own.digests[0], "diff_id": diff_ids[1]}
    mirror = mirror_of(hub)
    claim(mirror, numbers)
    assert_good(mirror, {"w.safetensors": LARGE}, "hf/org/own")
    hub.add("Org/Copy", {"w.safetensors": other})
    assert_good(mirror, {"w.safetensors": other}, "hf/org/copy")


def test_what_a_commit_has_is_proven_too(mirror_of, hub):
    """Numbers of true layers, said to be another commit's: it is the hub's list that counts for a person."""
    true, told = {"w.safetensors": Made(LARGE.size, 2)}, {"w.safetensors": LARGE}
    with Hub() as other:
        commit = other.add("Org/Model", told)
        forger = mirror_of(other)
        Image(forger, "hf/org/model", headers=PATIENT)
        numbers = numbers_of(forger)
    hub.add("Org/Model", true)
    repository = hub.repository("Org/Model")
    repository.commits[commit] = repository.resolve("main")
    repository.commits[commit].sha = commit
    hub.add("Org/Own", told)
    mirror = mirror_of(hub)
    assert_good(mirror, told, "hf/org/own")
    claim(mirror, numbers)
    assert_good(mirror, told, tag=commit)
    done = command(mirror, "import", f"org/model:{commit}", "--wait")
    assert done.returncode == 0, done
    assert_good(mirror, true, tag=commit)


def test_a_claim_in_the_place_of_lost_numbers_is_proven_too(first, claimed_crc):
    """The layer was hashed here, and its numbers were; what a numbers file says of them was not."""
    change(first, NUMBERS, LARGE.sha256, lambda _: None)
    claim(first, claimed_crc)
    assert blob(first, first.image.digests[0]).sha256 != first.image.digests[0]
    done = command(first, "import", "org/model", "--wait")
    assert done.returncode == 0, done
    assert assert_good(first).digest == first.image.digest


@pytest.mark.parametrize("at", ["its end", "the file before it"])
def test_a_claim_of_more_bytes_than_a_file_has_ends(at, mirror_of, entrepot, upstream, hub):
    """It has the file's sha256, and the file is here: nobody waits for what is behind its end."""
    data = noise(2 * MiB, 5)
    longer, short = data + b"x" * 1000, digest_of(data).partition(":")[2]
    hub.add("Org/Model", {"a.bin": b"before it", "f.bin": longer})
    forger = mirror_of(hub)
    image = Image(forger, "hf/org/model", headers=PATIENT)
    numbers = numbers_of(forger)
    (_, file), (layer,) = sorted(numbers["files"], key=lambda each: each["path"]), numbers["layers"]
    tar = gzip.decompress(forger.get(f"/v2/hf/org/model/blobs/{layer['digest']}").body)
    toc = tar[tar.index(b'{"version":1') : tar.rindex(b"]}") + 2]
    assert digest_of(toc) == layer["toc_digest"]
    toc_digest = digest_of(toc.replace(file["sha256"].encode(), short.encode()))
    numbers["index"] = forged_index(forger, image, {layer["toc_digest"]: toc_digest})
    layer["toc_digest"], file["chunks"], file["sha256"] = toc_digest, short + file["chunks"][64:], short
    upstream.add(blob_image(data), "library/x", "1")
    mirror = entrepot({"hf": hub.url, "docker.io": upstream.url})
    assert mirror.get(f"/v2/library/x/blobs/sha256:{short}").body == data
    claim(mirror, numbers)
    start = 2 * MiB + 2000 if at == "its end" else 0
    reply = mirror.get(f"/v2/hf/org/model/blobs/{layer['digest']}", headers={"Range": f"bytes={start}-"})
    assert reply.status == 502 if start else (reply.status, reply.end) == (206, "fin"), reply
