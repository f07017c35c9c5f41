"""The numbers of files, put into the index of a mirror that does not run; and bytes that are not what they say."""

import subprocess

from .entrepot import BINARY
from .util import MiB

CHUNK = 4 * MiB
EDGE = 64 * 1024


def cells(size):
    """(start, end) of what is verified as one: the chunks, and of a large file the ends of it apart (base/numbers.h)."""
    borders = {*range(0, size, CHUNK), size}
    if size >= 2 * CHUNK:
        borders |= {EDGE, (size - EDGE) // 4096 * 4096}
    ordered = sorted(borders)
    return list(zip(ordered, ordered[1:]))


def put_numbers(mirror, digest, data, *words):
    """Notes the numbers of `data` under `digest`; "claimed": as what somebody has told."""
    file = mirror.directory / "numbers-of"
    file.write_bytes(data)
    done = subprocess.run([BINARY.parent / "put_numbers", mirror.cache, digest, file, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file.unlink()


def with_numbers(mirror, *blobs):
    """Stops the mirror, notes the numbers of each of (digest, data) or (digest, data, "claimed"), starts it again."""
    mirror.stop()
    for blob in blobs:
        put_numbers(mirror, *blob)
    return mirror.start()


def falsified(data, *places):
    wrong = bytearray(data)
    for place in places:
        wrong[place] ^= 0x01
    return bytes(wrong)
