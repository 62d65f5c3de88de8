"""CIFAR-10 and CIFAR-100, in the files that torchvision reads."""

from pathlib import Path

import numpy as np

from maxsup_analysis.errors import InputError

CACHE = Path.home() / ".cache" / "maxsup-analysis"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_CIFAR100.split())


def cifar10(split: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Bytes N x 3 x 32 x 32 and labels of a split of CIFAR-10."""
    return _opened("CIFAR10", split, data_dir)


def cifar100(split: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Bytes N x 3 x 32 x 32 and fine labels of a split of CIFAR-100."""
    return _opened("CIFAR100", split, data_dir)


def _opened(name: str, split: str, data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """What torchvision reads once the digests of the files, which are pickles, are right; downloaded if need be."""
    from torchvision import datasets

    kind = datasets.CIFAR10 if name == "CIFAR10" else datasets.CIFAR100
    root = _root(kind.base_folder, data_dir)
    try:
        found = kind(str(root), train=split == "train", download=data_dir is None)
    except (OSError, RuntimeError) as reason:
        raise _missing(name, kind.base_folder, data_dir, reason) from None
    return np.asarray(found.data).transpose(0, 3, 1, 2), np.asarray(found.targets)


def _root(folder: str, data_dir: Path | None) -> Path:
    """The folder that has the data set's folder in it, also where that one is named itself."""
    if data_dir is None:
        return CACHE
    return data_dir.resolve().parent if data_dir.resolve().name == folder else data_dir


def _missing(name: str, folder: str, data_dir: Path | None, reason: Exception) -> InputError:
    spoken = name.replace("CIFAR", "CIFAR-")
    if data_dir is None:
        return InputError(
            f"{spoken} is neither in {CACHE} nor could it be downloaded ({str(reason)[:80]}); name the folder that "
            f"has {folder} in it with --data-dir"
        )
    return InputError(
        f"expected {folder} with the files of {spoken} for Python in {data_dir}, found it missing or changed; name "
        "the folder that has it with --data-dir"
    )
