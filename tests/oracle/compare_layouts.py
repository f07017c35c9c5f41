#!/usr/bin/python3
"""Random file trees, laid out by Entrepot's modules and by layout_v1.py: the same bytes.

  compare_layouts.py PROGRAM [TREES [SEED]]

PROGRAM is what layout_trees.c became. layout_v1.py is an independent builder of layout v1, kept as it
was written; files come to it from memory. The trees are the same in every run; SEED gives others.
"""

import hashlib
import io
import random
import subprocess
import sys
import types

import layout_v1

MIB = 1 << 20
CHARACTERS = list("abcxyz0189-._~ !\"\\'%\b\t\n\v\f\r\x01\x10\x1f\x7f") + ["é", "ß", "模", "型", "\u2028", "\ufffd", "😀", "\U0010fffd"]
SMALL = [0, 0, 1, 7, 511, 512, 513, 1023, 1024, 65534, 65535, 65536, 2 * 65535, 2 * 65535 + 1]
LARGE = [4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 64 * 65535, 8 * MIB, 8 * MIB + 513, 9 * MIB - 65535]


def content(seed, size):
    """A pattern of 251 bytes: no two chunks of a file are equal."""
    pattern = (hashlib.sha256(str(seed).encode()).digest() * 8)[:251]
    return (pattern * (size // 251 + 1))[:size]


def make_part(rng):
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(["a", "a-b", "a.b", "a0", "b", "model", "README.md", "ab"])
    length = rng.randint(1, 12) if kind < 0.9 else rng.randint(80, 110)
    part = ""
    while len(part) < length:
        part += rng.choice(CHARACTERS if kind < 0.8 else "abcdef")
    while len(part.encode()) > 255:
        part = part[:-1]
    return "_" if part in (".", "..") else part


def make_tree(rng):
    """{name: (seed, size)}"""
    files, folders = {}, set()
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8, 13, 40])):
        parts = [make_part(rng) for _ in range(rng.choice([1, 1, 2, 2, 3, 6]))]
        above = {"/".join(parts[:i]) for i in range(1, len(parts))}
        name = "/".join(parts)
        if name in folders or name in files or above & files.keys() or len(name.encode()) > 2000:
            continue
        folders |= above
        size = rng.choice(SMALL) if rng.random() < 0.5 else rng.randint(0, 3000)
        files[name] = (rng.randint(0, 1 << 30), size)
    if files and rng.random() < 0.05:
        files[rng.choice(sorted(files))] = (rng.randint(0, 1 << 30), rng.choice(LARGE))
    return files


def oracle(files):
    bytes_of = {name: content(*file) for name, file in files.items()}
    layout_v1.os = types.SimpleNamespace(path=types.SimpleNamespace(getsize=lambda name: files[name][1]))
    layout_v1.open = lambda name, mode: io.BytesIO(bytes_of[name])
    result = layout_v1.build({name: name for name in files}, io.BytesIO())
    return " ".join(str(result[key]) for key in
                    ("digest", "size", "diff_id", "uncompressed", "toc_digest", "toc_off"))


def main():
    program, count, seed = sys.argv[1], int((sys.argv[2:] + [1000])[0]), int((sys.argv[3:] + [1])[0])
    rng, trees, lines = random.Random(seed), [], []
    for _ in range(count):
        files = make_tree(rng)
        given = list(files.items())
        rng.shuffle(given)
        trees.append(files)
        lines.append(str(len(given)))
        lines += [f"{name.encode().hex()} {one} {size}" for name, (one, size) in given]
    run = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True,
                         check=False, timeout=500)
    ours = run.stdout.splitlines()
    if run.returncode != 0 or len(ours) != count:
        print(f"{program} ended with {run.returncode} after {len(ours)} of {count} trees\n{run.stderr}")
        return 1
    for number, files in enumerate(trees):
        wanted = oracle(files)
        if ours[number] != wanted:
            print(f"tree {number}: {files}\n  wanted {wanted}\n  got    {ours[number]}")
            return 1
    print(f"{count} trees, {sum(map(len, trees))} files: the same layers")
    return 0


sys.exit(main())
