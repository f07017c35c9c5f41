"""Waiting, ports and digests."""

import hashlib
import itertools
import os
import random
import socket
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SLOW = float(os.environ.get("ENTREPOT_SLOW", "1"))  # stretches every deadline: sanitizers, busy machines
MiB = 1 << 20


def wait_until(predicate, what, timeout=15):
    """Polls until the predicate holds and returns its value."""
    pause, end = threading.Event(), time.monotonic() + timeout * SLOW
    while not (value := predicate()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        pause.wait(0.005)
    return value


def let_pass(seconds):
    """Waits until so much time has gone by on the clock: for settings that are durations."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, f"{seconds} s had passed", timeout=seconds + 5)


# Below the ephemeral range, so that no outgoing connection takes a port between choice and use; a soak goes round. Each
# worker of a run has a lane of its own.
_LANE, _LANES = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 4
_ports = itertools.count(random.Random().randrange(22000 // _LANES))


def free_port(host="127.0.0.1"):
    for number in _ports:
        port = 10000 + (number * _LANES + _LANE) % 22000
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def noise(size, seed=0):
    """Incompressible bytes, the same for the same seed; every MiB differs from every other."""
    block = random.Random(seed).randbytes(min(size, MiB) or 1)
    data = bytearray()
    for number in range(0, size, MiB):
        data += number.to_bytes(8, "big") + block[8:]
    return bytes(data[:size])


def in_threads(count, work, timeout=120):
    """Runs work(0) … work(count-1) at once and returns their results; the first failure is raised."""
    return Threads(count, work).join(timeout)


class Threads:
    def __init__(self, count, work):
        self.results, self.errors = [None] * count, []
        self.threads = [threading.Thread(target=self._run, args=(work, i), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, work, i):
        try:
            self.results[i] = work(i)
        except BaseException as error:  # handed to the test's own thread by join()
            self.errors.append(error)

    def join(self, timeout=120):
        end = time.monotonic() + timeout * SLOW
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
            assert not thread.is_alive(), "a client is still waiting"
        if self.errors:
            raise self.errors[0]
        return self.results


class Gate:
    """A barrier: one side holds until the other opens it."""

    def __init__(self):
        self._reached, self._open = threading.Event(), threading.Event()

    def hold(self):
        self._reached.set()
        self._open.wait(120 * SLOW)

    def wait_reached(self):
        assert self._reached.wait(20 * SLOW), "nobody came to the gate"

    def open(self):
        self._open.set()
