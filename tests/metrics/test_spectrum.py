"""Tests for the spectral metrics, of all features and of the samples of each class."""

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.decomposition import PCA

from maxsup_analysis.class_averages import ClassAverage, class_averages
from maxsup_analysis.class_rows import map_classes
from maxsup_analysis.class_spectrum import ClassSpectrum, class_spectra
from maxsup_analysis.errors import OUT_OF_RANGE, NotSmooth, Undefined
from maxsup_analysis.measurements import Measurements, measure_representation, represent_arrays
from maxsup_analysis.metrics import spectrum
from maxsup_analysis.metrics.metric import METRICS, ClassMetric, Matrix, SpectralMetric
from maxsup_analysis.rows import RowBlocks, Rows
from tests.clouds import Cloud, as_if_many_samples, cloud, simplex
from tests.oracle.spectrum import ORACLE

CLOUDS = {
    "few dimensions": cloud(4, 7, [12] * 4),
    "unbalanced": cloud(5, 9, [3, 14, 8, 2, 20], seed=1),
    "more dimensions than samples": cloud(3, 40, [6] * 3, seed=2),
    "enough for a power law": cloud(4, 120, [50] * 4, seed=3),
    "more than 512 a class": cloud(2, 5, [600, 20], seed=4),
    "enough for power laws of classes": cloud(3, 130, [150, 120, 50], seed=5),
}
RANKS = ("effective_rank", "rankme", "stable_rank", "participation_ratio")
CENTRED = ("effective_rank", "stable_rank", "participation_ratio", "alpha_req", "alpha_req_r2")
CENTRED_WITHIN = ("effective_rank_within", "stable_rank_within", "participation_ratio_within")
WITHIN = (*CENTRED_WITHIN, "rankme_within")
LAWS_WITHIN = ("alpha_req_within", "alpha_req_r2_within")


def eigenvalues(features: np.ndarray, matrix: str) -> torch.Tensor:
    """Squared singular values over N: another way to them than the engine's."""
    N = len(features)
    centred = features - features.mean(0) if matrix == "covariance" else features
    return torch.from_numpy(np.linalg.svd(centred, compute_uv=False) ** 2 / N)


def measured(features: np.ndarray, labels: np.ndarray, names: Iterable[str]) -> Measurements:
    representation = represent_arrays(features, labels)
    return measure_representation(representation, metrics=[METRICS[name] for name in names])


def value(name: str, features: np.ndarray) -> float:
    metric = METRICS[name]
    assert isinstance(metric, SpectralMetric)
    return metric.value(eigenvalues(features, metric.matrix)).item()


def averages(
    features: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = WITHIN
) -> dict[str, ClassAverage]:
    metrics = [METRICS[name] for name in names]
    assert all(isinstance(metric, ClassMetric) for metric in metrics)
    found = class_averages(represent_arrays(features, labels), metrics, errors=True)  # type: ignore[arg-type]
    return dict(zip(names, found, strict=True))


def of_class(features: np.ndarray | torch.Tensor, matrix: Matrix = "covariance") -> ClassSpectrum:
    found = class_spectra(torch.as_tensor(features), [matrix])[matrix]
    assert isinstance(found, ClassSpectrum)
    return found


def blocks(data: Cloud, cuts: tuple[int, ...] = ()) -> RowBlocks:
    labels, features = torch.from_numpy(data.labels), torch.from_numpy(data.features)
    bounds = [0, *sorted(cuts), len(labels)]
    return RowBlocks(tuple(Rows(np.arange(a, b), labels[a:b], features[a:b]) for a, b in pairwise(bounds)))


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("name", RANKS)
def test_ranks_are_their_equations(name: str, kind: str):
    data = CLOUDS[kind]
    assert value(name, data.features) == pytest.approx(ORACLE[name](*data.arrays), rel=1e-9)


@pytest.mark.parametrize("name", ["alpha_req", "alpha_req_r2"])
def test_the_power_law_is_its_equation(name: str):
    data = CLOUDS["enough for a power law"]
    assert value(name, data.features) == pytest.approx(ORACLE[name](*data.arrays), rel=1e-9)


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("name", WITHIN)
def test_ranks_within_classes_are_their_equations(name: str, kind: str):
    data = CLOUDS[kind]
    assert averages(data.features, data.labels)[name].value == pytest.approx(
        ORACLE[name](*data.arrays), rel=1e-9
    )


@pytest.mark.parametrize("name", LAWS_WITHIN)
def test_power_laws_within_classes_are_their_equations(name: str):
    # The class of 50 samples has too few eigenvalues, and is left out.
    data = CLOUDS["enough for power laws of classes"]
    found = averages(data.features, data.labels, LAWS_WITHIN)[name]
    assert found.value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-9)
    assert found.influence is not None and not found.influence[torch.from_numpy(data.labels == 2)].any()
    assert found.influence.abs().sum() > 0


def test_classes_that_are_left_out_are_noted():
    data = CLOUDS["enough for power laws of classes"]
    names = ["effective_rank_within", *LAWS_WITHIN]
    words = "the fit takes the eigenvalues of ranks 11 to 100, and 49 of 49 are not zero"
    assert measured(data.features, data.labels, names).notes == (
        f"classes left out of alpha_req_within, alpha_req_r2_within: 1, such as class 2: {words}",
    )
    single = cloud(3, 4, [1, 1, 9])
    assert measured(single.features, single.labels, names).notes[-1] == (
        "classes left out of effective_rank_within: 2, such as class 0: one sample has no spectrum to speak of"
    )


def test_too_few_samples_for_a_power_law_of_any_class_is_the_reason():
    data = CLOUDS["enough for a power law"]
    for found in averages(data.features, data.labels, LAWS_WITHIN).values():
        assert math.isnan(found.value) and found.influence is None
        assert found.reason == (
            "it is defined for no class; for class 0: the fit takes the eigenvalues of ranks 11 to 100, and 49 of 49 "
            "are not zero"
        )


@pytest.mark.parametrize("kind", CLOUDS)
def test_spectral_metrics_are_their_equations_as_measured(kind: str):
    data = CLOUDS[kind]
    names = [*RANKS, *(("alpha_req", "alpha_req_r2") if kind.startswith("enough") else ())]
    with as_if_many_samples():
        found = measured(data.features, data.labels, names)
    for name in names:
        assert found[name].value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-8), name
        assert found[name].standard_error > 0, name


@pytest.mark.parametrize("kind", CLOUDS)
def test_class_metrics_are_their_equations_as_measured(kind: str):
    data = CLOUDS[kind]
    with as_if_many_samples():
        found = measured(data.features, data.labels, WITHIN)
    for name in WITHIN:
        assert found[name].value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-8), name
        assert found[name].standard_error > 0, name


def test_the_reference_knows_the_family():
    assert set(ORACLE) == {name for name, metric in METRICS.items() if metric.family == "spectrum"}


@pytest.mark.parametrize("r", [1, 2, 7, 30])
@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "rankme", "stable_rank"])
def test_equal_variances_along_r_directions_are_rank_r(name: str, r: int):
    flat = torch.zeros(30, dtype=torch.float64)
    flat[:r] = 0.3
    try:
        found = METRICS[name].value(flat).item()  # type: ignore[attr-defined]
    except NotSmooth as point:
        found = point.value
        assert name == "stable_rank" and r > 1
    # What RankMe adds to each share raises it by a few parts in a million.
    assert found == pytest.approx(r, rel=1e-4 if name == "rankme" else 1e-12)


def test_the_shares_of_rankme_sum_to_more_than_one():
    # exp(-sum p ln p) with p = (1 + 1e-7, 1e-7): to first order 1 + 1e-7 (-1 - ln 1e-7).
    two = torch.tensor([2.0, 0.0], dtype=torch.float64)
    assert spectrum.rankme(two).item() - 1 == pytest.approx(1e-7 * (math.log(1e7) - 1), rel=1e-5)


@pytest.mark.parametrize(("K", "D"), [(4, 6), (10, 12)])
def test_collapse_on_a_simplex_leaves_k_minus_one_directions(K: int, D: int):
    data = simplex(K, D, 6)
    for name in ("effective_rank", "participation_ratio", "rankme"):
        assert value(name, data.features) == pytest.approx(K - 1, rel=1e-4), name
    with pytest.raises(
        NotSmooth, match=r"^the two largest eigenvalues are equal, so the larger has no derivative$"
    ) as it:
        value("stable_rank", data.features)
    assert it.value.value == pytest.approx(K - 1)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
def test_a_power_law_gives_its_exponent(exponent: float):
    law = torch.arange(1, 129, dtype=torch.float64) ** -exponent
    assert spectrum.alpha_req(law).item() == pytest.approx(exponent, rel=1e-10)
    assert spectrum.alpha_req_r2(law).item() == pytest.approx(1, rel=1e-10)
    # Ranks before the 11th and after the 100th have no part in it.
    bent = law.clone()
    bent[:10] *= 5
    bent[100:] /= 5
    assert spectrum.alpha_req(bent).item() == pytest.approx(exponent, rel=1e-10)


def test_eigenvalues_are_those_of_others():
    features = CLOUDS["few dimensions"].features
    shares = PCA().fit(features).explained_variance_ratio_
    assert value("stable_rank", features) == pytest.approx(1 / shares[0], rel=1e-10)
    assert value("participation_ratio", features) == pytest.approx(1 / (shares**2).sum(), rel=1e-10)
    assert value("effective_rank", features) == pytest.approx(np.exp(entropy(np.sqrt(shares))), rel=1e-10)
    # What another program calls RankMe is the entropy of these shares, which is neither.
    assert np.exp(entropy(shares)) < value("effective_rank", features)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), factor=st.floats(1e-3, 1e3), offset=st.floats(-50, 50))
def test_rotation_scale_order_and_offset_change_nothing(seed: int, factor: float, offset: float):
    rng = np.random.default_rng(seed)
    features = CLOUDS["enough for a power law"].features
    D = features.shape[1]
    rotation, _ = np.linalg.qr(rng.normal(size=(D, D)))
    turned = factor * rng.permutation(features) @ rotation
    for name in (*CENTRED, "rankme"):
        assert value(name, turned) == pytest.approx(value(name, features), rel=1e-8), name
    for name in CENTRED:
        assert value(name, features + offset) == pytest.approx(value(name, features), rel=1e-8), name


def test_rankme_sees_an_offset():
    data = CLOUDS["few dimensions"]
    assert value("rankme", data.features + 100) < 1.3 < value("rankme", data.features)
    near, far = (averages(data.features + offset, data.labels)["rankme_within"].value for offset in (0, 100))
    assert far < 1.3 < near


@pytest.mark.parametrize(("n", "D"), [(6, 9), (12, 4)])
def test_the_rankme_of_one_class_is_that_of_its_samples(n: int, D: int):
    features = np.random.default_rng(n).normal(size=(n, D))
    found = averages(features, np.zeros(n, dtype=int))["rankme_within"].value
    assert found == pytest.approx(value("rankme", features), rel=1e-9)


def test_coinciding_samples_have_a_rankme_of_one_and_those_that_are_zero_none():
    data = cloud(4, 6, [1, 9, 5, 8], seed=6)
    data.features[data.labels == 2], data.features[data.labels == 3] = 1.5, 0
    found = averages(data.features, data.labels)["rankme_within"]
    assert found.value == pytest.approx(ORACLE["rankme_within"](*data.arrays), rel=1e-9)
    assert found.influence is not None
    for k in (0, 3):
        assert not found.influence[torch.from_numpy(data.labels == k)].any()
    flat = simplex(4, 6, 5)
    # Five samples have the shares 1 + e and four times e = 1e-7: -sum p ln p = 4 e ln(1/e) - e to first order.
    expected = math.exp(4e-7 * math.log(1e7) - 1e-7)
    assert averages(flat.features, flat.labels)["rankme_within"].value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", WITHIN)
def test_the_names_and_the_order_of_the_classes_change_nothing(name: str):
    data = CLOUDS["unbalanced"]
    renamed = np.array([3, 0, 4, 1, 2])[data.labels]
    order = np.random.default_rng(0).permutation(len(renamed))
    offset = -7 if name in CENTRED_WITHIN else 0
    other = averages(data.features[order] * 3 + offset, renamed[order])[name].value
    assert other == pytest.approx(averages(data.features, data.labels)[name].value, rel=1e-9)


@pytest.mark.parametrize("name", [*CENTRED, "rankme", *WITHIN, *LAWS_WITHIN])
def test_without_variance_there_is_no_spectrum(name: str):
    words = "all features are zero vectors" if "rankme" in name else "the samples coincide"
    for none in (torch.zeros(120, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)):
        with pytest.raises(Undefined, match=f"^{words}, so there is no spectrum$"):
            METRICS[name].value(none)  # type: ignore[attr-defined]


@pytest.mark.parametrize("function", [spectrum.alpha_req, spectrum.alpha_req_r2])
def test_a_power_law_takes_a_hundred_eigenvalues(function):
    law = 1 / torch.arange(1, 101, dtype=torch.float64)
    assert function(law).isfinite()
    words = "^the fit takes the eigenvalues of ranks 11 to 100, and 99 of 99 are not zero$"
    with pytest.raises(Undefined, match=words):
        function(law[:99])
    law[97:] = 0
    with pytest.raises(Undefined, match=r"and 97 of 100 are not zero$"):
        function(law)


def test_a_flat_spectrum_has_an_exponent_but_no_fit():
    flat = torch.ones(100, dtype=torch.float64)
    assert spectrum.alpha_req(flat).item() == 0
    with pytest.raises(
        Undefined, match=r"^the eigenvalues of ranks 11 to 100 are equal, so there is nothing to explain$"
    ):
        spectrum.alpha_req_r2(flat)


@pytest.mark.parametrize("name", [*RANKS, *WITHIN])
def test_eigenvalues_that_are_rounding_are_zero(name: str):
    exact = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    rounded = exact + torch.tensor([0, 0, 0, 2e-16, 1e-16], dtype=torch.float64)
    of = METRICS[name].value  # type: ignore[attr-defined]
    assert of(exact).item() == of(rounded).item()
    slope = rounded.requires_grad_()
    of(slope).backward()
    assert slope.grad is not None and slope.grad.isfinite().all() and not slope.grad[3:].any()


@pytest.mark.parametrize("name", [*RANKS, "alpha_req", "alpha_req_r2"])
def test_slopes_are_derivatives(name: str):
    values = (
        torch.rand(110, generator=torch.Generator().manual_seed(0)).double().sort(descending=True)[0] + 0.1
    )
    of = METRICS[name].value  # type: ignore[attr-defined]
    assert torch.autograd.gradcheck(of, (values.requires_grad_(),), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize(("n", "D"), [(2, 5), (6, 9), (9, 9), (30, 4), (512, 3)])
def test_the_spectrum_of_a_class_is_that_of_its_covariance(n: int, D: int):
    features = np.random.default_rng(n).normal(size=(n, D)) * np.arange(1, D + 1)
    found = of_class(features)
    expected = np.linalg.eigvalsh(np.cov(features.T, bias=True))[::-1][: min(n - 1, D)]
    assert found.values.numpy() == pytest.approx(expected, rel=1e-9)
    assert found.shares is not None
    assert found.shares.sum(0).numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "D"), [(1, 5), (6, 9), (9, 9), (30, 4), (512, 3)])
def test_the_second_moment_of_a_class_has_its_squared_singular_values(n: int, D: int):
    features = np.random.default_rng(n).normal(size=(n, D)) * np.arange(1, D + 1) + 2
    found = of_class(features, "second moment")
    expected = np.linalg.svd(features, compute_uv=False) ** 2 / n
    assert found.values.numpy() == pytest.approx(expected, rel=1e-9)
    assert found.shares is not None
    assert found.shares.sum(0).numpy() == pytest.approx(expected, rel=1e-9)


def weighted_rank(features: np.ndarray, weights: np.ndarray, matrix: Matrix = "covariance") -> float:
    """Effective rank of a weighted covariance, or RankMe of a weighted second moment."""
    centre = weights @ features / weights.sum() if matrix == "covariance" else 0
    centred = (features - centre) * np.sqrt(weights / weights.sum())[:, None]
    roots = np.linalg.svd(centred, compute_uv=False)
    if matrix == "covariance":
        return float(np.exp(entropy(roots[roots > 1e-6 * roots[0]])))
    shares = roots / roots.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize(
    ("matrix", "of"),
    [("covariance", spectrum.effective_rank_within), ("second moment", spectrum.rankme_within)],
)
@pytest.mark.parametrize(("n", "D"), [(6, 9), (12, 4)])
def test_the_influence_on_a_class_is_a_derivative_by_the_weights(n: int, D: int, matrix: Matrix, of):
    features = np.random.default_rng(n).normal(size=(n, D)) + 0.3
    found = of_class(features, matrix)
    leaf = found.values.clone().requires_grad_()
    of(leaf).backward()
    assert leaf.grad is not None
    influence = found.influence(leaf.grad)
    for i in range(n):
        up, down = np.ones(n), np.ones(n)
        up[i], down[i] = 1 + 1e-5, 1 - 1e-5
        slope = (weighted_rank(features, up, matrix) - weighted_rank(features, down, matrix)) / 2e-5
        assert influence[i].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_an_offset_of_a_class_costs_no_digits():
    features = np.random.default_rng(0).integers(-64, 64, size=(20, 30)) / 16
    near, far = (of_class(features + offset).values for offset in (0.0, 2.0**30))
    assert far.numpy() == pytest.approx(near.numpy(), rel=1e-12)


def test_a_class_of_one_sample_has_no_eigenvalue_and_one_that_overflows_says_so():
    assert of_class(torch.ones(1, 4)).values.shape == (0,)
    for found in class_spectra(torch.tensor([[1e300, 0], [0, 1e300]]).double()).values():
        assert isinstance(found, Undefined) and str(found) == OUT_OF_RANGE
    # Far away, but close together.
    far = averages(np.array([[1e200, 1], [1e200, 2], [1e200, 4]]), np.zeros(3, dtype=int))
    assert far["rankme_within"].reason == OUT_OF_RANGE
    assert far["effective_rank_within"].value == pytest.approx(1)


def test_influences_of_all_classes_are_derivatives_and_lie_where_the_samples_do():
    data = CLOUDS["unbalanced"]
    found = averages(data.features, data.labels)
    ranks = {k: data.features[data.labels == k] for k in range(5)}
    for i in (0, 7, 20):
        part = ranks[data.labels[i]]
        at = np.flatnonzero(data.labels == data.labels[i]).tolist().index(i)
        up, down = np.ones(len(part)), np.ones(len(part))
        up[at], down[at] = 1 + 1e-5, 1 - 1e-5
        slope = (weighted_rank(part, up) - weighted_rank(part, down)) / 2e-5 / 5
        influence = found["effective_rank_within"].influence
        assert influence is not None and influence[i].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_samples_after_the_first_512_have_no_influence():
    data = CLOUDS["more than 512 a class"]
    last = np.flatnonzero(data.labels == 0)[512:]
    for name, found in averages(data.features, data.labels).items():
        assert found.influence is not None and not found.influence[torch.from_numpy(last)].any(), name
        moved = data.features.copy()
        moved[last] += 9
        assert averages(moved, data.labels)[name].value == found.value


def test_classes_without_spread_are_left_out_of_the_average():
    data = cloud(4, 6, [1, 9, 5, 8], seed=6)
    data.features[data.labels == 2] = 1.5
    for name, found in averages(data.features, data.labels, CENTRED_WITHIN).items():
        assert found.value == pytest.approx(ORACLE[name](*data.arrays), rel=1e-9)
        assert found.influence is not None and not found.influence[torch.from_numpy(data.labels == 2)].any()
    for flat, words in (
        (simplex(4, 6, 5), "the samples coincide, so there is no spectrum"),
        (cloud(3, 4, [1, 1, 1]), "one sample has no spectrum to speak of"),
    ):
        for found in averages(flat.features, flat.labels, CENTRED_WITHIN).values():
            assert math.isnan(found.value) and found.influence is None
            assert found.reason == f"it is defined for no class; for class 0: {words}"


def test_a_class_whose_largest_variances_are_equal_leaves_no_error_of_the_stable_rank():
    cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    found = averages(np.concatenate([cross, 3 * cross[:, :1] * [1, 2]]), np.repeat([0, 1], 4))
    assert found["stable_rank_within"].value == pytest.approx((2 + 1) / 2)
    assert found["stable_rank_within"].influence is None
    assert found["stable_rank_within"].reason == (
        "the two largest eigenvalues are equal, so the larger has no derivative"
    )
    assert found["participation_ratio_within"].influence is not None


def test_squares_that_overflow_leave_no_average():
    for found in averages(np.random.default_rng(0).normal(size=(6, 3)) * 1e300, np.arange(6) % 2).values():
        assert found.reason == OUT_OF_RANGE


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    cuts=st.lists(st.integers(0, 54), max_size=5),
    limit=st.integers(1, 10),
    room=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_the_rows_of_a_class_are_its_first_in_any_blocks(
    counts: list[int], cuts: list[int], limit: int, room: int, seed: int
):
    data = cloud(len(counts), 3, counts, seed)
    cut = blocks(data, tuple(min(c, len(data.labels)) for c in cuts))
    bytes_each = 3 * 8
    sizes = torch.tensor(counts).double()
    found = list(map_classes(lambda *class_: class_, cut, sizes, limit, room * bytes_each))
    assert [label for label, _ in found] == [k for k, count in enumerate(counts) if count]
    for label, rows in found:
        places = np.flatnonzero(data.labels == label)[:limit]
        assert rows.ids.tolist() == places.tolist() and rows.logits is None
        assert (rows.features.numpy() == data.features[places]).all() and (rows.labels == label).all()


class Counted(RowBlocks):
    """Blocks that count how often they are read."""

    read = 0

    def map(self, function):
        for rows in self.rows:
            type(self).read += 1
            yield function(rows)


def test_a_sweep_for_rows_ends_when_they_are_complete_and_holds_what_fits():
    data = cloud(4, 3, [20] * 4)
    many = blocks(data, tuple(range(8, 80, 8)))
    counted = Counted(many.rows)
    assert len(list(map_classes(lambda *class_: class_, counted, torch.full((4,), 20.0).double(), 2))) == 4
    assert Counted.read < len(many.rows)
    Counted.read = 0
    # Room for the rows of two classes: two sweeps over all blocks.
    assert (
        len(
            list(
                map_classes(lambda *class_: class_, counted, torch.full((4,), 20.0).double(), 512, 40 * 3 * 8)
            )
        )
        == 4
    )
    assert len(many.rows) < Counted.read <= 2 * len(many.rows)
