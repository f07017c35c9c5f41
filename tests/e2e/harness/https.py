"""An upstream behind TLS."""

import select
import socket
import ssl
import struct
import subprocess
import threading

from .upstream import Upstream


class Https(Upstream):
    """Over TLS. When `idle` is set it closes connections that are, and says so first, as TLS wants it; the next
    `resets` handshakes are reset."""

    def __init__(self, directory):
        self.certificate, key = directory / "upstream.crt", directory / "upstream.key"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tests", "-days", "2"]
        files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate]
        subprocess.run([*command, *files], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.idle, self.open = threading.Event(), 0
        self.resets = 0
        super().__init__()

    @property
    def config(self):
        return f"upstreams: {{docker.io: {{url: '{self.url.replace('http', 'https')}', ca_file: {self.certificate}}}}}\n"

    def _connection(self, sock):
        with self.lock:
            self.sockets.discard(sock)
            is_reset, self.resets = self.resets > 0, max(0, self.resets - 1)
            self.open += not is_reset
        if is_reset:
            sock.recv(1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            return
        try:
            with self.context.wrap_socket(sock, server_side=True) as tls:
                super()._connection(Closing(tls, self.idle))
        except OSError:
            pass  # the peer does not trust us
        with self.lock:
            self.open -= 1


class Closing:
    def __init__(self, tls, idle):
        self.tls, self.idle = tls, idle

    def __getattr__(self, name):
        return getattr(self.tls, name)

    def recv(self, length):
        while not self.idle.is_set():
            if self.tls.pending() or select.select([self.tls], [], [], 0.05)[0]:
                return self.tls.recv(length)
        self.tls.setblocking(False)
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the peer has not answered to that, nor need it
        return b""
