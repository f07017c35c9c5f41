"""Must show 7: memory does not grow with clients or with blobs."""

import selectors
import socket

import pytest

from harness.entrepot import is_sanitized
from harness.http import Reply
from harness.images import blob_image
from harness.util import MiB, noise

CLIENTS = 256


class Readers:
    """Many downloads of one target in one loop; bodies are dropped in the kernel (MSG_TRUNC)."""

    def __init__(self, address, target, count):
        self.selector, self.left, self.buffer = selectors.DefaultSelector(), {}, bytearray(MiB)
        for _ in range(count):
            sock = socket.create_connection(address)
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.left[sock] = None

    def run(self):
        """To the end of all of them; the sizes of their bodies."""
        sizes = []
        while self.left:
            ready = self.selector.select(120)
            assert ready, "nothing has come for two minutes"
            for key, _ in ready:
                if (size := self._turn(key.fileobj)) is not None:
                    sizes.append(size)
                    self.selector.unregister(key.fileobj)
                    del self.left[key.fileobj]
                    key.fileobj.close()
        return sizes

    def _turn(self, sock):
        if self.left[sock] is None:  # the head is small, and comes in one piece
            head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
            reply = Reply(head)
            assert reply.status == 200
            self.left[sock] = [int(reply.headers["content-length"]), len(body)]
        else:
            count = sock.recv_into(self.buffer, len(self.buffer), socket.MSG_TRUNC)
            assert count, "cut short"
            self.left[sock][1] += count
        length, received = self.left[sock]
        return received if received == length else None


@pytest.mark.long
@pytest.mark.parametrize(
    "size", [256 * MiB, pytest.param(1024 * MiB, marks=pytest.mark.soak)], ids=["256 MiB", "1 GiB"]
)
def test_256_clients_stream_a_cold_blob_within_64_mib(entrepot, upstream, size):
    image = upstream.add(blob_image(noise(size)), "library/x", "1")
    (digest,) = image.layer_digests
    mirror = entrepot(upstream)
    mirror.get("/v2/library/x/manifests/1")
    assert Readers(mirror.address, f"/v2/library/x/blobs/{digest}", CLIENTS).run() == [size] * CLIENTS
    assert upstream.body_bytes(digest) == size
    peak = mirror.memory("VmHWM")
    print(f"\npeak resident memory: {peak / MiB:.1f} MiB")
    assert is_sanitized() or peak <= 64 * MiB
