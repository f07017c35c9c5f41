"""The independent eStargz reader takes the oracle's layers, and nothing else: without the product."""

import pytest

from harness.content import Made, as_content
from harness.estargz import NotRight, oracle_layer, place_of, read_layer
from harness.util import MiB, digest_of

CHUNK = 4 * MiB
FILES = {
    "config.json": b'{"a":1}\n',
    "empty": b"",
    "exact.bin": Made(2 * CHUNK, 4),
    "onnx/ü/model.onnx": b"weights",
    "onnx/" + "long" * 40 + ".onnx": b"more weights",
    "weights.bin": Made(2 * CHUNK + 5, 3),
}


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    return oracle_layer(FILES, tmp_path_factory.mktemp("estargz") / "layer")


def test_every_chunk_of_every_file_is_right(layer):
    path, told = layer
    entries = read_layer(path, told["toc_digest"])
    files = {name: entry for name, entry in entries.items() if entry["type"] == "reg"}
    assert entries.keys() - files.keys() == {"onnx", "onnx/ü"}
    assert {name: entry["sha256"] for name, entry in files.items()} == {
        name: "sha256:" + as_content(data).sha256 for name, data in FILES.items()
    }
    assert [files[name].get("chunks", 0) for name in ("empty", "config.json", "exact.bin", "weights.bin")] == [
        0,
        1,
        2,
        3,
    ]
    assert {(entry["mode"], entry["uid"], entry["gid"], entry["modified"]) for entry in files.values()} == {
        (0o644, 0, 0, 315532800)
    }
    assert entries["onnx"]["mode"] == 0o755


def test_the_worked_example_is_read(tmp_path):
    path, told = oracle_layer({"config.json": b'{"a":1}\n', "model.bin": b"WEIGHTS"}, tmp_path / "layer")
    assert told["digest"] == "sha256:fa64a37de8f096ee72e708be6fda25994bc4ac6fff01a8e885e8884010cb309b"
    assert read_layer(path, told["toc_digest"])["model.bin"]["sha256"] == digest_of(b"WEIGHTS")


@pytest.mark.parametrize(
    "place, why",
    [
        (lambda told: place_of(told, "config.json", 3), "config.json: chunk at 0"),
        (lambda told: place_of(told, "weights.bin", 2 * CHUNK + 1), f"weights.bin: chunk at {2 * CHUNK} is not"),
        (lambda told: told["toc_off"] + 700, "stargz.index.json|TOC JSON|invalid"),
        (lambda told: told["size"] - 20, "footer"),
    ],
    ids=["first chunk", "last chunk", "table", "footer"],
)
def test_a_flipped_byte_is_found(layer, tmp_path, place, why):
    path, told = layer
    data = bytearray(path.read_bytes())
    data[place(told)] ^= 1
    (tmp_path / "layer").write_bytes(data)
    with pytest.raises(NotRight, match=why):
        read_layer(tmp_path / "layer", told["toc_digest"])


def test_another_table_is_refused(layer):
    path, _ = layer
    with pytest.raises(NotRight, match="invalid TOC JSON"):
        read_layer(path, digest_of(b"another"))


def test_one_file_is_read_lazily_over_http(layer, upstream):
    path, told = layer
    digest = upstream.add_blob("hf/org/model", path.read_bytes())
    url, target = f"{upstream.url}/v2/hf/org/model/blobs/{digest}", f"/blobs/{digest}"
    found = read_layer(url, told["toc_digest"], only="config.json", block=50_000)
    assert list(found) == ["config.json"] and found["config.json"]["sha256"] == digest_of(FILES["config.json"])
    assert upstream.body_bytes(target) < 200_000
    assert read_layer(url, told["toc_digest"]) == read_layer(path, told["toc_digest"])
    upstream.on("GET", target, corrupt=place_of(told, "config.json", 0))
    with pytest.raises(NotRight, match="config.json"):
        read_layer(url, told["toc_digest"], only="config.json", block=50_000)
