"""The list of a model's tags: what its hub tells of branches and tags, page by page (E8), and when it cannot tell."""

import json
import random
import re

import pytest

from harness.delivery import deliver
from harness.model import Image
from harness.util import Gate, Threads, wait_until

FILES = {"config.json": b"{}"}
LIST = "/v2/hf/org/model/tags/list"
TAGS = ["feature--x--y", "latest", "v1.0", "v2"]


@pytest.fixture
def model(hub):
    hub.add("Org/Model", FILES)
    hub.add("Org/Model", FILES | {"x": b"x"}, revision="feature/x/y")
    hub.add("Org/Model", FILES, revision="v2")
    hub.tag("Org/Model", "v2", "feature/x/y")
    hub.tag("Org/Model", "v1.0")
    return hub


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def tags(mirror, target=LIST):
    reply = mirror.get(target)
    assert reply.status == 200, reply
    return reply.json["tags"]


def words(reply):
    return json.dumps(reply.json)


def test_branches_and_tags_are_listed_and_each_is_an_image(mirror_of, model):
    for name in ("latest", "a--b", "-x", "v1+2", "\xe4"):  # no tag can stand for them
        model.tag("Org/Model", name)
    mirror = mirror_of(model)
    reply = mirror.get(LIST)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == {"name": "org/model", "tags": TAGS}
    assert "link" not in reply.headers
    head = mirror.head(LIST)
    assert head.status == 200 and head.headers["content-length"] == str(len(reply.body))
    repository = model.repository("Org/Model")
    commits = [repository.resolve(name).sha for name in ("feature/x/y", "main", "main")]
    assert [Image(mirror, "hf/org/model", tag).revision for tag in TAGS[:3]] == commits
    assert Image(mirror, "hf/org/model", "v2").agrees_with(FILES | {"x": b"x"})


def test_pages(mirror_of, model):
    """All of them once, in byte order, whatever a page holds; as the link says, and as a client may say itself."""
    chance = random.Random(8)
    for i in range(100):
        model.tag("Org/Model", f"{chance.choice('_AaZz09')}{i}{chance.choice('._-')}x")
    mirror = mirror_of(model)
    whole = tags(mirror)
    assert whole == sorted(whole) and len(whole) == len(set(whole)) == 104
    for n in (1, 7, 103, 104, 105):
        found, target = [], f"{LIST}?n={n}"
        for _ in range(105):
            reply = mirror.get(target)
            found += reply.json["tags"]
            if "link" not in reply.headers:
                break
            assert len(reply.json["tags"]) == n
            (target,) = re.fullmatch('<(/.*)>; rel="next"', reply.headers["link"]).groups()
        assert found == whole, n
    assert tags(mirror, f"{LIST}?last={whole[50]}&n=3") == whole[51:54]
    assert tags(mirror, f"{LIST}?last=a") == [tag for tag in whole if tag > "a"]
    none = mirror.get(LIST + "?n=0")
    assert none.json["tags"] == [] and "link" not in none.headers
    assert mirror.get(LIST + "?n=many").status == 400
    assert len(model.seen("GET", "/refs")) == 1


def test_names_of_every_kind(entrepot, hub):
    """Data sets, canonical and renamed names, any case, another name of the hub, and `ns`."""
    hub.add("Org/Set", FILES, kind="datasets")
    hub.tag("Org/Set", "v3", kind="datasets")
    hub.add("Org/Model", FILES)
    hub.rename("gpt2", "Org/Model")
    config = f"upstreams:\n  hf: {{url: '{hub.url}'}}\n  depot.ai: {{type: huggingface, url: '{hub.url}'}}\n"
    mirror = entrepot(None, config=config)
    assert tags(mirror, "/v2/hf/datasets/Org/Set/tags/list") == ["latest", "v3"]
    assert tags(mirror, "/v2/hf/gpt2/tags/list") == ["latest"]
    assert tags(mirror, "/v2/depot.ai/Org/Model/tags/list") == ["latest"]
    page = mirror.get("/v2/datasets/org/set/tags/list?n=1&ns=depot.ai")
    assert (page.json["tags"], page.headers["oci-namespace"]) == (["latest"], "depot.ai")
    link = '</v2/depot.ai/datasets/org/set/tags/list?n=1&last=latest>; rel="next"'
    assert page.headers["link"] == link
    assert tags(mirror, link[1:].partition(">")[0]) == ["v3"]


def test_the_catalogs_tags_are_listed_too(entrepot, model):
    models = [
        {"name": "org/model", "tag": "light", "include": ["*.json"]},
        {"name": "org/model", "tag": "v1.0"},
        {"name": "depot.ai/org/model", "tag": "other"},
        {"name": "org/another", "tag": "another"},
    ]
    hubs = {"hf": {"url": model.url}, "depot.ai": {"type": "huggingface", "url": model.url}}
    mirror = entrepot(None, config=json.dumps({"upstreams": hubs, "models": models}))
    for _ in ("asked", "kept"):
        assert tags(mirror) == ["feature--x--y", "latest", "light", "v1.0", "v2"]
    assert tags(mirror, "/v2/depot.ai/org/model/tags/list") == ["feature--x--y", "latest", "other", "v1.0", "v2"]


def test_a_list_is_kept_for_tag_ttl(mirror_of, model):
    mirror = mirror_of(model, tag_ttl="1h")
    status = [mirror.get(LIST).headers["cache-status"] for _ in range(3)]
    assert status == ["entrepot; fwd=uri-miss; stored", "entrepot; hit", "entrepot; hit"]
    mirror.restart()
    assert tags(mirror) == TAGS and len(model.seen("GET", "/refs")) == 1
    model.tag("Org/Model", "v3")
    mirror.restart(clock="+2h")
    assert tags(mirror) == TAGS + ["v3"] and len(model.seen("GET", "/refs")) == 2


def test_many_ask_and_the_hub_is_asked_once(mirror_of, model):
    """And nobody else waits for it."""
    mirror, gate = mirror_of(model), Gate()
    model.on("GET", "/refs", head_gate=gate)
    askers = Threads(20, lambda _: tags(mirror))
    gate.wait_reached()
    wait_until(lambda: mirror.metric("entrepot_checks_coalesced_total") == 19, "all wait for the one")
    for _ in range(20):
        assert Image(mirror, "hf/org/model").agrees_with(FILES)
    gate.open()
    assert askers.join() == [TAGS] * 20
    assert len(model.seen("GET", "/refs")) == 1


@pytest.mark.parametrize("trouble", ["gone", "limits", "refuses", "nonsense"])
def test_what_is_kept_is_served_while_the_hub_cannot_tell(trouble, mirror_of, model):
    """For `stale`, also after a restart; one who never asked before is told why."""
    mirror = mirror_of(model, tag_ttl="0s")
    assert tags(mirror) == TAGS
    rules = {
        "limits": {"status": 429, "headers": [("Retry-After", "7")]},
        "refuses": {"status": 403, "headers": [("X-Error-Code", "GatedRepo")]},
        "nonsense": {"status": 200, "body": b"<html>"},
    }
    if trouble == "gone":
        model.stop()
    else:
        model.on("GET", "/refs", **rules[trouble])
    for _ in ("running", "restarted"):
        reply = mirror.get(LIST)
        assert (reply.json["tags"], reply.headers["cache-status"]) == (TAGS, "entrepot; fwd=stale")
        other = mirror.get("/v2/hf/org/other/tags/list")
        status, reason = {
            "gone": (502, "could not be reached"),
            "limits": (503, "limits the rate"),
            "refuses": (404, "restricted: ask for access"),
            "nonsense": (502, "list of branches and tags is not JSON"),
        }[trouble]
        assert other.status == status and reason in words(other), other
        if trouble == "limits":
            assert 1 <= int(other.headers["retry-after"]) <= 7
        mirror.restart()
    mirror.stop()
    mirror.start(clock="+8d")
    assert mirror.get(LIST).status == status


def test_a_hub_that_is_gone_is_not_asked_for_each_list(mirror_of, model):
    """The next one is after tag_ttl."""
    mirror = mirror_of(model, tag_ttl="1h")
    assert tags(mirror) == TAGS
    failing = model.on("GET", "/refs", status=500)
    mirror.restart(clock="+2h")
    assert [tags(mirror) for _ in range(3)] == [TAGS] * 3
    assert len(failing.hits) == 1


def test_refusals_carry_the_hubs_reason(mirror_of, model):
    model.add("Org/Private", FILES)
    model.repository("Org/Private").private = True
    mirror = mirror_of(model, tag_ttl="0s")
    for name, reason in [
        ("org/none", "the hub knows no repository org/none"),
        ("org/private", "if it is private, give Entrepot a token"),
        ("a/b/c", "org/model, model, or datasets/org/name"),
    ]:
        reply = mirror.get(f"/v2/hf/{name}/tags/list")
        assert reply.status == 404 and reply.json["errors"][0]["code"] == "NAME_UNKNOWN", reply
        assert reason in words(reply), reply
    assert tags(mirror) == TAGS
    model.repository("Org/Model").private = True  # no more of it is told, nor what was kept
    assert mirror.get(LIST).status == 404
    model.stop()
    assert mirror.get(LIST).status == 502


def test_a_token_opens_the_list_of_what_is_private(entrepot, model):
    model.repository("Org/Model").private = True
    model.token("hf_secret", "Org/Model")
    config = f"upstreams:\n  hf:\n    url: {model.url}\n    password: hf_secret\n"
    assert tags(entrepot(None, config=config)) == TAGS


def test_a_list_that_is_too_long_is_refused(mirror_of, hub):
    repository = hub.add("Org/Model", FILES) and hub.repository("Org/Model")
    repository.tags = {f"step{i}": repository.branches["main"] for i in range(19999)}
    mirror = mirror_of(hub, tag_ttl="0s")
    assert len(tags(mirror)) == 20000
    repository.tags["one"] = repository.branches["main"]
    assert len(tags(mirror)) == 20000, "the one that is kept"
    reply = mirror_of(hub).get(LIST)
    assert reply.status == 502 and "more than 20000" in words(reply), reply


def test_a_hub_that_does_not_tell_delays_no_stop(mirror_of, model):
    mirror, gate = mirror_of(model, drain_timeout="100ms", stall_timeout="10m"), Gate()
    model.on("GET", "/refs", call=lambda exchange: deliver(exchange, b'{"branches":[]}', [], hold=(5, gate)))
    with mirror.connect() as connection:
        connection.request("GET", LIST)
        gate.wait_reached()
        mirror.stop()
    gate.open()
