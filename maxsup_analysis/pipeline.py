"""The story in a handful of functions: checkpoint, features, measurements, comparison, report."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from maxsup_analysis.arrays import SUFFIXES, holds_arrays, read_arrays
from maxsup_analysis.checkpoints import Checkpoint, open_checkpoint
from maxsup_analysis.classifiers import classifier_of
from maxsup_analysis.comparison import Comparison, compare
from maxsup_analysis.datasets import LabelledImages, load
from maxsup_analysis.devices import device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import extract
from maxsup_analysis.feature_store import FeatureStore, is_store, open_store, write_store
from maxsup_analysis.files import require_absent
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.measurements import Measurements, measure_representation
from maxsup_analysis.progress import say, track
from maxsup_analysis.representation import Representation
from maxsup_analysis.version import __version__


@dataclass(frozen=True)
class Extraction:
    """Where features come from; None takes what the checkpoint names."""

    data: str | None = None
    data_dir: Path | None = None
    split: str | None = None
    batch_size: int = 256
    device: str = "auto"


@dataclass(frozen=True)
class Source:
    """A representation and where it comes from, as given on the command line."""

    path: Path
    representation: Representation
    provenance: Mapping[str, object]

    @property
    def loss(self) -> str | None:
        """The title of the loss that it was trained with, where that is known."""
        training = self.provenance.get("training")
        loss = training.get("loss") if isinstance(training, Mapping) else None
        return LOSSES[loss].title if isinstance(loss, str) and loss in LOSSES else None


def extract_features(
    checkpoint_path: Path, output: Path | None, how: Extraction, *, overwrite: bool = False
) -> FeatureStore:
    """Checkpoint to feature store, beside the checkpoint unless `output` says otherwise."""
    output = output or default_store(checkpoint_path, how)
    require_absent(output, overwrite=overwrite)
    checkpoint = open_checkpoint(checkpoint_path)
    data = _data_of(checkpoint, how)
    classifier, device = classifier_of(checkpoint), device_of(how.device)
    if how.batch_size < 1:
        raise InputError(f"expected --batch-size above 0, got {how.batch_size}")
    batches = extract(classifier, data, device=device, batch_size=how.batch_size)
    total = -(-len(data.labels) // how.batch_size)
    return write_store(
        output,
        track(batches, total, f"features of {checkpoint.name}"),
        head=classifier.weights,
        class_names=data.class_names,
        provenance=_provenance(checkpoint, data, classifier.layer, device),
        overwrite=overwrite,
    )


def default_store(checkpoint: Path, how: Extraction) -> Path:
    """`ce.pt` keeps its features in `ce.features`, those of another data set or split under its name."""
    other = [part for part in (how.data, how.split) if part]
    return checkpoint.with_suffix("." + ".".join([*other, "features"]))


def open_source(path: Path, how: Extraction | None = None) -> Source:
    """A feature store, a file of arrays, or a checkpoint, whose features are extracted first."""
    if path.is_dir():
        return _of_store(open_store(path))
    if not path.is_file():
        raise InputError(
            f"expected a feature store, a checkpoint or a file of arrays at {path}; nothing is there"
        )
    if path.suffix in SUFFIXES or holds_arrays(path):
        return Source(path, read_arrays(path), {"source": path.name, "package_version": __version__})
    return _of_store(_store_of_checkpoint(path, how or Extraction()))


def measure_source(source: Source, *, standard_errors: bool = True) -> Measurements:
    """Every metric of a source."""
    return measure_representation(
        source.representation, standard_errors=standard_errors, provenance=source.provenance
    )


def open_named(arguments: Sequence[str]) -> dict[str, list[Source]]:
    """NAME=PATH[,PATH...], PATH, or a folder of stores, to the runs of each name.

    What has no name takes the title of its loss, so that the runs of a loss come together.
    """
    named: dict[str, list[Source]] = {}
    for argument in arguments:
        name, given, paths = argument.rpartition("=")
        for path in (paths if given else argument).split(","):
            for source in _sources_under(Path(path)):
                key = name or source.loss or source.path.stem
                named.setdefault(key, []).append(source)
    return named


def compare_named(named: Mapping[str, Sequence[Source]], *, baseline: str | None = None) -> Comparison:
    """Measure every run and compare the names; CE is the baseline unless said otherwise, else the first."""
    sources = [source for group in named.values() for source in group]
    prints = {
        str(source.provenance["data_sha256"]) for source in sources if "data_sha256" in source.provenance
    }
    if len(prints) > 1:
        raise InputError(
            "expected features of the same samples, got different data or splits: "
            + ", ".join(f"{source.path.name} ({source.provenance.get('data')})" for source in sources)
            + "; extract all of them with the same --data and --split"
        )
    total = len(sources)
    runs: dict[str, list[Measurements]] = {name: [] for name in named}
    steps = ((name, source) for name, group in named.items() for source in group)
    for name, source in track(steps, total, "measuring"):
        runs[name].append(measure_source(source))
    return compare(runs, baseline=baseline or ("CE" if "CE" in runs else None))


def _sources_under(path: Path) -> list[Source]:
    """The source at a path, or every store in a folder that is not one itself."""
    if not path.is_dir() or is_store(path):
        return [open_source(path)]
    stores = sorted(manifest.parent for manifest in path.glob("**/manifest.json"))
    if not stores:
        return [open_source(path)]
    return [open_source(store) for store in stores]


def _of_store(store: FeatureStore) -> Source:
    return Source(store.path, store.represent(), store.provenance)


def _store_of_checkpoint(path: Path, how: Extraction) -> FeatureStore:
    """The features of a checkpoint: those beside it where they are its own, else extracted now."""
    place = default_store(path, how)
    if not is_store(place):
        return extract_features(path, place, how)
    store, checkpoint = open_store(place), open_checkpoint(path)
    if store.provenance.get("checkpoint") != {"name": checkpoint.name, "sha256": checkpoint.sha256}:
        raise InputError(
            f"{place} holds the features of another checkpoint; extract them again with "
            f"`maxsup-analyze features {path} --overwrite`"
        )
    say(f"using the features in {place}")
    return store


def _data_of(checkpoint: Checkpoint, how: Extraction) -> LabelledImages:
    name, split = (how.data or checkpoint.metadata.get("data"), how.split or checkpoint.metadata.get("split"))
    if not isinstance(name, str) or not isinstance(split, str):
        raise InputError(f"{checkpoint.name} names no data; say which with --data and --split")
    return load(name, split, how.data_dir)


def _provenance(
    checkpoint: Checkpoint, data: LabelledImages, layer: str, device: torch.device
) -> dict[str, object]:
    about = checkpoint.metadata
    known = {key: about[key] for key in ("architecture", "training", "preprocessing") if key in about}
    return {
        "checkpoint": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        **known,
        "layer": f"input of {layer}",
        "data": data.name,
        "split": data.split,
        "data_sha256": data.fingerprint,
        "device": device.type,
        "dtype": "float32",
        "package_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
    }
