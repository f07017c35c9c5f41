"""Models of a hub as images: what a client sees of an import, manifest by manifest and byte by byte."""

import json
import sys

import pytest

from harness.content import Made
from harness.util import MiB, ROOT, Threads, digest_of, noise

sys.path.insert(0, str(ROOT / "tests" / "oracle"))

INDEX = "application/vnd.oci.image.index.v1+json"
MODEL = {
    "README.md": b"# A model\n",
    ".gitattributes": b"*.bin filter=lfs\n",
    "config.json": b'{"a":1}\n',
    "empty.txt": b"",
    "onnx/model.onnx": noise(5 * MiB + 3, 1),
    "tokenizer/vocab.txt": noise(70_000, 2),
}


class Image:
    """What a client has of a model that it pulls by its tag."""

    def __init__(self, mirror, name, tag="latest"):
        self.mirror, self.name = mirror, name
        self.reply = mirror.get(f"/v2/{name}/manifests/{tag}")
        assert self.reply.status == 200, self.reply
        assert self.reply.headers["content-type"] == INDEX
        self.index = self.reply.json
        self.digest = digest_of(self.reply.body)
        assert self.reply.headers["docker-content-digest"] == self.digest
        self.manifests = [self.document("manifests", each) for each in self.index["manifests"]]
        self.configs = [self.document("blobs", each["config"]) for each in self.manifests]
        self.layers = self.manifests[0]["layers"]

    def document(self, kind, descriptor):
        reply = self.mirror.get(f"/v2/{self.name}/{kind}/{descriptor['digest']}")
        assert reply.status == 200 and digest_of(reply.body) == descriptor["digest"], reply
        assert len(reply.body) == descriptor["size"]
        return json.loads(reply.body)


def test_a_model_is_an_image(entrepot, hub):
    commit = hub.add("Org/Model", MODEL)
    mirror = entrepot({"hf": hub.url})
    image = Image(mirror, "hf/org/model")
    assert [each["platform"]["architecture"] for each in image.index["manifests"]] == ["amd64", "arm64"]
    assert image.index["annotations"]["org.opencontainers.image.revision"] == commit
    assert len(image.layers) == 1
    assert [len(each["rootfs"]["diff_ids"]) for each in image.configs] == [1, 1]
    assert Image(mirror, "hf/org/model", commit).digest == image.digest
    assert not [request for request in hub.cdn.requests if "authorization" in request.headers]
