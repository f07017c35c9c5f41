"""Models of a hub as images: imports, and what a client sees of them, document by document."""

import io
import json
import random
import re
import shutil

import pytest

from harness.content import Made
from harness.delivery import deliver
from harness.hub import Hub
from harness.images import blob_image
from harness.model import Image, imported, layers_of
from harness.util import Gate, MiB, Threads, digest_of, in_threads, noise, wait_until

SMALL = {
    "README.md": b"# A model\n",
    ".gitattributes": b"*.bin filter=lfs\n",
    "config.json": b'{"a":1}\n',
    "empty.txt": b"",
    "a folder/\xe4\xf6 \"q\" + %41?#.txt": b"odd name\n",
    "onnx/model.onnx": noise(5 * MiB + 3, 1),
    "tokenizer/vocab.txt": noise(70_000, 2),
}
LARGE = {"model-1.safetensors": Made(70 * MiB + 5, 1), "model-2.safetensors": Made(64 * MiB, 2)}


def size_of(files):
    return sum(len(data) if isinstance(data, bytes) else data.size for data in files.values())


def layers_as_bytes(files):
    sink = io.BytesIO()
    made, at = layers_of(files, sink), 0
    for each in made:
        yield sink.getvalue()[at : at + each["size"]]
        at += each["size"]


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def test_a_model_is_an_image(mirror_of, hub):
    """Index, manifests, configs and layers, as the oracle has them; each byte of the hub's once."""
    files = SMALL | LARGE
    commit = hub.add("Org/Model", files)
    mirror = mirror_of(hub)
    image = Image(mirror, "hf/org/model")
    assert [each["platform"]["architecture"] for each in image.index["manifests"]] == ["amd64", "arm64"]
    assert image.revision == commit
    assert image.index["annotations"]["org.opencontainers.image.source"] == "https://huggingface.co/Org/Model"
    assert len(image.layers) == 3 and image.agrees_with(files)
    assert hub.sent("/resolve-cache/|\\?response") == size_of(files) - len(files[".gitattributes"])
    assert not [request for request in hub.cdn.requests if "authorization" in request.headers]
    assert not hub.seen("HEAD")
    hub.stop()
    mirror.restart()
    assert Image(mirror, "hf/org/model", commit).digest == image.digest  # nobody has asked for it by that name


def test_two_nodes_give_the_same_digests(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    assert Image(mirror_of(hub), "hf/org/model").digest == Image(mirror_of(hub), "hf/org/model").digest


def test_a_readme_changes_the_last_layer_only(mirror_of, hub):
    files = SMALL | LARGE
    hub.add("Org/Model", files)
    mirror = mirror_of(hub, tag_ttl="0s")
    before = Image(mirror, "hf/org/model")
    files |= {"README.md": b"# A better model\n"}
    commit = hub.add("Org/Model", files)
    wait_until(lambda: Image(mirror, "hf/org/model").revision == commit, "the tag moves")
    after = Image(mirror, "hf/org/model")
    assert after.digests[:2] == before.digests[:2] and after.digests[2] != before.digests[2]
    assert after.agrees_with(files)
    assert hub.cdn.body_bytes("README") == 0 and hub.sent("/resolve-cache/.*README") == 10 + 17
    assert hub.cdn.body_bytes() == size_of(LARGE) + size_of({"": SMALL["onnx/model.onnx"]})


def test_a_file_of_two_models_is_stored_once_and_is_one_layer(mirror_of, hub):
    hub.add("Org/One", {"a.txt": b"one", "model.safetensors": LARGE["model-1.safetensors"]})
    hub.add("Org/Two", {"b.txt": b"two", "model.safetensors": LARGE["model-1.safetensors"]})
    mirror = mirror_of(hub)
    one, two = Image(mirror, "hf/org/one"), Image(mirror, "hf/org/two")
    assert one.digests[0] == two.digests[0] and one.digests[1] != two.digests[1]
    assert hub.cdn.body_bytes() == LARGE["model-1.safetensors"].size


@pytest.mark.parametrize("hiccups", [0, 1])
def test_the_same_small_file_in_many_places_is_fetched_once(hiccups, mirror_of, hub):
    files = {f"{i}/__init__.py": b"# the same\n" for i in range(20)} | {"a.txt": b"a", "x.safetensors": b"# the same\n"}
    hub.add("Org/Model", files)
    hub.on("GET", "/resolve/.*__init__", times=hiccups, status=500)
    image = Image(mirror_of(hub), "hf/org/model", headers={"User-Agent": "skopeo/1"})
    assert image.agrees_with(files)
    assert hub.sent("/resolve-cache/") == len(b"# the same\n") + len(b"a") and hub.cdn.body_bytes() == 0
    assert len(hub.seen("GET", "/resolve/.*__init__")) == hiccups + 1


def test_twenty_ask_and_one_imports(mirror_of, hub):
    hub.add("Org/Model", SMALL | LARGE)
    mirror, gate = mirror_of(hub), Gate()
    hub.on("GET", "/tree/", times=1, head_gate=gate)
    askers = Threads(20, lambda i: Image(mirror, "hf/org/model", "latest" if i % 2 else "main").digest)
    gate.wait_reached()
    gate.open()
    assert len(set(askers.join())) == 1
    assert len(hub.seen("GET", "/tree/")) == 1
    assert hub.cdn.body_bytes() == size_of(LARGE) + size_of({"": SMALL["onnx/model.onnx"]})


def test_the_old_image_is_served_until_the_new_one_is_whole(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    mirror, gate = mirror_of(hub, tag_ttl="0s"), Gate()
    before = Image(mirror, "hf/org/model")
    commit = hub.add("Org/Model", SMALL | {"new.bin": noise(MiB, 7)})
    hub.cdn.on("GET", "new.bin", head_gate=gate)
    assert Image(mirror, "hf/org/model").digest == before.digest
    gate.wait_reached()
    assert Image(mirror, "hf/org/model").digest == before.digest
    gate.open()
    wait_until(lambda: Image(mirror, "hf/org/model").revision == commit, "the tag moves")


def test_who_does_not_wait_is_told_to_come_again(mirror_of, hub):
    """5.3: 503 with Retry-After within import_hold; podman and its like wait; the import goes on."""
    hub.add("Org/Model", SMALL)
    mirror, gate = mirror_of(hub, import_hold="300ms"), Gate()
    hub.cdn.on("GET", "model.onnx", head_gate=gate)
    patient = Threads(1, lambda _: Image(mirror, "hf/org/model", headers={"User-Agent": "skopeo/1.9.3"}))
    gate.wait_reached()
    for _ in range(2):
        reply = mirror.get("/v2/hf/org/model/manifests/latest", headers={"User-Agent": "containerd/2.3.0"})
        assert reply.status == 503 and int(reply.headers["retry-after"]) > 0
        assert "being imported" in reply.json["errors"][0]["message"]
    gate.open()
    (image,) = patient.join()
    assert image.agrees_with(SMALL)
    assert len(hub.seen("GET", "/tree/")) == 1


def test_a_mirror_of_a_mirror_is_not_kept_waiting(entrepot, mirror_of, hub, upstream):
    """It would take the other for dead after header_timeout, and leave it alone with all that it has."""
    hub.add("Org/Model", SMALL)
    for name in ("library/x", "library/y"):
        upstream.add(blob_image(b"layer of " + name.encode()), name, "1")
    central = entrepot({"hf": hub.url, "docker.io": upstream.url})
    edge = entrepot({"central.example": "http://%s:%d" % central.address}, upstream_rest="1m")
    gate = Gate()
    hub.cdn.on("GET", "model.onnx", head_gate=gate)
    model = "central.example/hf/org/model"
    asker = Threads(1, lambda _: edge.get(f"/v2/{model}/manifests/latest"))
    gate.wait_reached()
    edge.pull("central.example/docker.io/library/x", "1")
    (reply,) = asker.join()
    assert reply.status == 503 and reply.headers["retry-after"] == "1", reply
    other = "/v2/central.example/docker.io/library/y/manifests/1"
    wait_until(lambda: edge.get(other).status == 200, "the other images are there")  # within a second
    edge.pull("central.example/docker.io/library/y", "1")
    gate.open()
    wait_until(lambda: edge.get(f"/v2/{model}/manifests/latest").status == 200, "the import is done")
    edge.pull(model, "latest")
    assert Image(edge, model).agrees_with(SMALL)
    assert len(hub.seen("GET", "/tree/")) == 1


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_import_outlives_the_process(how, mirror_of, hub):
    """It goes on at the next start by itself, and nothing on the disk is fetched again."""
    files = SMALL | LARGE
    hub.add("Org/Model", files)
    mirror, gate = mirror_of(hub, import_hold="100ms", checkpoint="1MiB"), Gate()
    hub.cdn.on("GET", "model-2", head_gate=gate)
    assert mirror.get("/v2/hf/org/model/manifests/latest").status == 503
    gate.wait_reached()
    wait_until(lambda: hub.cdn.body_bytes("model-1") == LARGE["model-1.safetensors"].size, "one is here")
    mirror.wait_held("sha256:" + LARGE["model-1.safetensors"].sha256)
    getattr(mirror, how)()
    gate.open()
    mirror.start()
    wait_until(lambda: hub.cdn.body_bytes("model-2") >= LARGE["model-2.safetensors"].size, "the other is here too")
    image = Image(mirror, "hf/org/model", headers={"User-Agent": "skopeo/1"})
    assert image.agrees_with(files)
    assert hub.cdn.body_bytes("model-1") == LARGE["model-1.safetensors"].size


def test_a_document_is_not_asked_for_where_it_was_not_made(entrepot, hub, upstream):
    """A registry is being asked for a blob that is an image's config as well; when it refuses, the config is made."""
    hub.add("Org/Model", SMALL)
    mirror, gate = entrepot({"hf": hub.url, "docker.io": upstream.url}), Gate()
    digest = Image(mirror, "hf/org/model").manifests[0]["config"]["digest"]
    mirror.stop()
    shutil.rmtree(mirror.cache / "blobs")
    (mirror.cache / "blobs").mkdir()
    mirror.start()
    asked = len(hub.requests)
    upstream.on("GET", digest, head_gate=gate, status=404)
    other = Threads(1, lambda _: mirror.get(f"/v2/library/x/blobs/{digest}").status)
    gate.wait_reached()
    ours = Threads(1, lambda _: mirror.get(f"/v2/hf/org/model/blobs/{digest}"))
    wait_until(lambda: mirror.metric("entrepot_readers_coalesced_total") == 1, "both wait for the registry")
    gate.open()
    (reply,) = ours.join()
    assert reply.status == 200 and digest_of(reply.body) == digest, reply
    assert other.join() == [404] and len(hub.requests) == asked


# -- names, and what a hub refuses


def test_names_are_the_hubs_own(mirror_of, hub):
    """Any case, canonical and renamed names, data sets, branches, tags, pull requests, commits."""
    first = hub.add("Org/Model", SMALL)
    second = hub.add("Org/Model", {"x": b"x"}, revision="refs/pr/1")
    hub.tag("Org/Model", "v1.0")
    hub.add("Org/Set", {"data.csv": b"1,2\n"}, kind="datasets")
    hub.rename("gpt2", "Org/Model")
    mirror = mirror_of(hub)
    for name, tag, commit in [
        ("hf/org/model", "main", first),
        ("hf/org/model", "v1.0", first),
        ("hf/org/model", first, first),
        ("hf/org/model", "refs--pr--1", second),
        ("hf/gpt2", "latest", first),
    ]:
        assert Image(mirror, name, tag).revision == commit, (name, tag)
    assert Image(mirror, "hf/datasets/org/set").agrees_with({"data.csv": b"1,2\n"})


def test_a_request_may_write_a_name_in_any_case(entrepot, hub):
    """As the hub's page has it: it is one image, and one import."""
    hub.add("Org/Model-2.5", SMALL)
    config = f"upstreams:\n  hf: {{url: '{hub.url}'}}\n  depot.ai: {{type: huggingface, url: '{hub.url}'}}\n"
    mirror = entrepot(None, config=config)
    image = Image(mirror, "hf/Org/Model-2.5")
    assert image.agrees_with(SMALL) and Image(mirror, "hf/org/model-2.5").digest == image.digest
    assert len(hub.seen("GET", "/tree/")) == 1
    assert Image(mirror, "depot.ai/ORG/model-2.5").digest == image.digest
    assert mirror.get("/v2/Org/Model-2.5/manifests/latest?ns=depot.ai").body == image.reply.body
    reply = mirror.get(f"/v2/hf/Org/Model-2.5/blobs/{image.digests[0]}", keep=False)
    assert (reply.status, reply.sha256) == (200, image.digests[0])


def test_nothing_refers_to_a_model(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub)
    assert mirror.get("/v2/hf/org/model/referrers/sha256:" + "0" * 64).json["manifests"] == []
    assert not hub.requests


def test_another_name_of_the_hub(entrepot, hub):
    """`depot.ai: {type: huggingface}`: every model under that name."""
    hub.add("Org/Model", SMALL)
    config = f"upstreams:\n  depot.ai:\n    type: huggingface\n    url: {hub.url}\n"
    mirror = entrepot(None, config=config)
    assert Image(mirror, "depot.ai/org/model").agrees_with(SMALL)


@pytest.mark.parametrize(
    "name, status, words",
    [
        ("hf/org/none/manifests/latest", 404, "org/none"),
        ("hf/org/model/manifests/nobranch", 404, "nobranch|revision|Revision"),
        ("hf/org/gated/manifests/latest", 404, "access"),
        ("hf/a/b/c/manifests/latest", 404, "org/model"),
        ("hf/org/odd/manifests/latest", 404, "aux"),
        ("hf/org/model/blobs/sha256:" + "0" * 64, 404, ""),
    ],
)
def test_refusals_carry_the_hubs_reason(name, status, words, mirror_of, hub):
    hub.add("Org/Model", SMALL)
    hub.add("Org/Gated", SMALL)
    hub.repository("Org/Gated").gated = "manual"
    hub.add("Org/Odd", {"aux/.wh.file": b"x"})
    reply = mirror_of(hub).get("/v2/" + name)
    assert reply.status == status, reply
    assert re.search(words, json.dumps(reply.json)), reply.json


def test_a_token_opens_what_is_gated(entrepot, hub, tmp_path):
    hub.add("Org/Gated", SMALL)
    hub.repository("Org/Gated").gated = "manual"
    hub.token("hf_secret", "Org/Gated")
    (tmp_path / "token").write_text("hf_secret\n")
    config = f"upstreams:\n  hf:\n    url: {hub.url}\n    password_file: {tmp_path / 'token'}\n"
    mirror = entrepot(None, config=config)
    assert Image(mirror, "hf/org/gated").agrees_with(SMALL)
    assert not [request for request in hub.cdn.requests if "authorization" in request.headers]


def test_a_cdn_under_the_hubs_own_name_gets_no_token(entrepot, hub):
    """Which may refuse a signed URL that comes with one; and the token is none of its business."""
    files = {"config.json": b"{}", "model.safetensors": LARGE["model-2.safetensors"]}
    hub.add("Org/Gated", files)
    hub.repository("Org/Gated").gated = "manual"
    hub.token("hf_secret", "Org/Gated")
    hub.on("GET", "^/Org/Gated/resolve/.*safetensors", status=302, headers=[("Location", "/cdn-lfs/a/b?Signature=1")])
    cdn = hub.on("GET", "^/cdn-lfs/", call=lambda exchange: deliver(exchange, files["model.safetensors"], []))
    config = f"upstreams:\n  hf:\n    url: {hub.url}\n    password: hf_secret\n"
    assert Image(entrepot(None, config=config), "hf/org/gated").agrees_with(files)
    assert cdn.hits and not [request for request in cdn.hits if "authorization" in request.headers]
    own = [request for request in hub.requests if request not in cdn.hits]
    assert {request.headers.get("authorization") for request in own} == {"Bearer hf_secret"}


def test_a_list_of_many_pages(mirror_of, hub):
    hub.page = 7
    files = {f"folder {i % 10}/{i}.json": b"%d\n" % i for i in range(100)}
    hub.add("Org/Many", files)
    assert Image(mirror_of(hub), "hf/org/many").agrees_with(files)


@pytest.mark.parametrize(
    "links",
    [
        ['<{url}{path}?{query}>; rel="next"'],
        ['<https://huggingface.co{path}?{query}>; rel="next"'],
        ['<?{query}>; rel="next"'],
        ['<{url}{path}?page=1>; rel="first"', '<{path}?{query}>; rel="next"', "</about>; rel=help"],
    ],
    ids=["its own name", "the public name", "a query", "several fields"],
)
@pytest.mark.parametrize("prefix", ["", "/some/hub"])
def test_the_next_page_by_any_of_its_names(prefix, links, entrepot):
    """Of a hub below a URL's prefix too; small files' redirects, with the token, stay below it."""
    with Hub(prefix=prefix) as hub:
        hub.page, hub.links = 7, links
        files = {f"{i}.json": b"%d\n" % i for i in range(30)}
        hub.add("Org/Many", files)
        hub.repository("Org/Many").gated = "manual"
        hub.token("hf_secret", "Org/Many")
        config = f"upstreams:\n  hf:\n    url: {hub.url}\n    password: hf_secret\n"
        assert Image(entrepot(None, config=config), "hf/org/many").agrees_with(files)
        assert len(hub.seen("GET", "/tree/")) == 5


def test_more_large_files_than_layers_need_no_network(mirror_of, hub):
    """The oracle's own split, on names and sizes alone, is what we have; see oracle_layout for the rest."""
    files = {"b.bin": Made(64 * MiB, 3), "a.bin": Made(64 * MiB - 1, 4), "c.txt": b"c"}
    hub.add("Org/Split", files)
    image = Image(mirror_of(hub), "hf/org/split")
    assert [layer["digest"] for layer in image.layers] == [each["digest"] for each in layers_of(files)]
    assert len(image.layers) == 2


@pytest.mark.parametrize("gives", ["parts only", "the whole only"])
def test_a_cdn_with_a_mind_of_its_own(gives, mirror_of, hub):
    """4.2: a GET without a Range is refused for a large file; who may say which size is large? All are asked for
    parts, and the whole in their place is as good."""
    files = {"README.md": b"# A model\n", "a.bin": Made(MiB, 1), "b.bin": Made(20 * MiB, 2), "c.bin": Made(64 * MiB, 3)}
    hub.add("Org/Model", files, large=[name for name in files if name.endswith(".bin")])
    if gives == "parts only":
        hub.cdn.big = 0
    else:
        hub.cdn.on("GET", "", ignore_range=True)
    assert Image(mirror_of(hub), "hf/org/model").agrees_with(files)
    assert [len(hub.cdn.seen("GET", name)) for name in files] == [0, 1, 1, 1]
    assert hub.cdn.body_bytes() == 85 * MiB


# -- a hub in trouble


def test_a_hub_that_limits_and_breaks(mirror_of, hub):
    """429 and 500 are waited for, a body that is cut is resumed, an expired address renewed; at last it is whole."""
    files = SMALL | LARGE
    hub.add("Org/Model", files)
    hub.on("GET", "/tree/", times=1, status=500)
    hub.on("GET", "/resolve/.*/config.json", times=1, status=429, headers=[("Retry-After", "1")])
    hub.on("GET", "/resolve/.*/model-1", times=1, status=503, headers=[("Retry-After", "1")])
    hub.cdn.on("GET", "model-1", times=2, cut=3 * MiB)
    hub.cdn.on("GET", "model-2", times=1, status=403)
    mirror = mirror_of(hub)
    image = Image(mirror, "hf/org/model", headers={"User-Agent": "skopeo/1"})
    assert image.agrees_with(files)


def test_a_hub_that_limits_does_not_keep_another_from_helping(entrepot, hub):
    """Both have the model; the first tells to come again tomorrow, and the second is asked at once."""
    with Hub() as other:
        hub.add("Org/Model", SMALL | LARGE)
        other.add("Org/Model", SMALL | LARGE)
        config = f"upstreams:\n  hf:\n    url: {hub.url}\n  depot.ai:\n    type: huggingface\n    url: {other.url}\n"
        mirror = entrepot(None, config=config)
        image = Image(mirror, "hf/org/model")
        assert Image(mirror, "depot.ai/org/model").digest == image.digest
        mirror.stop()
        shutil.rmtree(mirror.cache / "blobs")
        (mirror.cache / "blobs").mkdir()
        mirror.start()
        limited = hub.on("GET", "/resolve/", status=503, headers=[("Retry-After", "86400")])
        reply = mirror.get(f"/v2/hf/org/model/blobs/{image.digests[0]}", keep=False)
        assert (reply.status, reply.end, reply.sha256) == (200, "complete", image.digests[0]), reply
        assert len(limited.hits) == 1


def test_a_hub_that_is_gone_leaves_the_old_image(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub, tag_ttl="0s")
    before = Image(mirror, "hf/org/model")
    hub.stop()
    assert in_threads(4, lambda _: Image(mirror, "hf/org/model").digest) == [before.digest] * 4


def test_a_small_file_that_is_not_what_the_list_says(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    hub.on("GET", "/resolve-cache/.*config.json", status=200, body=b'{"a":2}\n')
    reply = mirror_of(hub).get("/v2/hf/org/model/manifests/latest")
    assert reply.status == 502 and "config.json" in json.dumps(reply.json), reply


# -- layers


def test_layers_are_the_oracles_bytes_with_the_hub_stopped(mirror_of, hub, tmp_path):
    """Whole and by ranges, each layer as the oracle writes it."""
    files = SMALL | {"model.safetensors": Made(64 * MiB + 5, 9)}
    hub.add("Org/Model", files)
    mirror = mirror_of(hub)
    image = Image(mirror, "hf/org/model")
    hub.stop()
    for layer, data in zip(image.layers, layers_as_bytes(files)):
        target = f"/v2/hf/org/model/blobs/{layer['digest']}"
        reply = mirror.get(target, keep=False)
        assert (reply.status, reply.received, reply.sha256) == (200, layer["size"], layer["digest"])
        chance = random.Random(len(data))
        for _ in range(100):
            start = chance.randrange(len(data))
            end = min(len(data), start + chance.choice([1, 5, 100, 70_000, 5 * MiB]))
            reply = mirror.get(target, headers={"Range": f"bytes={start}-{end - 1}"})
            assert reply.status == 206 and reply.body == data[start:end], (start, end)
        reply = mirror.get(target, headers={"Range": "bytes=-51"})
        assert reply.body == data[-51:]
        assert mirror.get(target, headers={"Range": f"bytes={len(data)}-"}).status == 416


def test_documents_that_were_evicted_are_made_again(mirror_of, hub):
    """By many at once: nobody asks the hub for them, which has none."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub, tag_ttl="1h")
    before = Image(mirror, "hf/org/model").digest
    for _ in range(20):
        mirror.stop()
        shutil.rmtree(mirror.cache / "blobs")
        (mirror.cache / "blobs").mkdir()
        mirror.start()
        asked = len(hub.requests)
        assert set(in_threads(8, lambda _: Image(mirror, "hf/org/model").digest)) == {before}
        assert len(hub.requests) == asked


def test_a_model_that_is_larger_than_the_cache(mirror_of, hub):
    """It is an image all the same: what went is fetched again. The log says so; and a file alone that is, is refused."""
    files = {f"{n}.bin": noise(4 * MiB + n, n) for n in range(6)}
    hub.add("Org/Model", files)
    hub.add("Org/Huge", {"huge.bin": noise(20 * MiB)})
    mirror = mirror_of(hub, cache_size="12MiB")
    image = imported(mirror)
    assert image.agrees_with(files)
    layer = image.layers[-1]["digest"]
    assert mirror.get(f"/v2/hf/org/model/blobs/{layer}", keep=False).sha256 == layer
    assert [line for line in mirror.log(event="import", level="warn") if "more than cache_size" in line["message"]]
    refused = mirror.get("/v2/hf/org/huge/manifests/latest")
    assert refused.status == 503 and "huge.bin" in refused.json["errors"][0]["message"], refused


def test_a_digest_that_nobody_has_is_refused_each_time(mirror_of, hub):
    """It was 404 once, and then waited for until 504."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub)
    unknown = "sha256:" + "0" * 64
    for name in ("hf/org/model", "hf/any/thing"):
        for kind, code in (("manifests", "MANIFEST_UNKNOWN"), ("blobs", "BLOB_UNKNOWN")):
            target = f"/v2/{name}/{kind}/{unknown}"
            for reply in [mirror.get(target) for _ in range(3)] + in_threads(4, lambda _: mirror.get(target)):
                assert reply.status == 404 and reply.json["errors"][0]["code"] == code, reply
            assert mirror.head(target).status == 404
    assert not hub.requests


def test_documents_are_those_of_their_repository(mirror_of, hub):
    """Whether they are cached or were evicted: a name that never was imported has nothing of another."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub, tag_ttl="1h")
    image = Image(mirror, "hf/org/model")
    manifests = [image.digest, *(each["digest"] for each in image.index["manifests"])]
    targets = [f"manifests/{digest}" for digest in manifests]
    targets += [f"blobs/{each['config']['digest']}" for each in image.manifests]
    asked = len(hub.requests)
    for _ in ("cached", "evicted"):
        for method in ("HEAD", "GET"):
            replies = [mirror.get(f"/v2/hf/any/thing/{target}", method=method) for target in targets]
            assert [reply.status for reply in replies] == [404] * len(targets), replies
            replies = [mirror.get(f"/v2/hf/org/model/{target}", method=method) for target in targets]
            assert [reply.status for reply in replies] == [200] * len(targets), replies
            assert [reply.headers["docker-content-digest"] for reply in replies] == [
                target.partition("/")[2] for target in targets
            ]
        assert mirror.get(f"/v2/hf/any/thing/blobs/{image.digests[0]}").status == 404
        mirror.stop()
        shutil.rmtree(mirror.cache / "blobs")
        (mirror.cache / "blobs").mkdir()
        mirror.start()
    assert len(hub.requests) == asked
