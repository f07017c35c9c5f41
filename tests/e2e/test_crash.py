"""kill -9 and power cuts at any moment: no wrong byte, and next to nothing fetched twice."""

import fcntl
import os
import random
import struct
import subprocess
import termios

import pytest

from harness.entrepot import is_sanitized
from harness.util import Gate, MiB, SLOW, Threads, digest_of, let_pass, noise, wait_until

CHECKPOINT = 4 * MiB


class Plug:
    """Pulls it: what was not synced of the files under partial/ is gone, and the kernel is another one."""

    def __init__(self, directory):
        self.copies, self.boot_id, self.boots = directory / "copies", directory / "boot_id", 0
        self.copies.mkdir()
        self.library = directory / "powerloss.so"
        source = os.path.join(os.path.dirname(__file__), "harness", "powerloss.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", source, "-o", self.library, "-ldl"], check=True)
        self.next_boot()

    def next_boot(self):
        self.boots += 1
        self.boot_id.write_text(f"boot-{self.boots}\n")

    def variables(self):
        return {
            "LD_PRELOAD": str(self.library),
            "POWERLOSS_COPIES": str(self.copies),
            "POWERLOSS_BOOT_ID": str(self.boot_id),
        }

    def copy_of(self, path):
        status = path.stat()
        return self.copies / f"{status.st_dev}-{status.st_ino}"

    def pull(self, mirror):
        for path in (mirror.cache / "partial").glob("*/*"):
            synced = self.copy_of(path).read_bytes() if self.copy_of(path).exists() else b""
            size = path.stat().st_size
            synced = synced[:size].ljust(size, b"\0")  # a copy may be of the file that had the inode before
            with open(path, "r+b") as file:  # its length may have lasted, its bytes did not
                file.write(synced)
        self.next_boot()


class Rounds:
    """One blob after the other, pulled whole and by ranges, until each is held; ended at any moment."""

    def __init__(self, mirror, upstream, seed):
        self.mirror, self.upstream, self.random = mirror, upstream, random.Random(seed)
        self.count, self.sizes, self.lost = 0, 0, []
        self.next_blob()

    def next_blob(self):
        self.count += 1
        self.data = noise(self.random.randrange(24 * MiB, 48 * MiB), self.count)
        self.digest = self.upstream.add_blob("library/x", self.data)
        self.target = f"/v2/library/x/blobs/{self.digest}"
        self.sizes += len(self.data)

    def on_disk(self):
        """Bytes of this blob, whole or not."""
        name = self.digest.partition(":")[2]
        return sum(path.stat().st_blocks * 512 for path in self.mirror.cache.glob(f"*/**/{name}*"))

    def client(self, number):
        start = self.random.randrange(len(self.data))
        try:
            if number == 0:
                reply = self.mirror.get(self.target)
                start = 0
            else:
                reply = self.mirror.get(self.target, headers={"Range": f"bytes={start}-{start + 3 * MiB}"})
        except (OSError, EOFError):
            return  # it was killed before there was a head
        if reply.status in (200, 206):
            assert reply.body == self.data[start : start + reply.received]

    def one(self, after=lambda: None):
        clients = Threads(4, self.client)
        let_pass(self.random.random() * 0.2)
        self.mirror.kill()
        clients.join()  # first: what is still in sockets is not given back
        written = self.on_disk()
        after()
        self.mirror.start()
        self.lost.append(written - self.on_disk())  # what it does not know of is given back at the start
        self.client(1)
        if self.mirror.holds(self.digest):
            assert digest_of(self.mirror.path_of(self.digest).read_bytes()) == self.digest
            self.next_blob()

    def finish(self):
        assert wait_until(lambda: self.mirror.get(self.target).body == self.data, "the last one is right")
        self.mirror.wait_held(self.digest)
        again, rounds = self.upstream.body_bytes("/blobs/") - self.sizes, len(self.lost)
        print(
            f"{again / rounds / MiB:.2f} MiB a round sent again, sockets and all; of what was on the disk"
            f" {sum(self.lost) / rounds / MiB:.2f}, at most {max(self.lost) / MiB:.2f}"
        )
        # What lay in sockets, megabytes each, was sent again too; nothing else was.
        assert again >= sum(self.lost) - len(self.lost) * 4096
        assert max(self.lost) <= CHECKPOINT


ROUNDS = [12 if SLOW == 1 else 4, pytest.param(200, marks=pytest.mark.soak)]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("connections", [1, 8])
def test_kill_9_at_any_moment(rounds, connections, entrepot, upstream):
    """B11: every byte right, and at most `checkpoint` of each round fetched again."""
    mirror = entrepot(upstream, checkpoint="4MiB", blob_connections=connections)
    run = Rounds(mirror, upstream, rounds + connections)
    for _ in range(rounds):
        run.one()
    run.finish()


def unread(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]


def test_what_a_killed_mirror_sent_is_not_cleared_on_its_way(entrepot, upstream):
    """What lies in sockets are pages of the file, some of which the next start gives back to the disk."""
    mirror, dice = entrepot(upstream, checkpoint="1MiB"), random.Random(1)
    for number in range(12):
        gate, came = Gate(), dice.randrange(MiB, 4 * MiB)
        data = noise(8 * MiB, number)
        digest = upstream.add_blob("library/x", data)
        upstream.on("GET", digest, times=1, hold=(came, gate))
        with mirror.connect(receive_buffer=MiB) as client:
            client.request("GET", f"/v2/library/x/blobs/{digest}")
            client.head()
            got = client.read(came - 500_000)
            wait_until(lambda: len(client.buffer) + unread(client.socket) == 500_000, "the rest is here")
            mirror.kill()
            gate.open()
            mirror.start()
            while piece := client.read(MiB):
                got += piece
        assert len(got) == came
        assert got == data[:came], [n for n in range(came) if got[n] != data[n]][:3]


@pytest.mark.skipif(is_sanitized(), reason="the preloaded library must come after the sanitizer's")
@pytest.mark.parametrize("rounds", ROUNDS)
def test_power_cuts_at_any_moment(rounds, entrepot, upstream, tmp_path):
    """Nothing that was not synced is trusted, whatever the index says; at most `checkpoint` a round is lost."""
    plug = Plug(tmp_path)
    mirror = entrepot(upstream, checkpoint="4MiB")
    mirror.stop()
    mirror.variables = plug.variables()
    mirror.start()
    run = Rounds(mirror, upstream, rounds)
    for _ in range(rounds):
        run.one(lambda: plug.pull(mirror))
    run.finish()


@pytest.mark.skipif(is_sanitized(), reason="the preloaded library must come after the sanitizer's")
def test_what_was_synced_outlives_a_power_cut(entrepot, upstream, tmp_path):
    """The ranges of a lazy reader, a moment after he has gone."""
    plug = Plug(tmp_path)
    mirror = entrepot(upstream)
    mirror.stop()
    mirror.variables = plug.variables()
    mirror.start()
    data = noise(16 * MiB, 9)
    digest = upstream.add_blob("library/x", data)

    def read(start):
        reply = mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": f"bytes={start}-{start + 99}"})
        assert reply.status == 206 and reply.body == data[start : start + 100]

    read(5 * MiB)
    (file,) = (mirror.cache / "partial").glob("*/*")
    wait_until(lambda: plug.copy_of(file).exists(), "it was synced")
    let_pass(0.5)  # and is recorded
    mirror.kill()
    plug.pull(mirror)
    mirror.start()
    sent = upstream.body_bytes(digest)
    read(5 * MiB)
    assert upstream.body_bytes(digest) == sent
    read(9 * MiB)
