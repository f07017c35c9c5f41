"""Upstreams of our own: a server that records what it is asked, a registry with a script of faults,
and a relay that counts what passes between Entrepot and a real registry."""

import http.client
import re
import socket
import struct
import threading
import time
import urllib.parse

from .delivery import deliver
from .http import Fields
from .util import SLOW, digest_of, free_port

SLICE = 256 * 1024


class Request:
    def __init__(self, head):
        start, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = start.split(" ", 2)
        self.headers = Fields(lines)
        self.path, _, query = self.target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.body, self.status, self.body_sent = b"", None, 0
        self.time = time.monotonic()

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers.get('range', '')} -> {self.status}, {self.body_sent} bytes>"


class Exchange:
    """One request being answered on its socket."""

    def __init__(self, sock, request):
        self.socket, self.request, self.close = sock, request, False

    def head(self, status, fields=()):
        self.request.status = status
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields if value is not None)
        self.socket.sendall(
            f"HTTP/1.1 {status} {http.client.responses.get(status, 'Odd')}\r\n{lines}\r\n".encode("latin-1")
        )

    def send(self, data, chunked=False):
        view = memoryview(data)
        for start in range(0, len(view), SLICE):
            piece = view[start : start + SLICE]
            # Counted first: who has received a byte finds it counted. A piece that breaks counts whole.
            self.request.body_sent += len(piece)
            if chunked:
                self.socket.sendall(b"%x\r\n" % len(piece))
            self.socket.sendall(piece)
            if chunked:
                self.socket.sendall(b"\r\n")

    def answer(self, status, body=b"", fields=()):
        self.head(status, [*fields, ("Content-Length", len(body))])
        if self.request.method != "HEAD":
            self.send(body)

    def cut(self, end):
        """Ends the connection: "fin", or "rst"."""
        if end == "rst":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close = True


class Rule:
    def __init__(self, method, pattern, times, script):
        self.method, self.pattern, self.left, self.script, self.hits = method, re.compile(pattern), times, script, []

    def take(self, request):
        if self.left == 0 or self.method not in ("*", request.method) or not self.pattern.search(request.target):
            return False
        self.left = None if self.left is None else self.left - 1
        self.hits.append(request)
        return True


class Server:
    """Threaded HTTP/1.1 server that records requests. Subclasses answer in `serve`, after the rules.

    Rules, made with on(), are tried in the order they were made; the first that fits answers:
      status=, headers=, body=   this answer
      raw=                       these bytes, then FIN
      silent=True                nothing, ever
      call=f                     whatever f(exchange) does
      head_gate=                 holds the answer (of the rule, else the ordinary one) until opened
    and what the subclass's `serve` understands.
    """

    def __init__(self, host="127.0.0.1"):
        self.host, self.port = host, free_port(host)
        self.requests, self.rules, self.lock = [], [], threading.Lock()
        self.listener, self.sockets, self.silent = None, set(), False
        self.connections = 0
        self.start()

    # -- life
    @property
    def address(self):
        return self.host, self.port

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(self.address)
        self.listener.listen(1024)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """From now on connections are refused, and the open ones are gone."""
        self._shut(self.listener)
        self.listener.close()
        with self.lock:
            sockets = list(self.sockets)
        for sock in sockets:
            self._shut(sock)

    def black_hole(self, silent=True):
        """Connections are accepted, requests are read and recorded, nothing is answered."""
        self.silent = silent

    def _shut(self, sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return  # stopped
            with self.lock:
                self.connections += 1
                self.sockets.add(sock)
            threading.Thread(target=self._connection, args=(sock,), daemon=True).start()

    def _connection(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(65536)
                    if not data:
                        return
                    buffer += data
                    if not buffer[:1].isalpha():  # a TLS ClientHello: clients try https first
                        return sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                request = Request(head)
                while len(buffer) < int(request.headers.get("content-length", 0)):
                    buffer += sock.recv(65536)
                length = int(request.headers.get("content-length", 0))
                request.body, buffer = buffer[:length], buffer[length:]
                exchange = Exchange(sock, request)
                with self.lock:
                    self.requests.append(request)
                    rule = next((rule for rule in self.rules if rule.take(request)), None)
                self._answer(exchange, dict(rule.script) if rule else {})
                if exchange.close:
                    return
        except OSError:
            pass  # the peer left, or stop() was called
        finally:
            with self.lock:
                self.sockets.discard(sock)
            sock.close()

    def _answer(self, exchange, script):
        if gate := script.pop("head_gate", None):
            gate.hold()
        if self.silent or script.get("silent"):
            exchange.close = True
            exchange.socket.recv(1)  # until the peer gives up
        elif "raw" in script:
            exchange.socket.sendall(script["raw"])
            exchange.cut("fin")
        elif "call" in script:
            script["call"](exchange)
        elif "status" in script:
            exchange.answer(script["status"], script.get("body", b""), script.get("headers", ()))
        else:
            self.serve(exchange, **script)

    # -- what tests say and ask
    def on(self, method, pattern, times=None, **script):
        """A rule for requests whose target the pattern is found in; `times` it holds (None: always)."""
        rule = Rule(method, pattern, times, script)
        with self.lock:
            self.rules.append(rule)
        return rule

    def healthy(self):
        """Forgets every rule."""
        with self.lock:
            self.rules.clear()

    def seen(self, method="*", pattern=""):
        """The requests so far that fit."""
        with self.lock:
            return [r for r in self.requests if method in ("*", r.method) and re.search(pattern, r.target)]

    def body_bytes(self, pattern=""):
        return sum(request.body_sent for request in self.seen("*", pattern))


class Upstream(Server):
    """A registry in memory, which may live under a path prefix and behind a challenge.

    Rules may also carry, for an answer with content, what deliver() understands: faults, gates, a pace.
    """

    def __init__(self, host="127.0.0.1", prefix=""):
        self.prefix, self.content, self.guard = prefix, {}, None
        super().__init__(host)

    @property
    def url(self):
        return super().url + self.prefix

    def add(self, image, repository, *tags):
        """Publishes an image, its children and its blobs; returns it."""
        for child in image.children:
            self.add(child, repository)
        for digest, data in image.blobs.items():
            self.add_blob(repository, data, digest)
        for reference in (image.digest, *tags):
            self.content[f"/v2/{repository}/manifests/{reference}"] = (image.data, image.media_type, image.digest)
        return image

    def add_blob(self, repository, data, digest=None):
        digest = digest or digest_of(data)
        self.content[f"/v2/{repository}/blobs/{digest}"] = (data, "application/octet-stream", digest)
        return digest

    def remove(self, repository, reference):
        del self.content[f"/v2/{repository}/manifests/{reference}"]

    def serve(self, exchange, **script):
        request = exchange.request
        if self.guard and not self.guard(exchange):
            return None
        if request.path == self.prefix + "/v2/":
            return exchange.answer(200, b"{}", [("Content-Type", "application/json")])
        found = (
            self.content.get(request.path[len(self.prefix) :]) if request.path.startswith(self.prefix + "/") else None
        )
        if not found:
            code = "BLOB_UNKNOWN" if "/blobs/" in request.path else "MANIFEST_UNKNOWN"
            return exchange.answer(
                404,
                b'{"errors":[{"code":"%s","message":"unknown"}]}' % code.encode(),
                [("Content-Type", "application/json")],
            )
        data, media_type, digest = found
        return deliver(exchange, data, [("Content-Type", media_type), ("Docker-Content-Digest", digest)], **script)


class CountingProxy(Server):
    """Relays to a registry, counting; `rewrite` may change the target on its way. Rules may carry
    hold=(n, gate): byte n of the answer's body, counted from its first, waits for the gate."""

    def __init__(self, backend, rewrite=lambda target: target):
        self.backend, self.rewrite = backend, rewrite
        super().__init__()

    def serve(self, exchange, hold=None):
        request = exchange.request
        backend = http.client.HTTPConnection(*self.backend, timeout=60 * SLOW)
        backend.putrequest(request.method, self.rewrite(request.target), skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.all:
            if name != "connection":
                backend.putheader(name, value)
        backend.endheaders(request.body or None)
        answer = backend.getresponse()
        exchange.head(answer.status, [field for field in answer.getheaders() if field[0].lower() != "connection"])
        chunked = bool(answer.headers.get("Transfer-Encoding")) and request.method != "HEAD"
        first, gate = hold or (0, None)
        while data := answer.read(min(first, SLICE) or SLICE):
            exchange.send(data, chunked)
            first = max(0, first - len(data))
            if gate and first == 0:
                gate.hold()
        if chunked:
            exchange.socket.sendall(b"0\r\n\r\n")
        backend.close()
