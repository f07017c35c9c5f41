"""The catalog: models that are imported before anybody asks, by the files and revisions that it says, and kept."""

import json
import re
import signal

import pytest

from harness.entrepot import run_command
from harness.model import Image
from harness.util import Gate, MiB, digest_of, noise, wait_until

FILES = {
    "README.md": b"# A model\n",
    "config.json": b'{"a":1}\n',
    "model.safetensors": noise(3 * MiB + 1, 1),
    "onnx/model.onnx": noise(2 * MiB, 2),
    "onnx/config.json": b'{"o":1}\n',
    "pytorch_model.bin": noise(2 * MiB, 3),
}
CHOSEN = ("config.json", "model.safetensors", "onnx/config.json")


def chosen(files=FILES, names=CHOSEN):
    return {name: files[name] for name in names}


class Mirror:
    """One with a catalog of its own, and a configuration that names it."""

    def __init__(self, entrepot, hub, directory, models, more="", upstream=None, **settings):
        self.catalog = directory / "catalog.yaml"
        self.head = f"upstreams:\n  hf:\n    url: {hub.url}\n"
        if upstream:
            self.head += f"  docker.io:\n    url: {upstream.url}\n"
        self.write(models)
        settings = {"catalog": self.catalog, "tag_ttl": "1s", "config": self.head + more, **settings}
        self.mirror = entrepot(None, **{key: value for key, value in settings.items() if value is not None})

    def write(self, models):
        self.catalog.write_text(models if isinstance(models, str) else json.dumps({"models": models}))

    def hang_up(self, models=None, more=None):
        """SIGHUP, until it has been dealt with."""
        if models is not None:
            self.write(models)
        if more is not None:
            (self.mirror.directory / "config.yml").write_text(self.head + more)
        before = len(self.said("reload"))
        self.mirror.signal(signal.SIGHUP)
        wait_until(lambda: len(self.said("reload")) > before, "it was read again")
        return self.said("reload")[before:]

    def said(self, event):
        return [line["message"] for line in self.mirror.log(event=event) if "message" in line]

    def imported(self, count=1):
        """The imports that have ended, when there are so many."""
        done = lambda: [line for line in self.mirror.log(event="import") if line.get("verdict") == "OK"]
        wait_until(lambda: len(done()) >= count, f"{count} imports ended")
        return done()

    def holds(self, commit, repository="Org/Model"):
        return any(line["commit"] == commit and line["repository"] == repository for line in self.imported())


@pytest.fixture
def catalog(entrepot, hub, tmp_path):
    return lambda models, **settings: Mirror(entrepot, hub, tmp_path, models, **settings)


def test_a_model_is_imported_before_anybody_asks(catalog, hub):
    """Of a branch, a tag and a commit; afterwards the hub is not needed."""
    first = hub.add("Org/Model", FILES)
    hub.tag("Org/Model", "v1.0")
    second = hub.add("Org/Model", FILES | {"README.md": b"# A better model\n"})
    hub.add("Org/Set", {"data.csv": b"1,2\n"}, kind="datasets")
    mirror = catalog(
        [
            {"name": "Org/Model"},
            {"name": "hf/org/model", "revision": "v1.0", "tag": "stable"},
            {"name": "datasets/Org/Set", "tag": "main"},
        ]
    )
    mirror.imported(3)
    hub.stop()
    assert Image(mirror.mirror, "hf/org/model").revision == second
    assert Image(mirror.mirror, "hf/org/model", "stable").revision == first
    assert Image(mirror.mirror, "hf/datasets/org/set", "main").agrees_with({"data.csv": b"1,2\n"})


def test_an_image_of_some_files(catalog, hub):
    """The others are not fetched; another tag of the same commit has all; the layers are the oracle's."""
    hub.add("Org/Model", FILES)
    mirror = catalog(
        [
            {"name": "org/model", "tag": "light", "include": ["*.safetensors", "*.json"], "exclude": ["none/"]},
            {"name": "org/model", "tag": "onnx", "include": ["onnx/"], "exclude": ["*.json"]},
        ]
    )
    mirror.imported(2)
    assert not hub.sent("pytorch_model.bin") and not hub.sent("README")
    light = Image(mirror.mirror, "hf/org/model", "light")
    assert light.agrees_with(chosen())
    assert Image(mirror.mirror, "hf/org/model", "onnx").agrees_with(chosen(names=["onnx/model.onnx"]))
    before = hub.sent("model.safetensors|model.onnx")
    assert Image(mirror.mirror, "hf/org/model").agrees_with(FILES)
    assert hub.sent("model.safetensors|model.onnx") == before, "what is there is not fetched again"
    assert Image(mirror.mirror, "hf/org/model", light.revision).agrees_with(FILES)


def test_a_file_that_no_image_can_hold_may_be_left_out(catalog, hub):
    hub.add("Org/Odd", {"config.json": b"{}", "aux/.wh.file": b"x"})
    hub.add("Org/Model", FILES)
    mirror = catalog(
        [{"name": "org/odd", "exclude": ["aux/"]}, {"name": "org/model", "include": ["*.gguf"]}],
    )
    mirror.imported()
    assert Image(mirror.mirror, "hf/org/odd").agrees_with({"config.json": b"{}"})
    assert mirror.mirror.get("/v2/hf/org/model/manifests/latest").status == 404
    assert any("leave none of its files" in message for message in mirror.said("import"))


def test_a_branch_is_followed_and_a_commit_is_not(catalog, hub):
    first = hub.add("Org/Model", FILES)
    mirror = catalog([{"name": "org/model"}, {"name": "org/model", "tag": "pinned", "revision": first}])
    mirror.imported()
    wait_until(lambda: hub.seen("GET", f"/revision/{first}"), "the commit was asked for")
    second = hub.add("Org/Model", FILES | {"README.md": b"# A better model\n"})
    wait_until(lambda: mirror.holds(second), "the branch was followed")
    third = hub.add("Org/Model", FILES | {"README.md": b"# The best model\n"})
    wait_until(lambda: mirror.holds(third), "and again")
    assert len(hub.seen("GET", f"/revision/{first}")) == 1
    assert Image(mirror.mirror, "hf/org/model", "pinned").revision == first


def test_a_pinned_commit_outlives_its_repository(catalog, hub):
    """And the hub: it is answered although nobody can be asked any more, also after a restart."""
    first = hub.add("Org/Model", FILES)
    mirror = catalog([{"name": "org/model", "revision": first}], tag_ttl="0s", stale="0s", negative_ttl="0s")
    mirror.imported()
    image = Image(mirror.mirror, "hf/org/model")
    hub.repository("Org/Model").private = True
    assert mirror.mirror.get("/v2/hf/org/model/manifests/main").status == 404
    assert Image(mirror.mirror, "hf/org/model").digest == image.digest
    hub.stop()
    mirror.mirror.restart()
    assert Image(mirror.mirror, "hf/org/model").agrees_with(FILES)


def test_sighup_adds_changes_and_removes(catalog, hub):
    first = hub.add("Org/Model", FILES)
    second = hub.add("Org/Model", FILES | {"README.md": b"# A better model\n"})
    other = hub.add("Org/Other", {"x.txt": b"x"})
    mirror = catalog([{"name": "org/model", "revision": first}])
    mirror.imported()
    assert Image(mirror.mirror, "hf/org/model").revision == first
    assert "the catalog was read again" in mirror.hang_up([{"name": "org/other"}])[0]
    wait_until(lambda: mirror.holds(other, "Org/Other"), "the new one is imported")
    wait_until(lambda: Image(mirror.mirror, "hf/org/model").revision == second, "latest is main again")
    mirror.hang_up([{"name": "org/model", "revision": first, "include": ["config.json"]}])
    wait_until(lambda: Image(mirror.mirror, "hf/org/model").revision == first, "it is the commit again")
    assert Image(mirror.mirror, "hf/org/model").agrees_with(chosen(names=["config.json"]))


def test_a_change_in_the_middle_of_an_import(catalog, hub):
    """What was under way is not taken for what the catalog says now."""
    first = hub.add("Org/Model", FILES)
    second = hub.add("Org/Model", {"new.txt": b"new"})
    gate = Gate()
    hub.cdn.on("GET", "model.safetensors", head_gate=gate)
    mirror = catalog([{"name": "org/model", "revision": first}])
    gate.wait_reached()
    mirror.hang_up([{"name": "org/model", "revision": second}])
    gate.open()
    wait_until(lambda: mirror.holds(first) and mirror.holds(second), "both are imported")
    wait_until(lambda: Image(mirror.mirror, "hf/org/model").revision == second, "the newer one counts")


def test_an_import_that_nobody_wants_any_more_is_given_up(catalog, hub):
    """What it was for is gone from the catalog when it would go on: it is looked for once, not at every start."""
    hub.add("Org/Model", FILES)
    gate = Gate()
    hub.cdn.on("GET", "model.safetensors", head_gate=gate)
    mirror = catalog([{"name": "org/model", "tag": "light"}])
    gate.wait_reached()
    wait_until(lambda: mirror.mirror.log(event="catalog"), "it runs")
    mirror.mirror.stop()
    gate.open()
    mirror.write([])
    mirror.mirror.start()
    assert mirror.mirror.get("/v2/hf/org/model/manifests/light").status == 404, "it was looked for"
    mirror.mirror.restart()
    hub.add("Org/Other", {"x.txt": b"x"})
    assert Image(mirror.mirror, "hf/org/other").agrees_with({"x.txt": b"x"})
    assert len(hub.seen("GET", "/revision/light")) == 1


def test_sighup_without_a_catalog_harms_nobody(entrepot, hub):
    hub.add("Org/Model", FILES)
    mirror = entrepot({"hf": hub.url})
    for _ in range(3):
        mirror.signal(signal.SIGHUP)
    wait_until(lambda: mirror.log(event="reload"), "it was noticed")
    assert Image(mirror, "hf/org/model").agrees_with(FILES)


@pytest.mark.parametrize(
    "text, words",
    [
        ("models: [{name: a/b/c}]\n", "catalog.yaml:1: models: name: .*org/model"),
        ("models:\n- name: org/model\n  reversion: x\n", 'catalog.yaml:3: .*"reversion".*revision'),
        ("models: [\n", "catalog.yaml:.*is not valid YAML"),
    ],
)
def test_a_faulty_file_leaves_the_old_catalog(text, words, catalog, hub):
    commit = hub.add("Org/Model", FILES)
    mirror = catalog([{"name": "org/model"}])
    mirror.imported()
    (said,) = mirror.hang_up(text)
    assert re.search(words, said) and "nothing is changed" in said
    second = hub.add("Org/Model", FILES | {"README.md": b"# A better model\n"})
    wait_until(lambda: mirror.holds(second), "the old catalog still works")
    assert commit != second


def test_models_in_the_configuration(catalog, hub):
    """SIGHUP reads them, too; of other settings it says that they need a restart."""
    hub.add("Org/Model", FILES)
    other = hub.add("Org/Other", {"x.txt": b"x"})
    mirror = catalog([], catalog=None, more="models:\n- name: org/model\n")
    mirror.imported()
    said = mirror.hang_up(more="tag_ttl: 7m\nstale: 1d\nmodels:\n- name: org/other\n")
    assert any("tag_ttl, stale changed" in line for line in said), said
    wait_until(lambda: mirror.holds(other, "Org/Other"), "the new one is imported")


def test_a_model_that_cannot_be_had_keeps_no_other_waiting(catalog, hub):
    hub.add("Org/Model", FILES)
    models = [{"name": f"org/none-{i}"} for i in range(10)] + [{"name": "org/model"}]
    mirror = catalog(models, negative_ttl="2s")
    mirror.imported()
    late = hub.add("Org/None-3", {"late.txt": b"late"})
    wait_until(lambda: mirror.holds(late, "Org/None-3"), "what came later is found")


# -- what stays


def overflow(mirror, upstream, expected_gone):
    """Pulls more than fits, until these have gone."""
    for number in range(16):
        digest = upstream.add_blob("library/other", noise(MiB, 1000 + number))
        target = f"/v2/docker.io/library/other/blobs/{digest}"
        wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there was room for it")
    for digest in expected_gone:
        wait_until(lambda: not mirror.holds(digest), f"{digest} went")


def files_of(contents):
    """The digests of files that are worth evicting."""
    return [digest_of(data) for data in contents.values() if len(data) >= MiB]


OTHER = {"model.safetensors": noise(2 * MiB, 11), "config.json": b"{}"}


@pytest.mark.parametrize("how", ["catalog", "pin"])
def test_what_is_pinned_stays(how, catalog, hub, upstream):
    """The files of its images, whatever is newer; those of its neighbours go."""
    hub.add("Org/Model", FILES)
    hub.add("Other/Model", OTHER)
    kept = chosen(names=("config.json", "model.safetensors"))
    models = [{"name": "org/model", "include": list(kept)}] if how == "catalog" else []
    settings = {"pin": "hf/org/*"} if how == "pin" else {}
    mirror = catalog(models, upstream=upstream, cache_size="12MiB", tag_ttl="1h", **settings)
    if how == "pin":
        kept = FILES
    assert Image(mirror.mirror, "hf/other/model").agrees_with(OTHER)
    image = Image(mirror.mirror, "hf/org/model")
    assert image.agrees_with(kept)
    mirror.mirror.wait_held(*files_of(kept), *files_of(OTHER))
    overflow(mirror.mirror, upstream, files_of(OTHER))
    assert all(mirror.mirror.holds(digest) for digest in files_of(kept))
    assert mirror.mirror.metric("entrepot_pinned_bytes") >= sum(map(len, kept.values()))
    hub.stop()
    for digest in image.digests:
        assert mirror.mirror.get(f"/v2/hf/org/model/blobs/{digest}", keep=False).sha256 == digest


def test_what_the_catalog_does_not_have_any_more_may_go(catalog, hub, upstream):
    hub.add("Org/Model", FILES)
    mirror = catalog([{"name": "org/model"}], upstream=upstream, cache_size="12MiB", tag_ttl="1h")
    mirror.imported()
    overflow(mirror.mirror, upstream, [])
    assert all(mirror.mirror.holds(digest) for digest in files_of(FILES))
    mirror.hang_up([])
    overflow(mirror.mirror, upstream, files_of(FILES))


# -- the command line


@pytest.mark.parametrize("where", ["file", "config"])
def test_check_knows_models(where, tmp_path, hub):
    config, catalog = tmp_path / "entrepot.yaml", tmp_path / "catalog.yaml"
    good, bad = "models:\n- {name: hf/gpt2, include: [b, a]}\n", "models:\n- {name: quay.io/a/b}\n"
    config.write_text((good if where == "config" else "") + f"catalog: {catalog}\n")
    catalog.write_text(good.replace("gpt2", "bert") if where == "config" else bad)
    done = run_command("check", "--config", config)
    if where == "file":
        assert done.returncode == 2 and f"{catalog}:2: models: name:" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert 'name: "hf/gpt2"' in done.stdout and "bert" not in done.stdout
    again = tmp_path / "again.yaml"
    again.write_text(done.stdout)
    assert run_command("check", "--config", again).stdout == done.stdout


A, B = "a" * 40, "b" * 40
UPDATED = """\
# The models that we use.  ä € 𝄞
models:
  # the big one: stays on the tested branch
  - name: org/model      # "org"
    revision: {first}   # tested
    follow: tested
    include: ["*.safetensors",
              config.json]

  - {{tag: v1, revision: "{second}", name: Org/Other}}   # {second}
  - name: hf/org/model
    tag: moves
  - name: org/gone
    revision: '{gone}'
  - name: org/odd
    revision: "\\x61{odd}"
tag_ttl: 5m
"""


def update(hub, tmp_path, text):
    """entrepot catalog update: the process, and the file afterwards."""
    config, file = tmp_path / "entrepot.yaml", tmp_path / "models.yaml"
    config.write_text(f"upstreams:\n  hf:\n    url: {hub.url}\n")
    if text is not None:
        file.write_text(text)
    done = run_command("catalog", "update", file, "--config", config)
    return done, file.read_text()


def test_update_writes_commits_and_nothing_else(hub, tmp_path):
    hub.add("Org/Model", FILES)
    tested = hub.add("Org/Model", {"x": b"x"}, revision="refs/pr/1")
    other = hub.add("Org/Other", {"y": b"y"})
    text = UPDATED.replace("tested\n", "refs/pr/1\n", 2).replace("# refs/pr/1", "# tested")
    done, after = update(hub, tmp_path, text.format(first=A, second=B, gone=A, odd="b" * 39))
    assert after == text.format(first=tested, second=other, gone=A, odd="b" * 39).replace(
        f"# {other}", f"# {B}"
    ), after
    assert done.returncode == 1, done
    lines = done.stdout.splitlines()
    assert lines[0] == f"hf/org/model:latest: updated: {A} -> {tested}"
    assert lines[1] == f"hf/org/other:v1: updated: {B} -> {other}"
    assert re.match("hf/org/model:moves: left alone: .*: main$", lines[2])
    assert re.match("hf/org/gone:latest: failed: .*org/gone", lines[3])
    assert re.match("hf/org/odd:latest: failed: .*write it plainly", lines[4])
    assert len(lines) == 5 and not list(tmp_path.glob("models.yaml.*"))


def test_update_with_nothing_to_do_leaves_the_file(hub, tmp_path):
    commit = hub.add("Org/Model", FILES)
    file = tmp_path / "models.yaml"
    file.write_text(f"models: [{{name: org/model, revision: {commit}}}]")
    file.chmod(0o640)
    inode = file.stat().st_ino
    done, after = update(hub, tmp_path, None)
    assert done.returncode == 0 and done.stdout == f"hf/org/model:latest: unchanged: {commit}\n"
    assert file.stat().st_ino == inode
    newer = hub.add("Org/Model", {"x": b"x"})
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    done = run_command("catalog", "update", link, "--config", tmp_path / "entrepot.yaml")
    assert done.returncode == 0 and newer in file.read_text() and link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640


def test_update_signs_in_and_says_what_the_hub_refuses(hub, tmp_path):
    hub.add("Org/Secret", FILES)
    hub.repository("Org/Secret").private = True
    hub.token("hf_secret", "Org/Secret")
    done, _ = update(hub, tmp_path, f"models: [{{name: org/secret, revision: {A}}}]\n")
    assert done.returncode == 1 and "failed: " in done.stdout
    (tmp_path / "entrepot.yaml").write_text(f"upstreams:\n  hf:\n    url: {hub.url}\n    password: hf_secret\n")
    done = run_command("catalog", "update", tmp_path / "models.yaml", "--config", tmp_path / "entrepot.yaml")
    assert done.returncode == 0 and "updated" in done.stdout
    hub.stop()
    done = run_command("catalog", "update", tmp_path / "models.yaml", "--config", tmp_path / "entrepot.yaml")
    assert done.returncode == 1 and "failed: " in done.stdout, done


@pytest.mark.parametrize("arguments", [[], ["update"], ["update", "--tag-ttl", "1s"], ["remove", "x"]])
def test_catalog_is_used_rightly(arguments):
    done = run_command("catalog", *arguments)
    assert done.returncode == 2 and "entrepot catalog update FILE" in done.stderr


def test_update_of_a_faulty_file(hub, tmp_path):
    done, after = update(hub, tmp_path, "models:\n- nam: x\n")
    assert done.returncode == 2 and "models.yaml:2:" in done.stderr and after == "models:\n- nam: x\n"
