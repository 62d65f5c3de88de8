"""A data set that the user's own code makes: `package.module:function` or `path/to/file.py:function`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter, getsourcefile, signature
from pathlib import Path

from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.map_style import (
    MapStyleImages,
    evenly,
    map_style_samples,
    pixel_digest,
)
from maxsup_analysis.datasets.splits import only_split
from maxsup_analysis.datasets.stamps import file_stamp
from maxsup_analysis.errors import InputError
from maxsup_analysis.named_code import named_code

FLAGS = {"split": "--split", "data_dir": "--data-dir"}


def names_code(name: str) -> bool:
    """Whether this names a function rather than a file."""
    return ":" in name and not Path(name).exists()


def code_samples(name: str, split: str | None, data_dir: Path | None) -> ImageSamples:
    """What the function of that name returns, called with `split` and `data_dir` as far as it takes them."""
    make = partial(_made, name, split, data_dir)
    # A function that takes a split answers for what it gives.
    title = split if split and _takes(name, "split") else None
    return map_style_samples(title or only_split(split, None, name), MapStyleImages(name, make, _stamps))


def _takes(name: str, word: str) -> bool:
    parameters = signature(named_code(name, returns="a data set")).parameters
    return word in parameters or any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())


def _made(name: str, split: str | None, data_dir: Path | None) -> object:
    function = named_code(name, returns="a data set")
    words = _words(function, name, {"split": split, "data_dir": data_dir})
    try:
        return function(**words)
    except InputError:
        raise
    except Exception as reason:  # The user's code may raise anything.
        detail = " ".join(f"{type(reason).__name__}: {reason}".split())[:200]
        raise InputError(f"{name} failed with {detail}; call it in Python by itself first") from reason


def _words(function: Callable[..., object], name: str, given: Mapping[str, object]) -> dict[str, object]:
    """What is given of what the function takes; InputError where it needs more."""
    parameters = signature(function).parameters.values()
    taken = {one.name for one in parameters}
    every = any(one.kind is Parameter.VAR_KEYWORD for one in parameters)
    words = {word: value for word, value in given.items() if value is not None and (every or word in taken)}
    variable = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    missing = [one.name for one in parameters if one.default is Parameter.empty and one.kind not in variable]
    missing = [word for word in missing if word not in words]
    if missing:
        step = f"give {FLAGS[missing[0]]}" if missing[0] in FLAGS else "give that a default value"
        raise InputError(f"{name} takes {missing[0]}, which is not given (split and data_dir can be); {step}")
    return words


def _stamps(images: MapStyleImages, hash_contents: bool) -> Iterator[str]:
    """The data set's own fingerprint; without one its code, its labels, and the pixels of some images or of all."""
    own = getattr(images.dataset, "fingerprint", None)
    if own is not None:
        yield f"fingerprint {own}"
        return
    file = getsourcefile(named_code(images.name, returns="a data set"))  # type: ignore[arg-type]
    yield file_stamp(file, hash_contents=True) if file else "no source"
    yield f"labels {images.labels.tolist()}"
    numbers = range(len(images.dataset)) if hash_contents else evenly(len(images.dataset))
    for number in numbers:
        yield pixel_digest(images, number)
