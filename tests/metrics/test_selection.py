"""Tests for selective prediction: areas against the dumb reference, ties, weights, and what changes no rank."""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score

from maxsup_analysis.errors import Undefined
from maxsup_analysis.estimates import ALIKE, Estimate
from maxsup_analysis.fits import fitted
from maxsup_analysis.measurements import measure_representation, represent_arrays
from maxsup_analysis.metrics.metric import METRICS
from maxsup_analysis.metrics.selection import POWERS, augrc, aurc, e_aurc, normalised_tops
from maxsup_analysis.representation import Representation
from maxsup_analysis.tile import Tile
from tests.clouds import Cloud, cloud, simplex
from tests.oracle.calibration import held_out
from tests.oracle.selection import (
    ORACLE,
    errors,
    max_logit,
    msp,
    normalised,
    weighted_augrc,
    weighted_aurc,
)

CLOUDS = {
    "balanced": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "many": cloud(6, 4, [60] * 6, seed=2),
}
DATA = CLOUDS["many"]
AREAS = {"aurc": aurc, "e_aurc": e_aurc, "augrc": augrc}


def representation_of(labels, logits, ids=None) -> Representation:
    return represent_arrays(np.ones((len(labels), 1)), labels, logits, ids=ids)


def measured(labels, logits, names=tuple(ORACLE), ids=None) -> dict[str, Estimate]:
    chosen = [METRICS[name] for name in names]
    return dict(measure_representation(representation_of(labels, logits, ids), metrics=chosen))


def values(labels, logits, names=tuple(ORACLE), ids=None) -> dict[str, float]:
    return {name: item.value for name, item in measured(labels, logits, names, ids).items()}


def area(name: str, scores, wrong) -> float:
    columns = torch.tensor([scores, wrong], dtype=torch.float64).T
    return float(AREAS[name](columns, torch.ones(len(scores), dtype=torch.float64)))


def influence(name: str, scores, wrong) -> list[float]:
    weights = torch.ones(len(scores), dtype=torch.float64, requires_grad=True)
    value = AREAS[name](torch.tensor([scores, wrong], dtype=torch.float64).T, weights)
    return torch.autograd.grad(value, weights)[0].tolist()


@pytest.mark.parametrize("kind", CLOUDS)
def test_every_metric_is_its_equation(kind: str):
    data: Cloud = CLOUDS[kind]
    for name, value in values(data.labels, data.logits).items():
        assert value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-11, abs=1e-15), name


def test_numbers_done_by_hand():
    # Right, wrong, right, wrong from the most to the least confident: risks 0, 1/2, 1/3, 1/2.
    scores, wrong = [4.0, 3.0, 2.0, 1.0], [0, 1, 0, 1]
    assert area("aurc", scores, wrong) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    # At best right, right, wrong, wrong: risks 0, 0, 1/3, 1/2.
    assert area("e_aurc", scores, wrong) == pytest.approx((1 / 2 + 1 / 3 - 1 / 3) / 4)
    # Trapezoids over the shares 0, 0, 1/4, 1/4, 2/4.
    assert area("augrc", scores, wrong) == pytest.approx((0 + 1 / 8 + 1 / 4 + 3 / 8) / 4)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_ties_are_the_average_over_their_orders(samples: list[tuple[int, bool]]):
    scores, wrong = [float(s) for s, _ in samples], [int(w) for _, w in samples]
    for name in AREAS:
        orders = [
            order for order in itertools.permutations(range(len(scores)))
            if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
        ]  # fmt: skip
        found = [
            area(name, [float(-place) for place in range(len(order))], [wrong[i] for i in order])
            for order in orders
        ]
        assert area(name, scores, wrong) == pytest.approx(np.mean(found), rel=1e-12, abs=1e-15)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12), st.randoms())
def test_neither_areas_nor_influences_depend_on_the_order_of_the_rows(samples, random):
    order = random.sample(range(len(samples)), len(samples))
    scores, wrong = np.array([s for s, _ in samples], float), np.array([w for _, w in samples], int)
    for name in AREAS:
        assert area(name, scores[order].tolist(), wrong[order].tolist()) == pytest.approx(
            area(name, scores.tolist(), wrong.tolist()), rel=1e-12, abs=1e-15
        )
        before = np.array(influence(name, scores.tolist(), wrong.tolist()))
        after = influence(name, scores[order].tolist(), wrong[order].tolist())
        assert after == pytest.approx(before[order], rel=1e-9, abs=1e-14)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=20))
def test_an_excess_is_never_negative_and_zero_where_errors_come_last(samples: list[tuple[int, bool]]):
    scores, wrong = [float(s) for s, _ in samples], [int(w) for _, w in samples]
    assert area("e_aurc", scores, wrong) >= -1e-15
    assert area("e_aurc", [s - 100 * w for s, w in zip(scores, wrong, strict=True)], wrong) == pytest.approx(
        0, abs=1e-15
    )
    assert (
        0 <= area("augrc", scores, wrong) <= 1 / 2 + 1e-15 and 0 <= area("aurc", scores, wrong) <= 1 + 1e-15
    )


@pytest.mark.parametrize("score", [msp, lambda z: round(max_logit(z), 1)], ids=["msp", "with ties"])
def test_augrc_is_the_published_function_of_auroc(score):
    wrong = errors(DATA.logits, DATA.labels)
    scores = [score(z) for z in DATA.logits]
    a, auroc = 1 - np.mean(wrong), roc_auc_score(np.logical_not(wrong), scores)
    expected = (1 - auroc) * a * (1 - a) + (1 - a) ** 2 / 2
    assert area("augrc", scores, [int(w) for w in wrong]) == pytest.approx(expected, rel=1e-12)


def test_augrc_is_the_trapezoid_rule_of_another_library():
    wrong = np.array(errors(DATA.logits, DATA.labels))[np.argsort([-msp(z) for z in DATA.logits])]
    coverage, risk = np.arange(361) / 360, np.append(0, wrong.cumsum()) / 360
    assert values(DATA.labels, DATA.logits)["augrc_msp"] == pytest.approx(auc(coverage, risk), rel=1e-12)


@pytest.mark.parametrize(("name", "reference"), [("aurc", weighted_aurc), ("augrc", weighted_augrc)])
def test_the_influence_is_the_derivative_of_the_weighted_reference(name: str, reference):
    wrong, scores = np.array(errors(DATA.logits, DATA.labels)), np.array([max_logit(z) for z in DATA.logits])
    found = influence(name, scores.tolist(), wrong.astype(int).tolist())
    for i in (0, 17, 200, 359):
        around = []
        for step in (1e-4, -1e-4):
            weights = np.ones(360)
            weights[i] += step
            around.append(reference(scores, wrong, weights))
        assert found[i] == pytest.approx((around[0] - around[1]) / 2e-4, rel=1e-6, abs=1e-10)


def test_the_influence_of_the_excess_subtracts_that_of_the_best_order():
    wrong, scores = np.array(errors(DATA.logits, DATA.labels)), np.array([max_logit(z) for z in DATA.logits])
    best = 1.0 - wrong - 1e-6 * np.arange(360)
    found = influence("e_aurc", scores.tolist(), wrong.astype(int).tolist())
    # Right samples come first at best, in whatever order.
    for i in np.flatnonzero(~wrong)[[0, 10, 50]]:
        around = []
        for step in (1e-4, -1e-4):
            weights = np.ones(360)
            weights[i] += step
            around.append(weighted_aurc(scores, wrong, weights) - weighted_aurc(best, wrong, weights))
        assert found[i] == pytest.approx((around[0] - around[1]) / 2e-4, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("name", AREAS)
def test_influences_add_up_to_nothing(name: str):
    """A metric does not change when all weights do, together; of ties as of others."""
    scores = np.round([max_logit(z) for z in DATA.logits], 1)
    wrong = [int(w) for w in errors(DATA.logits, DATA.labels)]
    assert sum(influence(name, scores.tolist(), wrong)) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", ["aurc_msp", "e_aurc_max_logit", "augrc_msp"])
def test_the_standard_error_is_the_spread_over_fresh_samples(name: str):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(150):
        z = rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[np.arange(200) % 4]
        found.append(measured(np.arange(200) % 4, z, (name,))[name])
    spread = np.std([item.value for item in found])
    # The standard deviation of 150 numbers is known to 6 percent.
    assert np.mean([item.standard_error for item in found]) == pytest.approx(spread, rel=0.2)


def test_a_constant_added_to_the_logits_of_a_sample_changes_only_the_largest_logit():
    shifts = np.random.default_rng(0).integers(-8, 8, size=(360, 1))
    before, after = (values(DATA.labels, z) for z in (DATA.logits, DATA.logits + shifts))
    for name in ORACLE:
        if name.endswith("max_logit"):
            assert after[name] != pytest.approx(before[name], rel=1e-2)
        else:
            assert after[name] == pytest.approx(before[name], rel=1e-12), name


def test_a_factor_for_each_sample_changes_no_normalised_logit():
    factors = np.random.default_rng(0).uniform(0.1, 10, size=(360, 1))
    before, after = (values(DATA.labels, z) for z in (DATA.logits, factors * DATA.logits))
    for name in ORACLE:
        if name.endswith("normalised_logit"):
            assert after[name] == pytest.approx(before[name], rel=1e-12), name
        else:
            assert after[name] != pytest.approx(before[name], rel=1e-3), name


def test_classes_with_other_numbers_and_samples_in_another_order():
    rng = np.random.default_rng(0)
    names, order = rng.permutation(6), rng.permutation(360)
    after = values(names[DATA.labels[order]], DATA.logits[order][:, np.argsort(names)], ids=order)
    assert after == pytest.approx(values(DATA.labels, DATA.logits), rel=1e-12)


def test_probabilities_that_round_to_one_are_still_ranked():
    logits = np.array([[800.0, 0, 0], [900, 0, 0], [1000, 0, 0], [700, 0, 0]])
    # The least sure of four samples of probability 1.0 is the one that is wrong.
    assert values(np.array([0, 0, 0, 1]), logits, ["e_aurc_msp"])["e_aurc_msp"] == 0
    assert values(np.array([0, 0, 1, 0]), logits, ["aurc_msp"])["aurc_msp"] == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )


def test_held_out_samples_have_no_influence_on_what_is_fitted_with_them():
    out = torch.from_numpy(held_out(360))
    for name, item in measured(DATA.labels, DATA.logits).items():
        assert item.influence is not None
        if name.endswith("normalised_logit"):
            assert (item.influence[out] == 0).all() and (item.influence[~out] != 0).any()
        else:
            assert (item.influence[out] != 0).any()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_normalised_logits_are_their_equation(scale: float):
    logits = torch.from_numpy(DATA.logits[:20])
    found = normalised_tops(scale * (logits - logits.mean(1, keepdim=True)), POWERS)
    expected = [[normalised(z, p) for p in POWERS] for z in DATA.logits[:20]]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-12)


def test_where_only_the_top_logit_is_above_the_mean_scores_of_power_one_tie_exactly():
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 5)))
    logits[:, 2] += 50
    assert (normalised_tops(logits - logits.mean(1, keepdim=True), (1,)) == 0.5).all()


def test_equal_logits_rank_last():
    found = normalised_tops(torch.zeros(2, 4).double(), POWERS)
    assert (found == 0).all()
    assert (normalised_tops(torch.tensor([[1e-300, 0, 0, -1e-300]], dtype=torch.float64), POWERS) > 0).all()


def test_with_nothing_wrong_there_is_no_risk_and_no_power():
    data = simplex(4, 5, 30)
    for name, item in measured(data.labels, data.logits).items():
        if name.endswith("normalised_logit"):
            assert math.isnan(item.value)
            assert (
                item.reason
                == "all held-out samples are classified correctly, so no power is better than another"
            )
        else:
            assert item.value == 0 and item.reason == ALIKE and math.isnan(item.standard_error), name


def test_with_everything_wrong_there_is_nothing_to_gain():
    labels = np.arange(30) % 3
    found = values(labels, np.roll(np.eye(3), 1, axis=1)[labels] + np.linspace(0, 1, 30)[:, None])
    assert (
        found["aurc_max_logit"] == 1 and found["e_aurc_max_logit"] == 0 and found["augrc_max_logit"] == 1 / 2
    )


def test_two_classes_have_no_normalised_logit_to_rank_by():
    data = cloud(2, 5, [40, 50], seed=5)
    item = measured(data.labels, data.logits, ["aurc_normalised_logit"])["aurc_normalised_logit"]
    assert (
        item.reason == "with fewer than three classes all normalised logits are equal, so they rank nothing"
    )


def test_one_sample():
    found = measured(np.array([1]), np.array([[2.0, 1.0, 0.0]]), ["aurc_msp", "augrc_msp"])
    assert found["aurc_msp"].value == 1 and found["augrc_msp"].value == 1 / 2
    assert math.isnan(found["aurc_msp"].standard_error)


def test_without_logits_or_head_there_is_a_reason():
    for name, item in measured(np.arange(8) % 2, None).items():
        assert item.reason == "there are neither logits nor a head to compute them from", name


def test_the_columns_of_no_samples():
    representation = fitted(representation_of(DATA.labels, DATA.logits), {"power"})
    assert not isinstance(representation.power, Undefined)
    tile = Tile(next(iter(representation.blocks)).part(slice(0, 0)), representation)
    for name in ORACLE:
        assert METRICS[name].columns(tile).shape == (0, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ORACLE)
def test_a_metric_can_be_sent_elsewhere(name: str):
    assert pickle.loads(pickle.dumps(METRICS[name])).name == name
