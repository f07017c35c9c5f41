"""`entrepot import` and `entrepot numbers`, and what they ask at the admin address."""

import os
import pty
import subprocess
import threading

import pytest

from harness.content import Made
from harness.entrepot import BINARY, environment, run_command
from harness.http import fetch, send_raw
from harness.model import Image
from harness.util import Gate, MiB, SLOW, Threads, noise, wait_until

SMALL = {
    "README.md": b"# A model\n",
    "config.json": b'{"a":1}\n',
    "empty.txt": b"",
    'a folder/\xc3\xb6 "q" + %41?#.txt'.encode("latin-1").decode(): b"odd name\n",
    "onnx/model.onnx": noise(5 * MiB + 3, 1),
}
LARGE = {"model-1.safetensors": Made(70 * MiB + 5, 1)}
LINES = ("resolving", "listing", "files", "layers", "writing")


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def command(mirror, *words, admin=None, **options):
    """`entrepot` for this mirror; hub's name and all stand in flags, as those of the mirror do."""
    flags = ["--cache", mirror.cache, "--admin", admin or "%s:%d" % mirror.admin]
    flags += ["--listen", "%s:%d" % mirror.address]
    flags += [f"--upstream={name}={url}" for name, url in mirror.upstreams.items()]
    done = run_command(*words, *flags, timeout=120, **options)
    assert "Sanitizer" not in str(done.stderr) and "runtime error" not in str(done.stderr), done.stderr
    return done


def imports(mirror, query="", method="GET"):
    reply = fetch(mirror.admin, "/imports" + query, method)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json"), reply
    assert reply.json["version"] == 1
    return reply.json["imports"]


def state(mirror, image="hf/org/model:latest"):
    found = imports(mirror, f"?image={image}")
    return found[0]["state"] if found else None


def lines_of(mirror, image, digest):
    host = "%s:%d" % mirror.address
    return [digest, f"COPY --link --from={host}/{image}@{digest} / ."]


# -- imports


@pytest.mark.parametrize(
    "name",
    ["hf/org/model", "org/model", "Org/Model", "127.0.0.1:5000/hf/org/model:latest", "huggingface.co/Org/Model:main"],
)
def test_a_model_by_any_of_its_names(name, mirror_of, hub):
    commit = hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub)
    done = command(mirror, "import", name, "--wait")
    tag = "main" if name.endswith(":main") else "latest"
    image = Image(mirror, "hf/org/model", tag)
    assert done.returncode == 0 and done.stdout.splitlines() == lines_of(mirror, "hf/org/model", image.digest), done
    (report,) = imports(mirror)
    size = sum(map(len, SMALL.values()))
    expected = {"image": f"hf/org/model:{tag}", "state": "done", "id": "Org/Model", "commit": commit, "error": ""}
    expected |= {"bytes": size, "bytes_total": size, "files": 5, "files_total": 5, "layers": 1, "layers_total": 1}
    assert report | expected == report and report["digest"] == image.digest
    assert report["started"] > 1.7e12 and report["seconds"] > 0


def test_without_wait_it_says_how_it_stands(mirror_of, hub):
    hub.add("Org/Model", SMALL | LARGE)
    mirror, gate = mirror_of(hub), Gate()
    hub.cdn.on("GET", "model-1", head_gate=gate)
    done = command(mirror, "import", "hf/org/model")
    assert done.returncode == 0 and "--wait" in done.stdout and done.stderr == "", done
    gate.wait_reached()
    wait_until(lambda: imports(mirror)[0]["layers"] == 1, "the small files are read")
    done = command(mirror, "import", "hf/org/model")
    assert done.stdout.startswith("hf/org/model:latest: layers, 5 of 75 MiB, 1 of 2 layers;"), done
    (report,) = imports(mirror)
    assert (report["state"], report["digest"], report["bytes"]) == ("layers", "", sum(map(len, SMALL.values())))
    gate.open()
    wait_until(lambda: state(mirror) == "done", "it went on by itself")
    done = command(mirror, "import", "hf/org/model", "--wait")
    assert done.stdout.splitlines() == lines_of(mirror, "hf/org/model", Image(mirror, "hf/org/model").digest)
    assert len(hub.seen("GET", "/tree/")) == 1


def test_all_who_ask_join_one_import(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    mirror, gate = mirror_of(hub), Gate()
    hub.on("GET", "/tree/", times=1, head_gate=gate)
    clients = Threads(2, lambda _: Image(mirror, "hf/org/model", headers={"User-Agent": "skopeo/1"}).digest)
    gate.wait_reached()
    waiters = Threads(3, lambda _: command(mirror, "import", "hf/org/model", "--wait"))
    wait_until(lambda: mirror.metric("entrepot_requests_total", kind="admin", method="other") == 3, "they ask")
    assert state(mirror) == "listing"
    gate.open()
    digests = clients.join()
    for done in waiters.join():
        assert done.returncode == 0 and done.stdout.splitlines()[0] == digests[0], done
    assert len(hub.seen("GET", "/tree/")) == 1 and len(imports(mirror)) == 1


@pytest.mark.parametrize(
    "name, part",
    [
        ("hf/org/none", "org/none"),
        ("hf/org/model:nobranch", "nobranch"),
        ("hf/org/gated", "access"),
        ("hf/org/odd", ".wh.file"),
    ],
)
def test_what_cannot_be_had_fails_with_the_hubs_reason(name, part, mirror_of, hub):
    hub.add("Org/Model", SMALL)
    hub.add("Org/Gated", SMALL)
    hub.repository("Org/Gated").gated = "manual"
    hub.add("Org/Odd", {"aux/.wh.file": b"x"})
    mirror = mirror_of(hub)
    for _ in range(2):  # a person who asks again is not answered from memory
        before = len(hub.requests)
        done = command(mirror, "import", name, "--wait")
        assert done.returncode == 1 and done.stdout == "" and part in done.stderr, done
        assert "cannot be imported" in done.stderr.splitlines()[-1]
        assert len(hub.requests) > before
    (report,) = imports(mirror)
    assert report["state"] == "failed" and part in report["error"]


def test_a_refusal_is_over_when_the_hub_thinks_better(mirror_of, hub):
    hub.add("Org/Gated", SMALL)
    hub.repository("Org/Gated").gated = "manual"
    mirror = mirror_of(hub)
    assert command(mirror, "import", "org/gated", "--wait").returncode == 1
    hub.repository("Org/Gated").gated = False
    assert command(mirror, "import", "org/gated", "--wait").returncode == 0
    assert state(mirror, "hf/org/gated") == "done"


def test_a_pause_says_what_it_waits_for(mirror_of, hub):
    hub.add("Org/Model", SMALL)
    hub.on("GET", "/tree/", times=1, status=429, headers=[("Retry-After", "1")])
    mirror = mirror_of(hub)
    waiters = Threads(1, lambda _: command(mirror, "import", "org/model", "--wait"))
    report = wait_until(lambda: (found := imports(mirror)) and found[0]["state"] == "paused" and found[0], "it pauses")
    assert "limits" in report["error"]
    (done,) = waiters.join()
    assert done.returncode == 0 and "paused" in done.stderr, done


def test_progress_where_there_is_no_terminal(mirror_of, hub):
    """A line for each thing that goes on, none of them a bar."""
    hub.add("Org/Model", SMALL | LARGE)
    mirror, gates = mirror_of(hub), {"/tree/": Gate(), "config.json": Gate(), "model-1": Gate()}
    for pattern, gate in gates.items():
        (hub.cdn if pattern == "model-1" else hub).on("GET", pattern, times=1, head_gate=gate)
    process = subprocess.Popen(
        [BINARY, "import", "org/model", "--wait", "--admin", "%s:%d" % mirror.admin, "--cache", mirror.cache],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        for gate, part in zip(gates.values(), ["listing", "files, 0 of", "layers, "]):
            gate.wait_reached()
            line = ""
            while part not in line:  # ends with the stream at the latest
                line = process.stderr.readline()
                assert line.startswith("hf/org/model:latest: ") and "\r" not in line and "\033" not in line, line
            gate.open()
        out, _ = process.communicate(timeout=60 * SLOW)
    finally:
        process.kill()
    assert process.returncode == 0 and out.startswith("sha256:")


def test_a_bar_on_a_terminal(mirror_of, hub):
    hub.add("Org/Model", LARGE)
    mirror, gate = mirror_of(hub), Gate()
    hub.cdn.on("GET", "model-1", head_gate=gate)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BINARY, "import", "org/model", "--wait", "--admin", "%s:%d" % mirror.admin, "--cache", mirror.cache],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=environment(),
    )
    os.close(theirs)
    seen, whole = b"", threading.Event()

    def read():
        nonlocal seen
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:  # the terminal is gone with the process
            pass
        whole.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        gate.wait_reached()
        wait_until(lambda: b"[" + b" " * 30 + b"] hf/org/model:latest: layers, 0 of 70 MiB" in seen, "a bar is there")
        gate.open()
        out, _ = process.communicate(timeout=60 * SLOW)
        assert whole.wait(20 * SLOW)
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 0 and out.startswith("sha256:")
    assert b"\n" not in seen and seen.endswith(b"\r\033[K"), seen[-200:]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_import_goes_on_after_a_restart(how, mirror_of, hub):
    hub.add("Org/Model", SMALL | LARGE)
    mirror, gate = mirror_of(hub), Gate()
    hub.cdn.on("GET", "model-1", head_gate=gate)
    waiters = Threads(1, lambda _: command(mirror, "import", "org/model", "--wait"))
    gate.wait_reached()
    getattr(mirror, how)()
    (done,) = waiters.join()
    assert done.returncode == 3 and "no mirror answers" in done.stderr, done
    gate.open()
    mirror.start()
    wait_until(lambda: state(mirror) == "done", "it went on at the start")
    assert Image(mirror, "hf/org/model").agrees_with(SMALL | LARGE)


def test_the_last_hundred_are_remembered(mirror_of, hub):
    hub.add("Org/Model", {"x": b"x"})
    mirror = mirror_of(hub, negative_ttl="1s")
    for i in range(105):
        imports(mirror, f"?image=org/none:b{i}", "POST")
    wait_until(lambda: len(found := imports(mirror)) == 100 and all(each["state"] == "failed" for each in found), "all")
    assert {each["image"] for each in imports(mirror)} <= {f"hf/org/none:b{i}" for i in range(105)}


def test_a_look_at_what_is_there_is_no_import(mirror_of, hub):
    """Its report stays that of the import, however often the tag is checked."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub, tag_ttl="0s")
    assert command(mirror, "import", "org/model", "--wait").returncode == 0
    (before,) = imports(mirror)
    assert command(mirror, "import", "org/model", "--wait").returncode == 0
    assert Image(mirror, "hf/org/model")
    assert imports(mirror) == [before] and before["files"] == 5


def test_an_image_under_way_is_listed_once(mirror_of, hub):
    """However often the tag has been checked since, while the old image is served."""
    hub.add("Org/Model", SMALL)
    mirror, gate = mirror_of(hub, tag_ttl="0s"), Gate()
    before = Image(mirror, "hf/org/model").digest
    hub.add("Org/Model", SMALL | {"new.bin": noise(MiB, 7)})
    hub.cdn.on("GET", "new.bin", head_gate=gate)
    for _ in range(5):
        assert Image(mirror, "hf/org/model").digest == before
    gate.wait_reached()
    wait_until(lambda: len(hub.seen("GET", "/revision/")) == 6, "the hub was asked each time")
    wait_until(lambda: [each["state"] for each in imports(mirror)] == ["layers", "done"], "one is under way")
    gate.open()
    wait_until(lambda: [each["state"] for each in imports(mirror)] == ["done"], "and is over")


def test_web_pages_start_nothing(mirror_of, hub):
    mirror = mirror_of(hub)
    for target in ("/imports?image=org/model", "/scrub", "/numbers"):
        reply = fetch(mirror.admin, target, "POST", headers={"Origin": "https://page.example"}, body=b"{}")
        assert reply.status == 403 and "web pages" in reply.json["errors"][0]["message"], reply
    assert fetch(mirror.admin, "/scrub", headers={"Origin": "null"}).json["state"] == "never"
    assert imports(mirror) == [] and not hub.requests


@pytest.mark.parametrize(
    "body", [b'{"image": "hf/org/model"}\n', b"image=hf%2Forg%2Fmodel%3Alatest", b" image=Org/Model"]
)
@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded", None])
def test_the_image_may_be_named_in_the_body(body, media_type, mirror_of, hub):
    """POST /imports; the body was ignored, and the image asked for in vain."""
    hub.add("Org/Model", SMALL)
    mirror = mirror_of(hub)
    reply = fetch(mirror.admin, "/imports", "POST", {"Content-Type": media_type} if media_type else {}, body)
    assert reply.status == 200 and [each["image"] for each in reply.json["imports"]] == ["hf/org/model:latest"], reply
    wait_until(lambda: state(mirror) == "done", "it is imported")
    assert Image(mirror, "hf/org/model").agrees_with(SMALL)


def test_bodies_that_name_no_image(mirror_of, hub):
    mirror = mirror_of(hub)
    for body, status, part in [
        (b"hf/org/model", 400, "say which"),
        (b'{"image": "a/b/c/d"}', 400, "hf/org/model"),
        (b'{"image": ["hf/org/model"]}', 400, "the body is to be"),
        (b'{"image": "hf/org/model"', 400, "ends in the middle"),
        (b"image=" + b"a" * 4091, 413, "4 KiB"),
        (b"image=" + b"a" * 4090, 400, "too long"),
    ]:
        reply = fetch(mirror.admin, "/imports", "POST", body=body)
        assert reply.status == status and part in reply.json["errors"][0]["detail"], reply
    head = b"POST /imports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert send_raw(mirror.admin, head + b"7\r\nimage=a\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert fetch(mirror.admin, "/imports?image=hf/a/b:c:d", "POST", body=b"image=hf/org/model").status == 400
    assert imports(mirror) == [] and not hub.requests


def test_names_that_are_none(mirror_of, hub, upstream):
    mirror = mirror_of(hub)
    for name, part in [
        ("a/b/c/d", "hf/org/model"),
        ("hf/org/model:-x", "revision"),
        ("hf/org/model@sha256:0", "no digest"),
        ("hf/org/model@sha256:" + "0" * 64, "by tag"),
        ("", "empty"),
    ]:
        done = command(mirror, "import", name)
        assert done.returncode == 2 and part in done.stderr and done.stdout == "", done
        assert fetch(mirror.admin, "/imports?image=" + name.replace("@", "%40"), "POST").status == 400
    for target in ("/imports?image=%zz", "/imports?image=" + "a" * 2000):
        assert fetch(mirror.admin, target).status == 400
    assert fetch(mirror.admin, "/imports", "POST").status == 400
    assert imports(mirror) == [] and not hub.requests


def test_a_mirror_without_a_hub_says_so(entrepot, upstream):
    mirror = entrepot(upstream)
    done = command(mirror, "import", "org/model")
    assert done.returncode == 2 and "huggingface" in done.stderr, done
    done = command(mirror, "import", "docker.io/org/model")
    assert done.returncode == 2 and "not a model hub" in done.stderr, done


def test_the_command_says_what_is_in_its_way(mirror_of, hub):
    mirror = mirror_of(hub)
    for admin, part in (("127.0.0.1:1", "entrepot serve"), ("%s:%d" % hub.address, "no Entrepot that can import")):
        done = command(mirror, "import", "org/model", admin=admin)
        assert done.returncode == 3 and part in done.stderr and "--admin" in done.stderr and done.stdout == "", done


def test_usage():
    assert "entrepot import REF" in run_command("import", "--help").stdout
    for words in [["import"], ["import", "a", "b"], ["numbers"], ["numbers", "export"], ["numbers", "x", "y"]]:
        done = run_command(*words)
        assert done.returncode == 2 and "usage:" in done.stderr, done
    for words in [["import", "a", "--nonsense", "x"], ["numbers", "export", "a", "--wait"], ["serve", "x"]]:
        assert run_command(*words).returncode == 2
