"""Tests for the held-out half, and for what is fitted on it."""

import math
import pickle
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maxsup_analysis import held_out
from maxsup_analysis.errors import Undefined
from maxsup_analysis.halves import is_held_out
from maxsup_analysis.held_out import fitted_power, fitted_temperature
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.representation import Representation, represent
from maxsup_analysis.rows import RowBlocks, Rows
from tests.clouds import cloud
from tests.oracle.calibration import best_temperature
from tests.oracle.calibration import is_held_out as mixed_is_held_out
from tests.oracle.selection import best_power

DATA = cloud(6, 4, [60] * 6, seed=2)
OUT = is_held_out(np.arange(360)).numpy()
BITS = 2**64 - 1


def of(logits: np.ndarray | None, labels: np.ndarray, ids: np.ndarray | None = None) -> Representation:
    return represent_arrays(np.ones((len(labels), 1)), labels, logits, ids=ids)


def temperature(logits: np.ndarray | None, labels: np.ndarray, ids: np.ndarray | None = None) -> float:
    representation = of(logits, labels, ids)
    return fitted_temperature(representation.blocks, representation)


def power(logits: np.ndarray | None, labels: np.ndarray) -> int:
    representation = of(logits, labels)
    return fitted_power(representation.blocks, representation)


def fnv(text: str) -> int:
    """64-bit FNV-1a, a code point at a time."""
    number = 0xCBF29CE484222325
    for character in text:
        number = ((number ^ ord(character)) * 0x100000001B3) & BITS
    return number


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9))
def test_an_integer_is_held_out_by_the_top_bit_of_its_mix(ids: list[int]):
    expected = [mixed_is_held_out(number) for number in ids]
    assert is_held_out(np.array(ids, dtype=np.int64)).tolist() == expected


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=9))
def test_text_is_held_out_by_the_mix_of_its_hash(ids: list[str]):
    assert is_held_out(np.array(ids, dtype=np.str_)).tolist() == [
        mixed_is_held_out(fnv(text)) for text in ids
    ]


def test_an_id_alone_decides():
    names = np.array([f"val/{'x' * (i % 7)}{i}.JPEG" for i in range(200)])
    together = is_held_out(names)
    order = np.random.default_rng(0).permutation(200)
    assert is_held_out(names[order]).tolist() == together[order].tolist()
    assert [bool(is_held_out(np.array([name]))[0]) for name in names] == together.tolist()
    assert is_held_out(names.astype("S")).tolist() == together.tolist()
    assert is_held_out(names.astype(object)).tolist() == together.tolist()
    assert is_held_out(names.astype(names.dtype.newbyteorder(">"))).tolist() == together.tolist()
    numbers = np.arange(100)
    for kind in (np.int8, np.uint8, np.int32, np.uint64):
        assert is_held_out(numbers.astype(kind)).tolist() == is_held_out(numbers).tolist()


def test_it_is_about_half_of_them_and_stays_so():
    numbers = is_held_out(np.arange(10_000)).numpy()
    names = is_held_out(np.array([f"{i:08d}" for i in range(10_000)])).numpy()
    for half in (numbers, names, numbers[::2], numbers[:-1] == numbers[1:], numbers == names):
        # Three standard errors of a fair coin.
        assert abs(half.mean() - 1 / 2) < 3 * 0.5 / math.sqrt(len(half))
    # Written down, so that another version of the package holds out the same ones.
    assert is_held_out(np.arange(8)).tolist() == [False, False, True, False, True, True, True, False]
    assert is_held_out(np.array(["a", "val_1.JPEG", "b", "猫"])).tolist() == [
        mixed_is_held_out(fnv(text)) for text in ("a", "val_1.JPEG", "b", "猫")
    ]


def test_of_no_ids_none_is_held_out():
    assert (
        len(is_held_out(np.array([], dtype=np.int64))) == len(is_held_out(np.array([], dtype=np.str_))) == 0
    )


def test_the_temperature_of_two_classes_is_their_log_odds():
    """Logits (a, 0), right with frequency f: sigmoid(a/T) = f."""
    held, rest = np.flatnonzero(OUT)[:100], np.flatnonzero(~OUT)[:50]
    ids = np.concatenate([held, rest])
    labels = np.zeros(150, int)
    labels[:20] = 1
    logits = np.tile([3.0, 0.0], (150, 1))
    # What is not held out does not matter, however wrong.
    logits[100:] = [0.0, 50.0]
    assert temperature(logits, labels, ids) == pytest.approx(3 / math.log(80 / 20), rel=1e-14)


def test_of_many_classes_newtons_first_steps_leap_too_far():
    """Logit a for the prediction and 0 for K - 1 others, right with frequency f: the probability of the top is f."""
    K, a, ids = 300, 40.0, np.flatnonzero(OUT)[:100]
    ids = np.append(ids, np.flatnonzero(~OUT)[0])
    predictions = np.arange(101) % K
    labels = np.where(np.arange(101) < 90, predictions, (predictions + 7) % K)
    expected = a / math.log(0.9 * (K - 1) / 0.1)
    assert temperature(a * np.eye(K)[predictions], labels, ids) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_is_where_the_slope_is_zero(seed: int):
    data = cloud(5, 6, [30, 50, 4, 20, 25], seed=seed)
    out = is_held_out(np.arange(129)).numpy()
    expected = best_temperature(data.logits[out], data.labels[out])
    assert temperature(data.logits, data.labels) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 30.0, 1e6])
def test_logits_c_times_as_large_have_c_times_the_temperature(scale: float):
    expected = scale * temperature(DATA.logits, DATA.labels)
    assert temperature(scale * DATA.logits, DATA.labels) == pytest.approx(expected, rel=1e-11)


def test_one_error_among_logits_far_apart():
    """The likelihood is then almost two straight lines with a bend at the minimum."""
    labels = np.arange(360) % 3
    logits = np.eye(3)[labels] * 800.0
    logits[:, 0] += np.linspace(0, 300, 360)
    wrong = np.flatnonzero(OUT)[5]
    logits[wrong] = np.roll(np.eye(3)[labels[wrong]], 1) * 2.0
    assert temperature(logits, labels) == pytest.approx(best_temperature(logits[OUT], labels[OUT]), rel=1e-9)


def test_the_temperature_needs_few_sweeps(monkeypatch: pytest.MonkeyPatch):
    sweeps, total = [], RowBlocks.total
    monkeypatch.setattr(RowBlocks, "total", lambda self, function: sweeps.append(0) or total(self, function))
    representation = of(DATA.logits, DATA.labels)
    sweeps.clear()
    fitted_temperature(representation.blocks, representation)
    assert len(sweeps) <= 8


def test_of_many_blocks_the_first_saves_sweeps_over_all(monkeypatch: pytest.MonkeyPatch):
    """One for the limits, and three to five from a start that is near: eight from none."""
    swept, total = [], RowBlocks.total
    monkeypatch.setattr(
        RowBlocks, "total", lambda blocks, one: swept.append(len(blocks.rows)) or total(blocks, one)
    )
    rows = next(iter(of(DATA.logits, DATA.labels).blocks))
    blocks = RowBlocks(tuple(rows.cut(60)))
    representation = represent(blocks, class_names=tuple("abcdef"))
    swept.clear()
    expected = best_temperature(DATA.logits[OUT], DATA.labels[OUT])
    assert fitted_temperature(blocks, representation) == pytest.approx(expected, rel=1e-11)
    assert swept.count(1) > 1 and swept.count(6) <= 5


@settings(max_examples=20)
@given(st.lists(st.integers(0, 360), max_size=4), st.randoms(use_true_random=False))
def test_neither_blocks_nor_order_matter(cuts: list[int], random):
    order = np.array(random.sample(range(360), 360))
    rows = Rows(
        order,
        torch.from_numpy(DATA.labels[order]),
        torch.ones(360, 1).double(),
        torch.from_numpy(DATA.logits[order]),
    )
    edges = sorted({0, 360, *cuts})
    blocks = RowBlocks(tuple(rows.part(slice(a, b)) for a, b in pairwise(edges)))
    representation = represent(blocks, class_names=tuple("abcdef"))
    expected = best_temperature(DATA.logits[OUT], DATA.labels[OUT])
    assert fitted_temperature(blocks, representation) == pytest.approx(expected, rel=1e-11)
    assert fitted_power(blocks, representation) == power(DATA.logits, DATA.labels)


def test_float32_logits_are_fitted_in_float64():
    single = DATA.logits.astype(np.float32)
    expected = best_temperature(single[OUT].astype(float), DATA.labels[OUT])
    assert temperature(single, DATA.labels) == pytest.approx(expected, rel=1e-11)


def test_functions_of_a_block_can_be_sent_elsewhere():
    summary = of(DATA.logits, DATA.labels).summary
    rows = next(iter(of(DATA.logits, DATA.labels).blocks))
    for function in (
        partial(held_out._limits, representation=summary),
        partial(held_out._slopes, representation=summary, beta=1.0),
        partial(held_out._scores, representation=summary),
    ):
        again = pickle.loads(pickle.dumps(function))
        assert pickle.loads(pickle.dumps(again(rows))) is not None


@pytest.mark.parametrize("seed", range(4))
def test_the_power_has_the_smallest_area(seed: int):
    data = cloud(8, 3, [40] * 8, seed=seed)
    out = is_held_out(np.arange(320)).numpy()
    assert power(data.logits, data.labels) == best_power(data.logits[out], data.labels[out])


def test_of_powers_that_are_equally_good_the_smallest():
    """All samples alike but one, which is wrong and whose top logit stands out less by any norm."""
    logits = np.tile([4.0, 0, 0, 0], (360, 1))
    logits[np.flatnonzero(OUT)[7]] = [3.0, 2.5, 0, 0]
    labels = np.zeros(360, int)
    labels[np.flatnonzero(OUT)[7]] = 1
    assert power(logits, labels) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "of_temperature", "of_power"),
    [
        (
            np.eye(3)[np.arange(40) % 3],
            np.arange(40) % 3,
            "all held-out samples are classified correctly, so the colder the better and no temperature is best",
            "all held-out samples are classified correctly, so no power is better than another",
        ),
        (
            np.eye(3)[(np.arange(40) + 1) % 3],
            np.arange(40) % 3,
            "the true logits of the held-out samples are no larger than the others on average, so the hotter the "
            "better and no temperature is best",
            "all held-out samples are classified wrongly, so no power is better than another",
        ),
        (
            np.eye(3)[[0, 1]],
            np.array([0, 0]),
            "no sample is held out to fit the temperature",
            "no sample is held out to fit the power",
        ),
        (
            None,
            np.array([0, 1]),
            "there are neither logits nor a head to compute them from",
            "there are neither logits nor a head to compute them from",
        ),
        (
            np.eye(2)[np.arange(40) % 2] + np.linspace(0, 2, 40)[:, None] * [1, 0],
            np.arange(40) % 2,
            None,
            "with fewer than three classes all normalised logits are equal, so they rank nothing",
        ),
    ],
)
def test_where_nothing_can_be_fitted_the_reason_is_said(
    logits: np.ndarray | None, labels: np.ndarray, of_temperature: str | None, of_power: str
):
    if of_temperature is not None:
        with pytest.raises(Undefined) as caught:
            temperature(logits, labels)
        assert str(caught.value) == of_temperature
    with pytest.raises(Undefined) as caught:
        power(logits, labels)
    assert str(caught.value) == of_power


def test_where_all_samples_are_held_out_nobody_is_left_to_judge():
    ids = np.flatnonzero(OUT)[:3]
    representation = of(np.eye(3), np.array([0, 1, 1]), ids)
    for fit, name in ((fitted_temperature, "temperature"), (fitted_power, "power")):
        with pytest.raises(Undefined) as caught:
            fit(representation.blocks, representation)
        assert str(caught.value) == f"all samples are held out to fit the {name}, so none is left to judge it"
