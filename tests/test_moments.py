"""Tests for moments: sums add, in any split and order, and lose nothing."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maxsup_analysis import gathering
from maxsup_analysis.estimates import estimate
from maxsup_analysis.gathering import gather, moments_of
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.moments import ClassMoments, ClusterMoments, ClusterSums, directions_of, lengths_of
from maxsup_analysis.representation import Head, Representation, represent
from maxsup_analysis.rows import RowBlocks, Rows
from maxsup_analysis.span import EVEN, Span
from maxsup_analysis.symmetric import STRIP
from maxsup_analysis.wanted import Wanted
from tests.clouds import cloud

DATA = cloud(4, 5, [13, 1, 9, 17], seed=3)
N = len(DATA.labels)
FEATURES, LABELS = torch.from_numpy(DATA.features), torch.from_numpy(DATA.labels)
HEAD = Head(torch.from_numpy(DATA.weight), torch.from_numpy(DATA.bias))
EVERYTHING = Wanted(span=True, direction_span=True, scatter=True, errors=True)
splits = st.tuples(st.permutations(range(N)), st.sets(st.integers(1, N - 1)))


def parts(order: list[int], cuts: set[int]) -> list[torch.Tensor]:
    edges = [0, *sorted(cuts), N]
    return [torch.tensor(order[start:stop]) for start, stop in pairwise(edges)]


def of(features: torch.Tensor, chosen: list[torch.Tensor]) -> Representation:
    rows = [Rows(p.numpy(), LABELS[p], features[p], HEAD.logits(features[p].double())) for p in chosen]
    return represent(RowBlocks(tuple(rows)), class_names=tuple("abcd"), head=HEAD)


def moments(features: torch.Tensor, chosen: list[torch.Tensor]) -> ClassMoments:
    representation = of(features, chosen)
    return moments_of(representation, gather(representation, EVERYTHING))


def close(mine: ClusterMoments, theirs: ClusterMoments, tolerance: float) -> None:
    assert torch.equal(mine.counts, theirs.counts)
    assert relative(mine.means, theirs.means) <= tolerance
    assert relative(mine.spreads, theirs.spreads) <= tolerance
    first, second = mine.span_scatter, theirs.span_scatter
    assert first is not None and second is not None
    for name in ("inside", "distance", "inside_slope", "distance_slope"):
        assert relative(getattr(first, name), getattr(second, name)) <= 100 * tolerance, name


def relative(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm() / second.norm())


@settings(max_examples=60)
@given(splits)
def test_any_split_and_order_gives_the_same_moments(split):
    whole, merged = moments(FEATURES, [torch.arange(N)]), moments(FEATURES, parts(*split))
    close(merged.features, whole.features, 1e-13)
    close(merged.directions, whole.directions, 1e-13)
    assert merged.scatter is not None and whole.scatter is not None
    assert relative(merged.scatter, whole.scatter) <= 1e-13


@settings(max_examples=10)
@given(splits)
def test_any_split_and_order_gives_the_same_measurements(split):
    every = [metric for metric in METRICS.values() if metric.standard]
    whole = estimate(of(FEATURES, [torch.arange(N)]), every)
    merged = estimate(of(FEATURES, parts(*split)), every)
    for name, item in whole.items():
        assert merged[name].value == pytest.approx(item.value, rel=1e-12, abs=1e-15), name
        assert merged[name].standard_error == pytest.approx(
            item.standard_error, rel=1e-11, abs=1e-15, nan_ok=True
        )


@settings(max_examples=30)
@given(splits)
def test_a_common_offset_of_a_million_changes_nothing(split):
    # Multiples of 1/64 plus 2^20 are exact, so the shifted data hold the same deviations.
    grid = (FEATURES * 64).round() / 64
    plain, shifted = moments(grid, [torch.arange(N)]), moments(grid + 2.0**20, parts(*split))
    assert plain.scatter is not None and shifted.scatter is not None
    # The mean of a class is rounded to 1e-10 before it is subtracted, which changes squares by 1e-20.
    assert relative(shifted.scatter, plain.scatter) <= 1e-12
    assert relative(shifted.features.spreads, plain.features.spreads) <= 1e-12
    assert relative(shifted.features.centred_means, plain.features.centred_means) <= 1e-12


def test_sums_add_in_any_order_and_nothing_adds_nothing():
    generator = torch.manual_seed(0)
    a, b, c = (
        ClusterSums(torch.rand(4, dtype=torch.float64), torch.randn(4, 3, generator=generator).double())
        for _ in range(3)
    )
    nothing = ClusterSums(torch.zeros(4, dtype=torch.float64), torch.zeros(4, 3, dtype=torch.float64))
    assert torch.equal((a + b).sums, (b + a).sums) and torch.equal((a + nothing).sums, a.sums)
    assert relative(((a + b) + c).sums, (a + (b + c)).sums) <= 1e-15


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e8])
@pytest.mark.parametrize("size", [1, 7, 256, 4000])
def test_streamed_scatter_against_long_double(offset: float, size: int):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3)) + offset
    exact = points.astype(np.longdouble)
    exact = exact - exact.mean(0)
    pieces = torch.from_numpy(points).split(size)
    rows = [Rows(np.arange(len(p)), torch.zeros(len(p), dtype=torch.long), p) for p in pieces]
    representation = represent(RowBlocks(tuple(rows)), class_names=("a",))
    found = moments_of(representation, gather(representation, Wanted(scatter=True))).scatter
    expected = (exact.T @ exact).astype(np.float64)
    assert found is not None and np.abs(found.numpy() - expected).max() <= 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_directions_have_length_one_at_any_scale(scale: float):
    points = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64) * scale
    lengths = lengths_of(points)
    directions, nonzero = directions_of(points, lengths), lengths > 0
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(directions, expected, rtol=1e-15, atol=0) and nonzero.tolist() == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        *((dtype, 0.0) for dtype in (torch.float32, torch.float16, torch.bfloat16)),
        *((torch.float32, offset) for offset in (50.0, 5000.0)),
        (torch.float16, 50.0),
    ],
)
def test_products_in_float32_cost_no_more_than_they_may(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, offset: float
):
    """The same numbers, stored narrowly and as float64: only deviations for products, and the products, differ.

    The class means lie within the samples, almost too far for deviations in float32, and too far.
    """
    monkeypatch.setattr(gathering, "MANY", 1)
    data = cloud(8, 40, [60] * 8, seed=2)
    narrow = torch.from_numpy(data.features + offset).to(dtype)
    labels, ids = torch.from_numpy(data.labels), np.arange(len(data.labels))
    found = []
    for features in (narrow, narrow.double()):
        rows = Rows(ids, labels, features, torch.from_numpy(data.logits))
        made = represent(RowBlocks((rows,)), class_names=tuple("abcdefgh"))
        assert made.means.features_are_loose == (offset < 5000)
        metrics = [METRICS[name] for name in ("nc1_pinv", "d_within", "nc4_agreement")]
        found.append(estimate(made, metrics))
        # With the scatter at hand the span is looked at through it, and the nearest mean among features themselves.
        found.append(estimate(made, [*metrics, METRICS["effective_rank"]], standard_errors=False))
    errors, wide_errors = found[0]["nc1_pinv"].standard_error, found[2]["nc1_pinv"].standard_error
    assert errors == pytest.approx(wide_errors, rel=1e-5)
    for narrow_one, wide_one in ((found[0], found[2]), (found[1], found[2]), (found[3], found[2])):
        assert narrow_one["nc1_pinv"].value == pytest.approx(wide_one["nc1_pinv"].value, rel=1e-6)
        assert narrow_one["d_within"].value == pytest.approx(wide_one["d_within"].value, rel=1e-9)
        assert narrow_one["nc4_agreement"].value == wide_one["nc4_agreement"].value


def test_the_slopes_of_the_span_are_its_derivatives():
    """Central differences of tr(S P) and tr(S S_B^+), with S held fixed, as the means move."""
    representation = of(FEATURES, [torch.arange(N)])
    found = moments_of(representation, gather(representation, EVERYTHING))
    assert found.scatter is not None and found.features.span_scatter is not None
    means = found.features.centred_means
    values = partial(_of_span, scatter=found.scatter)
    assert float(found.features.span_scatter.inside) == pytest.approx(values(means)[0], rel=1e-12)
    assert float(found.features.span_scatter.distance) == pytest.approx(values(means)[1], rel=1e-12)
    change = torch.randn(means.shape, generator=torch.manual_seed(1), dtype=torch.float64)
    change = change - change.mean(0)
    slopes = (found.features.span_scatter.inside_slope, found.features.span_scatter.distance_slope)
    ahead, behind = values(means + 1e-6 * change), values(means - 1e-6 * change)
    for slope, above, below in zip(slopes, ahead, behind, strict=True):
        assert slope is not None
        assert float((slope * change).sum()) == pytest.approx((above - below) / 2e-6, rel=1e-6)


def _of_span(means: torch.Tensor, scatter: torch.Tensor) -> tuple[float, float]:
    between = (means.T @ means / len(means)).numpy()
    inverse = np.linalg.pinv(between, rcond=1e-10, hermitian=True)
    return float(np.trace(scatter.numpy() @ between @ inverse)), float(np.trace(scatter.numpy() @ inverse))


def sweeps_of(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What each sweep from now on is asked for; any number of axes is many."""
    monkeypatch.setattr(gathering, "MANY", 1)
    asked = []
    swept = gathering._swept
    monkeypatch.setattr(gathering, "_swept", lambda rows, wanted: asked.append(wanted) or swept(rows, wanted))
    return asked


def test_the_span_follows_from_the_scatter(monkeypatch: pytest.MonkeyPatch):
    asked = sweeps_of(monkeypatch)
    representation = of(FEATURES, [torch.arange(N)])
    found = moments_of(representation, gather(representation, Wanted(span=True, scatter=True)))
    assert found.scatter is not None and found.features.span_scatter is not None
    assert asked == [Wanted(scatter=True)]
    expected = _of_span(found.features.centred_means, found.scatter)
    assert float(found.features.span_scatter.inside) == pytest.approx(expected[0], rel=1e-12)
    assert float(found.features.span_scatter.distance) == pytest.approx(expected[1], rel=1e-12)


def test_a_scatter_in_float32_does_for_many_axes(monkeypatch: pytest.MonkeyPatch):
    """Against every sample's deviation, in float64."""
    data = cloud(300, 320, [5] * 300, seed=4)
    features, labels = torch.from_numpy(data.features).float(), torch.from_numpy(data.labels)
    rows = Rows(np.arange(len(labels)), labels, features)
    names = tuple(map(str, range(300)))
    asked = sweeps_of(monkeypatch)
    representation = represent(RowBlocks((rows,)), class_names=names)
    found = moments_of(representation, gather(representation, Wanted(span=True, scatter=True)))
    assert asked == [Wanted(scatter=True)] and found.features.span_scatter is not None
    wide = features.numpy().astype(np.float64)
    means = np.stack([wide[data.labels == k].mean(0) for k in range(300)])
    deviations, centred = wide - means[data.labels], means - means.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred / 300)
    inside = (deviations @ axes[:, -299:]) ** 2
    distance = float((inside / values[-299:]).sum())
    assert float(found.features.span_scatter.inside) == pytest.approx(float(inside.sum()), rel=1e-7)
    assert float(found.features.span_scatter.distance) == pytest.approx(distance, rel=1e-6)


def test_a_scatter_that_cancels_in_the_span_is_not_looked_at_for_it(monkeypatch: pytest.MonkeyPatch):
    """All features share a factor that is thirty times as large as what tells classes apart."""
    rng = np.random.default_rng(0)
    labels = torch.arange(400) % 3
    shared = rng.normal(size=(400, 1)) @ np.ones((1, 30))
    apart = rng.normal(size=(3, 30))
    apart -= apart.mean(1, keepdims=True)
    noise = rng.normal(size=(400, 30))
    noise -= noise.mean(1, keepdims=True)
    features = torch.from_numpy(shared + 0.03 * (apart[labels] + noise)).float()
    # Class means without the factor, so that it lies outside of their span but for rounding.
    for k in range(3):
        features[labels == k] -= features[labels == k].mean(0).mean()
    asked = sweeps_of(monkeypatch)
    measures = []
    for dtype in (torch.float32, torch.float64):
        rows = Rows(np.arange(400), labels, features.to(dtype))
        representation = represent(RowBlocks((rows,)), class_names=tuple("abc"))
        found = moments_of(representation, gather(representation, Wanted(span=True, scatter=True)))
        assert found.features.span_scatter is not None
        measures.append(found.features.span_scatter)
    assert asked == [Wanted(scatter=True), Wanted(span=True), Wanted(scatter=True)]
    assert float(measures[0].inside) == pytest.approx(float(measures[1].inside), rel=1e-6)
    assert float(measures[0].distance) == pytest.approx(float(measures[1].distance), rel=1e-6)


def test_an_empty_block_among_others_changes_nothing():
    whole = moments(FEATURES, [torch.arange(N)])
    padded = moments(FEATURES, [torch.arange(0), torch.arange(N), torch.arange(0)])
    close(padded.features, whole.features, 1e-15)


@pytest.mark.parametrize("D", [1, STRIP, STRIP + 1, 2 * STRIP + 44])
def test_a_scatter_of_many_columns_is_that_of_numpy(D: int):
    features = np.random.default_rng(D).normal(size=(40, D))
    rows = Rows(np.arange(40), torch.arange(40) % 3, torch.from_numpy(features))
    representation = represent(RowBlocks((rows,)), class_names=tuple("abc"))
    found = moments_of(representation, gather(representation, Wanted(scatter=True))).scatter
    deviations = np.concatenate([features[k::3] - features[k::3].mean(0) for k in range(3)])
    assert found is not None and torch.equal(found, found.T)
    assert np.abs(found.numpy() - deviations.T @ deviations).max() <= 1e-12 * np.abs(found.numpy()).max()


@pytest.mark.parametrize("rank", [1, EVEN - 1, EVEN, 5 * EVEN + 3])
def test_coordinates_along_bases_of_any_width(rank: int):
    generator = torch.manual_seed(rank)
    basis, points = (torch.randn(*shape, generator=generator).double() for shape in ((300, rank), (7, 300)))
    span = Span(basis, torch.ones(rank).double(), torch.zeros(2, rank).double())
    expected = torch.stack([torch.stack([point @ axis for axis in basis.T]) for point in points])
    assert relative(span.along(points), expected) <= 1e-13
