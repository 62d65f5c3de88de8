"""What a study wants measured of every run, and how each part of it is measured."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from maxsup_analysis.classifiers import ModelChoice
from maxsup_analysis.datasets import corrupted, open_data
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.labels import own_file_name
from maxsup_analysis.measurements import Measurements
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.pipeline import measure_source, open_source
from maxsup_analysis.study.averaging import mean_of
from maxsup_analysis.study.contents import code_digest
from maxsup_analysis.study.description import Measure, Study
from maxsup_analysis.study.kept import Part, keep, kept
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.models import full_name
from maxsup_analysis.transfer import Transfer, transferred

TRANSFER = "transfer "
CORRUPTED = "corrupted"


def features_of(folder: Path, split: str) -> Path:
    """The feature store of a split, beside the run's checkpoint."""
    return folder / f"{own_file_name(split, '+.')}.features"


def parts_of(measure: Measure) -> tuple[Part, ...]:
    """Each split, the corruptions of the first, and each data set that features are transferred to."""
    splits = [Part(split, _key(measure, "metrics")) for split in measure.splits]
    corruptions = [
        Part(CORRUPTED, _key(measure, "splits", "corruptions", "severities", "corrupted_metrics"))
        for _ in measure.corruptions[:1]
    ]
    transfers = [Part(f"{TRANSFER}{data}", _key(measure)) for data in measure.transfer]
    return (*splits, *corruptions, *transfers)


def require_data(study: Study) -> None:
    """Open all that is to be measured, so that what is missing is said before anything is trained."""
    measure = study.measure
    for data, folder in dict.fromkeys((cell.plan.data, cell.plan.data_dir) for cell in study.cells):
        first, *_ = [open_data(data, split, folder) for split in measure.splits]
        for kind in measure.kinds:
            corrupted(first, kind, measure.severities[0])
    for data in measure.transfer:
        for split in Transfer(data).splits:
            open_data(data, split)


def _key(measure: Measure, *settings: str) -> str:
    """Everything that decides the numbers of a part, beside the weights."""
    every = asdict(measure)
    return json.dumps({"code": code_digest(), **{name: every[name] for name in settings}})


def measured_part(part: Part, checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Measurements:
    """The measurements of one part of a run."""
    if part.name.startswith(TRANSFER):
        return _transferred(part.name.removeprefix(TRANSFER), checkpoint, plan, measure)
    if part.name == CORRUPTED:
        return _corrupted(checkpoint, plan, measure)
    # The store stays beside the checkpoint.
    store = _extracted(part.name, features_of(checkpoint.parent, part.name), checkpoint, plan, measure)
    return measure_source(open_source(store), metrics=chosen(measure.metrics))


def _extracted(split: str, store: Path, checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Path:
    """The features of a split of the run's own data, in a store."""
    how = Extraction(
        data=plan.data,
        data_dir=plan.data_dir,
        split=split,
        batch_size=measure.batch_size,
        device=plan.device,
        workers=plan.workers,
        model=_model_of(plan),
    )
    return extract_features(checkpoint, store, how, overwrite=True).path


def _model_of(plan: TrainingPlan) -> ModelChoice:
    """The study names the model, not its checkpoint: a study is the user's own and may name code."""
    return ModelChoice(full_name(plan.model), plan.model_args)


def _corrupted(checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Measurements:
    """The mean over corruptions and severities. Each is kept once it is measured; its features are not."""
    folder, metrics, found = checkpoint.parent, chosen(measure.corrupted_metrics), []
    store = features_of(folder, CORRUPTED)
    for split in measure.corrupted_splits:
        piece = Part(f"{CORRUPTED} {split}", _key(measure, "corrupted_metrics"))
        measured = kept(folder, piece)
        if measured is None:
            source = open_source(_extracted(split, store, checkpoint, plan, measure))
            measured = measure_source(source, metrics=metrics)
            keep(folder, piece, measured)
        found.append(measured)
    shutil.rmtree(store, ignore_errors=True)
    return mean_of(found)


def _transferred(data: str, checkpoint: Path, plan: TrainingPlan, measure: Measure) -> Measurements:
    """The accuracy of a linear probe, as the only metric."""
    target = Transfer(
        data,
        batch_size=measure.batch_size,
        device=plan.device,
        workers=plan.workers,
        model=_model_of(plan),
    )
    found = transferred(checkpoint, target)
    size = {"samples": len(found.samples.ids), "classes": len(found.class_names), "features": 0}
    return Measurements(
        {"accuracy": found.probe.accuracy}, size, found.probe.notes, {"data": data}, found.samples
    )
