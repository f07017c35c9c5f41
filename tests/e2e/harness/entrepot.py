"""The product as a process: started, asked, killed, and looked over when it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .http import Connection, fetch
from .util import ROOT, SLOW, free_port, wait_until

BINARY = Path(os.environ.get("ENTREPOT_BINARY", "build/entrepot"))
BINARY = BINARY if BINARY.is_absolute() else ROOT / BINARY
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
TROUBLE = re.compile(r"Sanitizer|runtime error:|broken invariant", re.IGNORECASE)
METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def flag(name):
    return "--" + name.replace("_", "-")


def is_sanitized():
    text = BINARY.read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


def preloaded(library):
    """The variables that preload it: behind the sanitizer's runtime, which must come first."""
    linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True).stdout
    return {"LD_PRELOAD": ":".join([*re.findall(r"=> (\S*lib[at]san\S*)", linked), str(library)])}


def run_command(*arguments, timeout=30, **options):
    """`entrepot` with these arguments, to its end."""
    return subprocess.run(
        [BINARY, *arguments], capture_output=True, text=True, timeout=timeout * SLOW, env=environment(), **options
    )


def environment():
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


class Entrepot:
    """`upstreams` is {name: url}; other settings are flags by their names: tag_ttl="1s"."""

    DEFAULTS = {"retry_delay": "10ms", "upstream_rest": "0s", "drain_timeout": "5s"}

    def __init__(self, directory, upstreams=None, config=None, **settings):
        self.directory, self.cache = directory, directory / "cache"
        self.upstreams, self.config, self.settings = upstreams or {}, config, {**self.DEFAULTS, **settings}
        self.out, self.err = directory / "stdout", directory / "stderr"
        self.process, self.clock, self.variables = None, None, {}
        directory.mkdir(parents=True, exist_ok=True)

    # -- life
    def command(self):
        self.address, self.admin = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        command = [
            BINARY,
            "serve",
            "--listen",
            "%s:%d" % self.address,
            "--admin",
            "%s:%d" % self.admin,
            "--cache",
            self.cache,
        ]
        if self.config:
            path = self.directory / "config.yml"
            path.write_text(self.config)
            command += ["--config", path]
        for name, url in self.upstreams.items():
            command += ["--upstream", f"{name}={url}"]
        for name, value in self.settings.items():
            command += [flag(name), str(value)]
        return command

    def start(self, clock=None):
        """`clock`, such as "+1h", starts it at another time of day."""
        variables = environment() | self.variables
        if clock:
            assert Path(FAKETIME).exists(), "the package faketime is missing"
            variables |= preloaded(FAKETIME) | {
                "FAKETIME": clock,
                "NO_FAKE_STAT": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
                # Else their allocators ask for the time within a malloc, and libfaketime then calls malloc:
                # whether that hangs depends on nothing but the length of the binary's path.
                variables[name] = variables.get(name, "") + ":allocator_release_to_os_interval_ms=-1"
        with open(self.out, "a") as out, open(self.err, "a") as err:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=variables
            )
        wait_until(self.is_ready, "/readyz says 200")
        return self

    def is_ready(self):
        assert (
            self.process.poll() is None
        ), f"entrepot ended with {self.process.returncode}: {self.err.read_text()[-2000:]}"
        try:
            return fetch(self.admin, "/readyz").status == 200
        except (OSError, EOFError):
            return False

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(30 * SLOW)

    def stop(self):
        """SIGTERM, a clean end, and nothing alarming said."""
        assert (
            self.metric("entrepot_stalled_callbacks_total") == 0
        ), f"a callback slept on a serve loop: {self.log(event='stall')}"
        self.signal()
        assert self.wait() == 0, f"exit code {self.process.returncode}: {self.err.read_text()[-4000:]}"
        self.check()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()

    def restart(self, clock=None):
        self.stop()
        return self.start(clock)

    def close(self):
        """The end of a test: stops what runs, whatever happened, and gives the disk back."""
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.cache, ignore_errors=True)

    def check(self):
        alarm = TROUBLE.search(self.err.read_text())
        assert not alarm, self.err.read_text()[-8000:]
        if self.settings.get("log_format") != "text":
            self.log()

    # -- asking
    def connect(self, **options):
        return Connection(self.address, **options)

    def get(self, target, **options):
        return fetch(self.address, target, **options)

    def head(self, target, **options):
        return fetch(self.address, target, "HEAD", **options)

    def pull(self, repository, reference, types=None):
        """As a client does: the manifest, its children, every blob; all checked. Returns the replies."""
        replies = [self.get(f"/v2/{repository}/manifests/{reference}")]
        assert replies[0].status == 200, replies[0]
        manifest = replies[0].json
        for child in manifest.get("manifests", ()):
            replies += self.pull(repository, child["digest"])
        for blob in [manifest["config"], *manifest["layers"]] if "config" in manifest else ():
            replies.append(self.get(f"/v2/{repository}/blobs/{blob['digest']}", keep=False))
            assert (replies[-1].status, replies[-1].received) == (200, blob["size"]), replies[-1]
            if blob["digest"].startswith("sha256:"):
                assert replies[-1].sha256 == blob["digest"]
        return replies

    def log(self, **wanted):
        """The log so far, every line of it JSON; only lines with these members."""
        text = self.out.read_text()
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]

    def metrics(self):
        """{(name, frozenset of (label, value)): number}"""
        found = {}
        for line in fetch(self.admin, "/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                match = METRIC.match(line)
                assert match, f"not a line of Prometheus text: {line!r}"
                found[match[1], frozenset(LABEL.findall(match[2] or ""))] = float(match[3])
        return found

    def metric(self, name, **labels):
        """The sum of the samples of that name with these labels; 0 when there are none."""
        return sum(
            value for (key, have), value in self.metrics().items() if key == name and have >= set(labels.items())
        )

    def path_of(self, digest):
        algorithm, _, hex_ = digest.partition(":")
        return self.cache / "blobs" / algorithm / hex_[:2] / hex_

    def holds(self, digest):
        return self.path_of(digest).exists()

    def wait_held(self, *digests):
        for digest in digests:
            wait_until(lambda: self.holds(digest), f"{digest} lies under blobs/", timeout=60)

    def memory(self, field="VmHWM"):
        """Bytes, from /proc/<pid>/status."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024
