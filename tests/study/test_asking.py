"""Tests for what a study measures: corruptions by hand, kept piece by piece; what is not there is said at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.study import asking
from maxsup_analysis.study.asking import measured_part, parts_of, require_data
from maxsup_analysis.study.averaging import mean_of
from maxsup_analysis.study.reading import study_of
from maxsup_analysis.training import train

STUDY = """
[train]
epochs = 3
model_args = { widths = [4, 5, 6] }
[measure]
metrics = ["accuracy"]
corruptions = ["contrast", "gaussian_noise"]
severities = [2, 5]
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asking") / "checkpoint.pt"
    train(replace(study_of(STUDY).plan, device="cpu"), path)
    return path


def hits_of(checkpoint: Path, split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Whether each sample is right, and its label, read from a feature store of its own."""
    how = Extraction(data="digits", split=split, device="cpu")
    store = extract_features(checkpoint, folder / "other.features", how, overwrite=True)
    batches = list(store.batches())
    logits = np.concatenate([batch.logits.numpy() for batch in batches if batch.logits is not None])
    labels = np.concatenate([batch.labels.numpy() for batch in batches])
    return np.equal(logits.argmax(1), labels).astype(float), labels


def test_corrupted_is_the_mean_over_kinds_and_severities(checkpoint: Path, tmp_path: Path):
    study = study_of(STUDY)
    assert study.measure.corrupted_splits == (
        "test+contrast:2", "test+contrast:5", "test+gaussian_noise:2", "test+gaussian_noise:5",
    )  # fmt: skip
    _, part = parts_of(study.measure)
    plan = replace(study.plan, device="cpu")
    found = measured_part(part, checkpoint, plan, study.measure)
    pairs = [hits_of(checkpoint, split, tmp_path) for split in study.measure.corrupted_splits]
    hits, labels = np.mean([pair[0] for pair in pairs], axis=0), pairs[0][1]
    assert found["accuracy"].value == pytest.approx(hits.mean(), rel=1e-12)
    variance = sum((labels == k).sum() * hits[labels == k].var(ddof=1) for k in range(10)) / len(labels) ** 2
    assert found["accuracy"].standard_error == pytest.approx(variance**0.5, rel=1e-9)
    assert (
        set(found) == {"accuracy", "nll", "ece"} and not (checkpoint.parent / "corrupted.features").exists()
    )


def test_pieces_that_were_measured_are_not_measured_again(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    study = study_of(STUDY)
    _, part = parts_of(study.measure)
    plan = replace(study.plan, device="cpu")
    before = measured_part(part, checkpoint, plan, study.measure)
    monkeypatch.setattr(asking, "extract_features", lambda *_, **__: pytest.fail("extracted again"))
    again = measured_part(part, checkpoint, plan, study.measure)
    assert again.to_json() == before.to_json()


def test_the_mean_of_one_is_itself_and_undefined_stays_so(checkpoint: Path):
    study = study_of(STUDY)
    one = measured_part(
        parts_of(study.measure)[0], checkpoint, replace(study.plan, device="cpu"), study.measure
    )
    (same,) = [mean_of([one])["accuracy"]]
    assert same.value == one["accuracy"].value
    assert same.standard_error == pytest.approx(one["accuracy"].standard_error, rel=1e-12)
    undefined = replace(
        one["accuracy"], value=float("nan"), standard_error=float("nan"), reason="why", influence=None
    )
    lame = replace(one, estimates={"accuracy": undefined})
    mean = mean_of([one, lame])["accuracy"]
    assert np.isnan(mean.value) and np.isnan(mean.standard_error) and mean.reason == "why"


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        ('splits = ["tset"]', "digits has the splits train, test, none of them meant by 'tset'"),
        ('splits = ["test+fgo:3"]', "no corruption is called 'fgo'; did you mean 'fog'"),
        ('transfer = ["digist"]', "no data set is called 'digist'; did you mean 'digits'"),
    ],
)
def test_data_that_are_not_there_are_named_before_anything_is_trained(measure: str, sentence: str):
    with pytest.raises(InputError, match=sentence):
        require_data(study_of(f"[measure]\n{measure}"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[measure]\nmetrics = ["accurcy"]', "study.toml, line 2: .*'accurcy'; did you mean 'accuracy'"),
        ("[measure]\nbatch_size = 0", "line 2: expected a batch_size above 0, got 0"),
        ('[measure]\nsplits = ["test", "test"]', "line 2: expected splits, each once"),
        ('[measure]\ncorruptions = ["fogg"]', "line 2: no corruption is called 'fogg'; did you mean 'fog'"),
        ("[measure]\nseverities = [1, 6]", "line 2: expected a severity .* from 1 to 5, got 6"),
        ("[measure]\nseverities = []", "line 2: expected severities from 1 to 5, each once"),
        ('[report]\nmetrics = ["ecee"]', "line 2: .*'ecee'; did you mean 'ece'"),
    ],
)
def test_values_are_checked_with_their_line(text: str, sentence: str):
    with pytest.raises(InputError, match=sentence):
        study_of(text)


def test_all_corruptions_are_the_fifteen():
    assert len(study_of('[measure]\ncorruptions = ["all"]').measure.corrupted_splits) == 75
