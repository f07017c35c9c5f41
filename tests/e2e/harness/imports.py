"""`entrepot import` and its like for a mirror that runs, and what its admin address says of imports."""

from .entrepot import run_command
from .http import fetch


def command(mirror, *words, admin=None, **options):
    """`entrepot` for this mirror; hub's name and all stand in flags, as those of the mirror do."""
    flags = ["--cache", mirror.cache, "--admin", admin or "%s:%d" % mirror.admin]
    flags += ["--listen", "%s:%d" % mirror.address]
    flags += [f"--upstream={name}={url}" for name, url in mirror.upstreams.items()]
    done = run_command(*words, *flags, timeout=120, **options)
    assert "Sanitizer" not in str(done.stderr) and "runtime error" not in str(done.stderr), done.stderr
    return done


def imports(mirror, query="", method="GET"):
    reply = fetch(mirror.admin, "/imports" + query, method)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json"), reply
    assert reply.json["version"] == 1
    return reply.json["imports"]


def state(mirror, image="hf/org/model:latest"):
    found = imports(mirror, f"?image={image}")
    return found[0]["state"] if found else None
