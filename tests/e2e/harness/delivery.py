"""How a server sends content: ranges as they should be, and whatever faults a rule asks for."""

import re
import threading

from .content import as_content


def deliver(exchange, content, fields, **script):
    """Answers with `content`, bytes or a Content, under these head fields. A rule's script may carry
    (offsets count from the start of the content):
      hold=(n, gate)   stop before byte n until the gate opens     hold may be a list of such pairs
      cut=n, end=      end the connection before byte n, by "fin" (else "rst")
      corrupt=n        flip the bits of byte n
      ignore_range     answer 200 to a Range
      content_range=   say this in Content-Range
      chunked          no Content-Length
      length=n         say this Content-Length
      short=n          a 206 ends before byte n, and says so
      drop=(names)     leave these fields out
      headers=         add these fields; content_type= replaces it
      instead=         this body in place of the content
      pace=n           at most so many bytes a second
    """
    content = as_content(script.pop("instead", content))
    _Delivery(exchange, content, **script).run(fields)


class _Delivery:
    def __init__(
        self,
        exchange,
        content,
        hold=(),
        cut=None,
        end="fin",
        corrupt=None,
        ignore_range=False,
        content_range=None,
        chunked=False,
        length=None,
        short=None,
        drop=(),
        headers=(),
        content_type=None,
        pace=None,
    ):
        self.exchange, self.content, self.ignore_range, self.short = exchange, content, ignore_range, short
        self.holds, self.cut, self.end = [hold] if isinstance(hold, tuple) and hold else hold, cut, end
        self.corrupt, self.pace, self.chunked = corrupt, pace, chunked
        self.content_range, self.length, self.drop = content_range, length, drop
        self.headers, self.content_type = headers, content_type

    def run(self, fields):
        if not self._choose_range():
            return self.exchange.answer(416, fields=[("Content-Range", f"bytes */{self.content.size}")])
        self.exchange.head(self.status, self._fields(fields))
        if self.exchange.request.method != "HEAD":
            self._body()
        return None

    def _choose_range(self):
        """What is asked for, into start, stop and status; False when there is no such thing."""
        size = self.content.size
        self.start, self.stop, self.status = 0, size, 200
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.exchange.request.headers.get("range", ""))
        if self.ignore_range or not wanted or wanted[1] == wanted[2] == "":
            return True
        self.status = 206
        if wanted[1] == "":
            self.start = max(0, size - int(wanted[2]))
        else:
            self.start = int(wanted[1])
            self.stop = min(size, int(wanted[2]) + 1) if wanted[2] else size
        self.stop = self.stop if self.short is None else min(self.stop, self.short)
        return self.start < size

    def _fields(self, fields):
        if self.content_type:
            fields = [field for field in fields if field[0] != "Content-Type"]
            fields.append(("Content-Type", self.content_type))
        fields = [*fields, *self.headers]
        if self.status == 206:
            whole = f"bytes {self.start}-{self.stop - 1}/{self.content.size}"
            fields.append(("Content-Range", self.content_range or whole))
        if self.chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        else:
            fields.append(("Content-Length", self.stop - self.start if self.length is None else self.length))
        return [field for field in fields if field[0].lower() not in self.drop]

    def _body(self):
        last = self.stop if self.cut is None else min(self.stop, self.cut)
        position = self.start
        for at, gate in [*((n, gate) for n, gate in self.holds if n >= self.start), (last, None)]:
            if min(at, last) > position:
                self._send(position, min(at, last))
                position = min(at, last)
            if gate:
                gate.hold()
        if last < self.stop:
            self.exchange.cut(self.end)
        elif self.chunked:
            self.exchange.socket.sendall(b"0\r\n\r\n")

    def _send(self, start, stop):
        for piece in self.content.pieces(start, stop):
            if self.corrupt is not None and start <= self.corrupt < start + len(piece):
                piece = bytearray(piece)
                piece[self.corrupt - start] ^= 0xFF
            if self.pace:
                self._send_slowly(memoryview(piece))
            else:
                self.exchange.send(piece, self.chunked)
            start += len(piece)

    def _send_slowly(self, piece):
        step, pause = max(1, self.pace // 20), threading.Event()
        for at in range(0, len(piece), step):
            part = piece[at : at + step]
            pause.wait(len(part) / self.pace)
            self.exchange.send(part, self.chunked)
