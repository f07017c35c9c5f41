"""Contents that a server serves and a test compares: bytes in memory, and streams made on the fly."""

import functools
import hashlib
import random
import struct

from .util import ROOT, MiB

CELL, MARK = 64 * 1024, struct.Struct(">QQ")
CACHE = ROOT / "build-content"  # digests of made streams


class Content:
    """Some bytes of known `size`; subclasses have read(start, stop)."""

    def pieces(self, start=0, stop=None):
        """What lies in [start, stop), a MiB at a time."""
        stop = self.size if stop is None else stop
        for at in range(start, stop, MiB):
            yield self.read(at, min(at + MiB, stop))

    def _hash(self, hasher):
        for piece in self.pieces():
            hasher.update(piece)
        return hasher.hexdigest()

    @functools.cached_property
    def sha256(self):
        """In hex, without "sha256:"."""
        return self._hash(hashlib.sha256())

    @functools.cached_property
    def git_oid(self):
        """The name that git gives a file of these bytes."""
        return self._hash(hashlib.sha1(b"blob %d\0" % self.size))


class Plain(Content):
    def __init__(self, data):
        self.data, self.size = memoryview(data), len(data)

    def read(self, start, stop):
        return self.data[start:stop]


class Made(Content):
    """A stream of any size, the same for the same seed, that is never in memory as a whole.

    Each cell of 64 KiB is its own number and the seed's, 16 bytes, and then a piece of one random block
    from a place that differs from cell to cell. So no two cells are the same, in no stream: bytes that
    are shifted, swapped or repeated show. It takes a copy of memory, which is faster than any cipher,
    and no package. The digest is kept on disk: twenty gigabytes take a quarter of a minute."""

    def __init__(self, size, seed=0):
        self.size, self.seed = size, seed

    @functools.cached_property
    def sha256(self):
        note = CACHE / f"made-1-{self.size}-{self.seed}"
        if not note.exists():
            CACHE.mkdir(exist_ok=True)
            ours = note.with_suffix(f".{random.SystemRandom().randrange(1 << 64)}")  # another worker may do the same
            ours.write_text(self._hash(hashlib.sha256()))
            ours.rename(note)
        return note.read_text()

    def read(self, start, stop):
        first = start // CELL
        data = bytearray((-(-stop // CELL) - first) * CELL)
        for at in range(0, len(data), CELL):
            number, block = first + at // CELL, _block()
            place = (number * 2654435761 + self.seed * 40503) % (len(block) - CELL)
            data[at : at + MARK.size] = MARK.pack(self.seed, number)
            data[at + MARK.size : at + CELL] = block[place + MARK.size : place + CELL]
        return memoryview(data)[start - first * CELL : stop - first * CELL]


@functools.cache
def _block():
    return memoryview(random.Random("made").randbytes(8 * MiB))


def as_content(data):
    return data if isinstance(data, Content) else Plain(data)
