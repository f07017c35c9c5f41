"""Real clients pull through Entrepot, set up with README's own lines, and again without the upstream."""

import pytest

from harness.clients import CLIENTS, ContainerdWithOneFile, pull
from harness.images import DOCKER_MANIFEST, flatten, tar_image
from harness.util import in_threads

IMAGE = "docker.io/library/demo:1"


def assert_fetched_once(proxy, image):
    """R1, R2, R5; each byte crossed once, and sizes came from the manifests: no HEAD of a blob."""
    for digest, data in image.blobs.items():
        assert [(request.method, request.body_sent) for request in proxy.seen(pattern=digest)] == [("GET", len(data))]


@pytest.mark.clients
@pytest.mark.parametrize("name", CLIENTS)
def test_client_pulls_and_pulls_again_without_the_upstream(name, entrepot, demo, proxy):
    """M4, M7, P1, P4, P5: the whole conversation of each client, cold; then offline after a restart."""
    mirror, image = entrepot(proxy, tag_ttl="0s"), demo.children[0]
    assert pull(name, mirror.address, IMAGE) == flatten(image.layers)
    assert_fetched_once(proxy, image)
    mirror.wait_held(*image.blobs)
    proxy.stop()
    mirror.restart()
    assert pull(name, mirror.address, IMAGE) == flatten(image.layers)


@pytest.mark.clients
def test_five_clients_at_once_cost_the_upstream_one_pull(entrepot, demo, proxy):
    mirror, image, names = entrepot(proxy), demo.children[0], list(CLIENTS)
    trees = in_threads(len(names), lambda i: pull(names[i], mirror.address, IMAGE))
    assert all(tree == flatten(image.layers) for tree in trees)
    assert_fetched_once(proxy, image)


@pytest.mark.clients
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_client_pulls_a_docker_manifest(name, entrepot, registry, proxy):
    image = registry.push(tar_image(3, media_type=DOCKER_MANIFEST, files=10), "library/schema2", "1")
    mirror = entrepot(proxy)
    assert pull(name, mirror.address, "docker.io/library/schema2:1") == flatten(image.layers)
    assert_fetched_once(proxy, image)


@pytest.mark.clients
def test_containerd_with_one_file_for_all_registries(entrepot, demo, proxy):
    """R1: README's other way."""
    mirror = entrepot(proxy)
    assert pull(ContainerdWithOneFile, mirror.address, IMAGE) == flatten(demo.children[0].layers)
    assert_fetched_once(proxy, demo.children[0])
