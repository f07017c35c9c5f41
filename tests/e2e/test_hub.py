"""The scripted hub is faithful: the real client of the hub downloads from it and cannot tell."""

import gzip
import json
import urllib.parse
from pathlib import Path

import pytest

from harness.content import Made
from harness.http import fetch
from harness.hub_repository import File
from harness.pypi import real_model, run_client
from harness.util import MiB, digest_of

MODEL = {
    ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": b"# Model\n" * 100,
    "config.json": b'{"a":1}\n',
    "empty.txt": b"",
    "onnx/model.onnx": Made(3 * MiB + 17, 2),
    "onnx/quantized/model.onnx": b"x",
    "a name with spaces, ü and +%.txt": b"odd",
    "model.safetensors": Made(9 * MiB + 1, 1),
}
DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
try:
    print(snapshot_download({id!r}, repo_type={type!r}, revision={revision!r}))
except Exception as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(3)
"""


def download(hub, home, id_, type_="model", revision=None, **options):
    """The folder's files, {path: digest}, and its commit; of a failure the client's words."""
    script = DOWNLOAD.format(id=id_, type=type_, revision=revision)
    run = run_client(hub.url, home, script, **options)
    if run.returncode == 3:
        return run.stderr
    assert run.returncode == 0, run.stderr
    return tree_of(run.stdout.splitlines()[-1])


def tree_of(folder):
    folder = Path(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): digest_of(path.read_bytes()) for path in files}, folder.name


def digests(files):
    return {path: "sha256:" + File(path, data).content.sha256 for path, data in files.items()}


def ask(server, target, method="GET", **headers):
    return fetch(server.address, target, method, {name.replace("_", "-"): value for name, value in headers.items()})


def follow(hub, target, **headers):
    """The answer at a redirect's end, from whichever server."""
    place = urllib.parse.urlsplit(ask(hub, target, **headers).headers["location"])
    server = hub.cdn if place.port == hub.cdn.port else hub
    return ask(server, f"{place.path}?{place.query}", **headers)


# ---- with the real client ----


@pytest.mark.parametrize("xet", [False, True], ids=["HF_HUB_DISABLE_XET set", "unset"])
def test_the_real_client_downloads_the_same_files(hub, tmp_path, xet):
    commit = hub.add("Org/Model", MODEL)
    hub.repository("Org/Model").xet = not xet  # there is no Xet storage here: who would use it must not be told of it
    hub.page = 3
    assert download(hub, tmp_path, "Org/Model", xet=xet) == (digests(MODEL), commit)
    assert len(hub.seen("GET", "/tree/")) == 4, "pages"
    assert len(hub.cdn.seen("GET")) == 3 and hub.cdn.body_bytes() == 12 * MiB + 19
    assert hub.seen("*", "xet-read-token") == []


def test_the_real_client_would_use_xet_where_it_is_told_of_it(hub, tmp_path):
    hub.add("Org/Model", MODEL)
    download(hub, tmp_path, "Org/Model", xet=True)
    assert hub.seen("GET", "xet-read-token"), "the hash and the route are as the client expects them"


def test_the_real_client_downloads_a_real_model(hub, tmp_path):
    files = real_model()
    commit = hub.add("Org/Real", files)
    assert download(hub, tmp_path, "Org/Real") == (digests(files), commit)
    assert sum(file.large for file in hub.repository("Org/Real").resolve("main").files.values()) == 3


@pytest.mark.parametrize("revision", ["commit", "refs/pr/1", "v1"])
def test_the_real_client_finds_revisions(hub, tmp_path, revision):
    first = hub.add("Org/Model", {"README.md": b"one"})
    hub.tag("Org/Model", "v1")
    pull = hub.add("Org/Model", {"README.md": b"two"}, revision="refs/pr/1")
    hub.add("Org/Model", {"README.md": b"three"})
    want = {"commit": (first, b"one"), "refs/pr/1": (pull, b"two"), "v1": (first, b"one")}[revision]
    asked = first if revision == "commit" else revision
    found = download(hub, tmp_path, "Org/Model", revision=asked)
    assert found == ({"README.md": digest_of(want[1])}, want[0])


def test_the_real_client_downloads_a_dataset(hub, tmp_path):
    files = {"data/train.parquet": Made(MiB, 3), "README.md": b"data"}
    commit = hub.add("Org/Data", files, kind="datasets")
    assert download(hub, tmp_path, "Org/Data", "dataset") == (digests(files), commit)


def test_the_real_client_follows_a_canonical_name(hub, tmp_path):
    commit = hub.add("openai-community/gpt2", MODEL)
    hub.rename("gpt2", "openai-community/gpt2")
    assert download(hub, tmp_path, "gpt2") == (digests(MODEL), commit)


def test_the_real_client_understands_the_refusals(hub, tmp_path):
    files = {"model.safetensors": b"weights"}
    for name in ("Gated", "Private", "Open"):
        hub.add(f"Org/{name}", files)
    hub.repository("Org/Gated").gated = "manual"
    hub.repository("Org/Private").private = True
    hub.token("hf_in", "Org/Gated", "Org/Private")
    hub.token("hf_out")
    for token, count in ((None, 401), ("hf_out", 403)):
        words = download(hub, tmp_path / f"g{count}", "Org/Gated", token=token)
        assert "GatedRepoError" in words and str(count) in words and "Access to model Org/Gated is restricted" in words
    for name in ("Private", "Missing"):
        assert "RepositoryNotFoundError" in download(hub, tmp_path / name, f"Org/{name}")
    assert "RevisionNotFoundError" in download(hub, tmp_path / "open", "Org/Open", revision="nope")
    for name in ("Gated", "Private"):
        assert download(hub, tmp_path / f"in {name}", f"Org/{name}", token="hf_in")[0] == digests(files)
    assert not any("authorization" in request.headers for request in hub.cdn.requests)


# ---- without ----


def test_large_files_are_redirected_to_signed_urls(hub):
    sha = hub.add("Org/Model", MODEL)
    target, content = "/Org/Model/resolve/main/model.safetensors", MODEL["model.safetensors"]
    reply = ask(hub, target, "HEAD")
    assert reply.status == 302 and reply.headers["x-repo-commit"] == sha
    assert reply.headers["x-linked-etag"] == f'"{content.sha256}"'
    assert reply.headers["x-linked-size"] == str(content.size)
    assert len(reply.headers["x-xet-hash"]) == 64 and 'rel="xet-auth"' in reply.headers["link"]
    assert reply.headers["location"].startswith(hub.cdn.url)
    assert follow(hub, target).sha256 == f"sha256:{content.sha256}"
    part = follow(hub, target, Range="bytes=5000000-9000000")
    assert part.status == 206 and part.body == content.read(5_000_000, 9_000_001)
    assert hub.sent("model.safetensors") - hub.body_bytes() == content.size + 4_000_001


def test_signed_urls_expire_and_are_not_for_tokens(hub):
    hub.add("Org/Model", MODEL)
    hub.token("hf_x")
    place = ask(hub, "/Org/Model/resolve/main/model.safetensors").headers["location"].removeprefix(hub.cdn.url)
    assert ask(hub.cdn, place, Authorization="Bearer hf_x").status == 400
    assert ask(hub.cdn, place, Range="bytes=0-0").status == 206
    hub.expire()
    assert ask(hub.cdn, place, Range="bytes=0-0").status == 403
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors", Range="bytes=0-0").status == 206
    hub.life = -1
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors", Range="bytes=0-0").status == 403


def test_what_is_too_large_is_served_by_ranges_only(hub):
    hub.add("Org/Model", MODEL)
    hub.cdn.big = MiB
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors").status == 400
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors", Range="bytes=0-9").body == MODEL[
        "model.safetensors"
    ].read(0, 10)


def test_small_files_come_from_the_hub_itself(hub):
    sha = hub.add("Org/Model", MODEL)
    target, data = "/Org/Model/resolve/main/README.md", MODEL["README.md"]
    assert ask(hub, target).headers["location"].startswith("/api/resolve-cache/models/Org/Model/" + sha)
    plain = follow(hub, target, Accept_Encoding="identity")
    etag = plain.headers["etag"]
    assert plain.body == data and plain.headers["x-repo-commit"] == sha
    assert plain.headers["content-length"] == str(len(data)) and len(etag) == 42
    packed = follow(hub, target, Accept_Encoding="gzip, deflate")
    assert gzip.decompress(packed.body) == data and packed.headers["etag"] == "W/" + etag
    bare = follow(hub, target)
    assert bare.body == data and "content-length" not in bare.headers
    assert follow(hub, target, Accept_Encoding="identity", If_None_Match=etag).status == 304
    assert follow(hub, target, Accept_Encoding="identity", Range="bytes=2-6").body == b"Model"


def test_the_api_tells_what_git_would(hub):
    """The names of trees and blobs are git's own."""
    sha = hub.add("Org/Model", {"a/b.txt": b"hello\n", "a.txt": b"", "w.bin": b"weights"})
    info = ask(hub, "/api/models/oRG/mODEL/revision/main?blobs=true").json
    assert info["id"] == "Org/Model" and info["sha"] == sha
    assert [row["rfilename"] for row in info["siblings"]] == ["a.txt", "a/b.txt", "w.bin"]
    assert info["siblings"][1]["blobId"] == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert info["siblings"][2]["lfs"] == {
        "sha256": digest_of(b"weights").removeprefix("sha256:"),
        "size": 7,
        "pointerSize": 126,
    }
    tree = ask(hub, "/api/models/Org/Model/tree/main").json
    assert [(row["type"], row["path"]) for row in tree] == [("directory", "a"), ("file", "a.txt"), ("file", "w.bin")]
    assert tree[0]["oid"] == "dd5a3627ad3d4a1eaa9b180972bab37891a5e101"
    assert ask(hub, "/api/models/Org/Model/tree/main/a").json[0]["path"] == "a/b.txt"


def test_a_commit_shares_what_it_does_not_change(hub):
    first = hub.add("Org/Model", MODEL)
    assert hub.add("Org/Model", MODEL) == first
    second = hub.add("Org/Model", {**MODEL, "README.md": b"new"})
    trees = [
        {row["path"]: row["oid"] for row in ask(hub, f"/api/models/Org/Model/tree/{sha}?recursive=1").json}
        for sha in (first, second)
    ]
    assert {path for path in trees[0] if trees[0][path] != trees[1][path]} == {"README.md"}


def test_limits_are_told_and_kept(hub):
    hub.add("Org/Model", MODEL)
    hub.limit("api", 2, window=1000)
    assert [ask(hub, "/api/models/Org/Model").status for _ in range(3)] == [200, 200, 429]
    last = ask(hub, "/api/models/Org/Model")
    assert last.headers["ratelimit"].startswith('"api";r=0;t=') and int(last.headers["retry-after"]) > 900
    assert ask(hub, "/Org/Model/resolve/main/config.json").status == 307


def test_redirects_are_relative_or_absolute(hub):
    hub.add("Org/Model", MODEL)
    hub.rename("Org/Model", "Org/Other")
    target = "/api/models/Org/Model/tree/main?recursive=1"
    assert ask(hub, target).headers["location"] == "/api/models/Org/Other/tree/main?recursive=1"
    hub.absolute, hub.case_redirects = True, True
    assert ask(hub, "/org/OTHER/resolve/main/a").headers["location"] == hub.url + "/Org/Other/resolve/main/a"
    assert json.loads(ask(hub, "/api/models/Org/Other").body)["id"] == "Org/Other"


def test_rules_and_scripts_work_on_both_servers(hub):
    hub.add("Org/Model", MODEL)
    hub.on("GET", "/tree/", times=1, status=500)
    hub.on("GET", "resolve-cache/.*config", times=1, corrupt=0)
    hub.cdn.on("GET", "model.safetensors", times=1, cut=1000)
    assert [ask(hub, "/api/models/Org/Model/tree/main").status for _ in range(2)] == [500, 200]
    broken = follow(hub, "/Org/Model/resolve/main/config.json", Accept_Encoding="identity")
    assert broken.body == bytes([MODEL["config.json"][0] ^ 0xFF]) + MODEL["config.json"][1:]
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors").end == "fin"
    assert hub.cdn.body_bytes() == 1000
