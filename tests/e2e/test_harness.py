"""The harness itself, without the product: what fails here is not Entrepot's."""

import gzip
import re
from pathlib import Path

import pytest

from harness.clients import CLIENTS, pull
from harness.http import Connection, fetch
from harness.images import blob_image, flatten, tar_image
from harness.registry import SERVICE, Registry, TokenServer
from harness.upstream import CountingProxy
from harness.util import Gate, digest_of, noise

ROWS = {
    "R": [*range(1, 7), 8, 9, 10],
    "P": range(1, 9),
    "M": range(1, 10),
    "B": [1, 2, 3, 5, 9, 10, 11],
    "E": range(1, 7),
}


@pytest.mark.clients
@pytest.mark.parametrize("name", CLIENTS)
def test_client_pulls_from_the_registry_itself(name, registry, demo):
    with CountingProxy(registry.address, lambda target: target.replace("/v2/docker.io/", "/v2/")) as proxy:
        tree = pull(name, proxy.address, "docker.io/library/demo:1")
        image = demo.children[0]
        assert tree == flatten(image.layers)
        for digest, data in image.blobs.items():
            asked = proxy.seen("GET", digest)
            assert len(asked) == 1 and asked[0].body_sent == len(data)


def test_flatten_applies_changes_and_whiteouts():
    image = tar_image(1)
    tree = flatten(image.layers)
    assert "etc/gone" not in tree and tree["etc/changed"][1] == 0o640
    assert tree["links/hard"] == tree["links/original"] and tree["links/soft"] == ("link", 0, "../etc/changed")
    assert [gzip.decompress(image.blobs[digest]) for digest in image.layer_digests] == image.layers


def test_registry_wants_tokens_and_takes_ours(tmp_path, registry, demo):
    with TokenServer(tmp_path, {"robot": "secret"}, private={"library/demo"}) as tokens:
        closed = Registry(registry.directory, tokens)
        target, scope = "/v2/library/demo/manifests/1", "repository:library/demo:pull"
        assert f'realm="{tokens.realm}"' in fetch(closed.address, target).headers["www-authenticate"]
        ask = f"/token?service={SERVICE}&scope={scope}"
        assert fetch(tokens.address, ask).status == 401
        assert fetch(tokens.address, ask, headers={"Authorization": "Basic cm9ib3Q6d3Jvbmc="}).status == 401
        token = fetch(tokens.address, ask, headers={"Authorization": "Basic cm9ib3Q6c2VjcmV0"}).json["token"]
        reply = fetch(closed.address, target, headers={"Authorization": f"Bearer {token}", "Accept": demo.media_type})
        assert reply.body == demo.data and tokens.scopes == [scope]
        closed.stop()


def test_upstream_holds_cuts_corrupts_and_counts(upstream):
    data = noise(1 << 20)
    image = upstream.add(blob_image(data), "library/x", "1")
    digest, gate = digest_of(data), Gate()
    target = f"/v2/library/x/blobs/{digest}"
    assert fetch(upstream.address, "/v2/library/x/manifests/1").body == image.data
    assert fetch(upstream.address, target, "HEAD").headers["content-length"] == str(len(data))

    upstream.on("GET", target, times=1, hold=(1000, gate))
    with Connection(upstream.address) as connection:
        connection.request("GET", target)
        connection.head()
        assert connection.read(1000) == data[:1000]
        gate.wait_reached()
        assert upstream.body_bytes(digest) == 1000
        gate.open()
        assert connection.read(1 << 21) == data[1000:]
    assert upstream.body_bytes(digest) == len(data)

    for end in ("fin", "rst"):
        upstream.on("GET", target, times=1, cut=500_000, end=end)
        assert fetch(upstream.address, target).end == end
    upstream.on("GET", target, times=1, corrupt=7)
    assert fetch(upstream.address, target).body == data[:7] + bytes([data[7] ^ 255]) + data[8:]
    reply = fetch(upstream.address, target, headers={"Range": "bytes=500-"})
    assert (reply.status, reply.body) == (206, data[500:])
    upstream.on("GET", target, times=1, chunked=True)
    assert fetch(upstream.address, target).body == data
    upstream.on("*", target, times=1, status=429, headers=[("Retry-After", "7")])
    assert fetch(upstream.address, target).headers["retry-after"] == "7"
    assert fetch(upstream.address, target).sha256 == digest


def test_upstream_stops_comes_back_and_falls_silent(upstream):
    upstream.add(blob_image(b"x"), "library/x", "1")
    assert fetch(upstream.address, "/v2/").status == 200
    upstream.stop()
    with pytest.raises(ConnectionRefusedError):
        fetch(upstream.address, "/v2/")
    upstream.start()
    assert fetch(upstream.address, "/v2/").status == 200
    upstream.black_hole()
    with pytest.raises(TimeoutError):
        fetch(upstream.address, "/v2/", timeout=0.2)
    assert len(upstream.seen("GET", "/v2/$")) == 3


def test_every_row_of_the_contract_is_cited_by_a_test():
    """The rows of the client contract that Entrepot keeps; tests name in their docstrings which they are for."""
    rows = {f"{letter}{n}" for letter, numbers in ROWS.items() for n in numbers}
    tests = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    cited = {
        row
        for text in tests
        for doc in re.findall(r'"""(.*?)"""', text, re.DOTALL)
        for row in re.findall(r"\b[RPMBE]\d+\b", doc)
    }
    assert rows <= cited, sorted(rows - cited)
