"""Tests for the rows themselves: what is left out and why, what is an error, and how rows are stored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import Storage
from maxsup_analysis.feature_store.checks import faults
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.rehearsal import rehearse
from maxsup_analysis.tile import Tile
from tests.extraction.processes import command_line, start
from tests.extraction.setting import SIDE, Setting, bytes_of, ids_of, write_checkpoint

SKIP = Storage(shard=37, skip=True)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A network, and 100 grey images in ten folders, some of them no images."""
    noise = np.random.default_rng(0)
    for number in range(100):
        folder = tmp_path / "images" / str(number // 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(
            folder / f"{number:02d}.png"
        )
    write_checkpoint(tmp_path / "net.pt")
    return tmp_path


def extract(folder: Path, name: str = "s.features", **options):
    how = Extraction(data=str(folder / "images"), device="cpu", batch_size=16, **options)
    return extract_features(folder / "net.pt", folder / name, how)


def spoil(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / "images" / str(number // 10) / f"{number:02d}.png").write_bytes(b"GIF89a, or not")


def test_an_image_that_cannot_be_read_is_an_error_with_its_name(photographs: Path):
    spoil(photographs, 41, 42)
    for workers in (0, 2):
        with pytest.raises(
            InputError, match=r"^4/41.png \(sample 41\) cannot be read as an image: .*--on-error skip"
        ):
            extract(photographs, storage=Storage(shard=37), workers=workers)


def test_what_is_left_out_is_listed_and_nothing_takes_its_place(photographs: Path, capsys):
    whole = extract(photographs, "whole.features", storage=SKIP)
    spoil(photographs, 3, 41, *range(74, 100))
    store = extract(photographs, storage=SKIP)
    assert "warning: 28 samples were left out" in capsys.readouterr().err
    kept = [number for number in range(74) if number not in (3, 41)]
    assert ids_of(store.path) == kept and [shard.rows for shard in store.shards] == [36, 36, 0]
    manifest = json.loads((store.path / "manifest.json").read_text())
    assert [one["id"] for one in manifest["skipped"]] == [3, 41, *range(74, 100)]
    assert manifest["skipped"][0]["name"] == "0/03.png" and manifest["skipped"][0]["reason"]
    assert not list(faults(store))
    rows = torch.cat([block.features for block in whole])[kept]
    assert (torch.cat([block.features for block in store]) - rows).abs().max() <= 1e-6 * rows.abs().max()


@pytest.mark.parametrize("workers", [0, 2])
def test_where_no_sample_can_be_used_there_is_no_store(photographs: Path, workers: int):
    spoil(photographs, *range(100))
    options = ("--data", photographs / "images", "--on-error", "skip", "-j", workers)
    log, output = photographs / "log", photographs / "s.features"
    run = start(log, command_line, "features", photographs / "net.pt", *options, "-o", output)
    run.join(60)
    assert run.exitcode == 2
    assert log.read_text().splitlines()[-1] == (
        "error: none of the 100 samples can be used, so that there is no store; the first, 0/00.png: not an image "
        "(JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM, AVIF, JPEG2000); mend the data, or check --data and --split"
    )
    assert {path.name for path in photographs.iterdir()} == {"images", "log", "net.pt"}


def test_a_store_that_left_samples_out_is_no_store_of_all_samples(photographs: Path):
    spoil(photographs, 41)
    before = bytes_of(extract(photographs, storage=SKIP).path)
    assert bytes_of(extract(photographs, storage=SKIP).path) == before
    with pytest.raises(InputError, match=r"4/41.png \(sample 41\) cannot be read"):
        extract(photographs, storage=Storage(shard=37))


def bright(folder: Path) -> Setting:
    """A network with weights so large that images with a white corner overflow; samples 20 and 60 have one."""
    setting = Setting.of(folder, 100)
    with np.load(folder / "images.npz") as file:
        images, labels = np.zeros_like(file["images"]), file["labels"]
    images[:] = 128
    images[[20, 60]] = 255
    np.savez(folder / "images.npz", images=images, labels=labels)
    torch.manual_seed(0)
    net = small_cnn(1, 10, (8, 8, 8))
    with torch.no_grad():
        # Grey becomes 0, white 5e5: times 1e34 that is beyond float32.
        net[0].weight.abs_().mul_(1e34)  # type: ignore[union-attr, operator]
    metadata = {
        "architecture": {
            "name": "small_cnn",
            "arguments": {"channels": 1, "classes": 10, "widths": [8, 8, 8]},
        },
        "preprocessing": {"size": [1, SIDE, SIDE], "mean": [128 / 255], "std": [1e-6]},
    }
    save_checkpoint(folder / "net.pt", net.state_dict(), metadata)
    return setting


def test_features_that_are_not_finite_name_their_sample(tmp_path: Path):
    setting = bright(tmp_path)
    with pytest.raises(
        InputError, match=r"NaN or infinity for image 20 \(sample 20\); extract without --amp, or leave"
    ):
        setting.extract()
    store = setting.extract(storage=SKIP)
    assert store is not None and [one.id for one in store.skipped] == [20, 60]
    assert store.skipped[0].reason == "features or logits are NaN or infinity" and store.size == 98


def test_numbers_beyond_the_stored_type_are_an_error(tmp_path: Path):
    setting = Setting.of(tmp_path, 50)
    torch.manual_seed(0)
    net = small_cnn(1, 10, (8, 8, 8))
    with torch.no_grad():
        net[8].weight.mul_(1e6)  # type: ignore[union-attr, operator]
    metadata = {
        "architecture": {
            "name": "small_cnn",
            "arguments": {"channels": 1, "classes": 10, "widths": [8, 8, 8]},
        },
        "preprocessing": {"size": [1, SIDE, SIDE], "mean": [0.5], "std": [0.25]},
    }
    save_checkpoint(tmp_path / "net.pt", net.state_dict(), metadata)
    with pytest.raises(
        InputError, match=r"sample \d+\) is beyond the range of float16; store it with --dtype bfloat16"
    ):
        setting.extract(storage=Storage("float16", shard=37))
    assert setting.extract(storage=Storage("bfloat16", shard=37)) is not None


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 24), ("float16", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("logits", [True, False])
def test_rows_are_stored_as_asked(tmp_path: Path, dtype: str, bits: int, logits: bool):
    setting = Setting.of(tmp_path, 100)
    exact = setting.extract("exact.features")
    store = setting.extract(storage=Storage(dtype, logits, shard=37))
    assert exact is not None and store is not None
    assert store.columns["features"] == dtype and ("logits" in store.columns) == logits
    for first, second in zip(exact, store, strict=True):
        gap = (first.features - second.features).abs()
        assert bool((gap <= 2.0**-bits * first.features.abs() + 1e-7).all())
        # Logits that are not stored come from the head.
        expected, found = (Tile(rows, store.represent()).logits for rows in (first, second))
        assert (expected - found).abs().max() <= 2.0 ** (4 - bits) * expected.abs().max()


def test_labels_out_of_range_are_an_error(tmp_path: Path):
    setting = Setting.of(tmp_path, 20)
    with np.load(tmp_path / "images.npz") as file:
        np.savez(tmp_path / "images.npz", images=file["images"], labels=np.where(np.arange(20) == 7, -1, 3))
    with pytest.raises(InputError, match="label"):
        setting.extract()


def test_a_rehearsal_says_what_it_would_take_and_writes_nothing(tmp_path: Path):
    setting = Setting.of(tmp_path, 100)
    before = sorted(tmp_path.iterdir())
    found = rehearse(setting.checkpoint, tmp_path / "s.features", setting.how)
    assert sorted(tmp_path.iterdir()) == before
    assert (found.rows, found.shards, found.shards_to_do, found.bytes) == (100, 3, 3, 100 * (16 + 4 * 18))
    assert found.seconds > 0 and "100 in 3 shards, of which 3 are to do here" in found.to_text()
    assert setting.extract(rank="0/2") is None
    left = rehearse(setting.checkpoint, tmp_path / "s.features", setting.how)
    assert (left.shards_to_do, left.bytes) == (1, 37 * (16 + 4 * 18))
    only = rehearse(setting.checkpoint, tmp_path / "s.features", replace(setting.how, rank="0/2"))
    assert only.shards_to_do == 0 and only.seconds == 0
    assert setting.extract() is not None
    assert rehearse(setting.checkpoint, tmp_path / "s.features", setting.how).shards_to_do == 0
