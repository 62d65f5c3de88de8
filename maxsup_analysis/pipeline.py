"""The story in a handful of functions: checkpoint, features, measurements, comparison, report."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from maxsup_analysis.arrays import holds_arrays, read_arrays
from maxsup_analysis.checkpoints import Checkpoint, open_checkpoint
from maxsup_analysis.class_order import in_the_order_of
from maxsup_analysis.classifiers import Classifier, ModelChoice, classifier_of, probe_of
from maxsup_analysis.comparison import Comparison, compare
from maxsup_analysis.containers import read
from maxsup_analysis.datasets import Samples, open_data
from maxsup_analysis.devices import device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import extract
from maxsup_analysis.feature_store import Batch, FeatureStore, is_store, open_store, write_store
from maxsup_analysis.files import require_absent
from maxsup_analysis.labels import clean_file_name, clean_label
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.measurements import Measurements, measure_representation
from maxsup_analysis.progress import say, track
from maxsup_analysis.representation import Representation
from maxsup_analysis.taps import layer_names
from maxsup_analysis.version import __version__


@dataclass(frozen=True)
class Extraction:
    """Where features come from; None takes what the checkpoint names.

    class_map: a file that says which output each class of the data is.
    """

    data: str | None = None
    data_dir: Path | None = None
    split: str | None = None
    batch_size: int = 256
    device: str = "auto"
    workers: int = 0
    model: ModelChoice = field(default_factory=ModelChoice)
    use_ema: bool | None = None
    weights_key: str | None = None
    class_map: Path | None = None
    expect_sha256: str | None = None

    def open(self, path: Path) -> Checkpoint:
        """The checkpoint, with the weights that are asked for."""
        return open_checkpoint(
            path, use_ema=self.use_ema, weights_key=self.weights_key, expect_sha256=self.expect_sha256
        )


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
    checkpoint = how.open(checkpoint_path)
    data = _data_of(checkpoint, how)
    classifier, device = classifier_of(checkpoint, how.model), device_of(how.device)
    if how.batch_size < 1:
        raise InputError(f"expected --batch-size above 0, got {how.batch_size}")
    ordered = in_the_order_of(data, classifier.num_classes, classifier.class_names, how.class_map)
    for line in _before_running(checkpoint, classifier, ordered):
        say(line)
    batches = extract(classifier, ordered, device=device, batch_size=how.batch_size, workers=how.workers)
    total = -(-len(ordered.labels) // how.batch_size)
    hits = _Hits()
    store = write_store(
        output,
        hits.counted(track(batches, total, f"features of {checkpoint.name}")),
        head=classifier.weights,
        class_names=ordered.class_names,
        provenance=_provenance(checkpoint, ordered, classifier, device),
        overwrite=overwrite,
    )
    for line in _after_running(hits, classifier):
        say(line)
    return store


def layers_of(checkpoint_path: Path, how: Extraction) -> dict[str, tuple[int, ...]]:
    """Every layer of a checkpoint's model that gives a tensor, and the shape of it for one image."""
    checkpoint = how.open(checkpoint_path)
    classifier = classifier_of(checkpoint, replace(how.model, layer=""))
    probe = probe_of(classifier.preprocessing)[:1]
    return layer_names(classifier.module, probe)


class _Hits:
    """Counts right predictions on the way."""

    def __init__(self) -> None:
        self.right = self.seen = 0

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches themselves."""
        for batch in batches:
            self.right += int((batch.logits.argmax(1) == batch.labels).sum())
            self.seen += len(batch.labels)
            yield batch


def _before_running(checkpoint: Checkpoint, classifier: Classifier, data: Samples) -> list[str]:
    found = checkpoint.inspection
    head = f"; {classifier.head.description}" if classifier.head else "; no linear head"
    lines = [f"{checkpoint.name}: {classifier.name} ({'; '.join(found.evidence[:2])}){head}"]
    if classifier.layer is not None:
        lines.append(f"features: {classifier.place}")
    lines.append(f"images of {data.name}: {classifier.preprocessing}")
    return [clean_label(line, 400) for line in [*lines, *(f"warning: {text}" for text in found.warnings)]]


def _after_running(hits: _Hits, classifier: Classifier) -> list[str]:
    accuracy, chance = hits.right / hits.seen, 1 / classifier.num_classes
    lines = [f"accuracy {accuracy:.4f} on {hits.seen:,} samples"]
    if accuracy < 2 * chance and classifier.num_classes > 2:
        lines.append(
            f"warning: that is near chance ({chance:.4f}). Likely causes: the classes are in another order "
            "(--class-map), images are prepared otherwise (--mean, --std, --resize, --image-size), other weights are "
            "meant (--use-ema, --weights-key), or another architecture has the same names and shapes (--model)"
        )
    return lines


def default_store(checkpoint: Path, how: Extraction) -> Path:
    """`ce.pt` keeps its features in `ce.features`, those of another data set or split under its name."""
    data = how.data and Path(how.data).resolve().name
    other = [clean_file_name(part) for part in (data, how.split) if part]
    return checkpoint.with_name(".".join([checkpoint.stem, *other, "features"]))


def open_source(path: Path, how: Extraction | None = None) -> Source:
    """A feature store, a file of arrays, or a checkpoint, whose features are extracted first."""
    if not path.exists():
        raise InputError(
            f"expected a feature store, a checkpoint or a file of arrays at {path}; nothing is there"
        )
    if is_store(path) or (path.is_dir() and not _looks_like_checkpoint(path)):
        return _of_store(open_store(path))
    contents = read(path) if path.is_file() else None
    if contents is not None and holds_arrays(contents):
        return Source(
            path, read_arrays(path, contents), {"source": path.name, "package_version": __version__}
        )
    return _of_store(_store_of_checkpoint(path, how or Extraction()))


def _looks_like_checkpoint(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".metadata", "config.json", "latest", "params.json"))


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
    store, checkpoint = open_store(place), how.open(path)
    if store.provenance.get("checkpoint") != {"name": checkpoint.name, "sha256": checkpoint.sha256}:
        raise InputError(
            f"{place} holds the features of another checkpoint; extract them again with "
            f"`maxsup-analyze features {path} --overwrite`"
        )
    say(f"using the features in {place}")
    return store


def _data_of(checkpoint: Checkpoint, how: Extraction) -> Samples:
    own = checkpoint.inspection.claims.own
    name = how.data or own.get("data")
    split = how.split or (own.get("split") if how.data in (None, own.get("data")) else None)
    if not isinstance(name, str):
        raise InputError(
            f"{checkpoint.name} names no data; say which with --data (a folder of class folders, or a name)"
        )
    return open_data(name, split if isinstance(split, str) else None, how.data_dir)


def _provenance(
    checkpoint: Checkpoint, data: Samples, classifier: Classifier, device: torch.device
) -> dict[str, object]:
    found = checkpoint.inspection
    about = found.to_plain()
    return {
        "checkpoint": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "architecture": {"name": classifier.name, "arguments": about["arguments"]},
        "training": about["training"],
        "preprocessing": classifier.preprocessing.to_plain(),
        "weights": {"key": about["weights_key"], "ema": about["ema"]},
        "evidence": about["evidence"],
        "warnings": about["warnings"],
        "layer": classifier.place,
        "head": classifier.head.description if classifier.head else None,
        "data": data.name,
        "split": data.split,
        "data_sha256": data.fingerprint,
        "device": device.type,
        "dtype": "float32",
        "package_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
    }
