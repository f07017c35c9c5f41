"""Real container clients, each with its own storage, set up with the lines of README, in a mount
namespace whose /etc/hosts sends the registries' names to loopback, so that nothing leaves the machine,
and whose /etc/containers/registries.conf.d holds README's file.

Every client has pull(image) -> {path: (kind, mode, content)} of what it unpacked or stored.
"""

import gzip
import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .images import flatten
from .readme import block
from .util import SLOW, wait_until

HOSTS = "127.0.0.1 localhost docker.io registry-1.docker.io auth.docker.io index.docker.io depot.ai\n"
ENTER = """set -e
mount --bind "$0/etc/hosts" /etc/hosts
mount --bind "$0/etc/registries" /etc/containers/registries.conf.d
exec "$@"
"""


class Client:
    """A context manager: the storage goes with it. (In a short path: podman allows its runroot 50 bytes.)"""

    def __init__(self, mirror):
        self.folder = tempfile.TemporaryDirectory(prefix="pull-", dir="/tmp", ignore_cleanup_errors=True)
        self.directory, self.mirror = Path(self.folder.name), mirror
        self.write("etc/hosts", HOSTS)
        self.write("etc/registries/50-mirror.conf", block("podman-registries-conf", mirror))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def inside(self, command):
        return ["unshare", "--mount", "sh", "-c", ENTER, str(self.directory), *map(str, command)]

    def environment(self):
        return {
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
        }

    def run(self, *command):
        done = subprocess.run(
            self.inside(command),
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=self.directory,
            timeout=120 * SLOW,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr[-3000:]}"
        return done.stdout.strip()

    @contextmanager
    def daemon(self, command, is_ready):
        log = self.directory / "daemon.log"
        with open(log, "w") as out:
            process = subprocess.Popen(self.inside(command), stdout=out, stderr=out, env=self.environment())
        try:

            def ready():
                assert process.poll() is None, log.read_text()[-3000:]
                return is_ready()

            wait_until(ready, f"{command[0]} is ready", timeout=60)
            yield
        finally:
            process.terminate()
            process.wait(60 * SLOW)

    def answers(self, *command):
        return subprocess.run(command, capture_output=True, env=self.environment(), timeout=60 * SLOW).returncode == 0


def tree_of_folder(client, folder, *before):
    """Tars a root file system inside the namespace; `before` is a command to run there first."""
    archive = client.directory / "tree.tar"
    client.run("sh", "-ec", f"{' '.join(map(str, before))}\ntar --numeric-owner -C {folder} -cf {archive} .")
    return flatten([archive.read_bytes()])


def pull(name, address, image):
    """What the client of that name, or class, gets from a mirror at (host, port)."""
    with CLIENTS.get(name, name)("%s:%d" % address) as client:
        return client.pull(image)


def plain(layer):
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


class Stored(Client):
    """What podman and buildah have in common."""

    def storage(self):
        return ["--root", self.directory / "root", "--runroot", self.directory / "run", "--storage-driver", "vfs"]


    def podman(self):
        return ["podman", *self.storage(), "--tmpdir", self.directory / "tmp", "--cgroup-manager", "cgroupfs"]


class Skopeo(Client):
    def pull(self, image):
        out = self.directory / "out"
        self.run("skopeo", "copy", f"docker://{image}", f"dir:{out}")
        manifest = json.loads((out / "manifest.json").read_text())
        return flatten([plain((out / layer["digest"].partition(":")[2]).read_bytes()) for layer in manifest["layers"]])


class Podman(Stored):
    def pull(self, image):
        self.run(*self.podman(), "pull", image)
        return tree_of_folder(self, self.run(*self.podman(), "image", "mount", image))

    def build(self, folder):
        self.run(*self.podman(), "build", "--tls-verify=false", "-t", "app", folder)
        return tree_of_folder(self, self.run(*self.podman(), "image", "mount", "app"))


class Buildah(Stored):
    def pull(self, image):
        buildah = ["buildah", *self.storage()]
        container = self.run(*buildah, "from", image)
        return tree_of_folder(self, self.run(*buildah, "mount", container))

    def build(self, folder):
        buildah = ["buildah", *self.storage()]
        self.run(*buildah, "bud", "--tls-verify=false", "-t", "app", folder)
        return tree_of_folder(self, self.run(*buildah, "mount", self.run(*buildah, "from", "app")))


class Docker(Client):
    def __init__(self, mirror, driver="vfs"):
        super().__init__(mirror)
        self.driver = driver

    @contextmanager
    def serving(self):
        """A dockerd for as long as the block runs; gives the command line that talks to it, Debian's own."""
        config = self.write("daemon.json", block("docker-daemon-json", self.mirror))
        socket = f"unix://{self.directory}/s"
        docker = ["/usr/bin/docker", "-H", socket]
        daemon = [
            "dockerd",
            "--config-file",
            config,
            "--data-root",
            self.directory / "data",
            "--exec-root",
            self.directory / "x",
            "-H",
            socket,
            "--pidfile",
            self.directory / "pid",
            "--storage-driver",
            self.driver,
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
        ]
        with self.daemon(daemon, lambda: self.answers(*docker, "version")):
            yield docker

    def saved(self, docker, image):
        self.run(*docker, "save", "-o", self.directory / "saved.tar", image)
        with tarfile.open(self.directory / "saved.tar") as saved:
            (manifest,) = json.load(saved.extractfile("manifest.json"))
            return flatten([saved.extractfile(layer).read() for layer in manifest["Layers"]])

    def pull(self, image):
        with self.serving() as docker:
            self.run(*docker, "pull", image)
            return self.saved(docker, image)

    def build(self, folder):
        """By BuildKit, which Debian's docker brings along."""
        with self.serving() as docker:
            self.run("env", "DOCKER_BUILDKIT=1", *docker, "build", "-t", "app", folder)
            return self.saved(docker, "app")


class Containerd(Client):
    HOSTS_BLOCK, HOSTS_FOLDER = "containerd-hosts-toml", "docker.io"

    @contextmanager
    def serving(self, command="ctr"):
        """A containerd for as long as the block runs; gives the command line that talks to it."""
        config = self.write(
            "config.toml",
            f"""version = 2
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.directory}/s"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.directory}/opt"
""",
        )
        ctr = [command, "--address", str(self.directory / "s")]
        with self.daemon(["containerd", "--config", config], lambda: self.answers(*ctr, "version")):
            yield ctr

    def pull(self, image):
        self.write(f"certs.d/{self.HOSTS_FOLDER}/hosts.toml", block(self.HOSTS_BLOCK, self.mirror))
        with self.serving() as ctr:
            self.run(
                *ctr, "images", "pull", "--hosts-dir", self.directory / "certs.d", "--snapshotter", "native", image
            )
            (self.directory / "mounted").mkdir()
            return tree_of_folder(self, "mounted", *ctr, "images", "mount", "--snapshotter", "native", image, "mounted")


class ContainerdWithOneFile(Containerd):
    """One hosts.toml for all registries."""

    HOSTS_BLOCK, HOSTS_FOLDER = "containerd-default-hosts-toml", "_default"


CLIENTS = {"skopeo": Skopeo, "podman": Podman, "buildah": Buildah, "docker": Docker, "containerd": Containerd}
