"""Builders and other real clients on images of models: what comes out is what the hub has."""

import hashlib
import json

import pytest

from harness.clients import CLIENTS, Docker, Skopeo, pull
from harness.content import as_content
from harness.estargz import read_layer
from harness.model import Image, typical_files
from harness.pypi import real_model
from harness.readme import block
from harness.util import MiB, noise

pytestmark = pytest.mark.clients
BUILDERS = ["docker", "podman", "buildah"]
FILES = typical_files(64 * MiB + 17)


def files_of(tree):
    """{path: sha256} of the regular files of a tree, as the clients' harness has it."""
    return {path: content for path, (kind, _, content) in tree.items() if kind == "file"}


def sums(files, below=""):
    return {below + path: as_content(data).sha256 for path, data in files.items() if path != ".gitattributes"}


def build(name, mirror, dockerfile, context=()):
    with CLIENTS[name]("%s:%d" % mirror.address) as client:
        client.write("b/Dockerfile", dockerfile.replace("127.0.0.1:5000", client.mirror))
        for path, text in dict(context).items():
            client.write(f"b/{path}", text)
        return files_of(client.build(client.directory / "b"))


@pytest.fixture
def mirror(entrepot, hub):
    hub.add("Org/Model", FILES)
    return entrepot({"hf": hub.url})


@pytest.mark.parametrize("name", BUILDERS)
def test_one_file_is_copied_out_of_a_model(name, mirror):
    """COPY --from, from a cold start: the builder's first request begins the import."""
    built = build(name, mirror, "FROM scratch\nCOPY --from=127.0.0.1:5000/hf/org/model /config.json .\n")
    assert built == sums({"config.json": FILES["config.json"]})


@pytest.mark.parametrize("name", BUILDERS)
def test_readmes_dockerfile(name, entrepot, hub):
    """But for what it builds upon, which is somebody else's."""
    files = {"model.safetensors": noise(MiB, 4), "config.json": b"{}", "README.md": b"# Not copied\n"}
    hub.add("Qwen/Qwen2.5-0.5B", files)
    dockerfile = block("model-dockerfile").replace("FROM python:3.12-slim", "FROM scratch")
    built = build(name, entrepot({"hf": hub.url}), dockerfile)
    assert built == sums({name: files[name] for name in ("model.safetensors", "config.json")}, "model/")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_whole_model_is_copied(name, mirror):
    built = build(name, mirror, "FROM scratch\nCOPY --from=127.0.0.1:5000/hf/org/model / /models/\n")
    assert built == sums(FILES, "models/")


@pytest.mark.parametrize("name", BUILDERS)
def test_an_image_is_built_from_a_model(name, mirror):
    built = build(name, mirror, "FROM 127.0.0.1:5000/hf/org/model\nCOPY added /\n", {"added": "x"})
    assert built == sums(FILES | {"added": b"x"})


@pytest.mark.parametrize("name", ["docker", "containerd"])
def test_a_model_is_pulled(name, mirror):
    image = "%s:%d/hf/org/model:latest" % mirror.address
    assert files_of(pull(name, mirror.address, image)) == sums(FILES)


@pytest.fixture
def tagged(hub, mirror):
    hub.tag("Org/Model", "v1.0")
    hub.add("Org/Model", {"config.json": b'{"a":2}\n'}, revision="user/fix")
    return mirror


def test_skopeo_lists_the_tags_of_a_model(tagged):
    with Skopeo("%s:%d" % tagged.address) as client:
        image = f"docker://{client.mirror}/hf/org/model"
        listed = json.loads(client.run("skopeo", "list-tags", "--tls-verify=false", image))
    assert listed["Tags"] == ["latest", "user--fix", "v1.0"]


def test_docker_pulls_all_tags_of_a_model(tagged):
    with Docker("%s:%d" % tagged.address) as client, client.serving() as docker:
        name = f"{client.mirror}/hf/org/model"
        client.run(*docker, "pull", "-a", name)
        tags = client.run(*docker, "images", "--format", "{{.Tag}}", name).split()
        assert sorted(tags) == ["latest", "user--fix", "v1.0"]
        assert files_of(client.saved(docker, f"{name}:user--fix")) == sums({"config.json": b'{"a":2}\n'})


@pytest.mark.parametrize("name", ["docker", "podman", "skopeo"])
def test_a_person_reads_why_the_hub_refuses(name, entrepot, hub):
    """Of an error, clients show the message."""
    hub.add("Org/Gated", {"config.json": b"{}"})
    hub.repository("Org/Gated").gated = "manual"
    with CLIENTS[name]("%s:%d" % entrepot({"hf": hub.url}).address) as client:
        image = f"{client.mirror}/hf/org/gated"
        with pytest.raises(AssertionError, match="ask for access on its page"):
            if name == "docker":
                client.pull(image)
            elif name == "podman":
                client.run(*client.podman(), "pull", "--tls-verify=false", image)
            else:
                client.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{image}", "dir:out")


def sums_of_folder(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_real_small_model(entrepot, hub):
    """The files of a model that somebody uses, by way of skopeo, umoci, gzip and tar, and an independent reader of
    eStargz that verifies the table of contents and each chunk."""
    files = real_model()
    hub.add("Real/Model", files)
    mirror = entrepot({"hf": hub.url})
    assert Image(mirror, "hf/real/model").agrees_with(files)
    with Skopeo("%s:%d" % mirror.address) as client:
        image, out = f"docker://{client.mirror}/hf/real/model", client.directory / "out"
        client.run("skopeo", "copy", "--src-tls-verify=false", image, f"dir:{out}")
        for layer in json.loads((out / "manifest.json").read_text())["layers"]:
            blob = out / layer["digest"].partition(":")[2]
            client.run("sh", "-ec", f"mkdir -p all && gzip -t < {blob} && gzip -dc < {blob} | tar -C all -xf -")
            assert read_layer(blob, layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"])
        assert sums_of_folder(client.directory / "all") == sums(files)
        client.run("skopeo", "copy", "--src-tls-verify=false", image, "oci:layout:model")
        client.run("umoci", "unpack", "--image", "layout:model", "bundle")
        assert sums_of_folder(client.directory / "bundle/rootfs") == sums(files)
