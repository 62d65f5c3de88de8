"""Data of every kind, damaged and lying: each is read, or refused in one line.

    python benchmarks/fuzz_data.py [--rounds N] [--seed S]

Every round makes data in a temporary folder, declares sizes, labels, names and splits that are not there, and opens and
reads it in a process of its own with a limit of time and memory. It counts what ended otherwise than by InputError.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from maxsup_analysis.class_order import Outputs, in_the_order_of
from maxsup_analysis.datasets import open_data
from maxsup_analysis.errors import InputError
from maxsup_analysis.preprocessing import Preprocessing

SECONDS, MOST_BYTES = 20.0, 2 * 2**30
SMALL = Preprocessing((3, 8, 8), (0.5,) * 3, (0.5,) * 3, resize=10)
LABELS = (
    b"1000000000000000", b"-1", b"1e5", b"Infinity", b"9" * 5000, b"", b"\xff", b"3.7", b"0x10", b"1_0", b"\xd9\xa3",
    b"true", b"18446744073709551615",
)  # fmt: skip
JSONS = (
    b'{"label": Infinity}', b'{"label": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"label": 1e400}', b'{"label": true}',
    b'{"label": 1000000000000000}', b'{"label": null}', b"{}", b"[1]", b'{"label": "cat"}', b"\xff\xfe",
    b'{"label": 1.5}',
)  # fmt: skip
NAMES = (
    "cat",
    "Cat",
    "c\udce9t",
    "a\nb",
    "\u202etxt",
    "=cmd|x",
    "..",
    "x" * 200,
    "train",
    "0",
    "007",
    " ",
    "'; DROP",
    "ÄÖ",
)
SPLITS = (
    None,
    "train",
    "val",
    "test",
    "validation",
    "extra",
    "",
    "../..",
    "Val",
    "test+fog:3",
    "test+fog:99",
    "\udce9",
    "all",
)
TYPES = ("<u8", "<i8", ">i4", "<f8", "|b1", "<U5", "|S5", "<M8[s]", "<c16", "|O", "|u1", "<f2")


def image(rng: random.Random, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((12, 16, 3), rng.randrange(256), np.uint8)).save(file, kind)
    content = bytearray(file.getvalue())
    for _ in range(rng.choice((0, 0, 0, 1, 5))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content[: rng.choice((len(content), len(content), rng.randrange(len(content))))])


def flat_png(width: int, height: int) -> bytes:
    """A blank image of one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + -(-width // 8))
    many = max(1, 2**20 // len(row))
    rows = (
        b"".join(packer.compress(row * min(many, height - at)) for at in range(0, height, many))
        + packer.flush()
    )
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def some_image(rng: random.Random) -> bytes:
    if rng.random() < 0.05:
        sides = rng.choice(
            ((1, 80_000_000), (80_000_000, 1), (9_000, 9_000), (30_000, 30_000), (5_000, 5_000))
        )
        return flat_png(*sides)
    return rng.choice((image(rng), image(rng, "JPEG"), b"", b"text", b"\x89PNG\r\n\x1a\n"))


def folder(rng: random.Random, root: Path) -> str:
    place = root / "data"
    for split in rng.choice(
        ([""], ["train", "val"], ["train", "valid", "test"], ["Train", "extra"], ["x/train", "x/val"])
    ):
        for name in rng.sample(NAMES, rng.randint(1, 4)):
            with contextlib.suppress(OSError):
                (place / split / name / rng.choice(("", "", "deeper"))).mkdir(parents=True, exist_ok=True)
                for ending in rng.sample((".png", ".jfif", ".avif", ".jp2", "", ".txt", ".JPG", ".apng"), 3):
                    (place / split / name / f"{rng.randrange(9)}{ending}").write_bytes(some_image(rng))
                odd = place / split / name / "odd.png"
                match rng.randrange(6):
                    case 0:
                        os.mkfifo(odd)
                    case 1:
                        odd.symlink_to("/dev/zero")
                    case 2:
                        odd.symlink_to(odd)
                    case 3:
                        odd.mkdir()
                    case _:
                        pass
    place.mkdir(exist_ok=True)
    return str(place)


def tar(rng: random.Random, root: Path) -> str:
    path = root / rng.choice(("x.tar", "train-0.tar", "val-000.tar"))
    with tarfile.open(path, "w") as archive:
        for number in range(rng.randint(0, 5)):
            key = rng.choice(
                (
                    f"{number}",
                    f"{number}",
                    f"{number}",
                    "same",
                    f"train/{number}",
                    f"val/{number}",
                    "a.b",
                    f"{rng.choice(NAMES)}",
                )
            )
            parts = [(rng.choice((".png", ".jpg", ".depth.png", ".jfif")), some_image(rng))]
            parts += (
                [
                    (
                        ".cls",
                        rng.choice((b"0", b"1", rng.choice(LABELS)) if rng.random() < 0.2 else (b"0", b"1")),
                    )
                ]
                if rng.random() < 0.95
                else []
            )
            parts += [(".json", rng.choice((b'{"label": 0}', *JSONS)))] if rng.random() < 0.1 else []
            for ending, content in parts:
                entry = tarfile.TarInfo(key + ending)
                entry.size = len(content)
                entry.type = rng.choice((tarfile.REGTYPE,) * 40 + (tarfile.SYMTYPE, tarfile.FIFOTYPE))
                archive.addfile(entry, io.BytesIO(content))
    damage(rng, path)
    return rng.choice((str(path), str(root)))


def zipped(rng: random.Random, root: Path) -> str:
    path = root / rng.choice(("x.zip", "val.zip"))
    names = []
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for number in range(rng.randint(0, 6)):
            name = "/".join(
                [
                    *rng.choice(([], ["train"], ["val"])),
                    rng.choice(NAMES).encode("utf-8", "replace").decode(),
                    f"{number}.png",
                ]
            )
            names.append(name)
            archive.writestr(name, some_image(rng))
    lines = [
        name.encode()
        + b" "
        + rng.choice((b"0", b"1", rng.choice(LABELS)) if rng.random() < 0.2 else (b"0", b"1"))
        for name in [*names, rng.choice(NAMES).encode("utf-8", "replace").decode()]
    ]
    if rng.random() < 0.5:
        (root / rng.choice(("x_map.txt", "val_map.txt", "train_map.txt"))).write_bytes(
            b"\n".join(rng.sample(lines, rng.randint(0, len(lines))))
        )
    damage(rng, path)
    return str(path)


def npy(rng: random.Random, shape: object, kind: str) -> bytes:
    """The format by hand: what it declares and what it has differ."""
    head = str({"descr": kind, "fortran_order": rng.random() < 0.2, "shape": shape}).encode()
    content = rng.choice((b"", bytes(48), bytes(4 * 12 * 16 * 3), bytes(range(256))))
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + content


def arrays(rng: random.Random, root: Path) -> str:
    shapes = (
        (4, 12, 16, 3),
        (2**40, 8, 8),
        (0, 8, 8),
        (4,),
        (),
        (4, 1),
        (-1,),
        (2**63, 2**63),
        "x",
        (4.5,),
        (4, 0, 0, 3),
        (8_000_000_000_000,),
    )
    parts = {name: npy(rng, rng.choice(shapes), rng.choice(TYPES)) for name in ("images", "labels")}
    if rng.random() < 0.5:
        values = rng.choice(
            ([0, 1, 2, 3], [10**15] * 4, [2**64 - 1] * 4, [0.5] * 4, ["a"] * 4, [True] * 4, [2**20] * 4, [])
        )
        values = rng.choice(([0, 1, 2, 3], values))
        parts = {"images": saved(np.zeros((4, 12, 16, 3), np.uint8)), "labels": saved(np.array(values))}
    if rng.random() < 0.5:
        with zipfile.ZipFile(root / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(f"{name}.npy", content)
        damage(rng, root / "x.npz")
        return str(root / "x.npz")
    (root / "x.npy").write_bytes(parts["images"])
    (root / "labels.npy").write_bytes(parts["labels"])
    (root / "classes.txt").write_bytes(rng.choice((b"", b"a\nb\nc\nd\n", b"\xff\n", b"a\n")))
    return str(root / "x.npy")


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def idx(rng: random.Random, root: Path) -> str:
    import gzip

    for stem in rng.sample(("train", "t10k", "val"), 2):
        sizes = [rng.choice((2, 2, 2, 2, 3, 0, 2**31, 2**32 - 1)) for _ in range(3)]
        content = (
            bytes((0, 0, 8, 3)) + struct.pack(">III", *sizes) + bytes(rng.choice((8, 8, 8, 0, 12, 18, 27)))
        )
        labels = bytes((0, 0, 8, 1)) + struct.pack(">I", sizes[0]) + bytes(rng.choice((2, 2, 2, 0, 3)))
        if rng.random() < 0.4:
            content = gzip.compress(content + bytes(rng.choice((0, 50_000_000))))
        (root / f"{stem}-images-idx3-ubyte").write_bytes(content)
        (root / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
    return str(root)


def hugging_face(rng: random.Random, root: Path) -> str:
    import datasets

    labels = rng.choice(
        (
            *[[0, 1, 2]] * 6,
            [None, 1, 2],
            [-1, 0, 1],
            ["a", "b", "c"],
            [0.5, 1.5, 2.5],
            [[0], [1], [2]],
            [True, False, True],
            [10**15] * 3,
        )
    )
    cells = rng.choice(
        (
            *[[image(rng) for _ in range(3)]] * 4,
            [b"", None, b"x"],
            ["/etc/passwd", "/dev/zero", "gone.png"],
            [[[1]], [[2]], [[3]]],
            [1, 2, 3],
        )
    )
    names = rng.choice(
        (["image", "label"], ["img", "labels"], rng.sample(("image", "label", "labels", "img", "text"), 2))
    )
    datasets.disable_progress_bars()
    made = datasets.Dataset.from_dict(dict(zip(names, (cells, labels), strict=True)))
    with contextlib.redirect_stderr(io.StringIO()):
        if rng.random() < 0.5:
            datasets.DatasetDict(
                {name: made for name in rng.sample(("train", "validation", "val"), 2)}
            ).save_to_disk(root / "hf")
        else:
            made.save_to_disk(root / "hf")
    for path in (root / "hf").rglob("*"):
        if path.is_file() and rng.random() < 0.3:
            damage(rng, path)
    state = root / "hf" / "state.json"
    if state.is_file() and rng.random() < 0.3:
        state.write_bytes(rng.choice(JSONS))
    return str(root / "hf")


def damage(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    if not content or rng.random() < 0.8:
        return
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] = rng.choice((0, 255, rng.randrange(256)))
    if rng.random() < 0.2:
        del content[rng.randrange(len(content)) :]
    path.write_bytes(content)


KINDS: tuple[Callable[[random.Random, Path], str], ...] = (folder, tar, zipped, arrays, idx, hugging_face)


def read(name: str, split: str | None, rng: random.Random, root: Path) -> None:
    """What `features` does of data: open, order, fingerprint, and read every sample."""
    samples = open_data(name, split)
    class_map = root / "map"
    if rng.random() < 0.1:
        lines = [*samples.class_names, *NAMES, "9" * 400, "cat 3"]
        class_map.write_text("\n".join(rng.sample(lines, min(len(lines), 5))), errors="surrogateescape")
    names = rng.choice(
        (None, None, None, None, ("cat", "dog"), samples.class_names[::-1], ("CAT", "0", "train"))
    )
    outputs = Outputs(
        rng.choice((2, *[len(samples.class_names)] * 5)),
        names,
        class_map if class_map.exists() else None,
        None,
        rng.choice((None, "timm train.py")),
    )
    samples = in_the_order_of(samples, outputs)
    json.dumps(samples.class_names).encode()
    _ = samples.fingerprint, samples.state(hash_contents=True)
    samples.reader(SMALL).fetch(range(len(samples)))


def one(kind: Callable[[random.Random, Path], str], seed: int) -> str:
    """How a round ended: read, refused, or otherwise; run in a process of its own."""
    rng = random.Random(f"{kind.__name__} {seed}")
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
        name = kind(rng, Path(place))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        try:
            read(name, rng.choice((None, rng.choice(SPLITS))), rng, Path(place))
            ended = "read"
        except InputError as refusal:
            ended = (
                "refused"
                if "\n" not in str(refusal) and len(str(refusal)) < 2000
                else f"many lines: {refusal}"[:300]
            )
        except BaseException:
            ended = "ERROR " + traceback.format_exc(limit=-3)
        if time.monotonic() - start > SECONDS:
            ended = f"SLOW {time.monotonic() - start:.0f} s"
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        return f"LARGE {grown / 1e9:.1f} GB" if grown > MOST_BYTES else ended


def main() -> int:
    """Exit code 0 where every round was read or refused."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--rounds", type=int, default=200)
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--kind", choices=[kind.__name__ for kind in KINDS])
    asked = given.parse_args()
    bad = 0
    for kind in KINDS:
        if asked.kind not in (None, kind.__name__):
            continue
        ends = Counter()
        for seed in range(asked.seed, asked.seed + asked.rounds):
            ended = one(kind, seed)
            ends[ended.split()[0]] += 1
            if ended not in ("read", "refused"):
                bad += 1
                print(f"{kind.__name__} {seed}: {ended}", flush=True)
        print(kind.__name__, dict(ends), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
