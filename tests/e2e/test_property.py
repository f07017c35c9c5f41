"""Random schedules against a byte map: whatever clients and upstreams do, every byte is right, comes once, and nobody
is forgotten.

A round is one mirror with settings of its own and a few schedules; all that is chosen in it comes from its seed, which
a failure tells. ENTREPOT_SEED=<seed> runs that round alone; threads and sockets keep their own time, so a failure may
take some repetitions (ENTREPOT_ROUNDS=<n> times the same seed). ENTREPOT_MOOD keeps to one kind of schedule.
"""

import os
import random
import re
import socket
import struct
import threading
from pathlib import Path

import pytest

from harness.chaos import GRID, MOODS, SEGMENT, SMALL, Blob, Chaos
from harness.entrepot import Entrepot
from harness.images import blob_image
from harness.util import SLOW, Gate, MiB, in_threads, wait_until

SCHEDULES = 10  # a round
BOUND = 12  # seconds after which a client counts as forgotten


class Client(threading.Thread):
    """One request, checked byte by byte as it comes. `outcome`: "complete", "left", "cut", "lost", a status…"""

    def __init__(self, mirror, blob, dice, repository, allow_leaving):
        super().__init__(daemon=True)
        self.mirror, self.blob, self.repository = mirror, blob, repository
        self.spec, self.ranges = self.choose(dice)
        length = sum(stop - start for start, stop in self.ranges or [(0, blob.size)])
        self.leave_at = dice.randint(0, length) if allow_leaving and dice.random() < 0.3 else None
        self.leave_by = dice.choice(["fin", "rst"])
        self.slow = dice.random() < 0.15
        self.pause_at = dice.randint(0, length) if dice.random() < 0.15 else None
        self.step = dice.choice([1000, 65536, MiB]) if length < MiB else MiB
        self.pause = Gate()
        self.outcome, self.status, self.place, self.failure, self.answered = None, None, 0, None, threading.Event()
        self.note_wanted()

    def choose(self, dice):
        """A Range header's value, or None, and what it comes to: [(start, stop)]."""
        size = self.blob.size
        kind = dice.choice(["plain", "open", "suffix", "outside"] + ["plain", "multi", "multi"] + ["closed"] * 3)
        if kind == "plain":
            return None, None
        if kind == "outside":
            start = size + dice.choice([0, 1, GRID, 10 * GRID])
            return (f"{start}-{start + 5}", []) if dice.random() < 0.4 else self.closed(dice)
        if kind == "open":
            start = dice.choice([0, dice.randrange(size), dice.randrange(size)])
            return f"{start}-", [(start, size)]
        if kind == "suffix":
            length = dice.choice([1, 50, dice.randint(1, size), size + 10])
            return f"-{length}", [(max(0, size - length), size)]
        if kind == "closed":
            return self.closed(dice)
        parts = [self.closed(dice, size // 4) for _ in range(dice.choice([2, 3, 5, 8]))]
        if dice.random() < 0.2:
            parts.append(("-40", [(size - 40, size)]))
        dice.shuffle(parts)
        while sum(b - a for _, [(a, b)] in parts) > 2 * size:
            parts.pop()
        return ",".join(spec for spec, _ in parts), [part for _, [part] in parts]

    def closed(self, dice, most=None):
        size = self.blob.size
        start = dice.choice([0, dice.randrange(size), dice.randrange(size), dice.randrange(size) // GRID * GRID])
        length = dice.choice([1, 2, dice.randint(1, 1000), dice.randint(1, 40_000), dice.randint(1, size), GRID])
        length = max(1, min(length, most or size))
        stop = start + length if dice.random() < 0.1 else min(start + length, size)
        return f"{start}-{stop - 1}", [(start, min(stop, size))]

    def note_wanted(self):
        """All that the upstream is to send for it, and what it may send: a stranger's wish counts until he is told."""
        blob = self.blob
        cells = set()
        for start, stop in [(0, blob.size)] if self.ranges is None else self.ranges:
            cells |= blob.cells(start, stop)
        if self.spec and self.spec.endswith("-") and "," not in self.spec:
            cells |= blob.cells(self.ranges[0][0], blob.size)
        blob.may |= cells
        if self.ranges == []:
            blob.may |= blob.cells(blob.size - 1, blob.size)  # the cell of it, while nobody knows the size
        elif blob.size <= SMALL:
            blob.may |= blob.cells(0, blob.size)
        if self.leave_at is None and self.repository != "library/none":
            blob.must |= cells

    def __repr__(self):
        leaves = "" if self.leave_at is None else f", leaves at {self.leave_at} by {self.leave_by}"
        slow = ", slow" * self.slow + (f", pauses at {self.pause_at}" if self.pause_at is not None else "")
        what = f"{self.blob.digest[7:15]} {self.repository} {(self.spec or 'all')[:300]}"
        return f"<{what}{leaves}{slow}: {self.status} {self.outcome} at {self.place}>"

    def run(self):
        try:
            self.outcome = self.pull()
        except TimeoutError:
            self.outcome = "forgotten"
        except (OSError, EOFError):
            self.outcome = "lost"
        except AssertionError as failure:
            self.outcome, self.failure = "failed", failure
        finally:
            self.answered.set()

    def pull(self):
        blob = self.blob
        with self.mirror.connect(timeout=BOUND, receive_buffer=4096 if self.slow else None) as connection:
            target = f"/v2/{self.repository}/blobs/{blob.digest}"
            connection.request("GET", target, {"Range": f"bytes={self.spec}"} if self.spec else {})
            reply = connection.head()
            self.status = reply.status
            self.answered.set()
            if reply.status not in (200, 206):
                return str(reply.status) if connection.drain().end == "complete" else "cut"
            assert self.repository != "library/none", f"given away: {reply}"
            expected = self.expected(reply)
            while True:
                if self.pause_at is not None and self.place >= self.pause_at:
                    self.pause.hold()
                if self.leave_at is not None and self.place >= self.leave_at:
                    self.leave(connection)
                    return "left"
                ends = [end - self.place for end in (self.pause_at, self.leave_at) if end is not None]
                data = connection.read(min([self.step, *(end for end in ends if end > 0)]))
                if not data:
                    break
                self.compare(expected, data)
                self.place += len(data)
            if connection.left != 0:
                return "cut"
            if expected is not None:
                assert self.place == len(expected), f"{self.place} bytes of {len(expected)}: {reply}"
            if self.spec is None:
                assert reply.sha256 == blob.digest, f"a wrong blob was brought to its end: {reply}"
            return "complete"

    def leave(self, connection):
        if self.leave_by == "rst":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def expected(self, reply):
        """The body of that head; None: it was led astray by an upstream that lied about the size."""
        blob, data = self.blob, self.blob.data
        length, size = int(reply.headers["content-length"]), blob.size
        if self.spec is None:
            assert reply.status == 200 and "content-range" not in reply.headers, reply
            if blob.lied and length != size:
                return None
            assert length == size, reply
            return data
        assert reply.status == 206, reply
        if "," not in self.spec:
            start, stop = self.ranges[0] if self.ranges else (None, None)
            found = reply.headers["content-range"]
            if blob.lied and not found.endswith(f"/{size}"):
                return None
            assert self.ranges, reply
            assert found == f"bytes {start}-{stop - 1}/{size}" and length == stop - start, (reply, start, stop)
            return data[start:stop]
        kind = reply.headers["content-type"]
        boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})", kind)
        assert boundary, reply
        body = b""
        for number, (start, stop) in enumerate(self.ranges):
            body += b"\r\n" if number else b""
            body += f"--{boundary[1]}\r\nContent-Type: application/octet-stream\r\n".encode()
            body += f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n\r\n".encode() + data[start:stop]
        body += f"\r\n--{boundary[1]}--\r\n".encode()
        if blob.lied and length != len(body):
            return None
        assert length == len(body), (reply, len(body))
        return None if blob.lied else body

    def compare(self, expected, data):
        """Right, or flipped where the upstream flipped it."""
        if expected is None:
            return
        right = expected[self.place : self.place + len(data)]
        if data == right:
            return
        assert len(data) <= len(right), f"{len(data) - len(right)} bytes too many"
        odd = [n for n, (a, b) in enumerate(zip(data, right)) if a != b]
        flips = self.blob.flipped and not self.blob.is_verified and all(data[n] ^ right[n] == 0xFF for n in odd) and len(odd) <= 64
        assert flips, f"{len(odd)} wrong bytes, the first at {self.place + odd[0]} of the body"


class Schedule:
    """One or several blobs, their clients, and what happens to them."""

    moods, make_blob = MOODS, Blob

    def __init__(self, seed, mirror, registry, cdn):
        dice = self.dice = random.Random(seed)
        self.mirror, self.registry, self.cdn, self.steps = mirror, registry, cdn, []
        self.mood = dice.choices(list(self.moods), [odds for _, odds in self.moods.values()])[0]
        self.mood = os.environ.get("ENTREPOT_MOOD") or self.mood
        self.leaving = dice.random() < 0.5
        self.blobs = [self.make_blob(dice, self.mood) for _ in range(dice.choice([1, 1, 2]))]
        self.killed = self.stopped = self.broken_off = False
        self.clients = []
        for blob in self.blobs:
            for repository in ("library/x", "library/y"):
                registry.add_blob(repository, blob.data, blob.digest)
            for number in (1, 2):
                cdn.content[f"/signed/{number}/{blob.digest}"] = (blob.data, "application/octet-stream", blob.digest)
            registry.blobs[blob.digest] = cdn.blobs[blob.digest] = blob

    def __repr__(self):
        lines = [f"mood {self.mood}, {self.mirror.settings}, steps {self.steps}"]
        for blob in self.blobs:
            lines.append(f"blob {blob.digest} of {blob.size}, known {blob.known}, faults {blob.faults}")
            lines += [f"  {client}" for client in self.clients if client.blob is blob]
            for server in (self.registry, self.cdn):
                mine = [(request, kind) for whose, request, kind in list(server.served) if whose is blob]
                lines += [f"  {server.host} {request} {kind}" for request, kind in mine]
        return "\n".join(lines)

    # -- what happens
    def prepare(self):
        """Before the first request."""

    def run(self):
        dice = self.dice
        self.prepare()
        for blob in self.blobs:
            if blob.known:
                image = blob_image(blob.data)
                for repository in ("library/x", "library/y"):
                    self.registry.content[f"/v2/{repository}/manifests/{image.digest}"] = (
                        image.data,
                        image.media_type,
                        image.digest,
                    )
                    reply = self.mirror.get(f"/v2/{repository}/manifests/{image.digest}")
                    assert reply.status == 200, reply
        for wave in range(dice.choice([1, 1, 2])):
            if wave:
                self.restart(dice.choice([None, "stop", "stop", "kill"]), is_quiet=True)
            self.wave(dice.randint(1, 8))
            self.end_of_wave()
        self.check_once()
        self.finish()

    @property
    def is_limited(self):
        return any(kind in ("429", "503-later") for blob in self.blobs for kind in blob.faults)

    def wave(self, count):
        dice = self.dice
        midway = dice.choice([None] * 5 + ["stop", "kill"])
        repositories = ["library/x"] * 9  # others hold it too, or do not
        repositories += ["library/y"] * dice.choice([0, 0, 3]) + ["library/none"] * dice.choice([0, 0, 2])
        clients = [
            Client(self.mirror, dice.choice(self.blobs), dice, dice.choice(repositories), self.leaving)
            for _ in range(count)
        ]
        moment = dice.randrange(count)
        for number, client in enumerate(clients):
            self.clients.append(client)
            client.start()
            what = dice.choice(["go on", "go on", "head", "end", "open", "upstream"])
            self.steps.append(what)
            if what == "head":
                wait_until(lambda: client.answered.is_set() or self.is_held(), "somebody is answered, or held")
            elif what == "end":
                wait_until(lambda: not client.is_alive() or self.is_held(), "somebody has ended, or is held")
            elif what == "upstream":
                before = len(self.registry.served) + len(self.cdn.served)
                wait_until(
                    lambda: len(self.registry.served) + len(self.cdn.served) > before
                    or client.answered.is_set()
                    or self.is_held(),
                    "the upstream was asked, or somebody is answered, or held",
                )
            elif what == "open":
                self.open()
            if midway and number == moment:
                self.restart(midway, is_quiet=False)

    def gates(self):
        return [gate for blob in self.blobs for gate in list(blob.gates)] + [client.pause for client in self.clients]

    def is_held(self):
        return any(gate._reached.is_set() and not gate._open.is_set() for gate in self.gates())

    def open(self):
        for gate in self.gates():
            gate.open()

    def end_of_wave(self):
        """Nobody is forgotten."""

        def all_gone():
            self.open()
            return not any(client.is_alive() for client in self.clients)

        try:
            wait_until(all_gone, "all clients have ended", timeout=2 * BOUND)
        finally:
            for client in self.clients:
                if client.failure:
                    raise client.failure
        for client in self.clients:
            self.check_outcome(client)
        self.wait_quiet()

    def wait_quiet(self):
        def quiet():
            self.open()
            return self.mirror.metric("entrepot_fills_running") == 0

        wait_until(quiet, "no fill is running")

    def restart(self, how, is_quiet):
        self.steps.append(f"{how} {'between' if is_quiet else 'midway'}")
        if how is None:
            return
        self.broken_off |= not is_quiet
        if how == "kill":
            self.killed = True
            self.mirror.kill()
        else:
            self.mirror.stop()
        self.mirror.start()

    # -- what is to hold
    @property
    def is_gentle(self):
        return self.mood in ("clean", "gentle") and not self.broken_off

    def check_outcome(self, client):
        outcome, blob = client.outcome, client.blob
        right = {"complete", "left"}
        if client.repository == "library/none":
            right = {"404"}
        elif client.ranges == []:
            right = {"416"}
        if not self.is_gentle:
            right |= {"cut", "502", "503"}
        if self.broken_off:
            right |= {"lost"}
        if self.mood == "limited":
            right |= {"429"}
        if "404" in blob.faults:
            right |= {"404"}
        if blob.lied:
            right |= {"416", "complete"}
        assert outcome in right, f"{client}: not one of {right}"

    def sent(self, blob):
        return self.registry.sent(blob) + self.cdn.sent(blob)

    def is_strict(self, blob):
        return self.is_gentle and not self.killed and blob.size <= SEGMENT

    def check_once(self):
        """What was asked for, widened to the grid, has crossed once."""
        for blob in self.blobs:
            if self.is_strict(blob):
                low, high, sent = blob.bytes_of(blob.must), blob.bytes_of(blob.may), self.sent(blob)
                if {"fin", "short"} & set(blob.faults):
                    low = 0  # who had his bytes before the rest of their cell came has left
                assert low <= sent <= high, f"{sent} bytes of {blob.digest} were sent, not {low} to {high}"

    def finish(self):
        """With an upstream that is well again, each blob comes whole, and is held."""
        for blob in self.blobs:
            blob.heal()
        for blob in self.blobs:
            tries = []

            def whole():
                reply = self.mirror.get(f"/v2/library/x/blobs/{blob.digest}", keep=False, timeout=BOUND)
                tries.append((reply.status, reply.received, reply.end))
                return reply.status == 200 and reply.end == "complete" and reply.sha256 == blob.digest

            if self.is_limited:
                wait_until(whole, "the limit is over, and the blob whole")
            else:
                most = 1 + 2 * bool(blob.flipped) + 2 * blob.lied  # what was wrong has to show first
                assert any(whole() for _ in range(most)), f"{blob.digest} does not come, tried {tries}"
            self.mirror.wait_held(blob.digest)
            sent = self.sent(blob)
            if self.is_strict(blob):
                assert sent == blob.size, f"{sent} bytes of {blob.digest} were sent, of {blob.size}"
            assert self.mirror.get(f"/v2/library/x/blobs/{blob.digest}", keep=False).sha256 == blob.digest
            assert self.sent(blob) == sent, f"{blob.digest} was held, and was fetched all the same"
        if self.is_limited:
            probe = self.registry.add_blob("library/x", self.dice.randbytes(100))
            wait_until(lambda: self.mirror.get(f"/v2/library/x/blobs/{probe}").status == 200, "the limit is over")
        self.wait_quiet()


def run_round(directory, seed, kind):
    """A mirror, and SCHEDULES of that kind on it."""
    dice = random.Random(seed)
    settings = {
        "range_grid": "4KiB",
        "checkpoint": "1MiB",
        "retry_delay": "1ms",
        "negative_ttl": "0s",
        "fill_tries": dice.randint(2, 6),
        "blob_connections": dice.randint(1, 8),
        "fetch_threads": dice.randint(1, 2),
        "drain_timeout": dice.choice(["0s", "100ms"]),
    }
    with Chaos("127.0.0.2") as cdn, Chaos("127.0.0.1", cdn) as registry:
        mirror = Entrepot(directory, {"docker.io": registry.url}, **settings)
        schedule = None
        try:
            mirror.start()
            for number in range(SCHEDULES):
                schedule = kind(f"{seed}/{number}", mirror, registry, cdn)
                schedule.run()
            mirror.stop()
        except BaseException as failure:
            (directory / "schedule").write_text(f"{failure!r}\n{schedule!r}\n")
            if mirror.process and mirror.process.poll() is None:
                mirror.kill()
            raise AssertionError(
                f"ENTREPOT_SEED={seed} (in {directory}): {failure}\n{schedule!r}\n{mirror.err.read_text()[-4000:]}"
            ) from failure
        finally:
            if schedule:
                for blob in schedule.blobs:
                    blob.heal()
            mirror.close()


def run_rounds(tmp_path, rounds, first, kind=Schedule):
    seed = os.environ.get("ENTREPOT_SEED")
    if seed:
        seeds = iter([int(seed)] * int(os.environ.get("ENTREPOT_ROUNDS", "1")))
    else:
        seeds = iter(range(first, first + int(os.environ.get("ENTREPOT_ROUNDS", rounds))))
    lock, names, failures = threading.Lock(), iter(range(1 << 30)), []

    def work(_):
        while len(failures) < int(os.environ.get("ENTREPOT_FAILURES", "1")):
            with lock:
                mine = next(seeds, None)
                directory = Path(tmp_path) / f"round-{next(names)}"
            if mine is None:
                return
            try:
                run_round(directory, mine, kind)
            except AssertionError as failure:
                failures.append(failure)

    in_threads(int(os.environ.get("ENTREPOT_WORKERS", "4")), work, timeout=3600)
    assert not failures, "\n\n".join(map(str, failures))


def test_hundreds_of_random_schedules(tmp_path):
    """Ranges, joins, leaves, upstream failures of every kind, restarts: every byte right, once, nobody forgotten."""
    run_rounds(tmp_path, 30 if SLOW == 1 else 8, 1)


@pytest.mark.soak
def test_thousands_of_random_schedules(tmp_path):
    """The same, longer, and others each time."""
    run_rounds(tmp_path, 500, random.SystemRandom().randrange(1 << 32))
