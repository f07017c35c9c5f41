"""Upstreams behind TLS."""

import shutil

import pytest

from harness.https import Https
from harness.images import blob_image
from harness.util import MiB, noise

SIZE = 96 * MiB + 4321

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="a certificate is made")


@pytest.fixture
def https(tmp_path):
    with Https(tmp_path) as server:
        yield server


def test_a_certificate_that_is_not_trusted_is_told_from_a_connection_that_breaks(entrepot, https):
    digest = https.add_blob("library/x", b"x")
    mirror = entrepot({"docker.io": https.url.replace("http", "https")})
    assert "ca_file" in mirror.get(f"/v2/library/x/blobs/{digest}").body.decode()
    https.resets = 100
    assert "ca_file" not in mirror.get(f"/v2/library/x/blobs/{digest}").body.decode()


def test_a_handshake_that_is_reset_is_tried_again(entrepot, https):
    digest = https.add_blob("library/x", noise(300_000))
    mirror = entrepot({}, config=https.config)
    https.resets = 1
    reply = mirror.get(f"/v2/library/x/blobs/{digest}")
    assert reply.sha256 == digest and https.resets == 0, reply


def test_handshakes_that_are_reset_while_others_go_on(entrepot, https):
    """As where an upstream, or what stands before it, bears fewer connections."""
    image = https.add(blob_image(noise(SIZE)), "library/x", "1")
    (digest,) = image.layer_digests

    def first(exchange):
        https.resets = 4
        https.serve(exchange)

    https.on("GET", digest, times=1, call=first)
    mirror = entrepot({}, config=https.config)
    mirror.pull("library/x", "1")
    assert https.resets == 0
    assert https.body_bytes(digest) == SIZE
