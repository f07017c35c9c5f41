"""Layers of models in a cache, put there as an import would: by fake_import, which is built beside the binary."""

import hashlib
import io
import re
import subprocess
import sys
import types
import urllib.parse

from .entrepot import BINARY, environment
from .upstream import Server
from .util import ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests" / "oracle"))
import layout_v1  # noqa: E402

REPOSITORY, HUB_REPOSITORY = "org/model", "Org/Model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = BINARY.parent / "fake_import"


class Layer:
    """Files {name: bytes} as one layer, made by the independent builder."""

    def __init__(self, files):
        sink = io.BytesIO()
        saved = layout_v1.os
        layout_v1.os = types.SimpleNamespace(path=types.SimpleNamespace(getsize=lambda name: len(files[name])))
        layout_v1.open = lambda name, mode: io.BytesIO(files[name])
        try:
            made = layout_v1.build({name: name for name in files}, sink)
        finally:
            layout_v1.os = saved
            del layout_v1.open
        self.files, self.data, self.digest = files, sink.getvalue(), made["digest"]
        self.toc_offset = made["toc_off"]
        self.target = f"/v2/{REPOSITORY}/blobs/{self.digest}?ns=hf"
        self.borders, offset = [], 0  # (offset in the layer, name or None, offset in the file)
        for segment in made["segs"]:
            if segment[0] == "lit":
                self.borders.append((offset, None, 0))
                offset += len(segment[1])
            else:
                self.borders.append((offset, segment[1], segment[2]))
                offset += segment[3]

    @property
    def size(self):
        return len(self.data)

    def offset_of(self, name, at=0):
        """Where a byte of a file stands."""
        start, _, begin = [border for border in self.borders if border[1] == name and border[2] <= at][-1]
        return start + at - begin

    def blob(self, name):
        return "sha256:" + hashlib.sha256(self.files[name]).hexdigest()

    def put(self, cache, folder, missing=(), unknown=()):
        """Into the cache of a mirror that does not run."""
        lines = ""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            how = "missing" if name in missing else "unknown" if name in unknown else "whole"
            lines += f"{how} {name}\n"
        assert PROGRAM.exists(), f"{PROGRAM} is not there: configure with -DENTREPOT_TESTS=ON"
        done = subprocess.run(
            [PROGRAM, cache, "hf", REPOSITORY, HUB_REPOSITORY, COMMIT, folder],
            input=lines,
            capture_output=True,
            text=True,
            timeout=60 * SLOW,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [self.digest, str(self.size)], "another layer than layout_v1.py makes"
        return self


class Files(Server):
    """Gives the files of one commit, ranges of them too. Rules may carry cut=n (the connection ends before byte n of
    the file) and hold=(n, gate)."""

    def __init__(self, files):
        self.files = files
        super().__init__()

    def serve(self, exchange, cut=None, hold=None):
        request = exchange.request
        prefix = f"/{HUB_REPOSITORY}/resolve/{COMMIT}/"
        name = urllib.parse.unquote(request.path[len(prefix) :])
        if not request.path.startswith(prefix) or name not in self.files:
            return exchange.answer(404, b"Entry not found", [("X-Error-Code", "EntryNotFound")])
        data, start, status, fields = self.files[name], 0, 200, []
        stop = len(data)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted:
            start, stop = int(wanted[1]), min(stop, int(wanted[2] or stop) + 1)
            status, fields = 206, [("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")]
        exchange.head(status, [*fields, ("Content-Length", stop - start)])
        if hold and start <= hold[0] < stop:
            exchange.send(data[start : hold[0]])
            start = hold[0]
            hold[1].hold()
        end = stop if cut is None else max(start, min(stop, cut))
        exchange.send(data[start:end])
        return exchange.cut("fin") if end < stop else None

    def sent(self, name):
        return self.body_bytes(f"/resolve/{COMMIT}/{re.escape(urllib.parse.quote(name))}$")
