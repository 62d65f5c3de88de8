"""Which output of a model stands for which class of the data."""

import re
from collections.abc import Sequence
from pathlib import Path

from maxsup_analysis.datasets import Samples
from maxsup_analysis.errors import InputError


def in_the_order_of(data: Samples, outputs: int, names: Sequence[str] | None, file: Path | None) -> Samples:
    """The data with their classes numbered as the model's outputs are.

    names: of the outputs, where the checkpoint gives them. file: what the user says of the order: one class name or
    one number a line (line k is output k), or lines that end in the output of a file, as in ImageNet's zip maps.
    Without either, the classes have to be as many as the outputs, or ImageNet's folder names for 1,000.
    """
    if file is not None:
        return _renumbered(data, outputs, _order_in(file, data, outputs), str(file))
    if names is not None and set(data.class_names) <= set(names):
        return _renumbered(data, outputs, {name: k for k, name in enumerate(names)}, "the checkpoint")
    if len(data.class_names) == outputs:
        return data
    if outputs == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in data.class_names):
        synsets = imagenet_synsets()
        return _renumbered(data, outputs, {name: k for k, name in enumerate(synsets)}, "ImageNet")
    raise InputError(
        f"the checkpoint has {outputs} classes but {data.name} has {len(data.class_names)}; pass --data for the data "
        "it was trained on, or say which output each class is with --class-map FILE (a class name a line)"
    )


def imagenet_synsets() -> tuple[str, ...]:
    """ImageNet's 1,000 folder names in their usual order, that of the alphabet."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def _renumbered(data: Samples, outputs: int, places: dict[str, int], source: str) -> Samples:
    missing = [name for name in data.class_names if name not in places]
    if missing:
        raise InputError(f"{source} does not say which output the class {missing[0]!r} is; add it")
    order = [places[name] for name in data.class_names]
    if len(set(order)) != len(order) or not all(0 <= place < outputs for place in order):
        raise InputError(f"expected a different output from 0 to {outputs - 1} for every class in {source}")
    named = {place: name for name, place in places.items()}
    return data.with_classes(tuple(named.get(k, f"class {k}") for k in range(outputs)), order)


def _order_in(file: Path, data: Samples, outputs: int) -> dict[str, int]:
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    if lines and all(re.fullmatch(r"\d+", line) for line in lines):
        # Line k is the class, in the order of the data, that output k stands for.
        known = [int(line) for line in lines]
        if max(known) >= len(data.class_names) or len(known) != outputs:
            raise InputError(
                f"expected {outputs} numbers below {len(data.class_names)} in {file}, a line each"
            )
        return {data.class_names[label]: output for output, label in enumerate(known)}
    pairs = [re.fullmatch(r"(\S.*?)[\t, ]+(\d+)", line) for line in lines]
    if lines and all(pairs):
        return _order_of_files([(pair[1], int(pair[2])) for pair in pairs if pair], data, file)
    return {line.split(maxsplit=1)[0] if line.split()[0] in data.class_names else line: k
            for k, line in enumerate(lines)}  # fmt: skip


def _order_of_files(pairs: list[tuple[str, int]], data: Samples, file: Path) -> dict[str, int]:
    """Outputs of classes, from those of their files: by a folder in the path, or by the file's name in the data."""
    owners = {
        Path(data.called(id_)).name: data.class_names[label] for id_, label in enumerate(data.labels.tolist())
    }
    found: dict[str, int] = {}
    for path, output in pairs:
        parts = [part for part in Path(path).parts if part in data.class_names]
        name = parts[0] if parts else owners.get(Path(path).name)
        if name is not None and found.setdefault(name, output) != output:
            raise InputError(
                f"{file} gives files of the class {name!r} different outputs; it is no map of classes"
            )
    return found
