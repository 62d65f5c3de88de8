"""Tests for images that are read when their turn comes, cropped and flipped where they are decoded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.datasets import LabelledImages, open_data
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from maxsup_analysis.training import TrainingPlan, train
from maxsup_analysis.training.augmentation import Geometry
from maxsup_analysis.training.data import preprocessing_of, training_data
from maxsup_analysis.training.pictures import AugmentingReader, MovingPreprocessing

SIDE = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 images: dark and bright noise, with train and val."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 6)):
        for label, base in (("bright", 120), ("dark", 0)):
            place = root / split / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(base, base + 130, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number:02d}.png")
    return root


@pytest.fixture
def plan(folder: Path) -> TrainingPlan:
    return TrainingPlan(
        data=str(folder), model="small_cnn", model_args={"widths": [4, 4, 4]}, epochs=2, batch_size=16,
        learning_rate=0.1, flip=True, crop_padding=2, workers=0,
    )  # fmt: skip


def test_a_folder_trains_and_its_features_can_be_taken(plan: TrainingPlan, tmp_path: Path):
    outcome = train(replace(plan, epochs=6, test_split="val"), tmp_path / "x.pt")
    assert outcome.last.test_accuracy is not None and outcome.last.test_accuracy > 0.9
    about = torch.load(tmp_path / "x.pt", weights_only=True)["metadata"]
    assert about["preprocessing"]["size"] == [3, SIDE, SIDE] and about["classes"] == ["bright", "dark"]
    how = Extraction(data=plan.data, split="val", device="cpu", workers=0)
    assert extract_features(tmp_path / "x.pt", None, how).size == 12
    # The file names the folder, and only the user may.
    with pytest.raises(InputError, match=r"which a file may not choose; .* --data "):
        extract_features(tmp_path / "x.pt", None, replace(how, data=None))


def test_workers_and_interruptions_do_not_matter(plan: TrainingPlan, tmp_path: Path):
    for workers in (0, 2):
        train(replace(plan, workers=workers), tmp_path / f"{workers}.pt")
    first, second = (open_checkpoint(tmp_path / name).state_dict for name in ("0.pt", "2.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_size_is_that_of_the_first_image_what_was_published_or_what_is_asked(plan: TrainingPlan):
    data = training_data(plan)
    plain = Preprocessing((3, SIDE, SIDE), IMAGENET_MEAN, IMAGENET_STD)
    assert preprocessing_of(plan, data) == plain
    assert preprocessing_of(replace(plan, image_size=SIDE), data) == plain
    published = preprocessing_of(replace(plan, model="timm/deit_tiny_patch16_224", model_args={}), data)
    assert (published.size, published.resize) == ((3, 224, 224), 256)


def test_what_cannot_be_read_ends_the_training_by_name(plan: TrainingPlan, folder: Path, tmp_path: Path):
    for split in ("bright", "dark"):
        (tmp_path / "copy" / "train" / split).mkdir(parents=True)
        for path in sorted((folder / "train" / split).iterdir())[:3]:
            (tmp_path / "copy" / "train" / split / path.name).write_bytes(path.read_bytes())
    (tmp_path / "copy" / "train" / "dark" / "01.png").write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"^dark/01\.png \(sample 4\) cannot be read as an image: not an image"
    ):
        train(replace(plan, data=str(tmp_path / "copy"), split="train"), tmp_path / "x.pt")
    assert not (tmp_path / "x.pt").exists()


def variants(pixels: np.ndarray, padding: int, *, flip: bool) -> set[bytes]:
    """By hand: every shift of an image of H W C, and its mirror image."""
    padded = np.pad(pixels, ((padding, padding), (padding, padding), (0, 0)))
    shifts = range(2 * padding + 1)
    moved = [padded[y : y + SIDE, x : x + SIDE] for y in shifts for x in shifts]
    both = [one for crop in moved for one in ((crop, crop[:, ::-1]) if flip else (crop,))]
    return {np.ascontiguousarray(one.transpose(2, 0, 1)).tobytes() for one in both}


def moving(moves: Geometry, resize: int | None = None) -> MovingPreprocessing:
    return MovingPreprocessing((3, SIDE, SIDE), IMAGENET_MEAN, IMAGENET_STD, resize, moves=moves)


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (0, True), (1, False), (1, True)])
def test_decoded_images_are_moved_and_nothing_else(folder: Path, padding: int, flip: bool):
    data = open_data(str(folder), "train")
    with Image.open(folder / "train" / "bright" / "00.png") as image:
        pixels = np.asarray(image)
    reader = data.reader(moving(Geometry(padding, flip)))
    found = {
        AugmentingReader(reader, seed=0, epoch=epoch).fetch([0]).images.numpy().tobytes()
        for epoch in range(150)
    }
    assert found == variants(pixels, padding, flip=flip)


def test_an_image_is_drawn_by_seed_epoch_and_its_own_number(folder: Path):
    reader = open_data(str(folder), "train").reader(moving(Geometry(2, True, False)))

    def fetched(ids: list[int], seed: int = 0, epoch: int = 0) -> torch.Tensor:
        return AugmentingReader(reader, seed, epoch).fetch(ids).images

    assert torch.equal(fetched([3, 1, 2])[1:], fetched([1, 2]))
    assert not torch.equal(fetched([1], epoch=1), fetched([1])) and not torch.equal(
        fetched([1], seed=1), fetched([1])
    )


def test_a_resized_crop_is_part_of_the_image(folder: Path):
    reader = open_data(str(folder), "train").reader(moving(Geometry(resized_crop=True), resize=14))
    images = AugmentingReader(reader, 0, 0).fetch([0, 39]).images
    assert images.shape == (2, 3, SIDE, SIDE) and images[0].min() >= 120 and images[1].max() <= 130


def test_images_in_memory_can_be_resized_once(tmp_path: Path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", images=rng.integers(0, 256, (20, 8, 8), dtype=np.uint8), labels=np.arange(20) % 2
    )
    plan = TrainingPlan(data=str(tmp_path / "x.npz"), split="all", image_size=16, epochs=1, batch_size=10)
    assert isinstance(training_data(plan).samples, LabelledImages)
    train(plan, tmp_path / "x.pt")
    about = torch.load(tmp_path / "x.pt", weights_only=True)["metadata"]
    assert about["preprocessing"]["size"] == [1, 16, 16]


def test_statistics_of_images_in_memory_are_theirs_and_a_constant_channel_is_left_alone(tmp_path: Path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)
    images[:, 1] = 51
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(10) % 2)
    plan = TrainingPlan(data=str(tmp_path / "x.npz"), split="all", train_samples=6)
    found = preprocessing_of(plan, training_data(plan))
    values = images[:6] / 255
    assert found.mean == pytest.approx(values.mean((0, 2, 3)))
    assert found.std == pytest.approx([values[:, 0].std(), 1.0, values[:, 2].std()])


def test_one_class_is_too_few(tmp_path: Path):
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 8, 8), dtype=np.uint8), labels=np.zeros(4, int))
    with pytest.raises(InputError, match="expected two classes or more in"):
        train(TrainingPlan(data=str(tmp_path / "x.npz"), split="all"), tmp_path / "x.pt")
