"""A hub that limits us, breaks, or is away: what an import makes of it, and what its clients are told meanwhile."""

import json
import re
import time

import pytest

from harness.http import fetch
from harness.imports import command, imports, state
from harness.model import Image
from harness.util import Gate, MiB, Threads, noise, wait_until

SMALL = {"README.md": b"# A model\n", "config.json": b'{"a":1}\n', "onnx/model.onnx": noise(100_000, 1)}
ASK = "/api/models/.*/revision/"
PATIENT = {"User-Agent": "skopeo/1.9.3"}
LATEST = "/v2/hf/org/model/manifests/latest"


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def refuse(hub, pattern, status, after=None, times=None):
    """Has the hub answer so; with a list of when it did."""
    at = []

    def answer(exchange):
        at.append(time.monotonic())
        exchange.answer(status, b"", [("Retry-After", after)] if after else [])

    hub.on("GET", pattern, times=times, call=answer)
    return at


def paused(mirror, image="hf/org/model:latest"):
    """The report of the import that pauses."""
    found = imports(mirror, f"?image={image}")
    return found[0] if found and found[0]["state"] == "paused" else None


# -- the first question: which commit is it?


@pytest.mark.parametrize(
    "who, status, after",
    [("client", 429, 2), ("client", 503, None), ("client", 500, None), ("person", 429, None), ("person", 503, 2)],
)
def test_a_hub_that_hiccups_at_first_is_asked_again(who, status, after, mirror_of, hub):
    hub.add("Org/Model", SMALL)
    refuse(hub, ASK, status, after, times=2)
    mirror = mirror_of(hub)
    if who == "client":
        image = Image(mirror, "hf/org/model", headers=PATIENT)
    else:
        done = command(mirror, "import", "org/model", "--wait")
        assert done.returncode == 0 and "paused" in done.stderr, done
        image = Image(mirror, "hf/org/model")
    assert image.agrees_with(SMALL)
    assert len(hub.seen("GET", ASK)) == 3


def test_what_a_hub_says_to_wait_is_waited(mirror_of, hub):
    """Nothing at all is asked of it meanwhile, whoever comes."""
    hub.add("Org/Model", SMALL)
    hub.add("Org/Other", SMALL)
    at = refuse(hub, ASK, 429, 3, times=1)
    mirror = mirror_of(hub, import_hold="100ms")
    first = Threads(1, lambda _: Image(mirror, "hf/org/model", headers=PATIENT).digest)
    wait_until(lambda: paused(mirror), "it waits")
    second = Threads(1, lambda _: Image(mirror, "hf/org/model", "main", headers=PATIENT).digest)
    reply = mirror.get("/v2/hf/org/other/manifests/latest")
    assert reply.status == 503 and "being imported" in reply.json["errors"][0]["message"], reply
    assert "limits" in paused(mirror)["error"]
    assert first.join() == second.join()
    assert min(request.time for request in hub.requests if request.status != 429) > at[0] + 2.9
    wait_until(lambda: state(mirror, "hf/org/other:latest") == "done", "the other one's client need not wait for it")


def test_who_is_told_to_come_again_finds_it_imported(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    refuse(hub, ASK, 429, 1, times=1)
    mirror = mirror_of(hub, import_hold="100ms")
    reply = mirror.get(LATEST, headers={"User-Agent": "containerd/2.3.0"})
    assert reply.status == 503 and int(reply.headers["retry-after"]) > 0, reply
    wait_until(lambda: state(mirror) == "done", "it went on by itself")
    assert Image(mirror, "hf/org/model").agrees_with(SMALL)


def test_a_client_of_a_dead_hub_hears_of_that(mirror_of, hub):
    """Within import_hold: not only that it has to wait. A person's import is tried for longer."""
    hub.stop()
    mirror = mirror_of(hub)
    reply = mirror.get(LATEST)
    assert reply.status == 502 and "could not be reached" in reply.json["errors"][0]["message"], reply
    assert state(mirror) == "failed"


def test_a_client_of_a_broken_hub_hears_of_that(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    refuse(hub, ASK, 500)
    mirror = mirror_of(hub)
    reply = mirror.get(LATEST, headers=PATIENT)
    assert reply.status == 502 and "status 500" in json.dumps(reply.json), reply
    assert len(hub.seen("GET", ASK)) == 4 and state(mirror) == "failed"


def test_who_has_an_old_image_has_it_at_once(mirror_of, hub):
    """Also when a person has the tag imported anew: that waits, and nobody else does."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub, tag_ttl="0s")
    before = Image(mirror, "hf/org/model").digest
    refuse(hub, ASK, 429, 600)
    assert Image(mirror, "hf/org/model", headers=PATIENT).digest == before
    command(mirror, "import", "org/model")
    wait_until(lambda: paused(mirror), "the person's import waits")
    assert Image(mirror, "hf/org/model", headers=PATIENT).digest == before


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_import_that_is_asked_for_while_the_hub_is_away_outlives_the_process(how, mirror_of, hub):
    hub.add("Org/Model", SMALL)
    hub.stop()
    mirror = mirror_of(hub)
    assert command(mirror, "import", "org/model").returncode == 0
    wait_until(lambda: paused(mirror), "it waits for the hub")
    getattr(mirror, how)()
    mirror.start()
    report = wait_until(lambda: paused(mirror), "it waits for the hub again")
    assert "could not be reached" in report["error"]
    hub.start()
    wait_until(lambda: state(mirror) == "done", "it is imported", timeout=60)
    mirror.restart()
    assert imports(mirror) == [] and Image(mirror, "hf/org/model").agrees_with(SMALL)


def test_an_import_under_way_waits_at_the_start_for_a_hub_that_is_away(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    refuse(hub, "/tree/", 429, 600)
    mirror = mirror_of(hub, import_hold="100ms")
    assert mirror.get(LATEST).status == 503
    wait_until(lambda: paused(mirror), "an import is under way")
    mirror.stop()
    hub.stop()
    mirror.start()
    wait_until(lambda: paused(mirror), "it waits for the hub")
    hub.healthy()
    hub.start()
    wait_until(lambda: state(mirror) == "done", "it is imported", timeout=60)


def test_a_person_makes_a_job_of_what_a_client_asked_for(mirror_of, hub):
    """What a client asks for is not kept before there is an import; what a person does is."""
    hub.add("Org/Model", SMALL)
    rule = refuse(hub, ASK, 429, 600)
    mirror = mirror_of(hub, import_hold="100ms")
    for name in ("model", "other"):
        assert mirror.get(f"/v2/hf/org/{name}/manifests/latest").status == 503
    assert command(mirror, "import", "org/model").stdout.startswith("hf/org/model:latest: paused")
    mirror.stop()
    assert len(rule) == 1
    hub.healthy()
    mirror.start()
    wait_until(lambda: state(mirror) == "done", "the person's is imported")
    assert len(imports(mirror)) == 1


# -- a stop


def test_who_waits_for_an_import_is_told_of_a_stop(mirror_of, hub):
    """At once, not when drain_timeout is over."""
    hub.add("Org/Model", SMALL)
    gate = Gate()
    hub.on("GET", "/tree/", head_gate=gate)
    mirror = mirror_of(hub, drain_timeout="1h", serve_threads=1)
    clients = [mirror.connect() for _ in range(6)]
    for i, client in enumerate(clients):
        client.request("HEAD" if i % 2 else "GET", LATEST, PATIENT)
    gate.wait_reached()
    assert mirror.get("/v2/").status == 200  # whose head was read behind theirs
    mirror.stop()
    gate.open()
    for i, client in enumerate(clients):
        client.head()
        reply = client.drain(keep=True)
        assert reply.status == 503 and reply.headers["connection"] == "close", reply
        assert i % 2 or "stopping" in reply.json["errors"][0]["message"], reply
        assert client.at_end()
        client.close()
    mirror.start()
    assert Image(mirror, "hf/org/model", headers=PATIENT).agrees_with(SMALL)


# -- the large files


@pytest.mark.parametrize("after", [3, 6])
def test_what_a_hub_says_to_wait_for_a_large_file_is_waited(after, mirror_of, hub):
    """Also when it is more than a fill would wait for its clients."""
    files = {"onnx/model.onnx": noise(5 * MiB, 1)}
    hub.add("Org/Model", files, large=list(files))
    at = refuse(hub, "/resolve/", 429, after, times=2)
    mirror = mirror_of(hub)
    waiters = Threads(1, lambda _: command(mirror, "import", "org/model", "--wait"))
    report = wait_until(lambda: paused(mirror), "it pauses")
    assert "limits" in report["error"] and '"onnx/model.onnx"' in report["error"]
    (done,) = waiters.join()
    assert done.returncode == 0, done
    first = hub.seen("GET", "/resolve/")[0].time
    times = sorted(request.time for request in hub.requests if request.time >= first)
    assert len(at) == 2 and times[1] - at[0] > after - 0.1 and times[2] - at[1] > after - 0.1, (at, times)
    assert Image(mirror, "hf/org/model").agrees_with(files)


@pytest.mark.parametrize("pattern", [ASK, "/tree/", "/resolve/"])
def test_minutes_are_waited_when_a_hub_says_so(pattern, mirror_of, hub):
    """The hub's windows have five; a stop ends the wait at once."""
    files = {"onnx/model.onnx": noise(MiB, 1)}
    hub.add("Org/Model", files, large=list(files))
    refuse(hub, pattern, 429, 300)
    mirror = mirror_of(hub)
    assert command(mirror, "import", "org/model").returncode == 0
    wait_until(lambda: paused(mirror), "it pauses")
    wait_until(lambda: any("again in 300 s" in line.get("message", "") for line in mirror.log(event="import")), "it is logged")
    assert len(hub.seen("GET", pattern)) == 1


# -- the hub's reason


@pytest.mark.parametrize(
    "name, words", [("none", "RepoNotFound|knows no repository"), ("gated", "ask for access"), ("odd", "wh.x")]
)
def test_a_refusal_that_is_remembered_keeps_its_reason(name, words, mirror_of, hub):
    """Clients ask with HEAD, which has no words, and then with GET."""
    hub.add("Org/Gated", SMALL)
    hub.repository("Org/Gated").gated = "manual"
    hub.add("Org/Odd", {".wh.x": b"x"})
    mirror = mirror_of(hub, negative_ttl="1h")
    target = f"/v2/hf/org/{name}/manifests/latest"
    assert mirror.head(target).status == 404
    asked = len(hub.requests)
    replies = [mirror.get(target) for _ in range(2)]
    assert [reply.status for reply in replies] == [404, 404] and len(hub.requests) == asked
    assert re.search(words, replies[0].json["errors"][0]["detail"]), replies[0]
    assert replies[0].body == replies[1].body


def test_a_reason_that_stands_in_the_body_only(mirror_of, hub):
    body = b'{"error":"Sorry, the weights of \\u001b[1m this one are being moved"}'
    hub.on("GET", ASK, status=403, body=body)
    reply = mirror_of(hub).get(LATEST)
    detail = reply.json["errors"][0]["detail"]
    assert reply.status == 404 and "own words: Sorry, the weights of ?[1m this one are being moved" in detail, reply


def test_a_gate_before_large_files_only_is_told_with_the_file(mirror_of, hub):
    """Whose list is open, and which has no small files."""
    hub.add("Org/Gated", {"onnx/model.onnx": noise(MiB, 1)}, large=["onnx/model.onnx"])
    hub.repository("Org/Gated").gated = "manual"
    done = command(mirror_of(hub), "import", "org/gated", "--wait")
    assert done.returncode == 1 and '"onnx/model.onnx": the hub says that access to Org/Gated' in done.stderr, done
    assert "password_file" in done.stderr and "own words: Access to model Org/Gated is restricted" in done.stderr, done


def test_what_a_hub_says_of_a_large_file_is_passed_on(mirror_of, hub):
    """To whoever waits for the import; to whoever asks for the layer, which is known, later, and once more."""
    files, words = {"model.onnx": noise(5 * MiB, 1)}, "Sorry, this file is in quarantine"
    hub.add("Org/Model", files)
    hub.on("GET", "/resolve/.*model.onnx", status=403, headers=[("X-Error-Message", words)])
    first = mirror_of(hub)
    reply = first.get(LATEST, headers=PATIENT)
    detail = reply.json["errors"][0]["detail"]
    assert reply.status == 404 and f"own words: {words}" in detail and '"model.onnx"' in detail, reply
    assert words in imports(first)[0]["error"]
    hub.healthy()
    assert command(first, "import", "org/model", "--wait").returncode == 0
    second, numbers = mirror_of(hub), fetch(first.admin, "/numbers?image=org/model").body
    assert fetch(second.admin, "/numbers", "POST", body=numbers).status == 200
    (digest,) = Image(first, "hf/org/model").digests
    hub.on("GET", "/resolve/.*model.onnx", status=401, headers=[("X-Error-Message", words)])
    replies = [second.get(f"/v2/hf/org/model/blobs/{digest}") for _ in range(2)]
    for reply in replies:
        assert reply.status == 404 and f"own words: {words}" in reply.json["errors"][0]["detail"], reply
    assert len(hub.seen("GET", "/resolve/.*model.onnx")) == 3  # of which the first import had one, the next another


def test_what_a_hubs_storage_says_is_passed_on(mirror_of, hub):
    """It refuses a signed URL, and a fresh one: the hub is there, and so are its files; its words are a help."""
    files = {"model.onnx": noise(MiB, 1)}
    hub.add("Org/Model", files)
    hub.cdn.on("GET", "model.onnx", status=403, headers=[("X-Error-Message", "Not from your country")])
    mirror = mirror_of(hub)
    assert command(mirror, "import", "org/model").returncode == 0
    report = wait_until(lambda: paused(mirror), "it pauses")
    assert '"model.onnx": the storage that the hub has sent us to answered with status 403' in report["error"]
    assert "own words: Not from your country" in report["error"]
    hub.cdn.healthy()
    wait_until(lambda: state(mirror) == "done", "it is imported")


@pytest.mark.parametrize("name", ["\x1b]0;x\x07/.wh.x", "\u009b31m/.wh.x", "\u00e4" * 200 + "/.wh.x"])
def test_a_name_from_the_hub_commands_no_terminal(name, mirror_of, hub):
    hub.add("Org/Odd", {name: b"x"})
    mirror = mirror_of(hub)
    done = command(mirror, "import", "org/odd", "--wait")
    assert done.returncode == 1 and 'the file "' in done.stderr, done
    assert all(c == "\n" or c.isprintable() for c in done.stdout + done.stderr), done
    assert "\ufffd" not in done.stderr and "ufffd" not in done.stderr, done
