"""The story in a handful of functions: checkpoint, features, measurements, comparison, report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from maxsup_analysis.arrays import holds_arrays, read_arrays
from maxsup_analysis.breakdown import BREAKDOWNS, Breakdown
from maxsup_analysis.comparison import Comparison, compare
from maxsup_analysis.containers import read
from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import MANIFEST, FeatureStore, is_store, open_store
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.losses import LOSSES
from maxsup_analysis.matching import matched_per_class
from maxsup_analysis.measurements import Measurements, measure_representation
from maxsup_analysis.metrics import METRICS, Metric
from maxsup_analysis.metrics.groups import STANDARD, chosen
from maxsup_analysis.named_code import run_file
from maxsup_analysis.progress import track
from maxsup_analysis.repeats import Run, require_other_epochs, require_repeats
from maxsup_analysis.representation import Representation
from maxsup_analysis.version import __version__

# Folders that are looked through for feature stores.
MOST_FOLDERS = 20_000


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


def open_source(path: Path, how: Extraction | None = None, *, dask: str | None = None) -> Source:
    """A feature store, a file of arrays, or a checkpoint, whose features are extracted first.

    dask: the scheduler of a cluster that sweeps over the rows of a store.
    """
    if not path.exists():
        raise InputError(
            f"expected a feature store, a checkpoint or a file of arrays at {path}; nothing is there"
        )
    if is_store(path) or (path.is_dir() and not _looks_like_checkpoint(path)):
        return _of_store(open_store(path), dask)
    contents = read(path) if path.is_file() else None
    if contents is not None and holds_arrays(contents):
        return Source(
            path, read_arrays(path, contents), {"source": path.name, "package_version": __version__}
        )
    return _of_store(extract_features(path, None, how or Extraction()), dask)


def _looks_like_checkpoint(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".metadata", "config.json", "latest", "params.json"))


def chosen_metrics(groups: Sequence[str] | None, files: Sequence[Path] | None = None) -> list[Metric]:
    """The metrics of groups, or of that name; those of the user's files come along.

    groups: names with commas between them, none for the standard ones. Raises InputError for an unknown name.
    """
    before = set(METRICS)
    for file in files or ():
        run_file(file)
    own = [name for name in METRICS if name not in before]
    if files and not own:
        raise InputError(
            f"expected metrics in {files[0]}, got none; decorate a function as docs/your-own-metrics.md shows"
        )
    names = [name for text in groups or () for name in text.split(",") if name]
    return chosen([*(names or [STANDARD]), *own])


def matched(source: Source, n: int) -> Source:
    """The source with at most n samples a class, and a note of it."""
    provenance = {**source.provenance, "matched_per_class": n}
    return replace(source, representation=matched_per_class(source.representation, n), provenance=provenance)


def measure_source(
    source: Source, *, metrics: Sequence[Metric] | None = None, standard_errors: bool = True
) -> Measurements:
    """The standard metrics of a source, or others."""
    return measure_representation(
        source.representation,
        metrics=metrics,
        standard_errors=standard_errors,
        provenance=source.provenance,
    )


def break_down(source: Source, by: str) -> Breakdown:
    """The table of a source by class, or by decile of confidence."""
    if source.representation.dimensions == 0:
        raise InputError(
            f"expected features for --by {by}, got logits alone in {source.path}; measure it without --by"
        )
    return BREAKDOWNS[by](source.representation)


def open_named(arguments: Sequence[str], *, match_per_class: int | None = None) -> dict[str, list[Source]]:
    """NAME=PATH[,PATH...], PATH, or a folder of stores, to the runs of each name.

    What has no name takes the title of its loss, so that the runs of a loss come together.
    match_per_class: at most so many samples a class of each.
    """
    named: dict[str, list[Source]] = {}
    for argument in arguments:
        name, given, paths = argument.rpartition("=")
        for path in (paths if given else argument).split(","):
            if not path.strip():
                raise InputError(
                    f"expected NAME=PATH[,PATH...], got an empty path in {argument!r}; write commas without blanks "
                    "around them"
                )
            for source in _sources_under(Path(path)):
                key = name or source.loss or source.path.stem
                if match_per_class is not None:
                    source = matched(source, match_per_class)
                named.setdefault(key, []).append(source)
    for name, sources in named.items():
        runs = [Run(source.path, source.provenance) for source in sources]
        require_other_epochs(name, runs)
        _require_different(name, sources)
        require_repeats(name, runs)
    return named


def _require_different(name: str, sources: Sequence[Source]) -> None:
    """Raise where the same features come twice: they would count as two seeds that do not differ."""
    for position, source in enumerate(sources):
        for other in sources[:position]:
            if _are_same(source, other):
                raise InputError(
                    f"expected different runs of {name}, got the same features twice: {other.path} and {source.path}; "
                    "name each run once"
                )


def _are_same(source: Source, other: Source) -> bool:
    """Whether two sources have the same features, as far as their class means tell; of logits alone, the first ones."""
    if source.representation.dimensions == other.representation.dimensions == 0:
        first, second = (next(iter(one.representation.blocks)).logits for one in (source, other))
        return first is not None and second is not None and torch.equal(first, second)
    mine, theirs = (one.representation.means.features for one in (source, other))
    return mine.means.shape == theirs.means.shape and torch.equal(mine.means, theirs.means)


def _require_different_names(named: Mapping[str, Sequence[Source]]) -> None:
    """Raise where a run stands under two names: it would be compared with itself."""
    seen: list[tuple[str, Source]] = []
    for name, group in named.items():
        for source in group:
            for other_name, other in seen:
                if other_name != name and _are_same(source, other):
                    raise InputError(
                        f"expected different runs as {other_name} and {name}, got the same features twice: "
                        f"{other.path} and {source.path}; name each run once"
                    )
            seen.append((name, source))


def compare_named(
    named: Mapping[str, Sequence[Source]],
    *,
    baseline: str | None = None,
    metrics: Sequence[Metric] | None = None,
) -> Comparison:
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
    if baseline is None or baseline in named:
        _require_different_names(named)
    total = len(sources)
    runs: dict[str, list[Measurements]] = {name: [] for name in named}
    steps = ((name, source) for name, group in named.items() for source in group)
    for name, source in track(steps, total, "measuring"):
        runs[name].append(measure_source(source, metrics=metrics))
    return compare(runs, baseline=baseline or ("CE" if "CE" in runs else None))


def _sources_under(path: Path) -> list[Source]:
    """The source at a path, or every store in a folder that is not one itself."""
    stores = [] if is_store(path) else _stores_under(path)
    return [open_source(store) for store in stores] or [_opened(path)]


def _stores_under(path: Path) -> list[Path]:
    """Every store in a folder; InputError where it is so large that nobody can have meant it."""
    found, seen = [], 0
    for folder, folders, files in os.walk(path):
        seen += len(folders)
        if seen > MOST_FOLDERS:
            raise InputError(
                f"{path} has more than {MOST_FOLDERS:,} folders to look for stores in; name the stores"
            )
        if MANIFEST in files:
            found.append(Path(folder))
            folders.clear()
    return sorted(found)


def _opened(path: Path) -> Source:
    """The source at a path; advice to give an option, which is one of `features`, says so."""
    try:
        return open_source(path)
    except InputError as reason:
        if "--" not in str(reason) or is_store(path):
            raise
        raise InputError(
            f"{reason}; that is an option of `maxsup-analyze features {path}`: name the store that it makes"
        ) from reason


def _of_store(store: FeatureStore, dask: str | None) -> Source:
    return Source(store.path, store.represent(dask), store.provenance)
