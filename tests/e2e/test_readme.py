"""What README shows is so. (Its lines for Docker, containerd, podman and skopeo are what test_clients.py runs.)"""

import json
import tomllib

import pytest

from harness.entrepot import run_command
from harness.images import blob_image
from harness.readme import block
from harness.util import wait_until


@pytest.mark.parametrize("version, plugin", [(2, "io.containerd.cri.v1.images"), (1, "io.containerd.grpc.v1.cri")])
def test_containerd_is_given_one_folder(version, plugin):
    """The default of containerd 2 names two, and its default pull path then reads neither."""
    settings = tomllib.loads(block(f"containerd-{version}-config-toml"))
    assert settings["version"] == version + 1
    assert settings["plugins"][plugin]["registry"]["config_path"] == "/etc/containerd/certs.d"


def test_buildkit_is_told_the_path_form():
    """R2: Debian 12 has no buildkitd, so its lines are only read: a path per upstream, http for the mirror."""
    settings = tomllib.loads(block("buildkitd-toml", "127.0.0.1:5000"))["registry"]
    assert settings["docker.io"] == {"mirrors": ["127.0.0.1:5000/docker.io"]}
    assert settings["127.0.0.1:5000"] == {"http": True}


@pytest.mark.parametrize("event", ["request", "fill"])
def test_log_lines_have_the_members_that_readme_shows(entrepot, upstream, event):
    upstream.add(blob_image(b"layer"), "library/x", "1")
    mirror = entrepot(upstream)
    mirror.pull("library/x", "1")
    line = wait_until(lambda: mirror.log(event=event), f"a {event} is logged")[0]
    shown = json.loads(block(f"{event}-line"))
    assert [(key, type(value)) for key, value in line.items()] == [(key, type(value)) for key, value in shown.items()]


def test_the_configuration_is_valid(tmp_path):
    password, config = tmp_path / "password", tmp_path / "entrepot.yaml"
    password.write_text("secret\n")
    text = block("entrepot-yaml")
    assert "/etc/entrepot/docker-hub-token" in text
    config.write_text(text.replace("/etc/entrepot/docker-hub-token", str(password)))
    done = run_command("check", "--config", config)
    assert done.returncode == 0, done.stderr
