"""A repository of the scripted hub: commits, refs and files, and what the API says of them."""

import hashlib
import re

from .content import as_content

LARGE = 10 << 20  # the hub's own rule: what is larger, or named like this, is not kept in git
LARGE_NAMES = (".bin", ".gguf", ".h5", ".msgpack", ".onnx", ".parquet", ".pt", ".pth", ".safetensors", ".zip")
DATE = "2026-01-02T03:04:05.000Z"


class File:
    """A file of a commit. `large`: behind a pointer in git, served by the CDN, named by its sha256."""

    def __init__(self, path, content, large=None):
        self.path, self.content, self.size = path, as_content(content), as_content(content).size
        self.large = self.size > 0 and (path.endswith(LARGE_NAMES) or self.size > LARGE) if large is None else large
        if self.large:
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.content.sha256}\nsize {self.size}\n"
            )
            self.raw = as_content(pointer.encode())  # what git has
            self.xet_hash = hashlib.sha256(b"xet" + bytes.fromhex(self.content.sha256)).hexdigest()
        else:
            self.raw = self.content
        self.oid = self.raw.git_oid
        self.etag = self.content.sha256 if self.large else self.oid

    def entry(self, xet, masked=False):
        """What /tree says of it."""
        entry = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.large:
            entry["lfs"] = {"oid": self.content.sha256, "size": self.size, "pointerSize": self.raw.size}
            if xet:
                entry["xetHash"] = "*" * 64 if masked else self.xet_hash
        return entry

    def sibling(self, blobs):
        """What /revision says of it."""
        entry = {"rfilename": self.path}
        if blobs:
            entry |= {"size": self.size, "blobId": self.oid}
            if self.large:
                entry["lfs"] = {"sha256": self.content.sha256, "size": self.size, "pointerSize": self.raw.size}
        return entry


class Commit:
    def __init__(self, files, parent=None):
        self.files = {file.path: file for file in sorted(files, key=lambda file: file.path.encode())}
        self.folders = {}  # path: git's name for it
        lines = f"tree {self._tree('')}\n" + (f"parent {parent}\n" if parent else "")
        lines += "author hub <hub@tests> 1767323045 +0000\ncommitter hub <hub@tests> 1767323045 +0000\n\nUpload\n"
        self.sha = hashlib.sha1(b"commit %d\0" % len(lines) + lines.encode()).hexdigest()

    def _tree(self, folder):
        """The name of a folder's tree, and into `folders` those of the ones in it."""
        prefix, children = folder + "/" if folder else "", {}
        for path, file in self.files.items():
            name, _, rest = path.removeprefix(prefix).partition("/")
            if path.startswith(prefix):
                children[name + ("/" if rest else "")] = file
        data = b""
        for name in sorted(children, key=str.encode):
            if name.endswith("/"):
                oid, mode = self._tree(prefix + name[:-1]), b"40000"
                self.folders[prefix + name[:-1]] = oid
            else:
                oid, mode = children[name].oid, b"100644"
            data += mode + b" " + name.rstrip("/").encode() + b"\0" + bytes.fromhex(oid)
        return hashlib.sha1(b"tree %d\0" % len(data) + data).hexdigest()

    def entries(self, folder, recursive, xet, masked):
        """What /tree lists below a folder ("": the whole), or None where there is no such folder."""
        if folder and folder not in self.folders:
            return None
        prefix = folder + "/" if folder else ""
        folders = [{"type": "directory", "oid": oid, "size": 0, "path": path} for path, oid in self.folders.items()]
        files = [file.entry(xet, masked) for file in self.files.values()]
        found = [entry for entry in [*folders, *files] if entry["path"].startswith(prefix)]
        return found if recursive else [entry for entry in found if "/" not in entry["path"].removeprefix(prefix)]


class Repository:
    """`kind` is "models" or "datasets". Tests may set, at any time: private, disabled, gated (False or "manual"),
    xet (whether its large files have Xet hashes beside the signed URLs), card (the README's metadata)."""

    def __init__(self, kind, id_):
        self.kind, self.id = kind, id_
        self.private, self.disabled, self.gated, self.xet = False, False, False, True
        self.card = {"license": "apache-2.0"}
        self.commits, self.branches, self.tags, self.pulls = {}, {}, {}, {}

    @property
    def prefix(self):
        """Of its pages and files: /Org/Model, /datasets/Org/Data."""
        return ("/" if self.kind == "models" else f"/{self.kind}/") + self.id

    def commit(self, files, revision):
        parent = self.refs(revision).get(revision) or self.branches.get("main")
        made = Commit(files, parent)
        if parent and self.commits[parent].files.keys() == made.files.keys():
            if all(self.commits[parent].files[path].oid == file.oid for path, file in made.files.items()):
                made = self.commits[parent]  # nothing has changed
        self.commits[made.sha] = made
        self.refs(revision)[revision] = made.sha
        return made.sha

    def refs(self, revision):
        """The table that a ref of such a name belongs into; what is neither tag nor pull request is a branch."""
        if revision.startswith("refs/pr/"):
            return self.pulls
        return self.tags if revision in self.tags else self.branches

    def resolve(self, revision):
        """The commit, or None."""
        sha = self.refs(revision).get(revision.removeprefix("refs/heads/"), revision)
        return self.commits.get(sha) if re.fullmatch("[0-9a-f]{40}", sha) else None

    def info(self, commit, blobs):
        """What /api/models/{id} and /revision/{rev} answer."""
        return {
            "_id": hashlib.sha1(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            **({"modelId": self.id} if self.kind == "models" else {}),
            "author": self.id.partition("/")[0],
            "sha": commit.sha,
            "lastModified": DATE,
            "createdAt": DATE,
            "private": self.private,
            "gated": self.gated,
            "disabled": self.disabled,
            "downloads": 12345,
            "likes": 67,
            "tags": [f"license:{self.card['license']}", "region:us"] if "license" in self.card else ["region:us"],
            "cardData": self.card,
            **({"xetEnabled": True} if self.xet else {}),
            "siblings": [file.sibling(blobs) for file in commit.files.values()],
            "usedStorage": sum(file.size for file in commit.files.values()),
        }

    def list_refs(self, pulls):
        def rows(table, folder):
            return [{"name": name, "ref": folder + name, "targetCommit": sha} for name, sha in table.items()]

        found = {"branches": rows(self.branches, "refs/heads/"), "converts": [], "tags": rows(self.tags, "refs/tags/")}
        return found | ({"pullRequests": rows(self.pulls, "")} if pulls else {})
