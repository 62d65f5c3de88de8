"""Tests for files of arrays: what `measure`, `compare`, `store import` and figures make of odd ones."""

import math
from pathlib import Path

import numpy as np
import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store.importing import import_store
from maxsup_analysis.pipeline import break_down, compare_named, measure_source, open_named, open_source
from tests.clouds import cloud

DATA = cloud(3, 4, [14, 13, 13])
X, Y, Z = DATA.features, DATA.labels, DATA.logits


def saved(folder: Path, name: str = "arrays", **arrays: object) -> Path:
    np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    return folder / f"{name}.npz"


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"labels": np.full(40, 2**64 - 1, dtype=np.uint64)}, "expected whole numbers below 2\\^63"),
        ({"labels": np.full(40, 10**15)}, "expected labels below 10,000"),
        ({"features": X[:, :0]}, "expected features of one dimension or more, got N x 0"),
        ({"bias": np.zeros(3)}, "expected the weight of the head beside its bias"),
        ({"class_names": np.array([], dtype="U1")}, "expected a name for each class, got no class_names"),
        ({"ids": np.full(40, np.nan)}, "expected a finite id for every sample"),
        (
            {"ids": np.array([b"\xff%d" % i for i in range(40)])},
            "expected ids as text in UTF-8|other than arrays",
        ),
        ({"logits": Z[:, :0]}, "expected logits of one class or more|expected labels"),
    ],
)
def test_what_has_no_meaning_is_one_line(arrays: dict, sentence: str, tmp_path: Path):
    path = saved(tmp_path, **{"features": X, "labels": Y, **arrays})
    with pytest.raises(InputError, match=sentence):
        measure_source(open_source(path))


def test_unsigned_labels_and_half_surrogates_are_read(tmp_path: Path):
    names = np.array(["a\ud800", "b", "c"])
    opened = open_source(saved(tmp_path, features=X, labels=Y.astype(np.uint64), class_names=names))
    assert opened.representation.class_names == ("a\\ud800", "b", "c")
    assert "a\\ud800" in break_down(opened, "class").to_frame().to_csv()


@pytest.mark.parametrize("ids", [np.arange(40.0) + 5, (np.arange(40) + 5).astype(np.uint64)])
def test_stores_number_samples_as_the_file_does(ids: np.ndarray, tmp_path: Path):
    store = import_store(saved(tmp_path, features=X, labels=Y, ids=ids), tmp_path / "made.features")
    (rows,) = store
    assert rows.ids.dtype == np.int64 and rows.ids.tolist() == list(range(5, 45))


def test_numbers_that_a_store_cannot_hold_are_refused(tmp_path: Path):
    path = saved(tmp_path, features=X, labels=Y, ids=np.arange(40).astype(np.uint64) + 2**63)
    with pytest.raises(InputError, match="expected integers as ids"):
        import_store(path, tmp_path / "made.features")


def test_logits_alone_are_measured_and_compared(tmp_path: Path):
    x, y, z = (np.concatenate([array] * 3) for array in (X, Y, Z))
    one = saved(tmp_path, "one", labels=y, logits=z)
    two = saved(tmp_path, "two", labels=y, logits=z + np.random.default_rng(0).normal(size=z.shape))
    alone = measure_source(open_source(one))
    whole = measure_source(open_source(saved(tmp_path, features=x, labels=y, logits=z)))
    assert alone["accuracy"].value == whole["accuracy"].value
    assert alone["nll"].value == pytest.approx(whole["nll"].value, rel=1e-12)
    assert math.isnan(alone["d_within"].value)
    compared = compare_named(open_named([f"a={one}", f"b={two}"]))
    assert compared.difference("nll", "b").verdict in ("higher", "lower", "not distinguishable")
    assert compared.difference("d_within", "b").interval.reason == "there are no features, only logits"
    with pytest.raises(InputError, match="expected features for --by class, got logits alone"):
        break_down(open_source(one), "class")


def test_files_whose_rows_are_in_another_order_are_the_same_samples(tmp_path: Path):
    order = np.random.default_rng(3).permutation(40)
    one = saved(tmp_path, "one", features=X, labels=Y, ids=np.arange(40.0))
    two = saved(tmp_path, "two", features=2 * X[order], labels=Y[order], ids=np.arange(40)[order])
    compared = compare_named(open_named([f"a={one}", f"b={two}"]))
    # Twice the features have the same cosines: no difference, sample by sample.
    assert compared.difference("d_within", "b").interval.half_width == pytest.approx(0, abs=1e-9)
