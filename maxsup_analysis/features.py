"""From a checkpoint to its feature store: what the `features` command does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from maxsup_analysis.checkpoints import Checkpoint, open_checkpoint
from maxsup_analysis.class_order import Outputs, in_the_order_of
from maxsup_analysis.classifiers import Classifier, ModelChoice, classifier_of, probe_of
from maxsup_analysis.datasets import LabelledImages, Samples, open_data, stated_data, stated_split
from maxsup_analysis.datasets.splits import WHOLE
from maxsup_analysis.devices import cores, device_of
from maxsup_analysis.errors import InputError
from maxsup_analysis.extraction import STORED, Extractor, Storage, Tally
from maxsup_analysis.feature_store import FeatureStore, StorePlan
from maxsup_analysis.feature_store.building import StoreBuild, building
from maxsup_analysis.feature_store.request import Request
from maxsup_analysis.feature_store.reuse import reusable
from maxsup_analysis.forward import ForwardPass, Precision
from maxsup_analysis.ingredients import content_key
from maxsup_analysis.labels import clean_file_name, clean_label
from maxsup_analysis.loading import Loader, images_at_once
from maxsup_analysis.progress import Meter, duration, say
from maxsup_analysis.provenance import other_versions, provenance_of
from maxsup_analysis.ranks import Ranks, ranks_of
from maxsup_analysis.taps import layer_names

BATCH = 256
MOST_WORKERS = 8
# Below this many images, starting processes takes longer than decoding.
FEW_IMAGES = 512
ROOM = 1.05
# Of two classes, twice chance is everything: there, what is this much of chance is near it.
BELOW_CHANCE = 0.8


@dataclass(frozen=True)
class Extraction:
    """Where features come from, and how; None takes what the checkpoint names, or what suits the machine.

    class_map: a file that says which output each class of the data is. class_order: `text` or `natural`, where outputs
    are the classes of the data in that order of their names.
    batch_size: None for the largest that fits. workers: processes that decode images.
    hash_data: whether the data are the same is told by their contents, not by sizes and times.
    rank: which part of the shards, such as `0/4`; None for what torchrun says, else all.
    """

    data: str | None = None
    data_dir: Path | None = None
    split: str | None = None
    batch_size: int | None = BATCH
    device: str = "auto"
    workers: int | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    use_ema: bool | None = None
    weights_key: str | None = None
    class_map: Path | None = None
    class_order: str | None = None
    expect_sha256: str | None = None
    precision: Precision = field(default_factory=Precision)
    storage: Storage = field(default_factory=Storage)
    hash_data: bool = False
    rank: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"expected --batch-size above 0, got {self.batch_size}")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"expected --workers of 0 or more, got {self.workers}")

    def open(self, path: Path) -> Checkpoint:
        """The checkpoint, with the weights that are asked for."""
        return open_checkpoint(
            path, use_ema=self.use_ema, weights_key=self.weights_key, expect_sha256=self.expect_sha256
        )


@dataclass(frozen=True)
class Prepared:
    """All that is known before the first image is read."""

    checkpoint: Checkpoint
    classifier: Classifier
    data: Samples
    device: torch.device
    ranks: Ranks
    request: Request

    def extractor(self, forward: ForwardPass, how: Extraction) -> Extractor:
        """What turns these samples into shards."""
        most = images_at_once(self.classifier.preprocessing.size)
        batch = min(how.batch_size, most) if how.batch_size else forward.largest_batch()
        pinned = self.device.type == "cuda"
        loader = Loader(
            self.data.reader(self.classifier.preprocessing), workers_for(self.data, how.workers), pinned
        )
        return Extractor(self.data, forward, loader, how.storage, batch)


def extract_features(
    checkpoint_path: Path, output: Path | None, how: Extraction, *, overwrite: bool = False
) -> FeatureStore:
    """Checkpoint to feature store, beside the checkpoint unless `output` says otherwise.

    A store of the same content is used as it is; one that was not finished goes on.
    """
    store = extract_share(checkpoint_path, output, how, overwrite=overwrite)
    if store is None:
        raise InputError(
            f"the features of {checkpoint_path} are not whole: shards of other ranks are still to come"
        )
    return store


def extract_share(
    checkpoint_path: Path, output: Path | None, how: Extraction, *, overwrite: bool = False
) -> FeatureStore | None:
    """As `extract_features`, for one of several ranks: None where shards of others are still to come."""
    ready = prepared(checkpoint_path, output, how, overwrite=overwrite)
    was_there = ready.request.target.exists()
    store = reusable(ready.request)
    if store is not None:
        say(
            f"nothing has changed: using the features in {store.path} ({store.size:,} rows, every byte checked)"
        )
        if changed := other_versions(store.provenance):
            say(f"note: they were extracted with {changed}")
        return store
    for line in _before_running(ready) if ready.ranks.rank == 0 else ():
        say(line)
    replacing = was_there and ready.request.target.exists()
    with building(ready.request, ready.ranks, replacing=replacing) as build, _kept(build):
        _say_where_it_goes_on(build, ready.ranks)
        if build.missing:
            _run(build, ready, how)
        store = build.finish()
    if store is None:
        say(
            f"{ready.ranks}: its shards are written; the store is whole once those of the other ranks are there"
        )
    elif store.skipped:
        say(
            f"warning: {len(store.skipped):,} samples were left out; {store.path}/manifest.json names each, and why"
        )
    return store


def prepared(
    checkpoint_path: Path, output: Path | None, how: Extraction, *, overwrite: bool = False
) -> Prepared:
    """Checkpoint, data and content key brought together; raises InputError where they do not fit."""
    ranks, checkpoint = ranks_of(how.rank), how.open(checkpoint_path)
    data = _data_of(checkpoint, how)
    output = with_a_name(output or default_store(with_a_name(checkpoint_path), how, data.split))
    classifier, device = classifier_of(checkpoint, how.model), device_of(how.device, ranks.local)
    classifier = _as_prepared(classifier, data)
    ordered = in_the_order_of(data, _outputs_of(checkpoint, classifier, how))
    _require_labels(ordered, classifier)
    key = content_key(classifier, ordered, device, how.precision, how.storage, hash_data=how.hash_data)
    plan = StorePlan(
        key,
        ordered.class_names,
        classifier.weights,
        provenance_of(checkpoint, ordered, classifier, device, how.precision, how.storage),
    )
    request = Request(
        output,
        plan,
        len(ordered),
        overwrite=overwrite,
        allow_skipped=how.storage.skip,
        shard=how.storage.shard,
    )
    return Prepared(checkpoint, classifier, ordered, device, ranks, request)


def _outputs_of(checkpoint: Checkpoint, classifier: Classifier, how: Extraction) -> Outputs:
    claims = checkpoint.inspection.claims
    if claims.class_map and (how.class_map, how.class_order, classifier.class_names) == (None, None, None):
        raise InputError(
            f"{checkpoint.name}: its run numbered the classes by a file, {clean_label(claims.class_map)}, which is not "
            "in the checkpoint; give that file with --class-map FILE"
        )
    written_by = claims.format
    return Outputs(classifier.num_classes, classifier.class_names, how.class_map, how.class_order, written_by)


def _as_prepared(classifier: Classifier, data: Samples) -> Classifier:
    """With the preprocessing that is done: images in memory that have the model's size are not resized."""
    images = classifier.preprocessing
    if not isinstance(data, LabelledImages) or tuple(data.images.shape[1:]) != images.size:
        return classifier
    return replace(classifier, preprocessing=replace(images, resize=None))


def layers_of(checkpoint_path: Path, how: Extraction) -> dict[str, tuple[int, ...]]:
    """Every layer of a checkpoint's model that gives a tensor, and the shape of it for one image."""
    checkpoint = how.open(checkpoint_path)
    classifier = classifier_of(checkpoint, replace(how.model, layer=""))
    probe = probe_of(classifier.preprocessing)[:1]
    return layer_names(classifier.module, probe)


def default_store(checkpoint: Path, how: Extraction, split: str) -> Path:
    """`ce.pt` keeps its features in `ce.features`, those of another data set or split under its name.

    split: that is read, by the name that the data have for it.
    """
    data = how.data and Path(how.data).resolve().name
    named = split if how.split and split != WHOLE else None
    other = [clean_file_name(part) for part in (data, named) if part]
    return checkpoint.with_name(".".join([checkpoint.stem, *other, "features"]))


def with_a_name(path: Path) -> Path:
    """A path with a name of its own, which `.` and `..` lack: others are made beside it."""
    return Path(os.path.abspath(path)) if path.name in ("", "..") else path


def workers_for(data: Samples, asked: int | None) -> int:
    """Processes that decode: as many as asked, else one a core where there is much to decode."""
    if asked is not None:
        return asked
    if isinstance(data, LabelledImages) or len(data) <= FEW_IMAGES:
        return 0
    return min(MOST_WORKERS, cores())


def row_bytes(forward: ForwardPass, storage: Storage) -> int:
    """What a row takes on disk: id, label, features, logits."""
    numbers = forward.D + (forward.K if storage.logits else 0)
    return 16 + numbers * STORED[storage.dtype].itemsize


def require_room(build: StoreBuild, forward: ForwardPass, storage: Storage) -> None:
    """Raise InputError where the disk cannot hold what is missing."""
    rows = sum(len(build.request.ids(number)) for number in build.missing)
    needed, free = int(ROOM * rows * row_bytes(forward, storage)), shutil.disk_usage(build.folder).free
    if needed > free:
        raise InputError(
            f"{build.folder.parent} has {free / 1e9:.2f} GB free but {rows:,} rows take {needed / 1e9:.2f} GB; make "
            "room, choose another output with -o, or store less with --dtype float16 or --no-logits"
        )


def _run(build: StoreBuild, ready: Prepared, how: Extraction) -> None:
    with ForwardPass(ready.classifier, ready.device, how.precision) as forward:
        require_room(build, forward, how.storage)
        rows = sum(len(build.request.ids(number)) for number in build.missing)
        meter = Meter(f"features of {ready.checkpoint.name}", rows)
        tally = ready.extractor(forward, how).run(build, meter)
        for line in _after_running(tally, meter, ready, resumed=build.found > 0):
            say(line)


@contextmanager
def _kept(build: StoreBuild) -> Iterator[None]:
    """Whatever ends the run says what is kept."""
    try:
        yield
    except BaseException as reason:
        if done := build.done:
            reason.add_note(
                f"{done:,} of {build.request.shards:,} shards are done and kept in {build.folder}"
            )
        raise


def _say_where_it_goes_on(build: StoreBuild, ranks: Ranks) -> None:
    part = f"{ranks}: " if ranks.world > 1 else ""
    if build.found:
        say(f"{part}going on: {build.found:,} shards are there, {len(build.missing):,} to do")


def _before_running(ready: Prepared) -> list[str]:
    checkpoint, classifier, found = ready.checkpoint, ready.classifier, ready.checkpoint.inspection
    head = f"; {classifier.head.description}" if classifier.head else "; no linear head"
    lines = [f"{checkpoint.name}: {classifier.name} ({'; '.join(found.evidence[:2])}){head}"]
    if classifier.layer is not None:
        lines.append(f"features: {classifier.place}")
    lines.append(f"images of {ready.data.name}: {classifier.preprocessing}")
    if found.unused:
        lines.append(f"warning: it states, and is not used: {', '.join(found.unused)}; `inspect` lists it")
    return [clean_label(line, 400) for line in [*lines, *(f"warning: {text}" for text in found.warnings)]]


def _after_running(tally: Tally, meter: Meter, ready: Prepared, *, resumed: bool) -> list[str]:
    classifier = ready.classifier
    lines = [f"{tally.rows:,} rows in {duration(meter.elapsed)}: {meter.summary}"]
    if tally.rotated:
        lines.append(
            f"note: {tally.rotated:,} images carry an EXIF rotation, which is not applied, as in training"
        )
    if not tally.rows:
        return lines
    accuracy, chance = tally.right / tally.rows, 1 / classifier.num_classes
    part = ", those of this run alone" if resumed else ""
    lines.append(f"accuracy {accuracy:.4f} on {tally.rows:,} samples{part}")
    fit = tally.confusions.better_order(ready.data.class_names)
    if fit is not None:
        lines.append(f"warning: {fit}")
    elif accuracy < (2 * chance if classifier.num_classes > 2 else BELOW_CHANCE * chance):
        lines.append(
            f"warning: that is near chance ({chance:.4f}). Likely causes: the classes are in another order "
            "(--class-map), images are prepared otherwise (--mean, --std, --resize, --image-size), other weights are "
            "meant (--use-ema, --weights-key), or another architecture has the same names and shapes (--model)"
        )
    return lines


def _data_of(checkpoint: Checkpoint, how: Extraction) -> Samples:
    own = checkpoint.inspection.claims.own
    named, split = (own.item("data"), own.item("split")) if own else (None, None)
    if how.data is None and named is None:
        raise InputError(
            f"{checkpoint.name} names no data; say which with --data (a folder of class folders, or a name)"
        )
    data = how.data if how.data is not None else stated_data(named)  # type: ignore[arg-type]
    same = how.data is None or (named is not None and named.is_among({how.data: None}))
    given = how.split or (stated_split(split) if split is not None and same else None)
    return open_data(data, given, how.data_dir)


def _require_labels(data: Samples, classifier: Classifier) -> None:
    outside = (data.labels < 0) | (data.labels >= classifier.num_classes)
    if not len(data):
        raise InputError(f"expected at least one sample in {data.name}, got none; check --data and --split")
    if outside.any():
        first = int(outside.nonzero()[0, 0])
        raise InputError(
            f"expected labels from 0 to {classifier.num_classes - 1}, got {int(data.labels[first])} for "
            f"{data.called(first)} (sample {first}); pass --data for the data it was trained on"
        )
