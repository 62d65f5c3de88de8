"""Tests for splits: what is asked for is read, and what is read is recorded, or nothing is."""

import inspect
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
import pytest
import torchvision

from maxsup_analysis.datasets import open_data
from maxsup_analysis.datasets.torchvision_sets import EMNIST, SPLITS, TRAIN_TEST, _choice, torchvision_samples
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, default_store
from tests.datasets.photographs import class_folders, encoded, pixels
from tests.datasets.test_arrays import idx
from tests.datasets.test_tars import write_tar

pytestmark = pytest.mark.filterwarnings("ignore:Cannot pickle")


def sizes(splits: Sequence[str]) -> dict[str, int]:
    """Of each split, all different: they tell which was read."""
    return {split: 3 + number for number, split in enumerate(splits)}


def folders(root: Path, splits: Sequence[str]) -> str:
    for split, size in sizes(splits).items():
        class_folders(root / split, {"cat": 1, "dog": size - 1})
    return str(root)


def wrapped(root: Path, splits: Sequence[str]) -> str:
    folders(root / "dataset", splits)
    (root / "README.md").touch()
    (root / "__MACOSX").mkdir()
    return str(root)


def members(split: str, size: int) -> list[tuple[str, bytes]]:
    keys = [(f"{split}{number:04}", b"%d" % (number % 2)) for number in range(size)]
    return [one for key, label in keys for one in ((f"{key}.png", encoded(pixels(1))), (f"{key}.cls", label))]


def tars_by_name(root: Path, splits: Sequence[str]) -> str:
    for split, size in sizes(splits).items():
        write_tar(root / f"imagenet1k-{split}-0000.tar", members(split, size - 1))
        write_tar(root / f"imagenet1k-{split}-0001.tar", members(split, 1))
    (root / "README.md").touch()
    return str(root)


def tars_in_folders(root: Path, splits: Sequence[str]) -> str:
    for split, size in sizes(splits).items():
        write_tar(root / split / "0000.tar", members("s", size))
    return str(root)


def one_tar(root: Path, splits: Sequence[str]) -> str:
    found = [one for split, size in sizes(splits).items() for one in members(f"data/{split}/", size)]
    return str(write_tar(root / "images.tar", found))


def zipped(root: Path, splits: Sequence[str], above: str = "") -> str:
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for split, size in sizes(splits).items():
            for number in range(size):
                archive.writestr(
                    f"{above}{split}/{'cat' if number else 'dog'}/{number}.png", encoded(pixels(number))
                )
    return str(root / "images.zip")


def zipped_deeper(root: Path, splits: Sequence[str]) -> str:
    return zipped(root, splits, above="pets/images/")


def zip_with_maps(root: Path, splits: Sequence[str]) -> str:
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for split, size in sizes(splits).items():
            names = [f"{split}-{number}.png" for number in range(size)]
            for name in names:
                archive.writestr(name, encoded(pixels(1)))
            (root / f"{split}_map.txt").write_text(
                "".join(f"{name} {n % 2}\n" for n, name in enumerate(names))
            )
    return str(root / "images.zip")


def dataset_dict(root: Path, splits: Sequence[str]) -> str:
    parts = datasets.DatasetDict()
    for split, size in sizes(splits).items():
        content = {"image": [encoded(pixels(1))] * size, "label": [0, 1, *[1] * (size - 2)]}
        parts[split] = datasets.Dataset.from_dict(content)
    parts.save_to_disk(root)
    return str(root)


def idx_files(root: Path, splits: Sequence[str]) -> str:
    root.mkdir(parents=True, exist_ok=True)
    for split, size in sizes(splits).items():
        (root / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((size, 4, 4), np.uint8)))
        (root / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.array([0, *[1] * (size - 1)], np.uint8)))
    return str(root)


SOURCES: list[Callable[[Path, Sequence[str]], str]] = [
    folders, wrapped, tars_by_name, tars_in_folders, one_tar, zipped, zipped_deeper, zip_with_maps, dataset_dict,
    idx_files,
]  # fmt: skip
# What is there; what is asked for; what is read, None where that has to be asked.
CASES = [
    (("train", "valid", "test"), "val", "valid"),
    (("train", "valid", "test"), "validation", "valid"),
    (("train", "valid", "test"), "valid", "valid"),
    (("train", "valid", "test"), "test", "test"),
    (("train", "val"), "test", None),
    (("train", "test"), "val", None),
    (("train", "test"), "dev", None),
    (("train", "val", "test"), "test", "test"),
    (("train", "val", "valid"), "validation", None),
    (("train", "val", "valid"), "valid", "valid"),
    (("Train", "Val", "Test"), "val", "Val"),
    (("Train", "Val", "Test"), "train", "Train"),
    (("training", "testing"), "train", "training"),
    (("trn", "dev"), "eval", "dev"),
    (("train", "val"), "extra", None),
    (("train", "val"), None, None),
]


@pytest.mark.parametrize(("present", "asked", "read"), CASES)
@pytest.mark.parametrize("source", SOURCES)
def test_one_rule_for_every_source(
    tmp_path: Path, capsys: pytest.CaptureFixture, source: Callable[[Path, Sequence[str]], str],
    present: Sequence[str], asked: str | None, read: str | None,
):  # fmt: skip
    name = source(tmp_path / "pets", present)
    if read is None:
        with pytest.raises(InputError, match=r"has the splits .*; name one of them with --split") as refusal:
            open_data(name, asked)
        assert all(split in str(refusal.value) for split in present)
        return
    data = open_data(name, asked)
    assert (data.split, len(data), len(data.class_names)) == (read, sizes(present)[read], 2)
    said = f"note: reading the split {read} of" in capsys.readouterr().err
    assert said == (read != asked)


@pytest.mark.parametrize("source", SOURCES)
def test_corruptions_are_of_the_split_that_is_read(
    tmp_path: Path, source: Callable[[Path, Sequence[str]], str]
):
    data = open_data(source(tmp_path / "pets", ("train", "valid")), "val+fog:3")
    assert (data.split, len(data)) == ("valid+fog:3", 4)


ONE_SPLIT: dict[str, Callable[[Path], str]] = {
    "a folder": lambda root: str(class_folders(root / "val", {"cat": 1, "dog": 2})),
    "a tar": lambda root: str(write_tar(root / "pets-val.tar", members("s", 3))),
    "a zip": lambda root: str(Path(zipped(root, ("a",))).rename(root / "val.zip")),
    "a saved split": lambda root: dataset_dict(root, ("validation",)) + "/validation",
}


@pytest.mark.parametrize("kind", ONE_SPLIT)
def test_what_is_called_as_a_split_is_that_split(tmp_path: Path, kind: str):
    name = ONE_SPLIT[kind](tmp_path)
    if kind == "a saved split":
        state = Path(name) / "state.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"_split": "val[:10%]"}))
    assert {open_data(name, asked).split for asked in (None, "val", "validation")} == {"val"}
    for other in ("train", "test"):
        with pytest.raises(InputError, match=f"has the splits val, none of them meant by '{other}'"):
            open_data(name, other)


def test_the_store_is_named_after_what_is_read():
    checkpoint, how = Path("ce.pt"), Extraction(data="pets", split="validation")
    assert default_store(checkpoint, how, "val") == Path("ce.pets.val.features")
    assert default_store(checkpoint, how, "all") == Path("ce.pets.features")


def test_data_without_splits_say_so(tmp_path: Path, capsys: pytest.CaptureFixture):
    root = str(class_folders(tmp_path / "pets", {"cat": 1, "train": 2}))
    for asked, said in ((None, ""), ("all", ""), ("test", f"note: {root} has no splits; all of it is read")):
        assert open_data(root, asked).split == "all"
        assert capsys.readouterr().err.startswith(said)
    assert open_data(root, None).class_names == ("cat", "train")


def test_a_split_by_its_own_name_beside_those_that_are_known(tmp_path: Path):
    root = folders(tmp_path / "pets", ("train", "val", "extra"))
    assert [len(open_data(root, split)) for split in ("train", "val", "extra")] == [3, 4, 5]


def test_splits_within_classes_are_refused(tmp_path: Path):
    for name in ("bottle", "cable"):
        class_folders(tmp_path / "parts" / name, {"train": 1, "test": 1})
    with pytest.raises(InputError, match=r"the folder .*bottle has splits in it \(test, train\)"):
        open_data(str(tmp_path / "parts"), "test")


def own_splits(constructor: Callable[..., object]) -> set[str] | None:
    """The splits that torchvision's own code checks for; None where it does not say them in one place."""
    found = re.search(
        r'verify_str_arg\(split, (?:arg=)?"split", (?:valid_values=)?[(\[]([^)\]]*)[)\]]',
        inspect.getsource(constructor),
    )
    return set(re.findall(r'"([^"]+)"', found[1])) if found else None


@pytest.mark.parametrize("name", torchvision.datasets.__all__)
def test_the_splits_of_torchvision_are_its_own(name: str):
    constructor = getattr(torchvision.datasets, name)
    parameters = inspect.signature(constructor).parameters
    if "split" not in parameters or name in ("EMNIST", "Kinetics") or not (found := own_splits(constructor)):
        return
    if name in SPLITS or found == {"train", "val", "test"}:
        assert set(_choice(name, "", name).splits) == found


def test_splits_that_are_arguments_of_another_kind(tmp_path: Path):
    assert _choice("EMNIST", "letters", "").words("test") == {"train": False}
    assert _choice("QMNIST", "", "").words("nist") == {"what": "nist"}
    assert _choice("Omniglot", "", "").words("evaluation") == {"background": False}
    assert _choice("CIFAR10", "", "").words("train") == {"train": True} and TRAIN_TEST == ("train", "test")
    for asked in ("val", "validation", "dev"):
        with pytest.raises(
            InputError, match="torchvision:Food101 has the splits train, test, none of them meant"
        ):
            torchvision_samples("torchvision:Food101", asked, tmp_path)
    with pytest.raises(InputError, match=f"name one as --data torchvision:EMNIST/{EMNIST[0]}"):
        torchvision_samples("torchvision:EMNIST", "test", tmp_path)
    with pytest.raises(InputError, match="name the folder itself with --data FOLDER"):
        torchvision_samples("torchvision:ImageFolder", "test", tmp_path)
    with pytest.raises(InputError, match="torchvision:OxfordIIITPet has the splits trainval, test, none"):
        torchvision_samples("torchvision:OxfordIIITPet", "train", tmp_path)


def test_country211_has_a_split_called_valid(tmp_path: Path):
    for split, size in sizes(("train", "valid", "test")).items():
        class_folders(tmp_path / "country211" / split, {"AD": 1, "AE": size - 1})
    for asked, read in (("val", "valid"), ("valid", "valid"), ("test", "test"), ("train", "train")):
        data = open_data("torchvision:Country211", asked, tmp_path)
        assert (data.split, len(data)) == (read, sizes(("train", "valid", "test"))[read])


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "cifar10", "cifar100"])
def test_named_sets_have_no_validation_split(name: str):
    for asked in ("val", "valid", "extra"):
        with pytest.raises(
            InputError, match=f"{name} has the splits train, test, none of them meant by '{asked}'"
        ):
            open_data(name, asked)


def test_a_data_set_in_the_folder_of_data(tmp_path: Path):
    folders(tmp_path / "imagenet", ("train", "val"))
    assert len(open_data("imagenet", "val", tmp_path)) == 4
    with pytest.raises(InputError, match=r"found nothing at pets or .*/pets; check --data"):
        open_data("pets", "val", tmp_path)


UNKNOWN = [("fold0", "fold1"), ("query", "gallery"), ("tr", "va", "te"), ("2017", "2018")]


@pytest.mark.parametrize("names", UNKNOWN)
@pytest.mark.parametrize("source", [folders, wrapped, zipped, zipped_deeper])
def test_folders_that_hold_the_same_folders_are_no_classes_unasked(
    tmp_path: Path, source: Callable[[Path, Sequence[str]], str], names: Sequence[str]
):
    root = source(tmp_path / "pets", names)
    for asked in (None, "val"):
        with pytest.raises(
            InputError, match=r"hold the same folders each .*--split, or say --split all where"
        ):
            open_data(root, asked)
    data = open_data(root, "all")
    whole = ("all", sum(sizes(names).values()), tuple(sorted(names)))
    assert (data.split, len(data), data.class_names) == whole
    for name in names:
        data = open_data(root, name)
        assert (data.split, len(data), len(data.class_names)) == (name, sizes(names)[name], 2)


def test_names_of_splits_that_end_in_set(tmp_path: Path):
    root = folders(tmp_path / "pets", ("trainset", "valset", "Testset"))
    assert [open_data(root, asked).split for asked in ("train", "val", "test")] == [
        "trainset",
        "valset",
        "Testset",
    ]


def test_splits_within_the_classes_of_a_zip_are_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "parts.zip", "w") as archive:
        for number, name in enumerate(("bottle/train", "bottle/test", "cable/good")):
            archive.writestr(f"{name}/{number}.png", encoded(pixels(number)))
    with pytest.raises(InputError, match=r"parts.zip: bottle has splits in it \(test, train\)"):
        open_data(str(tmp_path / "parts.zip"), "test")
