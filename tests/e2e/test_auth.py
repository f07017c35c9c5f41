"""Credentials and tokens upstream; and never a challenge to a client."""

import base64
import json

import pytest

from harness.images import blob_image
from harness.registry import Registry, TokenServer
from harness.upstream import CountingProxy, Server
from harness.util import Gate, MiB, Threads, in_threads, let_pass, noise, wait_until


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def closed(registry, tmp_path):
    """closed(private=…) -> (token server, counting proxy before a docker-registry that wants its tokens)."""
    made = []

    def make(**options):
        tokens = TokenServer(tmp_path, {"robot": "secret"}, **options)
        process = Registry(registry.directory, tokens)
        proxy = CountingProxy(process.address)
        made.extend((proxy, process, tokens))
        return tokens, proxy

    yield make
    for thing in made:
        thing.stop()


def config_of(url, **members):
    lines = "".join(f"    {name}: {value}\n" for name, value in members.items())
    return f"upstreams:\n  docker.io:\n    url: {url}\n{lines}"


def test_anonymous_token_flow(entrepot, registry, demo, closed):
    """E3: challenge, realm, service, scope; one token for a whole image; the client sees no challenge."""
    tokens, proxy = closed()
    mirror = entrepot(proxy)
    mirror.pull("library/demo", "1")
    assert tokens.scopes == ["repository:library/demo:pull"]
    assert all("authorization" not in request.headers for request in tokens.requests)
    assert "www-authenticate" not in mirror.get("/v2/").headers
    assert len([request for request in proxy.requests if request.status == 401]) <= 1


def test_a_hundred_misses_of_one_scope_cost_one_token(entrepot, registry, closed):
    """Must show 6: a hundred blobs at once, none of them cached, while the token server thinks."""
    tokens, proxy = closed()
    image = registry.push(blob_image(*(f"layer {n}".encode() for n in range(100))), "library/hundred", "1")
    gate = Gate()
    tokens.on("GET", "/token", head_gate=gate)
    mirror = entrepot(proxy)
    threads = Threads(100, lambda i: mirror.get(f"/v2/library/hundred/blobs/{image.layer_digests[i]}"))
    gate.wait_reached()
    wait_until(lambda: mirror.metric("entrepot_connections_open") == 100, "all have come", timeout=60)
    gate.open()
    assert [reply.body for reply in threads.join()] == [f"layer {n}".encode() for n in range(100)]
    assert len(tokens.requests) == 1


def test_each_repository_has_a_token_of_its_own(entrepot, registry, closed):
    tokens, proxy = closed()
    for name in ("one", "two"):
        registry.push(blob_image(b"layer"), f"library/scope-{name}", "1")
    mirror = entrepot(proxy)
    for _ in range(2):
        for name in ("one", "two"):
            mirror.pull(f"library/scope-{name}", "1")
    assert sorted(tokens.scopes) == ["repository:library/scope-one:pull", "repository:library/scope-two:pull"]


def docker_config(path, key):
    path.write_text(json.dumps({"auths": {key: {"auth": base64.b64encode(b"robot:secret").decode()}}}))
    return {"docker_config": path}


@pytest.mark.parametrize("kind", ["config", "file", "docker config", "docker config of the hub"])
def test_credentials_buy_a_token_for_a_private_repository(entrepot, registry, demo, closed, tmp_path, kind):
    """From the config, a file with a newline at its end, or Docker's config.json, by name or by the hub's old one."""
    tokens, proxy = closed(private={"library/demo"})
    (tmp_path / "password").write_text("secret\n")
    members = {
        "config": {"username": "robot", "password": "secret"},
        "file": {"username": "robot", "password_file": tmp_path / "password"},
    }.get(kind, {})
    key = "https://index.docker.io/v1/" if kind.endswith("hub") else "docker.io"
    settings = docker_config(tmp_path / "config.json", key) if "docker" in kind else {}
    mirror = entrepot({}, config=config_of(proxy.url, **members), **settings)
    mirror.pull("library/demo", "1")
    assert {request.headers["authorization"] for request in tokens.requests} == {basic("robot", "secret")}
    assert all("Basic" not in request.headers.get("authorization", "") for request in proxy.requests)
    assert "secret" not in mirror.out.read_text() + mirror.err.read_text()


@pytest.mark.parametrize(
    "members", [{}, {"username": "robot", "password": "wrong"}], ids=["anonymous", "wrong password"]
)
def test_what_the_upstream_refuses_is_not_there(entrepot, registry, demo, closed, members):
    """E3: 404 or 403, no challenge, though the upstream answered 401; and clients go on to their next host."""
    _, proxy = closed(private={"library/demo"})
    mirror = entrepot({}, config=config_of(proxy.url, **members))
    for target in ("manifests/1", f"manifests/{demo.digest}", f"blobs/{demo.children[0].layer_digests[0]}"):
        reply = mirror.get(f"/v2/library/demo/{target}")
        assert reply.status in (403, 404) and "www-authenticate" not in reply.headers
        assert reply.json["errors"][0]["code"] == "DENIED"


def test_a_token_is_renewed_before_it_expires(entrepot, upstream, tmp_path):
    """A life of three seconds: later requests carry a newer token, and the registry never had to refuse one."""
    with TokenServer(tmp_path, life=3) as tokens:
        upstream.guard = bearer_guard(tokens)
        for number in range(3):
            upstream.add(blob_image(b"%d" % number), "library/x", str(number))
        mirror = entrepot(upstream)
        mirror.pull("library/x", "0")
        let_pass(4)
        mirror.pull("library/x", "1")
        assert len(tokens.requests) >= 2
        assert len([request for request in upstream.requests if request.status == 401]) == 1


def bearer_guard(tokens, wrong=()):
    def guard(exchange):
        scheme, _, token = exchange.request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and token and token not in wrong:
            return True
        exchange.answer(
            401,
            b"{}",
            [("WWW-Authenticate", f'Bearer realm="{tokens.realm}",service="x",scope="repository:library/x:pull"')],
        )
        return False

    return guard


def test_a_token_that_is_refused_early_is_replaced_once(entrepot, upstream, tmp_path):
    """Twenty requests meet the 401 of a revoked token: one new token, and all are answered."""
    with TokenServer(tmp_path) as tokens:
        revoked = set()
        upstream.guard = bearer_guard(tokens, revoked)
        image = upstream.add(blob_image(*(b"%d" % n for n in range(20))), "library/x", "1")
        mirror = entrepot(upstream)
        mirror.get("/v2/library/x/manifests/1")
        revoked.add(upstream.requests[-1].headers["authorization"].partition(" ")[2])
        replies = in_threads(20, lambda i: mirror.get(f"/v2/library/x/blobs/{image.layer_digests[i]}"))
        assert [reply.body for reply in replies] == [b"%d" % n for n in range(20)]
        assert len(tokens.requests) == 2


def test_a_token_that_expires_in_the_middle_of_a_fill(entrepot, upstream, tmp_path):
    """The resumed request meets a 401, gets a new token, and goes on from the break."""
    with TokenServer(tmp_path) as tokens:
        revoked = set()
        upstream.guard = bearer_guard(tokens, revoked)
        image = upstream.add(blob_image(noise(6 * MiB)), "library/x", "1")
        digest, gate = image.layer_digests[0], Gate()
        upstream.on("GET", digest, times=1, hold=(2 * MiB, gate), cut=3 * MiB)
        mirror = entrepot(upstream)
        mirror.get("/v2/library/x/manifests/1")
        threads = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{digest}", keep=False))
        gate.wait_reached()
        revoked.add(upstream.requests[-1].headers["authorization"].partition(" ")[2])
        gate.open()
        assert threads.join()[0].sha256 == digest
        assert upstream.seen("GET", digest)[-1].headers["range"] == f"bytes={3 * MiB}-"
        assert sum(r.body_sent for r in upstream.seen("GET", digest) if r.status in (200, 206)) == 6 * MiB


def test_basic_credentials(entrepot, upstream):
    """A registry without a token server: Basic, only after it was asked for."""
    upstream.guard = basic_guard
    upstream.add(blob_image(b"layer"), "library/x", "1")
    mirror = entrepot({}, config=config_of(upstream.url, username="robot", password="secret"))
    mirror.pull("library/x", "1")
    assert {request.headers.get("authorization") for request in upstream.requests} <= {None, basic("robot", "secret")}


def basic_guard(exchange):
    if exchange.request.headers.get("authorization") == basic("robot", "secret"):
        return True
    exchange.answer(401, b"{}", [("WWW-Authenticate", 'Basic realm="tests"')])
    return False


@pytest.mark.parametrize(
    "answer",
    [
        dict(status=500),
        dict(status=200, body=b"{}"),
        dict(status=200, body=b"not JSON"),
        dict(raw=b"junk\r\n\r\n"),
        dict(status=429, headers=[("Retry-After", "1")]),
    ],
    ids=["500", "no token", "no JSON", "junk", "429"],
)
def test_a_broken_token_server_is_the_upstreams_trouble(entrepot, upstream, tmp_path, answer):
    """E2, E3, E4: 502, 503 or 504, and healthy again as soon as it is."""
    with TokenServer(tmp_path) as tokens:
        upstream.guard = bearer_guard(tokens)
        image = upstream.add(blob_image(b"layer"), "library/x", "1")
        tokens.on("GET", "/token", **answer)
        mirror = entrepot(upstream)
        assert mirror.get("/v2/library/x/manifests/1").status in (502, 503, 504)
        tokens.healthy()
        wait_until(
            lambda: mirror.get("/v2/library/x/manifests/1").body == image.data, "the token server is asked again"
        )


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "ftp://127.0.0.1/", "not a url", ""])
def test_a_realm_that_is_no_http_url_is_not_followed(entrepot, upstream, realm):
    upstream.on("*", "", status=401, body=b"{}", headers=[("WWW-Authenticate", f'Bearer realm="{realm}",service="x"')])
    reply = entrepot(upstream).get("/v2/library/x/manifests/1")
    assert reply.status in (403, 404, 502, 503) and "www-authenticate" not in reply.headers


def test_a_clients_own_authorization_goes_nowhere(entrepot, upstream):
    """P6, E3: what clients send is for nobody else."""
    upstream.add(blob_image(b"layer"), "library/x", "1")
    with Server() as elsewhere:
        mirror = entrepot({"docker.io": upstream.url, "ghcr.io": elsewhere.url})
        for headers in ({"Authorization": "Bearer mine"}, {"Authorization": "Basic bWU6bXk=", "Cookie": "a=b"}):
            assert mirror.get("/v2/library/x/manifests/1", headers=headers).status == 200
        assert not any(
            "authorization" in request.headers or "cookie" in request.headers for request in upstream.requests
        )
        assert not elsewhere.requests
