"""Tests for main effects and interactions: against loops over the definition, on balanced and on torn designs."""

import math
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from maxsup_analysis.contrasts import Repeated, Term, contrast
from maxsup_analysis.effects import Design, Run
from maxsup_analysis.errors import InputError
from maxsup_analysis.estimates import Estimate
from maxsup_analysis.influence import Samples
from maxsup_analysis.sampling import within_classes

N, K = 60, 3
SAMPLES = Samples(np.arange(N), np.arange(N) % K)
FACTORS = {"loss": ("CE", "LS", "MaxSup"), "alpha": ("0.1", "0.2")}


def estimate(rng: np.random.Generator, value: float) -> Estimate:
    """An estimate with influences that sum to zero in each class."""
    influence = rng.normal(size=N) * 0.01
    for k in range(K):
        influence[SAMPLES.labels == k] -= influence[SAMPLES.labels == k].mean()
    return Estimate(value, 0.0, influence=torch.from_numpy(influence))


def runs(seeds: dict[tuple[str, str], int] | None = None) -> list[Run]:
    """As many seeds of each combination as said, three otherwise."""
    rng = np.random.default_rng(0)
    found = []
    for loss, alpha in product(*FACTORS.values()):
        for _ in range((seeds or {}).get((loss, alpha), 3)):
            levels = {"loss": loss, "alpha": alpha}
            found.append(Run(levels, {"accuracy": estimate(rng, rng.normal())}, SAMPLES))
    return found


def stratified_error(influence: np.ndarray, labels: np.ndarray) -> float:
    """SE^2 = sum over classes of n/(n - 1) sum (influence - class mean)^2."""
    total = 0.0
    for k in set(labels.tolist()):
        inside = influence[labels == k]
        total += len(inside) / (len(inside) - 1) * ((inside - inside.mean()) ** 2).sum()
    return math.sqrt(total)


def expected(weights: Mapping[tuple[str, str], float], every: list[Run]) -> tuple[float, float, float]:
    """Value, sampling error and seed error of a weighted sum of the combinations' means, in loops."""
    value, influence, seeds = 0.0, np.zeros(N), 0.0
    for combination, weight in weights.items():
        group = [run for run in every if (run.levels["loss"], run.levels["alpha"]) == combination]
        values = [run.estimates["accuracy"].value for run in group]
        value += weight * sum(values) / len(values)
        for run in group:
            row = run.estimates["accuracy"].influence
            assert row is not None
            influence += weight * row.numpy() / len(group)
        if len(values) > 1:
            mean = sum(values) / len(values)
            seeds += weight**2 * sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)
    return value, stratified_error(influence, SAMPLES.labels), math.sqrt(seeds)


@pytest.mark.parametrize("seeds", [None, {("LS", "0.2"): 2, ("CE", "0.1"): 5, ("MaxSup", "0.1"): 1}])
def test_main_effects_weigh_combinations_equally(seeds: dict | None):
    every = runs(seeds)
    for effect in Design(FACTORS, every).effects("accuracy", "loss"):
        weights = {}
        for alpha in FACTORS["alpha"]:
            weights[effect.level, alpha], weights["CE", alpha] = 0.5, -0.5
        value, sampling, seed = expected(weights, every)
        found = effect.interval
        assert (effect.baseline, effect.combinations) == ("CE", 2)
        assert found.value == pytest.approx(value, rel=1e-12)
        assert found.sampling_error == pytest.approx(sampling, rel=1e-10)
        assert found.seed_error == pytest.approx(seed, rel=1e-12)


def test_the_interval_is_welchs():
    every = runs()
    (effect,) = Design(FACTORS, every).effects("accuracy", "alpha")
    weights = {
        (loss, alpha): sign / 3 for loss in FACTORS["loss"] for alpha, sign in (("0.2", 1), ("0.1", -1))
    }
    value, sampling, seed = expected(weights, every)
    parts = []
    for (loss, alpha), weight in weights.items():
        values = [r.estimates["accuracy"].value for r in every if r.levels == {"loss": loss, "alpha": alpha}]
        parts.append(weight**2 * np.var(values, ddof=1) / 3)
    influence = torch.zeros(N, dtype=torch.float64)
    for run in every:
        row = run.estimates["accuracy"].influence
        assert row is not None
        influence += weights[run.levels["loss"], run.levels["alpha"]] * row / 3
    samples = within_classes(influence, torch.from_numpy(SAMPLES.labels)).degrees_of_freedom
    freedom = (sampling**2 + seed**2) ** 2 / (sampling**4 / samples + sum(part**2 / 2 for part in parts))
    half = stats.t.ppf(0.975, freedom) * math.hypot(sampling, seed)
    assert (effect.interval.low, effect.interval.high) == pytest.approx(
        (value - half, value + half), rel=1e-10
    )


def test_interactions_are_differences_of_differences():
    every = runs()
    found = Design(FACTORS, every).interactions("accuracy", "loss", "alpha")
    assert [(one.level, one.other_level) for one in found] == [("LS", "0.2"), ("MaxSup", "0.2")]
    for one in found:
        weights = {(one.level, "0.2"): 1, ("CE", "0.2"): -1, (one.level, "0.1"): -1, ("CE", "0.1"): 1}
        value, sampling, seed = expected(weights, every)
        assert one.interval.value == pytest.approx(value, rel=1e-12)
        assert one.interval.sampling_error == pytest.approx(sampling, rel=1e-10)
        assert one.interval.seed_error == pytest.approx(seed, rel=1e-12)


def test_what_was_not_run_at_both_levels_is_left_out_and_counted():
    every = [run for run in runs() if run.levels != {"loss": "LS", "alpha": "0.2"}]
    design = Design(FACTORS, every)
    by_level = {effect.level: effect for effect in design.effects("accuracy", "loss")}
    assert (by_level["LS"].combinations, by_level["MaxSup"].combinations) == (1, 2)
    value, _, _ = expected({("LS", "0.1"): 1, ("CE", "0.1"): -1}, every)
    assert by_level["LS"].interval.value == pytest.approx(value, rel=1e-12)
    assert [one.level for one in design.interactions("accuracy", "loss", "alpha")] == ["MaxSup"]
    assert design.mean("accuracy", {"loss": "LS", "alpha": "0.2"}) is None


def test_a_level_that_was_never_run_has_no_effect():
    every = [run for run in runs() if run.levels["loss"] != "CE"]
    assert Design(FACTORS, every).effects("accuracy", "loss") == []
    assert Design({"loss": ("CE",)}, []).effects("accuracy", "loss") == []


def test_without_factors_all_runs_are_repetitions():
    every = [Run({}, run.estimates, SAMPLES) for run in runs()]
    mean = Design({}, every).mean("accuracy", {})
    assert mean is not None
    assert mean.value == pytest.approx(np.mean([run.estimates["accuracy"].value for run in every]), rel=1e-12)


def test_other_samples_are_independent():
    """Two accuracies on disjoint draws: variances add; on the same draw the influences subtract first."""
    rng = np.random.default_rng(3)
    one, other = estimate(rng, 0.5), estimate(rng, 0.7)
    assert one.influence is not None and other.influence is not None
    elsewhere = Samples(SAMPLES.ids + 1000, SAMPLES.labels)
    errors = [stratified_error(row.numpy(), SAMPLES.labels) for row in (one.influence, other.influence)]
    apart = contrast([Term(1.0, Repeated((one,), SAMPLES)), Term(-1.0, Repeated((other,), elsewhere))])
    assert apart.sampling_error == pytest.approx(math.hypot(*errors), rel=1e-12)
    copy = Samples(SAMPLES.ids.copy(), SAMPLES.labels.copy())
    paired = contrast([Term(1.0, Repeated((one,), SAMPLES)), Term(-1.0, Repeated((other,), copy))])
    gap = (one.influence - other.influence).numpy()
    assert paired.sampling_error == pytest.approx(stratified_error(gap, SAMPLES.labels), rel=1e-12)


def test_an_undefined_run_makes_the_effect_undefined_with_its_reason():
    every = runs()
    every[0] = Run(every[0].levels, {"accuracy": Estimate(math.nan, math.nan, "no logits")}, SAMPLES)
    effect = Design(FACTORS, every).effects("accuracy", "loss")[0].interval
    assert (effect.verdict, effect.reason) == ("undefined", "no logits") and math.isnan(effect.value)


def test_levels_have_to_be_those_of_the_factors():
    with pytest.raises(InputError, match="expected levels that the factors have, got loss=Focal"):
        Design(FACTORS, [Run({"loss": "Focal", "alpha": "0.1"}, {}, SAMPLES)])
