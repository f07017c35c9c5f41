import os
import resource
from contextlib import contextmanager

import pytest

from harness.entrepot import BINARY, Entrepot
from harness.hub import Hub
from harness.images import index_of, tar_image
from harness.registry import Registry
from harness.upstream import CountingProxy, Upstream

# Long ones, so that none is left at the end.
FIRST = ("memory", "model_clients", "model_buildkit", "clients", "huge", "chunks", "property")
PLAIN = ("test_harness.py", "test_hub.py", "test_estargz.py")  # without the product


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests of gigabytes and minutes")
    parser.addoption("--soak", action="store_true", help="also hundreds of crashes and thousands of schedules")


def pytest_configure(config):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))


def pytest_make_parametrize_id(val):
    return val[:40] if isinstance(val, str) and val.isprintable() and len(val) > 40 else None


def pytest_collection_modifyitems(config, items):
    if not BINARY.exists() and any(item.path.name not in PLAIN for item in items):
        pytest.exit(f"{BINARY} is not there: build it, or set ENTREPOT_BINARY", returncode=2)
    for marker in ("long", "soak"):
        if config.getoption("--" + marker) or os.environ.get("ENTREPOT_" + marker.upper()) == "1":
            continue
        left = [item for item in items if item.get_closest_marker(marker)]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in FIRST)


@contextmanager
def making(factory):
    """A function that makes things, and closes all of them in the end."""
    made = []

    def make(*arguments, **options):
        made.append(factory(*arguments, **options))
        return made[-1]

    try:
        yield make
    finally:
        failures = []
        for thing in reversed(made):
            try:
                thing.close()
            except AssertionError as failure:  # the others still have to end
                failures.append(failure)
        if failures:
            raise failures[0]


@pytest.fixture
def entrepot(tmp_path):
    """entrepot({name: url} or an upstream, which then is docker.io, setting=value…): a running one."""
    with making(lambda upstreams, **settings: prepare(tmp_path, upstreams, **settings)) as make:
        yield lambda *arguments, **settings: make(*arguments, **settings).start()


@pytest.fixture(scope="module")
def shared_entrepot(tmp_path_factory):
    """The same for a whole module: of tests that only ask."""
    with making(
        lambda upstreams, **settings: prepare(tmp_path_factory.mktemp("shared"), upstreams, **settings)
    ) as make:
        yield lambda *arguments, **settings: make(*arguments, **settings).start()


def prepare(directory, upstreams, **settings):
    if upstreams is not None and not isinstance(upstreams, dict):
        upstreams = {"docker.io": upstreams.url}
    return Entrepot(directory / f"entrepot-{len(list(directory.iterdir()))}", upstreams, **settings)


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def hub():
    with Hub() as server:
        yield server


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """docker-registry, for the session; each test names repositories of its own."""
    process = Registry(tmp_path_factory.mktemp("registry") / "storage")
    yield process
    process.stop()


@pytest.fixture(scope="session")
def demo(registry):
    """library/demo:1 in the registry: an index of two platforms of four layers each."""
    return registry.push(index_of([tar_image(1), tar_image(2, "arm64")]), "library/demo", "1")


@pytest.fixture
def proxy(registry):
    """What stands between Entrepot and docker-registry, and counts."""
    with CountingProxy(registry.address) as server:
        yield server
