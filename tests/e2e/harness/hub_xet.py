"""The scripted hub's Xet storage, as much of it as the real client reads: where a hub offers Xet, the client
goes there and not to the signed URLs. (The hashes are not Xet's own, and nothing is packed or shared.)"""

import hashlib
import json
import re
import struct

from .content import Content
from .delivery import deliver
from .upstream import Server

CHUNK, HEAD, CHUNKS = 64 * 1024, 8, 256  # bytes of a chunk and of its head; chunks of a xorb
XORB = CHUNK * CHUNKS
TOKEN = "xet-token"  # the storage's own, which the hub gives out


class Xorb(Content):
    """A stretch of a file as the storage serves it: each chunk behind a head that tells its length."""

    def __init__(self, content, number):
        self.content, self.first = content, number * XORB
        self.length = min(XORB, content.size - self.first)
        self.chunks = -(-self.length // CHUNK)
        self.size = self.length + self.chunks * HEAD

    def read(self, start, stop):
        step = CHUNK + HEAD
        first, last = start // step, -(-stop // step)
        whole = b"".join(self._chunk(number) for number in range(first, last))
        return whole[start - first * step : stop - first * step]

    def _chunk(self, number):
        begin = self.first + number * CHUNK
        data = bytes(self.content.read(begin, min(begin + CHUNK, self.first + self.length)))
        length = struct.pack("<I", len(data))[:3]
        return b"\0" + length + b"\0" + length + data  # version, length packed, how it is packed, length


class Storage(Server):
    """Tells of what a file is made, to whoever has its token, and serves that."""

    def __init__(self, host):
        self.files, self.xorbs = {}, {}
        super().__init__(host)

    def add(self, file):
        self.files[file.xet_hash] = file

    def serve(self, exchange, **script):
        folder, _, name = exchange.request.path.rpartition("/")
        if folder == "/xorbs" and name in self.xorbs:
            return deliver(exchange, self.xorbs[name], [("Content-Type", "application/octet-stream")], **script)
        if folder != "/v1/reconstructions" or name not in self.files:
            return exchange.answer(404, b"{}")
        if exchange.request.headers.get("authorization") != f"Bearer {TOKEN}":
            return exchange.answer(401, b"{}")
        return self._reconstruction(exchange, self.files[name])

    def _reconstruction(self, exchange, file):
        """The whole xorbs that hold the range that is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", exchange.request.headers.get("range", f"bytes=0-{file.size - 1}"))
        start, stop = int(wanted[1]), min(int(wanted[2]) + 1, file.size)
        if start >= stop:
            return exchange.answer(416, b"{}")
        terms, places = [], {}
        for number in range(start // XORB, -(-stop // XORB)):
            xorb, name = Xorb(file.content, number), hashlib.sha256(f"{file.xet_hash} {number}".encode()).hexdigest()
            self.xorbs[name], span = xorb, {"start": 0, "end": xorb.chunks}
            terms.append({"hash": name, "unpacked_length": xorb.length, "range": span})
            url_range = {"start": 0, "end": xorb.size - 1}
            places[name] = [{"range": span, "url": f"{self.url}/xorbs/{name}", "url_range": url_range}]
        answer = {"offset_into_first_range": start % XORB, "terms": terms, "fetch_info": places}
        return exchange.answer(200, json.dumps(answer).encode(), [("Content-Type", "application/json")])
