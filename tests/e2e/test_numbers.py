"""The numbers of an imported model, taken from one node to another: who has them, has the image."""

import json
import re
import socket

import pytest

from harness.content import Made
from harness.entrepot import run_command
from harness.hub import Hub
from harness.http import Connection, fetch, send_raw
from harness.model import Image, having, imported
from harness.numbers import CHUNK, cells
from harness.util import MiB, digest_of, noise, wait_until

FILES = {
    "README.md": b"# A model\n",
    "config.json": b'{"a":1}\n',
    "copy of config.json": b'{"a":1}\n',
    "empty.txt": b"",
    'a folder/"q" + %41?#\x7f\xf6.txt': b"odd name\n",
    "onnx/model.onnx": noise(9 * MiB + 3, 1),
    "model-1.safetensors": Made(70 * MiB + 5, 1),
}


@pytest.fixture
def mirror_of(entrepot):
    return lambda hub, **settings: entrepot({"hf": hub.url}, **settings)


def numbers(mirror, *words, admin=None, **options):
    flags = ["--cache", mirror.cache, "--admin", admin or "%s:%d" % mirror.admin]
    flags += [f"--upstream={name}={url}" for name, url in mirror.upstreams.items()]
    done = run_command("numbers", *words, *flags, timeout=120, **options)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def exported(mirror, name="hf/org/model"):
    done = numbers(mirror, "export", name)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


@pytest.fixture
def first(mirror_of, hub):
    return having(mirror_of(hub), hub, FILES)


@pytest.mark.parametrize("how", ["running", "at rest"])
def test_a_fresh_node_has_the_image_without_asking_the_hub(how, first, mirror_of, hub):
    text = exported(first)
    if how == "at rest":
        first.stop()
        assert exported(first) == text
    hub.stop()
    second = mirror_of(hub)
    if how == "at rest":
        second.stop()
    done = numbers(second, "import", "-", input=text)
    assert done.returncode == 0 and done.stdout == f"hf/org/model:latest is {first.image.digest}\n", done
    if how == "at rest":
        second.start()
    before = len(hub.requests)
    for tag in (first.image.revision, "latest"):
        image = Image(second, "hf/org/model", tag)  # with all its documents
        assert (image.digest, image.layers) == (first.image.digest, first.image.layers)
    assert len(hub.requests) == before
    assert exported(second) == text
    second.restart()
    assert Image(second, "hf/org/model", first.image.revision).digest == first.image.digest


def test_what_is_in_it(first):
    """It holds together by itself, and nothing of this node is in it."""
    text = exported(first)
    file = json.loads(text)
    assert (file["entrepot-numbers"], file["layout"]) == (1, 1)
    assert (file["repository"], file["commit"], file["tag"]) == ("Org/Model", first.image.revision, "latest")
    assert file["index"] == first.image.digest
    assert [each["digest"] for each in file["layers"]] == first.image.digests
    files = {each["path"]: each for each in file["files"]}
    assert files.keys() == FILES.keys()
    data = FILES["onnx/model.onnx"]
    assert files["onnx/model.onnx"]["sha256"] == digest_of(data).partition(":")[2]
    chunks = re.findall("(.{64})(.{8})", files["onnx/model.onnx"]["chunks"])
    parts = [data[i : i + 4 * MiB] for i in range(0, len(data), 4 * MiB)]
    assert [chunk for chunk, _ in chunks] == [digest_of(part).partition(":")[2] for part in parts]
    edges = [data[start:stop] for start, stop in cells(len(data)) if (start, stop) not in [(4 * MiB, 8 * MiB)]]
    assert files["onnx/model.onnx"]["edges"] == "".join(digest_of(part).partition(":")[2] for part in edges)
    assert [path for path in files if "edges" in files[path]] == ["model-1.safetensors", "onnx/model.onnx"]
    assert files["empty.txt"]["chunks"] == "" and str(first.cache) not in text and "127.0.0" not in text


def test_the_next_commit_costs_what_has_changed(first, mirror_of, hub):
    """The large layer is known by its numbers: it need not be fetched to know its digest again."""
    text = exported(first)
    second = mirror_of(hub)
    assert numbers(second, "import", "-", input=text).returncode == 0
    hub.cdn.requests.clear()
    commit = hub.add("Org/Model", FILES | {"README.md": b"# A better model\n"})
    image = imported(second, tag="main")
    assert image.revision == commit and image.agrees_with(FILES | {"README.md": b"# A better model\n"})
    assert hub.cdn.body_bytes("model-1") == 0


def blob(mirror, digest, **options):
    return mirror.get(f"/v2/hf/org/model/blobs/{digest}", keep=False, **options)


def test_its_layers_come_as_they_are_read(first, mirror_of, hub):
    """Of the large file the chunks that are touched; in the end all of it, once; then nothing more."""
    second = mirror_of(hub)
    assert post(second, exported(first).encode()).status == 200
    image = Image(second, "hf/org/model", first.image.revision)
    hub.cdn.requests.clear()
    reply = blob(second, image.digests[0], headers={"Range": "bytes=5000000-5000099"})
    assert reply.status == 206 and reply.received == 100
    assert hub.cdn.body_bytes("model-1") <= 16 * MiB
    for layer in image.layers:
        reply = blob(second, layer["digest"])
        assert (reply.status, reply.end, reply.sha256) == (200, "complete", layer["digest"]), reply
    assert hub.cdn.body_bytes() == FILES["model-1.safetensors"].size + len(FILES["onnx/model.onnx"])
    hub.stop()
    for layer in image.layers:
        assert blob(second, layer["digest"]).sha256 == layer["digest"]


def test_names_and_kinds(first, mirror_of, hub):
    """By tag, commit and digest; data sets; under another upstream's name; a license that travels."""
    hub.tag("Org/Model", "v1")
    set_commit = hub.add("Org/Set", {"data.csv": b"1,2\n"}, kind="datasets")
    imported(first, tag="v1")
    data = imported(first, "hf/datasets/org/set")
    digest, commit = first.image.digest, first.image.revision
    for name, tag in [("org/model:v1", "v1"), (f"org/model:{commit}", commit), (f"org/model@{digest}", commit)]:
        assert json.loads(exported(first, name))["tag"] == tag
    second = mirror_of(hub, cache_size="1GiB")
    hub.stop()
    done = numbers(second, "import", "-", input=exported(first, "hf/datasets/org/set"))
    assert done.stdout == f"hf/datasets/org/set:latest is {data.digest}\n", done
    assert Image(second, "hf/datasets/org/set", set_commit).digest == data.digest
    text = exported(first)
    done = numbers(second, "import", "-", "hf/org/model:mine", input=text)
    assert done.stdout == f"hf/org/model:mine is {digest}\n"
    assert Image(second, "hf/org/model", "mine").digest == digest
    for name, part in [
        ("hf/org/other", "not of org/other"),
        ("hf/org/model:" + "0" * 40, "commit"),
        ("hf/org/model@sha256:" + "0" * 64, "another digest"),
    ]:
        done = numbers(second, "import", "-", name, input=text)
        assert done.returncode == 1 and part in done.stderr and done.stdout == "", done


def test_a_tag_that_has_moved_stays(first, mirror_of, hub):
    text = exported(first)
    hub.add("Org/Model", {"new": b"new"})
    second = mirror_of(hub)
    newer = imported(second)
    hub.stop()
    done = numbers(second, "import", "-", input=text)
    assert done.returncode == 0 and "stands for another" in done.stdout and first.image.digest in done.stdout, done
    assert Image(second, "hf/org/model").digest == newer.digest
    assert Image(second, "hf/org/model", first.image.revision).digest == first.image.digest


def test_what_is_not_there_is_not_exported(first, hub):
    hub.add("Org/Other", {"x": b"x"})
    for name in ("org/other", "org/model:v9", "org/model:" + "0" * 40, "org/model@sha256:" + "0" * 64):
        done = numbers(first, "export", name)
        assert done.returncode == 1 and "was not imported here" in done.stderr and done.stdout == "", done
    first.stop()
    done = numbers(first, "export", "org/other")
    assert done.returncode == 1 and "was not imported here" in done.stderr and done.stdout == "", done


def test_an_image_of_some_files_is_not_exported_as_the_whole(entrepot, hub, tmp_path):
    commit = hub.add("Org/Model", FILES)
    hub.tag("Org/Model", "v1")
    models = [{"name": "org/model", "tag": "light", "include": ["*.json"]}, {"name": "org/model", "tag": "v1", "exclude": ["*.bin"]}]
    (tmp_path / "catalog.json").write_text(json.dumps({"models": models}))
    config = f"upstreams:\n  hf: {{type: huggingface, url: {hub.url}}}\n  depot.ai: {{type: huggingface, url: {hub.url}}}\n"
    mirror = entrepot(None, config=config, catalog=tmp_path / "catalog.json")
    light = imported(mirror, tag="light")
    for name in ("org/model:light", f"org/model@{light.digest}"):
        reply = fetch(mirror.admin, f"/numbers?image={name}")
        detail = reply.json["errors"][0]["detail"]
        assert reply.status == 400 and "some files of its commit only" in detail and "Import the commit" in detail, reply
    assert fetch(mirror.admin, f"/numbers?image=org/model:{commit}").status == 404
    whole = imported(mirror, tag=commit)  # as the sentence says
    assert fetch(mirror.admin, f"/numbers?image=org/model:{commit}").json["index"] == whole.digest != light.digest
    assert fetch(mirror.admin, "/numbers?image=org/model:light").status == 400
    assert imported(mirror, tag="v1").digest == whole.digest  # whose filter leaves all of them
    assert fetch(mirror.admin, "/numbers?image=org/model:v1").json["index"] == whole.digest
    for name in (f"depot.ai/org/model:{commit}", f"depot.ai/org/model@{whole.digest}"):  # another one has it, and all of it
        reply = fetch(mirror.admin, f"/numbers?image={name}")
        assert reply.status == 404 and "was not imported here" in reply.json["errors"][0]["detail"], reply


# -- files that say what is not so


def flipped(digits):
    return ("0" if digits[0] != "0" else "1") + digits[1:]


def without_last_file(file):
    file["files"].pop()


def set_in(*path):
    """Something that sets what stands at this path by a function of it."""
    *path, change = path

    def tamper(file):
        *way, last = path
        for step in way:
            file = file[step]
        file[last] = change(file[last])

    return tamper


def large(file):
    return next(i for i, each in enumerate(file["files"]) if each["size"] > 64 * MiB)


# What can be checked without bytes is refused. name: (what is done to the file, what is said)
REFUSED = {
    "version": (set_in("entrepot-numbers", lambda _: 2), "version"),
    "no version": (lambda file: file.pop("entrepot-numbers"), "no file of `entrepot numbers export`"),
    "layout": (set_in("layout", lambda _: 2), "layout"),
    "repository": (set_in("repository", lambda _: "Org/Other"), "index"),
    "repository's case": (set_in("repository", str.lower), "index"),
    "no repository": (set_in("repository", lambda _: "a/../b"), "repository"),
    "commit": (set_in("commit", flipped), "index"),
    "no commit": (set_in("commit", lambda text: text[1:]), "commit"),
    "tag": (set_in("tag", lambda _: "a/b"), "tag"),
    "tag of another commit": (set_in("tag", lambda _: "0" * 40), "tag"),
    "license": (set_in("license", lambda _: "other"), "index"),
    "long license": (set_in("license", lambda _: "x" * 300), "license"),
    "index": (set_in("index", lambda text: text[:7] + flipped(text[7:])), "index"),
    "path": (set_in("files", 0, "path", lambda _: "another"), "layer"),
    "bad path": (set_in("files", 0, "path", lambda _: "../x"), ".."),
    "same path": (lambda file: set_in("files", 0, "path", lambda _: file["files"][1]["path"])(file), ""),
    "hidden path": (set_in("files", 0, "path", lambda _: ".gitattributes"), ".gitattributes"),
    "size": (lambda file: set_in("files", large(file), "size", lambda size: size + 1)(file), "TOC"),
    "huge size": (set_in("files", 0, "size", lambda _: 2**63 - 1), "chunks"),
    "negative size": (set_in("files", 0, "size", lambda _: -1), "file 1"),
    "sha256 of a small file": (set_in("files", 2, "sha256", flipped), "sha256"),
    "sha256 of a large file": (lambda file: set_in("files", large(file), "sha256", flipped)(file), "TOC"),
    "sha256 in capitals": (set_in("files", 0, "sha256", str.upper), "file 1"),
    "chunk of a large file": (lambda file: set_in("files", large(file), "chunks", flipped)(file), "TOC"),
    "edges of a small file": (lambda file: file["files"][2].update(edges="0" * 256), "file 3"),
    "an edge less": (lambda file: set_in("files", large(file), "edges", lambda text: text[64:])(file), "numbers"),
    "edges in capitals": (lambda file: set_in("files", large(file), "edges", str.upper)(file), "numbers"),
    "edges that are none": (lambda file: set_in("files", large(file), "edges", lambda _: 256)(file), "numbers"),
    "a chunk less": (lambda file: set_in("files", large(file), "chunks", lambda text: text[72:])(file), "chunks"),
    "a file less": (without_last_file, "layer"),
    "no files": (set_in("files", lambda _: {}), "files"),
    "layer digest": (set_in("layers", 0, "digest", lambda text: text[:-1] + flipped(text[-1])), "index"),
    "diffID": (set_in("layers", 0, "diff_id", lambda text: text[:-1] + flipped(text[-1])), "index"),
    "TOC digest": (set_in("layers", 0, "toc_digest", lambda text: text[:-1] + flipped(text[-1])), "TOC"),
    "layer's size": (set_in("layers", 0, "size", lambda size: size + 1), "size"),
    "uncompressed size": (set_in("layers", 0, "uncompressed", lambda size: size + 1), "size"),
    "a layer less": (lambda file: file["layers"].pop(), "layers"),
    "layers in another order": (lambda file: file["layers"].reverse(), "layer"),
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """What one node exports, once for all that spoil it."""
    from conftest import prepare

    with Hub() as hub:
        hub.add("Org/Model", FILES)
        mirror = prepare(tmp_path_factory.mktemp("moved"), {"hf": hub.url}).start()
        try:
            image = imported(mirror)
            yield exported(mirror), image
        finally:
            mirror.close()


@pytest.fixture
def second(mirror_of, hub):
    """A node that has nothing, of a hub that is gone."""
    hub.stop()
    return mirror_of(hub)


def post(mirror, body, query=""):
    return fetch(mirror.admin, "/numbers" + query, "POST", body=body)


def assert_untouched(mirror, moved):
    """Nothing was taken over: neither under its tag nor its commit, and the true file still is."""
    text, image = moved
    assert fetch(mirror.admin, "/numbers?image=org/model:" + image.revision).status == 404
    assert post(mirror, text.encode()).json["digest"] == image.digest


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_add_up_is_refused(name, second, moved):
    spoil, part = REFUSED[name]
    file = json.loads(moved[0])
    spoil(file)
    reply = post(second, json.dumps(file).encode())
    assert reply.status == 400 and part in reply.json["errors"][0]["detail"], reply
    assert_untouched(second, moved)


def test_bytes_that_are_no_such_file(second, moved):
    text = moved[0].encode()
    for body in [
        b"x",
        b"null",
        b"[]",
        b"{}",
        b"\0" * 1000,
        text[: len(text) // 2],
        text[:-3],
        text.replace(b'"Org/Model"', b'"Org\\u0000Model"'),
        b"[" * 100_000,
        b'{"entrepot-numbers": 1, "files": [' + b"[]," * 1_000_000 + b"[]]}",
        b'{"entrepot-numbers": 1' + b"0" * 1000 + b"}",
        text.replace(b'"files"', b'"files": [], "others"'),
    ]:
        reply = post(second, body)
        assert reply.status == 400 and reply.json["errors"][0]["detail"], (body[:100], reply)
    assert_untouched(second, moved)


def test_the_command_says_why_it_is_refused(second, moved, tmp_path):
    path = tmp_path / "numbers.json"
    path.write_text(moved[0].replace('"layout": 1', '"layout": 7'))
    done = numbers(second, "import", path)
    assert done.returncode == 1 and "layout" in done.stderr and done.stdout == "", done
    path.write_text("")
    for file, part in [(path, "empty"), (tmp_path / "none", "No such file"), (tmp_path, "cannot be read")]:
        done = numbers(second, "import", file)
        assert done.returncode == 3 and part in done.stderr and str(file) in done.stderr, done
    path.write_bytes(b" " * (64 * MiB + 1))
    done = numbers(second, "import", path)
    assert done.returncode == 3 and "64 MiB" in done.stderr, done
    path.write_text(moved[0])
    assert numbers(second, "import", path).returncode == 0


def test_known_numbers_are_never_overwritten(first, mirror_of, hub):
    """Whatever a file that adds up by itself says of files that this node has counted itself."""
    text = exported(first)
    crc = json.loads(text)
    index = large(crc)
    set_in("files", index, "chunks", lambda digits: digits[:64] + flipped(digits[64:]))(crc)
    reply = post(first, json.dumps(crc).encode())
    assert reply.status == 400 and "with other numbers" in reply.json["errors"][0]["detail"], reply
    # Nobody else can see that: a CRC32 stands in the framing alone. Clients find the layer not to match its digest.
    assert post(mirror_of(hub), json.dumps(crc).encode()).status == 200
    assert exported(first) == text and post(first, text.encode()).status == 200


def test_a_forged_crc_is_found_by_the_client(first, mirror_of, hub):
    """All that is served as the layer then does not have its digest."""
    file = json.loads(exported(first))
    set_in("files", large(file), "chunks", lambda digits: digits[:64] + flipped(digits[64:]))(file)
    second = mirror_of(hub)
    assert post(second, json.dumps(file).encode()).status == 200
    reply = blob(second, first.image.digests[0])
    assert reply.end != "complete" or reply.sha256 != first.image.digests[0]
    assert blob(second, first.image.digests[1]).sha256 == first.image.digests[1]


def test_edges_that_are_forged_or_not_told(first, mirror_of, hub):
    """Without them the ends cost whole chunks; forged, they do not come, and all else does, until a person imports."""
    image, begin = first.image, {"Range": "bytes=0-49999"}
    right = blob(first, image.digests[0], headers=begin).body
    file = json.loads(exported(first))
    told = file["files"][large(file)].pop("edges")
    second, third = mirror_of(hub), mirror_of(hub)
    assert post(second, json.dumps(file).encode()).status == 200
    hub.cdn.requests.clear()
    assert blob(second, image.digests[0], headers=begin).body == right
    assert hub.cdn.body_bytes() == CHUNK
    file["files"][large(file)]["edges"] = flipped(told)
    assert post(third, json.dumps(file).encode()).status == 200
    reply = blob(third, image.digests[0], headers=begin)
    assert reply.status == 502 or reply.received < 50000
    assert blob(third, image.digests[0], headers={"Range": "bytes=5000000-5000099"}).received == 100
    done = run_command("import", "hf/org/model", "--wait", "--admin", "%s:%d" % third.admin, f"--upstream=hf={hub.url}")
    assert done.returncode == 0, done
    assert blob(third, image.digests[0], headers=begin).body == right
    assert exported(third) == exported(first)


def test_forged_content_is_not_served(first, mirror_of, hub):
    """A file that adds up, of a commit that the hub has, and of other bytes than it has there: nothing of them comes,
    neither the forger's nor the hub's."""
    with Hub() as other:
        forged = FILES | {"model-1.safetensors": Made(70 * MiB + 5, 9), "config.json": b'{"a":2}\n'}
        commit = other.add("Org/Model", forged)
        forger = mirror_of(other)
        image = imported(forger)
        text = exported(forger)
    true = hub.repository("Org/Model")
    true.commits[commit] = true.resolve("main")
    second = mirror_of(hub)
    assert post(second, text.encode()).json["digest"] == image.digest
    assert Image(second, "hf/org/model", commit).digest == image.digest
    for layer in image.layers:
        reply = blob(second, layer["digest"])
        assert reply.status >= 500 or reply.end != "complete", reply
    wrong = FILES["model-1.safetensors"]
    assert not second.holds("sha256:" + wrong.sha256) and not second.holds("sha256:" + forged["model-1.safetensors"].sha256)


# -- bodies


def test_bodies_that_are_not_taken(second, moved):
    text = moved[0].encode()
    head = b"POST /numbers HTTP/1.1\r\nHost: x\r\n"
    for fields, body in [
        (b"Content-Length: %d\r\n" % (64 * MiB + 1), b""),
        (b"Content-Length: 99999999999999999999999\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)),
        (b"", b""),
    ]:
        answer = send_raw(second.admin, head + fields + b"Connection: close\r\n\r\n" + body)
        assert re.match(rb"HTTP/1.1 4(13|00) ", answer), (fields, answer[:200])
    assert_untouched(second, moved)


def assert_reading(mirror):
    """A body is being read, whose head was sent before; the answer to those who come with another. (A head that lies
    in the socket is read before what is sent when others have been answered since.)"""
    for _ in range(2):
        assert fetch(mirror.admin, "/healthz").status == 200
    reply = post(mirror, b"{}")
    assert reply.status == 503, reply
    return reply


def test_a_body_that_comes_in_pieces(second, moved):
    """A byte at a time at first, the last one late; and no answer before that."""
    text = moved[0].encode()
    head = b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text)
    with Connection(second.admin) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(head) + 20):
            connection.send((head + text)[i : i + 1])
        connection.send(text[20:-1])
        busy = assert_reading(second)
        assert "another file" in busy.json["errors"][0]["detail"]
        assert fetch(second.admin, "/healthz").status == 200
        connection.send(text[-1:] + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.head().status == 200
        assert json.loads(connection.drain(keep=True).body)["digest"] == moved[1].digest
        assert connection.at_end()  # no conn that had a body is kept


def test_a_body_that_ends_early(second, moved):
    """Its sender leaves: nothing is taken over, and the next one's turn comes."""
    text = moved[0].encode()
    head = b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text)
    for ending in ("half closed", "closed", "reset"):
        connection = Connection(second.admin)
        connection.send(head + text[:-1])
        assert_reading(second)
        if ending == "half closed":
            connection.socket.shutdown(socket.SHUT_WR)
            assert connection.receive() == b""
        if ending == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        wait_until(lambda: post(second, b"{}").status == 400, "the next one's turn has come")
    assert_untouched(second, moved)


def test_a_sender_who_stops_is_let_go(mirror_of, hub, moved):
    hub.stop()
    second = mirror_of(hub, send_timeout="1s")
    with Connection(second.admin) as connection:
        connection.send(b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert connection.receive() == b""
    assert_untouched(second, moved)


def test_a_mirror_stops_in_the_middle_of_a_body(second, moved):
    with Connection(second.admin) as connection:
        connection.send(b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert_reading(second)
        second.stop()
        assert connection.receive() == b""


def test_askers_who_leave_at_once(second, moved):
    """In the middle of a report, an export, an import: under a sanitizer this finds what outlives its owner."""
    text = moved[0].encode()
    heads = [
        b"GET /imports HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /imports?image=org/model HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /numbers?image=org/model HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text) + text,
    ]
    assert post(second, text).status == 200
    for _ in range(20):
        for head in heads:
            connection = Connection(second.admin)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.send(head)
            connection.close()
    long = b'{"entrepot-numbers": 1, "files": [' + b" " * (60 * MiB) + b"]}"
    connection = Connection(second.admin)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.send(b"POST /numbers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(long) + long)
    assert_reading(second)  # it has all of it soon, and looks at it for some tenths of a second
    connection.close()
    wait_until(lambda: post(second, text).status == 200, "the last of them is done with")
