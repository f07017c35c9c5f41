"""README is true: every command in it is run here, or said to be run elsewhere; its examples are what one sees.

(Its lines for Docker, containerd, podman and skopeo are what test_clients.py runs.)
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from harness.entrepot import BINARY, Entrepot, environment, run_command
from harness.http import fetch
from harness.hub import Hub
from harness.images import blob_image, index_of, tar_image
from harness.readme import block
from harness.util import ROOT, SLOW, wait_until

TEXT = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = {"dockerfile", "sh", "json", "toml", "yaml", "text"}  # commands stand in sh only

# Not run as they stand: {command: (who runs it, a file, what that file says to prove it)}
ELSEWHERE = {
    "docker build -t app .": (
        "test_model_clients.py: README's Dockerfile, by Docker, podman and buildah",
        "tests/e2e/test_model_clients.py",
        'block("model-dockerfile")',
    ),
    "tests/run": ("CI: it is what runs this test", ".ci/run", 'exec "$(dirname "$0")/../tests/run"'),
    "cmake -S . -B build -DCMAKE_BUILD_TYPE=Release": (
        "deploy/quickstart, which the first stage of tests/run runs",
        "deploy/quickstart",
        'cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release',
    ),
    "cmake --build build --target entrepot": (
        "deploy/quickstart, which the first stage of tests/run runs",
        "deploy/quickstart",
        'cmake --build "$root/build" --target entrepot',
    ),
}


def commands():
    """Each command of each sh block, once; without comments, continued lines joined."""
    found = []
    for language, text in FENCE.findall(TEXT):
        for line in text.replace("\\\n", " ").splitlines() if language == "sh" else ():
            command = line.partition(" #")[0].strip()
            if command and not command.startswith("#") and command not in found:
                found.append(command)
    return found


def put_in(text, directory, address=None, admin=None):
    """README's addresses, folders and program become the test's."""
    text = text.replace("build/entrepot", str(BINARY))
    text = text.replace("/etc/entrepot", str(directory / "etc")).replace("/srv/entrepot", str(directory / "cache"))
    if address:
        text = text.replace("0.0.0.0:5000", "0.0.0.0:%d" % address[1]).replace("127.0.0.1:5000", "%s:%d" % address)
        text = text.replace("127.0.0.1:5001", "%s:%d" % admin)
    return text


def write_config(directory, address=None, admin=None):
    """README's configuration file, and the files that it names."""
    folder = directory / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    text = put_in(block("entrepot-yaml"), directory, address, admin)
    for path in re.findall(r"_file: (\S+)", text):
        Path(path).write_text("a token\n")
    (folder / "entrepot.yaml").write_text(text)


def run(command, directory=ROOT, **variables):
    """By bash, to its end; the output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**environment(), **variables},
        timeout=120 * SLOW,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


class AsDocumented(Entrepot):
    """Served by the words of a command in README; what it leaves to the defaults goes where tests may."""

    def __init__(self, directory, words):
        super().__init__(directory)
        self.words = words

    def command(self):
        default = super().command()
        write_config(self.directory, self.address, self.admin)
        command = put_in(shlex.join(self.words), self.directory, self.address, self.admin)
        given = ("--listen", "--cache") if "--config" in self.words else ()  # by the file
        for flag in ("--listen", "--admin", "--cache"):
            if flag not in self.words and flag not in given:
                command += f" {flag} {default[default.index(flag) + 1]}"
        self.settings = {"log_format": "text"} if "--log-format text" in command else {}
        return [BINARY, "serve", *shlex.split(command)]


# -- how each kind of command is run: a function for each beginning


def serve(words, tmp_path):
    """It gets ready, answers where it was told to and nowhere else, and ends cleanly."""
    mirror = AsDocumented(tmp_path / "served", words)
    try:
        mirror.start()
        assert mirror.get("/v2/").status == 200
        elsewhere = ("127.0.0.2", mirror.address[1])
        if "0.0.0.0:5000" in words or "--config" in words:
            assert fetch(elsewhere, "/v2/").status == 200
        else:
            with pytest.raises(OSError):
                fetch(elsewhere, "/v2/")
    finally:
        mirror.close()


def scrub(words, tmp_path):
    """Of a running mirror's cache, by the address that it has here, and of one at rest; its report looks as shown."""
    (shown,) = re.findall(r"^\d+ of \d+ blobs, .*$", TEXT, re.MULTILINE)
    mirror = AsDocumented(tmp_path / "served", words)
    try:
        mirror.start()
        words = shlex.split(put_in(shlex.join(words), mirror.directory))
        running = run_command("scrub", *words, "--admin", "%s:%d" % mirror.admin)
        mirror.stop()
        for done in (running, run_command("scrub", *words)):
            assert (done.returncode, done.stderr) == (0, ""), done
            assert re.sub(r"\d+", "0", done.stdout) == re.sub(r"\d+", "0", shown) + "\n"
    finally:
        mirror.close()


def quickstart(command, tmp_path, _):
    """Building for it is the business of tests/run. Its own flags are parsed, the others served with."""
    assert 'exec "$root/deploy/quickstart"' in (ROOT / "tests/run").read_text()
    words = shlex.split(command)[1:]
    packages = run(f"{command} --packages").split()
    assert {"cmake", "libcurl4-openssl-dev", "node-llhttp"} <= set(packages)
    if not {"--packages", "--build-only"} & set(words):
        serve(words, tmp_path)


def catalog(words, tmp_path):
    """README's catalog, of a hub that is here."""
    write_config(tmp_path)
    config, file = tmp_path / "etc/entrepot.yaml", tmp_path / "etc/models.yaml"
    file.write_text(block("catalog-yaml"))
    with Hub() as hub:
        commit = hub.add("org/model", {"config.json": b"{}"})
        config.write_text(config.read_text().replace("hf: {}", f"hf: {{url: '{hub.url}'}}"))
        done = run_command(*shlex.split(put_in(shlex.join(words), tmp_path)))
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.splitlines()[1].endswith(f" -> {commit}")
    assert re.sub("revision: .*", f"revision: {commit}", block("catalog-yaml")) == file.read_text()


def entrepot(command, tmp_path, _):
    words = shlex.split(command)[1:]
    if words[0] == "serve":
        serve(words[1:], tmp_path)
        return
    if words[0] == "scrub":
        scrub(words[1:], tmp_path)
        return
    if words[0] == "catalog":
        catalog(words, tmp_path)
        return
    write_config(tmp_path)
    done = run_command(*shlex.split(put_in(shlex.join(words), tmp_path)))
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout


def against_the_mirror(command, tmp_path, mirror):
    """curl and skopeo, with a mirror of a real registry that holds library/debian:12."""
    assert run(put_in(command, tmp_path, mirror.address, mirror.admin), tmp_path).strip()


def imports(command, tmp_path, _):
    """Of a mirror of a hub that is here. What it answers looks as shown, also when the image is named in the body."""
    shown = json.loads(block("imports-answer"))["imports"][0]
    body = re.search(r"body of the POST: `([^`]+)`", TEXT)[1].replace(":v1.0", "")
    with Hub() as hub:
        hub.add("Org/Model", {"config.json": b"{}"})
        mirror = Entrepot(tmp_path / "served", {"hf": hub.url})
        try:
            mirror.start()
            assert fetch(mirror.admin, "/imports", "POST", body=body.encode()).status == 200
            found, *_ = json.loads(run(put_in(command, tmp_path, mirror.address, mirror.admin)))["imports"]
        finally:
            mirror.close()
    assert [(key, type(value)) for key, value in found.items()] == [(key, type(value)) for key, value in shown.items()]
    assert found["image"] == shown["image"]


def run_of_tests(command, *_):
    """Its arguments are parsed; the last one makes it stop there."""
    assert "gcc-release" in run(f"{command} --list").split()


def pytest_of_tests(command, tmp_path, _):
    """It would find tests to run."""
    assert "::test_" in run(put_in(f"{command} --collect-only -q", tmp_path))


def bench(command, *_):
    """It takes minutes, and nginx and Varnish, and is for people to run: the flags exist."""
    printed = run(f"{command.split()[0]} --help")
    for word in command.split():
        assert word in printed


def write_reference(command, tmp_path, _):
    """In a copy; and it finds nothing to do."""
    (tmp_path / "tests/checks").mkdir(parents=True)
    for name in ("README.md", "tests/checks/readme_reference"):
        shutil.copy(ROOT / name, tmp_path / name)
    run(command, tmp_path, ENTREPOT_BINARY=str(BINARY))
    assert (tmp_path / "README.md").read_text() == TEXT


KINDS = {
    "deploy/quickstart": quickstart,
    "tests/run --": run_of_tests,
    "build/entrepot ": entrepot,
    "curl -X POST 'http://127.0.0.1:5001/imports": imports,
    "curl 'http://127.0.0.1:5001/imports": imports,
    "curl ": against_the_mirror,
    "skopeo ": against_the_mirror,
    "bench/run": bench,
    "bench/eviction": bench,
    "bench/connections": bench,
    "bench/scattered": bench,
    "bench/layers": bench,
    "bench/unpack": bench,
    "tests/checks/readme_reference --write": write_reference,
    "ENTREPOT_BINARY=build/entrepot /usr/bin/pytest-3 ": pytest_of_tests,
}


@pytest.fixture(scope="module")
def mirror(registry, shared_entrepot):
    registry.push(index_of([tar_image(12, files=10), tar_image(13, "arm64", files=10)]), "library/debian", "12")
    return shared_entrepot({"docker.io": registry.url})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_run(command, tmp_path, mirror):
    if command in ELSEWHERE:
        who, name, proof = ELSEWHERE[command]
        assert proof in (ROOT / name).read_text(), f"{command} is no longer run by {who}"
        return
    kinds = [kind for beginning, kind in KINDS.items() if command.startswith(beginning)]
    assert kinds, f"nothing runs {command!r}: give it a row in KINDS, or say in ELSEWHERE who does"
    kinds[0](command, tmp_path, mirror)


def test_nothing_stands_for_a_command_that_is_gone():
    assert set(ELSEWHERE) <= set(commands())
    for beginning in KINDS:
        assert any(command.startswith(beginning) for command in commands()), beginning
    for command in ("deploy/quickstart", "deploy/quickstart --listen 0.0.0.0:5000", "tests/run"):
        assert command in commands()
        assert os.access(ROOT / command.split()[0], os.X_OK)


# -- what is shown


def test_every_block_is_of_a_language_that_is_looked_at():
    blocks = FENCE.findall(TEXT)
    assert {language for language, _ in blocks} <= LANGUAGES
    assert TEXT.count("```") == 2 * len(blocks)
    for language, text in blocks:
        if language in ("toml", "json"):
            {"toml": tomllib, "json": json}[language].loads(text)


def test_the_configuration_is_valid(tmp_path):
    write_config(tmp_path)
    done = run_command("check", "--config", tmp_path / "etc/entrepot.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "a token" not in done.stdout
    lines = ('listen: "0.0.0.0:5000"', "cache_size: 200GiB", "tag_ttl: 5m", '- "debian:12"', "  registry.example.com:")
    assert set(lines) <= set(done.stdout.splitlines())


def test_the_tables_are_what_the_program_prints():
    run("tests/checks/readme_reference", ENTREPOT_BINARY=str(BINARY))


def test_the_miss_and_the_hit_look_as_shown(mirror, registry, tmp_path):
    (command,) = [command for command in commands() if "grep Cache-Status" in command]
    registry.push(tar_image(14, files=10), "library/shown", "12")
    command = put_in(command, tmp_path, mirror.address, mirror.admin).replace("library/debian", "library/shown")
    answers = [run(command).strip() for _ in range(2)]
    assert answers == ["Cache-Status: entrepot; fwd=uri-miss; stored", "Cache-Status: entrepot; hit"]


def test_every_cache_status_is_explained():
    said = set(re.findall(r"^\| `(entrepot; [^`]+)` \|", TEXT, re.MULTILINE))
    assert said == set(re.findall(r'"(entrepot; [^"]+)"', (ROOT / "src/serve/request.c").read_text()))


@pytest.mark.parametrize("event", ["request", "fill"])
def test_log_lines_have_the_members_that_readme_shows(entrepot, upstream, event):
    upstream.add(blob_image(b"layer"), "library/x", "1")
    mirror = entrepot(upstream)
    mirror.pull("library/x", "1")
    line = wait_until(lambda: mirror.log(event=event), f"a {event} is logged")[0]
    shown = json.loads(block(f"{event}-line"))
    assert [(key, type(value)) for key, value in line.items()] == [(key, type(value)) for key, value in shown.items()]


def test_links_and_paths_lead_somewhere():
    titles = re.findall(r"^#+ (.*)", TEXT, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target[1:] in headings if target.startswith("#") else (ROOT / target).exists(), target
    for path in re.findall(r"`((?:tests|deploy|include|src|bench)/[\w./]+)`", TEXT):
        assert (ROOT / path).exists(), path


def test_every_room_is_named():
    modules = re.findall(r"^([a-z]+)/[a-z_]+$", (ROOT / "src/rooms.txt").read_text(), re.MULTILINE)
    shown = re.findall(r"^\| `([a-z]+)` \| ", TEXT.partition("## How the code")[2], re.MULTILINE)
    assert shown == list(dict.fromkeys(modules))


# -- client configurations that test_clients.py cannot use


def test_buildkit_is_told_the_path_form():
    """R2: a path per upstream, http for the mirror. test_model_buildkit.py builds with them."""
    settings = tomllib.loads(block("buildkitd-toml"))["registry"]
    assert settings["docker.io"] == {"mirrors": ["mirror:5000/docker.io"]}
    assert settings["mirror:5000"] == {"http": True}


@pytest.mark.parametrize("version, plugin", [(2, "io.containerd.cri.v1.images"), (1, "io.containerd.grpc.v1.cri")])
def test_containerd_is_given_one_folder(version, plugin):
    """The default of containerd 2 names two, and its default pull path then reads neither."""
    settings = tomllib.loads(block(f"containerd-{version}-config-toml"))
    assert settings["version"] == version + 1
    assert settings["plugins"][plugin]["registry"]["config_path"] == "/etc/containerd/certs.d"


@pytest.mark.clients
def test_containerd_1_accepts_the_folder_of_mirrors(tmp_path):
    (tmp_path / "config.toml").write_text(block("containerd-1-config-toml"))
    printed = run(f"containerd --config {tmp_path}/config.toml config dump", tmp_path)
    settings = tomllib.loads(printed)["plugins"]["io.containerd.grpc.v1.cri"]
    assert settings["registry"]["config_path"] == "/etc/containerd/certs.d"
