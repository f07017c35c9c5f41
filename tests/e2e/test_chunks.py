"""Chunks with known numbers: what is fetched of a blob is served after its chunk was verified, and not before."""

import os
import random
import re

import pytest

from harness.chaos import MOODS, Blob
from harness.images import blob_image
from harness.numbers import CHUNK, EDGE, cells, falsified, put_numbers, with_numbers
from harness.upstream import Upstream
from harness.util import SLOW, Gate, MiB, Threads, digest_of, in_threads, let_pass, noise, wait_until
from test_property import Schedule, run_rounds

SIZE = 64 * MiB + 4321
DATA = noise(SIZE, 41)
DIGEST = digest_of(DATA)


class Case:
    def __init__(self, entrepot, upstream, known=True, numbers_of=DATA, **settings):
        self.upstream = upstream
        for repository in ("library/x", "library/y"):
            upstream.add(blob_image(DATA), repository, "1")
        self.mirror = entrepot(upstream, **settings)
        if numbers_of is not None:
            with_numbers(self.mirror, (DIGEST, numbers_of))
        for repository in ("library/x", "library/y"):
            if known:
                assert self.mirror.get(f"/v2/{repository}/manifests/1").status == 200

    def get(self, start=0, stop=None, repository="library/x", **options):
        headers = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        return self.mirror.get(f"/v2/{repository}/blobs/{DIGEST}", headers=headers, **options)

    def slice(self, start, stop, repository="library/x"):
        reply = self.get(start, stop, repository)
        assert reply.status == 206 and reply.end == "complete" and reply.body == DATA[start:stop], reply

    def refused(self, start, stop):
        """Not one byte of it, and an error that a client can read."""
        reply = self.get(start, stop)
        assert reply.status == 502 and "numbers" in reply.json["errors"][0]["message"], reply

    def whole(self):
        self.get_right()
        self.mirror.wait_held(DIGEST)

    def get_right(self):
        reply = self.get(keep=False)
        assert (reply.status, reply.end, reply.sha256) == (200, "complete", DIGEST), reply

    def sent(self, repository=""):
        return self.upstream.body_bytes(f"{repository}.*{DIGEST}")

    def lines(self, count):
        """What the log says of so many wrong answers."""

        def found():
            return [line["message"] for line in self.mirror.log(event="mismatch", level="error")]

        wait_until(lambda: len(found()) >= count, f"{count} wrong answers are in the log")
        assert len(found()) == count
        return found()

    def wrongs(self):
        return self.mirror.metric("entrepot_upstream_errors_total", reason="CHUNK_MISMATCH")

    def partial(self):
        (file,) = (self.mirror.cache / "partial").glob("*/*")
        return file


@pytest.fixture
def cold(entrepot, upstream):
    return lambda **settings: Case(entrepot, upstream, **settings)


# -- what it costs


@pytest.mark.parametrize(
    "start, stop, cost",
    [
        (0, 50_000, EDGE),
        (EDGE, EDGE + 1, CHUNK - EDGE),
        (EDGE - 1, EDGE + 1, CHUNK),
        (32 * MiB, 32 * MiB + 1024, CHUNK),
        (40 * MiB + 17, 40 * MiB + 18, CHUNK),
        (44 * MiB - 1, 44 * MiB + 1, 2 * CHUNK),
        (SIZE - 51, SIZE, SIZE % CHUNK),
        (SIZE - 50_000, SIZE, SIZE - (SIZE - EDGE) // 4096 * 4096),
    ],
    ids=["probe", "behind", "border", "middle", "one byte", "two chunks", "footer", "end"],
)
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_cold_range_costs_the_chunks_it_touches(cold, known, start, stop, cost):
    case = cold(known=known)
    case.slice(start, stop)
    assert case.sent() == cost
    case.slice(start, stop)
    (whole,) = (cell for cell in cells(SIZE) if cell[0] <= start < cell[1])
    case.slice(*whole)  # what else there is of its cell
    assert case.sent() == cost and not case.mirror.holds(DIGEST)
    assert case.partial().stat().st_blocks * 512 <= cost + 64 * 1024


@pytest.mark.parametrize("grid", ["4KiB", "32MiB"])
def test_a_chunk_is_a_chunk_whatever_the_grid(cold, grid):
    case = cold(range_grid=grid)
    case.slice(40 * MiB + 17, 40 * MiB + 18)
    assert case.sent() == CHUNK


def test_a_blob_without_numbers_costs_a_cell_of_the_grid(cold):
    case = cold(numbers_of=None)
    case.slice(40 * MiB + 17, 40 * MiB + 18)
    assert case.sent() == MiB


@pytest.mark.parametrize("connections", [1, 8])
def test_the_whole_crosses_once_and_is_kept(cold, connections):
    case = cold(blob_connections=connections)
    case.slice(40 * MiB, 40 * MiB + 2)
    case.slice(9 * MiB, 13 * MiB)
    case.whole()
    assert case.sent() == SIZE and case.wrongs() == 0
    case.mirror.restart()
    case.get_right()
    assert case.sent() == SIZE


def test_many_readers_share_the_chunks(cold):
    """Overlapping ranges, at once, and a chunk that comes wrong once: each chunk crosses once but for that one."""
    case = cold()
    case.upstream.on("GET", DIGEST, times=1, instead=falsified(DATA, *range(100, SIZE, MiB)))

    def one(number):
        case.slice(number * 300_000, number * 300_000 + 2 * MiB)

    in_threads(40, one)
    assert 1 <= case.wrongs() <= 8
    end = -(-(39 * 300_000 + 2 * MiB) // CHUNK) * CHUNK
    wait_until(lambda: case.mirror.metric("entrepot_fills_running") == 0, "the fill has ended")
    assert end + EDGE <= case.sent() <= end + 8 * CHUNK


def test_nothing_of_a_chunk_is_served_before_all_of_it_has_come(cold):
    """Its first bytes are there, and wait; the chunk before it is served meanwhile."""
    case, gate = cold(), Gate()

    def answer(exchange):
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", exchange.request.headers["range"]).groups()
        held = int(first) <= 6 * MiB < int(last)
        case.upstream.serve(exchange, **({"hold": (6 * MiB, gate)} if held else {}))

    case.upstream.on("GET", DIGEST, call=answer)
    with case.mirror.connect() as connection:
        connection.request("GET", f"/v2/library/x/blobs/{DIGEST}", {"Range": f"bytes=0-{8 * MiB - 1}"})
        assert connection.head().status == 206
        assert connection.read(CHUNK) == DATA[:CHUNK]
        gate.wait_reached()
        wait_until(lambda: case.mirror.metric("entrepot_upstream_body_bytes_total") >= 6 * MiB, "it has come")
        late = Threads(1, lambda _: case.slice(5 * MiB, 5 * MiB + 10))
        wait_until(lambda: case.mirror.metric("entrepot_readers_coalesced_total") >= 1, "another waits for it")
        case.slice(0, CHUNK)
        assert late.results == [None] and late.threads[0].is_alive()
        gate.open()
        late.join()
        assert connection.read(CHUNK) == DATA[CHUNK : 2 * CHUNK]
    assert case.sent() == 2 * CHUNK


# -- an upstream that falsifies


def test_a_chunk_that_is_wrong_once_is_fetched_again(cold):
    case = cold()
    case.upstream.on("GET", DIGEST, times=1, corrupt=9 * MiB)
    case.slice(8 * MiB, 8 * MiB + 2)
    assert case.sent() == 2 * CHUNK and case.wrongs() == 1
    (line,) = case.lines(1)
    assert "library/x of docker.io" in line and f"{8 * MiB}-{12 * MiB - 1} of {DIGEST}" in line
    assert digest_of(DATA[8 * MiB : 12 * MiB]) in line
    case.whole()
    assert case.sent() == SIZE + CHUNK


def test_a_wrong_chunk_is_fetched_beside_the_download_that_brought_it(entrepot, upstream):
    """Which is further by then, and is not waited for; nor is it asked for again and again."""
    data, gate = DATA[: 40 * MiB], Gate()
    digest = upstream.add_blob("library/x", data)
    mirror = with_numbers(entrepot(upstream), (digest, data))
    upstream.on("GET", digest, times=1, corrupt=9 * MiB, hold=(20 * MiB, gate))
    with mirror.connect() as reader:
        reader.request("GET", f"/v2/library/x/blobs/{digest}")
        assert reader.head().status == 200
        assert reader.read(16 * MiB) == data[: 16 * MiB]
        gate.open()
        assert reader.drain().sha256 == digest
    _, again = upstream.seen("GET", digest)
    assert again.headers["range"] == f"bytes={8 * MiB}-{12 * MiB - 1}"


def test_a_chunk_that_is_always_wrong_is_never_served(cold):
    """Others are, before and after; and this one too when the upstream is well again."""
    case = cold()
    case.slice(0, 2)
    case.upstream.on("GET", DIGEST, instead=falsified(DATA, 9 * MiB))
    case.refused(8 * MiB, 8 * MiB + 2)
    assert case.sent() == EDGE + 3 * CHUNK and case.wrongs() == 3
    case.refused(11 * MiB, 13 * MiB)
    sent = case.sent()
    case.slice(100, EDGE)
    assert case.sent() == sent  # what was verified stays
    case.slice(16 * MiB, 16 * MiB + 2)
    assert case.sent() == sent + CHUNK
    case.upstream.healthy()
    case.slice(8 * MiB, 8 * MiB + 2)
    case.whole()
    assert not case.mirror.metric("entrepot_digest_mismatches_total")


def test_a_download_is_cut_where_a_chunk_is_wrong(cold):
    case = cold(blob_connections=4)
    case.upstream.on("GET", DIGEST, instead=falsified(DATA, 41 * MiB))
    for _ in range(2):
        reply = case.get()
        assert reply.status in (200, 502)
        if reply.status == 200:
            assert reply.end != "complete" and reply.received <= 40 * MiB
            assert reply.body == DATA[: reply.received]
    assert case.wrongs() >= 6 and not case.mirror.holds(DIGEST)
    case.upstream.healthy()
    case.whole()
    assert case.sent() < 2 * SIZE


def test_a_slow_reader_keeps_what_is_verified_when_another_chunk_fails(cold):
    case = cold()
    case.slice(0, 40 * MiB)
    with case.mirror.connect(receive_buffer=4096) as reader:
        reader.request("GET", f"/v2/library/x/blobs/{DIGEST}", {"Range": f"bytes=0-{40 * MiB - 1}"})
        assert reader.head().status == 206
        begin = reader.read(MiB)
        case.upstream.on("GET", DIGEST, instead=falsified(DATA, 41 * MiB))
        case.refused(40 * MiB, 40 * MiB + 2)
        assert begin + reader.read(SIZE) == DATA[: 40 * MiB]


def test_another_repository_is_asked_for_what_one_falsifies(cold):
    """Whoever came by the bad one has the right bytes too."""
    case, gate = cold(), Gate()
    case.upstream.on("GET", "library/x/blobs", times=1, head_gate=gate, instead=falsified(DATA, 3))
    case.upstream.on("GET", "library/x/blobs", instead=falsified(DATA, 3))
    first = Threads(1, lambda _: case.slice(0, 2))
    gate.wait_reached()
    second = Threads(1, lambda _: case.slice(2, 4, "library/y"))
    wait_until(lambda: case.mirror.metric("entrepot_readers_coalesced_total") >= 1, "the other has joined")
    gate.open()
    first.join()
    second.join()
    assert case.sent("library/x") == case.sent("library/y") == EDGE
    (line,) = case.lines(1)
    assert "library/x of" in line


def test_where_a_wrong_chunk_came_from_is_not_asked_for_it_again(cold):
    """The registry redirects to a host that falsifies, and when it is asked again to another."""
    with Upstream() as cdn:
        cdn.content["/signed/1"] = cdn.content["/signed/2"] = (DATA, "application/octet-stream", DIGEST)
        cdn.on("GET", "/signed/1", instead=falsified(DATA, 9 * MiB))
        case = cold()
        target = f"http://localhost:{cdn.port}/signed/"
        case.upstream.on("GET", DIGEST, times=1, status=307, headers=[("Location", target + "1")])
        case.upstream.on("GET", DIGEST, status=307, headers=[("Location", target + "2")])
        case.slice(0, 10)
        case.slice(8 * MiB, 8 * MiB + 10)
        assert cdn.body_bytes("/signed/1") == EDGE + CHUNK and cdn.body_bytes("/signed/2") == CHUNK


def test_an_upstream_without_ranges(cold):
    """It sends the whole, with a wrong chunk; then again."""
    case = cold()
    case.upstream.on("GET", DIGEST, times=1, ignore_range=True, corrupt=21 * MiB)
    case.upstream.on("GET", DIGEST, ignore_range=True)
    case.slice(30 * MiB, 30 * MiB + 9)
    case.whole()
    assert case.wrongs() == 1 and case.sent() <= 2 * SIZE
    assert len(case.upstream.seen("GET", DIGEST)) == 2


def test_a_wrong_size(cold):
    """An upstream that lies about it is not believed, and nothing is lost by that."""
    case = cold(known=False)
    case.slice(0, 2)
    case.mirror.restart()
    rule = case.upstream.on("GET", DIGEST, content_range=f"bytes {CHUNK}-{2 * CHUNK - 1}/{SIZE + 1}")
    case.refused(CHUNK, CHUNK + 2)
    (line,) = case.lines(len(rule.hits))
    assert f"with {SIZE + 1} bytes" in line and f"numbers are of {SIZE};" in line
    case.upstream.healthy()
    case.slice(CHUNK, CHUNK + 2)
    assert case.sent() <= 3 * CHUNK + MiB


# -- numbers that are forged


def test_forged_numbers_lead_to_an_error_and_never_to_wrong_bytes(cold):
    """What is not forged of them serves; the log says what is the matter; with the right ones all is well."""
    case = cold(numbers_of=falsified(DATA, 9 * MiB))
    case.slice(0, 2)
    case.refused(9 * MiB, 9 * MiB + 2)
    case.slice(12 * MiB, 12 * MiB + 2)
    assert all("the numbers are wrong" in line for line in case.lines(3))
    reply = case.get()
    assert reply.end != "complete" or reply.status == 502
    if reply.status == 200:
        assert reply.body == DATA[: reply.received] and reply.received <= 8 * MiB
    with_numbers(case.mirror, (DIGEST, DATA))
    case.slice(9 * MiB, 9 * MiB + 2)
    case.whole()


def test_forged_numbers_and_an_upstream_that_sends_what_they_say(cold):
    """The ranges are as verified as the numbers are; the whole is not, and does not come to its end."""
    case = cold(numbers_of=falsified(DATA, 9 * MiB))
    case.upstream.on("GET", DIGEST, instead=falsified(DATA, 9 * MiB))
    reply = case.get(keep=False)
    assert reply.status == 502 or reply.end != "complete", reply
    assert not case.mirror.holds(DIGEST) and case.mirror.metric("entrepot_digest_mismatches_total") == 1


@pytest.mark.parametrize("size", [SIZE - CHUNK, SIZE + 1])
def test_numbers_of_another_size(cold, size):
    case = cold(numbers_of=DATA[:size].ljust(size, b"x"))
    case.refused(9 * MiB, 9 * MiB + 2)
    assert f"numbers are of {size};" in case.lines(1)[0]
    with_numbers(case.mirror, (DIGEST, DATA))
    case.whole()


def test_numbers_of_another_size_than_what_is_here(cold):
    case = cold(numbers_of=None)
    case.slice(0, 2)
    with_numbers(case.mirror, (DIGEST, DATA[:-1]))
    assert case.get(9 * MiB, 9 * MiB + 2).status == 502
    assert f"are of {SIZE - 1} bytes; it is fetched anew" in case.lines(1)[0]
    case.refused(9 * MiB, 9 * MiB + 2)
    with_numbers(case.mirror, (DIGEST, DATA))
    case.whole()


def test_numbers_that_come_when_something_is_here(cold):
    """What was served on the upstream's word is verified with the rest of its chunk, and goes when it was wrong."""
    case = cold(numbers_of=None)
    case.upstream.on("GET", DIGEST, times=1, corrupt=MiB - 1)
    case.slice(0, 2)
    case.slice(5 * MiB, 5 * MiB + 2)
    with_numbers(case.mirror, (DIGEST, DATA))
    case.slice(6 * MiB, 6 * MiB + 2)
    assert case.sent() == 5 * MiB  # the chunk lacked three of its four
    assert case.get(MiB, MiB + 2).status == 502
    case.slice(MiB, MiB + 2)
    case.whole()


# -- crashes, and room


@pytest.mark.parametrize("numbers_of, count", [(DATA, 2), (None, 8)], ids=["with numbers", "without"])
def test_no_more_chunks_are_begun_at_once_than_a_crash_may_cost(cold, numbers_of, count):
    """Of those that are not whole all is lost: half of `checkpoint` is."""
    case, gate, begun = cold(numbers_of=numbers_of, checkpoint="16MiB", blob_connections=8), Gate(), []

    def answer(exchange):
        first = int(re.match(r"bytes=(\d+)-", exchange.request.headers["range"])[1])
        begun.append(first)
        case.upstream.serve(exchange, hold=(first + 7 * MiB // 2, gate))

    case.upstream.on("GET", DIGEST, call=answer)
    with case.mirror.connect() as reader:
        reader.request("GET", f"/v2/library/x/blobs/{DIGEST}")
        came = count * 7 * MiB // 2
        wait_until(lambda: case.mirror.metric("entrepot_upstream_body_bytes_total") >= came, "all of them are held")
        case.mirror.kill()
    assert len(begun) == count
    gate.open()
    case.upstream.healthy()
    case.mirror.start()
    case.whole()


def test_after_a_kill_only_verified_chunks_are_there(entrepot, upstream):
    """At any moment: every byte that is served is right, and so is every chunk of which the disk holds a byte."""
    rounds = random.Random(7)
    mirror = entrepot(upstream, checkpoint="1MiB", retry_delay="1ms", blob_connections=4)
    state = {"number": 0}

    def next_blob():
        state["number"] += 1
        state["data"] = noise(rounds.randrange(65 * MiB, 90 * MiB), state["number"])
        state["digest"] = upstream.add_blob("library/x", state["data"])
        put_numbers(mirror, state["digest"], state["data"])

    def client(number):
        data, start = state["data"], random.randrange(len(state["data"]))
        headers = {"Range": f"bytes={start}-{start + 3 * MiB}"} if number else {}
        try:
            reply = mirror.get(f"/v2/library/x/blobs/{state['digest']}", headers=headers)
        except (OSError, EOFError):
            return
        if reply.status in (200, 206):
            start = start if number else 0
            assert reply.body == data[start : start + reply.received]

    def check_disk():
        for path in (mirror.cache / "partial").glob("*/*"):
            with open(path, "rb") as file:
                place, size = 0, path.stat().st_size
                while place < size:
                    try:
                        place = os.lseek(file.fileno(), place, os.SEEK_DATA)
                    except OSError:
                        break
                    (cell,) = (each for each in cells(len(state["data"])) if each[0] <= place < each[1])
                    found = os.pread(file.fileno(), cell[1] - cell[0], cell[0])
                    right = found == state["data"][slice(*cell)]
                    assert right, f"the chunk at {place} of {path.name}, {size} bytes; it is {state['digest']}"
                    place = cell[1]

    mirror.stop()
    next_blob()
    upstream.on("GET", "/blobs/", call=lambda exchange: flaky(upstream, exchange, state["data"], rounds))
    mirror.start()
    for _ in range(12 if SLOW == 1 else 4):
        clients = Threads(4, client)
        let_pass(rounds.random() * 0.3)
        mirror.kill()
        clients.join()
        held = mirror.holds(state["digest"])
        if held:
            next_blob()
        mirror.start()
        if not held:
            check_disk()
    upstream.healthy()
    reply = mirror.get(f"/v2/library/x/blobs/{state['digest']}", keep=False)
    assert reply.sha256 == state["digest"]
    mirror.wait_held(state["digest"])


def flaky(upstream, exchange, data, dice):
    """An answer in which sometimes a byte is wrong, or that breaks off."""
    script = {}
    if dice.random() < 0.3:
        script["instead"] = falsified(data, *(dice.randrange(len(data)) for _ in range(3)))
    if dice.random() < 0.2:
        script["cut"] = dice.randrange(len(data))
    upstream.serve(exchange, **script)


def test_what_was_not_verified_takes_no_room(cold):
    """A chunk of which half came is given back with its fill; the budget holds with wrong chunks too."""
    case = cold(fill_tries=1, cache_size="24MiB")
    case.slice(0, CHUNK)
    case.upstream.on("GET", DIGEST, times=1, cut=6 * MiB)
    case.upstream.on("GET", DIGEST, times=2, status=500)
    assert case.get(CHUNK, CHUNK + 2).status == 502
    assert case.partial().stat().st_blocks * 512 <= CHUNK + 64 * 1024
    case.upstream.healthy()
    case.upstream.on("GET", DIGEST, instead=falsified(DATA, 9 * MiB))
    for _ in range(4):
        case.refused(8 * MiB, 8 * MiB + 2)
    wait_until(lambda: case.mirror.metric("entrepot_fills_running") == 0, "no fill runs")
    assert case.partial().stat().st_blocks * 512 <= CHUNK + 64 * 1024
    wait_until(lambda: CHUNK < case.mirror.metric("entrepot_cache_used_bytes") < 2 * CHUNK, "that is what is counted")
    sent = case.sent()
    case.slice(0, CHUNK)
    assert case.sent() == sent


# -- random schedules


class ChunkedBlob(Blob):
    is_verified = True

    def choose_size(self, dice):
        return dice.choice([dice.randint(20_000, 300_000), dice.randint(4, 12) * MiB, dice.randint(5 * MiB, 20 * MiB)])


    def cells(self, start, stop):
        return {cell for cell in cells(self.size) if cell[0] < stop and start < cell[1]}

    def bytes_of(self, touched):
        return sum(stop - start for start, stop in touched)


class ChunkedSchedule(Schedule):
    """Of blobs with numbers: not one wrong byte is forgiven."""

    moods = {**MOODS, "corrupt": (MOODS["corrupt"][0], 12)}
    make_blob = ChunkedBlob

    def prepare(self):
        with_numbers(self.mirror, *((blob.digest, blob.data) for blob in self.blobs))

    def is_strict(self, blob):
        """What breaks off in the middle of a chunk, and is wanted by nobody then, is given back."""
        return self.mood == "clean" and super().is_strict(blob)


def test_random_schedules_with_numbers(tmp_path):
    """As test_property.py has it: ranges, joins, leaves, falsified chunks, failures of every kind, restarts."""
    run_rounds(tmp_path, 16 if SLOW == 1 else 4, 1000, ChunkedSchedule)


@pytest.mark.soak
def test_thousands_of_random_schedules_with_numbers(tmp_path):
    run_rounds(tmp_path, 300, random.SystemRandom().randrange(1 << 32), ChunkedSchedule)
