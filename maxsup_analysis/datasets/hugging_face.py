"""Hugging Face data sets that `save_to_disk` wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from maxsup_analysis.datasets.classes import class_labels, class_names
from maxsup_analysis.datasets.decoding import UnreadableImage, opened
from maxsup_analysis.datasets.images import ImageSamples
from maxsup_analysis.datasets.pieces import image_in
from maxsup_analysis.datasets.splits import SPLIT_NAMES, usual_split
from maxsup_analysis.datasets.stamps import file_stamps, size_of
from maxsup_analysis.errors import InputError

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
        content, path = (cell["bytes"], cell["path"]) if isinstance(cell, dict) else (cell, None)
        if content is not None:
            return image_in(content)
        if path is not None:
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
    folder = _split_folder(root, split) if (root / "dataset_dict.json").is_file() else root
    rows = _rows(folder)
    images, labels = (
        _column(rows, "Image", IMAGE_COLUMNS, name),
        _column(rows, "ClassLabel", LABEL_COLUMNS, name),
    )
    numbers = class_labels(rows[labels][:], f"the column {labels} of {name}")
    names = class_names(numbers, getattr(rows.features[labels], "names", None), name)
    source = HubImages(folder, _undecoded(rows, images), images)
    title = usual_split(split) or (usual_split(folder.name) if folder != root else "all")
    return ImageSamples(root.name or root.resolve().name, str(title), source, numbers, names)


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


def _undecoded(rows: "Dataset", column: str) -> "Dataset":
    """The column of encoded images alone: decoding by the library would apply their EXIF orientation."""
    from datasets import Image as Encoded

    alone = rows.select_columns([column])
    return (
        alone.cast_column(column, Encoded(decode=False))
        if isinstance(rows.features[column], Encoded)
        else alone
    )


def _column(rows: "Dataset", kind: str, names: tuple[str, ...], place: str) -> str:
    """The first column of a kind, else the first that is called so."""
    typed = [name for name, feature in rows.features.items() if type(feature).__name__ == kind]
    preferred = (
        [name for name in names if name in typed]
        or typed
        or [name for name in names if name in rows.features]
    )
    if not preferred:
        raise InputError(
            f"expected a column of type {kind}, or called {' or '.join(names)}, in {place}, got "
            f"{', '.join(rows.features)}; rename one"
        )
    return preferred[0]


def _split_folder(root: Path, split: str | None) -> Path:
    """The folder of a split by its own name, else by what such a split is usually called."""
    present = sorted(path.parent.name for path in root.glob("*/state.json"))
    usual = SPLIT_NAMES.get(usual_split(split) or "", ())
    wanted = [name for name in (split, *usual) if name in present] or (present if len(present) == 1 else [])
    if split is not None and wanted and wanted[0] not in (split, *usual):
        wanted = []
    if not wanted:
        raise InputError(f"{root} has the splits {', '.join(present)}; name one of them with --split")
    return root / str(wanted[0])
