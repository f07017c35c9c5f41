"""Debian's docker-registry, filled over its API, and the token server that Docker Hub's flow needs."""

import base64
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.parse

from .http import fetch
from .upstream import Server
from .util import SLOW, free_port, wait_until

ISSUER, SERVICE = "entrepot-tests", "registry.tests"


class Registry:
    """One docker-registry process on a directory; with `tokens`, it wants them."""

    def __init__(self, directory, tokens=None):
        self.directory, self.port = directory, free_port()
        self.address, self.url = ("127.0.0.1", self.port), f"http://127.0.0.1:{self.port}"
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(directory)}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "tests"},
        }
        if tokens:
            settings["auth"] = {
                "token": {
                    "realm": tokens.realm,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(tokens.certificate),
                }
            }
        directory.mkdir(parents=True, exist_ok=True)
        config = directory.parent / f"registry-{self.port}.yml"
        config.write_text(json.dumps(settings))  # JSON is YAML
        with open(config.with_suffix(".log"), "w") as log:
            environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log, env=environment
            )
        wait_until(self._answers, "docker-registry answers")

    def _answers(self):
        assert self.process.poll() is None, "docker-registry ended; see its log"
        try:
            return fetch(self.address, "/v2/").status in (200, 401)
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20 * SLOW)

    def _call(self, method, url, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.address, timeout=60 * SLOW)
        parts = urllib.parse.urlsplit(url)
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201, 202), (method, url, answer.status, text)
        return answer

    def push(self, image, repository, *tags):
        """Uploads an image with its children and blobs; returns it."""
        for child in image.children:
            self.push(child, repository)
        for digest, data in image.blobs.items():
            location = self._call("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
            mark = "&" if "?" in location else "?"
            self._call("PUT", f"{location}{mark}digest={digest}", data, {"Content-Type": "application/octet-stream"})
        for reference in tags or (image.digest,):
            self._call("PUT", f"/v2/{repository}/manifests/{reference}", image.data, {"Content-Type": image.media_type})
        return image


class TokenServer(Server):
    """Issues RS256 tokens as Docker Hub's does. `logins`: {user: password} whom it knows; anonymous
    callers get a token too, unless a repository is in `private`."""

    def __init__(self, directory, logins=None, private=(), life=300):
        self.key, self.certificate = directory / "token.key", directory / "token.crt"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=tests",
                "-days",
                "2",
                "-keyout",
                self.key,
                "-out",
                self.certificate,
            ],
            check=True,
            capture_output=True,
        )
        der = subprocess.run(
            ["openssl", "x509", "-in", self.certificate, "-outform", "der"], check=True, capture_output=True
        )
        self.x5c, self.logins, self.private, self.life = (
            base64.b64encode(der.stdout).decode(),
            logins or {},
            private,
            life,
        )
        self.scopes, self.count = [], 0
        super().__init__()

    @property
    def realm(self):
        return f"{self.url}/token"

    def serve(self, exchange):
        request = exchange.request
        user = self._user(request.headers.get("authorization", ""))
        scope = request.query.get("scope", "")
        _, _, rest = scope.partition(":")
        repository, _, actions = rest.rpartition(":")
        if user is None or (not user and repository in self.private):
            return exchange.answer(401, b'{"details":"incorrect username or password"}')
        with self.lock:
            self.scopes.append(scope)
            self.count += 1
        access = [{"type": "repository", "name": repository, "actions": actions.split(",")}] if repository else []
        token = self._sign(
            {
                "iss": ISSUER,
                "sub": user,
                "aud": request.query.get("service", ""),
                "access": access,
                "exp": int(time.time()) + self.life,
                "nbf": int(time.time()) - 60,
                "iat": int(time.time()),
                "jti": f"{threading.get_ident()}-{self.count}",
            }
        )
        body = json.dumps({"token": token, "access_token": token, "expires_in": self.life}).encode()
        return exchange.answer(200, body, [("Content-Type", "application/json")])

    def _user(self, authorization):
        """The caller's name, "" when anonymous, None when it lies."""
        if not authorization:
            return ""
        name, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return name if self.logins.get(name) == password else None

    def _sign(self, claims):
        head = {"typ": "JWT", "alg": "RS256", "x5c": [self.x5c]}
        text = ".".join(_encode(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), check=True, capture_output=True
        ).stdout
        return f"{text}.{_encode(signature)}"


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
