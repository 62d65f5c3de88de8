"""What `--data` may name, in the order in which it is tried."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maxsup_analysis.datasets.arrays import array_samples, names_arrays
from maxsup_analysis.datasets.corruptions.samples import corrupted, corruption_in
from maxsup_analysis.datasets.hugging_face import is_saved_dataset, saved_samples
from maxsup_analysis.datasets.image_folders import image_folder
from maxsup_analysis.datasets.named import DATASETS, open_named_data
from maxsup_analysis.datasets.samples import Samples
from maxsup_analysis.datasets.tars import names_tars, tar_samples
from maxsup_analysis.datasets.torchvision_sets import names_torchvision_set, torchvision_samples
from maxsup_analysis.datasets.user_code import code_samples, names_code
from maxsup_analysis.datasets.zips import names_zip, zip_samples
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label


@dataclass(frozen=True)
class Source:
    """A way to keep samples: what names it, and how to open a split of it from what is named and `--data-dir`."""

    recognises: Callable[[str], bool]
    open: Callable[[str, str | None, Path | None], Samples]


SOURCES = (
    Source(lambda name: name in DATASETS, open_named_data),
    Source(names_torchvision_set, torchvision_samples),
    Source(names_code, code_samples),
    Source(names_tars, tar_samples),
    Source(names_zip, zip_samples),
    Source(is_saved_dataset, saved_samples),
    Source(names_arrays, array_samples),
    Source(lambda name: Path(name).is_dir(), lambda name, split, _: image_folder(Path(name), split)),
)


def open_data(name: str, split: str | None, data_dir: Path | None = None) -> Samples:
    """The samples that `--data` names: those of the first source that recognises the name.

    A split as `test+fog:3` is the split test, corrupted.
    """
    clean, damage = corruption_in(split)
    samples = _opened(name, clean, data_dir)
    return samples if damage is None else corrupted(samples, damage.kind, damage.severity, damage.seed)


def _opened(name: str, split: str | None, data_dir: Path | None) -> Samples:
    for source in SOURCES:
        if source.recognises(name):
            return source.open(name, split, data_dir)
    if data_dir is not None and (data_dir / name).exists():
        return _opened(str(data_dir / name), split, data_dir)
    if "/" in name or "." in name or data_dir is not None:
        places = f"{name} or {data_dir / name}" if data_dir is not None else name
        raise InputError(
            f"expected a data set or a folder of images, found nothing at {clean_label(places, 400)}; check --data"
        )
    return open_named_data(name, split, data_dir)
