"""Models and a newer builder than Docker's own: COPY --link, a mirror of depot.ai, and layers read lazily."""

import pytest

from harness.buildkit import BuildKit
from harness.content import Made, as_content
from harness.entrepot import run_command
from harness.model import imported, typical_files
from harness.util import Gate, MiB, Threads

pytestmark = pytest.mark.clients
FILES = typical_files(100 * MiB + 17)
HUB = "  {name}:\n    type: huggingface\n    url: {url}\n"
ALL = [name for name in FILES if name != ".gitattributes"]


def sums(names, below=""):
    return {below + name: as_content(FILES[name]).sha256 for name in names}


@pytest.fixture
def mirror_of(entrepot):
    def make(hub, **settings):
        hubs = "".join(HUB.format(name=name, url=hub.url) for name in ("hf", "depot.ai"))
        return entrepot(None, config="upstreams:\n" + hubs, **settings)

    return make


@pytest.fixture
def mirror(mirror_of, hub):
    hub.add("Org/Model", FILES)
    return mirror_of(hub)


@pytest.fixture(params=["native", "stargz"])
def builder(request, mirror):
    """made("COPY …", {path: text} of the context): {path: sha256} of the files that come out, by one daemon."""
    with BuildKit("%s:%d" % mirror.address, request.param) as client, client.serving() as buildctl:
        yield lambda *words: made(client, buildctl, *words)


def made(client, buildctl, dockerfile, context=()):
    client.write("b/Dockerfile", dockerfile.replace("127.0.0.1:5000", client.mirror))
    for path, text in dict(context).items():
        client.write(f"b/{path}", text)
    tree = client.made(buildctl, client.directory / "b")
    return {path: content for path, (kind, _, content) in tree.items() if kind == "file"}


def test_what_a_dockerfile_says(builder, hub):
    """From a cold start, one line after the other; the hub is asked once for each byte."""
    link = "FROM scratch\nCOPY --link --from="
    assert builder(link + "127.0.0.1:5000/hf/org/model /config.json .\n") == sums(["config.json"])
    assert builder(link + "127.0.0.1:5000/hf/org/model / /models/\n") == sums(ALL, "models/")
    assert builder(link + "depot.ai/org/model /onnx/model.onnx /onnx/\n") == sums(["onnx/model.onnx"])
    assert builder("FROM scratch\nCOPY --from=depot.ai/org/model /config.json .\n") == sums(["config.json"])
    added = {"added": as_content(b"x").sha256}
    assert builder("FROM 127.0.0.1:5000/hf/org/model\nCOPY added /\n", {"added": "x"}) == sums(ALL) | added
    large = ("model.safetensors", "onnx/model.onnx")
    assert hub.cdn.body_bytes() == sum(as_content(FILES[name]).size for name in large)


def test_one_file_is_read_lazily_by_way_of_a_node_with_the_numbers(mirror_of, hub):
    """The builder reads the first and the last 50 KB of each layer, and the file's own; the node fetches little more,
    and all of what is small."""
    large = {f"model-{i}.safetensors": Made((66 + 3 * i) * MiB + 17 * i, i) for i in range(5)}
    small = {"config.json": FILES["config.json"], "tokenizer.json": b"t" * 300_000}
    hub.add("Org/Model", large | small)
    first, second = mirror_of(hub), mirror_of(hub)
    imported(first)
    hand_over_numbers(first, second)
    before = hub.sent("/resolve-cache/|\\?response")
    with BuildKit("%s:%d" % second.address, "stargz") as client, client.serving() as buildctl:
        line = "COPY --link --from=127.0.0.1:5000/hf/org/model /config.json ."
        assert made(client, buildctl, f"FROM scratch\n{line}\n") == sums(["config.json"])
    served = sum(line["bytes"] for line in second.log(event="request"))
    assert served < MiB
    assert hub.sent("/resolve-cache/|\\?response") - before < 2 * MiB


def hand_over_numbers(first, second):
    text = None
    for mirror, words in (first, ["export", "hf/org/model"]), (second, ["import", "-"]):
        flags = ["--cache", mirror.cache, "--config", mirror.directory / "config.yml"]
        done = run_command("numbers", *words, *flags, "--admin", "%s:%d" % mirror.admin, input=text)
        assert done.returncode == 0, done
        text = done.stdout


def test_a_build_waits_for_the_import(mirror_of, hub):
    """It does not ask again after a 503, and waits for a head as long as it takes: so it is held beyond import_hold."""
    hub.add("Org/Model", {"config.json": FILES["config.json"], "model.onnx": FILES["onnx/model.onnx"]})
    mirror, gate = mirror_of(hub, import_hold="100ms"), Gate()
    hub.cdn.on("GET", "model.onnx", head_gate=gate)
    with BuildKit("%s:%d" % mirror.address) as client, client.serving() as buildctl:
        copy = "FROM scratch\nCOPY --link --from=127.0.0.1:5000/hf/org/model /config.json .\n"
        build = Threads(1, lambda _: made(client, buildctl, copy))
        gate.wait_reached()
        reply = mirror.get("/v2/hf/org/model/manifests/latest", headers={"User-Agent": "buildkit/v0.30 moby/29.1"})
        assert reply.status == 503  # held as long as anybody, while the build waits
        gate.open()
        assert build.join() == [sums(["config.json"])]
    assert len(hub.seen("GET", "/tree/")) == 1
