"""Hugging Face data sets that `save_to_disk` wrote."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from maxsup_analysis.datasets.classes import class_labels, class_names
from maxsup_analysis.datasets.decoding import UnreadableImage, opened
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.pieces import image_in
from maxsup_analysis.datasets.splits import chosen_split, only_split
from maxsup_analysis.datasets.stamps import file_stamps, size_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.progress import say

if TYPE_CHECKING:
    from datasets import Dataset

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class HubImages:
    """A column of encoded images: the bytes of a file, or a path to one."""

    folder: Path
    rows: "Dataset"
    column: str

    def image(self, number: int) -> Image.Image:
        """The image in one row."""
        cell: Any = self.rows[number][self.column]  # type: ignore[index]
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if isinstance(content, bytes):
            return image_in(content)
        if isinstance(path, str):
            return opened(path)
        raise UnreadableImage("no image in this row")

    def called(self, number: int) -> str:
        """Its number."""
        return f"image {number}"

    def entries(self) -> Iterator[str]:
        """Number and size of each image."""
        place = 0
        for table in self._tables():
            for size in _sizes(table[self.column].combine_chunks()):
                yield f"{self.called(place)}\0{size}"
                place += 1

    def _tables(self) -> "Iterator[Any]":
        return self.rows.with_format("arrow").iter(batch_size=1000)

    def stamps(self, *, hash_contents: bool) -> Iterator[str]:
        """Size and time of change, or the SHA-256, of each file in the folder."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return file_stamps(files, self.folder, hash_contents=hash_contents)


def _sizes(column: Any) -> list[str]:
    """The size of each image in a column of Arrow, without reading them."""
    import pyarrow.compute as compute

    encoded = hasattr(column.type, "names")
    contents = column.field("bytes") if encoded else column
    paths = column.field("path").to_pylist() if encoded else [None] * len(column)
    lengths = compute.call_function("binary_length", [contents]).to_pylist()
    return [
        size_of(path) if length is None and path else str(length)
        for length, path in zip(lengths, paths, strict=True)
    ]


def is_saved_dataset(name: str) -> bool:
    """Whether this is a folder that `save_to_disk` wrote."""
    folder = Path(name)
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def saved_samples(name: str, split: str | None, data_dir: Path | None = None) -> ImageSamples:
    """A split of a folder that `save_to_disk` wrote."""
    root = Path(name)
    folder, title = _split_folder(root, split)
    rows = _rows(folder)
    images = _column(rows, "Image", IMAGE_COLUMNS, name)
    labels = _column(rows, "ClassLabel", LABEL_COLUMNS, name)
    numbers = class_labels(rows[labels][:], f"the column {labels} of {name}")
    names = class_names(numbers, getattr(rows.features[labels], "names", None), name)
    source = HubImages(folder, _undecoded(rows, images, name), images)
    return ImageSamples(root.name or root.resolve().name, title, source, numbers, names)


def _rows(folder: Path) -> "Dataset":
    try:
        from datasets import Dataset
    except ImportError:
        raise InputError(
            f"{folder} needs the package datasets, which is not installed; pip install 'maxsup-analysis[datasets]'"
        ) from None
    try:
        return Dataset.load_from_disk(str(folder))
    except Exception as reason:  # Arrow's errors and those of damaged JSON have nothing in common.
        detail = " ".join(str(reason).split())[:120]
        raise InputError(f"{folder} is not a whole data set ({detail}); save it again") from None


def _undecoded(rows: "Dataset", column: str, place: str) -> "Dataset":
    """The column of encoded images alone: decoding by the library would apply their EXIF orientation."""
    from datasets import Image as Encoded

    alone, kind = rows.select_columns([column]), rows.features[column]
    if isinstance(kind, Encoded):
        return alone.cast_column(column, Encoded(decode=False))
    if str(getattr(kind, "dtype", "")) not in ("binary", "large_binary"):
        shown = clean_label(" ".join(str(kind).split()), 120)
        raise InputError(
            f"expected encoded images in the column {column} of {place}, got {shown}; cast it to datasets.Image()"
        )
    return alone


def _column(rows: "Dataset", kind: str, names: tuple[str, ...], place: str) -> str:
    """The column of a kind, else the one that is called so; of several the one with the first of the names."""
    typed = [name for name, feature in rows.features.items() if type(feature).__name__ == kind]
    preferred = [name for name in names if name in typed] or typed
    if len(preferred) > 1 and preferred[0] not in names:
        listed = clean_label(", ".join(preferred), 200)
        raise InputError(
            f"{place} has several columns of type {kind} ({listed}); call the one to read {names[0]}"
        )
    preferred = preferred or [name for name in names if name in rows.features]
    if not preferred:
        raise InputError(
            f"expected a column of type {kind}, or called {' or '.join(names)}, in {place}, got "
            f"{clean_label(', '.join(rows.features), 200)}; rename one"
        )
    if len(typed) > 1:
        say(f"note: reading the column {preferred[0]} of {place}, of {clean_label(', '.join(typed), 200)}")
    return preferred[0]


def _split_folder(root: Path, asked: str | None) -> tuple[Path, str]:
    """The folder of a split, and what the split is called."""
    if (root / "dataset_dict.json").is_file():
        present = sorted(path.parent.name for path in root.glob("*/state.json"))
        if not present:
            raise InputError(f"{root} is not a whole data set (no split is in it); save it again")
        name = chosen_split(asked, present, str(root))
        return root / name, clean_label(name)
    stated = _stated_split(root / "state.json")
    return root, only_split(asked, stated, str(root))


def _stated_split(state: Path) -> str | None:
    """What a data set that is one split says it is: `train` of `train[:10%]`; None where it does not say."""
    try:
        stated = json.loads(state.read_text("utf-8"))["_split"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # What is damaged in it is said when it is opened.
    return clean_label(stated.partition("[")[0]) if isinstance(stated, str) and "+" not in stated else None
