"""What a review of the sparse store saw go wrong, each by what was seen: rows B3-B8, B13, E4."""

import pytest

from harness.upstream import Upstream
from harness.util import Gate, MiB, Threads, digest_of, in_threads, noise, wait_until
from test_sparse import BLOB, DATA, DIGEST, SIZE, cold  # noqa: F401  (a fixture)

OTHER = f"/v2/library/y/blobs/{DIGEST}"


def fill_has_ended(case):
    """Its blob is partial again: what comes next begins anew."""
    wait_until(
        lambda: case.mirror.metric("entrepot_fills_running") == 0 and case.mirror.log(event="fill", digest=DIGEST),
        "the fill has ended",
    )
    case.mirror.restart()


def test_the_first_blob_of_a_fresh_process_comes_over_many_connections(cold):
    """The second request begins when the first has answered, which is in the middle of a callback of curl's."""
    case = cold(blob_connections=4)
    assert case.mirror.get(BLOB, keep=False).sha256 == DIGEST


def test_scattered_cold_ranges_of_one_blob_after_the_other(cold):
    """Sixteen at once, on blobs nobody has seen."""
    case = cold()
    for number in range(20):
        digest = digest_of(b"not really %d" % number)
        case.upstream.content[f"/v2/library/x/blobs/{digest}"] = (DATA, "application/octet-stream", digest)

        def one(place):
            start = place * 4 * MiB
            reply = case.mirror.get(
                f"/v2/library/x/blobs/{digest}", headers={"Range": f"bytes={start}-{start + 9}"}
            )
            assert reply.status == 206 and reply.body == DATA[start : start + 10]

        in_threads(16, one)


def test_an_open_ended_range_whose_bytes_are_here_is_served_again(cold):
    """Nothing is missing, so nobody is asked, and yet it is answered; also with the upstream down."""
    case = cold(blob_connections=1)
    case.slice(60 * MiB, SIZE, f"{60 * MiB}-")
    case.slice(60 * MiB, SIZE, f"{60 * MiB}-")
    fill_has_ended(case)
    case.upstream.stop()
    case.slice(60 * MiB, SIZE, f"{60 * MiB}-")
    assert len(case.asked()) == 1


def test_another_source_is_not_taken_for_the_one_that_answered(cold):
    """Requests to one repository run, another joins and is turned to: the first one's answers are not its own."""
    case = cold(blob_connections=4, retry_delay="1s")
    case.slice(0, 2)
    fill_has_ended(case)
    case.slice(5 * MiB, 5 * MiB + 2)  # so that it is known to take ranges
    gates = [Gate() for _ in range(4)]
    case.upstream.on("GET", f"library/x/blobs/{DIGEST}", times=1, head_gate=gates[0], status=500)
    for gate in gates[1:]:
        case.upstream.on("GET", f"library/x/blobs/{DIGEST}", times=1, head_gate=gate)
    holder = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    for gate in gates:
        gate.wait_reached()
    stranger = Threads(1, lambda _: case.mirror.get(OTHER, headers={"Range": "bytes=30000000-30000099"}))
    wait_until(lambda: case.mirror.metric("entrepot_readers_coalesced_total") >= 1, "the stranger has joined")
    gates[0].open()
    wait_until(lambda: case.upstream.seen("GET", "library/y"), "its repository is asked")
    for gate in gates[1:]:
        gate.open()
    assert stranger.join()[0].status == 404
    assert holder.join()[0].sha256 == DIGEST
    assert case.mirror.get(OTHER, headers={"Range": "bytes=0-99"}).status == 404


def test_one_lie_about_the_size_is_forgotten(cold):
    """The bytes of that answer go, and with them the size."""
    case = cold(known=False, fill_tries=1)
    case.upstream.on("GET", DIGEST, times=1, content_range=f"bytes 0-{MiB - 1}/999999999")
    case.range("0-99")
    wait_until(lambda: case.mirror.get(BLOB, keep=False).sha256 == DIGEST, "it is fetched anew")


def test_a_206_without_a_range_is_no_reason_to_ask_for_ever(cold):
    case = cold(known=False, fill_tries=2)
    case.upstream.on("GET", DIGEST, status=206, headers=[("Content-Range", f"bytes */{SIZE}")])
    assert case.range("0-1").status == 502
    assert len(case.asked()) <= 8


def test_a_grid_larger_than_what_is_worth_waiting_for(cold):
    """A range beside a download waits for it, rather than cut it where it is."""
    gate, case = Gate(), cold(range_grid="32MiB", blob_connections=1)
    case.upstream.on("GET", DIGEST, times=1, hold=(MiB, gate), headers=[("Accept-Ranges", "bytes")])
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    gate.wait_reached()
    ahead = Threads(1, lambda _: case.slice(20 * MiB, 20 * MiB + 100))
    wait_until(lambda: case.mirror.metric("entrepot_readers_coalesced_total") >= 1, "it waits")
    gate.open()
    ahead.join()
    assert download.join()[0].sha256 == DIGEST and len(case.asked()) == 1


@pytest.mark.parametrize("place", [40, 44])
def test_a_range_that_a_download_runs_over_is_not_brought_twice(place, cold):
    """Nobody knows that there are parts to be had until the range's answer comes, and by then the download, which was
    to end where it begins, is there, or behind that."""
    case, first, second, head = cold(blob_connections=1), Gate(), Gate(), Gate()
    case.upstream.on("GET", DIGEST, times=1, hold=[(MiB, first), (place * MiB, second)])
    case.upstream.on("GET", DIGEST, times=1, head_gate=head)
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    first.wait_reached()
    ahead = Threads(1, lambda _: case.slice(40 * MiB, SIZE, f"{40 * MiB}-"))
    head.wait_reached()
    first.open()
    second.wait_reached()
    wait_until(lambda: case.mirror.metric("entrepot_upstream_body_bytes_total") >= place * MiB, "it runs on")
    head.open()
    wait_until(lambda: case.upstream.seen("GET", DIGEST)[1].status == 206, "the range is answered")
    second.open()
    ahead.join()
    assert download.join()[0].sha256 == DIGEST
    received = case.mirror.metric("entrepot_upstream_body_bytes_total") - case.upstream.body_bytes("/manifests/")
    assert received <= SIZE + MiB, received


@pytest.mark.parametrize("status", [400, 404, 410, 500])
def test_a_remembered_target_that_is_gone_is_asked_for_anew(cold, status):
    """Some say 400 for a signature that has expired: no reason to fetch the whole."""
    with Upstream() as cdn:
        cdn.content["/signed/1"] = cdn.content["/signed/2"] = (DATA, "application/octet-stream", DIGEST)
        case = cold()
        target = f"http://localhost:{cdn.port}/signed/"
        case.upstream.on("GET", DIGEST, times=1, status=307, headers=[("Location", target + "1")])
        case.upstream.on("GET", DIGEST, status=307, headers=[("Location", target + "2")])
        case.slice(0, 10)
        cdn.on("GET", "/signed/1", status=status)
        case.slice(9 * MiB, 9 * MiB + 10)
        assert cdn.body_bytes() <= 2 * MiB + 100 and len(case.asked()) == 2


def test_a_small_range_of_a_blob_whose_size_was_not_known(cold):
    """It turns out to be so small that it is sent when it is verified: then all of it is wanted."""
    data = noise(10000, 7)
    case = cold(range_grid="4KiB")
    digest = case.upstream.add_blob("library/x", data)
    reply = case.mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": "bytes=0-1"})
    assert reply.status == 206 and reply.body == data[:2]


def test_a_range_of_an_empty_blob_of_unknown_size(cold):
    """B3: 416, and then it is there, and empty."""
    case = cold(known=False)
    digest = case.upstream.add_blob("library/x", b"")
    assert case.mirror.get(f"/v2/library/x/blobs/{digest}", headers={"Range": "bytes=0-1"}).status == 416
    assert case.mirror.get(f"/v2/library/x/blobs/{digest}").status == 200
    case.mirror.wait_held(digest)
    assert not case.mirror.log(event="disk")


def test_a_range_that_fails_cuts_nobody_whose_bytes_are_here(cold):
    """One reads slowly what lies there; another's range cannot be had."""
    case = cold(fill_tries=1)
    case.slice(0, 40 * MiB)
    with case.mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", BLOB, {"Range": f"bytes=0-{40 * MiB - 1}"})
        assert reader.head().status == 206
        begin = reader.read(MiB)
        case.upstream.on("GET", DIGEST, status=500)
        assert case.range(f"{50 * MiB}-{50 * MiB + 9}").status == 502
        assert begin + reader.read(SIZE) == DATA[: 40 * MiB]


@pytest.mark.parametrize("spec", [f"{40 * MiB}-{40 * MiB + 9}", f"0-9,{40 * MiB}-{40 * MiB + 9}"])
def test_a_range_that_parks_behind_a_download_is_seen(cold, spec):
    """B8: the download's head comes after it has parked, or it parks in the middle of its answer."""
    head, hold, case = Gate(), Gate(), cold()
    case.slice(0, 10)
    case.upstream.on(
        "GET", DIGEST, times=1, head_gate=head, hold=(2 * MiB, hold), headers=[("Accept-Ranges", "bytes")]
    )
    download = Threads(1, lambda _: case.mirror.get(BLOB, keep=False))
    head.wait_reached()
    ahead = Threads(1, lambda _: case.range(spec))
    wait_until(lambda: case.mirror.metric("entrepot_connections_open") >= 2, "it has come")
    head.open()
    assert DATA[40 * MiB : 40 * MiB + 10] in ahead.join()[0].body  # while the download stands
    hold.open()
    assert download.join()[0].sha256 == DIGEST


def test_a_whole_in_place_of_a_range_stays_within_the_budget(cold):
    """Its size is known when its head comes: then there must be room for all of it."""
    case = cold(cache_size="20MiB")
    case.upstream.on("GET", DIGEST, ignore_range=True)
    assert case.range("0-9").status == 503
    assert case.sent() < 20 * MiB
