"""Which output of a model stands for which class of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.class_maps import missing_from, outputs_in
from maxsup_analysis.datasets import Samples, by_innermost_folders
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.name_orders import (
    SORTINGS,
    WHO_SORTS,
    alike_in_order,
    are_imagenets,
    are_numbers,
    are_synsets,
    imagenet_synsets,
    in_order,
    matched,
)
from maxsup_analysis.progress import say

IMAGENET = 1000
# How programs number folders of classes, by the format of the checkpoints that they write.
SORTED_BY = {
    **dict.fromkeys(("timm train.py", "Hugging Face, timm"), "natural"),
    **dict.fromkeys(
        (
            "torchvision references", "pytorch/examples imagenet", "DeiT", "MAE", "ConvNeXt", "Swin Transformer",
            "DINO", "VISSL", "robustness", "ffcv-imagenet", "mmengine", "Hugging Face, transformers",
        ),
        "text",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """What is known of the outputs of a model.

    names: in the order of the outputs, where the checkpoint gives them. format: of the checkpoint. file: what the user
    says of the order. sorting: `text` or `natural`, where the user says that outputs are classes in such an order.
    """

    count: int
    names: Sequence[str] | None = None
    file: Path | None = None
    sorting: str | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        if self.sorting is not None and self.sorting not in SORTINGS:
            raise InputError(f"expected --class-order {' or '.join(SORTINGS)}, got {self.sorting!r}")
        if self.sorting is not None and self.file is not None:
            raise InputError("expected --class-map or --class-order, got both; choose one")

    def own_names(self, data: Samples) -> Sequence[str] | None:
        """The names that the checkpoint gives, where they are more than their numbers, or the data have these too."""
        numbers = self.names is not None and list(self.names) == [str(k) for k in range(len(self.names))]
        return None if numbers and not set(data.class_names) <= set(self.names or ()) else self.names


def in_the_order_of(data: Samples, outputs: Outputs) -> Samples:
    """The data with their classes numbered as the model's outputs are.

    What decides is, in this order: what the user says; the checkpoint's own names; for folders ImageNet's order, then
    the numbers 0 to 999 that they are, then how the program sorts folders that wrote the checkpoint. Where programs
    sort them differently and nothing decides, InputError asks.
    """
    data = _as_its_program_has_them(data, outputs)
    if outputs.file is not None:
        return _renumbered(data, outputs, outputs_in(outputs.file, data, outputs.count), str(outputs.file))
    if outputs.sorting is not None:
        return _sorted(data, outputs, outputs.sorting)
    names = None if _are_plain(data) else outputs.own_names(data)
    if names is not None:
        return data if tuple(names) == data.class_names else _by_names(data, outputs, tuple(names))
    return _by_folders(data, outputs) if data.sorted_classes else _by_labels(data, outputs)


def _as_its_program_has_them(data: Samples, outputs: Outputs) -> Samples:
    """With the innermost folders as classes for a checkpoint of timm; unless only the outermost fit its outputs."""
    inner = by_innermost_folders(data) if SORTED_BY.get(outputs.format or "") == "natural" else data
    if inner is data or len(inner.class_names) != outputs.count == len(data.class_names):
        return data
    say(
        f"note: the classes of {data.name} are its innermost folders, {clean_label(inner.class_names[0])} the first, "
        "as timm has them"
    )
    return inner


def _are_plain(data: Samples) -> bool:
    """Whether labels came as numbers, and the classes have no other names."""
    return not data.sorted_classes and list(data.class_names) == [
        str(k) for k in range(len(data.class_names))
    ]


def _by_names(data: Samples, outputs: Outputs, names: Sequence[str]) -> Samples:
    found = matched(data.class_names, names)
    missing = [name for name in data.class_names if name not in found]
    if not missing:
        respelt = [name for name, place in found.items() if names[place] != name]
        if respelt:
            other = clean_label(f"{respelt[0]} is {names[found[respelt[0]]]}", 120)
            say(
                f"note: {len(respelt)} classes of {data.name} are spelt otherwise in the checkpoint: {other}, ..."
            )
        return _renumbered(
            data, outputs, {**dict(zip(names, range(len(names)), strict=True)), **found}, "the checkpoint"
        )
    if data.sorted_classes:
        return _of_folders_without_names(data, outputs, names, missing)
    moved = [name for name, place in found.items() if data.class_names[place : place + 1] != (name,)]
    if moved or len(data.class_names) > outputs.count:
        raise missing_from("the checkpoint", missing)
    say(
        f"note: the checkpoint names {len(missing)} classes of {data.name} otherwise: {_pair(missing[0], data, names)}"
    )
    return data.with_classes(tuple(names), range(len(data.class_names)))


def _pair(name: str, data: Samples, names: Sequence[str]) -> str:
    return clean_label(f"{name} is {names[data.class_names.index(name)]}", 120)


def _of_folders_without_names(
    data: Samples, outputs: Outputs, names: Sequence[str], missing: Sequence[str]
) -> Samples:
    """Folders that are ImageNet's or numbers, of a model whose outputs have names of another kind."""
    if are_synsets(data.class_names) and outputs.count == IMAGENET and are_imagenets(names):
        return _renumbered(data, outputs, _places(imagenet_synsets()), "ImageNet")
    if are_numbers(data.class_names, outputs.count):
        say(
            f"note: the folders of {data.name} are numbers: class k is output k, {clean_label(names[0])} the first"
        )
        return _renumbered(data, outputs, {name: int(name) for name in data.class_names}, data.name, names)
    listed = clean_label(", ".join(missing[:5]), 200)
    raise InputError(
        f"{len(missing)} classes of {data.name} are not among those of the checkpoint: {listed} (it has "
        f"{clean_label(', '.join(names[:5]), 200)}{', ...' if len(names) > 5 else ''}); rename them, or say which "
        "output each class is with --class-map FILE (a class name a line)"
    )


def _by_labels(data: Samples, outputs: Outputs) -> Samples:
    """Labels that came as numbers are outputs; the last ones may be missing where classes have no names."""
    K = len(data.class_names)
    if outputs.count >= K and _are_plain(data):
        names = outputs.names or [str(k) for k in range(outputs.count)]
        return data.with_classes(tuple(names), range(K))
    return data if outputs.count == K else _of_other_number(data, outputs)


def _by_folders(data: Samples, outputs: Outputs) -> Samples:
    """Folders in an order of their names."""
    if outputs.count == IMAGENET and are_synsets(data.class_names):
        return _renumbered(data, outputs, _places(imagenet_synsets()), "ImageNet")
    if len(data.class_names) != outputs.count:
        return _of_other_number(data, outputs)
    text, natural = (in_order(data.class_names, sorting) for sorting in SORTINGS)
    sorting = SORTED_BY.get(outputs.format or "")
    if sorting == "natural":
        _require_timms_order(natural, data)
    if text == natural:
        return _sorted(data, outputs, "text")
    if outputs.count == IMAGENET and are_numbers(data.class_names, IMAGENET):
        say(f"note: the folders of {data.name} are numbers: class k is output k")
        return _sorted(data, outputs, "natural")
    if sorting is None:
        first = next(k for k in range(len(text)) if text[k] != natural[k])
        raise InputError(
            f"the classes of {data.name} have two orders: {_shown(text, first)} ({WHO_SORTS['text']}) or "
            f"{_shown(natural, first)} ({WHO_SORTS['natural']}), and the checkpoint does not say which its outputs "
            "have; say --class-order text or --class-order natural"
        )
    say(f"note: the classes of {data.name} are in the order of their names: {WHO_SORTS[sorting]}")
    return _sorted(data, outputs, sorting)


def _require_timms_order(names: Sequence[str], data: Samples) -> None:
    if twins := alike_in_order(names):
        raise InputError(
            f"timm has no order for the classes {clean_label(' and '.join(twins))} of {data.name}, and the checkpoint "
            "does not say its own; say it with --class-map FILE (a class name a line)"
        )


def _shown(names: Sequence[str], first: int) -> str:
    start = max(first - 1, 0)
    return clean_label(", ".join(names[start : start + 3]), 80) + (", ..." if start + 3 < len(names) else "")


def _of_other_number(data: Samples, outputs: Outputs) -> Samples:
    raise InputError(
        f"the checkpoint has {outputs.count} classes but {data.name} has {len(data.class_names)}; pass --data for the "
        "data it was trained on, or say which output each class is with --class-map FILE (a class name a line)"
    )


def _sorted(data: Samples, outputs: Outputs, sorting: str) -> Samples:
    if len(data.class_names) != outputs.count:
        return _of_other_number(data, outputs)
    return _renumbered(data, outputs, _places(in_order(data.class_names, sorting)), data.name)


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: k for k, name in enumerate(names)}


def _renumbered(
    data: Samples,
    outputs: Outputs,
    places: Mapping[str, int],
    source: str,
    called: Sequence[str] | None = None,
) -> Samples:
    """called: the names of the outputs, where they are not those of the data."""
    missing = [name for name in data.class_names if name not in places]
    if missing:
        raise missing_from(source, missing)
    order = [places[name] for name in data.class_names]
    if len(set(order)) != len(order) or not all(0 <= place < outputs.count for place in order):
        raise InputError(
            f"expected a different output from 0 to {outputs.count - 1} for every class in {source}; say the order "
            "with --class-map FILE (a class name a line)"
        )
    named = {place: name for name, place in places.items()} | dict(zip(order, data.class_names, strict=True))
    names = called or [named.get(k, f"class {k}") for k in range(outputs.count)]
    return data.with_classes(tuple(names), order)
