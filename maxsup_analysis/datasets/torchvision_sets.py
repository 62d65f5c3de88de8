"""The data sets of torchvision, by name: `torchvision:CIFAR10`."""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import cast

from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.map_style import MapStyle, MapStyleImages, map_style_samples
from maxsup_analysis.datasets.splits import SPLIT_NAMES, usual_split
from maxsup_analysis.datasets.stamps import file_stamps
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.table import Table

PREFIX = "torchvision:"
OWN_FOLDERS = ("raw_folder", "_base_folder", "base_folder")


def names_torchvision_set(name: str) -> bool:
    """Whether this names a data set of torchvision."""
    return name.startswith(PREFIX)


def torchvision_samples(name: str, split: str | None, data_dir: Path | None) -> ImageSamples:
    """A split of one of torchvision's data sets, from the folder where it has been put."""
    if split is None:
        raise InputError(f"say which split of {name}: --split train, test or val")
    if data_dir is None:
        raise InputError(f"say where the files of {name} are: --data-dir FOLDER, its root in torchvision")
    make = partial(_made, name.removeprefix(PREFIX), split, data_dir)
    return map_style_samples(str(usual_split(split)), MapStyleImages(name, make, partial(_stamps, data_dir)))


def _made(name: str, split: str, root: Path) -> MapStyle:
    """The data set, never downloaded."""
    constructor = constructors()[name]
    parameters = signature(constructor).parameters
    known = {"root": str(root), "download": False, "train": usual_split(split) == "train"}
    words = {word: value for word, value in known.items() if word in parameters}
    named = "split" in parameters and "train" not in parameters
    splits = dict.fromkeys((split, *SPLIT_NAMES.get(str(usual_split(split)), ()))) if named else {}
    return _opened(
        constructor, [{**words, "split": one} for one in splits] or [words], f"{PREFIX}{name}", root
    )


def _opened(
    constructor: Callable[..., MapStyle], attempts: list[dict[str, object]], name: str, root: Path
) -> MapStyle:
    """What the first arguments make that name a split which there is."""
    refusals: list[Exception] = []
    for words in attempts:
        try:
            return constructor(**words)
        except ValueError as reason:
            refusals.append(reason)
        except (RuntimeError, OSError, TypeError, ImportError) as reason:
            refusals.insert(0, reason)
            break
    detail = clean_label(" ".join(str(refusals[0]).split()), 200)
    raise InputError(
        f"{name} cannot be opened in {root}: {detail}; put its files there as torchvision keeps them"
    )


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
