"""Images made on the spot, and what their layers amount to when they are unpacked."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field

from .util import MiB, digest_of, noise

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ALL_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

TYPES = {  # manifest: config, layer
    OCI_MANIFEST: ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"),
    DOCKER_MANIFEST: (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}


@dataclass
class Image:
    data: bytes
    media_type: str
    blobs: dict = field(default_factory=dict)  # digest -> bytes, the manifest's own order: config, layers
    children: list = field(default_factory=list)  # of an index
    layers: list = field(default_factory=list)  # plain tars
    algorithm: str = "sha256"

    @property
    def digest(self):
        return digest_of(self.data, self.algorithm)

    @property
    def layer_digests(self):
        return list(self.blobs)[1:]


def _manifest(config, layers, media_type, algorithm="sha256", padding=0, annotations=None):
    """`layers` are (bytes, media type)."""
    config_type, _ = TYPES[media_type]
    blobs = {digest_of(data, algorithm): data for data in (config, *(data for data, _ in layers))}

    def descriptor(data, kind):
        return {"mediaType": kind, "digest": digest_of(data, algorithm), "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config, config_type),
        "layers": [descriptor(data, kind) for data, kind in layers],
    }
    if padding or annotations:
        manifest["annotations"] = dict(annotations or {}, **({"padding": "x" * padding} if padding else {}))
    return Image(json.dumps(manifest, indent=3).encode(), media_type, blobs, algorithm=algorithm)


def _config(architecture, diff_ids):
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/none"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "tests"} for _ in diff_ids],
        }
    ).encode()


def blob_image(*payloads, media_type=OCI_MANIFEST, algorithm="sha256", padding=0):
    """An artifact: its layers are just these bytes."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "of": [digest_of(p) for p in payloads]}).encode()
    return _manifest(
        config, [(payload, "application/octet-stream") for payload in payloads], media_type, algorithm, padding
    )


def tar_image(seed, architecture="amd64", media_type=OCI_MANIFEST, files=150):
    """Four layers: many small files; links and odd modes; changes and whiteouts; a file of 3 MiB."""
    layers = [
        _small_files(seed, files),
        _links(seed),
        _changes(seed),
        _tar([_file("data/large.bin", noise(3 * MiB, seed))]),
    ]
    return image_of(layers, architecture, media_type)


def image_of(layers, architecture="amd64", media_type=OCI_MANIFEST, level=1):
    """An image of these plain tars."""
    config = _config(architecture, [digest_of(layer) for layer in layers])
    packed = [(gzip.compress(layer, level, mtime=0), TYPES[media_type][1]) for layer in layers]
    image = _manifest(config, packed, media_type)
    image.layers = layers
    return image


def layer_of(files):
    """A plain tar of {folder/name: bytes}, in that order, after the folders."""
    folders = sorted({name.rpartition("/")[0] for name in files})
    return _tar([_entry(name, tarfile.DIRTYPE) for name in folders] + [_file(*file) for file in files.items()])


def index_of(images, media_type=OCI_INDEX, architectures=("amd64", "arm64")):
    entries = [
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(image.data),
            "platform": {"architecture": architecture, "os": "linux"},
        }
        for image, architecture in zip(images, architectures)
    ]
    data = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()
    return Image(data, media_type, children=list(images))


# -- tar layers


def _file(name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), mode, 1_600_000_000
    return entry, data


def _entry(name, kind, target="", mode=0o755):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode, entry.mtime = kind, target, mode, 1_600_000_000
    return entry, b""


def _tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _small_files(seed, count):
    random_ = random.Random(f"files {seed}")
    entries = [_entry(name, tarfile.DIRTYPE) for name in ("bin", "etc", "data", "data/deep", "data/deep/er")]
    for number in range(count):
        folder = random_.choice(("bin", "etc", "data/deep/er"))
        entries.append(_file(f"{folder}/file-{number}", random_.randbytes(random_.randrange(5000))))
    return _tar([*entries, _file("etc/gone", b"whited out later"), _file("etc/changed", b"first")])


def _links(seed):
    return _tar(
        [
            _entry("links", tarfile.DIRTYPE),
            _file("links/original", f"seed {seed}".encode(), 0o755),
            _entry("links/hard", tarfile.LNKTYPE, "links/original"),
            _entry("links/soft", tarfile.SYMTYPE, "../etc/changed", 0o777),
            _file("links/suid", b"s", 0o4755),
            _file("links/empty", b""),
            _file("links/näme with späces", b"utf-8", 0o600),
        ]
    )


def _changes(seed):
    return _tar([_file("etc/.wh.gone", b""), _file("etc/changed", f"second {seed}".encode(), 0o640)])


def flatten(layers):
    """What a container sees: {path: (kind, mode, content)} of plain tars applied in order."""
    tree = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for entry in tar:
                path = entry.name.lstrip("./")
                folder, _, name = path.rpartition("/")
                if name.startswith(".wh."):
                    tree.pop(f"{folder}/{name[4:]}")
                elif entry.isdir():
                    tree[path] = ("dir", entry.mode, "")
                elif entry.issym():
                    tree[path] = ("link", 0, entry.linkname)
                elif entry.islnk():
                    tree[path] = tree[entry.linkname.lstrip("./")]
                else:
                    tree[path] = ("file", entry.mode, hashlib.sha256(tar.extractfile(entry).read()).hexdigest())
    tree.pop("", None)
    return tree
