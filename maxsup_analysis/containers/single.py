"""One file, whatever container it is."""

from pathlib import Path

from maxsup_analysis.containers.archive import read_archive
from maxsup_analysis.containers.arrays import read_npz, read_safetensors
from maxsup_analysis.containers.contents import Contents
from maxsup_analysis.containers.files import Window, opened
from maxsup_analysis.containers.kinds import refuse_zip, sniff
from maxsup_analysis.containers.torch_files import read_exported, read_pickled, read_torch_zip


def read_file(path: Path) -> Contents:
    """The contents of a checkpoint file; raises InputError that says what it is instead."""
    with opened(path) as window:
        match sniff(window):
            case "zip":
                return _read_zip(window)
            case "safetensors":
                return read_safetensors(window)
            case _:
                window.seek(0)
                return read_pickled(window)


def _read_zip(window: Window) -> Contents:
    members = read_archive(window)
    names = list(members)
    if any(name.endswith("data/weights/model_weights_config.json") for name in names):
        return read_exported(window, members)
    if any("/.data/extern_modules" in name for name in names):
        raise refuse_zip(names)
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return read_torch_zip(window, members)
    if names and all(name.endswith(".npy") for name in names):
        return read_npz(window, members)
    raise refuse_zip(names)
