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
    "model.safetensors": Made(17 * MiB + 1, 1),
}
LARGE_BYTES = 20 * MiB + 19
DOWNLOAD = """
import json, sys
from huggingface_hub import snapshot_download
for id, kind, revision, token in json.loads(sys.argv[1]):
    try:
        print(json.dumps(snapshot_download(id, repo_type=kind, revision=revision, token=token)))
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def download(hub, home, *jobs, xet=False):
    """For each (id, type, revision, token), of which the last may be left out: the folder's files, {path: digest},
    and the commit; or, of a failure, the client's error and its words."""
    defaults = ("model", None, None)
    jobs = [(*job, *defaults[len(job) - 1 :]) for job in jobs]
    run = run_client(hub.url, home, DOWNLOAD, json.dumps(jobs), xet=xet)
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return [tree_of(Path(one)) if isinstance(one, str) else tuple(one) for one in found]


def tree_of(folder):
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


def test_the_real_client_downloads_the_same_files(hub, tmp_path):
    commit = hub.add("Org/Model", MODEL)
    hub.page = 3
    assert download(hub, tmp_path, ("Org/Model",)) == [(digests(MODEL), commit)]
    assert len(hub.seen("GET", "/tree/")) == 4, "pages"
    assert len(hub.cdn.seen("GET")) == 3 and hub.cdn.body_bytes() == LARGE_BYTES
    assert hub.xet.requests == []


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not offered"])
def test_the_real_client_uses_xet_where_it_is_offered(hub, tmp_path, offered):
    commit = hub.add("Org/Model", MODEL)
    hub.repository("Org/Model").xet = offered
    assert download(hub, tmp_path, ("Org/Model",), xet=True) == [(digests(MODEL), commit)]
    assert (hub.xet.body_bytes("/xorbs/") > LARGE_BYTES) == offered
    assert hub.cdn.body_bytes() == (0 if offered else LARGE_BYTES)


def test_the_real_client_downloads_a_real_model(hub, tmp_path):
    files = real_model()
    commit = hub.add("Org/Real", files)
    assert download(hub, tmp_path, ("Org/Real",)) == [(digests(files), commit)]
    assert sum(file.large for file in hub.repository("Org/Real").resolve("main").files.values()) == 3


def test_the_real_client_finds_revisions_and_datasets_and_follows_names(hub, tmp_path):
    first = hub.add("openai-community/gpt2", {"README.md": b"one"})
    hub.tag("openai-community/gpt2", "v1")
    pull = hub.add("openai-community/gpt2", {"README.md": b"two"}, revision="refs/pr/1")
    main = hub.add("openai-community/gpt2", MODEL)
    hub.rename("gpt2", "openai-community/gpt2")
    data = hub.add("openai-community/gpt2", {"data/train.parquet": Made(MiB, 3)}, kind="datasets")
    jobs = [("gpt2", "model", revision) for revision in (None, first, "v1", "refs/pr/1")]
    assert download(hub, tmp_path, *jobs, ("openai-community/gpt2", "dataset")) == [
        (digests(MODEL), main),
        (digests({"README.md": b"one"}), first),
        (digests({"README.md": b"one"}), first),
        (digests({"README.md": b"two"}), pull),
        (digests({"data/train.parquet": Made(MiB, 3)}), data),
    ]


def test_the_real_client_understands_the_refusals(hub, tmp_path):
    files = {"model.safetensors": b"weights"}
    for name in ("Gated", "Private", "Open", "Disabled"):
        hub.add(f"Org/{name}", files)
    hub.repository("Org/Gated").gated = "manual"
    hub.repository("Org/Private").private = True
    hub.repository("Org/Disabled").disabled = True
    hub.token("hf_in", "Org/Gated", "Org/Private")
    hub.token("hf_out")
    found = download(
        hub,
        tmp_path,
        ("Org/Gated",),
        ("Org/Gated", "model", None, "hf_out"),
        ("Org/Private",),
        ("Org/Missing",),
        ("Org/Missing", "model", None, "hf_in"),
        ("Org/Open", "model", "nope"),
        ("Org/Disabled",),
        ("Org/Gated", "model", None, "hf_in"),
        ("Org/Private", "model", None, "hf_in"),
    )
    for (error, words), status in zip(found, (401, 403)):
        assert error == "GatedRepoError" and words.startswith(str(status))
        assert "Access to model Org/Gated is restricted" in words
    assert [error for error, _ in found[2:5]] == ["RepositoryNotFoundError"] * 3
    assert found[5][0] == "RevisionNotFoundError" and "Invalid rev id: nope" in found[5][1]
    assert "Access to this resource is disabled." in found[6][1]
    assert [tree for tree, _ in found[7:]] == [digests(files)] * 2
    assert not any("authorization" in request.headers for request in hub.cdn.requests)


LIST_REFS = """
import json, sys
from huggingface_hub import list_repo_refs
for id, kind in json.loads(sys.argv[1]):
    refs = list_repo_refs(id, repo_type=kind, include_pull_requests=True)
    rows = (refs.branches, refs.tags, refs.converts, refs.pull_requests)
    print(json.dumps([[[ref.name, ref.ref, ref.target_commit] for ref in row] for row in rows]))
"""


def test_the_real_client_lists_branches_and_tags(hub, tmp_path):
    main = hub.add("Org/Model", {"README.md": b"one"})
    other = hub.add("Org/Model", {"README.md": b"two"}, revision="user/fix")
    pull = hub.add("Org/Model", {"README.md": b"three"}, revision="refs/pr/1")
    hub.tag("Org/Model", "v1", "user/fix")
    data = hub.add("Org/Set", {"README.md": b"data"}, kind="datasets")
    run = run_client(hub.url, tmp_path, LIST_REFS, json.dumps([("Org/Model", "model"), ("Org/Set", "dataset")]))
    assert run.returncode == 0, run.stderr
    assert [json.loads(line) for line in run.stdout.splitlines()] == [
        [
            [["main", "refs/heads/main", main], ["user/fix", "refs/heads/user/fix", other]],
            [["v1", "refs/tags/v1", other]],
            [],
            [["refs/pr/1", "refs/pr/1", pull]],
        ],
        [[["main", "refs/heads/main", data]], [], [], []],
    ]


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
    hub.cdn.on("GET", "model.safetensors", pace=200 * MiB)
    assert follow(hub, "/Org/Model/resolve/main/model.safetensors").sha256 == digests(MODEL)["model.safetensors"]


def test_a_made_stream_is_the_same_from_wherever_it_is_read():
    made = Made(5 * MiB + 3, 7)
    whole = b"".join(made.pieces())
    assert len(whole) == made.size and digest_of(whole) == "sha256:" + made.sha256
    for start, stop in [(0, 1), (65535, 65537), (65536, 131072), (MiB - 1, 3 * MiB + 1), (made.size - 5, made.size)]:
        assert made.read(start, stop) == whole[start:stop]
    assert b"".join(Made(5 * MiB + 3, 8).pieces()) != whole
    cells = {whole[at : at + 65536] for at in range(0, len(whole), 65536)}
    assert len(cells) == 81, "no two are the same"
