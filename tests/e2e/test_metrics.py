"""The admin address, the log, and the other commands."""

import json
import re

import pytest

from harness.entrepot import run_command
from harness.http import fetch
from harness.images import blob_image
from harness.util import MiB, digest_of, noise, wait_until

FAMILIES = [
    "entrepot_requests_total",
    "entrepot_served_bytes_total",
    "entrepot_upstream_requests_total",
    "entrepot_upstream_body_bytes_total",
    "entrepot_upstream_errors_total",
    "entrepot_fills_running",
    "entrepot_fills_finished_total",
    "entrepot_fills_failed_total",
    "entrepot_readers_coalesced_total",
    "entrepot_digest_mismatches_total",
    "entrepot_cached_blobs",
    "entrepot_cached_bytes",
    "entrepot_connections_open",
    "entrepot_loop_lag_seconds",
]


@pytest.fixture
def used(entrepot, upstream):
    """A mirror that has answered one of each: a cold and a warm pull, a 404, a wrong digest, a refused one."""
    layer = noise(3 * MiB)
    upstream.add(blob_image(layer), "library/x", "1")
    broken = upstream.add_blob("library/x", noise(MiB, 5))
    upstream.on("GET", broken, corrupt=5)
    upstream.on("*", "library/busy", status=503)
    mirror = entrepot(upstream)
    for _ in range(2):
        mirror.pull("library/x", "1")
    for target in ("manifests/none", f"blobs/{broken}", f"blobs/{digest_of(b'none')}"):
        mirror.get(f"/v2/library/x/{target}", keep=False)
    mirror.get("/v2/library/busy/manifests/1")
    mirror.get(f"/v2/library/x/blobs/{digest_of(layer)}", headers={"Range": "bytes=5-9"})
    mirror.layer, mirror.upstream = layer, upstream
    return mirror


def test_health_and_readiness(entrepot, upstream):
    """Ready means able to serve; the upstream has no part in it."""
    mirror = entrepot(upstream)
    upstream.stop()
    assert mirror.get("/v2/library/x/manifests/1").status in (502, 503)
    for path in ("/healthz", "/readyz"):
        assert fetch(mirror.admin, path).status == 200
    assert fetch(mirror.admin, "/nothing").status == 404
    assert fetch(mirror.admin, "/metrics", "POST").status == 405
    for path in ("/metrics", "/healthz"):
        assert mirror.get(path).status == 404


def test_metrics_are_prometheus_text(used):
    """Each family with HELP and TYPE before its samples, each sample once, every name in base units."""
    reply = fetch(used.admin, "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    types, seen = {}, set()
    for line in reply.body.decode().splitlines():
        if match := re.match(r"# TYPE (\S+) (counter|gauge|histogram)$", line):
            assert match[1] not in types
            types[match[1]] = match[2]
        elif line.startswith("#"):
            assert re.match(r"# HELP entrepot_\w+ \S", line), line
        else:
            match = re.match(r'(entrepot_\w+)(\{\w+="[^"\n]*"(,\w+="[^"\n]*")*\})? -?[0-9.e+]+$', line)
            assert match and match[1] in types and line.rpartition(" ")[0] not in seen, line
            assert types[match[1]] != "counter" or match[1].endswith("_total")
            seen.add(line.rpartition(" ")[0])
    assert set(FAMILIES) <= set(types)


def test_metrics_count_what_happened(used):
    size = len(used.layer)
    assert used.metric("entrepot_requests_total", kind="blob", status="206", outcome="hit") == 1
    assert used.metric("entrepot_requests_total", kind="manifest", method="GET", status="200") == 2
    assert used.metric("entrepot_requests_total", status="404") == 2
    assert used.metric("entrepot_served_bytes_total", kind="blob") >= 2 * size + 5
    assert used.metric("entrepot_upstream_requests_total", upstream="docker.io") == len(used.upstream.requests)
    assert used.metric("entrepot_upstream_body_bytes_total", upstream="docker.io") >= size
    assert used.metric("entrepot_upstream_errors_total", upstream="docker.io") >= 1
    assert used.metric("entrepot_fills_running") == 0
    assert used.metric("entrepot_fills_finished_total") == used.metric("entrepot_cached_blobs") == 3
    assert (
        used.metric("entrepot_digest_mismatches_total")
        == 1
        == used.metric("entrepot_fills_failed_total", reason="DIGEST_MISMATCH")
    )
    assert used.metric("entrepot_cached_bytes") >= size


def test_one_line_per_request(used):
    """Time, client, method, upstream, repository, reference, range, status, bytes, outcome, times."""
    size, digest = len(used.layer), digest_of(used.layer)

    def of_the_layer():
        return [line for line in used.log(event="request") if line["reference"] == digest]

    wait_until(lambda: len(of_the_layer()) == 3, "all three are logged")
    members = ("range", "status", "bytes", "outcome")
    assert sorted([line[member] for member in members] for line in of_the_layer()) == [
        ["", 200, size, "hit"],
        ["", 200, size, "miss"],
        ["bytes=5-9", 206, 5, "hit"],
    ]
    for line in of_the_layer():
        assert (line["method"], line["upstream"], line["repository"]) == ("GET", "docker.io", "library/x")
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.\d+Z$", line["time"])
        assert line["client"].startswith("127.0.0.1:") and 0 <= line["first_byte"] <= line["seconds"]


def test_one_line_per_fill(used):
    """With bytes and a verdict."""
    fills = wait_until(lambda: len(used.log(event="fill")) >= 4 and used.log(event="fill"), "all are logged")
    (line,) = [line for line in fills if line["digest"] == digest_of(used.layer)]
    assert (line["bytes"], line["verdict"]) == (len(used.layer), "OK")
    assert any(line["verdict"] == "DIGEST_MISMATCH" for line in fills), fills


def test_text_log(entrepot, upstream):
    mirror = entrepot(upstream, log_format="text")
    mirror.get("/v2/library/x/manifests/none")
    wait_until(lambda: "library/x" in mirror.out.read_text(), "the request is logged")
    assert not any(line.startswith("{") for line in mirror.out.read_text().splitlines())


def test_log_lines_hold_whatever_clients_send(entrepot, upstream):
    """Quotes, newlines, escapes and broken UTF-8 in a request stay inside one JSON string."""
    mirror = entrepot(upstream)
    for target in (
        '/v2/x"y/manifests/1',
        "/v2/x%0ay/manifests/1",
        "/v2/x%1b[31m/manifests/1",
        "/v2/\xff\xfe/manifests/1",
    ):
        assert mirror.get(target).status in (400, 404)
    wait_until(lambda: len(mirror.log(event="request")) >= 4, "all four are logged")
    assert "\x1b" not in mirror.out.read_text()


def test_log_level(entrepot, upstream):
    mirror = entrepot(upstream, log_level="warn")
    mirror.get("/v2/")
    mirror.stop()
    assert not mirror.log(level="info")


# -- commands


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["check", "--help"], ["version", "--help"], ["version"], ["--version"]],
)
def test_help_and_version(arguments):
    done = run_command(*arguments)
    assert done.returncode == 0 and done.stdout and not done.stderr


def test_help_of_serve_names_every_setting():
    text = run_command("serve", "--help").stdout
    for flag in (
        "--listen",
        "--admin",
        "--cache",
        "--cache-size",
        "--upstream",
        "--default-upstream",
        "--log-level",
        "--tag-ttl",
        "--config",
    ):
        assert flag in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serv"],
        ["serve", "--no-such-flag"],
        ["serve", "--tag-ttl"],
        ["serve", "--tag-ttl", "fast"],
        ["serve", "--cache-size", "12parsecs"],
        ["serve", "--listen", "nowhere"],
        ["serve", "--upstream", "x=ftp://y"],
        ["serve", "--default-upstream", "nobody.example"],
        ["check", "--config", "/no/such/file"],
        ["serve", "word"],
    ],
)
def test_wrong_usage_says_so(arguments):
    done = run_command(*arguments)
    assert done.returncode > 0 and done.stderr.strip()


def test_check_prints_the_effective_settings(tmp_path):
    """As YAML that can be read again once the hidden secrets are put in."""
    (tmp_path / "password").write_text("hunter2\n")
    config = tmp_path / "entrepot.yml"
    config.write_text(f"""cache_size: 200GiB
tag_ttl: 10m
upstreams:
  docker.io: {{}}
  reg.example:5000:
    url: http://10.0.0.7:5000/prefix
    username: robot
    password: hunter3
  quay.io:
    username: robot
    password_file: {tmp_path}/password
""")
    done = run_command("check", "--config", config)
    assert done.returncode == 0, done.stderr
    for text in ("200GiB", "10m", "reg.example:5000", "http://10.0.0.7:5000/prefix", "robot"):
        assert text in done.stdout
    assert "hunter" not in done.stdout + done.stderr
    printed = tmp_path / "printed.yml"
    printed.write_text(done.stdout.replace("(hidden)", "hunter3"))
    assert run_command("check", "--config", printed).stdout == done.stdout


def test_check_of_nothing_knows_the_usual_registries():
    text = run_command("check").stdout
    for name in (
        "docker.io",
        "ghcr.io",
        "quay.io",
        "gcr.io",
        "registry.k8s.io",
        "mcr.microsoft.com",
        "nvcr.io",
        "public.ecr.aws",
        "depot.ai",
    ):
        assert name in text


@pytest.mark.parametrize(
    "text, words",
    [
        ("cahce_size: 1GiB\n", ["line 1|:1", "cahce_size", "cache_size"]),
        ("listen: 127.0.0.1:5000\ntag_ttl: soon\n", ["line 2|:2", "tag_ttl"]),
        ("upstreams:\n  docker.io:\n    usrname: x\n", ["line 3|:3", "usrname", "username"]),
        ("cache_size: [1]\n", ["line 1|:1", "cache_size"]),
        ("tag_ttl: 400d\n", ["line 1|:1", "tag_ttl", "30d"]),
        ("cache_size: 1GiB\ncache_size: 2GiB\n", ["cache_size"]),
        ("a: b: c\n", ["line 1|:1"]),
        ("- list\n", ["entrepot.yml"]),
    ],
)
def test_each_config_error_names_line_key_and_what_was_expected(tmp_path, text, words):
    config = tmp_path / "entrepot.yml"
    config.write_text(text)
    done = run_command("check", "--config", config)
    assert done.returncode > 0
    for word in ["entrepot.yml", *words]:
        assert re.search(word, done.stderr), done.stderr


def test_flags_override_the_file(entrepot, upstream):
    config = f"listen: 127.0.0.1:1\nadmin: 127.0.0.1:1\nupstreams:\n  docker.io:\n    url: {upstream.url}\n"
    mirror = entrepot({}, config=config)
    assert mirror.get("/v2/").status == 200
    assert json.loads(mirror.out.read_text().splitlines()[0])
