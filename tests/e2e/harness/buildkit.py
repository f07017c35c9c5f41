"""A buildkitd of its own, as `docker buildx` has one for its builders: newer than the builder within Debian's Docker,
so it knows COPY --link, and layers that are read lazily. It is built once, from modules of Go, into build-go/."""

import fcntl
import functools
import os
import subprocess
from contextlib import contextmanager

import pytest

from .clients import Client
from .images import flatten
from .readme import block
from .util import ROOT

FOLDER = ROOT / "build-go"
MODULE, VERSION = "github.com/moby/buildkit", "v0.11.6"  # Debian 12's Go builds it
PROGRAMS = ("buildkitd", "buildctl")


@functools.cache
def _programs():
    """The folder of the programs, or why there is none: tried once. The modules come from where Go is set up to get
    them, and it keeps them and what it compiled in its own caches."""
    folder = FOLDER / f"buildkit-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder if (folder / "complete").exists() else _build(folder)


def _build(folder):
    flags = f"-s -w -X {MODULE}/version.Version={VERSION}"
    command = ["/usr/bin/go", "install", "-ldflags", flags]
    command += [f"{MODULE}/cmd/{program}@{VERSION}" for program in PROGRAMS]
    environment = os.environ | {"GOBIN": str(folder), "GO111MODULE": "on", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    try:
        run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=900)
    except subprocess.TimeoutExpired as slow:
        return str(slow)
    assert "\n# " not in "\n" + run.stderr, run.stderr  # the compiler's word
    if run.returncode != 0:
        return (run.stderr.strip() or "no word").splitlines()[-1]
    (folder / "complete").touch()
    return folder


def _or_skip():
    made = _programs()
    if isinstance(made, str):
        pytest.skip(f"Go modules cannot be reached: {made}")
    return made


class BuildKit(Client):
    """Set up with README's lines, for depot.ai in place of docker.io. The snapshotter is "native", which unpacks
    layers, or "stargz", which mounts them and reads what is asked for."""

    def __init__(self, mirror, snapshotter="native"):
        if snapshotter == "stargz" and not os.path.exists("/dev/fuse"):
            pytest.skip("layers cannot be mounted: there is no /dev/fuse")
        self.programs = _or_skip()
        super().__init__(mirror)
        self.snapshotter = snapshotter

    @contextmanager
    def serving(self):
        """A buildkitd for as long as the block runs; gives the command line that talks to it."""
        lines = block("buildkitd-toml", self.mirror).replace("docker.io", "depot.ai")
        lines += "[worker.oci.stargzSnapshotter]\n  no_background_fetch = true\n"
        socket = f"unix://{self.directory}/s"
        buildctl = [self.programs / "buildctl", "--addr", socket]
        daemon = [
            self.programs / "buildkitd",
            "--config",
            self.write("buildkitd.toml", lines),
            "--root",
            self.directory / "root",
            "--addr",
            socket,
            "--containerd-worker=false",
            "--oci-worker-gc=false",
            "--oci-worker-net=host",
            f"--oci-worker-snapshotter={self.snapshotter}",
        ]
        with self.daemon(daemon, lambda: self.answers(*buildctl, "debug", "workers")):
            yield buildctl

    def made(self, buildctl, folder):
        """What a Dockerfile makes, by a daemon that serves."""
        out = self.directory / "out.tar"
        command = [*buildctl, "build", "--progress=plain", "--frontend=dockerfile.v0", "--no-cache"]
        command += [f"--local=context={folder}", f"--local=dockerfile={folder}", f"--output=type=tar,dest={out}"]
        self.run(*command)
        return flatten([out.read_bytes()])

    def build(self, folder):
        with self.serving() as buildctl:
            return self.made(buildctl, folder)
