"""Connections that are kept for the next request, and what becomes of them meanwhile."""

import ctypes
import shutil
import socket
import struct
import threading

import pytest

from harness.https import Https
from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import in_threads, let_pass, noise, wait_until

COUNT = 20
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
RETURN = 0x06  # linux/bpf_common.h: BPF_RET | BPF_K


def deafen(sock):
    """Whatever comes on it is dropped before TCP sees it, as by a firewall that has forgotten it."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(drop)))


def keep(mirror, upstream, count=COUNT):
    """So many connections, by so many blobs at once; each has been answered. Their sockets, if not of Https."""
    digests = [upstream.add_blob("library/kept", noise(1000, seed)) for seed in range(count)]
    together = threading.Barrier(count)

    def answer(exchange):
        together.wait(60)
        upstream.serve(exchange)

    upstream.on("GET", "library/kept", call=answer)
    for reply in in_threads(count, lambda i: mirror.get(f"/v2/library/kept/blobs/{digests[i]}")):
        assert reply.status == 200, reply
    assert upstream.connections == count
    return list(upstream.sockets)


def asks_well(mirror, upstream):
    """The next requests, small and large, are answered, and none of them fails upstream."""
    image = upstream.add(blob_image(noise(100_000, 99)), "library/x", *map(str, range(10)))
    for reply in in_threads(10, lambda i: mirror.get(f"/v2/library/x/manifests/{i}")):
        assert (reply.status, reply.body) == (200, image.data), reply
    assert mirror.pull("library/x", "1")
    assert mirror.metric("entrepot_upstream_errors_total") == 0, mirror.metrics()


def test_connections_that_fell_silent_cost_one_connect_timeout(entrepot, upstream):
    """A firewall or a router has forgotten them: nothing tells. It is a request's to find out, once for all."""
    mirror = entrepot(upstream, connect_timeout="1s", header_timeout="5s", upstream_rest="10m")
    for sock in keep(mirror, upstream):
        deafen(sock)
    asks_well(mirror, upstream)


@pytest.mark.parametrize("ends", [True, False], ids=["and ends", "and stays"])
def test_what_comes_on_an_idle_connection_is_no_answer(entrepot, upstream, ends):
    """Some servers say 408 before they close a connection that was idle."""
    mirror = entrepot(upstream)
    head = b"HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for sock in keep(mirror, upstream):
        sock.send(head, socket.MSG_MORE if ends else 0)  # to come with its end
        if ends:
            sock.shutdown(socket.SHUT_WR)
    let_pass(0.1)
    asks_well(mirror, upstream)


@pytest.mark.skipif(not shutil.which("openssl"), reason="a certificate is made")
def test_idle_connections_that_tls_has_closed_are_not_asked(entrepot, tmp_path):
    """curl gives up after five of them; there are more."""
    with Https(tmp_path) as upstream:
        mirror = entrepot({}, config=upstream.config)
        keep(mirror, upstream)
        upstream.idle.set()
        wait_until(lambda: upstream.open == 0, "all are closed")
        upstream.idle.clear()
        asks_well(mirror, upstream)
