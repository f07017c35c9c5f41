#!/usr/bin/python3
"""The documents of images, made by Entrepot and by Python's json: the same bytes.

  compare_images.py PROGRAM [IMAGES [SEED]]

PROGRAM is what image_documents.c became. One image has the golden layer of layout_v1.py, which makes
the same configs of it. Where skopeo is installed, it reads that image out of an OCI folder and checks
every digest, for both architectures.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import layout_v1

TYPE = "application/vnd.oci.image."
TIME = "1980-01-01T00:00:00Z"
ARCHITECTURES = ("amd64", "arm64")
# Control characters are escaped by their number, all of them.
ESCAPES = {r"\b": r"\u0008", r"\t": r"\u0009", r"\n": r"\u000a", r"\f": r"\u000c", r"\r": r"\u000d", "\x7f": r"\u007f"}
CHARACTERS = list("abcz019-._~ !\"\\'%/<>&\b\t\n\v\f\r\x01\x1f\x7f") + ["é", "模", "\u2028", "\ufffd", "😀"]
GOLDEN = {"config.json": b'{"a":1}\n', "model.bin": b"WEIGHTS"}


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def document(kind, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    data = re.sub(r"\\.|\x7f", lambda found: ESCAPES.get(found[0], found[0]), text).encode()
    return sha256(data), f"{TYPE}{kind}.v1+json", data


def descriptor(made, **more):
    return {"mediaType": made[1], "digest": made[0], "size": len(made[2]), **more}


def oracle(image):
    """The five documents, written down from the OCI image-spec and models.md 1.5, 2 and 3.1."""
    layers = image["layers"]
    about = {"licenses": image["license"], "revision": image["revision"], "source": image["source"]}
    annotations = {f"org.opencontainers.image.{key}": value for key, value in about.items() if value}
    configs = [document("config", {
        "architecture": one, "os": "linux", "config": {"WorkingDir": "/"}, "created": TIME,
        "rootfs": {"type": "layers", "diff_ids": [layer["diff_id"] for layer in layers]},
        "history": [{"created": TIME, "created_by": "layout v1"} for _ in layers],
    }) for one in ARCHITECTURES]
    manifests = [document("manifest", {
        "schemaVersion": 2, "mediaType": f"{TYPE}manifest.v1+json", "config": descriptor(config),
        "layers": [{"mediaType": f"{TYPE}layer.v1.tar+gzip", "digest": layer["digest"],
                    "size": layer["size"], "annotations": {
                        "containerd.io/snapshot/stargz/toc.digest": layer["toc_digest"],
                        "io.containers.estargz.uncompressed-size": str(layer["uncompressed"])}}
                   for layer in layers],
        "annotations": annotations}) for config in configs]
    index = document("index", {
        "schemaVersion": 2, "mediaType": f"{TYPE}index.v1+json",
        "manifests": [descriptor(manifest, annotations=annotations,
                                 platform={"architecture": one, "os": "linux"})
                      for manifest, one in zip(manifests, ARCHITECTURES)],
        "annotations": annotations})
    return [*configs, *manifests, index]


def make_image(rng):
    layers = [{"digest": sha256(rng.randbytes(8)), "diff_id": sha256(rng.randbytes(8)),
               "toc_digest": sha256(rng.randbytes(8)), "size": rng.getrandbits(rng.randint(1, 63)),
               "uncompressed": rng.getrandbits(rng.randint(1, 63))}
              for _ in range(rng.choice([0, 1, 1, 2, 3, 17, 61]))]
    text = "".join(rng.choices(CHARACTERS, k=rng.randint(1, 60)))
    return {"revision": f"{rng.getrandbits(160):040x}", "layers": layers,
            "source": "https://huggingface.co/" + rng.choice(["gpt2", "Org/Model", text]),
            "license": rng.choice(["", "apache-2.0", "x" * 256, text])}


def golden_image(folder):
    """The image of the golden layer, and the folder where layout_v1.py puts its own image of it."""
    paths = {name: f"{folder}/{name}" for name in GOLDEN}
    for name, data in GOLDEN.items():
        with open(paths[name], "wb") as file:
            file.write(data)
    sys.argv = ["layout_v1", f"{folder}/v1", *(f"{name}={path}" for name, path in paths.items())]
    with contextlib.redirect_stdout(io.StringIO()):
        layout_v1.main()
    return {"revision": "0123456789abcdef" * 2 + "01234567", "license": "mit",
            "source": "https://huggingface.co/Org/Model",
            "layers": [layout_v1.build(paths, io.BytesIO())]}


def lines_of(image):
    yield " ".join([image["revision"], image["source"].encode().hex(),
                    image["license"].encode().hex() or "-", str(len(image["layers"]))])
    for layer in image["layers"]:
        yield " ".join(str(layer[key]) for key in
                       ("digest", "size", "diff_id", "uncompressed", "toc_digest"))


def run(program, images):
    """What the program makes of each image: five of (digest, media type, bytes)."""
    given = "".join(f"{line}\n" for image in images for line in lines_of(image))
    done = subprocess.run([program], input=given, capture_output=True, text=True, check=False,
                          timeout=300)
    made = [line.split(" ") for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(made) != 5 * len(images):
        sys.exit(f"{program} ended with {done.returncode} after {len(made)} documents\n{done.stderr}")
    made = [(digest, media_type, bytes.fromhex(data)) for digest, media_type, data in made]
    return [made[i:i + 5] for i in range(0, len(made), 5)]


def write_folder(folder, made, layers):
    """An OCI image layout (image-spec, image-layout.md)."""
    os.makedirs(f"{folder}/blobs/sha256")
    for digest, data in [(one[0], one[2]) for one in made] + layers:
        with open(f"{folder}/blobs/sha256/{digest[7:]}", "wb") as file:
            file.write(data)
    with open(f"{folder}/oci-layout", "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')
    with open(f"{folder}/index.json", "w", encoding="utf-8") as file:
        name = {"org.opencontainers.image.ref.name": "latest"}
        json.dump({"schemaVersion": 2, "manifests": [descriptor(made[4], annotations=name)]}, file)


def check_golden(folder, image, made):
    """Configs as in the folder that layout_v1.py wrote; and what skopeo says of the whole."""
    blobs = {}
    for name in os.listdir(f"{folder}/v1/blobs/sha256"):
        with open(f"{folder}/v1/blobs/sha256/{name}", "rb") as file:
            blobs[f"sha256:{name}"] = file.read()
    for digest, _, data in made[:2]:
        if blobs.get(digest) != data:
            sys.exit(f"layout_v1.py makes no such config: {data}")
    if shutil.which("skopeo") is None:
        print("skopeo is not installed: its reading is left out")
        return
    layer = image["layers"][0]["digest"]
    write_folder(f"{folder}/image", made, [(layer, blobs[layer])])
    for number, architecture in enumerate(ARCHITECTURES):
        subprocess.run(["skopeo", "--insecure-policy", "--override-os", "linux", "--override-arch",
                        architecture, "copy", f"oci:{folder}/image:latest", f"dir:{folder}/{architecture}"],
                       check=True, timeout=120, stdout=subprocess.DEVNULL)
        with open(f"{folder}/{architecture}/manifest.json", "rb") as file:
            if file.read() != made[2 + number][2]:
                sys.exit(f"skopeo chose another manifest than that for {architecture}")
    print("skopeo reads both architectures")


def main():
    program, count, seed = sys.argv[1], int((sys.argv[2:] + [300])[0]), int((sys.argv[3:] + [1])[0])
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        images = [golden_image(folder)] + [make_image(rng) for _ in range(count)]
        results = run(program, images)
        for number, (image, made) in enumerate(zip(images, results)):
            for one, wanted in zip(made, oracle(image)):
                if one != wanted:
                    sys.exit(f"image {number}: {image}\n  wanted {wanted}\n  got    {one}")
        check_golden(folder, images[0], results[0])
    print(f"{count + 1} images: the same documents")


main()
