"""Layers of models: never stored, computed from files; every byte is that of the independent builder, whatever of the
files is cached, and whoever brings the rest."""

import os
import random
import re

import pytest

from harness.entrepot import Entrepot
from harness.models import REPOSITORY, Files, Layer
from harness.util import SLOW, Gate, MiB, in_threads, noise, wait_until

CHUNK, BLOCK = 4 * MiB, 65535
BIG = {
    "model-1.safetensors": noise(9 * MiB + 77, 1),
    "model-2.safetensors": noise(CHUNK, 2),
    "sub/config.json": b'{"a": 1}\n',
    "sub/empty": b"",
    "tokenizer.json": noise(3 * BLOCK, 3),
    "vocab.txt": noise(BLOCK + 1, 4),
}
TINY = {f"part/{n:04}.txt": noise(300 + 7 * n % 4000, 100 + n) for n in range(1200)}
ROUNDS = int(3000 / SLOW)


@pytest.fixture(scope="module")
def layers():
    return {"big": Layer(BIG), "tiny": Layer(TINY), "large": Layer({"model.safetensors": noise(80 * MiB)})}


@pytest.fixture(scope="module")
def mirror(layers, tmp_path_factory):
    """With all files cached, and a hub that is not there."""
    directory = tmp_path_factory.mktemp("layers")
    mirror = Entrepot(directory / "mirror", {"hf": "http://127.0.0.1:1"})
    for name in ("big", "tiny"):
        layers[name].put(mirror.cache, directory / name)
    mirror.start()
    yield mirror
    mirror.close()


@pytest.fixture
def cold(tmp_path):
    """cold(layer, missing=…, setting=…): a mirror that lacks files, and the hub that has them."""
    made = []

    def make(layer, missing=None, unknown=(), **settings):
        hub = Files(layer.files)
        mirror = Entrepot(tmp_path / f"mirror-{len(made)}", {"hf": hub.url}, **{"fill_tries": 2} | settings)
        made.extend((mirror, hub))
        missing = layer.files.keys() if missing is None else missing
        layer.put(mirror.cache, tmp_path / f"files-{len(made)}", missing, unknown)
        return mirror.start(), hub

    yield make
    for thing in made:
        thing.close() if isinstance(thing, Entrepot) else thing.stop()


def fields_of(reply, layer):
    assert reply.headers["docker-content-digest"] == layer.digest and reply.headers["accept-ranges"] == "bytes"
    return reply.status, reply.headers["content-length"], reply.headers["cache-status"]


def ranged(connection, layer, ranges):
    connection.request("GET", layer.target, {"Range": "bytes=" + ranges})
    connection.head()
    return connection.drain(keep=True)


def read_parts(reply):
    """[(Content-Range, bytes)] of a multipart answer, checked to its last byte."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", reply.headers["content-type"])[1].encode()
    parts, rest = [], b"\r\n" + reply.body
    while not rest.startswith(b"\r\n--" + boundary + b"--"):
        head, _, rest = rest.partition(b"\r\n\r\n")
        start, *lines = head.removeprefix(b"\r\n").split(b"\r\n")
        assert start == b"--" + boundary
        fields = dict(line.decode().split(": ", 1) for line in lines)
        first, last = map(int, re.match(r"bytes (\d+)-(\d+)/", fields["Content-Range"]).groups())
        parts.append((fields["Content-Range"], rest[: last + 1 - first]))
        rest = rest[last + 1 - first :]
    assert rest == b"\r\n--" + boundary + b"--\r\n"
    return parts


def pick(dice, layer):
    """A range [start, stop), often one that begins or ends at a border of framing and a file."""

    def near():
        return dice.choice(layer.borders)[0] + dice.randint(-6, 6)

    kind = dice.random()
    start = near() if kind < 0.6 else dice.randrange(layer.size)
    length = dice.choice([1, 5, dice.randint(1, 200), dice.randint(1, 70_000), dice.randint(1, 300_000)])
    stop = near() if kind < 0.3 else start + length
    start = min(max(0, start), layer.size - 1)
    return start, min(max(start + 1, min(stop, start + MiB)), layer.size)


# -- all files are there


@pytest.mark.parametrize("name", ["big", "tiny"])
def test_a_layer_is_served_as_a_blob_is(mirror, layers, name):
    layer = layers[name]
    get, head = mirror.get(layer.target), mirror.head(layer.target)
    for reply in (get, head):
        assert fields_of(reply, layer) == (200, str(layer.size), "entrepot; hit")
        assert reply.headers["content-type"] == "application/octet-stream"
    assert get.body == layer.data and get.end == "complete"
    assert mirror.get(f"/v2/hf/{REPOSITORY}/blobs/{layer.digest}", keep=False).sha256 == layer.digest


@pytest.mark.parametrize("name", ["big", "tiny"])
def test_thousands_of_random_ranges(mirror, layers, name):
    layer, dice = layers[name], random.Random(name)
    with mirror.connect() as connection:
        for _ in range(ROUNDS):
            start, stop = pick(dice, layer)
            reply = ranged(connection, layer, f"{start}-{stop - 1}")
            assert reply.body == layer.data[start:stop], f"bytes {start} to {stop}"
            assert fields_of(reply, layer) == (206, str(stop - start), "entrepot; hit")
            assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{layer.size}"


@pytest.mark.parametrize("name", ["big", "tiny"])
def test_hundreds_of_sets_of_ranges(mirror, layers, name):
    """Each range a part, in the order asked for."""
    layer, dice = layers[name], random.Random(name)
    with mirror.connect() as connection:
        for _ in range(ROUNDS // 15):
            wanted = [pick(dice, layer) for _ in range(dice.randint(2, 12))]
            reply = ranged(connection, layer, ",".join(f"{start}-{stop - 1}" for start, stop in wanted))
            assert fields_of(reply, layer) == (206, str(len(reply.body)), "entrepot; hit")
            assert read_parts(reply) == [
                (f"bytes {start}-{stop - 1}/{layer.size}", layer.data[start:stop]) for start, stop in wanted
            ]


def test_ranges_that_are_odd(mirror, layers):
    layer = layers["big"]
    size = layer.size

    def slice_of(ranges):
        with mirror.connect() as connection:
            reply = ranged(connection, layer, ranges)
        return reply.status, reply.body

    assert slice_of("-51") == (206, layer.data[-51:])
    assert slice_of(f"-{size + 5}") == (206, layer.data)
    assert slice_of(f"{layer.toc_offset}-") == (206, layer.data[layer.toc_offset :])
    assert slice_of(f"{size - 3}-{size + 1000}") == (206, layer.data[-3:])
    assert slice_of("7-3") == (200, layer.data)
    outside = mirror.get(layer.target, headers={"Range": f"bytes={size}-"})
    assert outside.status == 416 and outside.headers["content-range"] == f"bytes */{size}"
    assert slice_of(",".join(["0-"] * 9))[0] == 400
    assert slice_of(",".join(["0-0"] * 2049))[0] == 400


def test_who_does_not_hold_it_does_not_serve_it(mirror, layers):
    layer = layers["big"]
    other = mirror.get(f"/v2/org/other/blobs/{layer.digest}?ns=hf")
    file = mirror.get(f"/v2/{REPOSITORY}/blobs/{layer.blob('vocab.txt')}?ns=hf")
    for reply in (other, file):
        assert (reply.status, reply.json["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")


def test_many_readers_some_of_them_slow(mirror, layers):
    """Each at its own pace; those with a small window make the socket take a part of a part."""

    def read(n):
        dice = random.Random(n)
        layer = layers[dice.choice(["big", "tiny"])]
        with mirror.connect(receive_buffer=dice.choice([None, 3000, 20_000])) as connection:
            for _ in range(3):
                connection.request("GET", layer.target)
                assert connection.head().status == 200
                position = 0
                while data := connection.read(dice.choice([100, 5000, MiB])):
                    assert data == layer.data[position : position + len(data)], f"after {position} bytes"
                    position += len(data)
                assert position == layer.size
                start, stop = pick(dice, layer)
                assert ranged(connection, layer, f"{start}-{stop - 1}").body == layer.data[start:stop]

    in_threads(24, read)
    assert mirror.metric("entrepot_stalled_callbacks_total") == 0


def test_what_is_not_in_memory_is_read_by_windows(cold, layers):
    """The pool reads 4 MiB at a time, not each block."""
    layer = layers["large"]
    mirror, _ = cold(layer, missing=())
    with open(mirror.path_of(layer.blob("model.safetensors")), "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert mirror.get(layer.target, keep=False).sha256 == layer.digest
    cold_reads = mirror.metric("entrepot_cold_reads_total")
    if cold_reads == 0:
        pytest.skip("this file system does not say what is in memory")
    assert 1 <= cold_reads <= 80 // 4 + 1


# -- files are missing


def test_missing_files_are_fetched_once_however_many_ask(cold, layers):
    layer = layers["big"]
    mirror, hub = cold(layer)
    gate = Gate()
    hub.on("GET", "model-1", times=1, hold=(5 * MiB, gate))

    def read(n):
        if n == 7:
            gate.wait_reached()
        with mirror.connect() as connection:
            connection.request("GET", layer.target)
            if n == 7:
                wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") > 0, "the last one has joined")
                gate.open()
            connection.head()
            return connection.drain()

    for reply in in_threads(8, read):
        assert (reply.status, reply.end, reply.sha256) == (200, "complete", layer.digest)
    assert {name: hub.sent(name) for name in BIG} == {name: len(data) for name, data in BIG.items()}
    mirror.wait_held(*(layer.blob(name) for name in BIG if BIG[name]))
    hub.stop()
    again = mirror.get(layer.target, keep=False)
    assert again.sha256 == layer.digest and again.headers["cache-status"] == "entrepot; hit"


def test_it_says_whether_it_had_to_wait(cold, layers):
    layer = layers["big"]
    mirror, hub = cold(layer, missing=["model-1.safetensors"])
    with mirror.connect() as connection:
        first = ranged(connection, layer, "5000-5999")
        second = ranged(connection, layer, "5000-5999")
        toc = ranged(connection, layer, f"{layer.toc_offset}-")
    told = [reply.headers["cache-status"] for reply in (first, second, toc)]
    assert told == ["entrepot; fwd=uri-miss; stored", "entrepot; hit", "entrepot; hit"]


@pytest.mark.parametrize("seed", range(3))
def test_any_ranges_while_some_files_are_missing(cold, layers, seed):
    dice = random.Random(seed)
    layer = layers[dice.choice(["big", "tiny"])]
    mirror, hub = cold(layer, missing=[name for name in layer.files if dice.random() < 0.5])

    def read(n):
        mine = random.Random(f"{seed} {n}")
        with mirror.connect() as connection:
            for _ in range(int(60 / SLOW) + 5):
                wanted = [pick(mine, layer) for _ in range(mine.choice([1, 1, 4]))]
                reply = ranged(connection, layer, ",".join(f"{start}-{stop - 1}" for start, stop in wanted))
                parts = [part for _, part in read_parts(reply)] if len(wanted) > 1 else [reply.body]
                assert parts == [layer.data[start:stop] for start, stop in wanted], wanted

    in_threads(6, read)
    assert mirror.get(layer.target, keep=False).sha256 == layer.digest


def test_a_range_fetches_no_more_than_the_chunks_it_touches(cold, layers):
    layer = layers["large"]
    mirror, hub = cold(layer)
    at = layer.offset_of("model.safetensors", 41 * MiB)
    reply = mirror.get(layer.target, headers={"Range": f"bytes={at}-{at + 999}"})
    assert reply.body == layer.data[at : at + 1000]
    wait_until(lambda: mirror.metric("entrepot_fills_running") == 0, "no fill is running")
    assert hub.sent("model.safetensors") <= CHUNK


def test_all_ranges_of_a_file_are_asked_for_at_once(cold, layers):
    """Lazy pullers ask for many; each would wait for the one before it."""
    layer = layers["large"]
    mirror, hub = cold(layer, blob_connections=4)
    gates = [Gate() for _ in range(3)]
    for gate in gates:
        hub.on("GET", "model", times=1, head_gate=gate)
    wanted = [layer.offset_of("model.safetensors", at * MiB + 5000) for at in (8, 24, 40)]
    with mirror.connect() as connection:
        ranges = ",".join(f"{at}-{at + 99}" for at in wanted)
        connection.request("GET", layer.target, {"Range": "bytes=" + ranges})
        gates[0].wait_reached()
        gates[0].open()  # now it is known that the hub gives ranges
        for gate in gates[1:]:
            gate.wait_reached()
        gates[2].open()
        gates[1].open()
        connection.head()
        assert [part for _, part in read_parts(connection.drain(keep=True))] == [
            layer.data[at : at + 100] for at in wanted
        ]


@pytest.mark.parametrize("status, told", [(404, 404), (503, 502), (403, 404)])
def test_a_file_that_is_refused_is_an_error_before_the_answer(cold, layers, status, told):
    layer = layers["big"]
    mirror, hub = cold(layer)
    hub.on("GET", "model-1", status=status)
    reply = mirror.get(layer.target)
    assert reply.status == told and reply.json["errors"], reply
    with mirror.connect() as connection:  # what needs no file is there all the same
        assert ranged(connection, layer, "-51").body == layer.data[-51:]


@pytest.mark.parametrize("code", ["RepoNotFound", "RevisionNotFound", "EntryNotFound"])
def test_a_commit_that_is_gone_is_a_blob_that_is_unknown(code, cold, layers):
    """A client that asks for a layer is not told of a manifest."""
    mirror, hub = cold(layers["big"])
    hub.on("GET", "model-1", status=404, headers=[("X-Error-Code", code)])
    reply = mirror.get(layers["big"].target)
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "BLOB_UNKNOWN"), reply


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_limits_is_left_alone_and_holds_nobody_up(cold, layers, status):
    """Whoever asks is told at once, for a day of Retry-After as for a minute; and it is not asked again meanwhile."""
    layer = layers["big"]
    mirror, hub = cold(layer)
    rule = hub.on("GET", "model-1", status=status, headers=[("Retry-After", "86400")])
    for _ in range(3):
        reply = mirror.get(layer.target)
        assert reply.status == 503 and 1 <= int(reply.headers["retry-after"]) <= 60, reply
    assert len(rule.hits) == 1
    wait_until(lambda: mirror.metric("entrepot_fills_running") == 0, "no fill waits for tomorrow")


def test_an_upstream_that_is_down(cold, layers):
    layer = layers["big"]
    mirror, hub = cold(layer, missing=["model-2.safetensors"], negative_ttl="0s")
    hub.stop()
    at = layer.offset_of("model-2.safetensors")
    with mirror.connect() as connection:
        assert ranged(connection, layer, f"{at}-{at}").status == 502
        before = ranged(connection, layer, f"0-{at - 11}")
        assert (before.status, before.body) == (206, layer.data[: at - 10])
    cut = mirror.get(layer.target)
    assert cut.status == 200 and cut.end == "fin" and cut.body == layer.data[: len(cut.body)]
    assert len(cut.body) <= at
    hub.start()
    assert mirror.get(layer.target, keep=False).sha256 == layer.digest


def test_an_upstream_that_fails_in_the_middle_cuts_what_came_too_late(cold, layers):
    layer = layers["big"]
    mirror, hub = cold(layer)
    rule = hub.on("GET", "tokenizer", cut=1000)
    reply = mirror.get(layer.target)
    assert (reply.status, reply.end) == (200, "fin") and len(rule.hits) >= 2
    assert reply.body == layer.data[: len(reply.body)]
    assert len(reply.body) <= layer.offset_of("tokenizer.json", 1000)
    hub.healthy()
    assert mirror.get(layer.target, keep=False).sha256 == layer.digest
    assert hub.sent("model-1.safetensors") == len(BIG["model-1.safetensors"])


def test_a_reader_who_leaves_stops_nobody(cold, layers):
    layer = layers["big"]
    mirror, hub = cold(layer)
    gate = Gate()
    hub.on("GET", "model-1", times=1, hold=(6 * MiB, gate))
    leaver, stayer = mirror.connect(), mirror.connect()
    for connection in (leaver, stayer):
        connection.request("GET", layer.target)
        assert connection.head().status == 200
    assert leaver.read(MiB) == layer.data[:MiB]
    gate.wait_reached()
    leaver.close()
    wait_until(lambda: mirror.metric("entrepot_clients_gone_total") == 1, "one has left")
    gate.open()
    assert stayer.drain().sha256 == layer.digest
    stayer.close()
    assert hub.sent("model-1.safetensors") == len(BIG["model-1.safetensors"])


def test_a_file_is_fetched_to_its_end_after_the_last_reader_has_left(cold, layers):
    """It takes several requests, of which the first has been sent."""
    layer = layers["large"]
    mirror, hub = cold(layer, blob_connections=1)
    gate = Gate()
    hub.on("GET", "model", times=1)
    hub.on("GET", "model", times=1, head_gate=gate)
    with mirror.connect() as leaver:
        leaver.request("GET", layer.target)
        assert leaver.head().status == 200
        gate.wait_reached()
    wait_until(lambda: mirror.metric("entrepot_clients_gone_total") == 1, "he has left")
    gate.open()
    mirror.wait_held(layer.blob("model.safetensors"))
    assert len(hub.requests) > 1


def test_a_layer_of_no_image_whose_numbers_are_lost(cold, layers):
    """Nothing can be imported again for it (test_claims has those of images); the log says what is missing."""
    mirror, hub = cold(layers["big"], missing=(), unknown=["vocab.txt"])
    reply = mirror.get(layers["big"].target)
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
    [line] = wait_until(lambda: mirror.log(event="layer"), "the log says why")
    assert "vocab.txt" in line["problem"] and not hub.requests
    assert mirror.head(layers["big"].target).status == 200


def test_a_stop_in_the_middle_of_everything(cold, layers):
    """Readers who wait for a file, and one whose layer has been sent in part."""
    layer = layers["tiny"]
    mirror, hub = cold(layer, missing=list(TINY)[600:])
    gate = Gate()
    hub.on("GET", "part", hold=(1, gate))
    readers = [mirror.connect() for _ in range(3)]
    for reader in readers:
        reader.request("GET", layer.target)
        assert reader.head().status == 200
    gate.wait_reached()
    mirror.signal()
    wait_until(lambda: mirror.log(event="stopping"), "it stops")
    mirror.signal()
    assert mirror.wait() == 0
    mirror.check()
    gate.open()
    for reader in readers:
        reader.close()
