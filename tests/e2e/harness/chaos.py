"""Blobs that much goes wrong with, and the upstream that sees to it: for test_property.py."""

import random
import re
import threading

from .upstream import Upstream
from .util import Gate, MiB, digest_of

GRID = 4096
SMALL = 16384  # nothing of a blob up to this size is sent before all of it is verified
SEGMENT = 4 * MiB  # blobs that are larger come in parts, which may be cut: what was in flight then is lost

GENTLE = ["fin", "fin", "short", "short", "chunked", "until-close", "hold", "hold", "head-hold"]
HARSH = GENTLE + ["rst", "rst", "nothing", "500", "503", "404", "whole", "nonsense", "nonsense", "lie"]
MOODS = {  # what may go wrong, and how often a schedule is of that kind
    "clean": ([], 4),
    "gentle": (GENTLE, 5),
    "harsh": (HARSH, 6),
    "corrupt": (HARSH + ["corrupt"] * 6, 3),
    "limited": (HARSH + ["429", "503-later"] * 2, 0.4),
}


class Blob:
    """What a blob is, what went wrong with it, and what was asked of it."""

    grid = GRID
    is_verified = False  # before any of it is served

    def choose_size(self, dice):
        size = dice.choice([dice.randint(5000, 20_000), dice.randint(20_000, 300_000), dice.randint(20_000, 300_000)])
        return dice.randint(5 * MiB, 12 * MiB) if dice.random() < 0.03 else size

    def __init__(self, dice, mood):
        size = self.choose_size(dice)
        self.data = dice.randbytes(size)
        self.size, self.digest, self.dice = size, digest_of(self.data), random.Random(dice.random())
        self.kinds, self.lock, self.healthy = MOODS[mood][0], threading.Lock(), False
        self.odds, self.budget = dice.choice([0.15, 0.4, 0.8]), dice.choice([3, 8, 15])
        self.redirects = dice.choice([0, 0, 0.5, 1]) if mood != "clean" else 0
        self.known = dice.random() < 0.6  # its manifest is pulled first
        self.must, self.may = set(), set()  # cells of the grid
        self.faults, self.gates, self.flipped, self.lied, self.forbidden = [], [], set(), False, False

    def cells(self, start, stop):
        return set(range(start // self.grid, -(-min(stop, self.size) // self.grid)))

    def bytes_of(self, cells):
        return sum(min(self.size, (cell + 1) * self.grid) - cell * self.grid for cell in cells)

    def gate(self):
        self.gates.append(Gate())
        return self.gates[-1]

    def heal(self):
        with self.lock:
            self.healthy = True
            for gate in self.gates:
                gate.open()

    def script(self, start, stop, is_ranged, elsewhere):
        """What the upstream does with one request, for these bytes; and what to call it."""
        dice = self.dice
        with self.lock:
            if elsewhere and not self.forbidden and not self.healthy and dice.random() < 0.3:
                self.forbidden = True
                return "403", {"status": 403}
            if not elsewhere and dice.random() < self.redirects:
                return "redirect", {"redirect": dice.randint(1, 2)}
            if self.healthy or not self.kinds or len(self.faults) >= self.budget or dice.random() > self.odds:
                return "well", {}
            kind = dice.choice(self.kinds)
            script = self._fault(kind, start, stop, is_ranged)
            if script is None:
                return "well", {}
            self.faults.append(kind)
            return kind, script

    def _fault(self, kind, start, stop, is_ranged):
        """None: that cannot happen to this request."""
        dice, inside = self.dice, stop - start > 1
        if kind == "fin":
            return {"cut": dice.randint(start + 1, stop - 1), "end": "fin"} if inside else None
        if kind == "rst":
            return {"cut": dice.randint(start, stop - 1), "end": "rst"}
        if kind == "nothing":
            return {"cut": start, "end": dice.choice(["fin", "rst"])}
        if kind in ("500", "503"):
            return {"status": int(kind)}
        if kind == "404":
            return None if "404" in self.faults else {"status": 404}
        if kind in ("429", "503-later"):
            return {"status": int(kind[:3]), "headers": [("Retry-After", "1")]}
        if kind == "whole":
            return {"ignore_range": True} if is_ranged else None
        if kind == "nonsense":
            odd = [f"{start + 1}-{stop - 1}/{self.size}", f"{stop - 1}-{start}/{self.size}"]
            odd += [f"{start}-{stop - 1}/*", ""]
            if inside:
                odd.append(f"{start}-{stop - 2}/{self.size}")
            return {"content_range": f"bytes {dice.choice(odd)}"} if is_ranged else None
        if kind == "lie":
            self.lied |= is_ranged
            lie = self.size + dice.choice([-1, 1, 5000])
            return {"content_range": f"bytes {start}-{stop - 1}/{max(lie, stop)}"} if is_ranged else None
        if kind == "short":
            return {"short": dice.randint(start + 1, stop - 1)} if is_ranged and inside else None
        if kind == "chunked":
            return {"chunked": True}
        if kind == "until-close":
            return {"drop": ("content-length",), "close": True}
        if kind == "corrupt":
            at = dice.randint(start, stop - 1)
            self.flipped.add(at)
            return {"corrupt": at}
        if kind == "head-hold":
            return {"first": self.gate()}
        return {"hold": (dice.randint(start, stop), self.gate())}


class Chaos(Upstream):
    """A registry, or the host it redirects to, that asks each blob what shall go wrong."""

    def __init__(self, host, elsewhere=None):
        self.blobs, self.elsewhere, self.served = {}, elsewhere, []
        super().__init__(host)

    def serve(self, exchange, **script):
        request = exchange.request
        blob = self.blobs.get(request.path.rpartition("/")[2])
        if not blob or request.path not in self.content or request.method != "GET":
            return super().serve(exchange, **script)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        start = int(asked[1]) if asked else 0
        stop = min(blob.size, int(asked[2]) + 1) if asked and asked[2] else blob.size
        if start >= stop:
            return super().serve(exchange)
        kind, script = blob.script(start, stop, bool(asked), self.elsewhere is None)
        self.served.append((blob, request, kind))
        if "redirect" in script:
            target = f"{self.elsewhere.url}/signed/{script['redirect']}/{blob.digest}"
            return exchange.answer(307, fields=[("Location", target)])
        if gate := script.pop("first", None):
            gate.hold()
        if script.pop("close", False):
            exchange.close = True
        if "status" in script:
            return exchange.answer(script["status"], b"no", script.get("headers", ()))
        return super().serve(exchange, **script)

    def sent(self, blob):
        """Bytes of the blob that were sent, but for the one that tells the size of it."""
        return sum(
            request.body_sent
            for whose, request, _ in list(self.served)
            if whose is blob and request.status in (200, 206) and request.headers.get("range") != "bytes=0-0"
        )
