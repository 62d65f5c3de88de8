"""Tests for what `measure` is given: one meaning is one result, whatever holds it; no meaning is a sentence."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from maxsup_analysis import InputError, Measurements, compare, measure
from maxsup_analysis.metrics import METRICS
from tests.clouds import cloud

DATA = cloud(3, 5, [20, 20, 20])
X, Y = np.asarray(DATA.features, dtype=np.float64), np.asarray(DATA.labels)
W = np.asarray(DATA.weight, dtype=np.float64)
Z = X @ W.T
GROUPS = ("standard",)


def numbers(found: Measurements) -> dict[str, tuple[float, float]]:
    return {name: (item.value, item.standard_error) for name, item in found.items()}


@pytest.fixture(scope="module")
def plain() -> dict[str, tuple[float, float]]:
    return numbers(measure(X, Y, Z, W, ids=np.arange(60)))


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda array: array.tolist(),
    "tensor": torch.from_numpy,
    "tensor with a graph": lambda array: torch.from_numpy(array).requires_grad_(array.dtype.kind == "f"),
    "data frame": lambda array: pd.DataFrame(array),
    "negative strides": lambda array: array[::-1].copy()[::-1],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "part of a wider one": lambda array: np.repeat(array, 2, axis=0)[::2],
    "mask that hides nothing": lambda array: np.ma.masked_array(array, mask=np.zeros_like(array, dtype=bool)),
    "objects": lambda array: array.astype(object) if array.dtype.kind == "i" else array,
    "long double": lambda array: array.astype(np.longdouble) if array.dtype.kind == "f" else array,
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_are_the_same_result(kind: str, plain: dict):
    made = [SAME[kind](array) for array in (X, Y, Z, W)]
    found = measure(*made, ids=SAME[kind](np.arange(60)) if kind != "data frame" else list(range(60)))
    assert numbers(found) == plain


@pytest.mark.parametrize(
    "labels",
    [Y.astype(np.float32), Y[:, None], Y.astype(np.uint64), Y.astype(np.int8), torch.from_numpy(Y).double(), list(Y)],
)  # fmt: skip
def test_labels_of_any_type_are_the_same_classes(labels: Any, plain: dict):
    assert numbers(measure(X, labels, Z, W)) == plain


def test_truth_values_are_two_classes():
    assert numbers(measure(X, Y > 0)) == numbers(measure(X, (Y > 0).astype(int)))


@pytest.mark.parametrize("kind", [np.str_, object, "S5"])
def test_names_are_classes_in_their_order(kind: Any):
    names = np.array(["cat", "dog", "owl"])
    found = measure(X, names[Y].astype(kind))
    assert numbers(found) == numbers(measure(X, Y))
    # The names are said where a class is spoken of.
    few = measure(X[[0, *range(10, 40)]], ["zebra", *["cat"] * 15, *["dog"] * 15])
    assert any("zebra" in note for note in few.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_what_its_numbers_are(dtype: torch.dtype):
    half = torch.from_numpy(X).to(dtype)
    exact = measure(half.double(), Y)
    for name, item in measure(half, Y).items():
        assert item.value == pytest.approx(exact[name].value, rel=1e-4, abs=1e-6, nan_ok=True)


def test_whole_numbers_are_features():
    whole = np.round(X * 10).astype(int)
    assert numbers(measure(whole, Y)) == numbers(measure(whole.astype(float), Y))


MASKED = np.ma.masked_array(X, mask=np.eye(60, 5) > 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"features": MASKED}, "expected features without gaps, got a masked array that hides 5"),
        ({"labels": np.ma.masked_array(Y, mask=Y == 0)}, "expected labels without gaps, got a masked array"),
        ({"features": X + 0j}, "expected features of real numbers, got complex128"),
        ({"features": X.astype(object)}, "expected features of numbers, got objects"),
        ({"features": X.astype(str)}, "expected features of numbers, got text"),
        ({"features": [[1.0], [1.0, 2.0]]}, "expected features as an array, got list"),
        ({"features": None}, "expected features, or logits at least, got neither"),
        ({"features": 3.0}, "expected features as an array, got float"),
        ({"features": X[:, :0]}, "expected features of one dimension or more, got N x 0"),
        ({"features": torch.from_numpy(X).to_sparse()}, "expected features as a dense tensor"),
        ({"features": torch.empty(60, 5, device="meta")}, "one on the device meta, which has none"),
        ({"labels": None}, "expected labels, one a sample, got none"),
        ({"labels": np.eye(3)[Y]}, r"expected one label a sample, got 60 x 3; .* labels.argmax\(1\)"),
        ({"labels": Y + 0.5}, "expected labels as integers, got .*.5 in row 0"),
        ({"labels": np.where(Y == 0, np.nan, Y)}, "expected labels as integers, got nan in row"),
        ({"labels": [None] * 60}, "expected labels as integers or names, got NoneType"),
        ({"labels": np.full(60, 10**15)}, "expected labels below 10,000, .* number the classes from 0"),
        ({"labels": np.full(60, 2**63, dtype=np.uint64)}, "expected whole numbers below 2\\^63"),
        ({"labels": np.array(["a", "b", "c"])[Y], "logits": Z}, "expected labels as integers beside logits"),
        ({"logits": pd.DataFrame(Z).assign(name="x")}, "expected logits of numbers, got objects"),
        ({"logits": Z[:-1]}, "expected logits to be 60 x K"),
        ({"ids": [1.5] * 60}, "expected 60 different ids, got 1"),
        ({"ids": [*range(59), 58.0]}, "expected 60 different ids, got 59"),
        ({"ids": [*range(59), "a"]}, "expected ids that are whole numbers or text, got int, str"),
        ({"ids": [None] * 60}, "expected ids that are whole numbers or text, got NoneType"),
        ({"ids": np.full(60, np.nan)}, "expected a finite id for every sample, got nan"),
        ({"features": None, "logits": Z, "weight": W}, "expected features beside the weight of a head"),
    ],
)  # fmt: skip
def test_what_has_no_one_meaning_is_refused(arguments: dict, sentence: str):
    with pytest.raises(InputError, match=sentence) as raised:
        measure(**{"features": X, "labels": Y, **arguments})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(60.0), np.arange(60, dtype=np.uint8), list(range(60)), [float(i) for i in range(60)],
        np.arange(60).astype(object), torch.arange(60), np.arange(60).astype(">i4"),
    ],
)  # fmt: skip
def test_the_same_ids_are_the_same_samples_whatever_holds_them(ids: Any, plain: dict):
    groups = ("standard", "calibration", "selection")
    known = measure(X, Y, Z, W, ids=np.arange(60), groups=groups)
    found = measure(X, Y, Z, W, ids=ids, groups=groups)
    assert numbers(found) == numbers(known)
    assert {row.verdict for row in compare({"a": (known,), "b": (found,)}).differences} <= {
        "equal",
        "undefined",
    }


def test_text_is_no_number():
    number, text = measure(X, Y, ids=np.arange(60)), measure(X, Y, ids=np.arange(60).astype(str))
    with pytest.raises(InputError, match="with other ids"):
        compare({"a": (number,), "b": (text,)})


@pytest.mark.parametrize("ids", [np.arange(60) * 7 - 100, np.array([f"img_{i:03}.png" for i in range(60)])])
def test_samples_in_another_order_are_paired_by_their_ids(ids: np.ndarray):
    noise = np.random.default_rng(0).normal(size=X.shape) * 0.1
    order = np.random.default_rng(1).permutation(60)
    one = measure(X, Y, Z, W, ids=ids)
    other = measure(X + noise, Y, Z, W, ids=ids)
    moved = measure((X + noise)[order], Y[order], Z[order], W, ids=ids[order])
    straight, shuffled = compare({"a": (one,), "b": (other,)}), compare({"a": (one,), "b": (moved,)})
    for row, same in zip(straight.differences, shuffled.differences, strict=True):
        assert same.interval.value == pytest.approx(row.interval.value, rel=1e-6, abs=1e-9, nan_ok=True)
        assert same.interval.sampling_error == pytest.approx(
            row.interval.sampling_error, rel=1e-4, abs=1e-9, nan_ok=True
        )


def test_logits_alone_have_the_metrics_of_logits():
    groups = ("all",)
    whole, alone = measure(X, Y, Z, groups=groups), measure(labels=Y, logits=Z, groups=groups)
    of_logits = [name for name in whole if METRICS[name].is_of_logits]
    assert {"accuracy", "nll", "ece", "logit_regularisation"} <= set(of_logits) and len(of_logits) > 40
    for name, item in alone.items():
        if name in of_logits:
            expected = whole[name]
            assert item.value == pytest.approx(expected.value, rel=1e-12, nan_ok=True), name
            assert item.standard_error == pytest.approx(expected.standard_error, rel=1e-9, nan_ok=True), name
        else:
            assert math.isnan(item.value) and item.reason == "there are no features, only logits", name
    assert alone.size == {"samples": 60, "classes": 3, "features": 0}


def test_probabilities_in_place_of_logits_are_noted():
    probabilities = torch.from_numpy(Z).softmax(1)
    (note,) = [note for note in measure(X, Y, probabilities, W).notes if "head" in note]
    assert "logits are not those that the head makes of the features" in note
    assert any("sums to 1" in note for note in measure(X, Y, probabilities).notes)
    assert not any("head" in note or "sums to 1" in note for note in measure(X, Y, Z, W).notes)
    # The same up to a number a sample, which no probability depends on; and in half precision.
    assert not any("head" in note for note in measure(X, Y, Z - Z.max(1, keepdims=True), W).notes)
    assert not any("head" in note for note in measure(X, Y, Z.astype(np.float16), W).notes)
