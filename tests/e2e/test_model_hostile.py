"""What a hub's list of files may say that no repository has: the import ends with a sentence, and nothing else does."""

import hashlib
import json

import pytest

from harness.imports import command
from harness.model import Image

SMALL = {"config.json": b'{"a":1}\n'}


def lfs(path, size, content=b"x"):
    oid = hashlib.sha256(content).hexdigest()
    return {"type": "file", "path": path, "size": size, "oid": "0" * 40, "lfs": {"oid": oid, "size": size}}


@pytest.fixture
def mirror(entrepot, hub):
    return entrepot({"hf": hub.url})


def list_files(hub, *entries):
    hub.add("Org/Model", SMALL)
    hub.on("GET", "/tree/", call=lambda exchange: exchange.answer(200, json.dumps(entries).encode()))


@pytest.mark.parametrize("size", [2**63 - 1, 2**62, 2**56, 2**50, 2**42])
def test_a_file_of_a_size_that_nobody_has(size, mirror, hub):
    list_files(hub, lfs("w.safetensors", size))
    done = command(mirror, "import", "org/model", "--wait")
    assert done.returncode == 1 and "table of contents" in done.stderr, done
    hub.add("Org/Other", SMALL)
    hub.healthy()
    assert Image(mirror, "hf/org/other").agrees_with(SMALL)
