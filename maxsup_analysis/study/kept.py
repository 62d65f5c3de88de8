"""Measurements on disk, with the influences that comparing them needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.files import write_durably
from maxsup_analysis.influence import Samples
from maxsup_analysis.labels import clean_label, own_file_name
from maxsup_analysis.measurements import Measurements

SUFFIX = ".measured.json"
INFLUENCES = ".influences.safetensors"


@dataclass(frozen=True)
class Part:
    """Something that is measured of every run: a split, or a data set that its features are transferred to.

    asked: everything that decides the numbers beside the run's weights; other numbers are not taken for these.
    """

    name: str
    asked: str

    @property
    def file_name(self) -> str:
        """The part's name, fit to be one of a file."""
        return own_file_name(self.name, "+.", limit=200)


def keep(folder: Path, part: Part, measured: Measurements) -> None:
    """Write measurements so that they are there whole, or not at all."""
    assert measured.samples is not None
    influences = {
        name: item.influence for name, item in measured.estimates.items() if item.influence is not None
    }
    arrays = {"ids": measured.samples.ids, "labels": measured.samples.labels}
    arrays |= {f"influence/{name}": values.numpy() for name, values in influences.items()}
    write_durably(folder / (part.file_name + INFLUENCES), save(arrays))
    document = {"part": part.name, "asked": part.asked, "measurements": json.loads(measured.to_json())}
    # Last, as it is what says that the part is there.
    write_durably(folder / (part.file_name + SUFFIX), json.dumps(document, indent=1).encode())


def is_kept(folder: Path, part: Part) -> bool:
    """Whether `keep` wrote this part, and not what something else asked for."""
    return _document(folder, part) is not None


def kept(folder: Path, part: Part) -> Measurements | None:
    """What `keep` wrote of this part; None where there is nothing, or something else was asked for."""
    document = _document(folder, part)
    if document is None:
        return None
    try:
        measured = Measurements.from_json(json.dumps(document["measurements"]))
        return _with_influences(measured, load((folder / (part.file_name + INFLUENCES)).read_bytes()))
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError) as reason:
        raise _damaged(folder, part, reason) from None


def _document(folder: Path, part: Part) -> Mapping[str, object] | None:
    try:
        document = json.loads((folder / (part.file_name + SUFFIX)).read_text())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as reason:
        raise _damaged(folder, part, reason) from None
    if not isinstance(document, dict):
        raise _damaged(folder, part, ValueError("it is no object"))
    return document if (document.get("part"), document.get("asked")) == (part.name, part.asked) else None


def _damaged(folder: Path, part: Part, reason: Exception) -> InputError:
    detail = clean_label(" ".join(f"{reason}".split()) or type(reason).__name__, 160)
    return InputError(
        f"{folder / (part.file_name + SUFFIX)} is damaged ({detail}); remove it, and it is measured again"
    )


def _with_influences(measured: Measurements, arrays: dict[str, np.ndarray]) -> Measurements:
    influences: dict[str, Tensor] = {
        name.removeprefix("influence/"): torch.from_numpy(values)
        for name, values in arrays.items()
        if name.startswith("influence/")
    }
    estimates = {
        name: replace(item, influence=influences.get(name)) for name, item in measured.estimates.items()
    }
    return replace(measured, estimates=estimates, samples=Samples(arrays["ids"], arrays["labels"]))
