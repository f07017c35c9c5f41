"""An upstream whose name has several addresses, some of which do not answer, or refuse late."""

import os
import socket
from contextlib import contextmanager

import pytest

from harness.entrepot import Entrepot
from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import Threads, noise, wait_until

ENTER = 'mount --bind "$0" /etc/hosts && exec "$@"'
NAME = "two.test"
SYN_SENT = "02"  # in /proc/net/tcp

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="/etc/hosts is mounted over")


class WithHosts(Entrepot):
    """A mirror that finds these addresses for NAME, in this order: they share as many bits with 127.0.0.1,
    the least of which getaddrinfo() would put last."""

    hosts = ()

    def command(self):
        hosts = self.directory / "hosts"
        hosts.write_text("".join(f"{address} {NAME}\n" for address in self.hosts))
        return ["unshare", "--mount", "sh", "-c", ENTER, hosts, *super().command()]


@contextmanager
def mute(address):
    """A port whose queue of connections is full: whoever connects hears nothing. When it closes, the
    next try is refused."""
    with socket.create_server(address, backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield listener
        for filler in fillers:
            filler.close()


def connecting_to(address):
    """How many sockets of this machine wait for it to answer."""
    host, port = address
    wanted = "%08X:%04X" % (int.from_bytes(socket.inet_aton(host), "little"), port)
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return sum(row[2] == wanted and row[3] == SYN_SENT for row in rows)


@pytest.fixture
def server():
    with Upstream("127.0.0.6") as upstream:
        yield upstream


@pytest.fixture
def mirror(tmp_path, server):
    """It has one try, and a client no patience for a second one."""
    upstreams = {"docker.io": f"http://{NAME}:{server.port}"}
    mirror = WithHosts(tmp_path / "mirror", upstreams, fill_tries=1, answer_timeout="8s")
    yield mirror
    mirror.close()


@pytest.mark.parametrize("hosts", [("127.0.0.4", "127.0.0.6"), ("127.0.0.4", "127.0.0.5", "127.0.0.6")])
def test_a_mute_address_gives_way_to_the_next(mirror, server, hosts):
    """curl opens the next connection when it next looks, for which it sets no timer."""
    digest = server.add_blob("library/x", noise(300_000, 1))
    mirror.hosts = hosts
    mirror.settings["connect_timeout"] = "5s"
    mirror.start()
    with mute(("127.0.0.4", server.port)), mute(("127.0.0.5", server.port)):
        reply = mirror.get(f"/v2/library/x/blobs/{digest}")
    assert reply.sha256 == digest, reply


def test_an_address_that_refuses_late_gives_way_to_the_next(mirror, server):
    """As soon as it does: the next look by a timer would be after half of connect_timeout."""
    digest, dead = server.add_blob("library/x", noise(300_000, 1)), ("127.0.0.4", server.port)
    mirror.hosts = "127.0.0.4", "127.0.0.6"
    mirror.settings["connect_timeout"] = "20s"
    mirror.start()
    with mute(dead) as listener:
        before = connecting_to(dead)
        asking = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{digest}"))
        wait_until(lambda: connecting_to(dead) > before, "it connects")
        listener.close()
        reply = asking.join()[0]
    assert reply.sha256 == digest, reply


def test_a_name_that_has_moved_is_looked_up_again(mirror, server):
    """As soon as nobody is met where it was; curl would ask there for the rest of a minute."""
    mirror.hosts = ("127.0.0.4",)
    with Upstream("127.0.0.4") as old:
        mirror.upstreams["docker.io"] = f"http://{NAME}:{old.port}"
        for upstream in old, server:
            upstream.add(blob_image(b"x"), "library/x", "1", "2", "3")
        mirror.start()
        assert mirror.get("/v2/library/x/manifests/1").status == 200
    server.stop()
    server.port = old.port
    server.start()
    (mirror.directory / "hosts").write_text(f"127.0.0.6 {NAME}\n")
    mirror.get("/v2/library/x/manifests/2")
    reply = mirror.get("/v2/library/x/manifests/3")
    assert reply.status == 200, reply
