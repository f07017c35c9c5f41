"""Models as images: what a client has of one, and what the oracle says it should have."""

import io
import json
import sys

from .content import Made, as_content
from .util import ROOT, MiB, digest_of, noise

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import layout_v1  # noqa: E402

INDEX = "application/vnd.oci.image.index.v1+json"
LARGE, LARGE_LAYERS = 64 * MiB, 60
PATIENT = {"User-Agent": "skopeo/1"}  # who waits for an import as long as it takes


def typical_files(large):
    """Of a model as clients are to copy it: names and sizes that matter to one of them or another, one that is no part
    of the image, and one of `large` bytes, which has a layer to itself."""
    return {
        "README.md": b"# A model\n",
        ".gitattributes": b"*.bin filter=lfs\n",
        "config.json": b'{"a":1}\n',
        "empty.txt": b"",
        "onnx/model.onnx": noise(5 * MiB + 3, 1),
        "tokenizer/a file with \u00fcml\u00e4uts and blanks.txt": noise(70_000, 2),
        "model.safetensors": Made(large, 3),
    }


class Image:
    """What a client has of a model that it pulls by its tag."""

    def __init__(self, mirror, name, tag="latest", **options):
        self.mirror, self.name = mirror, name
        self.reply = mirror.get(f"/v2/{name}/manifests/{tag}", **options)
        assert self.reply.status == 200, self.reply
        assert self.reply.headers["content-type"] == INDEX
        self.index = self.reply.json
        self.digest = digest_of(self.reply.body)
        assert self.reply.headers["docker-content-digest"] == self.digest
        self.manifests = [self.document("manifests", each) for each in self.index["manifests"]]
        self.configs = [self.document("blobs", each["config"]) for each in self.manifests]
        assert self.manifests[0]["layers"] == self.manifests[1]["layers"]
        self.layers = self.manifests[0]["layers"]

    @property
    def revision(self):
        return self.index["annotations"]["org.opencontainers.image.revision"]

    @property
    def digests(self):
        return [layer["digest"] for layer in self.layers]

    def document(self, kind, descriptor):
        reply = self.mirror.get(f"/v2/{self.name}/{kind}/{descriptor['digest']}")
        assert reply.status == 200 and digest_of(reply.body) == descriptor["digest"], reply
        assert len(reply.body) == descriptor["size"]
        return json.loads(reply.body)

    def agrees_with(self, files):
        """Whether every layer is what the oracle makes of these files."""
        expected = layers_of(files)
        assert self.digests == [each["digest"] for each in expected]
        assert [layer["size"] for layer in self.layers] == [each["size"] for each in expected]
        for layer, each in zip(self.layers, expected):
            assert layer["annotations"] == {
                "containerd.io/snapshot/stargz/toc.digest": each["toc_digest"],
                "io.containers.estargz.uncompressed-size": str(each["uncompressed"]),
            }
        for config in self.configs:
            assert config["rootfs"]["diff_ids"] == [each["diff_id"] for each in expected]
        return True


def imported(mirror, name="hf/org/model", tag="latest"):
    """What it is when it has been imported, however long that takes."""
    return Image(mirror, name, tag, headers=PATIENT)


def having(mirror, hub, files):
    """The mirror, when it has these files of the hub as hf/org/model; as its `image` says."""
    hub.add("Org/Model", files)
    mirror.image = imported(mirror)
    return mirror


class _Stream(io.RawIOBase):
    """A content, to be read as a file."""

    def __init__(self, content):
        self.content, self.at = content, 0

    def read(self, count):
        piece = self.content.read(self.at, min(self.at + count, self.content.size))
        self.at += len(piece)
        return bytes(piece)


class _Sink:
    def write(self, data):
        pass


def split(files):
    """Names, layer by layer: models.md 3.3."""
    names = sorted((name for name in files if name != ".gitattributes"), key=str.encode)
    large = [name for name in names if as_content(files[name]).size >= LARGE]
    share = max(1, -(-len(large) // LARGE_LAYERS))
    layers = [large[i : i + share] for i in range(0, len(large), share)]
    small = [name for name in names if name not in large]
    return layers + ([small] if small else [])


def layers_of(files, sink=None):
    """What the oracle says of each layer of these files, {name: bytes or Content}."""
    return [build({name: as_content(files[name]) for name in names}, sink or _Sink()) for names in split(files)]


def build(contents, sink):
    """layout_v1.build() on contents instead of files."""
    real_open, real_size = getattr(layout_v1, "open", open), layout_v1.os.path.getsize

    class Os:
        class path:
            getsize = staticmethod(lambda name: contents[name].size)

    layout_v1.open, real_os, layout_v1.os = lambda name, mode: _Stream(contents[name]), layout_v1.os, Os
    try:
        return layout_v1.build({name: name for name in contents}, sink)
    finally:
        layout_v1.open, layout_v1.os = real_open, real_os
