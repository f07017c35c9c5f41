"""Layers of models, made by the oracle of the layout and read by a reader that is not ours."""

import fcntl
import functools
import importlib.util
import json
import subprocess

from .content import as_content
from .util import ROOT, SLOW

FOLDER = ROOT / "build-go"
PACKAGES = "golang-go golang-github-containerd-stargz-snapshotter-dev"


class NotRight(Exception):
    """What the reader says is wrong."""


@functools.cache
def _reader():
    """The program, built: anew only where its source has changed."""
    FOLDER.mkdir(exist_ok=True)
    program, source = FOLDER / "estargz_reader", ROOT / "tests" / "estargz_reader" / "main.go"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(FOLDER),
        "GOCACHE": str(FOLDER / "cache"),
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.run(
            ["/usr/bin/go", "build", "-o", program, source], capture_output=True, text=True, env=environment
        )
    assert run.returncode == 0, f"{run.stderr}\nare these installed: {PACKAGES}?"
    return program


def read_layer(source, toc_digest, only=None, block=None, timeout=120):
    """{name: entry} of a layer, a file or a URL, after every chunk has been verified (or those of the file `only`).
    An entry has type, size, mode, uid, gid, modified and, of files, sha256 and chunks. From a URL it reads `block`
    bytes at a time (1 MiB), as lazy clients do."""
    options = ["-toc", toc_digest]
    options += ["-only", only] if only else []
    options += ["-block", str(block)] if block else []
    run = subprocess.run([_reader(), *options, str(source)], capture_output=True, text=True, timeout=timeout * SLOW)
    if run.returncode != 0:
        raise NotRight(run.stderr.strip())
    entries = [json.loads(line) for line in run.stdout.splitlines()]
    return {entry.pop("name"): entry for entry in entries}


@functools.cache
def _oracle():
    path = ROOT / "tests" / "oracle" / "layout_v1.py"
    spec = importlib.util.spec_from_file_location("layout_v1", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def oracle_layer(files, folder):
    """Builds the one layer of these files, {path: bytes or Content}, in a new folder: the blob's path, and what the
    oracle tells of it: digest, size, diff_id, uncompressed, toc_digest, toc_off and segs."""
    folder.mkdir(parents=True)
    paths = {}
    for number, (name, data) in enumerate(files.items()):
        paths[name] = folder / str(number)
        with open(paths[name], "wb") as file:
            file.writelines(as_content(data).pieces())
    with open(folder / "layer", "wb") as sink:
        told = _oracle().build({name: str(path) for name, path in paths.items()}, sink)
    return folder / "layer", told


def place_of(told, name, offset):
    """Where in the oracle's layer this byte of a file is."""
    place = 0
    for kind, *segment in told["segs"]:
        if kind == "file" and segment[0] == name and segment[1] <= offset < segment[1] + segment[2]:
            return place + offset - segment[1]
        place += len(segment[0]) if kind == "lit" else segment[2]
    raise AssertionError(f"byte {offset} of {name} is in no segment")
