"""Tests for images that are not plain RGB: each has its documented outcome, and none is replaced by another."""

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets.folder import pil_loader

from maxsup_analysis.datasets import Fetched, open_data
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL, encoded, flat_png, pixels

GREY_16 = (np.arange(12 * 16).reshape(12, 16) * 341).astype(np.uint16)
AS_IS = Preprocessing((3, 12, 16), (0.0,) * 3, (1.0,) * 3, resize=12)
BLACK = Image.new("RGB", (16, 12))


def picture(seed: int = 1) -> Image.Image:
    return Image.fromarray(pixels(seed))


def fetched(folder: Path, how: Preprocessing = AS_IS) -> Fetched:
    """All images of a folder with one class in it."""
    data = open_data(str(folder), None)
    return data.reader(how).fetch(range(len(data)))


def only(folder: Path, name: str, save: Callable[[Path], object]) -> Fetched:
    (folder / "class").mkdir()
    save(folder / "class" / name)
    return fetched(folder)


def palette_with_transparency(path: Path) -> None:
    # A transparency for each colour, which Pillow warns about.
    picture().quantize(16).save(path, transparency=bytes(range(0, 256, 16)))


def one_bit(path: Path) -> None:
    picture().convert("1").save(path)


def frames(path: Path) -> None:
    picture().save(path, save_all=True, append_images=[BLACK, BLACK], duration=50)


def lossless_frames(path: Path) -> None:
    picture().save(path, save_all=True, append_images=[BLACK], lossless=True)


def with_alpha(path: Path) -> None:
    picture().convert("RGBA").save(path)


def grey_with_alpha(path: Path) -> None:
    picture().convert("LA").save(path)


def in_ink(path: Path) -> None:
    picture().convert("CMYK").save(path, quality=95)


# What torchvision's loader reads in its own way, which models were trained with.
AS_TORCHVISION = {
    "plain.jpg": lambda path: picture().save(path),
    "plain.bmp": lambda path: picture().save(path),
    "plain.ppm": lambda path: picture().save(path),
    "plain.tiff": lambda path: picture().save(path, compression="tiff_lzw"),
    "plain.webp": lambda path: picture().save(path),
    "plain.gif": lambda path: picture().save(path),
    "grey.png": lambda path: picture().convert("L").save(path),
    "progressive.JPEG": lambda path: picture().save(path, progressive=True),
    "ink.jpg": in_ink,
    "palette.png": lambda path: picture().quantize(16).save(path),
    "alpha.png": with_alpha,
    "grey-alpha.png": grey_with_alpha,
    "one-bit.png": one_bit,
    "frames.gif": frames,
    "frames.webp": lossless_frames,
    "png-called.JPEG": lambda path: picture().save(path, "PNG"),
}


@pytest.mark.parametrize("name", AS_TORCHVISION)
def test_read_as_torchvision_reads_them(tmp_path: Path, name: str):
    found = only(tmp_path, name, AS_TORCHVISION[name])
    expected = np.asarray(pil_loader(tmp_path / "class" / name)).transpose(2, 0, 1)
    assert found.ids.tolist() == [0] and not found.unreadable and not found.rotated
    assert np.array_equal(found.images[0], expected)


def test_transparency_in_a_palette_gives_no_warning(tmp_path: Path):
    found = only(tmp_path, "clear.png", palette_with_transparency)
    with Image.open(tmp_path / "class" / "clear.png") as image:
        colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        expected = colours[np.asarray(image)]
    assert np.array_equal(found.images[0], expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("grey16.png", lambda path: Image.fromarray(GREY_16).save(path)),
        ("grey16.tiff", lambda path: Image.fromarray(GREY_16).save(path)),
        ("big-endian.tiff", lambda path: Image.fromarray(GREY_16.astype(">u2")).save(path)),
        ("grey16.pgm", lambda path: Image.fromarray(GREY_16).save(path)),
    ],
)
def test_16_bits_of_grey_are_scaled_not_cut_off(tmp_path: Path, name: str, save: Callable[[Path], object]):
    found = only(tmp_path, name, save)
    expected = np.round(GREY_16 / 65535 * 255).astype(np.uint8)
    assert np.array_equal(found.images[0], np.stack([expected] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_an_orientation_is_counted_and_not_applied(tmp_path: Path, orientation: int, kind: str):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = only(tmp_path, f"turned.{kind}", lambda path: picture().save(path, exif=exif, lossless=True))
    expected = np.asarray(pil_loader(tmp_path / "class" / f"turned.{kind}")).transpose(2, 0, 1)
    assert found.rotated == (orientation > 1)
    assert np.array_equal(found.images[0], expected)


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n" + b" " * 200)


def astronomy(path: Path) -> None:
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    0",
        "END",
    ]
    path.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode())


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def truncated(path: Path) -> None:
    path.write_bytes(encoded(NOISE, "JPEG")[:-600])


def damaged_png(path: Path) -> None:
    content = bytearray(encoded(pixels(1)))
    content[60] ^= 255
    path.write_bytes(content)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


NOT_IMAGES = {
    "truncated.jpg": (truncated, r"image file is truncated \(\d+ bytes not processed\)"),
    "half.png": (lambda path: path.write_bytes(encoded(NOISE)[:4000]), "truncated"),
    "header-only.png": (lambda path: path.write_bytes(encoded(pixels(1))[:20]), "Truncated"),
    "damaged.png": (damaged_png, "."),
    "empty.jpg": (lambda path: path.touch(), "an empty file"),
    "text.jpg": (lambda path: path.write_text("no image"), r"not an image \(JPEG, PNG"),
    "page.jpg": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), r"not an image \(JPEG"),
    "postscript.jpg": (postscript, r"not an image \(JPEG"),
    "astronomy.jpg": (astronomy, r"not an image \(JPEG"),
    "bomb.png": (
        lambda path: path.write_bytes(flat_png(13_000)),
        "13000 x 13000 pixels, more than 89,478,485",
    ),
    "larger.png": (lambda path: path.write_bytes(flat_png(20_000)), "decompression bomb|20000 x 20000"),
    "float.tiff": (lambda path: Image.fromarray(np.ones((12, 16), np.float32)).save(path), "32-bit pixels"),
    "int.tiff": (lambda path: Image.fromarray(np.ones((12, 16), np.int32)).save(path), "32-bit pixels"),
    "loop.jpg": (loop, "Too many levels of symbolic links"),
    "gone.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "No such file or directory"),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_cannot_be_read_is_named_and_not_replaced(tmp_path: Path, name: str):
    save, reason = NOT_IMAGES[name]
    found = only(tmp_path, name, save)
    assert found.images.shape == (0, 3, 12, 16) and not len(found.ids)
    (unreadable,) = found.unreadable
    assert (unreadable.id, unreadable.name) == (0, f"class/{name}")
    assert re.search(reason, unreadable.reason)
    assert "\n" not in unreadable.reason and "0x" not in unreadable.reason


def test_what_turns_unreadable_after_it_was_listed(tmp_path: Path):
    (tmp_path / "class").mkdir()
    for name in ("folder.jpg", "gone.jpg", "shut.jpg"):
        picture().save(tmp_path / "class" / name)
    data = open_data(str(tmp_path), None)
    for name in ("folder.jpg", "gone.jpg"):
        (tmp_path / "class" / name).unlink()
    (tmp_path / "class" / "folder.jpg").mkdir()
    (tmp_path / "class" / "shut.jpg").chmod(0)
    reasons = [one.reason for one in data.reader(AS_IS).fetch([0, 1, 2]).unreadable]
    assert reasons[:2] == ["Is a directory", "No such file or directory"]
    assert reasons[2:] == ([] if os.geteuid() == 0 else ["Permission denied"])


def test_the_readable_ones_keep_their_ids_and_order(tmp_path: Path):
    (tmp_path / "class").mkdir()
    for number in range(5):
        picture(number).save(tmp_path / "class" / f"{number}.png")
    (tmp_path / "class" / "3.png").write_bytes(b"")
    found = open_data(str(tmp_path), None).reader(AS_IS).fetch([4, 3, 0, 4])
    assert found.ids.tolist() == [4, 0, 4]
    assert [one.id for one in found.unreadable] == [3]
    assert np.array_equal(found.images, np.stack([pixels(k).transpose(2, 0, 1) for k in (4, 0, 4)]))


def test_a_name_that_is_not_utf8(tmp_path: Path):
    folder = os.fsencode(tmp_path / "class")
    os.mkdir(folder)
    with open(os.path.join(folder, b"caf\xe9.png"), "wb") as file:
        file.write(encoded(pixels(1)))
    with open(os.path.join(folder, b"\xff.png"), "wb"):
        pass
    data = open_data(str(tmp_path), None)
    found = data.reader(AS_IS).fetch([0, 1])
    assert found.ids.tolist() == [0] and data.called(0) == "class/caf\ufffd.png"
    assert [one.name for one in found.unreadable] == ["class/\ufffd.png"]
    assert len({data.fingerprint, data.state(hash_contents=False), data.state(hash_contents=True)}) == 3


def test_a_reader_can_be_pickled(tmp_path: Path):
    (tmp_path / "class").mkdir()
    picture().save(tmp_path / "class" / "0.png")
    reader = open_data(str(tmp_path), None).reader(SMALL)
    assert torch.equal(pickle.loads(pickle.dumps(reader)).fetch([0]).images, reader.fetch([0]).images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest", "lanczos"])
@pytest.mark.parametrize("resize", [None, 10, 23])
def test_bytes_then_normalised_are_what_torchvision_makes(channels: int, mode: str, resize: int | None):
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    how = Preprocessing((channels, 9, 11), mean, std, resize, mode)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8))
    oracle = transforms.Compose(
        [
            *([transforms.Grayscale()] if channels == 1 else []),
            transforms.Resize(resize or (9, 11), transforms.InterpolationMode(mode)),
            transforms.CenterCrop((9, 11)),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    raw, expected = how.geometry(image), torch.as_tensor(oracle(image))
    assert raw.dtype == torch.uint8
    kept = raw.clone()
    assert torch.equal(how.normalised(raw[None])[0], expected)
    assert torch.equal(how.transform(image), expected)
    assert torch.equal(raw, kept)


def test_an_image_too_narrow_to_resize_is_named(tmp_path: Path):
    (tmp_path / "class").mkdir()
    Image.new("L", (60_000, 1)).save(tmp_path / "class" / "line.png")
    (unreadable,) = fetched(tmp_path, Preprocessing((3, 224, 224), (0.5,) * 3, (1.0,) * 3, 256)).unreadable
    assert unreadable.reason == "60000 x 1 pixels, too narrow to resize to 256"


def test_every_value_of_16_bits_is_rounded(tmp_path: Path):
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    (tmp_path / "class").mkdir()
    Image.fromarray(every).save(tmp_path / "class" / "every.png")
    found = fetched(tmp_path, Preprocessing((1, 256, 256), (0.0,), (1.0,), 256))
    assert np.array_equal(found.images[0, 0], np.round(every / 65535 * 255).astype(np.uint8))


def test_every_byte_is_normalised_as_torchvision_does_it():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    array = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    oracle = transforms.Normalize(SMALL.mean, SMALL.std)(transforms.ToTensor()(array))
    assert torch.equal(SMALL.normalised(every)[0], oracle)
    floats = every / 255
    assert torch.equal(SMALL.normalised(floats)[0], oracle) and torch.equal(floats, every / 255)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_normalises_to_the_same_bits():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert torch.equal(SMALL.normalised(every.cuda()).cpu(), SMALL.normalised(every))


MEASURED = """
import resource, sys
from maxsup_analysis.datasets import open_data
from tests.datasets.photographs import SMALL
data = open_data(sys.argv[1], None)
reader = data.reader(SMALL)
reader.fetch([0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = reader.fetch(range(len(data)))
print(len(found.unreadable), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_are_refused_before_they_take_memory(tmp_path: Path):
    (tmp_path / "class").mkdir()
    picture().save(tmp_path / "class" / "0.png")
    for side in (13_000, 20_000):
        (tmp_path / "class" / f"{side}.png").write_bytes(flat_png(side))
    asked = [sys.executable, "-c", MEASURED, str(tmp_path)]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    unreadable, mebibytes = map(int, answer.stdout.split())
    assert unreadable == 2 and mebibytes < 100
