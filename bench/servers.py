"""The servers that bench/run compares, each on loopback ports with a configuration of its own.

A server is started as a child process, found again by its pid, and ended by its pid; its children
are found through /proc. Nothing else on the machine is touched.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1

# nginx as fast as it goes here: tcp_nopush only for small files, where it saves a packet (for large
# ones it costs a fifth, and stalls ranges out of proxy_cache for 40 ms each); files kept open.
NGINX_MAIN = """
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1h;
    types {{ }}
    default_type application/octet-stream;
{body}
}}
"""

# A registry's pull API made of files: manifests under their tag and their digest, and blobs.
NGINX_REGISTRY = """
        root {root};
        location /v2/ {{ }}
        location = /v2/ {{ return 200 "{{}}"; }}
        location ~ ^/v2/.+/manifests/ {{
            tcp_nopush on;
            default_type application/vnd.oci.image.manifest.v1+json;
            add_header Docker-Content-Digest {manifest_digest};
        }}
        location ~ ^/v2/.+/blobs/(?<digest>sha256:[0-9a-f]+)$ {{
            add_header Docker-Content-Digest $digest;
        }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_table():
    """pid -> (parent, user + system ticks, of itself and of its children that ended)"""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        table[int(name)] = (int(fields[1]), sum(int(ticks) for ticks in fields[11:15]))
    return table


def family(pid, table):
    members, grew = {pid}, True
    while grew:
        children = {one for one, row in table.items() if row[0] in members} - members
        members |= children
        grew = bool(children)
    return sorted(one for one in members if one in table)


def memory_kb(pid, name, field):
    try:
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class Server:
    """One running server. `start` returns when it answers; `stop` when its processes are gone."""

    name = label = ""

    def __init__(self, folder):
        self.folder = os.path.join(folder, self.name)
        self.port = free_port()
        self.process = None
        self.output = None

    def prepare(self):
        """Writes the configuration; returns the command."""
        raise NotImplementedError

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        command = self.prepare()
        self.output = open(os.path.join(self.folder, "output.log"), "ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.stdout(), stderr=self.output,
            cwd=self.folder)
        deadline = time.monotonic() + 30
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start; see {self.folder}\n{self.tail()}")
            time.sleep(0.02)

    def stdout(self):
        return self.output

    def tail(self):
        with open(os.path.join(self.folder, "output.log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def is_ready(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process is None:
            return
        members = self.pids()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        self.process = None
        self.output.close()

    def make_cold(self):
        """Forgets everything that is cached."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.start()

    def pids(self):
        return family(self.process.pid, process_table())

    def cpu_seconds(self):
        table = process_table()
        return sum(table[pid][1] for pid in family(self.process.pid, table)) / TICKS

    def memory(self):
        pids = self.pids()
        return {
            "rss_mb": sum(memory_kb(pid, "status", "VmRSS") for pid in pids) / 1024,
            "pss_mb": sum(memory_kb(pid, "smaps_rollup", "Pss") for pid in pids) / 1024,
            "peak_rss_mb": sum(memory_kb(pid, "status", "VmHWM") for pid in pids) / 1024,
        }

    def request(self, method, path, headers=None, port=None):
        """One request on a connection of its own; returns the open response."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=120)
        connection.request(method, path, headers=headers or {})
        return connection.getresponse()


class Nginx(Server):
    def write(self, body):
        path = os.path.join(self.folder, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(path, "w", encoding="ascii") as file:
            file.write(NGINX_MAIN.format(user=user, workers=CORES, folder=self.folder, body=body))
        return ["nginx", "-p", self.folder, "-e", f"{self.folder}/error.log", "-c", path]


class Origin(Nginx):
    """The upstream registry: one port as fast as it can, one paced per response; counts bytes."""

    name = "origin"

    def __init__(self, folder, content, rate):
        super().__init__(folder)
        self.content, self.rate = content, rate
        self.paced_port, self.status_port = free_port(), free_port()
        self.log = os.path.join(self.folder, "access.log")

    def prepare(self):
        registry = NGINX_REGISTRY.format(root=self.content.root,
                                         manifest_digest=self.content.manifest_digest)
        return self.write(f"""
    log_format count '$request_method $uri $status $body_bytes_sent "$http_range"';
    access_log {self.log} count;
    server {{ listen 127.0.0.1:{self.port}; {registry} }}
    server {{ listen 127.0.0.1:{self.paced_port}; limit_rate {self.rate}; {registry} }}
    server {{ listen 127.0.0.1:{self.status_port}; access_log off; location / {{ stub_status; }} }}
""")

    def settle(self):
        """Waits until no response is running, so that the log has every byte."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            text = self.request("GET", "/", port=self.status_port).read().decode()
            if text.split("Writing:")[1].split()[0] == "1":
                return
            time.sleep(0.1)
        raise RuntimeError("the upstream is still sending after two minutes")

    def sent(self):
        """(method, path, status, bytes, range) of each request so far"""
        with open(self.log, encoding="utf-8") as file:
            rows = [line.split(" ", 4) for line in file]
        return [(row[0], row[1], int(row[2]), int(row[3]), row[4].strip()) for row in rows]


class NginxStatic(Nginx):
    name, label = "nginx", "nginx static"
    access_log = "off"

    def __init__(self, folder, content, _upstream_port):
        super().__init__(folder)
        self.content = content

    def prepare(self):
        registry = NGINX_REGISTRY.format(root=self.content.root,
                                         manifest_digest=self.content.manifest_digest)
        return self.write(f"access_log {self.access_log}; "
                          f"server {{ listen 127.0.0.1:{self.port}; {registry} }}")


class NginxStaticLogged(NginxStatic):
    name, label, access_log = "nginx-log", "nginx static, access log", "/dev/null"


class NginxProxy(Nginx):
    name, label = "proxy_cache", "nginx proxy_cache"

    def __init__(self, folder, _content, upstream_port):
        super().__init__(folder)
        self.upstream_port = upstream_port

    def prepare(self):
        return self.write(f"""
    access_log off;
    proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=bench:10m max_size=20g
        inactive=1d use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{self.upstream_port}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{self.port};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_cache bench;
        proxy_cache_key $uri;
        proxy_cache_valid 200 1d;
        proxy_cache_lock on;
        location / {{ proxy_pass http://origin; }}
        location ~ /manifests/ {{ proxy_pass http://origin; tcp_nopush on; }}
    }}""")


class Varnish(Server):
    name, label = "varnish", "Varnish"

    def __init__(self, folder, _content, upstream_port):
        super().__init__(folder)
        self.upstream_port = upstream_port

    def prepare(self):
        path = os.path.join(self.folder, "bench.vcl")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{self.upstream_port}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1d; }}
""")
        return ["varnishd", "-F", "-j", "none", "-n", os.path.join(self.folder, "state"),
                "-f", path, "-a", f"127.0.0.1:{self.port}", "-s", "malloc,2G"]


class Entrepot(Server):
    name, label = "entrepot", "Entrepot"
    log_level = "warn"
    binary = "build/entrepot"
    extra = []  # further arguments of `serve`

    def __init__(self, folder, _content, upstream_port):
        super().__init__(folder)
        self.upstream_port, self.admin_port = upstream_port, free_port()

    def prepare(self):
        return [self.binary, "serve", "--listen", f"127.0.0.1:{self.port}",
                "--admin", f"127.0.0.1:{self.admin_port}",
                "--cache", os.path.join(self.folder, "cache"), "--cache-size", "8GiB",
                "--upstream", f"origin=http://127.0.0.1:{self.upstream_port}",
                "--default-upstream", "origin", "--log-level", self.log_level, *self.extra]

    def is_ready(self):
        try:
            return self.request("GET", "/readyz", port=self.admin_port).status == 200
        except OSError:
            return False


class EntrepotLogged(Entrepot):
    name, label, log_level = "entrepot-info", "Entrepot, log level info", "info"

    def stdout(self):
        return subprocess.DEVNULL


KINDS = {kind.name: kind for kind in (NginxStatic, NginxStaticLogged, NginxProxy, Varnish,
                                      Entrepot, EntrepotLogged)}
PEERS = ("nginx", "proxy_cache", "varnish")
