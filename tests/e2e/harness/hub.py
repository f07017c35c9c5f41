"""A Hugging Face hub, scripted: its API and its files, and on addresses of their own its CDN and its Xet storage.

    with Hub() as hub:
        sha = hub.add("Org/Model", {"config.json": b"{}", "model.safetensors": Made(20 << 30)})
        ... HF_ENDPOINT=hub.url, or `url: {hub.url}` in a config ...
        assert hub.cdn.body_bytes("model.safetensors") == 20 << 30
        assert not any("authorization" in request.headers for request in hub.cdn.requests)

Hub, hub.cdn and hub.xet are Servers: on(), seen() and body_bytes() work on each, stop() and start() on all. The
CDN's targets carry the file's name, so that one pattern finds a file's requests on either. Small files are
answered by the hub, after a redirect, and take the scripts of deliver() in rules for resolve-cache/; large ones
in rules for hub.cdn.

Tests may set: page (entries of a /tree page), links (its Link fields), absolute (redirects within the hub name its address),
case_redirects (another spelling of an id is redirected, not answered), life (seconds that a signed URL holds),
cdn.big (a GET of more than so many bytes needs a range), and of a repository what Repository says."""

import base64
import gzip
import hashlib
import hmac
import json
import re
import threading
import time
import urllib.parse

from .content import as_content
from .delivery import deliver
from .hub_repository import File, Repository
from .hub_xet import TOKEN, Storage
from .upstream import Server

API = re.compile(
    r"/api/(models|datasets)/([^/]+(?:/[^/]+)??)"
    r"(?:/(revision|tree|paths-info|refs|auth-check|xet-read-token)(?:/([^/]+)(?:/(.+))?)?)?"
)
CACHED = re.compile(r"/api/resolve-cache/(models|datasets)/([^/]+(?:/[^/]+)??)/([0-9a-f]{40})/(.+)")
PAGE = re.compile(r"/(?:(datasets)/)?([^/]+(?:/[^/]+)??)/(resolve|raw)/([^/]+)/(.+)")
quote = urllib.parse.quote


class Refusal(Exception):
    """An answer that is an error, as the hub words it."""

    def __init__(self, status, code, message, fields=()):
        self.status, self.body = status, json.dumps({"error": message}).encode()
        self.fields = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("X-Error-Code", code),
            ("X-Error-Message", message.encode("ascii", "replace").decode()),
            *fields,
        ]


class Redirect(Exception):
    """Elsewhere in the hub: a target."""


class Cdn(Server):
    """Serves what a signed URL names, whole or by ranges, to whoever brings one that still holds."""

    def __init__(self, host):
        self.files, self.key, self.big = {}, 0, 50 * 1000**3
        super().__init__(host)

    def sign(self, file, path, life):
        self.files[path] = file
        name = quote(file.path.rpartition("/")[2])
        until = int(time.time() + life)
        query = f"response-content-disposition={quote(f'inline; filename*=UTF-8')}%27%27{name}"
        return f"{self.url}{path}?{query}&Expires={until}&Signature={self._signature(path, until)}&Key-Pair-Id=TESTS"

    def forget(self):
        """Every URL signed so far has expired."""
        self.key += 1

    def _signature(self, path, until):
        return hmac.new(b"%d" % self.key, f"{path} {until}".encode(), hashlib.sha256).hexdigest()

    def serve(self, exchange, **script):
        request, xml = exchange.request, [("Content-Type", "application/xml")]
        file, until = self.files.get(request.path), request.query.get("Expires", "0")
        if "authorization" in request.headers:
            return exchange.answer(400, b"<Error><Code>InvalidArgument</Code></Error>", xml)
        if not file or request.query.get("Signature") != self._signature(request.path, until):
            return exchange.answer(403, b"<Error><Code>AccessDenied</Code></Error>", xml)
        if int(until) < time.time():
            return exchange.answer(403, b"<Error><Code>AccessDenied</Code><Message>Expired</Message></Error>", xml)
        if file.size > self.big and "range" not in request.headers and request.method == "GET":
            return exchange.answer(400, b"the file is too large to be served whole")
        fields = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", f"inline; filename*=UTF-8''{quote(file.path.rpartition('/')[2])}"),
            ("Accept-Ranges", "bytes"),
            ("ETag", f'"{request.path.rpartition("/")[2]}"'),
            ("Cache-Control", "public, max-age=31536000"),
        ]
        return deliver(exchange, file.content, fields, **script)


class Limit:
    """A window's quota of requests."""

    def __init__(self, quota, window):
        self.quota, self.window, self.left, self.end = quota, window, quota, 0

    def take(self):
        """Whether there was one left, and how long the window still lasts."""
        now = time.monotonic()
        if now >= self.end:
            self.left, self.end = self.quota, now + self.window
        taken = self.left > 0
        self.left -= taken
        return taken, max(1, round(self.end - now))


class Hub(Server):
    def __init__(self, host="127.0.0.1", cdn_host="127.0.0.2", xet_host="127.0.0.3", prefix=""):
        self.prefix, self.links = prefix, ['<{url}{path}?{query}>; rel="next"']
        self.repositories, self.names, self.tokens, self.limits = {}, {}, {}, {}
        self.page, self.absolute, self.case_redirects, self.life = 1000, False, False, 3600
        self.others, self.limits_lock = (), threading.Lock()
        super().__init__(host)
        self.others = self.cdn, self.xet = Cdn(cdn_host), Storage(xet_host)

    @property
    def url(self):
        return super().url + self.prefix

    # -- life
    def start(self):
        super().start()
        for server in self.others:
            server.start()

    def stop(self):
        super().stop()
        for server in self.others:
            server.stop()

    # -- what tests say and ask

    def add(self, id_, files, revision="main", kind="models", large=None):
        """Commits these files, {path: bytes or Content}, as the whole of a branch (or of refs/pr/N, or an existing
        tag), and returns the commit. `large`: paths that go to the CDN, where the hub's own rule would not do."""
        repository = self.repositories.setdefault((kind, id_.lower()), Repository(kind, id_))
        made = [File(path, data, None if large is None else path in large) for path, data in files.items()]
        for file in made:
            if file.large:
                self.xet.add(file)
        return repository.commit(made, revision)

    def repository(self, id_, kind="models"):
        return self.repositories[kind, id_.lower()]

    def tag(self, id_, name, revision="main", kind="models"):
        repository = self.repository(id_, kind)
        repository.tags[name] = repository.resolve(revision).sha

    def rename(self, old, new, kind="models"):
        """`old` becomes a name that is redirected; `gpt2` may be one that never was its own."""
        if repository := self.repositories.pop((kind, old.lower()), None):
            repository.id = new
            self.repositories[kind, new.lower()] = repository
        self.names[kind, old.lower()] = new

    def token(self, secret, *ids):
        """A token that opens these private and gated repositories."""
        self.tokens[secret] = {id_.lower() for id_ in ids}

    def limit(self, bucket, quota, window=300):
        """From now on so many requests in so many seconds; `bucket` is "api" or "resolvers"."""
        self.limits[bucket] = Limit(quota, window)

    def expire(self):
        """Every signed URL given so far is answered with 403 from now on."""
        self.cdn.forget()

    def sent(self, pattern=""):
        """Bytes of bodies, the hub's and the CDN's, of requests whose target the pattern is found in; a redirect's
        few words count too."""
        return self.body_bytes(pattern) + self.cdn.body_bytes(pattern)

    # -- answers
    def serve(self, exchange, **script):
        request = exchange.request
        try:
            if not request.path.startswith(self.prefix + "/"):
                raise Refusal(404, None, "Not found")
            request.path, request.target = (text.removeprefix(self.prefix) for text in (request.path, request.target))
            self._route(exchange, script)
        except Redirect as redirect:
            place = (self.url if self.absolute else self.prefix) + str(redirect)
            text = f"Temporary Redirect. Redirecting to {place}".encode()
            exchange.answer(307, text, [("Content-Type", "text/plain; charset=utf-8"), ("Location", place)])
        except Refusal as refusal:
            exchange.answer(refusal.status, refusal.body, refusal.fields)

    def _route(self, exchange, script):
        path = exchange.request.path
        if found := CACHED.fullmatch(path):
            kind, id_, sha, name = found.groups()
            repository = self._find(exchange, "resolvers", kind, unquoted(id_))
            return self._small(exchange, repository, self._file(repository, sha, unquoted(name)), sha, script)
        assert not script, f"{script} is for files, and {path} answers with none"
        if path == "/api/whoami-v2":
            return self._whoami(exchange)
        if found := PAGE.fullmatch(path):
            return self._page(exchange, *found.groups())
        if found := API.fullmatch(path):
            return self._api(exchange, *found.groups())
        raise Refusal(404, None, "Sorry, we can't find the page you are looking for.")

    def _json(self, exchange, value, fields=()):
        exchange.answer(200, json.dumps(value).encode(), [("Content-Type", "application/json; charset=utf-8"), *fields])

    def _token(self, exchange):
        """The caller's token; None when there is none."""
        scheme, _, token = exchange.request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme != "Bearer" or token not in self.tokens:
            raise Refusal(401, None, "Invalid credentials in Authorization header")
        return token

    def _count(self, exchange, bucket):
        """Every answer tells what is left of the window."""
        with self.limits_lock:
            if not (limit := self.limits.get(bucket)):
                return
            taken, seconds = limit.take()
            left = limit.left
        head, fields = exchange.head, [
            ("RateLimit", f'"{bucket}";r={left};t={seconds}'),
            ("RateLimit-Policy", f'"fixed window";"{bucket}";q={limit.quota};w={limit.window}'),
        ]
        exchange.head = lambda status, more=(): head(status, [*more, *fields])
        if not taken:
            message = "We had to rate limit you: too many requests."
            raise Refusal(429, None, message, [("Retry-After", seconds)])

    def _find(self, exchange, bucket, kind, id_):
        """The repository, if the caller may know of it."""
        self._count(exchange, bucket)
        token = self._token(exchange)
        if new := self.names.get((kind, id_.lower())):
            raise Redirect(renamed(exchange.request.target, id_, new))
        repository = self.repositories.get((kind, id_.lower()))
        if not repository or (repository.private and not self._opens(token, repository)):
            if token:
                raise Refusal(404, "RepoNotFound", "Repository not found")
            raise Refusal(401, "RepoNotFound", "Invalid username or password.")
        if repository.disabled:
            raise Refusal(403, None, "Access to this resource is disabled.")
        if self.case_redirects and id_ != repository.id:
            raise Redirect(renamed(exchange.request.target, id_, repository.id))
        return repository

    def _opens(self, token, repository):
        return repository.id.lower() in self.tokens.get(token, ())

    def _check_gate(self, exchange, repository):
        token = self._token(exchange)
        if not repository.gated or self._opens(token, repository):
            return
        what = f"Access to {repository.kind[:-1]} {repository.id} is restricted"
        if not token:
            message = f"{what}. You must have access to it and be authenticated to access it. Please log in."
            raise Refusal(401, "GatedRepo", message)
        message = (
            f"{what} and you are not in the authorized list. Visit {self.url}{repository.prefix} to ask for access."
        )
        raise Refusal(403, "GatedRepo", message)

    def _commit(self, repository, revision):
        commit = repository.resolve(revision)
        if not commit:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _file(self, repository, revision, path):
        commit = self._commit(repository, revision)
        if path not in commit.files:
            raise Refusal(404, "EntryNotFound", "Entry not found", [("X-Repo-Commit", commit.sha)])
        return commit.files[path]

    # -- the API
    def _whoami(self, exchange):
        self._count(exchange, "api")
        if not self._token(exchange):
            raise Refusal(401, None, "Invalid username or password.")
        self._json(exchange, {"type": "user", "id": "0123456789abcdef01234567", "name": "tester", "orgs": []})

    def _api(self, exchange, kind, id_, what, revision, path):
        repository = self._find(exchange, "api", kind, unquoted(id_))
        query, revision = exchange.request.query, unquoted(revision or "main")
        if what in (None, "revision"):
            blobs = query.get("blobs", "").lower() in ("1", "true")
            return self._json(exchange, repository.info(self._commit(repository, revision), blobs))
        if what == "tree":
            return self._tree(exchange, repository, self._commit(repository, revision), unquoted(path or ""))
        if what == "paths-info":
            return self._paths_info(exchange, repository, self._commit(repository, revision))
        if what == "refs":
            return self._json(exchange, repository.list_refs("include_prs" in query))
        self._check_gate(exchange, repository)
        if what == "auth-check":
            return self._json(exchange, {"ok": True})
        return self._xet_token(exchange)

    def _xet_token(self, exchange):
        until = int(time.time()) + 3600
        fields = [("X-Xet-Cas-Url", self.xet.url), ("X-Xet-Access-Token", TOKEN), ("X-Xet-Token-Expiration", until)]
        self._json(exchange, {"casUrl": self.xet.url, "exp": until, "accessToken": TOKEN}, fields)

    def _masked(self, exchange, repository):
        return bool(repository.gated) and not self._opens(self._token(exchange), repository)

    def _tree(self, exchange, repository, commit, folder):
        query = exchange.request.query
        recursive = query.get("recursive", "").lower() in ("1", "true")
        found = commit.entries(folder, recursive, repository.xet, self._masked(exchange, repository))
        if found is None:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist", [("X-Repo-Commit", commit.sha)])
        size = min(self.page, int(query.get("limit", self.page)))
        start = int(base64.b64decode(query["cursor"]).removeprefix(b"after ")) if "cursor" in query else 0
        fields = []
        if start + size < len(found):
            cursor = base64.b64encode(b"after %d" % (start + size)).decode()
            query = urllib.parse.urlencode({**query, "limit": size, "cursor": cursor})
            fields += [
                ("Link", link.format(url=self.url, path=exchange.request.path, query=query)) for link in self.links
            ]
        self._json(exchange, found[start : start + size], fields)

    def _paths_info(self, exchange, repository, commit):
        asked = urllib.parse.parse_qs(exchange.request.body.decode()).get("paths", [])
        found = commit.entries("", True, repository.xet, self._masked(exchange, repository))
        self._json(exchange, [entry for entry in found if entry["path"] in asked])

    # -- files
    def _page(self, exchange, kind, id_, verb, revision, path):
        repository = self._find(exchange, "resolvers", kind or "models", unquoted(id_))
        self._check_gate(exchange, repository)
        sha = self._commit(repository, unquoted(revision)).sha
        file = self._file(repository, sha, unquoted(path))
        if verb == "raw":
            return self._send_small(exchange, file.raw, file.oid, sha, {})
        if not file.large:
            return self._redirect_small(exchange, repository, file, sha)
        return self._redirect_large(exchange, repository, file, sha)

    def _redirect_small(self, exchange, repository, file, sha):
        place = f"/api/resolve-cache/{repository.kind}/{repository.id}/{sha}/{quote(file.path)}"
        place += f"?{quote(exchange.request.path, safe='')}=&etag=%22{file.etag}%22"
        place = (self.url if self.absolute else self.prefix) + place
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Location", place), ("X-Repo-Commit", sha)]
        exchange.answer(307, f"Temporary Redirect. Redirecting to {place}".encode(), fields)

    def _redirect_large(self, exchange, repository, file, sha):
        path = f"/repos/{hashlib.sha1(repository.id.encode()).hexdigest()[:24]}/{file.content.sha256}"
        fields = [("X-Repo-Commit", sha), ("X-Linked-Size", file.size), ("X-Linked-Etag", f'"{file.etag}"')]
        if repository.xet:
            path = path.replace("/repos/", "/xet-bridge-us/").replace(file.content.sha256, file.xet_hash)
            auth = f"{self.url}/api/{repository.kind}/{repository.id}/xet-read-token/{sha}"
            fields += [("X-Xet-Hash", file.xet_hash), ("Link", f'<{auth}>; rel="xet-auth"')]
        place = self.cdn.sign(file, path, self.life)
        fields += [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Accept-Ranges", "bytes"),
            ("Vary", "Origin, Accept"),
            ("Location", place),
        ]
        exchange.answer(302, f"Found. Redirecting to {place}".encode(), fields)

    def _small(self, exchange, repository, file, sha, script):
        self._check_gate(exchange, repository)
        self._send_small(exchange, file.content, file.etag, sha, script)

    def _send_small(self, exchange, content, etag, sha, script):
        """Plainly to those who say identity; to others packed or in chunks, of a length that nobody tells."""
        request = exchange.request
        accepted = request.headers.get("accept-encoding", "")
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("X-Repo-Commit", sha), ("Vary", "Accept-Encoding")]
        if etag in request.headers.get("if-none-match", ""):
            return exchange.head(304, [*fields, ("ETag", f'"{etag}"')])
        if accepted == "identity":
            fields += [("ETag", f'"{etag}"'), ("Accept-Ranges", "bytes")]
            return deliver(exchange, content, fields, **script)
        script = {"chunked": True, "ignore_range": True, **script}
        if "gzip" not in accepted:
            return deliver(exchange, content, [*fields, ("ETag", f'"{etag}"')], **script)
        packed = as_content(gzip.compress(b"".join(content.pieces()), mtime=0))
        return deliver(exchange, packed, [*fields, ("ETag", f'W/"{etag}"'), ("Content-Encoding", "gzip")], **script)


def unquoted(text):
    return urllib.parse.unquote(text)


def renamed(target, old, new):
    """The target with the repository's name replaced, where it first comes."""
    return re.sub(f"/{re.escape(quote(old))}(?=[/?]|$)", f"/{new}", target, count=1)
