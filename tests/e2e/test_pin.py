"""pin: what its patterns mean stays, with all that is under it, whatever else has to go."""

import pytest

from harness.entrepot import run_command
from harness.images import blob_image, index_of
from harness.util import MiB, digest_of, in_threads, noise, wait_until

BUDGET = 10 * MiB


def image(seed, size=2 * MiB):
    return blob_image(noise(size, seed))


def digests(image):
    """Of all that is under it."""
    return [image.digest, *image.blobs, *(digest for child in image.children for digest in digests(child))]


def overflow(mirror, upstream, first=1000):
    """Pulls more than fits, one after the other; the oldest of it has gone in the end."""
    blobs = [upstream.add_blob("library/other", noise(MiB, first + number)) for number in range(16)]
    for digest in blobs:
        target = f"/v2/library/other/blobs/{digest}"
        wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there was room for it")
    wait_until(lambda: not mirror.holds(blobs[0]), "what is not pinned went")


def pull(mirror, repository, reference, image):
    mirror.pull(repository, reference)
    mirror.wait_held(*digests(image))


def assert_all_there(mirror, image):
    assert all(mirror.holds(digest) for digest in digests(image))


def assert_layers_gone(mirror, image):
    """The manifest and config of an image of one layer are too small to matter."""
    for digest in image.layer_digests:
        wait_until(lambda: not mirror.holds(digest), f"{digest} went")


def test_a_pinned_tag_outlives_everything_newer(entrepot, upstream):
    """Both platforms' manifests, configs and layers, served with the upstream stopped; its neighbour goes."""
    pinned, other = index_of([image(1), image(2)]), image(3)
    upstream.add(pinned, "library/kept", "1")
    upstream.add(other, "library/kept", "2")
    mirror = entrepot(upstream, cache_size="10MiB", pin="docker.io/library/kept:1")
    pull(mirror, "library/kept", "1", pinned)
    pull(mirror, "library/kept", "2", other)
    overflow(mirror, upstream)
    assert_layers_gone(mirror, other)
    assert_all_there(mirror, pinned)
    upstream.stop()
    assert len(mirror.pull("library/kept", "1")) == 7
    assert mirror.metric("entrepot_pinned_blobs") == 7
    sizes = sum(mirror.path_of(digest).stat().st_size for digest in digests(pinned))
    assert mirror.metric("entrepot_pinned_bytes") == sizes


def test_a_star_stands_for_repositories_and_tags(entrepot, upstream):
    first, second, other = image(1), image(2), image(3)
    upstream.add(first, "acme/one", "v1")
    upstream.add(second, "acme/deep/er", "v2")
    upstream.add(other, "acme/one", "x1")
    mirror = entrepot(upstream, cache_size="10MiB", pin="acme/*:v*")
    pull(mirror, "acme/one", "v1", first)
    pull(mirror, "acme/deep/er", "v2", second)
    pull(mirror, "acme/one", "x1", other)
    overflow(mirror, upstream)
    assert_layers_gone(mirror, other)
    assert_all_there(mirror, first)
    assert_all_there(mirror, second)


def test_a_repository_keeps_what_was_pulled_by_digest(entrepot, upstream):
    by_digest, other = image(1), image(2)
    upstream.add(by_digest, "acme/one")
    upstream.add(other, "acme/two")
    mirror = entrepot(upstream, cache_size="10MiB", pin="docker.io/acme/one")
    pull(mirror, "acme/one", by_digest.digest, by_digest)
    pull(mirror, "acme/two", other.digest, other)
    overflow(mirror, upstream)
    assert_layers_gone(mirror, other)
    assert_all_there(mirror, by_digest)


def test_a_digest_pins_one_platform(entrepot, upstream):
    amd64, arm64 = image(1), image(2)
    both = index_of([amd64, arm64])
    upstream.add(both, "acme/one", "1")
    mirror = entrepot(upstream, cache_size="10MiB", pin=f"acme/one@{arm64.digest}")
    pull(mirror, "acme/one", "1", both)
    overflow(mirror, upstream)
    assert_layers_gone(mirror, amd64)
    assert_all_there(mirror, arm64)


def test_a_partial_blob_of_a_pinned_image_stays(entrepot, upstream):
    """A lazy puller read a part of its layer; that part is what is kept, and served."""
    layer = noise(40 * MiB, 1)
    pinned = blob_image(layer)
    upstream.add(pinned, "acme/one", "1")
    mirror = entrepot(upstream, cache_size="50MiB", pin="acme/one:1")
    mirror.get("/v2/acme/one/manifests/1")
    target, field = f"/v2/acme/one/blobs/{digest_of(layer)}", [("Range", f"bytes={MiB}-{3 * MiB - 1}")]
    assert mirror.get(target, headers=field).body == layer[MiB : 3 * MiB]
    partial = mirror.cache / "partial" / "sha256" / digest_of(layer).partition(":")[2]
    wait_until(partial.exists, "there is a part of it")
    mirror.settings["cache_size"] = "10MiB"  # a layer that is larger than the cache would not begin
    mirror.restart()
    overflow(mirror, upstream)
    assert partial.exists()
    upstream.stop()
    assert mirror.get(target, headers=field).body == layer[MiB : 3 * MiB]


def test_what_a_tag_pointed_at_before_can_go(entrepot, upstream):
    before, after = image(1), image(2)
    upstream.add(before, "acme/one", "1")
    mirror = entrepot(upstream, cache_size="10MiB", pin="acme/one:1", tag_ttl="0s")
    pull(mirror, "acme/one", "1", before)
    overflow(mirror, upstream)
    assert_all_there(mirror, before)
    upstream.add(after, "acme/one", "1")
    pull(mirror, "acme/one", "1", after)
    overflow(mirror, upstream, 2000)
    assert_layers_gone(mirror, before)
    assert_all_there(mirror, after)


def test_when_all_is_pinned_others_get_503_and_the_log_says_why(entrepot, upstream):
    pinned, others = image(1, 8 * MiB), blob_image(noise(3 * MiB, 2), noise(MiB // 4, 3))
    upstream.add(pinned, "acme/one", "1")
    upstream.add(others, "library/other", "1")
    other, small = others.layer_digests
    mirror = entrepot(upstream, cache_size="10MiB", pin="acme/one")
    pull(mirror, "acme/one", "1", pinned)
    assert mirror.get("/v2/library/other/manifests/1").status == 200
    for _ in range(3):
        reply = mirror.get(f"/v2/library/other/blobs/{other}")
        assert reply.status == 503 and "pin" in reply.json["errors"][0]["message"]
        mirror.pull("acme/one", "1")
    assert not upstream.seen("GET", other)
    (line,) = mirror.log(event="pin")  # once a minute, however many ask
    sizes = sum(mirror.path_of(digest).stat().st_size for digest in digests(pinned))
    assert f"{sizes} bytes of the cache's {BUDGET}" in line["message"]
    assert "raise cache_size or shorten `pin`" in line["message"]
    assert mirror.get(f"/v2/library/other/blobs/{small}", keep=False).sha256 == small


def test_pinned_bytes_cross_once_whatever_goes_on(entrepot, upstream):
    """Three clients overflow the cache without a pause, from before the first pull of the pinned image on."""
    pinned = index_of([image(1), image(2)])
    of_platforms = {digest for child in pinned.children for digest in child.blobs}
    upstream.add(pinned, "acme/one", "1")
    blobs = [upstream.add_blob("library/other", noise(MiB, 1000 + number)) for number in range(30)]
    mirror = entrepot(upstream, cache_size="10MiB", pin="acme/one:1")

    def work(client):
        for digest in blobs[client:] + blobs[:client] if client < 3 else ():
            target = f"/v2/library/other/blobs/{digest}"
            wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there was room for it", 60)
        for _ in range(20 if client == 3 else 0):
            wait_until(lambda: mirror.get("/v2/acme/one/manifests/1").status == 200, "there was room for it", 60)
            for digest in digests(pinned):
                kind = "blobs" if digest in of_platforms else "manifests"
                target = f"/v2/acme/one/{kind}/{digest}"
                wait_until(lambda: mirror.get(target, keep=False).sha256 == digest, "there was room for it", 60)

    in_threads(4, work)
    assert mirror.metric("entrepot_evicted_blobs_total") >= 20
    for digest in digests(pinned):
        assert len(upstream.seen("GET", digest)) == 1


def test_pins_hold_over_restarts_and_for_what_is_cached_already(entrepot, upstream):
    """Pulled without a pin, pinned by the next start, and no more by the last."""
    pinned = image(1)
    upstream.add(pinned, "library/kept", "1")
    mirror = entrepot(upstream, cache_size="10MiB")
    pull(mirror, "library/kept", "1", pinned)
    mirror.settings["pin"] = "kept:1"
    mirror.restart()
    overflow(mirror, upstream)
    mirror.restart()
    overflow(mirror, upstream, 2000)
    assert_all_there(mirror, pinned)
    del mirror.settings["pin"]
    mirror.restart()
    overflow(mirror, upstream, 3000)
    assert_layers_gone(mirror, pinned)


@pytest.mark.parametrize(
    "pattern, sentence",
    [
        ("quay.io/a", 'pin: "quay.io/a" is of the registry "quay.io", which is not one of the upstreams: docker.io'),
        ("docker.io/a@sha256:12", '"docker.io/a@sha256:12" has no digest behind its @; write sha256: and 64 hex'),
        ("Alpine:3", '"Alpine:3" is not a pattern of images; write registry/repository in lower case'),
        ("*.io/a/b", '"*.io/a/b" has a * in its registry; name one registry, such as ghcr.io/*'),
        ("docker.io", '"docker.io" is the name of an upstream; write docker.io/* for all of its images'),
    ],
)
def test_a_pattern_that_nothing_could_match_is_refused_at_start(tmp_path, pattern, sentence):
    for command in ("serve", "check"):
        arguments = ("--cache", tmp_path / "cache", "--upstream", "docker.io", "--pin", f"alpine {pattern}")
        done = run_command(command, *arguments)
        assert done.returncode == 2 and sentence in done.stderr, done
    assert not (tmp_path / "cache").exists()


def test_check_prints_patterns_that_read_back(tmp_path):
    path, printed_list = tmp_path / "e.yaml", 'pin:\n- "alpine:3.20"\n- "ghcr.io/acme/*"\n'
    path.write_text('pin:\n  - alpine:3.20\n  - "ghcr.io/acme/*"\n')
    printed = run_command("check", "--config", path).stdout
    assert printed_list in printed
    path.write_text(printed)
    assert run_command("check", "--config", path).stdout == printed
    assert printed_list in run_command("check", "--pin", "alpine:3.20, ghcr.io/acme/*").stdout
    path.write_text("pin:\n  - alpine:3.20\n  - ghcr.io/*/\n")
    assert f'{path}:3: pin: "ghcr.io/*/" is not a pattern' in run_command("check", "--config", path).stderr
