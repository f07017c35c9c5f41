"""Which upstream and repository a request means: rows R1-R10."""

import pytest

from harness.images import blob_image
from harness.upstream import Upstream
from harness.util import digest_of

HUB, GITHUB, ODD = "docker.io", "ghcr.io", "reg.example:5000"


@pytest.fixture(scope="module")
def house(shared_entrepot):
    """Three upstreams with an image each, under the same repository name, and one mirror of them; the
    third lives under a path prefix."""
    servers = {HUB: Upstream(), GITHUB: Upstream(), ODD: Upstream(prefix="/some/prefix")}
    images = {}
    for name, server in servers.items():
        images[name] = server.add(blob_image(b"layer of " + name.encode()), "team/app", "1")
        server.add(images[name], "library/app", "1")
    mirror = shared_entrepot({name: server.url for name, server in servers.items()})
    mirror.images, mirror.servers = images, servers
    yield mirror
    for server in servers.values():
        server.stop()


def pulls(mirror, manifest, blob, expected):
    """Both of these answer with that upstream's image."""
    image = mirror.images[expected]
    (digest,) = image.layer_digests
    for method in ("HEAD", "GET"):
        assert mirror.get(manifest, method=method).headers["docker-content-digest"] == image.digest
    return mirror.get(blob.format(digest)).body == image.blobs[digest]


@pytest.mark.parametrize(
    "ns, upstream",
    [
        ("ghcr.io", GITHUB),
        ("docker.io", HUB),
        ("reg.example:5000", ODD),
        ("reg.example%3A5000", ODD),
        ("GHCR.io", GITHUB),
        ("gh%63r.io", GITHUB),
    ],
)
def test_ns_names_the_upstream(house, ns, upstream):
    """R1, R9: percent-decoded, with a port; the answer says which."""
    assert pulls(house, f"/v2/team/app/manifests/1?ns={ns}", f"/v2/team/app/blobs/{{}}?ns={ns}", upstream)
    reply = house.get(f"/v2/team/app/manifests/1?ns={ns}")
    assert reply.headers["oci-namespace"].lower() == upstream


def test_namespace_header_is_for_those_who_named_one(house):
    """R9."""
    assert "oci-namespace" not in house.get("/v2/team/app/manifests/1").headers


@pytest.mark.parametrize("query", ["", "?ns=ghcr.io", "?ns=docker.io", "?ns=reg.example%3A5000"])
def test_ping_takes_a_namespace(house, query):
    """R1, P1."""
    assert house.get("/v2/" + query).status == 200


@pytest.mark.parametrize("upstream", [HUB, GITHUB, ODD])
@pytest.mark.parametrize("form", ["/v2/{}/team/app", "/{}/v2/team/app"])
def test_prefix_names_the_upstream(house, upstream, form):
    """R2, R3: after /v2 as podman and BuildKit have it, before it as Docker and containerd have it."""
    base = form.format(upstream)
    assert pulls(house, f"{base}/manifests/1", base + "/blobs/{}", upstream)


@pytest.mark.parametrize("form", ["/v2/ghcr.io/team/app", "/ghcr.io/v2/team/app"])
def test_prefix_and_ns_that_agree(house, form):
    """R4: the prefix is stripped."""
    assert pulls(house, f"{form}/manifests/1?ns=ghcr.io", form + "/blobs/{}?ns=ghcr.io", GITHUB)


@pytest.mark.parametrize("form", ["/v2/ghcr.io/team/app", "/ghcr.io/v2/team/app"])
def test_prefix_and_ns_that_disagree(house, form):
    """R4."""
    assert house.get(f"{form}/manifests/1?ns=docker.io").status in (400, 404)


def test_no_name_means_the_default_upstream(house):
    """R5."""
    assert pulls(house, "/v2/team/app/manifests/1", "/v2/team/app/blobs/{}", HUB)


def test_the_default_upstream_can_be_chosen(entrepot, house):
    """R5."""
    mirror = entrepot({name: server.url for name, server in house.servers.items()}, default_upstream=GITHUB)
    assert mirror.get("/v2/team/app/manifests/1").body == house.images[GITHUB].data


def test_a_blob_without_an_upstream_is_found_by_its_digest(entrepot, house):
    """R6: learned from a manifest of ghcr.io, asked for with no word of ghcr.io; HEAD and GET, cold and cached."""
    mirror = entrepot({name: server.url for name, server in house.servers.items()})
    image = house.images[GITHUB]
    (digest,) = image.layer_digests
    mirror.get("/v2/team/app/manifests/1?ns=ghcr.io")
    for _ in range(2):
        head = mirror.head(f"/v2/team/app/blobs/{digest}")
        assert (head.status, head.headers["content-length"]) == (200, str(len(image.blobs[digest])))
        assert mirror.get(f"/v2/team/app/blobs/{digest}").body == image.blobs[digest]


def test_a_blob_of_a_short_name_goes_where_its_manifest_came_from(entrepot, upstream):
    """R6, R8: `library/` is docker.io's; the blob of such a repository elsewhere is found without ns."""
    with Upstream() as other:
        image = other.add(blob_image(b"in pause"), "pause", "3.9")
        (digest,) = image.layer_digests
        mirror = entrepot({HUB: upstream.url, "registry.k8s.io": other.url})
        assert mirror.get("/v2/pause/manifests/3.9?ns=registry.k8s.io").status == 200
        assert mirror.get(f"/v2/pause/blobs/{digest}").body == b"in pause"
    assert not upstream.requests


def test_a_manifest_fetched_as_a_blob_is_a_manifest_still(entrepot, upstream):
    """M1: first under /blobs/, as a blob; then under /manifests/, with its own type."""
    image = upstream.add(blob_image(b"x"), "library/x", "1")
    upstream.add_blob("library/x", image.data)
    mirror = entrepot(upstream)
    assert mirror.get(f"/v2/library/x/blobs/{image.digest}").body == image.data
    mirror.wait_held(image.digest)
    for reference in (image.digest, "1"):
        reply = mirror.get(f"/v2/library/x/manifests/{reference}")
        assert (reply.body, reply.headers["content-type"]) == (image.data, image.media_type)


def test_a_blob_nobody_knows_is_asked_of_the_default_upstream(house):
    """R6."""
    digest = house.servers[HUB].add_blob("team/app", b"in no manifest")
    assert house.get(f"/v2/team/app/blobs/{digest}").body == b"in no manifest"
    assert house.get(f"/v2/team/app/blobs/{digest_of(b'nowhere')}").status == 404


def test_namespace_request_header_names_the_upstream(house):
    """R7."""
    reply = house.get("/v2/team/app/manifests/1", headers={"OCI-Namespace": "ghcr.io"})
    assert reply.body == house.images[GITHUB].data


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize(
    "form", ["/v2/team/app/manifests/1?ns={}", "/v2/{}/team/app/manifests/1", "/{}/v2/team/app/manifests/1"]
)
def test_names_of_docker_hub_are_one(house, name, form):
    """R8."""
    assert house.get(form.format(name)).body == house.images[HUB].data


@pytest.mark.parametrize(
    "target", ["/v2/docker.io/app/manifests/1", "/docker.io/v2/app/manifests/1", "/v2/index.docker.io/app/manifests/1"]
)
def test_library_is_added_for_docker_hub(house, target):
    """R8: single-component repositories that arrive by prefix."""
    assert house.get(target).body == house.images[HUB].data
    assert house.servers[HUB].seen("*", "^/v2/library/app/manifests/")
    assert not house.servers[HUB].seen("*", "^/v2/app/")


def test_library_is_not_added_elsewhere(house):
    """R8."""
    assert house.get("/v2/ghcr.io/app/manifests/1").status == 404
    assert house.servers[GITHUB].seen("*", "^/v2/app/manifests/1")


@pytest.mark.parametrize(
    "target",
    [
        "/v2/team/app/manifests/1?ns=evil.example",
        "/v2/team/app/manifests/1?ns=127.0.0.1:22",
        "/evil.example/v2/team/app/manifests/1",
        "/v2/evil.example/team/app/manifests/1",
        "/v2/team/app/blobs/{}?ns=evil.example",
        "/v2/team/app/manifests/1?ns=",
        "/v2/team/app/manifests/1?ns=docker.io%2Fx",
        "/v2/team/app/manifests/1?ns=http%3A%2F%2F127.0.0.1",
        "/v2/localhost:1/team/app/manifests/1",
    ],
)
def test_only_configured_upstreams(house, target):
    """R10, E1: 404 NAME_UNKNOWN, so that the client goes on to its next host; and nobody is asked."""
    before = [len(server.requests) for server in house.servers.values()]
    reply = house.get(target.format(digest_of(b"x")))
    if target.endswith("ns="):
        assert reply.status in (200, 400, 404)  # an empty name is no name, or nobody's
    else:
        assert (reply.status, reply.json["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        assert [len(server.requests) for server in house.servers.values()] == before


def test_a_blob_is_answered_only_where_it_is_known_to_be(entrepot, upstream):
    """Cached for one repository, asked for under another: the upstream confirms, or it is not there."""
    image = upstream.add(blob_image(b"a secret layer"), "private/app", "1")
    (digest,) = image.layer_digests
    upstream.add(blob_image(b"another"), "public/app", "1")
    mirror = entrepot(upstream)
    mirror.pull("private/app", "1")
    for method in ("GET", "HEAD"):
        assert mirror.get(f"/v2/public/app/blobs/{digest}", method=method).status == 404
    upstream.add_blob("third/app", b"a secret layer")
    assert mirror.get(f"/v2/third/app/blobs/{digest}").body == b"a secret layer"
    bodies = [request for request in upstream.seen("GET", digest) if request.body_sent == len(b"a secret layer")]
    assert len(bodies) == 1


def test_the_same_tag_of_two_upstreams_is_two_tags(house):
    """R1: one repository name, three registries."""
    replies = [house.get(f"/v2/team/app/manifests/1?ns={name}") for name in house.images]
    assert [reply.body for reply in replies] == [image.data for image in house.images.values()]
