"""Manifests and tags: fresh, checked with one HEAD, stale while the upstream is down; rows M1-M9."""

import pytest

from harness.images import (
    ALL_TYPES,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    blob_image,
    index_of,
    tar_image,
)
from harness.util import MiB, Gate, Threads, digest_of, let_pass, wait_until

TAG = "/v2/library/x/manifests/1"
UNKNOWN = "/v2/library/x/manifests/unknown"


@pytest.fixture
def image(upstream):
    return upstream.add(blob_image(b"one layer"), "library/x", "1")


# -- what a manifest's answer looks like


def every_kind():
    single = {kind: blob_image(b"layer", media_type=kind) for kind in (OCI_MANIFEST, DOCKER_MANIFEST)}
    return [
        *single.values(),
        index_of([single[OCI_MANIFEST]], OCI_INDEX),
        index_of([single[DOCKER_MANIFEST]], DOCKER_LIST),
    ]


@pytest.mark.parametrize("image", every_kind(), ids=lambda image: image.media_type.split(".", 2)[2])
@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])
def test_head_and_get_agree_and_are_the_upstreams_bytes(entrepot, upstream, image, charset):
    """M1, M2: by tag and by digest, type without a charset, length, digest; HEAD first, so that it is the cold one."""
    upstream.add(image, "library/x", "1")
    upstream.on("*", "/manifests/", content_type=image.media_type + charset)
    mirror = entrepot(upstream)
    for reference in ("1", image.digest):
        head, get = (mirror.get(f"/v2/library/x/manifests/{reference}", method=method) for method in ("HEAD", "GET"))
        assert get.body == image.data and head.body == b""
        for reply in (head, get):
            assert reply.status == 200
            assert reply.headers["content-type"] == image.media_type
            assert reply.headers["content-length"] == str(len(image.data))
            assert reply.headers["docker-content-digest"] == image.digest
            assert "transfer-encoding" not in reply.headers


def test_real_registry_answers_come_through_unchanged(entrepot, registry, demo, proxy):
    """M1: from docker-registry, an index, its children, by tag and digest."""
    mirror = entrepot(proxy)
    for reference, expected in [("1", demo), (demo.digest, demo), *((child.digest, child) for child in demo.children)]:
        reply = mirror.get(f"/v2/library/demo/manifests/{reference}")
        assert (reply.body, reply.headers["content-type"]) == (expected.data, expected.media_type)


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_conditional_request_gets_the_manifest(entrepot, upstream, image, header):
    """M2: never a 304."""
    reply = entrepot(upstream).get(TAG, headers={header: f'"{image.digest}"'})
    assert (reply.status, reply.body) == (200, image.data)


def test_sha512_manifests_and_blobs(entrepot, upstream):
    """M1, B1: digests of the other algorithm, cold and cached."""
    image = upstream.add(blob_image(b"a layer", algorithm="sha512"), "library/x", "1")
    mirror = entrepot(upstream)
    for _ in range(2):
        assert mirror.get(f"/v2/library/x/manifests/{image.digest}").body == image.data
        for digest, data in image.blobs.items():
            reply = mirror.get(f"/v2/library/x/blobs/{digest}")
            assert (reply.body, reply.headers["docker-content-digest"]) == (data, digest)
    assert len(upstream.seen("GET")) == 3


def test_a_head_by_tag_can_be_fetched_by_digest_right_after(entrepot, upstream, image):
    """M4: the digest a HEAD named is served, even when the tag has moved meanwhile."""
    mirror = entrepot(upstream, tag_ttl="0s")
    digest = mirror.head(TAG).headers["docker-content-digest"]
    upstream.add(blob_image(b"another"), "library/x", "1")
    assert mirror.get(f"/v2/library/x/manifests/{digest}").body == image.data


@pytest.mark.parametrize("reference", ["1", "digest"])
def test_range_on_a_manifest_is_no_error(entrepot, upstream, image, reference):
    """M5: containerd 2.1 sends bytes=0- with everything; cold and cached."""
    mirror = entrepot(upstream)
    for _ in range(2):
        reply = mirror.get(
            f"/v2/library/x/manifests/{image.digest if reference == 'digest' else '1'}", headers={"Range": "bytes=0-"}
        )
        assert reply.status in (200, 206) and reply.body == image.data
        assert ("content-range" in reply.headers) == (reply.status == 206)


def test_the_upstream_is_asked_for_every_type_whatever_the_client_accepts(entrepot, upstream, image):
    """M6, P5: an ollama-like Accept must not decide what is cached for the tag."""
    mirror = entrepot(upstream, tag_ttl="0s")
    for accept in ({"Accept": DOCKER_MANIFEST}, {}, {"Accept": "text/html"}):
        assert mirror.get(TAG, headers=accept).body == image.data
    for request in upstream.seen("*", "/manifests/"):
        asked = ",".join(request.headers.list("accept"))
        assert all(kind in asked for kind in ALL_TYPES)


@pytest.mark.parametrize("padding", [int(3.9 * MiB), 4 * MiB - 4096])
def test_manifests_of_almost_4_mib_pass(entrepot, upstream, padding):
    """M8."""
    image = upstream.add(blob_image(b"x", padding=padding), "library/x", "1")
    mirror = entrepot(upstream)
    assert mirror.get(TAG).body == image.data
    assert mirror.head(TAG).headers["content-length"] == str(len(image.data))


# -- upstreams that are not as they should be


@pytest.mark.parametrize(
    "script",
    [
        {"drop": ("docker-content-digest",)},
        {"status": 405},
        {"status": 404},
        {"drop": ("content-length",)},
        {"drop": ("content-type",)},
    ],
    ids=["no digest", "405", "404", "no length", "no type"],
)
def test_poor_answers_to_head_are_made_up_for_by_get(entrepot, upstream, image, script):
    """M1, M2: what an upstream's HEAD lacks comes from its GET."""
    upstream.on("HEAD", "/manifests/", **script)
    mirror = entrepot(upstream)
    for method in ("HEAD", "GET"):
        reply = mirror.get(TAG, method=method)
        if script.get("status") == 404:  # then the upstream has said so (E4); either is right
            assert reply.status in (200, 404)
            continue
        assert reply.status == 200 and reply.headers["docker-content-digest"] == image.digest
        assert reply.headers["content-length"] == str(len(image.data))
        assert reply.headers["content-type"] == image.media_type


def test_a_manifest_without_digest_header_at_all(entrepot, upstream, image):
    """M1, M3: neither HEAD nor GET names the digest; it is computed."""
    upstream.on("*", "/manifests/", drop=("docker-content-digest",))
    mirror = entrepot(upstream)
    assert mirror.head(TAG).headers["docker-content-digest"] == image.digest
    assert mirror.get(f"/v2/library/x/manifests/{image.digest}").body == image.data


# -- freshness


def test_a_fresh_tag_asks_nobody(entrepot, upstream, image):
    mirror = entrepot(upstream, tag_ttl="1h")
    mirror.get(TAG)
    before = len(upstream.requests)
    for method in ("GET", "HEAD", "GET"):
        assert mirror.get(TAG, method=method).status == 200
    assert len(upstream.requests) == before


def test_a_due_tag_costs_one_head_and_no_get(entrepot, upstream, image):
    """A GET of a manifest is made only for a digest that is not held."""
    mirror = entrepot(upstream, tag_ttl="0s")
    mirror.get(TAG)
    before = len(upstream.requests)
    assert mirror.get(TAG).body == image.data
    assert [request.method for request in upstream.requests[before:]] == ["HEAD"]


def test_a_tag_that_moved_is_followed(entrepot, upstream, image):
    mirror = entrepot(upstream, tag_ttl="0s")
    assert mirror.get(TAG).body == image.data
    moved = upstream.add(blob_image(b"another"), "library/x", "1")
    assert mirror.get(TAG).body == moved.data
    assert mirror.head(TAG).headers["docker-content-digest"] == moved.digest
    assert mirror.get(f"/v2/library/x/manifests/{image.digest}").body == image.data
    upstream.add(image, "library/x", "1")
    before = len(upstream.seen("GET"))
    assert mirror.get(TAG).body == image.data
    assert len(upstream.seen("GET")) == before


def hundred(mirror, targets):
    """A hundred requests, all of them inside the product before this returns their threads."""
    threads = Threads(100, lambda i: mirror.get(targets(i)))
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 100, "all have come", timeout=60)
    return threads


def test_a_hundred_requests_for_one_due_tag_cost_one_head(entrepot, upstream, image):
    mirror, gate = entrepot(upstream, tag_ttl="2s"), Gate()
    mirror.get(TAG)
    before = len(upstream.requests)
    rule = upstream.on("HEAD", "/manifests/1", head_gate=gate)
    let_pass(2.5)
    threads = hundred(mirror, lambda i: TAG)
    gate.wait_reached()
    wait_until(
        lambda: mirror.metric("entrepot_checks_coalesced_total")
        + mirror.metric("entrepot_requests_total", kind="manifest")
        >= 100,
        "all have been looked at",
    )
    gate.open()
    assert all(reply.body == image.data for reply in threads.join())
    assert len(rule.hits) == 1 and len(upstream.requests) == before + 1


def test_a_hundred_requests_for_one_cold_tag_cost_one_get(entrepot, upstream, image):
    gate = Gate()
    upstream.on("*", "/manifests/", times=1, head_gate=gate)
    mirror = entrepot(upstream)
    threads = hundred(mirror, lambda i: TAG)
    gate.open()
    assert all(reply.body == image.data for reply in threads.join())
    assert len(upstream.seen("GET")) == 1 and len(upstream.seen("HEAD")) <= 1


# -- the upstream is down


def whole(mirror):
    return mirror.pull("library/x", "1")


def down_by(how):
    """Ways of an upstream to be down, refusing, or limiting."""

    def apply(upstream):
        if how == "refused":
            upstream.stop()
        elif how == "silent":
            upstream.black_hole()
        else:
            upstream.on("*", "", status=how, headers=[("Retry-After", "1")] if how == 429 else ())

    return apply


@pytest.mark.parametrize("how", ["refused", "silent", 401, 403, 429, 500, 503])
def test_a_stale_tag_is_served_while_the_upstream_is_down(entrepot, upstream, image, how):
    """E4, M7: manifest and blobs, by tag and digest, GET and HEAD, whatever the trouble is."""
    mirror = entrepot(upstream, tag_ttl="0s", header_timeout="300ms")
    whole(mirror)
    down_by(how)(upstream)
    replies = whole(mirror)
    assert replies[0].body == image.data and "stale" in replies[0].headers["cache-status"]
    assert mirror.head(TAG).status == 200
    assert mirror.get(f"/v2/library/x/manifests/{image.digest}").body == image.data


def test_a_failed_check_moves_the_clock(entrepot, upstream, image):
    """A dead upstream costs one time-out a window, and not one a pull."""
    mirror = entrepot(upstream, header_timeout="300ms")
    whole(mirror)
    mirror.wait_held(*image.blobs, image.digest)
    upstream.black_hole()
    mirror.restart("+1h")
    before = len(upstream.requests)
    for _ in range(20):
        assert mirror.get(TAG).body == image.data
    assert 1 <= len(upstream.requests) - before <= 2


def test_nothing_is_served_beyond_the_stale_budget(entrepot, upstream, image):
    mirror = entrepot(upstream, tag_ttl="0s", stale="0s")
    whole(mirror)
    upstream.stop()
    assert mirror.get(TAG).status in (502, 503, 504)
    assert mirror.get(f"/v2/library/x/manifests/{image.digest}").status == 200


def test_down_at_start_and_for_an_hour(entrepot, upstream, image):
    """Must show 5: cached pulls by tag and digest an hour later, with no upstream; an uncached one fails at once."""
    mirror = entrepot(upstream, tag_ttl="1s")
    whole(mirror)
    mirror.wait_held(*image.blobs, image.digest)
    upstream.stop()
    for clock in (None, "+30m", "+1h"):
        mirror.restart(clock)
        assert whole(mirror)[0].body == image.data
        assert mirror.pull("library/x", image.digest)
        for target in ("/v2/library/other/manifests/1", UNKNOWN, f"/v2/library/x/blobs/{digest_of(b'no')}"):
            assert mirror.get(target).status in (502, 503, 504)
    upstream.start()
    moved = upstream.add(blob_image(b"another"), "library/x", "1")
    wait_until(lambda: mirror.get(TAG).body == moved.data, "the tag is checked again")


def test_the_clock_running_past_the_stale_budget(entrepot, upstream, image):
    """The budget counts from the last good check, in time of day, over restarts."""
    mirror = entrepot(upstream, stale="2h")
    whole(mirror)
    upstream.stop()
    mirror.restart("+1h")
    assert mirror.get(TAG).body == image.data
    mirror.restart("+3h")
    assert mirror.get(TAG).status in (502, 503, 504)


def test_an_image_without_its_blobs_is_not_offered_while_the_upstream_is_down(entrepot, upstream, image):
    """M7: the client shall go on to its next host at once, and not in the middle of a pull."""
    mirror = entrepot(upstream, tag_ttl="0s")
    mirror.get(TAG)
    upstream.stop()
    assert mirror.get(TAG).status in (502, 503)


def test_an_index_with_one_platform_cached_is_offered_while_the_upstream_is_down(entrepot, upstream):
    """M7: nobody pulls every platform."""
    index = upstream.add(index_of([tar_image(1, files=3), tar_image(2, "arm64", files=3)]), "library/x", "1")
    mirror = entrepot(upstream, tag_ttl="0s")
    mirror.get(TAG)
    mirror.pull("library/x", index.children[0].digest)
    upstream.stop()
    assert mirror.get(TAG).body == index.data
    assert mirror.pull("library/x", index.children[0].digest)


# -- what is not there


def test_unknown_tags_are_remembered_briefly(entrepot, upstream, image):
    """M9, E1: asked once during negative_ttl, and again after it."""
    mirror = entrepot(upstream, negative_ttl="2s")
    tags = [
        UNKNOWN,
        f"/v2/library/x/manifests/{image.digest.replace(':', '-')}",
        f"/v2/library/x/manifests/{image.digest.replace(':', '-')}.sig",
    ]
    for target in tags:
        for method in ("HEAD", "GET", "GET"):
            reply = mirror.get(target, method=method)
            assert reply.status == 404
        assert reply.json["errors"][0]["code"] == "MANIFEST_UNKNOWN"
        assert reply.headers["content-type"] == "application/json"
        assert len(upstream.seen("*", target + "$")) <= 2  # a HEAD, and perhaps a GET
    upstream.add(image, "library/x", "unknown", *(target.rpartition("/")[2] for target in tags))
    let_pass(2.5)
    for target in tags:
        assert mirror.get(target).body == image.data


def test_unknown_blobs_and_digests_are_remembered_briefly(entrepot, upstream, image):
    mirror = entrepot(upstream)
    for kind, code in (("blobs", "BLOB_UNKNOWN"), ("manifests", "MANIFEST_UNKNOWN")):
        target = f"/v2/library/x/{kind}/{digest_of(b'nowhere')}"
        for _ in range(3):
            reply = mirror.get(target)
            assert (reply.status, reply.json["errors"][0]["code"]) == (404, code)
        assert len(upstream.seen("*", target)) <= 2


def test_a_deleted_tag_is_gone(entrepot, upstream, image):
    """E4: the upstream has said 404; that is not being down."""
    mirror = entrepot(upstream, tag_ttl="0s")
    mirror.get(TAG)
    upstream.remove("library/x", "1")
    assert mirror.get(TAG).status == 404
