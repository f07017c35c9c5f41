"""Connections that go on and on, and bring next to nothing."""

import itertools

import pytest

from harness.images import blob_image
from harness.util import MiB, noise

SIZE = 96 * MiB


@pytest.mark.parametrize("others", [None, 2 * MiB], ids=["alone at the end", "beside others"])
def test_one_connection_that_trickles_does_not_hold_up_the_blob(others, entrepot, upstream):
    """2 KB a second are no stall; at that pace its portion alone would take an hour."""
    image, number = upstream.add(blob_image(noise(SIZE)), "library/x", "1"), itertools.count()
    (digest,) = image.layer_digests
    upstream.on("GET", digest, call=lambda it: upstream.serve(it, pace=2048 if next(number) == 2 else others))
    mirror = entrepot(upstream)
    assert mirror.get("/v2/library/x/manifests/1").status == 200
    reply = mirror.get(f"/v2/library/x/blobs/{digest}", keep=False, timeout=60)
    assert reply.sha256 == digest, reply
    assert upstream.body_bytes(digest) <= SIZE + 2 * MiB
