"""The numbers of files, put into the index of a mirror that does not run; and bytes that are not what they say."""

import subprocess

from .entrepot import BINARY
from .util import MiB

CHUNK = 4 * MiB


def put_numbers(mirror, digest, data):
    """Notes the numbers of `data` under `digest`."""
    file = mirror.directory / "numbers-of"
    file.write_bytes(data)
    done = subprocess.run([BINARY.parent / "put_numbers", mirror.cache, digest, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file.unlink()


def with_numbers(mirror, *blobs):
    """Stops the mirror, notes the numbers of each of (digest, data), starts it again."""
    mirror.stop()
    for digest, data in blobs:
        put_numbers(mirror, digest, data)
    return mirror.start()


def falsified(data, *places):
    wrong = bytearray(data)
    for place in places:
        wrong[place] ^= 0x01
    return bytes(wrong)
