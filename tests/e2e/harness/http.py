"""A raw HTTP/1.1 client: one socket, read as slowly as the test likes, honest about how a body ends."""

import hashlib
import json
import socket

from .util import MiB, SLOW


class Fields:
    """Header fields in order, by name in any case."""

    def __init__(self, lines=()):
        self.all = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def get(self, name, default=None):
        return next((value for key, value in self.all if key == name.lower()), default)

    def list(self, name):
        return [value for key, value in self.all if key == name.lower()]

    def __getitem__(self, name):
        value = self.get(name)
        assert value is not None, f"there is no {name} in {self.all}"
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def __repr__(self):
        return repr(self.all)


class Reply:
    """A head and, once read, its body. `end`: "complete", "fin" or "rst" (cut short)."""

    def __init__(self, head):
        start, *lines = head.decode("latin-1").split("\r\n")
        version, status, *reason = start.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), start
        self.status, self.reason, self.headers = int(status), "".join(reason), Fields(lines)
        self.body, self.received, self.hash, self.end = b"", 0, hashlib.sha256(), None

    @property
    def sha256(self):
        """The digest of what was read of the body."""
        return "sha256:" + self.hash.hexdigest()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.received} bytes {self.end} {self.body[:300]!r}>"


class Connection:
    def __init__(self, address, timeout=30, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout * SLOW)
        self.socket.connect(address)
        self.address, self.buffer, self.end, self.left, self.chunked = address, b"", None, 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=(), body=b""):
        self.method = method
        fields = list(headers.items() if hasattr(headers, "items") else headers)
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", "%s:%d" % self.address))
        if body:
            fields.append(("Content-Length", str(len(body))))
        self.send(
            (f"{method} {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n").encode("latin-1")
            + body
        )

    def receive(self, size=65536):
        """Some bytes, or b"" at the end, of which `self.end` tells the kind."""
        if self.end:
            return b""
        try:
            data = self.socket.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            self.end = "rst"
            return b""
        if not data:
            self.end = "fin"
        return data

    def line(self, mark=b"\r\n"):
        while mark not in self.buffer:
            data = self.receive()
            if not data:
                raise EOFError(f"{self.end} where {mark!r} was expected, after {self.buffer[:200]!r}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(mark)
        return line

    def head(self):
        """Reads a final answer's head, after which read() and drain() give the body."""
        self.reply = Reply(self.line(b"\r\n\r\n"))
        if 100 <= self.reply.status < 200:
            return self.head()
        length = self.reply.headers.get("content-length")
        self.chunked = "chunked" in self.reply.headers.get("transfer-encoding", "")
        if getattr(self, "method", "GET") == "HEAD" or self.reply.status in (204, 304):
            self.left, self.chunked = 0, False
        elif self.chunked:
            self.left = 0
        else:
            self.left = None if length is None else int(length)  # None: until the connection ends
        return self.reply

    def read(self, size):
        """Up to `size` bytes of the body, fewer only where it ends."""
        parts = []
        while size > 0:
            if self.chunked and self.left == 0:
                self.left = int(self.line(), 16)
                if self.left == 0:
                    self.line()
                    self.chunked, self.left = False, 0
            if self.left == 0:
                break
            want = min(size, MiB, self.left if self.left is not None else MiB)
            data = self.buffer[:want] or self.receive(want)
            self.buffer = self.buffer[len(data) :]
            if not data:
                break
            parts.append(data)
            size -= len(data)
            self.reply.hash.update(data)
            self.reply.received += len(data)
            if self.left is not None:
                self.left -= len(data)
                if self.chunked and self.left == 0:
                    self.line()
        return b"".join(parts)

    def drain(self, keep=False):
        """Reads the rest of the body: its hash, length and end into the reply, and the bytes if `keep`."""
        reply, parts = self.reply, []
        while data := self.read(MiB):
            if keep:
                parts.append(data)
        reply.body = b"".join(parts)
        reply.end = "complete" if self.left == 0 or (self.left is None and self.end == "fin") else self.end
        return reply

    def at_end(self):
        """True when the server has closed; bytes that come instead fail the test."""
        data = self.buffer or self.receive()
        assert not data, f"more bytes where the end was expected: {data[:200]!r}"
        return True


def fetch(address, target, method="GET", headers=(), body=b"", keep=True, timeout=30):
    """One request on its own connection, read to its end."""
    with Connection(address, timeout) as connection:
        connection.request(method, target, headers, body)
        connection.head()
        return connection.drain(keep)


def send_raw(address, data, timeout=30):
    """Everything that comes back for these bytes until the server closes."""
    with Connection(address, timeout) as connection:
        connection.send(data)
        parts = []
        while data := connection.receive():
            parts.append(data)
        return b"".join(parts)
