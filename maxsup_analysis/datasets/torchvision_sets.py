"""The data sets of torchvision, by name: `torchvision:CIFAR10`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import cast

from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.map_style import MapStyle, MapStyleImages, map_style_samples
from maxsup_analysis.datasets.splits import chosen_split, only_split
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.table import Table

PREFIX = "torchvision:"
FOLDERS = ("ImageFolder", "DatasetFolder", "VisionDataset")
TRAIN_TEST, TRAIN_VAL_TEST = ("train", "test"), ("train", "val", "test")
# The parts that each data set with a parameter `split` has, by the names that it takes; the others have all three.
SPLITS = {
    **dict.fromkeys(("StanfordCars", "Food101", "FER2013", "GTSRB", "MovingMNIST"), TRAIN_TEST),
    **dict.fromkeys(("ImageNet", "Imagenette"), ("train", "val")),
    "OxfordIIITPet": ("trainval", "test"),
    "FGVCAircraft": ("train", "val", "trainval", "test"),
    "Country211": ("train", "valid", "test"),
    "CelebA": ("train", "valid", "test", "all"),
    "SVHN": ("train", "test", "extra"),
    "STL10": ("train", "test", "unlabeled", "train+unlabeled"),
    "Places365": ("train-standard", "train-challenge", "val", "test"),
    "LFWPeople": ("10fold", "train", "test"),
}
EMNIST = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
YEARS = ("2017", "2018", "2019", "2021_train", "2021_train_mini", "2021_valid")
OWN_FOLDERS = ("raw_folder", "_base_folder", "base_folder")


def names_torchvision_set(name: str) -> bool:
    """Whether this names a data set of torchvision."""
    return name.startswith(PREFIX)


def torchvision_samples(name: str, split: str | None, data_dir: Path | None) -> ImageSamples:
    """A split of one of torchvision's data sets, from the folder where it has been put."""
    own, _, variant = name.removeprefix(PREFIX).partition("/")
    choice = _choice(own, variant, name)
    title = chosen_split(split, choice.splits, name) if choice.splits else only_split(split, None, name)
    if data_dir is None:
        raise InputError(f"say where the files of {name} are: --data-dir FOLDER, its root in torchvision")
    make = partial(_made, own, {**choice.fixed, **choice.words(title)}, data_dir)
    return map_style_samples(title, MapStyleImages(name, make, partial(_stamps, data_dir)))


@dataclass(frozen=True)
class SplitChoice:
    """How a data set of torchvision is asked for one of its splits.

    parameter: of its constructor; None where it has no splits. fixed: other arguments. flag: whether the parameter is
    true for the first split and false for the second.
    """

    splits: tuple[str, ...]
    parameter: str | None = "split"
    fixed: Mapping[str, object] = field(default_factory=dict)
    flag: bool = False

    def words(self, split: str) -> dict[str, object]:
        """The argument that stands for a split."""
        if self.parameter is None:
            return {}
        return {self.parameter: split == self.splits[0] if self.flag else split}


# Data sets that name their splits by another parameter.
OTHERWISE = {
    "QMNIST": SplitChoice(("train", "test", "test10k", "test50k", "nist"), "what"),
    "INaturalist": SplitChoice(YEARS, "version"),
    "LSUN": SplitChoice(TRAIN_VAL_TEST, "classes"),
    "Omniglot": SplitChoice(("background", "evaluation"), "background", flag=True),
}


def _choice(own: str, variant: str, name: str) -> SplitChoice:
    """The splits of a data set by its own names; those of its constructor where it is not in the table."""
    constructor = constructors()[own]
    parameters = signature(constructor).parameters
    if own in FOLDERS:
        raise InputError(
            f"{name} is a folder of images for each class; name the folder itself with --data FOLDER"
        )
    if own == "EMNIST":
        if variant not in EMNIST:
            raise InputError(
                f"{name} has several sets; name one as --data {PREFIX}EMNIST/{EMNIST[0]} ({', '.join(EMNIST)})"
            )
        return SplitChoice(TRAIN_TEST, "train", {"split": variant}, flag=True)
    if variant:
        raise InputError(f"no data set of torchvision is called {own}/{variant}; name it {PREFIX}{own}")
    if own in OTHERWISE and OTHERWISE[own].parameter in parameters:
        return OTHERWISE[own]
    if "train" in parameters:
        return SplitChoice(TRAIN_TEST, "train", flag=True)
    return SplitChoice(SPLITS.get(own, TRAIN_VAL_TEST)) if "split" in parameters else SplitChoice((), None)


def _made(name: str, words: Mapping[str, object], root: Path) -> MapStyle:
    """The data set, never downloaded."""
    constructor = constructors()[name]
    parameters = signature(constructor).parameters
    known = {"root": str(root), "download": False}
    known = {word: value for word, value in known.items() if word in parameters}
    try:
        return constructor(**known, **words)
    except (ValueError, RuntimeError, OSError, TypeError, ImportError, LookupError, SyntaxError) as reason:
        detail = clean_label(" ".join(str(reason).split()), 200)
        raise InputError(
            f"{PREFIX}{name} cannot be opened in {root}: {detail}; put its files there as torchvision keeps them"
        ) from None


def constructors() -> Table[Callable[..., MapStyle]]:
    """Every data set of torchvision, by name."""
    import torchvision.datasets

    found: Table[Callable[..., MapStyle]] = Table("data set of torchvision")
    for name in torchvision.datasets.__all__:
        constructor = getattr(torchvision.datasets, name)
        if isinstance(constructor, type) and issubclass(constructor, torchvision.datasets.VisionDataset):
            found.add(name, cast(Callable[..., MapStyle], constructor))
    return found


def _stamps(root: Path, images: MapStyleImages, hash_contents: bool) -> Iterator[str]:
    """The files in the data set's own folder, or in the whole root where it has none."""
    own = [getattr(images.dataset, word) for word in OWN_FOLDERS if hasattr(images.dataset, word)]
    folder = next(
        (root / place for place in own if isinstance(place, (str, Path)) and (root / place).is_dir()), root
    )
    files = (path for path in folder.rglob("*") if path.is_file())
    return file_stamps(files, folder, hash_contents=hash_contents)
