"""Imports when something goes wrong, or too much is asked for at once."""

import pytest

from harness.content import Made
from harness.http import fetch
from harness.hub import Hub
from harness.model import Image
from harness.util import Gate, MiB, Threads, digest_of, noise, wait_until

LARGE = Made(66 * MiB + 5, 1)


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def states(mirror):
    reply = fetch(mirror.admin, "/imports")
    return {each["image"]: each["state"] for each in reply.json["imports"]}


def test_more_models_than_may_be_imported_at_once(mirror_of, hub):
    """The others wait for their turn, in order, and say so; none is forgotten, also not after a restart."""
    gate = Gate()
    names = [f"hf/org/model{i}" for i in range(4)]
    for name in names:
        hub.add(name.removeprefix("hf/"), {"name.txt": name.encode()})
    hub.on("GET", "/resolve-cache/.*name.txt", head_gate=gate)
    mirror = mirror_of(hub, max_imports=2, import_hold="1s")
    for i, name in enumerate(names):
        assert fetch(mirror.admin, f"/imports?image={name}", "POST").status in (200, 202)
        wait_until(lambda: states(mirror).get(f"{name}:latest") == ("files" if i < 2 else "queued"), "it waits")
    assert len(hub.seen("GET", "/resolve-cache/")) == 2
    mirror.restart()
    wait_until(lambda: sorted(states(mirror).values()) == ["files", "files", "queued", "queued"], "all go on")
    gate.open()
    wait_until(lambda: list(states(mirror).values()) == ["done"] * 4, "all are done")
    for name in names:
        assert Image(mirror, name).agrees_with({"name.txt": name.encode()})


def test_an_import_that_a_hub_puts_off_gives_its_place_up(entrepot, hub):
    """It kept it for as long as four hours; then it waits for its turn again, before those that came later."""
    gate = Gate()
    with Hub("127.0.0.4", "127.0.0.5", "127.0.0.6") as slow:
        slow.add("Org/Slow", {"a.txt": b"a"})
        slow.on("GET", "/tree/", times=1, status=429, headers=[("Retry-After", "1")])
        for i in range(2):
            hub.add(f"Org/Model{i}", {f"{i}.txt": b"%d" % i})
        hub.on("GET", "/resolve-cache/.*0.txt", head_gate=gate)
        urls = {"slow": slow.url, "hf": hub.url}
        hubs = "".join(f"  {name}: {{type: huggingface, url: {url}}}\n" for name, url in urls.items())
        mirror = entrepot(None, config="upstreams:\n" + hubs, max_imports=1)
        images = ["slow/org/slow:latest", "hf/org/model0:latest", "hf/org/model1:latest"]
        for image, state in zip(images, ["paused", "files", "queued"]):
            fetch(mirror.admin, f"/imports?image={image}", "POST")
            wait_until(lambda: states(mirror).get(image) == state, f"{image} is {state}")
        wait_until(lambda: states(mirror)[images[0]] == "queued", "its pause is over")
        assert len(slow.seen("GET", "/tree/")) == 1 and states(mirror)[images[1]] == "files"
        gate.open()
        wait_until(lambda: list(states(mirror).values()) == ["done"] * 3, "all are done")
        assert slow.seen("GET", "/tree/")[-1].time < hub.seen("GET", "/tree/")[-1].time
        for image, files in zip(images, [{"a.txt": b"a"}, {"0.txt": b"0"}, {"1.txt": b"1"}]):
            assert Image(mirror, image.partition(":")[0]).agrees_with(files)


def test_a_layer_is_not_made_of_bytes_that_the_disk_has_spoilt(mirror_of, hub):
    """Of a file that another model has brought, and whose numbers are known."""
    hub.add("Org/First", {"w.safetensors": LARGE})
    mirror = mirror_of(hub)
    Image(mirror, "hf/org/first")
    mirror.stop()
    with open(mirror.path_of("sha256:" + LARGE.sha256), "r+b") as file:
        file.seek(9 * MiB)
        byte = file.read(1)
        file.seek(9 * MiB)
        file.write(bytes([byte[0] ^ 1]))
    mirror.start()
    hub.add("Org/Second", {"v.safetensors": LARGE})
    image = Image(mirror, "hf/org/second", headers={"User-Agent": "skopeo/1"})
    assert image.agrees_with({"v.safetensors": LARGE})
    reply = mirror.get(f"/v2/hf/org/second/blobs/{image.digests[0]}", keep=False)
    assert (reply.end, reply.sha256) == ("complete", image.digests[0])


def test_the_file_that_the_disk_has_spoilt_is_named(mirror_of, hub):
    """Not the one behind it, at which nobody has looked."""
    files = {name: noise(5 * MiB, i) for i, name in enumerate(["a.bin", "b.bin", "c.bin"])}
    hub.add("Org/First", {"b.bin": files["b.bin"]}, large=["b.bin"])
    mirror = mirror_of(hub)
    Image(mirror, "hf/org/first")
    mirror.stop()
    with open(mirror.path_of(digest_of(files["b.bin"])), "r+b") as file:
        file.write(bytes([files["b.bin"][0] ^ 1]))
    mirror.start()
    hub.add("Org/Second", files, large=list(files))
    assert Image(mirror, "hf/org/second", headers={"User-Agent": "skopeo/1"}).agrees_with(files)
    messages = [line["message"] for line in mirror.log(event="import") if "damaged" in line.get("message", "")]
    assert messages and all('the file "b.bin"' in message for message in messages), messages


def test_a_commit_that_goes_away_while_it_is_imported(mirror_of, hub):
    """The branch stood for it for a moment: the old image is served before, meanwhile and afterwards."""
    old = {"a.txt": b"old"}
    hub.add("Org/Model", old)
    mirror = mirror_of(hub, tag_ttl="0s")
    before = Image(mirror, "hf/org/model").digest
    commit = hub.add("Org/Model", {"a.txt": b"new"})
    hub.on("GET", f"/tree/{commit}", status=404, headers=[("X-Error-Code", "RevisionNotFound")])
    for _ in range(3):
        assert Image(mirror, "hf/org/model").digest == before
        wait_until(lambda: states(mirror)["hf/org/model:latest"] == "failed", "the import has ended")
    hub.healthy()
    wait_until(lambda: Image(mirror, "hf/org/model").revision == commit, "the new one is there")


def test_a_list_that_breaks_off_goes_on_where_it_was(mirror_of, hub):
    """Each page is asked for again by itself: a long list would never end otherwise."""
    hub.page = 10
    files = {f"{i}.json": b"%d\n" % i for i in range(100)}
    hub.add("Org/Many", files)
    hub.on("GET", "/tree/.*cursor", times=1, status=500)
    mirror = mirror_of(hub)
    assert Image(mirror, "hf/org/many", headers={"User-Agent": "skopeo/1"}).agrees_with(files)
    assert len([request for request in hub.seen("GET", "/tree/") if "cursor" not in request.target]) == 1


def test_a_tag_never_goes_back(mirror_of, hub):
    """The import of a commit that the branch has left ends after that of the one it moved to."""
    hub.add("Org/Model", {"a.txt": b"0"})
    mirror, gate = mirror_of(hub, tag_ttl="0s"), Gate()
    Image(mirror, "hf/org/model")
    slow = hub.add("Org/Model", {"a.txt": b"1", "slow.txt": b"slow"})
    hub.on("GET", "/resolve-cache/.*slow.txt", head_gate=gate)
    Image(mirror, "hf/org/model")
    wait_until(lambda: hub.seen("GET", "/resolve-cache/.*slow.txt"), "the slow one is asked for")
    last = hub.add("Org/Model", {"a.txt": b"2"})
    wait_until(lambda: Image(mirror, "hf/org/model").revision == last, "the last one is there")
    gate.open()
    wait_until(lambda: mirror.get(f"/v2/hf/org/model/manifests/{slow}").status == 200, "the slow one is there")
    hub.stop()
    assert Image(mirror, "hf/org/model").revision == last


def test_the_newest_import_of_a_tag_outlives_the_process(mirror_of, hub):
    """Also when that of a commit which the branch has left has ended meanwhile."""
    hub.add("Org/Model", {"a.txt": b"0"})
    mirror, gates, commits = mirror_of(hub, tag_ttl="0s"), [Gate(), Gate()], []
    Image(mirror, "hf/org/model")
    for i, gate in enumerate(gates):
        commits.append(hub.add("Org/Model", {f"slow{i}.txt": b"slow %d" % i}))
        hub.on("GET", f"/resolve-cache/.*slow{i}.txt", head_gate=gate)
        wait_until(lambda: Image(mirror, "hf/org/model") and hub.seen("GET", f"slow{i}.txt"), "it is asked for")
    gates[0].open()
    wait_until(lambda: mirror.metric("entrepot_imports_done_total") == 2, "the one before has ended")
    assert mirror.get(f"/v2/hf/org/model/manifests/{commits[0]}").status == 200  # the index has all of it
    mirror.kill()
    mirror.start()
    wait_until(lambda: states(mirror).get("hf/org/model:latest") == "files", "the last one goes on")
    gates[1].open()
    wait_until(lambda: states(mirror)["hf/org/model:latest"] == "done", "its end")
    hub.stop()
    assert Image(mirror, "hf/org/model").revision == commits[1]


def test_small_files_that_come_faster_than_they_are_stored(mirror_of, hub):
    """They wait for the disk; none is dropped, and asked for again."""
    files = {f"{i}.json": b"%d" % i for i in range(600)}
    hub.add("Org/Many", files)
    mirror = mirror_of(hub, max_fills=16)
    image = Image(mirror, "hf/org/many", headers={"User-Agent": "skopeo/1"})
    assert image.agrees_with(files)
    assert len(hub.seen("GET", "/resolve/")) == 600
