"""What a study wants measured of every run, and how each part of it is measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.labels import clean_file_name
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.metrics import Metric
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.pipeline import measure_source, open_source
from maxsup_analysis.study.contents import code_digest
from maxsup_analysis.study.description import Measure
from maxsup_analysis.study.kept import Part
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.transfer import Transfer, transferred

TRANSFER = "transfer "


def features_of(folder: Path, split: str) -> Path:
    """The feature store of a split, beside the run's checkpoint."""
    return folder / f"{clean_file_name(split, '+.')}.features"


def parts_of(measure: Measure) -> tuple[Part, ...]:
    """Each split, and each data set that features are transferred to."""
    splits = [Part(split, _key(measure, "metrics")) for split in measure.splits]
    transfers = [Part(f"{TRANSFER}{data}", _key(measure)) for data in measure.transfer]
    return (*splits, *transfers)


def _key(measure: Measure, *settings: str) -> str:
    """Everything that decides the numbers of a part, beside the weights."""
    every = asdict(measure)
    return json.dumps({"code": code_digest(), **{name: every[name] for name in settings}})


def measured_part(part: Part, checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Measurements:
    """The measurements of one part of a run."""
    if part.name.startswith(TRANSFER):
        return _transferred(part.name.removeprefix(TRANSFER), checkpoint, plan, measure)
    return _of_data(part.name, checkpoint, plan, measure, chosen(measure.metrics))


def _of_data(
    name: str, checkpoint: Path, plan: TrainingPlan, measure: Measure, metrics: Sequence[Metric]
) -> Measurements:
    """The run on a split of its own data; the store stays beside the checkpoint."""
    how = Extraction(
        data=plan.data,
        data_dir=plan.data_dir,
        split=name,
        batch_size=measure.batch_size,
        device=plan.device,
        workers=plan.workers,
    )
    store = extract_features(checkpoint, features_of(checkpoint.parent, name), how, overwrite=True)
    return measure_source(open_source(store.path), metrics=metrics)


def _transferred(data: str, checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Measurements:
    """The accuracy of a linear probe, as the only metric."""
    target = Transfer(data, batch_size=measure.batch_size, device=plan.device, workers=plan.workers)
    found = transferred(checkpoint, target)
    size = {"samples": len(found.samples.ids), "classes": len(found.class_names), "features": 0}
    return Measurements(
        {"accuracy": found.probe.accuracy}, size, found.probe.notes, {"data": data}, found.samples
    )
